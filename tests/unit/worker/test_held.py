"""Images that the BMC holds until StartUpdate: begun with once, never uploaded over, whatever breaks."""

from __future__ import annotations

import pytest

from rackwave.core.event import Intended, NodeResult, Outcome, Resolved
from rackwave.core.identity import NodeName
from rackwave.core.policy import Policy
from rackwave.core.step import ResetBmc, StartUpdate, WriteImage
from rackwave_emulators.personality import load_personality
from rackwave_emulators.sim import Script, WireFate
from rig import BIOS, NIC, Reaper, Rig, Shelf, nodes
from truths import assert_settled, attempts, events, quarantined, results, story, writes

POLICY = Policy(poll=15.0, watch=30.0, canary=0, waves=1)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Return bundles to choose from."""
    return Shelf(tmp_path_factory.mktemp("shelf"))


def make_rig(shelf: Shelf, reaper: Reaper | None = None, **more: object) -> Rig:
    """Return one node of a make that holds what is pushed, on A.1."""
    rig = Rig(shelf, nodes(1), policy=POLICY, personality=load_personality("hgx"), reaper=reaper or Reaper(), **more)
    rig.clock.run(rig.assign(shelf.bundle("A.1", {BIOS: "1.0.0", NIC: "20.1"})))
    return rig


def steps(rig: Rig, node: NodeName) -> list[str]:
    """Return the kinds of step that were intended, in order."""
    return [type(event.step).__name__ for event in story(rig, node) if isinstance(event, Intended)]


def test_an_image_that_is_held_is_begun_with(shelf: Shelf) -> None:
    """Upload, verification, StartUpdate, reset: each once, for each component."""
    rig = make_rig(shelf)
    state = rig.run(shelf.bundle("A.2", {BIOS: "2.0.0", NIC: "20.2"}))
    assert_settled(rig, state)

    assert {"r1n01": NodeResult.ON_NEW} == results(state)
    assert ["WriteImage", "StartUpdate", "WriteImage", "StartUpdate", "ResetHost"] == steps(rig, rig.nodes[0])
    assert [Outcome.HELD, Outcome.DONE] * 2 == [e.outcome for e in events(rig) if isinstance(e, Resolved)][:4]


@pytest.mark.parametrize("away", [0.0, 7200.0])
def test_a_run_killed_at_any_step_begins_once(shelf: Shelf, away: float) -> None:
    """Wherever the kill strikes, the next start goes on with the image that the BMC holds."""
    reaper, to = Reaper(), shelf.bundle("A.2", {BIOS: "2.0.0"})
    assert_settled(rig := make_rig(shelf, reaper), rig.run(to))
    for number, point in enumerate(reaper.points):
        rig = make_rig(shelf, Reaper([number]))
        state = rig.run_with_kills(to, away=away)

        try:
            assert_settled(rig, state)
            assert {"r1n01": NodeResult.ON_NEW} == results(state) or point == "after append Completing"
        except AssertionError as error:
            raise AssertionError(f"killed {point} ({number}), away {away}: {error}") from error


@pytest.mark.parametrize("fate", [WireFate.LOST_REQUEST, WireFate.LOST_ANSWER, WireFate.REFUSED])
def test_a_start_whose_answer_is_lost_is_looked_for(shelf: Shelf, fate: WireFate) -> None:
    """Whether the BMC began shows in its tasks; it is told again only where it did not."""

    class Wire(Script):
        def __call__(self, act: str) -> WireFate:
            super().__call__(act)
            return fate if act == "start_update" and self.acts.count(act) == 1 else WireFate.OK

    rig = make_rig(shelf, wire=Wire())
    state = rig.run(shelf.bundle("A.2", {BIOS: "2.0.0"}))
    assert_settled(rig, state)
    kinds = steps(rig, rig.nodes[0])

    assert {"r1n01": NodeResult.ON_NEW} == results(state)
    assert (1 if fate is WireFate.LOST_ANSWER else 2) == kinds.count("StartUpdate")
    assert 1 == kinds.count("WriteImage")
    assert 1 == rig.rack.machine("r1n01").truth()["flashes"]


def test_an_image_that_was_held_and_lost_is_uploaded_anew(shelf: Shelf) -> None:
    """The BMC restarts between upload and start: nothing is held, nothing was written, and another attempt does it."""
    rig = make_rig(shelf)
    machine = rig.rack.machine("r1n01")

    class Restarts(Script):
        def __call__(self, act: str) -> WireFate:
            if self.acts[-1:] == ["write"] and self.acts.count("write") == 1:
                machine.reset_bmc()
            return super().__call__(act)

    rig.wire = Restarts()
    state = rig.run(shelf.bundle("A.2", {BIOS: "2.0.0"}))
    assert_settled(rig, state)

    assert {"r1n01": NodeResult.ON_NEW} == results(state)
    assert {"rollout", "retry"} == {cause for cause, _ in attempts(rig, rig.nodes[0])}
    assert 1 == machine.truth()["flashes"]


def test_nothing_is_uploaded_beside_an_image_that_is_held(shelf: Shelf) -> None:
    """A start that is refused for good leaves an image held: the next attempt restarts the BMC before it uploads."""

    class Refuses(Script):
        def __call__(self, act: str) -> WireFate:
            super().__call__(act)
            return WireFate.REFUSED if act == "start_update" and self.acts.count("reset_bmc") == 0 else WireFate.OK

    rig = make_rig(shelf, wire=Refuses())
    state = rig.run(shelf.bundle("A.2", {BIOS: "2.0.0"}))
    assert_settled(rig, state)
    sent = [event.step for event in story(rig, rig.nodes[0]) if isinstance(event, Intended)]
    uploads = [number for number, step in enumerate(sent) if isinstance(step, WriteImage)]

    assert [] == quarantined(rig)
    assert {"r1n01": NodeResult.ON_NEW} == results(state)
    assert 2 == len(uploads)
    assert any(isinstance(step, ResetBmc) for step in sent[uploads[0] : uploads[1]])
    assert ["lost", "activated"] == [record["result"] for record in writes(rig, rig.nodes[0])]
    assert isinstance(sent[uploads[1] + 1], StartUpdate)
