"""News from a BMC wake a node early, and that is all they do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from rackwave.core.event import Intended, Resolved
from rackwave.core.policy import Policy
from rackwave.ports import Bmc
from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.personality import load_personality
from rig import BIOS, Rig, Shelf, nodes
from truths import assert_at_rest, assert_never_twice

PLAIN = load_personality("plain")
SILENT = evolve(PLAIN, rules=evolve(PLAIN.rules, task_percent=False))
POLICY = Policy(canary=0, waves=1, late=0.5)


class Teller:
    """A BMC that tells of news at given moments, true or not."""

    def __init__(self, bmc: Bmc, clock: VirtualClock, moments: tuple[float, ...], calls: list[float]) -> None:
        self._bmc = bmc
        self._clock = clock
        self._moments = moments
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bmc, name)

    async def listen(self, wake: Callable[[], None]) -> None:
        """Tell what is still to come, to whoever was the first to ask."""
        if not self._calls:
            for moment in self._moments:
                self._telling = asyncio.ensure_future(self._tell(moment, wake))
        self._calls.append(self._clock.monotonic())

    async def _tell(self, moment: float, wake: Callable[[], None]) -> None:
        await self._clock.sleep(moment - self._clock.monotonic())
        wake()


def rolled_out(folder: Path, *moments: float) -> tuple[Rig, list[float]]:
    """Roll A.2 out to a node whose tasks tell no percentage, and which tells news at *moments*."""
    shelf, calls = Shelf(folder), []
    first, second = shelf.bundle("A.1", {BIOS: "1.0.0"}), shelf.bundle("A.2", {BIOS: "2.0.0"})
    rig = Rig(shelf, nodes(1), policy=POLICY, personality=SILENT)
    rig.between = lambda bmc: Teller(bmc, rig.clock, moments, calls)  # type: ignore[return-value]
    rig.clock.run(rig.assign(first))
    rig.run(second)
    return rig, calls


def write_took(rig: Rig) -> float:
    """Return how many seconds passed until the write was seen to have ended."""
    events = list(rig.journal.events())
    begun = next(e.at for e in events if isinstance(e.event, Intended))
    return next(e.at for e in events if isinstance(e.event, Resolved)) - begun


def test_an_end_that_is_told_is_seen_at_once(tmp_path: Path) -> None:
    """Where nothing tells when a flash ends, news of it save the wait for the next look."""
    quiet, _ = rolled_out(tmp_path)
    ends = quiet.rack.machine("r1n01").personality.timing.update
    told, calls = rolled_out(tmp_path, ends + 0.1)

    assert write_took(quiet) > ends + 2.0
    assert ends <= write_took(told) <= ends + 0.5
    assert calls[0] > 2.0  # no stream is opened for a short wait


@pytest.mark.parametrize("every", [0.5, 3.0])
def test_false_news_change_nothing(tmp_path: Path, every: float) -> None:
    """A BMC that cries wolf costs looks; what is done to the node is what is done without."""
    rig, _ = rolled_out(tmp_path, *(every * n for n in range(1, 400)))

    assert "A.2" == rig.assigned(rig.nodes[0])
    assert_at_rest(rig, rig.nodes[0])
    assert_never_twice(rig)
    assert 1 == rig.rack.machine("r1n01").truth()["flashes"]
