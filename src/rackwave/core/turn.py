"""One turn of a node's deployment: from what is known and seen to the one next thing to do.

The order of questions:
1. Is a step of ours open? Then nothing else counts until it is resolved (unfinished.py, doubt.py).
   Was the BMC restarted because it was dead? Then it is waited for (patience.py, revival.py).
2. Is the host well enough to begin? A recovery does not ask: reviving the host is its business.
3. Is an element not level? Write it, if nobody else is writing and nothing unknown decides.
4. Is something written and not effective? Reset, if nothing is being written; then wait for it.
5. Is the host well? Then the node is level.

Nothing here reads a clock or a socket: ``decide`` may ask for a wider look (``See``) and is then
called again with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from attrs import evolve

from .booting import decide_booting, decide_off
from .decision import Act, Decision, Finish, See, Situation, Wait
from .effect import has_lost_its_host, of_missing
from .event import AttemptResult, Outcome
from .finding import Ended
from .gate import Ill, NotKnown, NotYet, Well, critical_events, judge, log_counts
from .look import full_look, missing_of
from .notation import in_words_of
from .observation import NOT_ASKED, Look, Post, Power, Unknown
from .patience import decide_revived, end_unharmed, patience_with
from .planner import (
    Blocked,
    Coming,
    Impossible,
    Level,
    host_reset,
    in_order,
    plan_node,
    standing,
)
from .restraint import of_finding, open_of, unless_refused, when_idle
from .step import Flash, ResetBmc, ResetHost, StageSettings, Write
from .unfinished import decide_open, failed_write

_INVENTORY_LAGS = 3
"""Times the usual patience for a version that only a person could look for after that: inventories have lagged
by 10 minutes and more (P46, P48)."""


def decide(situation: Situation) -> Decision:
    """Return the one next thing to do for the node."""
    words = in_words_of(situation.bundle, situation.seen, situation.attempt)
    if words is not situation.seen:
        situation = evolve(situation, seen=words)
    # A write in doubt may wait for a reset that is in doubt itself: that one first.
    for record in sorted(situation.attempt.open_steps, key=lambda each: isinstance(each.step, Flash)):
        decision = decide_open(record, situation)
        if decision is not None:
            return decision
    returning = decide_revived(situation)
    if returning is not None:
        return returning
    failed = failed_write(situation)
    if failed is not None:
        return failed
    unwell = _decide_host_before(situation)
    if unwell is not None:
        return unwell
    return _decide_elements(situation)


def _decide_host_before(situation: Situation) -> Decision | None:
    attempt, seen = situation.attempt, situation.seen
    if attempt.planned_resets:
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
        return when_idle(situation, host_reset(seen, ()))
    # What dies after we began counts as the bundle's ("undecided counts as the bundle's").
    dead = AttemptResult.FAILED if attempt.has_begun else AttemptResult.DEAD
    match judge(seen):
        case Well():
            return None
        case Ill(why, is_dead):
            if situation.lasted(attempt.started) < situation.policy.poll:
                return Wait(situation.policy.poll, f"{why}; nobody is restarted on one look")
            if attempt.has_begun and (missing := missing_of(full_look(situation.bundle), seen)) is not None:
                return See(missing)
            if is_dead or attempt.has_begun:
                return Finish(AttemptResult.ILL if _runs_anew(situation) else dead, (why,))
            if situation.lasted(attempt.started) <= situation.policy.effect_timeout:
                return situation.wait(f"{why}; it may pass", situation.policy.effect_timeout, moment=attempt.started)
            return Finish(AttemptResult.LOST, (f"{why}, and what runs on it may be at work: it is not restarted",))
        case NotYet(why):
            if situation.lasted() > situation.policy.reset_timeout:
                return Finish(dead, (f"{why}, for {situation.policy.reset_timeout:.0f} s",))
            return situation.wait(why, situation.policy.reset_timeout)
        case NotKnown(why):
            return patience_with(situation, why, AttemptResult.LOST)


def _runs_anew(situation: Situation) -> bool:
    """Whether something that was written runs already: some makes restart their host unasked (P14)."""
    return any(
        isinstance(record.step, Flash)
        and record.outcome in (Outcome.DONE, Outcome.STAGED)
        and situation.seen.component(record.step.component).installed == record.step.version
        for record in situation.attempt.steps
    )


def _decide_elements(situation: Situation) -> Decision:
    attempt, bundle, seen, policy = situation.attempt, situation.bundle, situation.seen, situation.policy
    booting = decide_off(situation) or decide_booting(situation)
    if booting is not None:
        return booting
    missing = missing_of(full_look(bundle), seen)
    if missing is not None:
        return See(missing)
    coming: list[Coming] = []
    for element in in_order(bundle):
        match standing(element, bundle, attempt.goal, seen, attempt):
            case Impossible(why):
                return end_unharmed(situation, f"{element.name}: {why}")
            case Blocked(why):
                return patience_with(situation, f"{element.name}: {why}", _of_blocked(situation))
            case Coming() as standing_:
                coming.append(standing_)
            case _:
                pass
    plan = plan_node(situation.node, attempt.goal, bundle, seen, attempt=attempt)
    if plan.blocked:
        return end_unharmed(situation, "; ".join(f"{n.element}: {n.text}" for n in plan.notes if n.blocks))
    for step in plan.steps:
        if isinstance(step, StageSettings):
            return unless_refused(situation, Act(step))
        if isinstance(step, Write) and not step.expects and situation.waited() <= policy.settle:
            # A recovery may write over what it cannot read (P41); but answers lack parts for 20 s at times (P25).
            return Wait(policy.poll, f"{step.component} cannot be read; that may pass")
        return when_idle(situation, step)
    return _decide_coming(situation, coming) if coming else _decide_gate(situation)


def _of_blocked(situation: Situation) -> AttemptResult:
    """How it ends where something that decides stays unreadable.

    A restart that leaves the host dead has failed, whatever cannot be read of it: the next rung may write (P41).
    """
    match judge(situation.seen):
        case Ill(dead=True):
            left_dead = situation.attempt.goal.restart
        case NotYet():  # some makes call a hang POST that goes on; the gate fails a host for that, too
            resets = situation.attempt.planned_resets
            past = bool(resets) and situation.waited(resets[-1].at) > situation.policy.reset_timeout
            left_dead = situation.attempt.goal.restart and past
        case _:
            left_dead = False
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
                return when_idle(situation, ResetBmc((step.element,), seen.bmc_boot))
        return patience_with(situation, "; ".join(told), AttemptResult.FAILED)
    if not unread and not _effect_is_overdue(situation):
        return situation.wait("; ".join(told), policy.effect_timeout)
    if unread and (seen.is_away or seen.post is Post.FAILED):
        # A host that is dead is sent an image before it is restarted, whatever waits (P41).
        return patience_with(situation, "; ".join(told), AttemptResult.FAILED)
    for record, step in flashes:
        if record.outcome in (Outcome.DONE, Outcome.STAGED):
            finding = of_missing(open_of(record, step, situation))
            is_late = isinstance(finding, Ended) and finding.outcome is Outcome.UNSEEN and not unread
            if is_late and situation.waited() <= (limit := _INVENTORY_LAGS * policy.effect_timeout):
                return situation.wait("; ".join(told), limit)  # what would be for a person may still come (P46)
            return of_finding(finding, record, step, situation)
    return Finish(AttemptResult.FAILED, told)


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
                return when_idle(situation, host_reset(seen, ()))
            if seen.post is not Post.FAILED and waited <= policy.effect_timeout:
                return situation.wait(f"{why}; it may pass", policy.effect_timeout)
            is_off = seen.power is Power.OFF  # whatever keeps it off: nothing of it runs that could be ill
            return Finish(AttemptResult.FAILED if is_off else AttemptResult.ILL, (why,))
        case NotYet(why):
            resets = attempt.planned_resets
            since = resets[-1].last_at if resets and isinstance(resets[-1].step, ResetHost) else None
            if situation.waited(since) <= policy.reset_timeout:
                return situation.wait(why, policy.reset_timeout, moment=since)
            return Finish(AttemptResult.ILL, (f"{why}, for {policy.reset_timeout:.0f} s",))
        case NotKnown(why):
            return patience_with(situation, why, AttemptResult.FAILED)
        case _:
            assert_never(verdict)


def _ask_log(situation: Situation) -> Decision | str:
    """Ask the machine's own event log, the last witness: what it says for the evidence, or what to do instead."""
    attempt, seen = situation.attempt, situation.seen
    counts = log_counts(situation.policy, situation.bundle)
    if not counts or not attempt.is_marked:
        return ""
    if attempt.mark is not None and seen.log is NOT_ASKED:
        return See(Look(system=False, log=True, since=attempt.mark))
    if attempt.mark is None or isinstance(seen.log, Unknown):
        reason = "it could not be read before" if attempt.mark is None else str(seen.log)
        why = f"event log not heard: {reason}"
        return why if counts == 1 else patience_with(situation, why, AttemptResult.FAILED)
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
