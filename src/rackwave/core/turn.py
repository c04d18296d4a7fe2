"""One turn of a node's deployment: from what is known and seen to the one next thing to do.

The order of questions:
1. Is a step of ours open? Then nothing else counts until it is resolved (doubt.py).
   Was the BMC restarted because it was dead? Then it is waited for (revival.py).
2. Is the host well enough to begin? A recovery does not ask: reviving the host is its business.
3. Is an element not level? Write it, if nobody else is writing and nothing unknown decides.
4. Is something written and not effective? Reset, if nothing is being written; then wait for it.
5. Is the host well? Then the node is level.

Nothing here reads a clock or a socket: ``decide`` may ask for a wider look (``See``) and is then
called again with it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TypeAlias, assert_never

from attrs import evolve, frozen

from .bundle import Activation, Bundle
from .doubt import resolve
from .effect import has_lost_its_host, of_missing
from .event import AttemptResult, Outcome
from .finding import Ended, Finding, GiveUp, Holding, Open, StillOpen, WantsLook, WantsReading, WantsReset
from .gate import Ill, NotKnown, NotYet, Well, critical_events, judge
from .history import Attempt, StepRecord
from .identity import NodeName
from .look import full_look, missing_of
from .observation import NOT_ASKED, Look, Observation, Post, Power, TaskPhase, Unknown
from .pace import away, next_look
from .planner import (
    Blocked,
    Coming,
    Impossible,
    Level,
    host_reset,
    in_order,
    is_unmarked,
    plan_node,
    standing,
    was_effective,
)
from .policy import Policy
from .receipt import Accepted, Ground, Refused
from .revival import Back, InVain, NotNow, Returning, Revive, StillAway, next_means, returned, revivals, revive, tale
from .step import Flash, Means, ResetBmc, ResetHost, ResetKind, StageSettings, StartUpdate, Step, WriteImage, describe
from .tracking import follow, task_after

_MOST_STARTS = 3
"""How often a StartUpdate is sent that provably never began, and a reset or settings that were not seen to
come: requests that get lost more often than that are no accident."""


_INVENTORY_LAGS = 3
"""Times the usual patience for a version that only a person could look for after that: inventories have lagged
by 10 minutes and more (P46, P48)."""


@frozen
class See:
    """Look at this, then decide again, in the same turn."""

    look: Look


@frozen
class Act:
    """Journal the intent, send *step* once, journal the receipt. *known_tasks* go into the intent."""

    step: Step
    known_tasks: tuple[str, ...] = ()


@frozen
class Wait:
    """Come back after *seconds*."""

    seconds: float
    why: str


@frozen
class Resolve:
    """Journal how step *number* ended."""

    number: int
    outcome: Outcome
    evidence: str


@frozen
class Read:
    """Journal a reading for the write *number* that is in doubt."""

    number: int
    installed: str


@frozen
class Finish:
    """The attempt is over."""

    result: AttemptResult
    evidence: tuple[str, ...]


Decision: TypeAlias = See | Act | Wait | Resolve | Read | Finish


@frozen
class Situation:
    """Everything a turn decides from. *holding* is None until somebody asked the image server.

    *since* is when this process first looked at the attempt: time in which nobody looked is no
    patience spent, or one bad reading after a long outage of ours would condemn a node. *usual* is what
    the attempt's last step took before, in seconds, where anybody knows. *means* are those by which its
    BMC may be restarted, *revived* when that was done of late. *back* is when this process found it there
    again after it was away: infinity while it is away. *blind* is since when it could not read all it asked
    for, *unchanged* since when it has seen the host in the state that it is in: patience is spent by what goes
    on, not by what an attempt waited for before. *was_held_back*: somebody's hold or work kept the next step back.
    """

    node: NodeName
    attempt: Attempt
    bundle: Bundle
    policy: Policy
    now: float
    seen: Observation
    holding: Holding | None = None
    since: float = 0.0
    usual: float | None = None
    means: tuple[Means, ...] = ()
    revived: tuple[float, ...] = ()
    back: float = -math.inf
    blind: float = -math.inf
    unchanged: float = -math.inf
    was_held_back: bool = False

    def waited(self, moment: float | None = None) -> float:
        """Return for how long it has been watched since *moment*, or since the last news of the attempt."""
        return self.now - max(self.attempt.last_at if moment is None else moment, self.since)

    def unread(self) -> float:
        """Return for how long of `waited` something could not be read."""
        return min(self.waited(), self.now - self.blind)

    def lasted(self, moment: float | None = None) -> float:
        """Return for how long of `waited` the host has been as it is."""
        return min(self.waited(moment), self.now - self.unchanged)

    def wait(self, why: str, limit: float, *, moment: float | None = None) -> Wait:
        """Return the wait for what began at *moment* (the attempt's last news), given up after *limit* seconds."""
        waited = self.waited(moment)
        return Wait(next_look(self.policy, waited, deadline=limit - waited), why)


def decide(situation: Situation) -> Decision:
    """Return the one next thing to do for the node."""
    # A write in doubt may wait for a reset that is in doubt itself: that one first.
    for record in sorted(situation.attempt.open_steps, key=lambda each: isinstance(each.step, Flash)):
        decision = _decide_open(record, situation)
        if decision is not None:
            return decision
    returning = _decide_revived(situation)
    if returning is not None:
        return returning
    failed = _failed_write(situation)
    if failed is not None:
        return failed
    unwell = _decide_host_before(situation)
    if unwell is not None:
        return unwell
    return _decide_elements(situation)


# -- 1. what is open ------------------------------------------------------------------------


def _decide_open(record: StepRecord, situation: Situation) -> Decision | None:
    match record.step:
        case WriteImage() | StartUpdate() as step:
            return _decide_open_write(record, step, situation)
        case StageSettings():
            return _decide_open_settings(record, situation)
        case ResetHost() | ResetBmc():
            return _decide_open_reset(record, situation)
        case _:
            assert_never(record.step)


def _decide_open_write(record: StepRecord, write: Flash, situation: Situation) -> Decision | None:
    finding = resolve(
        record,
        write,
        attempt=situation.attempt,
        seen=situation.seen,
        holding=situation.holding,
        policy=situation.policy,
        now=situation.now,
        since=situation.since,
        usual=situation.usual if record is situation.attempt.steps[-1] else None,
        who=situation.node,
    )
    return _of_finding(finding, record, write, situation)


def _of_finding(finding: Finding, record: StepRecord, write: Flash, situation: Situation) -> Decision:
    match finding:
        case Ended(outcome, evidence):
            return Resolve(record.number, outcome, evidence)
        case StillOpen(seconds, why):
            if situation.unread() > situation.policy.unknown_timeout:
                revival = _revival(situation, why)
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
            revival = _revival(situation, evidence)
            tried = tale(situation.attempt)
            return revival or Finish(AttemptResult.LOST, (f"{write.component}: {evidence}", *tried))
        case WantsReset(activation, why):
            if isinstance(situation.seen.power, Unknown):
                return _patience(situation, f"{why}, but power is {situation.seen.power}", AttemptResult.LOST)
            elements = (write.element,)
            is_bmc = activation is Activation.BMC_RESET
            step = ResetBmc(elements, situation.seen.bmc_boot) if is_bmc else host_reset(situation.seen, elements)
            if (starting := _until_started(situation, step)) is not None:
                return starting
            decision = _unless_refused(situation, Act(step))
            return Finish(AttemptResult.LOST, decision.evidence) if isinstance(decision, Finish) else decision
        case _:
            assert_never(finding)


def _decide_open_settings(record: StepRecord, situation: Situation) -> Decision:
    """Staging settings again is harmless, so all that counts is whether it is still to be done."""
    seen = situation.seen
    if seen.settings is NOT_ASKED:
        return See(full_look(situation.bundle))
    if isinstance(seen.settings, Unknown):
        return _patience(situation, f"BIOS settings are {seen.settings}", AttemptResult.FAILED)
    assert isinstance(record.step, StageSettings)  # noqa: S101 - the caller matched it
    wanted = record.step.attributes.items()
    staged = seen.staged_settings
    there = all(seen.settings.get(name) == value for name, value in wanted) or (
        not isinstance(staged, Unknown)
        and all(value in (staged.get(name), seen.settings.get(name)) for name, value in wanted)
    )
    if there:
        return Resolve(record.number, Outcome.DONE, "the settings are staged")
    return Resolve(record.number, Outcome.NEVER_STARTED, "the settings are not staged")


def _decide_open_reset(record: StepRecord, situation: Situation) -> Decision | None:
    """A reset whose answer was lost: another boot proves it; the same one after a while disproves it.

    None where it is proven and the last that was planned: ``_decide_booting`` sees it through.
    """
    seen, policy = situation.seen, situation.policy
    before = record.step.boot if isinstance(record.step, (ResetHost, ResetBmc)) else NOT_ASKED
    is_host = isinstance(record.step, ResetHost)
    marker = seen.boot if is_host else seen.bmc_boot
    if marker is NOT_ASKED:
        return See(Look(system=is_host, bmc=not is_host))
    if was_effective(record, seen):
        if record in _planned_resets(situation.attempt)[-1:]:
            return None
        return Resolve(record.number, Outcome.DONE, "another boot than before")
    if not is_host and isinstance(before, Unknown) and not seen.is_away and record.at < situation.back <= situation.now:
        # Most BMCs are gone before they answer, and not all of them mark their boots.
        return Resolve(record.number, Outcome.DONE, "the BMC was away after it, and answers again")
    if situation.now - record.at < min(policy.settle, policy.reset_timeout):
        return Wait(policy.poll, "whether the reset was taken is not known yet")
    if isinstance(marker, Unknown) and (not isinstance(before, Unknown) or (seen.is_away and not is_host)):
        return _patience(situation, f"the boot marker is {marker}", AttemptResult.LOST)
    if is_host and isinstance(seen.post, Unknown):
        return _patience(situation, f"POST is {seen.post}", AttemptResult.LOST)
    if is_host and seen.post is Post.RUNNING and situation.waited() <= policy.reset_timeout:
        return situation.wait("the host is starting", policy.reset_timeout)
    return Resolve(record.number, Outcome.NEVER_STARTED, "it is where it was: no reset was seen")


def _failed_write(situation: Situation) -> Decision | None:
    """A write that failed ends the attempt: a second write of one digest is for another attempt.

    A StartUpdate that provably never began may be sent again, a few times: its image is held still.
    """
    lost = 0
    for record in situation.attempt.steps:
        match record.step, record.outcome:
            case ((WriteImage() | StartUpdate() as step), Outcome.UNSEEN) if step.activation is Activation.HOST_RESET:
                return Finish(AttemptResult.LOST, (f"{step.component}: {record.evidence}",))
            case ((WriteImage() | StartUpdate() as step), Outcome.FAILED | Outcome.UNSEEN):
                return Finish(AttemptResult.FAILED, (f"{step.component}: {record.evidence}",))
            case WriteImage() as step, Outcome.NEVER_STARTED:
                return _end_unharmed(situation, f"{step.component}: {record.evidence}")
            case StartUpdate() as step, Outcome.NEVER_STARTED:
                lost += 1
                if lost >= _MOST_STARTS:
                    return _end_unharmed(situation, f"{step.component}: {record.evidence}, {lost} times")
            case _:
                pass
    return None


# -- 2. the host before anything is done ------------------------------------------------------


def _decide_host_before(situation: Situation) -> Decision | None:
    attempt, seen = situation.attempt, situation.seen
    if _planned_resets(attempt):
        return None
    if seen.power is NOT_ASKED:  # a turn that only followed a task, which has just ended
        return See(Look())
    if attempt.goal.revives:
        # An earlier attempt's reset may still be applying an image during POST: do not write or reset into it.
        patience = situation.policy.reset_timeout
        if seen.post is Post.RUNNING and situation.lasted(attempt.started) <= patience:
            return situation.wait("the host is starting", patience, moment=attempt.started)
        if not attempt.goal.restart or (situation.was_held_back and isinstance(judge(seen), Well)):
            return None  # whoever held it has brought it up again, and may have work on it
        return _when_idle(situation, host_reset(seen, ()))
    # What dies after we began counts as the bundle's ("undecided counts as the bundle's").
    dead = AttemptResult.FAILED if attempt.has_begun else AttemptResult.DEAD
    match judge(seen):
        case Well():
            return None
        case Ill(why, is_dead):
            if situation.lasted(attempt.started) < situation.policy.poll:
                return Wait(situation.policy.poll, f"{why}; nobody is restarted on one look")
            if is_dead or attempt.has_begun:
                return Finish(dead, (why,))
            if situation.lasted(attempt.started) <= situation.policy.effect_timeout:
                return situation.wait(f"{why}; it may pass", situation.policy.effect_timeout, moment=attempt.started)
            return Finish(AttemptResult.LOST, (f"{why}, and what runs on it may be at work: it is not restarted",))
        case NotYet(why):
            if situation.lasted() > situation.policy.reset_timeout:
                return Finish(dead, (f"{why}, for {situation.policy.reset_timeout:.0f} s",))
            return situation.wait(why, situation.policy.reset_timeout)
        case NotKnown(why):
            return _patience(situation, why, AttemptResult.LOST)


# -- 3 to 5. elements, resets, the gate --------------------------------------------------------


def _decide_elements(situation: Situation) -> Decision:
    attempt, bundle, seen, policy = situation.attempt, situation.bundle, situation.seen, situation.policy
    booting = _decide_off(situation) or _decide_booting(situation)
    if booting is not None:
        return booting
    missing = missing_of(full_look(bundle), seen)
    if missing is not None:
        return See(missing)
    coming: list[Coming] = []
    for element in in_order(bundle):
        match standing(element, bundle, attempt.goal, seen, attempt):
            case Impossible(why):
                return _end_unharmed(situation, f"{element.name}: {why}")
            case Blocked(why):
                return _patience(situation, f"{element.name}: {why}", _of_blocked(situation))
            case Coming() as standing_:
                coming.append(standing_)
            case _:
                pass
    plan = plan_node(situation.node, attempt.goal, bundle, seen, attempt=attempt)
    if plan.blocked:
        return _end_unharmed(situation, "; ".join(f"{n.element}: {n.text}" for n in plan.notes if n.blocks))
    for step in plan.steps:
        if isinstance(step, StageSettings):
            return _unless_refused(situation, Act(step))
        if isinstance(step, WriteImage) and not step.expects and situation.waited() <= policy.settle:
            # A recovery may write over what it cannot read (P41); but answers lack parts for 20 s at times (P25).
            return Wait(policy.poll, f"{step.component} cannot be read; that may pass")
        return _when_idle(situation, step)
    return _decide_coming(situation, coming) if coming else _decide_gate(situation)


def _of_blocked(situation: Situation) -> AttemptResult:
    """How it ends where something that decides stays unreadable.

    A restart that leaves the host dead has failed, whatever cannot be read of it: the next rung may write (P41).
    """
    verdict = judge(situation.seen)
    left_dead = situation.attempt.goal.restart and isinstance(verdict, Ill) and verdict.dead
    return AttemptResult.FAILED if left_dead else AttemptResult.LOST


def _decide_coming(situation: Situation, coming: Sequence[Coming]) -> Decision:
    """What was written and restarted for is not there yet: wait for it, or find out what became of it."""
    policy, seen = situation.policy, situation.seen
    told = tuple(c.why for c in coming)
    unread = any(c.unread for c in coming)
    records = [r for r in situation.attempt.steps if r.number in {c.number for c in coming}]
    flashes = [(r, r.step) for r in records if isinstance(r.step, Flash)]
    if unread and situation.unread() <= policy.unknown_timeout:
        for record, step in flashes:
            if situation.waited() > policy.effect_timeout and has_lost_its_host(
                record, step, attempt=situation.attempt, seen=seen
            ):
                return _when_idle(situation, ResetBmc((step.element,), seen.bmc_boot))
        return _patience(situation, "; ".join(told), AttemptResult.FAILED)
    if not unread and not _effect_is_overdue(situation):
        return situation.wait("; ".join(told), policy.effect_timeout)
    if unread and (seen.is_away or seen.post is Post.FAILED):
        # A host that is dead is sent an image before it is restarted, whatever waits (P41).
        return _patience(situation, "; ".join(told), AttemptResult.FAILED)
    for record, step in flashes:
        if record.outcome in (Outcome.DONE, Outcome.STAGED):
            finding = of_missing(_open(record, step, situation))
            is_late = isinstance(finding, Ended) and finding.outcome is Outcome.UNSEEN and not unread
            if is_late and situation.waited() <= (limit := _INVENTORY_LAGS * policy.effect_timeout):
                return situation.wait("; ".join(told), limit)  # what would be for a person may still come (P46)
            return _of_finding(finding, record, step, situation)
    return Finish(AttemptResult.FAILED, told)


def _open(record: StepRecord, step: Flash, situation: Situation) -> Open:
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


def _decide_booting(situation: Situation) -> Decision | None:
    """While a reset has not been seen through, only the host's own word is of use."""
    attempt, seen, policy = situation.attempt, situation.seen, situation.policy
    resets = _planned_resets(attempt)
    if not resets:
        return None
    last = resets[-1]
    passed = situation.now - last.last_at
    if last.outcome is not None:
        if isinstance(last.step, ResetBmc) and passed < policy.steady:
            return Wait(policy.steady - passed, "the BMC is back; one good answer proves nothing (P36)")
        return None
    why = ""
    if isinstance(last.step, ResetBmc) and seen.bmc_boot is NOT_ASKED:
        return See(Look(system=False, bmc=True))
    if not was_effective(last, seen):
        why = "its reset has not been seen to happen"
    elif is_unmarked(last) and passed < policy.settle:
        why = "the BMC marks no boots, so that what it says now may still be from before the reset"
    elif isinstance(last.step, ResetHost) and seen.power is Power.OFF and passed > policy.settle:
        pass  # no power cycle lasts that long: it has gone off again
    elif isinstance(last.step, ResetHost) and seen.post in (Post.RUNNING, Post.NOT_RUNNING):
        why = "the host is starting"
    elif isinstance(last.step, ResetHost) and isinstance(seen.post, Unknown):
        why = f"POST is {seen.post}"
    if not why:
        return Resolve(last.number, Outcome.DONE, f"restarted; POST {seen.post}")
    if situation.waited(last.last_at) > policy.reset_timeout:
        late = f"{why}, for {policy.reset_timeout:.0f} s"
        if isinstance(last.step, ResetBmc) and last.step.boot == seen.bmc_boot and not is_unmarked(last):
            if next_means(attempt, situation.means, but=last.step.means) is not None:
                return Resolve(last.number, Outcome.NEVER_STARTED, f"{late}; the BMC runs on as before (P38)")
            return Finish(AttemptResult.FAILED, (late,))
        if (
            isinstance(last.step, ResetHost)
            and seen.post in (Post.RUNNING, Post.NOT_RUNNING)
            and was_effective(last, seen)
        ):
            # Many makes tell a hang in POST as POST that goes on. The restart happened all the same: what
            # waited for it waits no more, and what comes of it is for the gate to judge.
            return Resolve(last.number, Outcome.DONE, f"restarted; {late}")
        return _revival(situation, late) or Finish(AttemptResult.FAILED, (late, *tale(attempt)))
    left = policy.reset_timeout - situation.waited(last.last_at)
    usual = situation.usual if last is attempt.steps[-1] else None
    return Wait(next_look(policy, passed, usual=usual, deadline=left), why)


def _decide_off(situation: Situation) -> Decision | None:
    """See through the restart of a service that has none (P42): the host is off, then it is switched on."""
    seen, policy = situation.seen, situation.policy
    last = next(reversed(_planned_resets(situation.attempt)), None)
    if last is None or not isinstance(last.step, ResetHost) or last.step.kind is not ResetKind.FORCE_OFF:
        return None
    if last.outcome is None:
        if was_effective(last, seen):
            return Resolve(last.number, Outcome.DONE, "the host is off; it is switched on next")
        if situation.waited(last.last_at) > policy.reset_timeout:
            return Finish(AttemptResult.FAILED, (f"the host does not go off, for {policy.reset_timeout:.0f} s",))
        return Wait(policy.poll, "the host is going off")
    if isinstance(seen.power, Unknown):
        return _patience(situation, f"power is {seen.power}", AttemptResult.LOST)
    if seen.power is Power.CHANGING:
        if situation.waited(last.last_at) > policy.reset_timeout:
            return Finish(AttemptResult.FAILED, (f"the host's power is changing, for {policy.reset_timeout:.0f} s",))
        return Wait(policy.poll, "the host's power is changing")
    # Seen on, it was started by somebody else, or by itself: that is a restart, too.
    return _when_idle(situation, host_reset(seen, last.step.elements)) if seen.power is Power.OFF else None


def _decide_gate(situation: Situation) -> Decision:
    """Everything reports the right version: is the node well with it?"""
    attempt, policy, seen = situation.attempt, situation.policy, situation.seen
    verdict = judge(seen)
    waited = situation.waited()
    match verdict:
        case Well(evidence):
            levels = tuple(
                state.evidence
                for element in in_order(situation.bundle)
                if isinstance(state := standing(element, situation.bundle, attempt.goal, seen, attempt), Level)
            )
            spoken = _ask_log(situation)
            return (
                spoken
                if not isinstance(spoken, str)
                else Finish(AttemptResult.LEVEL, (*levels, *evidence, *filter(None, (spoken,))))
            )
        case Ill(why, is_dead):
            if is_dead and _may_revive(situation):
                if situation.lasted() < policy.poll:
                    return Wait(policy.poll, f"{why}; nobody is restarted on one look")
                return _when_idle(situation, host_reset(seen, ()))
            if seen.post is not Post.FAILED and waited <= policy.effect_timeout:
                return situation.wait(f"{why}; it may pass", policy.effect_timeout)
            return Finish(AttemptResult.FAILED, (why,))
        case NotYet(why):
            resets = _planned_resets(attempt)
            since = resets[-1].last_at if resets and isinstance(resets[-1].step, ResetHost) else None
            if situation.waited(since) <= policy.reset_timeout:
                return situation.wait(why, policy.reset_timeout, moment=since)
            return Finish(AttemptResult.FAILED, (f"{why}, for {policy.reset_timeout:.0f} s",))
        case NotKnown(why):
            return _patience(situation, why, AttemptResult.FAILED)
        case _:
            assert_never(verdict)


def _ask_log(situation: Situation) -> Decision | str:
    """Ask the machine's own event log, the last witness: what it says for the evidence, or what to do instead."""
    attempt, policy, seen = situation.attempt, situation.policy, situation.seen
    if not policy.critical_events or not attempt.is_marked:
        return ""
    if attempt.mark is not None and seen.log is NOT_ASKED:
        return See(Look(system=False, log=True, since=attempt.mark))
    if attempt.mark is None or isinstance(seen.log, Unknown):
        reason = "it could not be read before" if attempt.mark is None else str(seen.log)
        why = f"event log not heard: {reason}"
        return why if policy.critical_events == 1 else _patience(situation, why, AttemptResult.FAILED)
    if critical := critical_events(seen.log):
        told = "; ".join(entry.message for entry in critical[:3])
        more = f" and {len(critical) - 3} more" if len(critical) > 3 else ""
        return Finish(AttemptResult.FAILED, (f"new critical events: {told}{more}",))
    cleared = ", which was cleared meanwhile" if seen.log.cleared else ""
    return f"no new critical events in its log{cleared}"


def _may_revive(situation: Situation) -> bool:
    """A recovery that had nothing to write has not restarted the host yet."""
    attempt = situation.attempt
    return attempt.goal.revives and not any(isinstance(r.step, ResetHost) for r in attempt.resets_after(0))


def _effect_is_overdue(situation: Situation) -> bool:
    """POST is through, and the inventory has had its time to catch up (P46)."""
    return situation.seen.post is Post.FAILED or situation.waited() > situation.policy.effect_timeout


def _when_idle(situation: Situation, step: Step) -> Decision:
    """Act only when the BMC is seen to work on nothing: never write over a write, never reset under one."""
    seen, policy = situation.seen, situation.policy
    if isinstance(step, (ResetHost, ResetBmc)) and isinstance(seen.power, Unknown):
        return _patience(situation, f"power is {seen.power}", AttemptResult.LOST)
    if (starting := _until_started(situation, step) or _until_settled(situation, step)) is not None:
        return starting
    if isinstance(step, ResetBmc) and seen.bmc_boot is NOT_ASKED:
        return See(Look(system=False, bmc=True))  # without its marker nobody could tell that it happened
    if seen.tasks is NOT_ASKED:
        # What waits in a component for its reset is told with the tasks. It costs two requests more, and only
        # an attempt that follows writes of ours needs it: a recovery, or one after an image that was held.
        attempt = situation.attempt
        may_wait = isinstance(step, WriteImage) and (attempt.goal.revives or step.component in attempt.held)
        again = {step.component} if isinstance(step, WriteImage) and may_wait else set()
        return See(Look(system=False, tasks=True, components=frozenset(again)))
    if isinstance(seen.tasks, Unknown):
        return _patience(situation, f"the BMC's tasks are {seen.tasks}", AttemptResult.LOST)
    running = [task for task in seen.tasks if task.phase is TaskPhase.RUNNING]
    if running:
        if situation.waited() > policy.busy_timeout:
            return _end_unharmed(situation, f"the BMC is busy with {running[0].uri}, which is not ours")
        return situation.wait(f"the BMC is busy with {running[0].uri}", policy.busy_timeout)
    if isinstance(step, WriteImage) and (first := _over_staged(situation, step)) is not None:
        return first
    if isinstance(step, StartUpdate) and (begun := _began_by_itself(situation, step)) is not None:
        return begun
    return _unless_refused(situation, Act(step, tuple(task.uri for task in seen.tasks)))


def _began_by_itself(situation: Situation, step: StartUpdate) -> Decision | None:
    """Follow an update that a BMC began although it was to wait (P19): it is not told to begin again."""
    write = situation.attempt.last_write(step.component)
    if write is None or not isinstance(write.step, WriteImage) or isinstance(write.receipt, (Refused, type(None))):
        return None
    update = task_after(write, write.receipt.task if isinstance(write.receipt, Accepted) else None, situation.seen)
    finding = None if update is None else follow(_open(write, write.step, situation), update, programs=True)
    return None if finding is None else _of_finding(finding, write, write.step, situation)


def _over_staged(situation: Situation, step: WriteImage) -> Decision | None:
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
    return _when_idle(situation, reset)


def _until_started(situation: Situation, step: Step) -> Wait | None:
    """Hold back a reset while the host is in POST: that may be applying an image, ours or a stranger's (P15)."""
    is_starting = isinstance(step, (ResetHost, ResetBmc)) and situation.seen.post is Post.RUNNING
    if is_starting and situation.lasted() <= situation.policy.reset_timeout:
        return situation.wait("the host is starting; no reset into that", situation.policy.reset_timeout)
    return None


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


def _unless_refused(situation: Situation, act: Act) -> Decision:
    """Hold back a step that the BMC just refused: for good, or until it said to come back."""
    attempt, policy = situation.attempt, situation.policy
    last = attempt.steps[-1] if attempt.steps else None
    unsteady = min(policy.steady - (situation.now - situation.back), policy.steady)
    if situation.back == math.inf:
        return _patience(situation, "the BMC does not answer all that it is asked", AttemptResult.LOST)
    if unsteady > 0:
        return Wait(unsteady, "the BMC was away a moment ago; one good answer proves nothing (P36)")
    lost = [r for r in attempt.steps if type(r.step) is type(act.step) and r.outcome is Outcome.NEVER_STARTED]
    if isinstance(act.step, (ResetHost, ResetBmc, StageSettings)) and len(lost) >= _MOST_STARTS:
        return _end_unharmed(situation, f"{describe(act.step)}: sent {len(lost)} times and never seen to happen")
    if isinstance(act.step, ResetBmc):
        act = evolve(act, step=evolve(act.step, means=next_means(attempt, situation.means)))
    if last is None or not isinstance(last.receipt, Refused) or type(last.step) is not type(act.step):
        return act
    receipt = last.receipt
    if isinstance(act.step, ResetBmc) and act.step.means is not None and receipt.ground is not Ground.SAID_NO:
        return act  # it was never sent, and there is another means
    if isinstance(act.step, ResetHost) and _has_no_restart(last.step, receipt) and _is_restart(act.step):
        return evolve(act, step=evolve(act.step, kind=ResetKind.FORCE_OFF))
    if receipt.retry_after is None:
        return _end_unharmed(situation, f"the BMC refused: {receipt.reason}")
    in_a_row = list(itertools.takewhile(lambda r: isinstance(r.receipt, Refused), reversed(attempt.steps)))
    if situation.waited(in_a_row[-1].at) > policy.busy_timeout:
        return _end_unharmed(situation, f"the BMC refused for {policy.busy_timeout:.0f} s: {receipt.reason}")
    due = last.last_at + max(receipt.retry_after, policy.poll) - situation.now
    return act if due <= 0 else Wait(due, f"the BMC said to come back: {receipt.reason}")


def _end_unharmed(situation: Situation, why: str) -> Finish:
    """End the attempt as failed, and say so where the node is provably as it was before."""
    has_begun = situation.attempt.has_begun
    return Finish(AttemptResult.FAILED if has_begun else AttemptResult.NOTHING_WRITTEN, (why,))


def _patience(situation: Situation, why: str, result: AttemptResult) -> Decision:
    """Wait for what cannot be read, and give up after the policy's time."""
    policy = situation.policy
    waited = situation.unread()
    if waited <= policy.unknown_timeout and not _is_refused_revival(situation.attempt):
        # A silent BMC is asked less and less often: it may be the one that is rebooting.
        return Wait(away(policy, waited, situation.node), why)
    late = f"{why}, for {policy.unknown_timeout:.0f} s"
    return _revival(situation, late) or Finish(result, (late, *tale(situation.attempt)))


# -- a BMC that no longer answers --------------------------------------------------------------


def _revival(situation: Situation, why: str) -> Act | Wait | None:
    """Restart a BMC that patience has been lost with; None where there is nothing to try, or no more."""
    answer = revive(
        situation.attempt,
        seen=situation.seen,
        means=situation.means,
        earlier=situation.revived,
        policy=situation.policy,
        now=situation.now,
        why=why,
    )
    match answer:
        case None:
            return None
        case NotNow(seconds, reason):
            return Wait(min(seconds, 30.0), reason)
        case Revive(step):
            return _until_started(situation, step) or Act(step)
        case _:
            assert_never(answer)


def _decide_revived(situation: Situation) -> Decision | None:
    """Wait for a BMC that was restarted because it did not answer: steadily back, or the next means."""
    tried = revivals(situation.attempt)
    if not tried or isinstance(tried[-1].receipt, Refused):
        return None
    last, seen, policy = tried[-1], situation.seen, situation.policy
    if last.outcome is Outcome.DONE and (left := policy.steady - (situation.now - last.last_at)) > 0:
        return Wait(left, "the BMC is back; one good answer proves nothing (P36)")
    if last.outcome is not None or not last.was_accepted:
        return None
    if seen.bmc_boot is NOT_ASKED:
        return See(Look(system=False, bmc=True))
    answer = returned(last, seen=seen, policy=policy, now=situation.now)
    match answer:
        case Back(evidence):
            return Resolve(last.number, Outcome.DONE, evidence)
        case InVain(evidence):
            return Resolve(last.number, Outcome.NEVER_STARTED, evidence)
        case Returning(why):
            return Wait(policy.poll, why)
        case StillAway(why):
            return _patience(situation, why, AttemptResult.LOST)
        case _:
            assert_never(answer)


def _has_no_restart(step: Step, receipt: Refused) -> bool:
    """Whether *receipt* says that the service has no restart: it may still go off and on (P42)."""
    return _is_restart(step) and receipt.ground is Ground.UNABLE


def _is_restart(step: Step) -> bool:
    return isinstance(step, ResetHost) and step.kind is ResetKind.FORCE_RESTART


def _planned_resets(attempt: Attempt) -> tuple[StepRecord, ...]:
    """Return the resets that were sent for the goal's sake, not to revive the BMC."""
    return tuple(
        record for record in attempt.resets_after(0) if not (isinstance(record.step, ResetBmc) and record.step.revives)
    )


def _is_refused_revival(attempt: Attempt) -> bool:
    """Whether the last thing that was tried is a restart of a dead BMC that was never sent: no wait is due after it."""
    tried = revivals(attempt)
    return bool(tried) and tried[-1] is attempt.steps[-1] and isinstance(tried[-1].receipt, Refused)
