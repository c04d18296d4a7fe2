"""``Unknown`` never acts: whatever cannot be read, nothing is sent that rests on it.

The one exception (P41): a component whose version cannot be read may be written in a recovery that
reasserts it, when the BMC itself answers (its tasks can be read) and the version stayed unreadable for
the settle time. Otherwise a node whose BIOS is gone could never be mended from outside.
"""

from __future__ import annotations

import pytest
from attrs import evolve, fields, frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rackwave.core.attempt import Attempt, StepRecord
from rackwave.core.bundle import Activation, Bundle
from rackwave.core.decision import Act, Decision, Finish, Resolve, See, Situation, Wait
from rackwave.core.event import AttemptResult, Outcome
from rackwave.core.finding import Holding
from rackwave.core.goal import Cause, Goal
from rackwave.core.look import opening_look
from rackwave.core.observation import Component, Health, Observation, Post, Power, TaskPhase, TaskSeen, Unknown
from rackwave.core.policy import Policy
from rackwave.core.receipt import Accepted, Ambiguous, Receipt, Refused
from rackwave.core.step import ResetBmc, ResetHost, StageSettings, Step, WriteImage
from rackwave.core.turn import decide
from values import (
    ATTEMPT,
    BIOS,
    BMC,
    NIC,
    NODE,
    SILENT,
    answer,
    attempt,
    bios_settings,
    bmc_reset,
    bundle,
    goal,
    host_reset,
    image,
    record,
    well,
    write,
)

ELEMENTS = (image(BIOS, "2"), image(BMC, "2"), image(NIC, "2"), bios_settings({"BootMode": "Uefi"}))
A2 = bundle("A.2", *ELEMENTS)
POLICY = Policy()
COMPONENTS = (BIOS, BMC, NIC)


def mostly(calm: object, *wild: object) -> st.SearchStrategy[object]:
    """Return *calm* five times in eight, else one of *wild* or that it cannot be read."""
    return st.sampled_from([calm] * 5 * (len(wild) + 1) + [*wild, SILENT] * 3)


OURS, THEIRS = f"attempt-{ATTEMPT}-bios.img", "somebody-elses.img"
TASKS = [TaskSeen(f"/tasks/{n}", phase, image=i) for n in (1, 2) for phase in TaskPhase for i in (None, OURS, THEIRS)]
FETCH_FAILED = TaskSeen("/tasks/1", TaskPhase.FAILED, transfer_failed=True)
modes = mostly({"BootMode": "Uefi"}, {"BootMode": "Bios"})
worlds = st.builds(
    Observation,
    at=st.just(0.0),
    power=mostly(Power.ON, *Power),
    post=mostly(Post.COMPLETE, *Post),
    health=mostly(Health.OK, *Health),
    boot=mostly("boot-2", "boot-1"),
    bmc_boot=mostly("bmc-2", "bmc-1"),
    components=st.fixed_dictionaries(
        {
            name: st.builds(Component, st.just(name), mostly("2", "1", "1", "1"), mostly(None, "2"))
            for name in COMPONENTS
        }
    ),
    settings=modes,
    staged_settings=modes,
    task=mostly(TaskSeen("/tasks/1", TaskPhase.VANISHED), *TASKS, FETCH_FAILED),
    tasks=mostly((), *((task,) for task in TASKS), (TASKS[0], TASKS[-1])),
)
steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(write, st.sampled_from(ELEMENTS[:3]), st.sampled_from(["", "1", "2"])),
    st.just(StageSettings("settings", {"BootMode": "Uefi"}, {"BootMode": "Bios"})),
    st.builds(host_reset, mostly("boot-1")),
    st.builds(bmc_reset, mostly("bmc-1")),
)
receipts: st.SearchStrategy[Receipt | None] = st.sampled_from(
    [None, Accepted("/tasks/1"), Accepted(), Ambiguous("no answer"), Refused("busy", 5.0), Refused("no")]
)
moments = st.sampled_from([100.0, 0.0, 30.0, 700.0, 5000.0, 20000.0])


@st.composite
def histories(draw: st.DrawFn) -> tuple[StepRecord, ...]:
    """Return up to three steps, each of them at any point of its life; resets that were accepted may be done."""
    records: list[StepRecord] = []
    for number in range(1, draw(st.integers(0, 3)) + 1):
        step, receipt = draw(steps), draw(receipts)
        outcome = draw(st.sampled_from([None, Outcome.DONE, *Outcome]))
        made = record(number, step, receipt, outcome=None if isinstance(receipt, Refused) else outcome)
        readings = draw(st.sampled_from([(), ((100.0, "1"),), ((700.0, "1"), (5000.0, "1"))]))
        records.append(evolve(made, completing=draw(st.booleans()), readings=readings))
    return tuple(records)


goals = st.builds(
    Goal,
    st.just(A2.id),
    st.just(A2.digest),
    st.sampled_from(Cause),
    reassert=st.frozensets(st.sampled_from(COMPONENTS)),
    restart=st.sampled_from([False, False, False, True]),
    writes=st.sampled_from([True, True, True, False]),
)


left_staged = st.sampled_from([{}, {BIOS: Activation.HOST_RESET}, {BMC: Activation.BMC_RESET}])


@frozen
class Case:
    """A situation, and the world that further looks will show."""

    attempt: Attempt
    world: Observation
    now: float
    since: float
    holding: Holding


cases = st.builds(
    Case,
    attempt=st.builds(lambda toward, done, left: attempt(toward, *done, staged=left), goals, histories(), left_staged),
    world=worlds,
    now=moments,
    since=st.sampled_from([0.0, 600.0]),
    holding=st.builds(Holding, st.integers(0, 1), st.booleans()),
)


def settle(case: Case, bundle: Bundle = A2) -> tuple[Decision, Situation]:
    """Look as often as is asked for and return the decision with what it rests on."""
    situation = Situation(
        NODE,
        case.attempt,
        bundle,
        POLICY,
        case.now,
        answer(case.world, opening_look(case.attempt, bundle)),
        since=case.since,
    )
    for _ in range(24):
        decision = decide(situation)
        if not isinstance(decision, See):
            return decision, situation
        seen = situation.seen.with_more(answer(case.world, decision.look))
        holding = case.holding if decision.look.tasks else situation.holding
        situation = evolve(situation, seen=seen, holding=holding)
    pytest.fail("it looks for ever")


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=cases)
def test_nothing_is_sent_that_rests_on_what_could_not_be_read(case: Case) -> None:
    """Every field that an act rests on was read, whatever else is unknown."""
    decision, situation = settle(case)
    if not isinstance(decision, Act):
        return
    seen, reassert, before = situation.seen, case.attempt.goal.reassert, case.attempt.steps
    match decision.step:
        case WriteImage() as step:
            assert_idle(seen)
            found = seen.component(step.component).installed
            assert step.expects == ("" if isinstance(found, Unknown) else found)
            assert not isinstance(found, Unknown) or step.component in reassert
            assert not isinstance(found, Unknown) or situation.waited() > POLICY.settle
            assert case.attempt.goal.writes
            assert case.attempt.goal.revives or case.attempt.resets_after(0) or is_well(seen)
            assert not any(r.is_open for r in before if isinstance(r.step, WriteImage))
            waits = case.attempt.staged.get(step.component)
            assert waits is None or case.attempt.activated(waits)
        case StageSettings() as staging:
            assert not isinstance(seen.settings, Unknown)
            assert {"BootMode": seen.settings["BootMode"]} == dict(staging.expects)
        case ResetHost() as reset:
            assert_idle(seen)
            assert reset.expects is seen.power
            assert seen.post is not Post.RUNNING or situation.waited() > POLICY.reset_timeout
        case ResetBmc():
            assert_idle(seen)
            assert not isinstance(seen.power, Unknown)
            assert seen.post is not Post.RUNNING or situation.waited() > POLICY.reset_timeout


def assert_idle(seen: Observation) -> None:
    """The BMC's tasks and the host's power were read, and nothing runs."""
    assert not isinstance(seen.tasks, Unknown)
    assert all(task.phase is not TaskPhase.RUNNING for task in seen.tasks)


def is_well(seen: Observation) -> bool:
    """Whether the host is seen to be up and well."""
    return seen.power is Power.ON and seen.post is Post.COMPLETE and seen.health in (Health.OK, Health.WARNING)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=cases)
def test_nothing_unread_counts_as_success(case: Case) -> None:
    """A node is level only when every component, setting and witness was read, and says so."""
    decision, situation = settle(case)
    if not (isinstance(decision, Finish) and decision.result is AttemptResult.LEVEL):
        return
    seen = situation.seen

    assert is_well(seen)
    assert dict.fromkeys(COMPONENTS, "2") == {name: seen.component(name).installed for name in COMPONENTS}
    assert {"BootMode": "Uefi"} == seen.settings
    assert not case.attempt.open_steps


@st.composite
def doubts(draw: st.DrawFn) -> Case:
    """Return a node with a write in doubt, perhaps its restart and some readings, on which mostly the old one runs."""
    element = draw(st.sampled_from(ELEMENTS[:3]))
    assert element.component is not None
    lost = record(
        1,
        write(element, draw(st.sampled_from(["1", "1", "1", "2", ""]))),
        draw(st.sampled_from([None, Ambiguous("no answer"), Accepted()])),
        completing=draw(st.booleans()),
        readings=draw(st.sampled_from([(), ((650.0, "1"),), ((650.0, "1"), (670.0, "1")), ((50.0, "1"), (70.0, "1"))])),
    )
    reset = bmc_reset("bmc-1") if element.component == BMC else host_reset("boot-1")
    outcome = draw(st.sampled_from([Outcome.DONE, None, Outcome.NEVER_STARTED]))
    restarted = record(2, reset, draw(st.sampled_from([Accepted(), None])), at=610.0, outcome=outcome)
    world = draw(worlds)
    old = Component(element.component, draw(mostly("1", "2")), draw(mostly(None, "2")))
    return Case(
        attempt(draw(goals), *([lost, restarted] if draw(st.booleans()) else [lost])),
        evolve(world, components={**world.components, element.component: old}),
        draw(st.sampled_from([700.0, 100.0, 1300.0, 5000.0])),
        0.0,
        draw(st.builds(Holding, st.integers(0, 1), st.booleans())),
    )


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=doubts())
def test_a_write_in_doubt_is_never_settled_by_silence(case: Case) -> None:
    """Done needs a task or a version that was read; never begun needs tasks, two readings and the image server."""
    decision, situation = settle(case)
    if not isinstance(decision, Resolve):
        return
    resolved = next(r for r in case.attempt.steps if r.number == decision.number)
    if not isinstance(resolved.step, WriteImage):
        return
    seen, component = situation.seen, situation.seen.component(resolved.step.component)
    phases = {task.phase for task in (seen.tasks if isinstance(seen.tasks, tuple) else ())}
    phases |= {seen.task.phase} if isinstance(seen.task, TaskSeen) else set()
    by_task = {
        Outcome.DONE: TaskPhase.DONE in phases,
        Outcome.STAGED: TaskPhase.STAGED in phases,
        Outcome.HELD: TaskPhase.DONE in phases,
        Outcome.FAILED: TaskPhase.FAILED in phases,
        Outcome.NEVER_STARTED: TaskPhase.FAILED in phases,
    }[decision.outcome]
    if by_task:
        return

    assert decision.outcome is not Outcome.FAILED
    if decision.outcome is Outcome.DONE:
        assert resolved.step.version in (component.installed, component.staged)
    else:
        assert resolved.step.expects == component.installed
        assert len(resolved.readings) >= 2
        assert not case.holding.whole
        assert seen.tasks == () or not isinstance(seen.tasks, Unknown)
        resets = case.attempt.resets_after(resolved.number)
        assert resolved.step.activation is Activation.IMMEDIATE or resets
        assert all(at >= reset.last_at for reset in resets for at, _ in resolved.readings[-2:])


unreadable = [field.name for field in fields(Observation) if field.name in ("power", "post", "health", "tasks")]


@pytest.mark.parametrize("field", unreadable)
def test_a_rollout_does_not_begin_on_a_host_it_cannot_read(field: str) -> None:
    """Power, POST, health and the BMC's tasks are premises of the first write."""
    world = evolve(well(dict.fromkeys(COMPONENTS, "1"), settings={"BootMode": "Uefi"}), **{field: SILENT})
    case = Case(attempt(goal(A2)), world, now=10.0, since=0.0, holding=Holding(0, whole=False))

    assert isinstance(settle(case)[0], Wait)


def test_what_stays_unreadable_ends_with_a_person() -> None:
    """After the time that policy gives, the attempt is lost: nobody can know, so nothing is done."""
    world = well({BIOS: SILENT, BMC: "2", NIC: "2"}, settings={"BootMode": "Uefi"})
    case = Case(attempt(goal(A2)), world, now=POLICY.unknown_timeout + 1, since=0.0, holding=Holding(0, whole=False))

    assert (
        Finish(AttemptResult.LOST, ("bios: BIOS is unknown (the BMC does not answer), for 600 s",)) == settle(case)[0]
    )


@pytest.mark.parametrize(
    ("cause", "reassert", "tasks", "waited", "writes"),
    [
        (Cause.ROLLBACK, {BIOS}, (), 61.0, True),
        (Cause.RESEND, {BIOS}, (), 61.0, True),
        (Cause.ROLLBACK, {BIOS}, (), 59.0, False),
        (Cause.ROLLBACK, {BIOS}, SILENT, 61.0, False),
        (Cause.ROLLBACK, set(), (), 61.0, False),
        (Cause.ROLLOUT, set(), (), 61.0, False),
    ],
)
def test_only_a_recovery_writes_over_what_it_cannot_read(
    cause: Cause, reassert: set[object], tasks: object, waited: float, writes: bool
) -> None:
    """P41: reasserted, its BMC answers, and it stayed unreadable for the settle time; anything less waits."""
    world = well({BIOS: SILENT, BMC: "2", NIC: "2"}, settings={"BootMode": "Uefi"}, tasks=tasks)
    toward = goal(A2, cause, reassert=frozenset(reassert))
    case = Case(attempt(toward), world, now=waited, since=0.0, holding=Holding(0, whole=False))
    decision = settle(case)[0]

    assert writes == isinstance(decision, Act)
    assert writes or isinstance(decision, Wait)
