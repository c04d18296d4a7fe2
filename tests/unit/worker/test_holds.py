"""Nodes that somebody holds, or that are busy, are not touched."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rackwave.core.event import Held, HeldBack, Intended, NodeResult, Unheld
from rackwave.core.policy import Policy
from rackwave.core.step import ResetHost, WriteImage
from rig import BIOS, Rig, Shelf, nodes


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """A shelf for bundles."""
    return Shelf(tmp_path)


def steps(rig: Rig, kind: type) -> list[float]:
    """When each intent of that kind was written."""
    return [r.at for r in rig.journal.events() if isinstance(r.event, Intended) and isinstance(r.event.step, kind)]


def test_a_held_node_waits_until_the_hold_is_lifted(shelf: Shelf) -> None:
    """A rollout begins nothing on a held node, says so once, and goes on when the hold is lifted."""
    rig = Rig(shelf, nodes(1), policy=Policy(canary=0))
    old, new = shelf.bundle("A.1", {BIOS: "1.0.0"}), shelf.bundle("A.2", {BIOS: "2.0.0"})

    async def lift() -> float:
        await rig.clock.sleep(4000)
        await rig.journal.append(Unheld(rig.nodes[0], "test"))
        return rig.clock.now()

    async def main() -> float:
        await rig.assign(old)
        await rig.journal.append(Held(rig.nodes[0], "memory is swapped", "test"))
        lifted, state = await asyncio.gather(lift(), rig.roll_out(new))
        assert state.results[rig.nodes[0]].result is NodeResult.ON_NEW
        return lifted

    lifted = rig.clock.run(main())
    told = [r.event.why for r in rig.journal.events() if isinstance(r.event, HeldBack)]

    assert ["held by test: memory is swapped"] == told
    assert min(steps(rig, WriteImage)) >= lifted
    assert "" == rig.logbook().node(rig.nodes[0]).held_back


def test_a_hold_in_mid_rollout_keeps_the_restart_back(shelf: Shelf) -> None:
    """A node that is held while its image is written is not restarted before the hold's own end."""
    rig = Rig(shelf, nodes(1), policy=Policy(canary=0))
    old, new = shelf.bundle("A.1", {BIOS: "1.0.0"}), shelf.bundle("A.2", {BIOS: "2.0.0"})
    until = rig.clock.now() + 5000

    async def hold() -> None:
        while not steps(rig, WriteImage):
            await rig.clock.sleep(0.5)
        await rig.journal.append(Held(rig.nodes[0], "a guest is on it", "test", until))

    async def main() -> None:
        await rig.assign(old)
        _, state = await asyncio.gather(hold(), rig.roll_out(new))
        assert state.results[rig.nodes[0]].result is NodeResult.ON_NEW

    rig.clock.run(main())

    assert min(steps(rig, ResetHost)) >= until
    assert 1 == len(steps(rig, WriteImage))
