"""What became of a write whose end nobody told us ("Never twice" in system.md).

Rules, in this order:
1. A task that is ours says how it ended, and the component bears it out or not (tracking.py); while
   it runs, wait.
2. The target version is installed or staged: it was done.
3. Nothing decides before the settle time, nor, where the BMC may hold the whole image, before the
   write's own time limit: until then it may still be running.
4. Then the activating reset is done once, for an image may be staged unseen.
5. Two fresh readings of the old version after that reset, and the BMC never held the whole image:
   it never began. Old version although it did hold the whole image: nobody can know. A person must.
6. Where the target is what was there before (a reassertion), or nobody knew what was, its presence
   proves a write only if the BMC held the image.

A task is ours when it names our attempt's image, or when it is the only task that the BMC did not
have just before our request.

An upload may be held by the BMC until StartUpdate. Then:
7. The upload is resolved when its image is held, by its task's word or by the BMC's own; nothing
   else is uploaded to that component until it was begun with, or a restart of the BMC dropped it.
   Where that is so by the way that it went (HPM.1), one whose end nobody told us counts as held, too.
8. A StartUpdate is a write: it stays open as one does, by rules 1 to 6, the whole image being there.
   It may be sent again only where it never began: its answer was lost, no task came of it although
   the BMC still lists those from before it, and either this process watched all the while or, after
   the activating reset, the old version was read twice. A BMC that forgot its tasks may have run it.
9. A switch to the other bank is such a start: the image is there. Where the BMC took it and makes no task of it
   (OpenBMC sets a property), it waits for its reset.
"""

from __future__ import annotations

from .attempt import Attempt, StepRecord
from .bundle import Activation
from .event import Outcome
from .finding import (
    Ended,
    Finding,
    GiveUp,
    Holding,
    Open,
    StillOpen,
    WantsLook,
    WantsReading,
    WantsReset,
    wide_look,
)
from .observation import NOT_ASKED, Look, Observation, TaskPhase, Unknown
from .pace import next_look
from .planner import was_effective
from .policy import Policy
from .receipt import Accepted
from .step import Flash, ResetBmc, ResetHost, StartUpdate, SwitchBank
from .tracking import follow, is_busy, is_there, tied_task, until_restarted


def first_look(record: StepRecord, step: Flash) -> Look:
    """Return the cheapest look that can tell how *record* goes on: its task where it has one."""
    if isinstance(record.receipt, Accepted) and record.receipt.task is not None:
        return Look(system=False, task=record.receipt.task)
    if isinstance(record.receipt, Accepted) and record.receipt.held:
        return Look(system=False)
    return wide_look(step)


def resolve(
    record: StepRecord,
    step: Flash,
    *,
    attempt: Attempt,
    seen: Observation,
    holding: Holding | None,
    policy: Policy,
    now: float,
    since: float = 0.0,
    usual: float | None = None,
    who: str = "",
) -> Finding:
    """Say what became of the open write *record*, or what it takes to know.

    *holding* is what the image server and the journal say of the image; None where nobody asked yet.
    *since* is when this process began to watch; *usual* what such a write took before, in seconds;
    *who* is the node, whose waits keep out of step with the others'.
    """
    case = Open(record, step, attempt, seen, policy, now, since, usual, who, holding)
    if seen.task is not NOT_ASKED:
        followed = follow(case, seen.task)
        if followed is not None:
            return followed
    elif case.is_to_be_held and record.was_accepted:
        return Ended(Outcome.HELD, "the BMC took the image whole and holds it")
    if seen.tasks is NOT_ASKED or case.component.installed is NOT_ASKED:
        return WantsLook(wide_look(step))
    if (there := is_there(case)) is not None:
        return Ended(Outcome.DONE, there)
    tied = tied_task(record, seen.tasks)
    if tied is not None and tied.phase is not TaskPhase.VANISHED:
        return follow(case, tied) or StillOpen(policy.poll, "its task cannot be read")
    if isinstance(step, SwitchBank) and record.was_accepted and _is_switched(case):
        return Ended(Outcome.STAGED, f"{step.component} runs its other bank from its next reset on")
    if isinstance(step, StartUpdate | SwitchBank):
        return _start_without_task(case)
    if (case.is_to_be_held and record.was_accepted) or record.begins_on_order:
        return _held_without_task(case)
    return _without_task(case, holding)


def _held_without_task(case: Open) -> Finding:
    """The task that verified the image is gone, or who sent it died: StartUpdate will show whether it is held."""
    if case.now - case.record.last_at <= case.policy.settle:
        return StillOpen(case.policy.poll, "no task tells; it may still be verified")
    if is_busy(case):
        return case.patient(
            case.record.last_at + case.time_limit, case.policy.busy_timeout, "the BMC is busy, or hides its tasks"
        )
    if case.record.was_accepted:
        return Ended(Outcome.HELD, "the image went over whole and its task is gone; the BMC may hold it")
    return Ended(Outcome.HELD, "the image may have gone over whole; nothing is programmed before it is begun with")


def _is_switched(case: Open) -> bool:
    """Whether the BMC took the order, makes no task of such orders, and has had its time to make one all the same."""
    receipt = case.record.receipt
    no_task = isinstance(receipt, Accepted) and receipt.task is None
    return no_task and case.now - case.record.last_at > case.policy.settle and not is_busy(case)


def _start_without_task(case: Open) -> Finding:
    """Whether what the BMC held, or has in another bank, was begun with, where no task tells."""
    record, tasks = case.record, case.seen.tasks
    remembers = not isinstance(tasks, Unknown) and any(task.uri in record.known_tasks for task in tasks)
    if record.was_accepted or not remembers:
        return _without_task(case, Holding(1, whole=True))
    installed = case.component.installed
    settled = case.now - record.last_at > case.policy.settle
    if settled and not is_busy(case) and case.since <= record.at and installed == case.step.expects:
        why = f"no task came of it, though the BMC still lists those from before, and {case.step.component} reads"
        return Ended(Outcome.NEVER_STARTED, f"{why} {installed}")
    return _without_task(case, Holding(0, whole=False))


def _without_task(case: Open, holding: Holding | None) -> Finding:
    """No task tells: wait until nothing can be running, reset once, read twice."""
    record, step, policy, now = case.record, case.step, case.policy, case.now
    if holding is None:
        return WantsLook(wide_look(step))
    # One that has begun to fetch may still be at it, however slowly: it counts like one that has it all.
    may_have_it = holding.whole or holding.requests > 0 or record.was_accepted
    may_run_until = record.last_at + (case.time_limit if may_have_it else policy.settle)
    if now < may_run_until:
        return StillOpen(max(policy.poll, min(may_run_until - now, 10 * policy.poll)), "it may still be running")
    if is_busy(case):
        if now - max(may_run_until, case.since) > policy.busy_timeout:
            return GiveUp("the BMC's tasks cannot be read, or one that is not ours never ends")
        watched_for = now - max(may_run_until, case.since)
        return StillOpen(next_look(policy, watched_for), "the BMC is busy, or its tasks cannot be read")
    kind = {Activation.HOST_RESET: ResetHost, Activation.BMC_RESET: ResetBmc}.get(step.activation)
    # A restart of the BMC shows nothing of an image that waits for its host's.
    resets = tuple(r for r in case.attempt.resets_after(record.number) if kind is None or isinstance(r.step, kind))
    if step.activation is not Activation.IMMEDIATE and not resets:
        return WantsReset(step.activation, "an image may be staged unseen")
    since = max((may_run_until, *(reset.last_at for reset in resets)))
    if resets:
        why = until_restarted(case, resets[-1])
        # What was never fetched cannot be applied by a POST, even by one that does not end.
        is_enough = not may_have_it and was_effective(resets[-1], case.seen)
        if why and not (is_enough and now - max(since, case.since) > policy.reset_timeout):
            return case.patient(since, policy.reset_timeout, why)
    return _read(case, holding, since)


def _read(case: Open, holding: Holding, since: float) -> Finding:
    record, step, policy, now = case.record, case.step, case.policy, case.now
    installed = case.component.against(step.version, step.expects)
    if isinstance(installed, Unknown):
        return case.patient(since, policy.unknown_timeout, f"{step.component} is {installed}")
    if installed == step.version and (holding.whole or record.was_accepted):
        return Ended(Outcome.DONE, f"{step.component} reports {step.version}, and the image was sent")
    if installed != step.expects:
        return GiveUp(f"{step.component} reports {installed}: neither {step.expects} nor {step.version}")
    readings = [at for at, version in record.readings if version == installed and at >= since]
    if not readings or (len(readings) == 1 and now - readings[0] >= policy.reading_gap):
        return WantsReading(installed)
    if len(readings) == 1:
        return StillOpen(max(policy.reading_gap - (now - readings[0]), 0.0), "a second reading is due")
    if holding.whole:
        return GiveUp(f"the BMC had the whole image, no task tells, and {step.component} still reports {installed}")
    if isinstance(step, StartUpdate | SwitchBank):
        what = "never began with the image that it has"
    else:
        what = "never asked for the image" if holding.requests == 0 else "never got the whole image"
    return Ended(Outcome.NEVER_STARTED, f"the BMC {what}, and after a reset {step.component} read {installed} twice")
