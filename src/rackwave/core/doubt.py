"""What became of a write whose end nobody told us ("Never twice" in system.md).

Rules, in this order:
1. The target version is installed or staged: it was done.
2. A task that is ours says how it ended; while it runs, wait.
3. Nothing decides before the settle time, nor, where the BMC may hold the whole image, before the
   write's own time limit: until then it may still be running.
4. Then the activating reset is done once, for an image may be staged unseen.
5. Two fresh readings of the old version after that reset, and the BMC never held the whole image:
   it never began. Old version although it did hold the whole image: nobody can know. A person must.
6. Where the target is what was there before (a reassertion), or nobody knew what was, its presence
   proves a write only if the BMC held the image.

A task is ours when it names our attempt's image, or when it is the only task that the BMC did not
have just before our request.
"""

from __future__ import annotations

from typing import TypeAlias

from attrs import frozen

from .bundle import Activation
from .event import Outcome
from .history import Attempt, StepRecord
from .observation import NOT_ASKED, Look, Observation, Post, TaskPhase, TaskSeen, Unknown
from .pace import away, next_look
from .planner import is_unmarked, was_effective
from .policy import Policy
from .receipt import Accepted
from .step import WriteImage


@frozen
class Ended:
    """It ended like this, and this shows it."""

    outcome: Outcome
    evidence: str


@frozen
class StillOpen:
    """Look again after *seconds*."""

    seconds: float
    why: str


@frozen
class WantsLook:
    """What was looked at does not suffice."""

    look: Look


@frozen
class WantsReset:
    """Only the activating reset can show what is there."""

    activation: Activation
    why: str


@frozen
class WantsReading:
    """This reading counts and is to be journalled."""

    installed: str


@frozen
class GiveUp:
    """Nobody can know from here; a person must look."""

    evidence: str


Doubt: TypeAlias = Ended | StillOpen | WantsLook | WantsReset | WantsReading | GiveUp


@frozen
class Holding:
    """How much of the image the BMC may hold: *requests* it made for it, and whether it may have it *whole*."""

    requests: int
    whole: bool


def first_look(record: StepRecord, write: WriteImage) -> Look:
    """Return the cheapest look that can tell how *record* goes on: its task where it has one."""
    if isinstance(record.receipt, Accepted) and record.receipt.task is not None:
        return Look(system=False, task=record.receipt.task)
    return wide_look(write)


def wide_look(write: WriteImage) -> Look:
    """Return the look that a write in doubt needs: every task, the component and the host."""
    return Look(
        bmc=write.activation is Activation.BMC_RESET,
        components=frozenset({write.component}),
        tasks=True,
    )


def resolve(
    record: StepRecord,
    write: WriteImage,
    *,
    attempt: Attempt,
    seen: Observation,
    holding: Holding | None,
    policy: Policy,
    now: float,
    since: float = 0.0,
    usual: float | None = None,
    who: str = "",
) -> Doubt:
    """Say what became of the open write *record*, or what it takes to know.

    *holding* is what the image server and the journal say of the image; None where nobody asked yet.
    *since* is when this process began to watch; *usual* what such a write took before, in seconds;
    *who* is the node, whose waits keep out of step with the others'.
    """
    if seen.task is not NOT_ASKED:
        followed = _follow(seen.task, policy, record, write, now, usual, who)
        if followed is not None:
            return followed
    if seen.tasks is NOT_ASKED or seen.component(write.component).installed is NOT_ASKED:
        return WantsLook(wide_look(write))
    component = seen.component(write.component)
    if component.staged == write.version:
        return Ended(Outcome.DONE, f"{write.component} has {write.version} staged")
    if component.installed == write.version and write.expects not in ("", write.version):
        return Ended(Outcome.DONE, f"{write.component} reports {write.version}")
    tied = _tied_task(record, seen.tasks)
    if tied is not None and tied.phase is not TaskPhase.VANISHED:
        return _follow(tied, policy, record, write, now, usual, who) or StillOpen(
            policy.poll, "its task cannot be read"
        )
    return _without_task(record, write, attempt, seen, holding, policy, now, since)


def time_limit(write: WriteImage, policy: Policy) -> float:
    """Return how long *write* may run, in seconds."""
    return min(write.time_limit, policy.write_limit)


def _follow(
    task: TaskSeen | Unknown,
    policy: Policy,
    record: StepRecord,
    write: WriteImage,
    now: float,
    usual: float | None,
    who: str,
) -> Doubt | None:
    """Say what *task* decides; None where it decides nothing and a wider look is due."""
    limit, passed = time_limit(write, policy), now - record.last_at
    overdue = now - record.at > limit
    if isinstance(task, Unknown):
        return None if overdue else StillOpen(away(policy, passed, who), f"its task is {task}")
    match task.phase:
        case TaskPhase.DONE:
            return Ended(Outcome.DONE, f"task {task.uri} ended well")
        case TaskPhase.FAILED if task.transfer_failed:
            return Ended(Outcome.NEVER_STARTED, f"the BMC could not get the image: {task.message}")
        case TaskPhase.FAILED:
            return Ended(Outcome.FAILED, f"task {task.uri} failed: {task.message or 'no reason given'}")
        case TaskPhase.RUNNING if not overdue:
            percent = "" if task.percent is None else f", {task.percent} %"
            left = record.at + limit - now
            wait = next_look(policy, passed, percent=task.percent, usual=usual, deadline=left)
            return StillOpen(wait, f"its task runs{percent}")
        case TaskPhase.RUNNING:
            return GiveUp(f"task {task.uri} still runs after {limit:.0f} s, its time limit (P11)")
        case TaskPhase.VANISHED:
            return None


def _tied_task(record: StepRecord, tasks: tuple[TaskSeen, ...] | Unknown) -> TaskSeen | None:
    if isinstance(tasks, Unknown):
        return None
    mark = f"attempt-{record.attempt}"
    named = [task for task in tasks if task.image is not None and mark in task.image]
    if named:
        return named[-1]
    new = [task for task in tasks if task.uri not in record.known_tasks and task.image is None]
    return new[0] if len(new) == 1 else None


def _without_task(
    record: StepRecord,
    write: WriteImage,
    attempt: Attempt,
    seen: Observation,
    holding: Holding | None,
    policy: Policy,
    now: float,
    watched: float,
) -> Doubt:
    """No task tells: wait until nothing can be running, reset once, read twice."""
    if holding is None:
        return WantsLook(wide_look(write))
    # One that has begun to fetch may still be at it, however slowly: it counts like one that has it all.
    may_have_it = holding.whole or holding.requests > 0 or record.was_accepted
    may_run_until = record.at + (time_limit(write, policy) if may_have_it else policy.settle)
    if now < may_run_until:
        return StillOpen(max(policy.poll, min(may_run_until - now, 10 * policy.poll)), "it may still be running")
    if isinstance(seen.tasks, Unknown) or any(task.phase is TaskPhase.RUNNING for task in seen.tasks):
        if now - max(may_run_until, watched) > policy.busy_timeout:
            return GiveUp("the BMC's tasks cannot be read, or one that is not ours never ends")
        watched_for = now - max(may_run_until, watched)
        return StillOpen(next_look(policy, watched_for), "the BMC is busy, or its tasks cannot be read")
    resets = attempt.resets_after(record.number)
    if write.activation is not Activation.IMMEDIATE and not resets:
        return WantsReset(write.activation, "an image may be staged unseen")
    since = max((may_run_until, *(reset.last_at for reset in resets)))
    if resets:
        why = _until_restarted(resets[-1], write, seen, policy, now)
        # What was never fetched cannot be applied by a POST, even by one that does not end.
        is_enough = not may_have_it and was_effective(resets[-1], seen)
        if why and not (is_enough and now - max(since, watched) > policy.reset_timeout):
            return _patient(max(since, watched), policy.reset_timeout, why, policy, now)
    return _read(record, write, seen, holding, since, policy, now, watched)


def _until_restarted(reset: StepRecord, write: WriteImage, seen: Observation, policy: Policy, now: float) -> str:
    """Say what is missing until a reading counts as one from after *reset*; empty: nothing."""
    if not was_effective(reset, seen):
        return "the activating reset has not been seen to happen"
    if is_unmarked(reset) and now - reset.last_at < policy.settle:
        return "the BMC marks no boots, so that what it says now may still be from before the reset"
    if write.activation is Activation.HOST_RESET and seen.post not in (Post.COMPLETE, Post.FAILED):
        return "the host has not finished POST after its reset"
    return ""


def _read(
    record: StepRecord,
    write: WriteImage,
    seen: Observation,
    holding: Holding,
    since: float,
    policy: Policy,
    now: float,
    watched: float,
) -> Doubt:
    installed = seen.component(write.component).installed
    if isinstance(installed, Unknown):
        return _patient(max(since, watched), policy.unknown_timeout, f"{write.component} is {installed}", policy, now)
    if installed == write.version and (holding.whole or record.was_accepted):
        return Ended(Outcome.DONE, f"{write.component} reports {write.version}, and the image was sent")
    if installed != write.expects:
        return GiveUp(f"{write.component} reports {installed}: neither {write.expects} nor {write.version}")
    readings = [at for at, version in record.readings if version == installed and at >= since]
    if not readings or (len(readings) == 1 and now - readings[0] >= policy.reading_gap):
        return WantsReading(installed)
    if len(readings) == 1:
        return StillOpen(max(policy.reading_gap - (now - readings[0]), 0.0), "a second reading is due")
    if holding.whole:
        return GiveUp(f"the BMC had the whole image, no task tells, and {write.component} still reports {installed}")
    what = "never asked for the image" if holding.requests == 0 else "never got the whole image"
    return Ended(Outcome.NEVER_STARTED, f"the BMC {what}, and after a reset {write.component} read {installed} twice")


def _patient(since: float, limit: float, why: str, policy: Policy, now: float) -> Doubt:
    waited = now - since
    if waited > limit:
        return GiveUp(f"{why}, for {limit:.0f} s")
    return StillOpen(next_look(policy, waited, deadline=limit - waited), why)
