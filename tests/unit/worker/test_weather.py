"""Rough weather on a simulated rack: faults of every family, drawn by seed, and still nothing is flashed twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from rackwave.core.event import NodeResult
from rackwave.core.policy import Policy
from rackwave_emulators.weather import Climate, forecast, let_loose
from rig import BIOS, Rig, Shelf, nodes

# 11 to 59 once wrote the way back over an image that was still staged (P15, P16, P37).
SEEDS = (11, 16, 22, 44, 46, 51, 52, 59, *range(100, 112))


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_flashed_twice_in_rough_weather(tmp_path: Path, seed: int) -> None:
    """Every node ends somewhere, with evidence where a person must look, and the lab counts no double flash."""
    shelf = Shelf(tmp_path)
    rig = Rig(shelf, nodes(8), policy=Policy(canary=0, waves=1, failure_budget=8))
    rig.clock.run(rig.assign(shelf.bundle("A.1", {BIOS: "1.0.0"})))
    let_loose(
        forecast(seed, rig.nodes, climate=Climate.ROUGH), lambda node, fault: rig.rack.machine(node).inject(fault)
    )
    state = rig.run(shelf.bundle("A.2", {BIOS: "2.0.0"}))

    assert 0 == rig.rack.truth()["double_flashes"]
    assert set(rig.nodes) == set(state.results)
    for node, ended in state.results.items():
        if ended.result is NodeResult.QUARANTINED:
            assert rig.logbook().node(node).quarantined, node
        elif ended.result is NodeResult.ON_NEW:
            assert "2.0.0" == rig.rack.machine(node).truth()["installed"]["BIOS"]["version"], node
