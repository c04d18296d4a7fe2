"""Weather: the same for the same seed, on whatever it is let loose."""

from __future__ import annotations

from pathlib import Path

import pytest

from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.faults import parse_fault
from rackwave_emulators.lab import Lab
from rackwave_emulators.sim import SimRack
from rackwave_emulators.weather import Climate, forecast, let_loose
from rig import BIOS, NIC, Rig, Shelf, nodes

NAMES = tuple(str(name) for name in nodes(64))


def test_the_same_seed_brings_the_same_weather() -> None:
    """A forecast is repeated by its seed, and another seed brings another."""
    assert forecast(7, NAMES) == forecast(7, NAMES)
    assert forecast(7, NAMES) != forecast(8, NAMES)


def test_a_nodes_weather_is_its_own() -> None:
    """A smaller rack shows the same trouble on the nodes that it has."""
    of_all = [gust for gust in forecast(7, NAMES) if gust.node == NAMES[5]]

    assert of_all == list(forecast(7, [NAMES[5]]))


def test_fair_weather_passes() -> None:
    """Whatever has no count is over in time; in a rough climate not everything is."""
    assert all(gust.fault.count is not None or gust.fault.lasts is not None for gust in forecast(3, NAMES))
    assert {gust.row for gust in forecast(3, NAMES)} < {
        gust.row for gust in forecast(3, [f"n{i}" for i in range(2000)], climate=Climate.ROUGH)
    }


def test_a_gust_is_told_and_read_back() -> None:
    """What a forecast says can be injected again from plain data."""
    for gust in forecast(11, NAMES, climate=Climate.ROUGH):
        told = gust.as_dict()
        del told["node"], told["row"]

        assert gust.fault == parse_fault(told)


def test_it_is_let_loose_on_a_simulated_rack_and_on_a_lab(tmp_path: Path) -> None:
    """The same gusts arm machines in memory and BMCs on sockets."""
    gusts = forecast(5, NAMES[:16])
    rack, lab = SimRack(NAMES[:16], VirtualClock()), Lab(16, clock=VirtualClock(), directory=tmp_path)
    let_loose(gusts, lambda node, fault: rack.machine(node).inject(fault))
    let_loose(gusts, lambda node, fault: lab[node].arm(fault))

    assert gusts
    for name in NAMES[:16]:
        armed = rack.machine(name).faults
        assert armed == lab[name].faults()
        assert {fault.id for fault in armed} <= {gust.fault.id for gust in gusts if gust.node == name}


@pytest.mark.parametrize("seed", range(8))
def test_nothing_is_flashed_twice_in_fair_weather(tmp_path: Path, seed: int) -> None:
    """A rollout through fair weather ends, and no component was written twice by it."""
    shelf = Shelf(tmp_path)
    rig = Rig(shelf, nodes(6))
    rig.clock.run(rig.assign(shelf.bundle("A.0", {BIOS: "1.0.0", NIC: "20.1"})))
    let_loose(
        forecast(seed, (str(node) for node in rig.nodes)), lambda node, fault: rig.rack.machine(node).inject(fault)
    )
    state = rig.run(shelf.bundle("A.1", {BIOS: "2.0.0", NIC: "21.0"}))

    assert state.finished is not None
    assert 0 == rig.rack.truth()["double_flashes"]
