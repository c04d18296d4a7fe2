"""A run that is killed at any step resumes from journal and observation, and flashes nothing twice."""

from __future__ import annotations

import pytest
from attrs import evolve

from rackwave.core.event import Acted, Intended, NodeResult
from rackwave.core.policy import Policy
from rackwave.core.step import WriteImage
from rackwave_emulators.faults import FlashFails, HostDead, RevivedBy
from rackwave_emulators.personality import load_personality
from rig import BIOS, NIC, Reaper, Rig, Shelf, nodes
from truths import assert_settled, committed, events, quarantined, results

# Fewer looks than in the field, so that every single one can be a kill point.
POLICY = Policy(poll=15.0, watch=30.0, canary=1, waves=1)


NEW = {BIOS: "2.0.0", NIC: "20.1"}


def make_rig(shelf: Shelf, make: str, reaper: Reaper) -> Rig:
    """Return three nodes on A.1, the second of which is to fail its flash."""
    rig = Rig(shelf, nodes(3), policy=POLICY, personality=load_personality(make), reaper=reaper)
    rig.clock.run(rig.assign(shelf.bundle("A.1", {BIOS: "1.0.0", NIC: "20.1"})))
    rig.rack.machine("r1n02").inject(FlashFails(component="BIOS"))
    return rig


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Return bundles to choose from."""
    return Shelf(tmp_path_factory.mktemp("shelf"))


EXPECTED = {"r1n01": NodeResult.ON_NEW, "r1n02": NodeResult.ROLLED_BACK, "r1n03": NodeResult.ON_NEW}

UNDECIDABLE = "after append Completing"
"""The one point that nobody can judge: the last bytes of an upload were announced and perhaps sent, and no task
tells. "The upload aborted" cannot be shown, so that the rule demands a person, unless the target version is present
all the same: where a roll-back writes again what a failed flash had left as it was."""


def points(shelf: Shelf, make: str) -> list[str]:
    """Run without a kill and return the name of every point at which one could have struck."""
    reaper = Reaper()
    rig = make_rig(shelf, make, reaper)
    state = rig.run(shelf.bundle("A.2", NEW))
    assert_settled(rig, state)

    assert EXPECTED == results(state)
    return reaper.points


def is_undecidable(rig: Rig, point: str) -> bool:
    """Whether the kill at *point* cut off an upload of which nobody can know whether it was complete."""
    in_doubt = {(e.attempt, e.number): e.step for e in events(rig) if isinstance(e, Intended)}
    for event in events(rig):
        if isinstance(event, Acted):
            in_doubt.pop((event.attempt, event.number), None)
    return point == UNDECIDABLE and any(
        isinstance(step, WriteImage) and step.expects != step.version for step in in_doubt.values()
    )


@pytest.mark.parametrize(
    ("recovery", "commits"),
    [
        ("resend-then-prior", ["A.0", "A.1", "A.1", "A.2"]),
        ("prior-at-once", ["A.0", "A.1", "A.0"]),
        ("prior-then-resend", ["A.0", "A.1", "A.0", "A.1", "A.2"]),
    ],
)
def test_a_ladder_killed_at_any_step_is_climbed_on(shelf: Shelf, recovery: str, commits: list[str]) -> None:
    """A host dies before its wave and needs an image; whenever the kill comes, it ends as its policy says."""

    def make(reaper: Reaper) -> Rig:
        rig = Rig(shelf, nodes(2), policy=evolve(POLICY, recovery=recovery, poll=30.0), reaper=reaper)
        for bundle in (shelf.bundle("A.0", {BIOS: "0.9.0"}), shelf.bundle("A.1", {BIOS: "1.0.0"})):
            rig.clock.run(rig.assign(bundle))
        rig.rack.machine("r1n02").inject(HostDead(revived_by=RevivedBy.REFLASH))
        return rig

    reaper, to = Reaper(), shelf.bundle("A.2", {BIOS: "2.0.0"}, settings={"BootMode": "Bios"})
    assert_settled(rig := make(reaper), rig.run(to))
    assert commits == committed(rig, rig.nodes[1])
    for number, point in enumerate(reaper.points):
        rig = make(Reaper([number]))
        state = rig.run_with_kills(to, away=10.0)

        try:
            assert_settled(rig, state)
            assert commits == committed(rig, rig.nodes[1])
            assert NodeResult.ON_NEW is results(state)["r1n01"]
        except AssertionError as error:
            raise AssertionError(f"killed {point} ({number}): {error}") from error


@pytest.mark.parametrize(
    ("make", "away"),
    [
        *(("plain", 0.0), ("openbmc", 7200.0)),
        *(pytest.param(*each, marks=pytest.mark.long) for each in (("plain", 7200.0), ("openbmc", 0.0))),
    ],
)
def test_a_run_killed_at_any_step_resumes(shelf: Shelf, make: str, away: float) -> None:
    """Whichever request or journal entry the kill strikes, before or after it, the next start ends it all alike."""
    for number, point in enumerate(points(shelf, make)):
        rig = make_rig(shelf, make, Reaper([number]))
        state = rig.run_with_kills(shelf.bundle("A.2", NEW), away=away)

        try:
            assert_settled(rig, state)
            assert len(quarantined(rig)) == is_undecidable(rig, point)
            assert quarantined(rig) or results(state) == EXPECTED
        except AssertionError as error:
            raise AssertionError(f"killed {point} ({number}), away {away}: {error}") from error


def test_points_cover_every_request_and_every_entry(shelf: Shelf) -> None:
    """The kill points stand before and after each kind of request and each kind of journal entry."""
    seen = set(points(shelf, "plain")) | set(points(shelf, "openbmc"))
    entries = ("Intended", "Acted", "Resolved", "Completing", "Identified", "AttemptStarted", "WaveStarted")

    for what in ("observe", "write", "reset_host", *(f"append {name}" for name in entries)):
        assert {f"before {what}", f"after {what}"} <= seen
