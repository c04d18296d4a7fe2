"""A run that is killed at any step resumes from journal and observation, and flashes nothing twice."""

from __future__ import annotations

import pytest

from rackwave.core.event import NodeResult
from rackwave.core.policy import Policy
from rackwave_emulators.faults import FlashFails
from rackwave_emulators.personality import load_personality
from rig import BIOS, NIC, Reaper, Rig, Shelf, nodes
from truths import assert_settled, quarantined, results

# Fewer looks than in the field, so that every single one can be a kill point.
POLICY = Policy(poll=15.0, watch=30.0, canary=1, waves=1)


def make_rig(shelf: Shelf, make: str, reaper: Reaper) -> Rig:
    rig = Rig(shelf, nodes(3), policy=POLICY, personality=load_personality(make), reaper=reaper)
    rig.clock.run(rig.assign(shelf.bundle("A.1", {BIOS: "1.0.0", NIC: "20.1"})))
    rig.rack.machine("r1n02").inject(FlashFails(component="BIOS"))
    return rig


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("shelf"))


EXPECTED = {"r1n01": NodeResult.ON_NEW, "r1n02": NodeResult.ROLLED_BACK, "r1n03": NodeResult.ON_NEW}

UNDECIDABLE = "after append Completing"
"""The one point that nobody can judge: the last bytes of an upload were announced and perhaps sent, and no task
tells. "The upload aborted" cannot be shown, so that the rule demands a person."""


def points(shelf: Shelf, make: str) -> list[str]:
    reaper = Reaper()
    rig = make_rig(shelf, make, reaper)
    state = rig.run(shelf.bundle("A.2", {BIOS: "2.0.0", NIC: "20.1"}))
    assert_settled(rig, state)

    assert EXPECTED == results(state)
    return reaper.points


@pytest.mark.parametrize("away", [0.0, 300.0])
@pytest.mark.parametrize("make", ["plain", "openbmc"])
def test_a_run_killed_at_any_step_resumes(shelf: Shelf, make: str, away: float) -> None:
    """Whichever request or journal entry the kill strikes, before or after it, the next start ends the rollout alike."""
    for number, point in enumerate(points(shelf, make)):
        rig = make_rig(shelf, make, Reaper([number]))
        state = rig.run_with_kills(shelf.bundle("A.2", {BIOS: "2.0.0", NIC: "20.1"}), away=away)

        try:
            assert_settled(rig, state)
            assert len(quarantined(rig)) == (point == UNDECIDABLE)
            assert point == UNDECIDABLE or results(state) == EXPECTED
        except AssertionError as error:
            raise AssertionError(f"killed {point} ({number}), away {away}: {error}") from error


def test_points_cover_every_request_and_every_entry(shelf: Shelf) -> None:
    """The kill points stand before and after each kind of request and each kind of journal entry."""
    seen = set(points(shelf, "plain")) | set(points(shelf, "openbmc"))
    entries = ("Intended", "Acted", "Resolved", "Completing", "Identified", "AttemptStarted", "WaveStarted")

    for what in ("observe", "write", "reset_host", *(f"append {name}" for name in entries)):
        assert {f"before {what}", f"after {what}"} <= seen
