"""What is said of how long a rollout takes, beside how long it really took on a simulated rack."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rackwave.core.eta import Eta
from rackwave.core.outlook import eta_of
from rackwave.core.policy import Policy
from rig import BIOS, Rig, Shelf, nodes


def test_the_estimate_is_near_once_the_canary_is_done(tmp_path: Path) -> None:
    """Before, nobody knows; with one node done it is within a tenth, and it only gets shorter."""
    rig = Rig(Shelf(tmp_path), nodes(9), policy=Policy(canary=1, waves=4, soak=300.0))
    rig.clock.run(rig.assign(rig.shelf.bundle("A.1", {BIOS: "1.0.0"})))
    wanted = rig.shelf.bundle("A.2", {BIOS: "2.0.0"})
    told: list[tuple[float, Eta]] = []

    async def watch() -> None:
        while True:
            await rig.clock.sleep(60.0)
            logbook = rig.logbook()
            for state in logbook.ledger.unfinished():
                eta = eta_of(state, logbook.ledger, rig.shelf.bundles.__getitem__, rig.clock.now())
                assert eta is not None
                told.append((len(state.results), eta))

    async def whole() -> float:
        watching = asyncio.ensure_future(watch())
        state = await rig.roll_out(wanted)
        watching.cancel()
        assert state.finished_at is not None
        return state.finished_at

    end = rig.clock.run(whole())
    first = next(eta for done, eta in told if done)
    assert first.at is not None
    assert first.seconds is not None

    assert {None} == {eta.at for done, eta in told[:2] if not done}
    assert abs(first.at - end) < 0.1 * first.seconds
    assert all(eta.at is not None and abs(eta.at - end) < 0.1 * first.seconds for done, eta in told if done)
