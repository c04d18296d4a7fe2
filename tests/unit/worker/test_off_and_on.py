"""A restart on a service that has none (P42): off, seen off, on, decided turn by turn and killed at any point."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from rackwave.core.event import Intended, NodeResult
from rackwave.core.policy import Policy
from rackwave.core.step import ResetHost, ResetKind
from rackwave_emulators.personality import Personality, load_personality
from rackwave_emulators.sim import WireFate
from rig import BIOS, BMC, NIC, Reaper, Rig, Shelf, nodes
from truths import assert_settled, events, results

OLD = {BIOS: "1.0.0", BMC: "5.0", NIC: "20.1"}


def lacking() -> Personality:
    """A make whose only resets are On and ForceOff."""
    plain = load_personality("plain")
    return evolve(plain, rules=evolve(plain.rules, system_resets=("On", "ForceOff")))


def resets(rig: Rig) -> list[ResetKind]:
    """The kinds of reset that were sent or tried, in order."""
    return [e.step.kind for e in events(rig) if isinstance(e, Intended) and isinstance(e.step, ResetHost)]


def roll_out(tmp_path: Path, wire: WireFate | None = None, *, kill_at: int | None = None) -> Rig:
    """Roll a BIOS out to such a node; *wire* befalls the first switching off, or the orchestrator is killed once."""
    fates = {} if wire is None else {"reset_host": iter([wire])}
    rig = Rig(
        Shelf(tmp_path),
        nodes(1),
        policy=Policy(),
        personality=lacking(),
        reaper=Reaper(() if kill_at is None else (kill_at,)),
        wire=lambda act: next(fates.get(act, iter(())), WireFate.OK),
    )
    rig.clock.run(rig.assign(rig.shelf.bundle("A.1", OLD)))
    bundle = rig.shelf.bundle("A.2", {BIOS: "2.0.0"})
    state = rig.run(bundle) if kill_at is None else rig.run_with_kills(bundle, away=30.0)
    assert_settled(rig, state)

    assert {"r1n01": NodeResult.ON_NEW} == results(state)
    return rig


def test_off_seen_off_on(tmp_path):
    """Where the service has no restart, it is switched off and, once that is seen, on; each is sent once."""
    rig = roll_out(tmp_path)

    assert [ResetKind.FORCE_RESTART, ResetKind.FORCE_OFF, ResetKind.ON] == resets(rig)
    assert 1 == rig.rack.machine("r1n01").truth()["resets"]["host"]


@pytest.mark.parametrize("fate", [WireFate.LOST_ANSWER, WireFate.LOST_REQUEST, WireFate.REFUSED])
def test_off_in_doubt(tmp_path, fate):
    """A switching off whose answer or request is lost, or that is refused for now, is seen through all the same."""
    rig = roll_out(tmp_path, fate)

    assert ResetKind.ON is resets(rig)[-1]
    assert 1 == rig.rack.machine("r1n01").truth()["resets"]["host"]


def test_killed_at_any_point(tmp_path):
    """Whenever the orchestrator is killed in between, the next one ends it: on the new version, flashed once."""
    points = len(roll_out(tmp_path).reaper.points)

    assert points > 60

    for point in range(20, points, 3):
        rig = roll_out(tmp_path, kill_at=point)
        truth = rig.rack.machine("r1n01").truth()

        assert (1, 0) == (truth["flashes"], truth["double_flashes"]), point
