"""What is written before it is done: the intent of every act is on disk when the act leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emulated.crash.drill import drill
from emulated.table.stage import Workshop
from rackwave.core.event import Acted, Intended
from rackwave.core.identity import NodeName
from rackwave.core.ledger import Ledger
from rackwave.engine.database import Database
from rackwave.engine.journal import SqliteJournal
from rackwave.records import JOURNAL
from rackwave_emulators.ipmi.bmc import IpmiBmc
from rackwave_emulators.server import BmcServer

_READS = frozenset({"GET", "HEAD"})
_IPMI_ACTS = frozenset({(0x00, 0x02), (0x2C, 0x31), (0x2C, 0x32), (0x2C, 0x33), (0x2C, 0x35)})
"""Chassis Control, and HPM.1's Initiate, Upload, Finish and Activate."""


@pytest.mark.parametrize("kind", ["redfish", "ipmi"])
def test_the_intent_is_synced_before_the_act(
    kind: str, workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who reads the file when a BMC gets an act finds the act's intent committed there, and no outcome yet.

    The writer runs with synchronous=FULL, under which a commit is an fsync; that is looked at here, too.
    """
    acts, unintended, modes = list[str](), list[str](), set[int]()
    serve, run, write = BmcServer._serve, IpmiBmc._run, Database.write

    def look(node: str, what: str) -> None:
        acts.append(what)
        journal = SqliteJournal.reader(tmp_path / "state" / JOURNAL)
        try:
            told = [r.event for r in journal.events(node=NodeName(node)) if isinstance(r.event, (Intended, Acted))]
        finally:
            journal.close()
        if not told or not isinstance(told[-1], Intended):
            unintended.append(f"{node} {what}")

    async def served(self: BmcServer, asked: Any) -> Any:
        if asked.method not in _READS and "Session" not in asked.path:
            look(self._station.name, f"{asked.method} {asked.path}")
        return await serve(self, asked)

    def ran(self: IpmiBmc, message: Any, caller: Any) -> Any:
        if (message.netfn, message.command) in _IPMI_ACTS and self._node.name in _begun(tmp_path):
            look(self._node.name, f"{message.netfn:02X}h/{message.command:02X}h")
        return run(self, message, caller)

    async def written(self: Database, act: Any) -> Any:
        def observed(connection: Any) -> Any:
            modes.update(connection.execute("PRAGMA synchronous").fetchone())
            return act(connection)

        return await write(self, observed)

    monkeypatch.setattr(BmcServer, "_serve", served)
    monkeypatch.setattr(IpmiBmc, "_run", ran)
    monkeypatch.setattr(Database, "write", written)
    drill("plain", workshop, tmp_path, ipmi=kind == "ipmi")

    assert len(acts) >= 7  # two writes and their restarts; one that fails, and the way back from it
    assert [] == unintended
    assert {2} == modes


def _begun(directory: Path) -> frozenset[str]:
    """Return the nodes of which the journal tells that an attempt was begun; before that the lab is only set up."""
    if not (directory / "state" / JOURNAL).exists():
        return frozenset()
    journal, ledger = SqliteJournal.reader(directory / "state" / JOURNAL), Ledger()
    try:
        for recorded in journal.events():
            ledger.apply(recorded)
    finally:
        journal.close()
    return frozenset(str(node) for node, history in ledger.nodes.items() if history.last or history.attempt)
