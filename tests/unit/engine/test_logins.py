"""Refused logins over processes: remembered, and nothing of the secret kept."""

from __future__ import annotations

import asyncio
import stat

import pytest

from rackwave.core.event import Readmitted
from rackwave.core.identity import NodeName
from rackwave.engine.journal import SqliteJournal
from rackwave.engine.logbook import Logbook
from rackwave.engine.logins import KEY_FILE, Fingerprints, JournalledLogins
from rackwave.errors import StateError
from rackwave.ports import Credentials
from rig import VirtualClock

NODE = NodeName("n1")
WRONG, RIGHT = Credentials("admin", "correct-horse"), Credentials("admin", "battery-staple")


def memory(state, node=NODE):
    """What a process that has just started knows."""
    clock = VirtualClock()
    journal = SqliteJournal.open(state / "journal.sqlite", clock=clock)
    logbook = Logbook(journal)
    return journal, logbook, JournalledLogins(node, logbook, Fingerprints(state / KEY_FILE), clock)


def test_a_second_process_does_not_try_again(tmp_path):
    """Credentials that were refused are held back by the next process, others are not, and a release allows all."""

    async def run() -> list[str | None]:
        journal, _, first = memory(tmp_path)
        assert await first.why_not(WRONG) is None
        await first.refused(WRONG, "HTTP 401")
        journal.close()
        journal, logbook, second = memory(tmp_path)
        found = [await second.why_not(WRONG), await second.why_not(RIGHT)]
        await logbook.record(Readmitted(NODE, "looked", "operator"))
        found.append(await second.why_not(WRONG))
        journal.close()
        return found

    held, other, released = asyncio.run(run())

    assert held is not None
    assert "HTTP 401" in held
    assert (None, None) == (other, released)


def test_nothing_of_the_secret_is_kept(tmp_path):
    """No file holds user or password; equal passwords of two nodes do not show; the key is its owner's alone."""

    async def run() -> list[str]:
        found = []
        journal, logbook, first = memory(tmp_path)
        other = JournalledLogins(NodeName("n2"), logbook, Fingerprints(tmp_path / KEY_FILE), VirtualClock())
        for each in (first, other):
            await each.refused(WRONG, "HTTP 401")
        found = [logbook.node(NodeName(name)).refused_logins[0].fingerprint for name in ("n1", "n2")]
        journal.close()
        return found

    fingerprints = asyncio.run(run())
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())

    assert 2 == len(set(fingerprints))
    assert b"correct-horse" not in written
    assert 0o600 == stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode)
    assert [] == [path.name for path in tmp_path.iterdir() if path.name.startswith(f"{KEY_FILE}.")]


def test_a_damaged_key_is_the_operators_to_mend(tmp_path):
    """A key that is no key is said to be so; it is not replaced behind anybody's back."""
    (tmp_path / KEY_FILE).write_bytes(b"short")

    with pytest.raises(StateError, match=KEY_FILE):
        asyncio.run(Fingerprints(tmp_path / KEY_FILE).of(NODE, WRONG))


def test_ipmi_and_redfish_are_remembered_apart(tmp_path):
    """What IPMI refused may be right for Redfish, and is held back from IPMI alone."""

    async def run() -> list[bool]:
        journal, logbook, redfish = memory(tmp_path)
        ipmi = JournalledLogins(NODE, logbook, Fingerprints(tmp_path / KEY_FILE), VirtualClock(), way="ipmi")
        await ipmi.refused(WRONG, "the password is not the BMC's")
        found = [await ipmi.why_not(WRONG) is None, await redfish.why_not(WRONG) is None]
        journal.close()
        return found

    assert [False, True] == asyncio.run(run())
