"""A rollout in an operator's hand, on a simulated rack: paused, approved, watched, kept to its hours, aborted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from attrs import evolve

from rackwave.core.bundle import Bundle
from rackwave.core.event import (
    Event,
    Held,
    Intended,
    NodeResult,
    Quarantined,
    RecoveryRequested,
    RolloutAborted,
    RolloutContinued,
    RolloutPaused,
    RolloutResult,
    RolloutWaits,
    Unheld,
    WaveApproved,
    WaveStarted,
)
from rackwave.core.identity import Lineage, RolloutId
from rackwave.core.policy import Policy
from rackwave.core.report import RolloutReport
from rackwave.core.rollout import RolloutState
from rackwave.core.waves import GoOn, Stop, Wait
from rackwave_emulators.faults import HostDead
from rackwave_emulators.sim import Killed
from rig import BIOS, Rig, Shelf, nodes
from truths import assert_never_twice, assert_settled, results, writes

ROLLOUT = RolloutId("roll1")
CANARY = Policy(canary=1, waves=1)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """Three nodes on A.1; one is the canary."""
    rig = Rig(Shelf(tmp_path), nodes(3), policy=CANARY)
    rig.clock.run(rig.assign(rig.shelf.bundle("A.1", {BIOS: "1.0.0"})))
    return rig


def bundle(rig: Rig) -> Bundle:
    """A.2."""
    return rig.shelf.bundle("A.2", {BIOS: "2.0.0"})


def play(rig: Rig, then: Mapping[float, Event | Callable[[], object]]) -> RolloutState:
    """Roll A.2 out; at the seconds named another process writes to the journal, or something befalls the rack."""
    wanted = bundle(rig)

    async def meanwhile() -> None:
        begun = rig.clock.monotonic()
        for seconds, what in sorted(then.items(), key=lambda each: each[0]):
            await rig.clock.sleep(begun + seconds - rig.clock.monotonic())
            if callable(what):
                what()
            else:
                await rig.journal.append(what)

    async def whole() -> RolloutState:
        await rig.start(wanted)
        others = asyncio.ensure_future(meanwhile())
        state = await rig.orchestrator().run_rollout(ROLLOUT)
        others.cancel()
        return state

    return rig.clock.run(whole())


def when(rig: Rig, kind: type[Event], **fields: object) -> float:
    """When the first event of a kind was written, in seconds from the beginning."""
    recorded = list(rig.journal.events())
    begin = recorded[0].at
    for each in recorded:
        if isinstance(each.event, kind) and all(getattr(each.event, name) == value for name, value in fields.items()):
            return each.at - begin
    message = f"no {kind.__name__} {fields}"
    raise AssertionError(message)


def test_a_pause_lets_what_has_begun_end_and_holds_the_next_wave(rig: Rig) -> None:
    """Paused while the canary is written; the canary comes to its end, the others begin once it goes on."""
    state = play(rig, {10.0: RolloutPaused(ROLLOUT, "lunch", "me"), 4000.0: RolloutContinued(ROLLOUT, "me")})
    assert_settled(rig, state)

    assert RolloutResult.DONE is state.finished.result  # type: ignore[union-attr]  # it is over
    assert 4000.0 <= when(rig, WaveStarted, wave=1) <= 4000.0 + CANARY.watch
    assert "paused by me: lunch" == next(e.event.why for e in rig.journal.events() if isinstance(e.event, RolloutWaits))


def test_a_pause_before_a_node_begins_holds_that_node(rig: Rig) -> None:
    """Nothing is written while it stands."""
    state = play(rig, {0.0: RolloutPaused(ROLLOUT, "lunch", "me"), 500.0: RolloutContinued(ROLLOUT, "me")})

    assert when(rig, Intended) >= 500.0
    assert {NodeResult.ON_NEW} == set(results(state).values())


def test_a_wave_waits_for_its_approval(rig: Rig) -> None:
    """After the canary nothing begins before somebody says so; who did is on record."""
    rig.policy = evolve(CANARY, approval="after-canary")
    state = play(rig, {3000.0: WaveApproved(ROLLOUT, 1, "boss")})

    assert 3000.0 <= when(rig, WaveStarted, wave=1) <= 3000.0 + CANARY.watch
    assert {NodeResult.ON_NEW} == set(results(state).values())


def test_a_wave_is_watched_before_the_next_begins_and_so_is_the_last(rig: Rig) -> None:
    """The soak is kept after each wave, and the rollout is done only after the last one's."""
    rig.policy = evolve(CANARY, soak=600.0)
    state = play(rig, {})
    ends = [e.at for e in rig.journal.events() if type(e.event).__name__ == "NodeFinished"]
    begun = next(iter(rig.journal.events())).at

    assert when(rig, WaveStarted, wave=1) >= ends[0] - begun + 600.0
    assert state.finished_at is not None
    assert state.finished_at >= max(ends) + 600.0


def test_a_canary_that_dies_while_it_is_watched_is_rolled_back_and_stops_the_rollout(rig: Rig) -> None:
    """It was on the new bundle and well; what falls ill now counts as the bundle's, and no other node is touched."""
    rig.policy = evolve(CANARY, soak=1200.0)
    canary = rig.rack.machine(rig.nodes[0])
    state = play(rig, {400.0: lambda: canary.inject(HostDead())})

    assert RolloutResult.STOPPED is state.finished.result  # type: ignore[union-attr]  # it is over
    assert "the canary r1n01 is rolled-back" in state.finished.reason  # type: ignore[union-attr]  # as above
    assert "A.1" == rig.assigned(rig.nodes[0])
    assert [] == [*writes(rig, rig.nodes[1]), *writes(rig, rig.nodes[2])]


def test_work_begins_within_the_window_and_a_roll_back_waits_for_none(rig: Rig) -> None:
    """The first image goes out when the window opens; what fails in it is brought back, open or not."""
    now = datetime.fromtimestamp(rig.clock.now(), UTC)
    opens = (now.hour + 2) % 24
    rig.policy = evolve(CANARY, window=f"{opens:02d}:00-{(opens + 1) % 24:02d}:00 UTC")
    state = play(rig, {})
    first = rig.clock.now()

    assert {NodeResult.ON_NEW} == set(results(state).values())
    intents = [each.at for each in rig.journal.events() if isinstance(each.event, Intended)]
    assert opens == datetime.fromtimestamp(min(intents), UTC).hour
    assert first > min(intents)


def test_an_abort_ends_once_what_has_begun_has_ended(rig: Rig) -> None:
    """The canary's write is not cut off; no other node is touched, and the rollout blocks nobody any more."""
    state = play(rig, {10.0: RolloutAborted(ROLLOUT, "wrong bundle", "me")})

    assert RolloutResult.ABORTED is state.finished.result  # type: ignore[union-attr]  # it is over
    assert [NodeResult.ON_NEW, NodeResult.NOT_STARTED, NodeResult.NOT_STARTED] == list(results(state).values())
    assert 1 == len(writes(rig, rig.nodes[0]))
    assert [] == [*writes(rig, rig.nodes[1]), *writes(rig, rig.nodes[2])]
    assert () == rig.logbook().ledger.unfinished()


def test_an_abort_at_once_leaves_a_write_that_is_finished_later_and_never_done_twice(rig: Rig) -> None:
    """The rollout is over while the BMC still writes; whoever goes on with the node finds out what became of it."""
    state = play(rig, {10.0: RolloutAborted(ROLLOUT, "fire", "me", now=True)})
    ended = rig.clock.now()
    left = rig.logbook().node(rig.nodes[0])

    assert RolloutResult.ABORTED is state.finished.result  # type: ignore[union-attr]  # it is over
    assert left.attempt is not None
    rig.clock.run(rig.orchestrator().finish((rig.nodes[0],), Lineage("A"), rig.policy))
    assert rig.clock.now() > ended
    assert rig.logbook().node(rig.nodes[0]).attempt is None
    assert 1 == len(writes(rig, rig.nodes[0]))


def test_a_bundle_that_is_withdrawn_goes_to_no_further_wave(rig: Rig) -> None:
    """The canary keeps it; nobody else is given it, and the rollout says why it ended."""
    rig.forward = lambda each: Stop(f"{each} was withdrawn by its publisher") if rig.clock.monotonic() > 60 else GoOn()
    state = play(rig, {})

    assert RolloutResult.STOPPED is state.finished.result  # type: ignore[union-attr]  # it is over
    assert "A.2 was withdrawn by its publisher" == state.finished.reason  # type: ignore[union-attr]  # as above
    assert ["A.2", "A.1", "A.1"] == [rig.assigned(node) for node in rig.nodes]
    assert not writes(rig, rig.nodes[1])


def test_a_wave_waits_until_it_is_known_whether_its_bundle_may_still_go_out(rig: Rig) -> None:
    """Nobody answers for an hour who could say so."""
    ago = rig.clock.monotonic()
    rig.forward = lambda _: Wait("the registry is away") if 60 < rig.clock.monotonic() - ago < 3600 else GoOn()
    state = play(rig, {})

    assert 3600.0 <= when(rig, WaveStarted, wave=1) <= 3600.0 + CANARY.watch
    assert {NodeResult.ON_NEW} == set(results(state).values())


def test_an_abort_with_roll_back_brings_what_is_done_back_wave_by_wave(rig: Rig) -> None:
    """Aborted in the last wave: what is under way ends first, then each wave goes back, the last first."""
    rig.policy = evolve(CANARY, waves=2)
    state = play(rig, {250.0: RolloutAborted(ROLLOUT, "it hangs", "me", roll_back=True)})
    asked = [e.event.node for e in rig.journal.events() if isinstance(e.event, RecoveryRequested)]

    assert RolloutResult.ABORTED is state.finished.result  # type: ignore[union-attr]  # it is over
    assert [NodeResult.ROLLED_BACK, NodeResult.ROLLED_BACK, NodeResult.NOT_STARTED] == list(results(state).values())
    assert [rig.nodes[1], rig.nodes[0]] == asked
    assert ["A.1"] * 3 == [rig.assigned(node) for node in rig.nodes]
    assert [] == writes(rig, rig.nodes[2])
    assert_never_twice(rig)


@pytest.mark.parametrize("later", [1, 5, 9, 20, 40, 60])
def test_a_killed_abort_with_roll_back_is_gone_on_with(rig: Rig, later: int) -> None:
    """The rollout is not over before all are back, so that whoever resumes it brings back the rest."""

    def kill() -> None:
        rig.reaper._kill_at = frozenset({len(rig.reaper.points) + later})

    with pytest.raises(Killed):
        play(rig, {250.0: RolloutAborted(ROLLOUT, "it hangs", "me", roll_back=True), 250.1: kill})
    rig.reaper.revive()
    state = rig.clock.run(rig.orchestrator().run_rollout(ROLLOUT))

    assert RolloutResult.ABORTED is state.finished.result  # type: ignore[union-attr]  # it is over
    assert ["A.1"] * 3 == [rig.assigned(node) for node in rig.nodes]
    assert_never_twice(rig)


def test_an_abort_calls_off_what_waits_to_be_let_begin(rig: Rig) -> None:
    """The canary is held before anything is sent to it: the rollout ends at once, and the hold's end begins nothing."""
    held = Held(rig.nodes[0], "memory is swapped", "me")
    abort = RolloutAborted(ROLLOUT, "wrong bundle", "me")
    state = play(rig, {0.0: held, 500.0: abort, 2000.0: Unheld(rig.nodes[0], "me")})

    assert RolloutResult.ABORTED is state.finished.result  # type: ignore[union-attr]  # it is over
    assert {NodeResult.NOT_STARTED} == set(results(state).values())
    assert [] == writes(rig, rig.nodes[0])
    assert not rig.logbook().node(rig.nodes[0]).is_open


def test_a_pause_keeps_what_waits_to_be_let_begin_from_beginning(rig: Rig) -> None:
    """Held, paused, and no longer held: the canary begins once the rollout goes on, and is written once."""
    held, free = Held(rig.nodes[0], "memory is swapped", "me"), Unheld(rig.nodes[0], "me")
    pause, on = RolloutPaused(ROLLOUT, "lunch", "me"), RolloutContinued(ROLLOUT, "me")
    state = play(rig, {0.0: held, 500.0: pause, 700.0: free, 3000.0: on})

    assert when(rig, Intended) >= 3000.0
    assert {NodeResult.ON_NEW} == set(results(state).values())
    assert_never_twice(rig)


def test_what_waited_through_its_window_begins_in_the_next_one(rig: Rig) -> None:
    """Held while the window was open, it does not begin when the hold ends outside of it."""
    now = datetime.fromtimestamp(rig.clock.now(), UTC)
    rig.policy = evolve(CANARY, window=f"{now.hour:02d}:00-{(now.hour + 1) % 24:02d}:00 UTC")
    free = Unheld(rig.nodes[0], "me")
    play(rig, {0.0: Held(rig.nodes[0], "memory is swapped", "me"), 2 * 3600.0: free})
    begun = min(each.at for each in rig.journal.events() if isinstance(each.event, Intended))

    assert now.hour == datetime.fromtimestamp(begun, UTC).hour
    assert begun > now.timestamp() + 20 * 3600


def test_what_an_abort_at_once_left_before_anything_was_sent_is_not_begun_later(rig: Rig) -> None:
    """The process is killed, the rollout ended: who tidies up calls the node's attempt off."""
    held = Held(rig.nodes[0], "memory is swapped", "me")
    play(rig, {0.0: held, 500.0: RolloutAborted(ROLLOUT, "fire", "me", now=True)})
    rig.clock.run(rig.journal.append(Unheld(rig.nodes[0], "me")))
    rig.clock.run(rig.orchestrator().finish((rig.nodes[0],), Lineage("A"), rig.policy))

    assert not rig.logbook().node(rig.nodes[0]).is_open
    assert [] == writes(rig, rig.nodes[0])


def test_a_rollout_that_is_aborted_waits_for_no_approval(rig: Rig) -> None:
    """What it waited for is not told any more, nor that it is under way."""
    rig.policy = evolve(CANARY, approval="each-wave")
    rig.clock.run(rig.start(bundle(rig)))
    rig.clock.run(rig.journal.append(RolloutWaits(ROLLOUT, "wave 0 waits for approval")))
    rig.clock.run(rig.journal.append(RolloutAborted(ROLLOUT, "wrong week", "me")))
    report = RolloutReport(rig.logbook().ledger.rollouts[ROLLOUT])

    assert "" == report.waits
    assert "Rollout roll1 of A.2: being aborted;" in str(report)


@pytest.mark.parametrize("word", [Held, Quarantined])
def test_an_abort_with_roll_back_leaves_what_nobody_may_touch_and_says_so(rig: Rig, word: type[Held]) -> None:
    """The canary is done, then held or in quarantine: the others go back, and the rollout ends."""
    said = {Held: Held(rig.nodes[0], "memory is swapped", "me"), Quarantined: Quarantined(rig.nodes[0], ("smoke",))}
    abort = RolloutAborted(ROLLOUT, "it hangs", "me", roll_back=True)
    rig.policy = evolve(CANARY, waves=2)
    state = play(rig, {248.0: said[word], 250.0: abort})

    assert RolloutResult.ABORTED is state.finished.result  # type: ignore[union-attr]  # it is over
    assert "left on A.2: r1n01" in state.finished.reason  # type: ignore[union-attr]  # as above
    assert ["A.2", "A.1", "A.1"] == [rig.assigned(node) for node in rig.nodes]
    assert 1 == len(writes(rig, rig.nodes[0]))
