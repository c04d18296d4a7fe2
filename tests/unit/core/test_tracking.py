"""What becomes of a write, by table: the task is one witness, and the component speaks beside it."""

from __future__ import annotations

import pytest
from attrs import evolve

from rackwave.core.attempt import Attempt, StepRecord
from rackwave.core.decision import Act, Decision, Finish, Resolve, Situation
from rackwave.core.effect import of_missing
from rackwave.core.event import AttemptResult, Outcome
from rackwave.core.finding import Ended, Finding, Holding, Open
from rackwave.core.observation import NOT_ASKED, Component, Health, Observation, Post, TaskPhase, TaskSeen, Unknown
from rackwave.core.policy import Policy
from rackwave.core.receipt import Accepted, Ambiguous, Receipt, Refused
from rackwave.core.step import StartUpdate
from rackwave.core.tracking import follow, tied_task
from rackwave.core.turn import decide
from values import (
    BIOS,
    BMC,
    NODE,
    attempt,
    bmc_reset,
    bundle,
    goal,
    host_reset,
    image,
    record,
    taken,
    well,
    write,
)

POLICY = Policy()
A2 = bundle("A.2", image(BIOS, "2"))
BEGUN = goal(A2)
WRITE = write(image(BIOS, "2"))
OWN = write(image(BMC, "2"))
HIDDEN = Unknown("this BMC does not tell what is staged")
FAILED = TaskSeen("/tasks/1", TaskPhase.FAILED, 100, "programming failed")
BROKE_OFF = evolve(FAILED, percent=40)
DONE = TaskSeen("/tasks/1", TaskPhase.DONE, 100)
RUNNING = TaskSeen("/tasks/1", TaskPhase.RUNNING, 10)
SCHEDULED = TaskSeen("/tasks/1", TaskPhase.STAGED, 100, "scheduled")
VERIFIED = evolve(DONE, held=True)
UPDATE = TaskSeen("/tasks/2", TaskPhase.RUNNING, 10)
UPDATED = evolve(UPDATE, phase=TaskPhase.DONE)
LATE = 700.0


def seen(installed: str | Unknown = "1", staged: str | Unknown | None = None, **more: object) -> Observation:
    """Return a healthy host whose BIOS and BMC read *installed* and have *staged*."""
    world = well({BIOS: installed, BMC: installed}, **more)
    return evolve(world, components={name: Component(name, installed, staged) for name in (BIOS, BMC)})


def case(
    world: Observation,
    *,
    receipt: Receipt | None = Accepted("/tasks/1"),  # noqa: B008 - frozen
    now: float = 30.0,
    after: tuple[StepRecord, ...] = (),
    step: object = WRITE,
    holding: Holding | None = None,
    outcome: Outcome | None = None,
) -> Open:
    """Return a write of which *world* is seen at *now*."""
    made = record(1, step, receipt, outcome=outcome)  # type: ignore[arg-type]  # any flash
    return Open(made, step, attempt(BEGUN, made, *after), world, POLICY, now, holding=holding)  # type: ignore[arg-type]


def told(finding: Finding | None) -> str:
    """Return a finding's kind, with its outcome where it has one."""
    match finding:
        case Ended(outcome, _):
            return str(outcome)
        case None:
            return "-"
        case other:
            return type(other).__name__


RESTARTED = (record(2, host_reset(), taken(None), at=100.0, outcome=Outcome.DONE),)


@pytest.mark.parametrize(
    ("task", "world", "expected"),
    [
        # P16, an error though it took: the version, or what is staged, decides against the task.
        (FAILED, seen("2"), "done"),
        (FAILED, seen("1", "2"), "done"),
        (FAILED, seen("1", None), "failed"),
        (FAILED, seen("3", None), "failed"),
        (FAILED, seen(Unknown("null")), "failed"),
        # Where nothing shows what waits, the restart does; but not into what may be broken.
        (FAILED, seen("1", HIDDEN), "WantsReset"),
        (evolve(FAILED, percent=None), seen("1", HIDDEN), "WantsReset"),
        (BROKE_OFF, seen("1", HIDDEN), "failed"),
        (FAILED, seen("1", HIDDEN, health=Health.CRITICAL), "failed"),
        (FAILED, seen("1", HIDDEN, health=Unknown("not told")), "failed"),
        (FAILED, seen("1", HIDDEN, tasks=(UPDATE,)), "StillOpen"),
        (FAILED, seen("1", tasks=NOT_ASKED), "WantsLook"),
        (evolve(FAILED, transfer_failed=True), seen("1"), "never-started"),
        # P07, P11, P01 to P03.
        (SCHEDULED, seen("1"), "staged"),
        (RUNNING, seen("1"), "StillOpen"),
        (evolve(RUNNING, phase=TaskPhase.VANISHED), seen("1"), "-"),
        (Unknown("no answer"), seen("1"), "StillOpen"),
    ],
)
def test_a_task_and_its_component(task: TaskSeen | Unknown, world: Observation, expected: str) -> None:
    """No task's word ends a write against what the component shows."""
    assert expected == told(follow(case(world), task))


@pytest.mark.parametrize(
    ("world", "now", "expected"),
    [
        (seen("1", HIDDEN, boot="boot-2", post=Post.RUNNING), 110.0, "StillOpen"),
        (seen("1", HIDDEN, boot="boot-2"), 110.0, "StillOpen"),
        (seen("1", HIDDEN, boot="boot-2"), 161.0, "failed"),
        (seen("2", HIDDEN, boot="boot-2"), 110.0, "done"),
        (seen("1", HIDDEN, boot="boot-2", post=Post.RUNNING), 1301.0, "failed"),
    ],
)
def test_a_failure_after_its_restart(world: Observation, now: float, expected: str) -> None:
    """After the restart the version is there, or the failure stands; a POST that never ends is no reason to wait on."""
    resetting = (record(2, host_reset(), taken(None), at=100.0),)

    assert expected == told(follow(case(world, now=now, after=resetting), FAILED))


@pytest.mark.parametrize(
    ("world", "expected"),
    [
        (seen("1"), "GiveUp"),
        (seen("2"), "done"),
        (seen("2", post=Post.RUNNING), "GiveUp"),
        (seen(Unknown("null")), "GiveUp"),
        (seen("1", tasks=NOT_ASKED), "WantsLook"),
    ],
)
def test_a_stuck_task(world: Observation, expected: str) -> None:
    """P11: past its time the component decides: the version there and POST through is done, all else a person's."""
    assert expected == told(follow(case(world, now=LATE), RUNNING))


def test_a_job_of_the_bmc_itself_may_only_pass_through_scheduled() -> None:
    """For a write that wants no host reset, Scheduled counts once it has lasted the settle time."""
    assert "StillOpen" == told(follow(case(seen("1"), step=OWN), SCHEDULED))
    assert "staged" == told(follow(case(seen("1"), step=OWN, now=61.0), SCHEDULED))


@pytest.mark.parametrize(
    ("task", "receipt", "tasks", "now", "expected"),
    [
        (DONE, Accepted("/tasks/1"), (), 30.0, "done"),
        (DONE, Accepted("/tasks/1", held=True), (DONE,), 30.0, "held"),
        (DONE, Ambiguous("lost", held=True), (DONE,), 30.0, "held"),
        (VERIFIED, Accepted("/tasks/1"), (VERIFIED,), 30.0, "StillOpen"),
        (VERIFIED, Accepted("/tasks/1"), (VERIFIED,), 61.0, "held"),
        (VERIFIED, Accepted("/tasks/1"), (VERIFIED, UPDATE), 30.0, "StillOpen"),
        (VERIFIED, Accepted("/tasks/1"), (VERIFIED, evolve(UPDATE, phase=TaskPhase.DONE)), 30.0, "done"),
        (VERIFIED, Accepted("/tasks/1"), (VERIFIED, evolve(UPDATE, phase=TaskPhase.FAILED)), 30.0, "failed"),
        (DONE, Accepted("/tasks/1", held=True), (VERIFIED, evolve(UPDATE, phase=TaskPhase.DONE)), 30.0, "done"),
        (VERIFIED, Accepted("/tasks/1"), NOT_ASKED, 30.0, "WantsLook"),
        (FAILED, Accepted("/tasks/1", held=True), (FAILED,), 30.0, "never-started"),
    ],
)
def test_two_tasks_for_one_upload(
    task: TaskSeen, receipt: Receipt, tasks: tuple[TaskSeen, ...] | Unknown, now: float, expected: str
) -> None:
    """P19: a verification is not the end; the task that goes on decides, or the image is held."""
    assert expected == told(follow(case(seen("1", tasks=tasks), receipt=receipt, now=now), task))


def test_a_verification_and_its_update_are_told_apart() -> None:
    """Where no answer came the task that programs is ours, not the one that only verified; a stranger's are neither."""
    lost = record(1, WRITE, Ambiguous("lost"), known_tasks=("/tasks/0",))
    old = evolve(DONE, uri="/tasks/0", image="attempt-abcd-other.img")

    assert UPDATE == tied_task(lost, (old, VERIFIED, UPDATE))
    assert VERIFIED == tied_task(lost, (old, VERIFIED))
    assert tied_task(lost, (old, RUNNING, UPDATE)) is None
    assert tied_task(lost, (old,)) is None


@pytest.mark.parametrize(("whole", "expected"), [(False, "never-started"), (True, "failed")])
def test_what_was_never_fetched_was_never_begun(whole: bool, expected: str) -> None:
    """P20: a failure without a reason is one of the transfer where the image server never sent it all."""
    pulled = Accepted("/tasks/1", "SimpleUpdate")

    assert expected == told(follow(case(seen("1"), receipt=pulled, holding=Holding(1, whole)), FAILED))


@pytest.mark.parametrize(
    ("world", "step", "outcome", "expected"),
    [
        (seen("1", None), WRITE, Outcome.DONE, "failed"),
        (seen("1", "2"), WRITE, Outcome.DONE, "unseen"),
        (seen("1", HIDDEN), WRITE, Outcome.DONE, "unseen"),
        (seen("1", HIDDEN, tasks=(DONE,)), WRITE, Outcome.DONE, "unseen"),
        (seen("1", HIDDEN, tasks=(DONE,)), WRITE, Outcome.STAGED, "failed"),
        (seen("1", HIDDEN, tasks=(SCHEDULED,)), WRITE, Outcome.STAGED, "unseen"),
        (seen("1", HIDDEN, tasks=NOT_ASKED), OWN, Outcome.DONE, "WantsLook"),
    ],
)
def test_a_version_that_does_not_come(world: Observation, step: object, outcome: Outcome, expected: str) -> None:
    """P07, P16, P37: dropped where that can be seen; otherwise nobody can say, and nothing is written over it."""
    assert expected == told(of_missing(case(world, step=step, outcome=outcome)))


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


def turn(begun: Attempt, world: Observation, now: float) -> str:
    """Decide for *begun* toward A.2."""
    return what(decide(Situation(NODE, begun, A2, POLICY, now, world, Holding(0, whole=False))))


def test_an_image_that_nobody_can_see_is_for_a_person() -> None:
    """Its task was done, its host restarted: where nothing shows what waits, no attempt writes over it."""
    unseen = record(1, WRITE, taken(), outcome=Outcome.UNSEEN, evidence="it does not come")

    assert f"Finish {AttemptResult.LOST}" == turn(attempt(BEGUN, unseen, *RESTARTED), seen("1", HIDDEN), 500.0)


HELD = record(1, WRITE, Accepted("/tasks/1", held=True), outcome=Outcome.HELD)
START = StartUpdate("bios", BIOS, "2", WRITE.activation, 600.0, "1")
REMEMBERED = seen("1", HIDDEN, tasks=(DONE,))


def started(receipt: Receipt | None, at: float = 100.0, **more: object) -> StepRecord:
    """Return a StartUpdate that went out at *at*, when the BMC had the upload's task."""
    return record(2, START, receipt, at=at, known_tasks=("/tasks/1",), **more)


@pytest.mark.parametrize(
    ("receipt", "world", "now", "expected"),
    [
        (Ambiguous("lost"), REMEMBERED, 110.0, "Wait"),
        (Ambiguous("lost"), REMEMBERED, 161.0, "Resolve 2 never-started"),
        (Ambiguous("lost"), evolve(REMEMBERED, tasks=(DONE, UPDATE)), 161.0, "Wait"),
        (
            Ambiguous("lost"),
            evolve(REMEMBERED, tasks=(DONE, evolve(UPDATE, phase=TaskPhase.DONE))),
            161.0,
            "Resolve 2 done",
        ),
        (Ambiguous("lost"), seen("2", HIDDEN, tasks=(DONE,)), 110.0, "Resolve 2 done"),
        # A BMC that forgot its tasks may have begun: it is given the write's time, then restarted for.
        (Ambiguous("lost"), seen("1", HIDDEN), 161.0, "Wait"),
        (Ambiguous("lost"), seen("1", HIDDEN), 701.0, "Act ResetHost"),
        (None, REMEMBERED, 161.0, "Resolve 2 never-started"),
    ],
)
def test_a_start_in_doubt_is_looked_for_and_not_repeated_blindly(
    receipt: Receipt | None, world: Observation, now: float, expected: str
) -> None:
    """It never began only where the BMC shows that it forgot nothing, and no task came of it."""
    assert expected == turn(attempt(BEGUN, HELD, started(receipt)), world, now)


def test_a_start_that_this_process_did_not_watch_is_restarted_for_first() -> None:
    """A task may have come and gone while nobody looked: only a restart and two readings show that it never began."""
    begun = attempt(BEGUN, HELD, started(None))
    late = Situation(NODE, begun, A2, POLICY, 7300.0, REMEMBERED, None, 7200.0)

    assert "Act ResetHost" == what(decide(late))


@pytest.mark.parametrize(("on_order", "expected"), [(True, "Resolve 1 held"), (False, "Act ResetHost")])
def test_an_upload_that_a_kill_cut_off_is_held_where_nothing_is_programmed_unasked(
    on_order: bool, expected: str
) -> None:
    """By HPM.1 nothing is programmed before it is activated; a Redfish push may have been, and is looked for."""
    cut_off = record(1, WRITE, completing=True, begins_on_order=on_order)

    assert expected == turn(attempt(BEGUN, cut_off), seen("1", HIDDEN), 701.0)


def test_a_start_that_is_refused_after_one_that_was_not_answered_may_have_been_superfluous() -> None:
    """What was held is gone: the lost start has used it, whatever the tasks say, so that nothing is sent again."""
    lost = started(Ambiguous("lost"), outcome=Outcome.NEVER_STARTED)
    refused = evolve(started(Refused("no image is held"), at=200.0), number=3)

    assert "Finish lost" == turn(attempt(BEGUN, HELD, lost, refused), REMEMBERED, 500.0)


@pytest.mark.parametrize(("waits", "expected"), [(None, "Finish level"), ("1", "Wait")])
def test_what_was_written_again_and_still_waits_is_not_level(waits: str | None, expected: str) -> None:
    """The version is the same as before, and proves nothing while the image that was written again is staged (P15)."""
    again = evolve(goal(bundle("A.1", image(BIOS, "1"))), reassert=frozenset({BIOS}))
    written = record(1, write(image(BIOS, "1"), expects="1"), taken(), outcome=Outcome.DONE)
    begun = attempt(again, written, record(2, host_reset("boot-0"), taken(None), at=100.0, outcome=Outcome.DONE))
    situation = Situation(NODE, begun, bundle("A.1", image(BIOS, "1")), POLICY, 200.0, seen("1", waits))

    assert expected == what(decide(situation))


def test_what_was_written_again_is_restarted_for_after_the_bmc_was() -> None:
    """A BMC that was restarted because it had lost its host has applied nothing at the restart before that."""
    again = evolve(goal(bundle("A.1", image(BIOS, "1"))), reassert=frozenset({BIOS}))
    steps = (
        record(1, write(image(BIOS, "1"), expects="1"), taken(), outcome=Outcome.DONE),
        record(2, host_reset("boot-0"), taken(None), at=100.0, outcome=Outcome.DONE),
        record(3, bmc_reset("bmc-0", "bios"), taken(None), at=400.0, outcome=Outcome.DONE),
    )
    situation = Situation(NODE, attempt(again, *steps), bundle("A.1", image(BIOS, "1")), POLICY, 500.0, seen("1"))

    assert "Act ResetHost" == what(decide(situation))


def test_a_start_that_keeps_being_lost_is_given_up() -> None:
    """Three requests that provably never began are no accident."""
    lost = [evolve(started(Ambiguous("lost"), outcome=Outcome.NEVER_STARTED), number=n) for n in (2, 3, 4)]

    assert "Act StartUpdate" == turn(attempt(BEGUN, HELD, *lost[:2]), REMEMBERED, 500.0)
    assert "Finish nothing-written" == turn(attempt(BEGUN, HELD, *lost), REMEMBERED, 500.0)


def test_an_image_that_is_held_is_the_node_as_it_was_but_for_that() -> None:
    """Held and never begun: nothing was written, the image is remembered, and a restart of the BMC forgets it."""
    begun = attempt(BEGUN, HELD)
    again = evolve(begun, steps=(HELD, record(2, bmc_reset(), taken(None), outcome=Outcome.DONE)))

    assert not begun.has_begun
    assert {BIOS} == begun.left_held
    assert set() == again.left_held
