"""Single decisions of a turn, each a hole that a rack could fall into."""

from __future__ import annotations

import itertools

import pytest
from attrs import evolve

from rackwave.core.attempt import Attempt
from rackwave.core.decision import Act, Decision, Finish, Resolve, Situation, Wait
from rackwave.core.event import AttemptResult, Outcome
from rackwave.core.finding import Holding
from rackwave.core.goal import Cause
from rackwave.core.look import full_look
from rackwave.core.observation import NOT_ASKED, Health, Lack, Observation, Post, Power, TaskPhase, TaskSeen, Unknown
from rackwave.core.policy import Policy
from rackwave.core.receipt import Ambiguous, Receipt, Refused
from rackwave.core.step import StageSettings
from rackwave.core.turn import decide
from values import (
    BIOS,
    BMC,
    NODE,
    SILENT,
    attempt,
    bios_settings,
    bmc_reset,
    bundle,
    goal,
    host_reset,
    image,
    record,
    running,
    taken,
    well,
    write,
)

POLICY = Policy()
A1, A2 = bundle("A.1", image(BIOS, "1")), bundle("A.2", image(BIOS, "2"))
OLD, NEW = well({BIOS: "1"}), well({BIOS: "2"})
NOTHING = Holding(0, whole=False)
LOST = Ambiguous("no answer")
BEGUN = goal(A2)


def turn(
    begun: Attempt, seen: Observation, now: float, *, holding: Holding | None = NOTHING, since: float = 0.0
) -> Decision:
    """Decide for *begun* toward A.2, or toward A.1 where that is its goal."""
    to = A2 if begun.goal.bundle == A2.id else A1
    return decide(Situation(NODE, begun, to, POLICY, now, seen, holding, since))


def what(decision: Decision) -> str:
    """Return the decision's kind, with its result or step where it has one."""
    match decision:
        case Finish(result, _):
            return f"Finish {result}"
        case Act(step):
            return f"Act {type(step).__name__}"
        case Resolve(number, outcome, _):
            return f"Resolve {number} {outcome}"
        case other:
            return type(other).__name__


WRITE = write(image(BIOS, "2"))
LOST_WRITE = record(1, WRITE, LOST)
DONE_WRITE = record(1, WRITE, taken(), outcome=Outcome.DONE)


# -- resets in doubt ---------------------------------------------------------------------------


def test_a_write_in_doubt_does_not_trust_a_reset_in_doubt() -> None:
    """The reset's request was lost: it is found out first, and no reading counts as one from after it."""
    begun = attempt(BEGUN, LOST_WRITE, record(2, host_reset(), LOST, at=100.0))

    assert "Wait" == what(turn(begun, OLD, 110.0))
    assert "Resolve 2 never-started" == what(turn(begun, OLD, 161.0))


def test_a_reset_that_never_happened_is_sent_again_for_a_write_in_doubt() -> None:
    """Once the reset is known not to have been taken, the doubt wants it again."""
    gone = record(2, host_reset(), LOST, at=100.0, outcome=Outcome.NEVER_STARTED)

    assert "Act ResetHost" == what(turn(attempt(BEGUN, LOST_WRITE, gone), OLD, 170.0))


def test_an_accepted_reset_that_is_not_seen_yet_makes_no_reading_count() -> None:
    """Between the answer to a reset and the host's going down the old boot still speaks."""
    begun = attempt(BEGUN, LOST_WRITE, record(2, host_reset(), taken(None), at=100.0))

    assert "Wait" == what(turn(begun, OLD, 102.0))
    assert "Read" == what(turn(begun, evolve(OLD, boot="boot-2"), 102.0))


def test_a_lost_answer_to_a_reset_is_seen_through_post() -> None:
    """Another boot proves the reset; memory training of ten minutes is then no failed deployment."""
    begun = attempt(BEGUN, DONE_WRITE, record(2, host_reset(), LOST, at=100.0))
    booting = evolve(OLD, boot="boot-2", post=Post.RUNNING)

    assert "Wait" == what(turn(begun, booting, 700.0))
    assert "Resolve 2 done" == what(turn(begun, evolve(NEW, boot="boot-2"), 800.0))


def test_a_bmc_reset_in_doubt_asks_for_no_post() -> None:
    """The host's POST says nothing of the BMC: the same boot of the BMC after the settle time does."""
    to = bundle("A.2", image(BMC, "2"))
    begun = attempt(
        goal(to),
        record(1, write(image(BMC, "2")), taken(), outcome=Outcome.DONE),
        record(2, bmc_reset(), LOST, at=100.0),
    )
    seen = well({BMC: "1"}, post=Post.RUNNING)

    assert "Resolve 2 never-started" == what(decide(Situation(NODE, begun, to, POLICY, 161.0, seen)))


def test_a_reset_in_doubt_does_not_wait_for_ever_for_a_post_that_nobody_tells() -> None:
    """A BMC without BootProgress ends with a person, not in a circle."""
    begun = attempt(BEGUN, DONE_WRITE, record(2, host_reset(SILENT), LOST, at=100.0))
    seen = evolve(OLD, post=SILENT, boot=SILENT)

    assert "Wait" == what(turn(begun, seen, 300.0))
    assert "Finish lost" == what(turn(begun, seen, 100.0 + POLICY.unknown_timeout + 1))


def test_a_bmc_that_marks_no_boots_is_given_the_settle_time() -> None:
    """Without LastResetTime a completed POST right after the reset may be the one from before it (P49)."""
    toward = goal(A1, Cause.RESEND, reassert=frozenset({BIOS}))
    begun = attempt(
        toward,
        record(1, write(image(BIOS, "1")), taken(), outcome=Outcome.DONE),
        record(2, host_reset(SILENT), taken(None), at=100.0),
    )
    seen = evolve(OLD, boot=SILENT)

    assert "Wait" == what(turn(begun, seen, 102.0))
    assert "Resolve 2 done" == what(turn(begun, seen, 161.0))


@pytest.mark.parametrize("begun", [attempt(BEGUN, LOST_WRITE), attempt(BEGUN, DONE_WRITE)])
def test_no_reset_into_a_running_post(begun: Attempt) -> None:
    """POST may be applying an image, ours or a stranger's: it is waited for, as long as it may take."""
    seen = evolve(OLD, post=Post.RUNNING)

    assert "Wait" == what(turn(begun, seen, 70.0))


def test_no_bmc_reset_into_a_running_post() -> None:
    """The BMC has its part in what POST applies (P15)."""
    to = bundle("A.2", image(BMC, "2"))
    begun = attempt(goal(to), record(1, write(image(BMC, "2")), LOST))
    seen = well({BMC: "1"}, post=Post.RUNNING)

    assert "Wait" == what(decide(Situation(NODE, begun, to, POLICY, 70.0, seen, NOTHING)))
    assert "Act ResetBmc" == what(
        decide(Situation(NODE, begun, to, POLICY, 70.0, evolve(seen, post=Post.COMPLETE), NOTHING))
    )


def test_a_recovery_lets_a_running_post_end_before_it_restarts() -> None:
    """A restart that cut POST short could spoil the image it applies."""
    begun = attempt(goal(A1, Cause.RESTART, restart=True, writes=False))
    starting = evolve(OLD, post=Post.RUNNING)

    assert "Wait" == what(turn(begun, starting, 5.0))
    assert "Act ResetHost" == what(turn(begun, starting, POLICY.reset_timeout + 1))
    assert "Act ResetHost" == what(turn(begun, evolve(OLD, post=Post.FAILED), 5.0))


@pytest.mark.parametrize(("receipt", "outcome"), [(Refused("changing", 5.0), None), (LOST, Outcome.NEVER_STARTED)])
def test_a_restart_that_was_not_taken_is_sent_again(receipt: Receipt, outcome: Outcome | None) -> None:
    """A reset that was refused for now, or provably never arrived, is no restart."""
    begun = attempt(
        goal(A1, Cause.RESTART, restart=True, writes=False), record(1, host_reset(), receipt, outcome=outcome)
    )

    assert "Act ResetHost" == what(turn(begun, evolve(OLD, post=Post.FAILED, health=Health.CRITICAL), 20.0))


def test_no_reset_while_a_write_runs() -> None:
    """A running task, whoever's, holds back the activating reset."""
    assert "Wait" == what(turn(attempt(BEGUN, DONE_WRITE), evolve(OLD, tasks=(running(),)), 70.0))


# -- patience ------------------------------------------------------------------------------------


def test_time_in_which_nobody_looked_is_no_patience_spent() -> None:
    """After an outage of ours of two hours, one silent look does not condemn the node; ten minutes of them do."""
    silent = Observation.blank(7200.0, "no answer", full_look(A2))
    begun = attempt(BEGUN)

    assert "Wait" == what(turn(begun, silent, 7200.0, since=7200.0))
    assert "Finish lost" == what(turn(begun, silent, 7801.0, since=7200.0))


def test_a_post_that_began_in_our_absence_is_given_its_time() -> None:
    """The reset's deadline does not run while no orchestrator does."""
    begun = attempt(BEGUN, DONE_WRITE, record(2, host_reset(), taken(None), at=10.0))
    booting = evolve(OLD, boot="boot-2", post=Post.RUNNING)

    assert "Wait" == what(turn(begun, booting, 7200.0, since=7200.0))
    assert "Resolve 2 done" == what(turn(begun, booting, 7200.0 + POLICY.reset_timeout + 1, since=7200.0))


def test_a_hang_in_post_is_told_as_a_restart_and_a_failure() -> None:
    """POST that never ends after our restart: that one is seen to have happened, so that the way back is not barred."""
    reset = record(2, host_reset(), taken(None), at=10.0)
    hangs = evolve(NEW, boot="boot-2", post=Post.RUNNING)
    late = 10.0 + POLICY.reset_timeout + 1

    assert "Resolve 2 done" == what(turn(attempt(BEGUN, DONE_WRITE, reset), hangs, late))
    assert "Finish ill" == what(turn(attempt(BEGUN, DONE_WRITE, evolve(reset, outcome=Outcome.DONE)), hangs, late))
    assert "Finish failed" == what(turn(attempt(BEGUN, DONE_WRITE, reset), evolve(hangs, boot=OLD.boot), late))


def test_a_restart_that_ends_in_post_for_ever_and_tells_nothing_has_failed() -> None:
    """Makes that call a hang POST that goes on: past the time that any POST takes the next rung may write (P41)."""
    restart = goal(A1, Cause.RESTART, restart=True, writes=False)
    begun = attempt(restart, record(1, host_reset(), taken(None), at=10.0, outcome=Outcome.DONE))
    hangs = well({BIOS: Unknown("BIOS has no Version")}, boot="boot-2", post=Post.RUNNING)
    past = 10.0 + POLICY.reset_timeout + 1
    only_now = evolve(begun, steps=(evolve(begun.steps[0], at=past, acted_at=past),))

    assert "Finish failed" == what(turn(begun, hangs, past))
    assert "Wait" == what(turn(begun, hangs, POLICY.unknown_timeout))
    assert "Finish lost" == what(turn(only_now, hangs, past + POLICY.unknown_timeout + 11))
    assert "Finish lost" == what(turn(attempt(BEGUN), evolve(hangs, post=Post.COMPLETE), past))


def test_refusals_of_long_ago_do_not_count_against_one_of_now() -> None:
    """A write that was refused for a while and then taken says nothing of a reset that is refused once."""
    begun = attempt(
        BEGUN,
        record(1, WRITE, Refused("busy", 5.0)),
        record(2, WRITE, taken(), at=100.0, outcome=Outcome.DONE),
        record(3, host_reset(), Refused("busy", 5.0), at=2000.0),
    )

    assert "Act ResetHost" == what(turn(begun, OLD, 2006.3))


def test_a_bmc_that_refuses_for_ever_is_given_up() -> None:
    """Refusals in a row end the attempt after the busy time, and a final refusal at once."""
    refused = tuple(record(n, WRITE, Refused("busy", 5.0), at=10.0 * n) for n in range(1, 260))
    final = attempt(BEGUN, record(1, WRITE, Refused("no licence")))

    assert "Finish nothing-written" == what(turn(attempt(BEGUN, *refused), OLD, 2591.0))
    assert "Finish nothing-written" == what(turn(final, OLD, 5.0))


def test_refused_for_now_waits_as_long_as_the_bmc_says() -> None:
    """The next try comes after the BMC's own time, not before, and soon after it."""
    begun = attempt(BEGUN, record(1, WRITE, Refused("busy", 30.0)))
    decision = turn(begun, OLD, 10.0)

    assert isinstance(decision, Wait)
    assert "the BMC said to come back: busy" == decision.why
    assert 20.0 <= decision.seconds <= 27.5
    assert "Wait" == what(turn(begun, OLD, 29.9))
    assert "Act WriteImage" == what(turn(begun, OLD, 10.0 + decision.seconds))


def test_a_write_that_is_refused_for_half_a_day_is_sent_more_and_more_seldom() -> None:
    """A BMC that names no time is asked after 10 s at first, then once a minute, until the busy time is over (P23)."""
    sent = [0.0]
    while isinstance(decision := _refused_on(sent), (Act, Wait)):
        sent.append(sent[-1] + decision.seconds if isinstance(decision, Wait) else sent[-1])
    gaps = [after - before for before, after in itertools.pairwise(sent)]

    assert "Finish nothing-written" == what(decision)
    assert sent[-1] >= POLICY.busy_timeout
    assert len(sent) < 60
    assert min(gaps) >= 10.0
    assert max(gaps) <= 75.0


def _refused_on(sent: list[float]) -> Decision:
    """Decide just after the refusal of the last write, each of *sent* having been refused."""
    begun = attempt(BEGUN, *(record(n, WRITE, Refused("in use", 10.0), at=at) for n, at in enumerate(sent, 1)))
    return turn(begun, OLD, sent[-1] + 0.01)


def test_a_strangers_task_is_waited_for_and_not_for_ever() -> None:
    """Nothing is written over somebody else's update; after the busy time the attempt ends unharmed."""
    busy = evolve(OLD, tasks=(running(),))

    assert "Wait" == what(turn(attempt(BEGUN), busy, 1000.0))
    assert "Finish nothing-written" == what(turn(attempt(BEGUN), busy, POLICY.busy_timeout + 1))


def test_a_bmc_without_a_session_for_us_is_waited_for_until_those_of_others_have_expired() -> None:
    """Sessions that others left open expire after half an hour (P26); silence is not waited for as long."""
    full = evolve(OLD, tasks=Unknown("no session left", Lack.BUSY))
    silent = evolve(OLD, tasks=Unknown("no answer", Lack.AWAY))

    assert "Wait" == what(turn(attempt(BEGUN), full, 1900.0))
    assert "Finish lost" == what(turn(attempt(BEGUN), full, POLICY.busy_timeout + 1))
    assert "Finish lost" == what(turn(attempt(BEGUN), silent, 1900.0))


# -- who is to blame ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "result"), [((), "dead"), ((DONE_WRITE,), "failed"), ((record(1, WRITE, Refused("no", 1.0)),), "dead")]
)
def test_a_host_that_dies_after_we_began_counts_as_the_bundles(steps: tuple[object, ...], result: str) -> None:
    """Found dead before anything was sent: its own failure; afterwards, undecided counts as the bundle's."""
    dead = evolve(OLD, post=Post.FAILED, health=Health.CRITICAL)

    assert f"Finish {result}" == what(turn(evolve(attempt(BEGUN), steps=steps), dead, 70.0))


def test_a_version_that_cannot_be_read_after_its_reset_is_not_the_old_one() -> None:
    """One that still tells the old version ends it; of a silent one it is the BMC that is restarted first (P15)."""
    begun = attempt(BEGUN, DONE_WRITE, record(2, host_reset(), taken(None), at=100.0, outcome=Outcome.DONE))
    late = 100.0 + POLICY.effect_timeout + 1

    assert "Resolve 1 failed" == what(turn(begun, evolve(OLD, boot="boot-2"), late))
    assert "Act ResetBmc" == what(turn(begun, well({BIOS: SILENT}, boot="boot-2"), late))


def test_success_needs_a_restart_that_was_seen() -> None:
    """The new version in the inventory and a POST that is still running are no success (P49)."""
    begun = attempt(BEGUN, DONE_WRITE, record(2, host_reset(), taken(None), at=100.0))

    assert "Wait" == what(turn(begun, evolve(NEW, boot="boot-2", post=Post.RUNNING), 130.0))
    assert "Finish level" == what(
        turn(
            attempt(BEGUN, DONE_WRITE, record(2, host_reset(), taken(None), at=100.0, outcome=Outcome.DONE)),
            evolve(NEW, boot="boot-2"),
            130.0,
        )
    )


# -- writes in doubt ------------------------------------------------------------------------------


def test_a_vanished_task_proves_nothing() -> None:
    """Neither success nor failure: the component and the other tasks are looked at, and the write's time is waited."""
    begun = attempt(BEGUN, record(1, WRITE, taken()))
    gone = evolve(OLD, task=TaskSeen("/tasks/1", TaskPhase.VANISHED))

    assert "See" == what(turn(begun, evolve(gone, tasks=NOT_ASKED), 5.0))
    assert "Wait" == what(turn(begun, gone, 5.0))
    assert "Act ResetHost" == what(turn(begun, gone, 601.0))


def test_an_image_that_is_being_fetched_is_given_the_writes_time() -> None:
    """A BMC that began to fetch may be slow: it is not reset, nor the write called never begun, after a minute."""
    begun = attempt(BEGUN, LOST_WRITE)

    assert "Wait" == what(turn(begun, OLD, 61.0, holding=Holding(1, whole=False)))
    assert "Act ResetHost" == what(turn(begun, OLD, 61.0, holding=NOTHING))
    assert "Act ResetHost" == what(turn(begun, OLD, 601.0, holding=Holding(1, whole=False)))


AGAIN = goal(A1, Cause.ROLLBACK, reassert=frozenset({BIOS}))
RESTARTED = record(2, host_reset(), taken(None), at=100.0)
TWICE = ((110.0, "1"), (121.0, "1"))


def test_a_lost_reassertion_is_not_done_because_the_version_was_right_before() -> None:
    """Its request never arrived and the image was never fetched: never begun, whatever the inventory says."""
    lost = record(1, write(image(BIOS, "1"), "1"), LOST, readings=TWICE)
    seen = evolve(OLD, boot="boot-2")

    assert "Resolve 1 never-started" == what(turn(attempt(AGAIN, lost, RESTARTED), seen, 130.0))
    assert "Resolve 1 done" == what(
        turn(attempt(AGAIN, lost, evolve(RESTARTED, acted_at=700.0)), seen, 760.0, holding=Holding(1, whole=True))
    )


def test_a_lost_write_over_the_unreadable_is_not_done_because_a_version_shows_up() -> None:
    """Where nobody knew the version before, its being right proves nothing without the image having been fetched."""
    lost = record(1, write(image(BIOS, "1"), ""), LOST)

    assert "Wait" == what(turn(attempt(AGAIN, lost), OLD, 30.0))


@pytest.mark.parametrize(
    ("now", "holding", "readings", "expected"),
    [
        (30.0, NOTHING, (), "Wait"),
        (61.0, NOTHING, (), "Act ResetHost"),
        (61.0, Holding(1, whole=True), (), "Wait"),
        (601.0, Holding(1, whole=True), (), "Act ResetHost"),
    ],
)
def test_a_write_in_doubt_waits_then_resets(
    now: float, holding: Holding, readings: tuple[object, ...], expected: str
) -> None:
    """The settle time where the image was never fetched, the write's own limit where it was; then one reset."""
    assert expected == what(turn(attempt(BEGUN, LOST_WRITE), OLD, now, holding=holding))


@pytest.mark.parametrize(
    ("now", "readings", "holding", "expected"),
    [
        (110.0, (), NOTHING, "Read"),
        (115.0, ((110.0, "1"),), NOTHING, "Wait"),
        (121.0, ((110.0, "1"),), NOTHING, "Read"),
        (122.0, TWICE, NOTHING, "Resolve 1 never-started"),
        (122.0, ((50.0, "1"), (60.0, "1")), NOTHING, "Read"),
    ],
)
def test_two_readings_from_after_the_reset_are_needed(
    now: float, readings: tuple[tuple[float, str], ...], holding: Holding, expected: str
) -> None:
    """Two fresh readings of the old version, apart in time and after the reset, show that it never began."""
    begun = attempt(BEGUN, evolve(LOST_WRITE, readings=readings), RESTARTED)

    assert expected == what(turn(begun, evolve(OLD, boot="boot-2"), now, holding=holding))


def test_a_whole_image_without_an_effect_needs_a_person() -> None:
    """The BMC had it all, no task tells, and the old version is still there: nobody can know."""
    late = ((710.0, "1"), (721.0, "1"))
    begun = attempt(BEGUN, evolve(LOST_WRITE, readings=late), evolve(RESTARTED, at=650.0, acted_at=650.0))
    decision = turn(begun, evolve(OLD, boot="boot-2"), 730.0, holding=Holding(1, whole=True))

    assert isinstance(decision, Finish)
    assert AttemptResult.LOST is decision.result
    assert "BIOS: the BMC had the whole image, no task tells, and BIOS still reports 1" == decision.evidence[0]


def test_a_failed_write_is_not_repeated_within_its_attempt() -> None:
    """A second write of one digest belongs to another attempt."""
    begun = attempt(BEGUN, evolve(DONE_WRITE, outcome=Outcome.FAILED, evidence="broke off"))

    assert Finish(AttemptResult.FAILED, ("BIOS: broke off",)) == turn(begun, OLD, 70.0)


def test_an_attempt_that_staged_settings_left_the_node_changed() -> None:
    """Settings that wait for a restart are a change: such an attempt does not end as if nothing was written."""
    to = bundle("A.2", bios_settings({"BootMode": "Bios"}), image(BIOS, "2", accepts=("9",)))
    staged = record(1, StageSettings("settings", {"BootMode": "Bios"}, {"BootMode": "Uefi"}), taken(None))
    seen = well({BIOS: "1"}, settings={"BootMode": "Uefi"}, staged_settings={"BootMode": "Bios"})

    assert "Finish failed" == what(decide(Situation(NODE, attempt(goal(to), staged), to, POLICY, 5.0, seen)))


def test_a_bmc_that_just_came_back_is_not_trusted_at_once() -> None:
    """One good answer after a BMC reset proves nothing (P36)."""
    to = bundle("A.2", image(BMC, "2"))
    begun = attempt(
        goal(to),
        record(1, write(image(BMC, "2")), taken(), outcome=Outcome.DONE),
        record(2, bmc_reset(), taken(None), at=100.0, outcome=Outcome.DONE),
    )

    assert "Wait" == what(decide(Situation(NODE, begun, to, POLICY, 105.0, well({BMC: "2"}, bmc_boot="bmc-2"))))


@pytest.mark.parametrize(("more", "now"), [({"post": Post.FAILED}, 110.0), ({"post": Post.RUNNING}, 1301.0)])
def test_a_host_that_does_not_come_up_does_not_hide_that_a_write_never_began(
    more: dict[str, object], now: float
) -> None:
    """What the BMC never fetched, no POST can apply: the readings count, and the write may be tried again."""
    begun = attempt(BEGUN, LOST_WRITE, RESTARTED)

    assert "Read" == what(turn(begun, evolve(OLD, boot="boot-2", **more), now))


def test_a_host_that_goes_off_again_is_not_waited_for_like_one_in_post() -> None:
    """No power cycle lasts longer than the settle time."""
    begun = attempt(goal(A1, Cause.RESTART, restart=True, writes=False), record(1, host_reset(), taken(None), at=100.0))
    off = evolve(OLD, boot="boot-2", post=Post.NOT_RUNNING, power=Power.OFF)

    assert "Wait" == what(turn(begun, off, 130.0))
    assert "Resolve 1 done" == what(turn(begun, off, 161.0))
