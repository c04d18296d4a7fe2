"""What holds a step back that the plan wants: somebody else's work, an image that waits, a refusal, a restart."""

from __future__ import annotations

import itertools
import math
from typing import assert_never

from attrs import evolve

from .attempt import StepRecord
from .bundle import Activation
from .decision import Act, Decision, Finish, Read, Resolve, See, Situation, Wait
from .event import AttemptResult, Outcome
from .finding import Ended, Finding, GiveUp, Open, StillOpen, WantsLook, WantsReading, WantsReset
from .observation import NOT_ASKED, Look, TaskPhase, Unknown
from .pace import away, refused
from .patience import end_unharmed, patience_with, revival_of, until_started
from .planner import (
    host_reset,
)
from .receipt import Accepted, Ground, Refused
from .revival import next_means, tale
from .step import Flash, ResetBmc, ResetHost, ResetKind, StageSettings, StartUpdate, Step, Write, WriteImage, describe
from .tracking import follow, task_after

MOST_STARTS = 3
"""How often a StartUpdate is sent that provably never began, and a reset or settings that were not seen to
come: requests that get lost more often than that are no accident."""


def of_finding(finding: Finding, record: StepRecord, write: Flash, situation: Situation) -> Decision:
    """Return what *finding* about the write of *record* means for the node."""
    match finding:
        case Ended(outcome, evidence):
            return Resolve(record.number, outcome, evidence)
        case StillOpen(seconds, why):
            if situation.unread() > situation.policy.unknown_timeout:
                revival = revival_of(situation, why)
                if isinstance(revival, Act):
                    return revival
            return Wait(seconds, f"{write.component}: {why}")
        case WantsLook(look):
            return See(look)
        case WantsReading(installed):
            return Read(record.number, installed)
        case GiveUp(evidence):
            policy = situation.policy
            if situation.seen.is_away and situation.now - situation.blind <= policy.unknown_timeout:
                return Wait(away(policy, situation.unread(), situation.node), evidence)
            revival = revival_of(situation, evidence)
            tried = tale(situation.attempt)
            return revival or Finish(AttemptResult.LOST, (f"{write.component}: {evidence}", *tried))
        case WantsReset(activation, why):
            if isinstance(situation.seen.power, Unknown):
                return patience_with(situation, f"{why}, but power is {situation.seen.power}", AttemptResult.LOST)
            elements = (write.element,)
            is_bmc = activation is Activation.BMC_RESET
            step = ResetBmc(elements, situation.seen.bmc_boot) if is_bmc else host_reset(situation.seen, elements)
            if (starting := until_started(situation, step)) is not None:
                return starting
            decision = unless_refused(situation, Act(step))
            return Finish(AttemptResult.LOST, decision.evidence) if isinstance(decision, Finish) else decision
        case _:
            assert_never(finding)


def open_of(record: StepRecord, step: Flash, situation: Situation) -> Open:
    """Return *record* as doubt.py and effect.py want to be told of it."""
    return Open(
        record,
        step,
        situation.attempt,
        situation.seen,
        situation.policy,
        situation.now,
        situation.since,
        who=situation.node,
        holding=situation.holding,
    )


def when_idle(situation: Situation, step: Step) -> Decision:
    """Act only when the BMC is seen to work on nothing: never write over a write, never reset under one."""
    seen, policy = situation.seen, situation.policy
    if isinstance(step, (ResetHost, ResetBmc)) and isinstance(seen.power, Unknown):
        return patience_with(situation, f"power is {seen.power}", AttemptResult.LOST)
    if (starting := until_started(situation, step) or _until_settled(situation, step)) is not None:
        return starting
    if isinstance(step, ResetBmc) and seen.bmc_boot is NOT_ASKED:
        return See(Look(system=False, bmc=True))  # without its marker nobody could tell that it happened
    if seen.tasks is NOT_ASKED:
        # What waits in a component for its reset is told with the tasks. It costs two requests more, and only
        # an attempt that follows writes of ours needs it: a recovery, or one after an image that was held.
        attempt = situation.attempt
        may_wait = isinstance(step, Write) and (attempt.goal.revives or step.component in attempt.held)
        again = {step.component} if isinstance(step, Write) and may_wait else set()
        return See(Look(system=False, tasks=True, components=frozenset(again)))
    if isinstance(seen.tasks, Unknown):
        return patience_with(situation, f"the BMC's tasks are {seen.tasks}", AttemptResult.LOST)
    running = [task for task in seen.tasks if task.phase is TaskPhase.RUNNING]
    if running:
        if situation.waited() > policy.busy_timeout:
            return end_unharmed(situation, f"the BMC is busy with {running[0].uri}, which is not ours")
        return situation.wait(f"the BMC is busy with {running[0].uri}", policy.busy_timeout)
    if isinstance(step, Write) and (first := _over_staged(situation, step)) is not None:
        return first
    if isinstance(step, StartUpdate) and (begun := _began_by_itself(situation, step)) is not None:
        return begun
    return unless_refused(situation, Act(step, tuple(task.uri for task in seen.tasks)))


def _began_by_itself(situation: Situation, step: StartUpdate) -> Decision | None:
    """Follow an update that a BMC began although it was to wait (P19): it is not told to begin again."""
    write = situation.attempt.last_write(step.component)
    if write is None or not isinstance(write.step, WriteImage) or isinstance(write.receipt, (Refused, type(None))):
        return None
    update = task_after(write, write.receipt.task if isinstance(write.receipt, Accepted) else None, situation.seen)
    finding = None if update is None else follow(open_of(write, write.step, situation), update, programs=True)
    return None if finding is None else of_finding(finding, write, write.step, situation)


def _over_staged(situation: Situation, step: Write) -> Decision | None:
    """Never write over an image that waits: it is a write that is not resolved, whatever its task said.

    A restart of our own resolves it. One that it outlives (it may want the mains cut, P15, P37) is for a person.
    """
    attempt, seen = situation.attempt, situation.seen
    waiting = seen.component(step.component).staged
    if step.component in attempt.staged and isinstance(waiting, Unknown):
        if seen.component(step.component).installed == step.version:
            # Every restart that it may have wanted has passed, and nothing came of it.
            why = f"an image of an earlier attempt may wait in {step.component} unseen; another write would go over it"
            return Finish(AttemptResult.LOST, (why,))
        return None
    if not isinstance(waiting, str):
        return None
    kind = ResetBmc if step.activation is Activation.BMC_RESET else ResetHost
    sent = [type(reset.step) for reset in attempt.resets_after(0)]
    if kind in sent and kind is ResetBmc and ResetHost not in sent and attempt.goal.revives:
        kind = ResetHost  # some images of a BMC wait for their host's restart (P07)
    if kind in sent:
        why = f"{step.component} still has {waiting} staged after a restart; another write would go over it"
        return Finish(AttemptResult.LOST, (why,))
    elements = (step.element,)
    reset = ResetBmc(elements, seen.bmc_boot) if kind is ResetBmc else host_reset(seen, elements)
    return when_idle(situation, reset)


def _until_settled(situation: Situation, step: Step) -> Wait | None:
    """Hold back a reset for one poll after a write: the BMC may restart its host, or itself, unasked (P14).

    Those that do so do it at once, and a second restart would cut off what the first one applies.
    """
    if not isinstance(step, (ResetHost, ResetBmc)) or not step.elements:
        return None
    ends = [r.last_at for r in situation.attempt.steps if isinstance(r.step, Flash) and r.outcome is not None]
    left = situation.policy.poll - (situation.now - max(ends, default=0.0))
    if left <= 0:
        return None
    return Wait(left, "an image was just written; the restart that it wants may come by itself (P14)")


def unless_refused(situation: Situation, act: Act) -> Decision:
    """Hold back a step that the BMC just refused: for good, or until it said to come back."""
    attempt, policy = situation.attempt, situation.policy
    last = attempt.steps[-1] if attempt.steps else None
    unsteady = min(policy.steady - (situation.now - situation.back), policy.steady)
    if situation.back == math.inf:
        return patience_with(situation, "the BMC does not answer all that it is asked", AttemptResult.LOST)
    if unsteady > 0:
        return Wait(unsteady, "the BMC was away a moment ago; one good answer proves nothing (P36)")
    lost = [r for r in attempt.steps if type(r.step) is type(act.step) and r.outcome is Outcome.NEVER_STARTED]
    if isinstance(act.step, (ResetHost, ResetBmc, StageSettings)) and len(lost) >= MOST_STARTS:
        return end_unharmed(situation, f"{describe(act.step)}: sent {len(lost)} times and never seen to happen")
    if isinstance(act.step, ResetBmc):
        act = evolve(act, step=evolve(act.step, means=next_means(attempt, situation.means)))
    if last is None or not isinstance(last.receipt, Refused) or type(last.step) is not type(act.step):
        return act
    receipt = last.receipt
    if isinstance(act.step, ResetBmc) and act.step.means is not None and receipt.ground is not Ground.SAID_NO:
        return act  # it was never sent, and there is another means
    if isinstance(act.step, ResetHost) and _has_no_restart(last.step, receipt) and _is_restart(act.step):
        return evolve(act, step=evolve(act.step, kind=ResetKind.FORCE_OFF))
    if isinstance(act.step, StartUpdate) and lost and (receipt.retry_after is None or receipt.ground is Ground.UNABLE):
        # What it held is gone: the start whose answer was lost has used it, whatever its tasks say.
        why = f"the BMC refused to begin, {receipt.reason}; a start before that was not answered, and may have begun"
        return Finish(AttemptResult.LOST, (why,))
    if receipt.retry_after is None:
        return end_unharmed(situation, f"the BMC refused: {receipt.reason}")
    in_a_row = list(itertools.takewhile(lambda r: isinstance(r.receipt, Refused), reversed(attempt.steps)))
    if situation.waited(in_a_row[-1].at) > policy.busy_timeout:
        return end_unharmed(situation, f"the BMC refused for {policy.busy_timeout:.0f} s: {receipt.reason}")
    wait = refused(policy, receipt.retry_after, last.last_at - in_a_row[-1].at, situation.node)
    due = last.last_at + wait - situation.now
    return act if due <= 0 else Wait(due, f"the BMC said to come back: {receipt.reason}")


def _has_no_restart(step: Step, receipt: Refused) -> bool:
    """Whether *receipt* says that the service has no restart: it may still go off and on (P42)."""
    return _is_restart(step) and receipt.ground is Ground.UNABLE


def _is_restart(step: Step) -> bool:
    return isinstance(step, ResetHost) and step.kind is ResetKind.FORCE_RESTART
