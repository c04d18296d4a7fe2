"""Machines that stand in for nodes: they are what they were said to be, and what befalls them is theirs alone."""

from __future__ import annotations

import asyncio

import pytest

from rackwave.core.bundle import Activation
from rackwave.core.identity import ComponentName, NodeName
from rackwave.core.observation import Look, Observation, Unknown
from rackwave.core.odds import Odds
from rackwave.core.stand_in import Part, StandIn
from rackwave_emulators.clock import LAB_EPOCH
from rackwave_emulators.simulator import SimulatedRack, _Absences

BIOS, PSU = ComponentName("BIOS"), ComponentName("PSU.Slot.1")
LOOK = Look(bmc=True, components=frozenset({BIOS, PSU}), settings=True, log=True)


def stand_in(name: str = "r1n01") -> StandIn:
    """Return a machine with a BIOS, a power supply and one setting."""
    return StandIn(
        node=NodeName(name),
        vendor="Dell Inc.",
        model="R760",
        parts=(
            Part(BIOS, Activation.HOST_RESET, "1.0.0", 60.0),
            Part(PSU, Activation.IMMEDIATE, "00.1B.53", 30.0),
        ),
        settings={"Mode": "Uefi"},
        post=60.0,
        bmc_restart=90.0,
        comes={BIOS: "2.0.0"},
    )


def looked_at(rack: SimulatedRack, name: str = "r1n01") -> Observation:
    """Look at everything there is."""
    return asyncio.run(rack.bmc(NodeName(name)).observe(LOOK))


def test_a_machine_is_what_it_was_said_to_be() -> None:
    """Parts that no make of the lab has, settings of any name, the make, and an empty event log."""
    seen = looked_at(SimulatedRack([stand_in()], ()))

    assert {"BIOS": "1.0.0", "PSU.Slot.1": "00.1B.53"} == {k: each.installed for k, each in seen.components.items()}
    assert {"Mode": "Uefi"} == seen.settings
    assert ("Dell Inc.", "R760") == (seen.identity.vendor, seen.identity.model)
    assert not isinstance(seen.log, Unknown)
    assert () == seen.log.entries


def test_what_befalls_a_machine_is_its_own() -> None:
    """The same seed and name bring the same, whoever stands beside it; other odds leave the other draws alone."""

    def faults(seed: int, *names: str, **odds: float) -> list[str]:
        rack = SimulatedRack([stand_in(name) for name in names], (), odds=Odds(**odds), seed=seed)
        return [fault.id for fault in rack._machines[-1].faults]

    for seed in range(1, 30):
        alone = faults(seed, "n7", fail=0.5, trouble=0.5)

        assert alone == faults(seed, "n1", "n2", "n7", fail=0.5, trouble=0.5)
        assert set(alone) <= set(faults(seed, "n7", fail=1.0, trouble=1.0)), seed
        assert [] == faults(seed, "n7")


def test_hosts_that_are_away_together_are_counted() -> None:
    """Whatever order they are told in; who comes back at the moment at which another goes is not counted with it."""
    absences = _Absences()
    for node, at, away in (("a", 0.0, True), ("a", 10.0, False), ("b", 5.0, True), ("b", 10.0, False)):
        absences.note(NodeName(node), at, away=away)
    absences.note(NodeName("c"), 10.0, away=True)
    absences.note(NodeName("c"), 10.0, away=True)  # told twice

    assert 2 == absences.most()


def test_time_is_the_racks_own() -> None:
    """It begins when it is said to, and hours of it pass at once."""
    rack = SimulatedRack([stand_in()], (), start=LAB_EPOCH + 5.0)

    async def wait() -> float:
        await rack.clock.sleep(3600.0)
        return await asyncio.to_thread(rack.clock.now)

    assert LAB_EPOCH + 3605.0 == pytest.approx(rack.run(wait(), at_most=4000.0))
