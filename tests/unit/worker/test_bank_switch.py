"""A machine that keeps what ran before is brought back by that: the order is sent once, and never on a guess."""

from __future__ import annotations

import pytest

from rackwave.core.event import Intended, NodeResult
from rackwave.core.policy import Policy
from rackwave.core.step import SwitchBank, WriteImage
from rackwave_emulators.faults import BadHealth, FlashFails, HostDead, Leaves, RevivedBy
from rackwave_emulators.personality import Personality, TaskEnds, load_personality
from rackwave_emulators.sim import Wire, WireFate
from rig import BIOS, BMC, Reaper, Rig, Shelf, keeping, nodes
from truths import assert_settled, events, quarantined, results, switched

POLICY = Policy(poll=15.0, watch=30.0, canary=0, waves=1, failure_budget=3)
ROLLED_BACK = {"r1n01": NodeResult.ROLLED_BACK}
NEW = {BIOS: "2.0.0"}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Return bundles to choose from."""
    return Shelf(tmp_path_factory.mktemp("shelf"))


def make_rig(shelf: Shelf, make: Personality, *, kept: bool = True, reaper: Reaper | None = None) -> Rig:
    """Return a node on A.1, of which nobody has an image; A.2 makes it unwell."""
    rig = Rig(shelf, nodes(1), policy=POLICY, personality=make, reaper=reaper or Reaper())
    ways = {"kept": [BIOS]} if kept else {"switched": [BIOS]}
    rig.clock.run(rig.assign(shelf.bundle("A.1", {BIOS: "1.0.0"}, **ways)))
    rig.rack.machine("r1n01").inject(BadHealth(component="BIOS", version="2.*"))
    return rig


def steps(rig: Rig) -> list[type]:
    """The kinds of writes that were intended, in order."""
    return [
        type(e.step) for e in events(rig) if isinstance(e, Intended) and isinstance(e.step, WriteImage | SwitchBank)
    ]


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("ends", TaskEnds)
@pytest.mark.parametrize("bank", [True, False])
def test_a_roll_back_switches(shelf: Shelf, bank: bool, ends: TaskEnds, kept: bool) -> None:
    """With an image or without one, whether the machine switches or writes again: one write forward, one order back."""
    rig = make_rig(shelf, keeping(BIOS, bank=bank, ends=ends), kept=kept)
    state = rig.run(shelf.bundle("A.2", NEW))

    assert_settled(rig, state)
    assert (ROLLED_BACK, [WriteImage, SwitchBank]) == (results(state), steps(rig))


def test_a_roll_back_writes_where_the_bank_has_something_else(shelf: Shelf) -> None:
    """The bundle has the image; the bank, for once, has not."""
    rig = make_rig(shelf, load_personality("plain"), kept=False)
    state = rig.run(shelf.bundle("A.2", NEW))

    assert_settled(rig, state)
    assert (ROLLED_BACK, [WriteImage, WriteImage]) == (results(state), steps(rig))


def test_without_image_and_bank_a_person_must(shelf: Shelf) -> None:
    """This make lists nothing that ran before: it is said what is missing, and nothing is written on a guess."""
    rig = make_rig(shelf, load_personality("plain"))
    state = rig.run(shelf.bundle("A.2", NEW))

    assert_settled(rig, state)
    assert [WriteImage] == steps(rig)
    assert "there is no image of 1.0.0" in "; ".join(rig.logbook().node(rig.nodes[0]).quarantined or ())


@pytest.mark.parametrize("fate", [WireFate.LOST_ANSWER, WireFate.LOST_REQUEST])
@pytest.mark.parametrize("bank", [True, False])
def test_an_order_without_an_answer_is_looked_after(shelf: Shelf, bank: bool, fate: WireFate) -> None:
    """Whether it arrived shows; where it did not, it is sent by another attempt, once."""
    rig = make_rig(shelf, keeping(BIOS, bank=bank))
    rig.wire = once("switch_bank", fate)
    state = rig.run(shelf.bundle("A.2", NEW))

    assert_settled(rig, state)
    assert (ROLLED_BACK, []) == (results(state), quarantined(rig))
    assert len(switched(rig, rig.nodes[0])) == (1 if fate is WireFate.LOST_ANSWER else 2)


@pytest.mark.parametrize("ends", TaskEnds)
@pytest.mark.parametrize("away", [0.0, 7200.0])
def test_a_switch_killed_at_any_point_is_seen_through(shelf: Shelf, away: float, ends: TaskEnds) -> None:
    """Whichever request or journal entry the kill strikes, the machine ends on what it kept, and nothing is twice."""
    reaper = Reaper()
    make_rig(shelf, keeping(BIOS, ends=ends), reaper=reaper).run(shelf.bundle("A.2", NEW))
    for number, point in enumerate(reaper.points):
        rig = make_rig(shelf, keeping(BIOS, ends=ends), reaper=Reaper([number]))
        state = rig.run_with_kills(shelf.bundle("A.2", NEW), away=away)
        try:
            assert_settled(rig, state)
            assert (ROLLED_BACK, []) == (results(state), quarantined(rig))
        except AssertionError as error:
            raise AssertionError(f"killed {point} ({number}), away {away}: {error}") from error


def test_a_bmc_goes_back_by_its_other_bank(shelf: Shelf) -> None:
    """It restarts for it; its own firmware counts as written from then on."""
    rig = Rig(shelf, nodes(1), policy=POLICY, personality=keeping(BMC, bank=True))
    rig.clock.run(rig.assign(shelf.bundle("A.1", {BMC: "5.0"}, kept=[BMC])))
    rig.rack.machine("r1n01").inject(BadHealth(component="BMC", version="6.*"))
    state = rig.run(shelf.bundle("A.2", {BMC: "6.0"}))

    assert_settled(rig, state)
    assert (ROLLED_BACK, [WriteImage, SwitchBank]) == (results(state), steps(rig))


def test_a_host_that_dies_on_what_nobody_can_write_again_is_told(shelf: Shelf) -> None:
    """Its image is corrupt and still reads as before: there is none to write, and the bank has what was before that."""
    rig = make_rig(shelf, keeping(BIOS))
    rig.rack.machine("r1n01").inject(FlashFails(component="BIOS", leaves=Leaves.CORRUPT))
    rig.rack.machine("r1n01").inject(HostDead(revived_by=RevivedBy.REFLASH))
    state = rig.run(shelf.bundle("A.2", NEW))

    assert_settled(rig, state)
    assert ["r1n01"] == quarantined(rig)
    assert SwitchBank not in steps(rig)


@pytest.mark.parametrize("leaves", [Leaves.CORRUPT, Leaves.OLD])
def test_what_a_failed_write_may_have_damaged_is_not_called_level(shelf: Shelf, leaves: Leaves) -> None:
    """It reads as before, and the host still runs on what it has in memory: nobody can say what it boots next."""
    rig = make_rig(shelf, keeping(BIOS))
    rig.rack.machine("r1n01").inject(FlashFails(component="BIOS", leaves=leaves))
    state = rig.run(shelf.bundle("A.2", NEW))

    assert_settled(rig, state)
    assert ["r1n01"] == quarantined(rig)
    told = "; ".join(rig.logbook().node(rig.nodes[0]).quarantined or ())
    assert "BIOS reads 1.0.0 after a write that failed, and there is no image of that" in told


def test_a_host_that_dies_by_itself_is_restarted_on_what_it_keeps(shelf: Shelf) -> None:
    """Its bundle has no image to send again, and needs none: a restart brings it back."""
    rig = Rig(shelf, nodes(1), policy=POLICY, personality=keeping(BIOS))
    rig.clock.run(rig.assign(shelf.bundle("A.1", {BIOS: "1.0.0"}, kept=[BIOS])))
    rig.rack.machine("r1n01").inject(HostDead(revived_by=RevivedBy.RESTART))
    state = rig.run(shelf.bundle("A.2", NEW))

    assert_settled(rig, state)
    assert ({"r1n01": NodeResult.ON_NEW}, [WriteImage]) == (results(state), steps(rig))


def once(act: str, fate: WireFate) -> Wire:
    """A wire that meets the first *act* with *fate*."""
    left = [fate]
    return lambda what: left.pop() if what == act and left else WireFate.OK
