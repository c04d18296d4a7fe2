"""Rollouts that ask each machine's own event log, on the lab."""

from __future__ import annotations

import struct
import threading
import time

import pytest

from workplace import Workplace

UNCORRECTABLE = struct.pack("<HBIHBBBB3s", 0, 2, 0, 0x20, 4, 0x0C, 0x20, 0x6F, b"\x01\xff\xff")
"""A SEL record of memory that met an error which cannot be corrected (IPMI 2.0, table 42-3)."""


def ask_logs(workplace: Workplace) -> None:
    """Have rollouts ask the event logs."""
    text = workplace.inventory.read_text()
    workplace.inventory.write_text(text.replace("[policy]\n", "[policy]\ncritical_events = 1\n"))


@pytest.mark.lab(nodes=2, personality="supermicro")
def test_a_quiet_log_is_evidence(workplace: Workplace) -> None:
    """An update whose own acts are all that the log tells is well, and the evidence says so."""
    workplace.make_bundles("A.1")
    ask_logs(workplace)
    workplace.run("deploy", "A.1")
    workplace.publish("A.2")
    done = workplace.run("deploy", "A.2", "--nodes", "r1n01")
    history = workplace.run("history", "r1n01")

    assert 0 == done.code, done.out + done.err
    assert "no new critical events in its log" in history.out
    assert "its event log stands at " in history.out


@pytest.mark.lab(nodes=1)
def test_a_new_critical_event_speaks_against_the_update(workplace: Workplace) -> None:
    """Memory that fails while the new image comes up is no success, though the version is right: it goes back."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1")
    ask_logs(workplace)
    workplace.publish("A.2")
    station = workplace.lab["r1n01"]

    def fail() -> None:
        while station.machine.truth()["resets"]["host"] == 0:
            time.sleep(0.005)
        with station.exclusive():
            station.witness.log.add(UNCORRECTABLE, at=station.witness.catch_up())

    failing = threading.Thread(target=fail, daemon=True)
    failing.start()
    done = workplace.run("deploy", "A.2")
    failing.join(timeout=5)
    history = workplace.run("history", "r1n01")

    assert 4 == done.code, done.out + done.err
    assert "new critical events: Memory met an error that cannot be corrected." in history.out
    assert {"r1n01": "1.0.0"} == workplace.installed()
