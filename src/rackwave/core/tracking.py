"""What a write's task says of it, and what the component must say beside it: a task is one witness of several.

Rules:
1. While the task runs, wait. One that runs past the write's time limit is stuck (P11): the component
   is looked at. The version there and POST through: done. Anything else is for a person.
2. A task whose image waits for a reset has done its part where the write wants that reset: iDRAC's
   jobs stay Scheduled until the host was restarted, and waiting for their end would be for ever.
   Jobs pass through Scheduled on their way, so for other writes it must have lasted the settle time.
3. A task that ended well has done its part (P07); whether it took shows in version, POST and health.
   Where the upload asked to be held, or the task itself says so, it only verified: another task that
   came of the same upload goes on (P19), or else the image is held until StartUpdate.
4. A task that failed proves nothing (P16): the component is looked at. The version there or staged:
   done, and both facts are told. Nothing staged on a service that shows it, or a write that broke off
   before its last byte, or a system whose health is critical: failed, with no restart into it. Where
   something may be staged unseen, the activating reset decides, once: to write over it would be a
   double flash.
5. A task that vanished, or cannot be read past the time limit, says nothing; doubt.py goes on.
"""

from __future__ import annotations

from .attempt import StepRecord
from .bundle import Activation
from .event import Outcome
from .finding import Ended, Finding, GiveUp, Open, StillOpen, WantsLook, WantsReset, wide_look
from .observation import NOT_ASKED, Health, Observation, Post, TaskPhase, TaskSeen, Unknown
from .pace import away, next_look
from .planner import is_unmarked, was_effective
from .step import ResetBmc, ResetHost


def follow(case: Open, task: TaskSeen | Unknown, *, programs: bool = False) -> Finding | None:
    """Say what *task* decides; None where it decides nothing and a wider look is due.

    *programs*: it is known to be the one that goes on after a verification (P19).
    """
    if isinstance(task, Unknown):
        return None if case.is_overdue else StillOpen(away(case.policy, case.passed, case.who), f"its task is {task}")
    match task.phase:
        case TaskPhase.RUNNING if not case.is_overdue:
            percent = "" if task.percent is None else f", {task.percent} %"
            left = case.record.last_at + case.time_limit - case.now
            wait = next_look(case.policy, case.passed, percent=task.percent, usual=case.usual, deadline=left)
            return StillOpen(wait, f"its task runs{percent}")
        case TaskPhase.RUNNING:
            return _stuck(case, task)
        case TaskPhase.STAGED:
            return _waiting(case, task)
        case TaskPhase.DONE:
            return _ended_well(case, task, programs=programs)
        case TaskPhase.FAILED if task.transfer_failed:
            return Ended(Outcome.NEVER_STARTED, f"the BMC could not get the image: {task.message}")
        case TaskPhase.FAILED:
            return _despite_failure(case, task)
        case TaskPhase.VANISHED:
            return None


def tied_task(record: StepRecord, tasks: tuple[TaskSeen, ...] | Unknown) -> TaskSeen | None:
    """Return the task that came of *record*, where that is beyond doubt.

    It names the image of our attempt, or it is the only one that the BMC did not have just before our
    request; one that only verified an image does not count beside the one that programs it (P19).
    """
    if isinstance(tasks, Unknown):
        return None
    mark = f"attempt-{record.attempt}"
    # Of what was there before, even a task with our mark is another's: of an earlier step of this attempt.
    fresh = [task for task in tasks if task.uri not in record.known_tasks]
    named = [task for task in fresh if task.image is not None and mark in task.image]
    if named:
        return _programming(named)[-1]
    new = _programming([task for task in fresh if task.image is None])
    return new[0] if len(new) == 1 else None


def _programming(tasks: list[TaskSeen]) -> list[TaskSeen]:
    """Return of *tasks* those that do more than verify, where there are any."""
    return [task for task in tasks if not task.held] or tasks


def is_there(case: Open) -> str | None:
    """Say where the new version is; None: nothing shows it."""
    step, component = case.step, case.component
    if component.staged == step.version:
        return f"{step.component} has {step.version} staged"
    if component.installed == step.version and case.proves_itself:
        return f"{step.component} reports {step.version}"
    return None


def until_restarted(case: Open, reset: StepRecord) -> str:
    """Say what is missing until a reading counts as one from after *reset*; empty: nothing."""
    if not was_effective(reset, case.seen):
        return "the activating reset has not been seen to happen"
    if is_unmarked(reset) and case.now - reset.last_at < case.policy.settle:
        return "the BMC marks no boots, so that what it says now may still be from before the reset"
    if case.step.activation is Activation.HOST_RESET and case.seen.post not in (Post.COMPLETE, Post.FAILED):
        return "the host has not finished POST after its reset"
    return ""


def is_busy(case: Open) -> bool:
    """Whether the BMC works on something, or does not say."""
    tasks = case.seen.tasks
    return isinstance(tasks, Unknown) or any(task.phase is TaskPhase.RUNNING for task in tasks)


def _waiting(case: Open, task: TaskSeen) -> Finding:
    """An image is written, and its task says that a reset is due."""
    if case.step.activation is Activation.HOST_RESET or case.now - case.record.last_at > case.policy.settle:
        return Ended(Outcome.STAGED, f"task {task.uri} waits for a reset: {task.message or 'it is scheduled'}")
    return StillOpen(case.policy.poll, "its task is scheduled")


def _ended_well(case: Open, task: TaskSeen, *, programs: bool) -> Finding:
    if programs or not (task.held or case.is_to_be_held):
        return Ended(Outcome.DONE, f"task {task.uri} ended well")
    if case.seen.tasks is NOT_ASKED:
        return WantsLook(wide_look(case.step))
    if (update := task_after(case.record, task.uri, case.seen)) is not None:
        return follow(case, update, programs=True) or StillOpen(case.policy.poll, f"task {update.uri} cannot be read")
    if case.is_to_be_held:
        return Ended(Outcome.HELD, f"task {task.uri} ended well, and the BMC holds the image")
    if case.now - case.record.last_at <= case.policy.settle:
        return StillOpen(case.policy.poll, f"task {task.uri} has verified the image; nothing programs it yet")
    return Ended(Outcome.HELD, f"task {task.uri} has verified the image, and nothing programs it: the BMC holds it")


def task_after(record: StepRecord, verify: str | None, seen: Observation) -> TaskSeen | None:
    """Return the task that goes on where the one at *verify* ended (P19); None: there is none, or none can be read."""
    if isinstance(seen.tasks, Unknown):
        return None
    first = next((task for task in seen.tasks if task.uri == verify), None)
    later = [
        task
        for task in seen.tasks
        if task.uri != verify
        and task.uri not in record.known_tasks
        and not task.held
        and task.image == (first.image if first is not None else None)
    ]
    return later[-1] if later else None


def _despite_failure(case: Open, task: TaskSeen) -> Finding:
    """Its task failed: what does the component say?"""
    step, component = case.step, case.component
    if component.installed is NOT_ASKED or case.seen.tasks is NOT_ASKED:
        return WantsLook(wide_look(step))
    failed = f"task {task.uri} failed: {task.message or 'no reason given'}"
    if (there := is_there(case)) is not None:
        return Ended(Outcome.DONE, f"{failed}; and yet {there}")
    read = f"{failed}; {step.component} reads {component.installed}"
    installed = component.against(step.expects, step.version)
    if isinstance(installed, Unknown) or installed not in (step.expects, step.version):
        return Ended(Outcome.FAILED, read)
    if case.is_to_be_held:
        return Ended(Outcome.NEVER_STARTED, f"{read}, and nothing was to begin before it was told to")
    if case.was_never_whole:
        return Ended(Outcome.NEVER_STARTED, f"{read}, and the BMC never fetched the whole image")
    broke_off = task.percent is not None and task.percent < 100
    shows_staged = not isinstance(component.staged, Unknown)
    ill = case.seen.health is Health.CRITICAL or isinstance(case.seen.health, Unknown)
    if step.activation is Activation.IMMEDIATE or broke_off or shows_staged or ill:
        return Ended(Outcome.FAILED, read)
    if is_busy(case):
        return StillOpen(case.policy.poll, f"{failed}; the BMC is busy still")
    return _after_reset(case, failed)


def _after_reset(case: Open, failed: str) -> Finding:
    """Restart once, since an image may be staged unseen, and read again."""
    step, policy = case.step, case.policy
    kind = ResetBmc if step.activation is Activation.BMC_RESET else ResetHost
    resets = [reset for reset in case.attempt.resets_after(case.record.number) if isinstance(reset.step, kind)]
    if not resets:
        return WantsReset(step.activation, f"{failed}; an image may be staged unseen all the same")
    last = resets[-1]
    if why := until_restarted(case, last):
        waited = case.now - max(last.last_at, case.since)
        if waited <= policy.reset_timeout:
            return StillOpen(policy.poll, why)
        return Ended(Outcome.FAILED, f"{failed}; {why}, for {policy.reset_timeout:.0f} s")
    if case.component.installed == step.version:
        # The same version as before, and nothing showed that it was written again.
        return Ended(Outcome.FAILED, f"{failed}; {step.component} reads {step.version}, as it did before")
    if case.now - last.last_at <= policy.settle:
        return StillOpen(policy.poll, "the inventory may lag behind the restart")
    return Ended(Outcome.FAILED, f"{failed}; {step.component} still reads {case.component.installed} after a restart")


def _stuck(case: Open, task: TaskSeen) -> Finding:
    """Its task runs on past the write's time: what does the component say?"""
    if case.component.installed is NOT_ASKED or case.seen.tasks is NOT_ASKED:
        return WantsLook(wide_look(case.step))
    stuck = f"task {task.uri} still runs after {case.time_limit:.0f} s, its time limit (P11)"
    component = case.component
    if case.proves_itself and component.installed == case.step.version and case.seen.post is Post.COMPLETE:
        return Ended(Outcome.DONE, f"{stuck}; and yet {component.name} reports {component.installed}, POST complete")
    return GiveUp(f"{stuck}; {case.step.component} reads {component.installed}")
