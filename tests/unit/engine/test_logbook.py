"""The logbook: what is written is folded whole, whatever becomes of those who are told."""

from __future__ import annotations

import asyncio
import logging

import pytest

from rackwave.core.event import Held, Quarantined, Recorded
from rackwave.core.identity import NodeName
from rackwave.engine.logbook import Logbook
from rackwave.engine.memory import MemoryJournal
from rackwave_emulators.clock import VirtualClock

NODE = NodeName("r1n01")


def test_a_listener_that_fails_keeps_nothing_from_the_others_and_is_complained_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its terminal is gone: what was recorded is known whole, and whoever recorded it goes on."""
    logbook, told = Logbook(MemoryJournal(VirtualClock())), list[Recorded]()

    def gone(_: Recorded) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    logbook.subscribe(gone)
    logbook.subscribe(told.append)
    with caplog.at_level(logging.WARNING):
        asyncio.run(logbook.record(Held(NODE, "memory", "me"), Quarantined(NODE, ("smoke",))))
    history = logbook.node(NODE)

    assert ("memory", ("smoke",)) == (history.hold and history.hold.reason, history.quarantined)
    assert [1, 2] == [each.number for each in told]
    assert 1 == len(caplog.records)
    assert "Broken pipe" in caplog.text
