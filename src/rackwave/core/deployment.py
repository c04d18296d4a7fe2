"""What follows when an attempt ends: events in, events out, to be journalled in one piece.

A node's way through a rollout is a chain of attempts. Each link is decided here from the history
alone, so that a killed run goes on from the journal exactly where it stood:

    attempt level      -> committed; a recovery ends; the rollout notes where the node is
    nothing written    -> the same goal again, as often as policy allows
    found dead         -> the policy for failures that no bundle is to blame for
    failed             -> roll back
    nobody can know    -> quarantine
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias, assert_never

from attrs import evolve, frozen

from .attempt import Attempt
from .attribution import attribute, cohort_of, sign_of, sign_of_illness
from .blame import Blame, Sign
from .event import (
    Assigned,
    AttemptEnded,
    AttemptResult,
    AttemptStarted,
    Attributed,
    NodeEvent,
    NodeFinished,
    NodeResult,
    Quarantined,
    RecoveryEnded,
    RecoveryRequested,
)
from .goal import Cause, Goal
from .history import NodeHistory, apply_to_node
from .identity import AttemptId, ComponentName, Lineage
from .policy import Policy
from .recovery import NextRung, Quarantine, Recover, Retry, after_failure, goes_on, next_rung
from .rollout import RolloutState

Follows: TypeAlias = NodeEvent | NodeFinished | Attributed
"""What may follow the end of an attempt."""


@frozen
class Context:
    """What a decision about one node rests on besides its history.

    *rollout* is the one the node is in, None for a recovery that a person asked for; *images* are
    the components that the lineage's bundles write; *new_id* names attempts.
    """

    lineage: Lineage
    policy: Policy
    images: frozenset[ComponentName]
    new_id: Callable[[], AttemptId]
    now: float
    rollout: RolloutState | None = None


def begin(history: NodeHistory, context: Context) -> tuple[Follows, ...]:
    """Return the events that open the node's next attempt, or close its part of the rollout.

    Called for a node without an open attempt.
    """
    if history.quarantined is not None:
        return _finish(history, context, NodeResult.QUARANTINED, history.quarantined)
    if history.recovery is not None:
        return _climb(history, context)
    if context.rollout is None:
        return ()
    goal = Goal(context.rollout.bundle, context.rollout.digest, Cause.ROLLOUT)
    return (AttemptStarted(history.node, context.new_id(), goal, context.rollout.id),)


def conclude(
    history: NodeHistory, result: AttemptResult, evidence: Sequence[str], context: Context
) -> tuple[Follows, ...]:
    """Return the events that end the open attempt with *result*, and everything that follows from it."""
    attempt = history.attempt
    if attempt is None:
        return ()
    ended = AttemptEnded(history.node, attempt.id, result, tuple(evidence))
    after = apply_to_node(history, ended, context.now)
    if result is AttemptResult.LEVEL:
        return (ended, *_level(history, after, attempt, context))
    return (ended, *_not_level(after, attempt, context))


def call_off(history: NodeHistory, why: str) -> tuple[AttemptEnded, ...]:
    """Return the event that ends an attempt of a rollout that has sent nothing yet; none where there is no such one."""
    attempt = history.attempt
    if attempt is None or attempt.rollout is None or attempt.steps or history.recovery is not None:
        return ()
    return (AttemptEnded(history.node, attempt.id, AttemptResult.CALLED_OFF, (why,)),)


def request_recovery(
    history: NodeHistory,
    context: Context,
    *,
    policy: str,
    failed: bool,
    evidence: Sequence[str],
    by: str,
) -> tuple[Follows, ...]:
    """Return the events that put a node without an open attempt on the ladder *policy*.

    *failed* says that it is to leave the bundle that is assigned now.
    """
    assigned = history.assigned.get(context.lineage)
    if assigned is None:
        return _quarantine(history, context, (*evidence, "there is no bundle to go back to"))
    requested = RecoveryRequested(
        history.node, policy, assigned.bundle, assigned.bundle if failed else None, tuple(evidence), by
    )
    return (requested, *_climb(apply_to_node(history, requested, context.now), context))


def fell_ill(history: NodeHistory, context: Context, *, why: str, by: str) -> tuple[Follows, ...]:
    """Return the events that follow where a machine of a rollout is found ill on which no attempt is open.

    One that waits for its wave is recovered on the bundle that it has. One that is done and still watched is judged:
    rolled back where its failure counts as the bundle's, recovered like any other where it does not.
    """
    rollout, held = context.rollout, history.assigned.get(context.lineage)
    if rollout is None or held is None or (held.bundle, held.digest) != (rollout.bundle, rollout.digest):
        without = _told_without(history, context, why)
        asked = request_recovery(history, context, policy=context.policy.recovery, failed=False, evidence=(why,), by=by)
        return (*without, *asked)
    sign = sign_of_illness(context.now - held.at)
    cohort = cohort_of(rollout, sign)
    found = attribute(sign, evolve(cohort, well=max(0, cohort.well - 1)))  # it is among those that were done well
    told = Attributed(rollout.id, history.node, sign, found.blame, found.evidence)
    ladder = "rollback" if found.counts else context.policy.recovery
    evidence = (f"while its wave was watched: {why}", *found.evidence)
    if not found.counts and history.recoveries >= context.policy.recoveries:
        often = f"it was recovered {history.recoveries} times already"
        return (told, *_quarantine(history, context, (*evidence, often)))
    asked = request_recovery(history, context, policy=ladder, failed=found.counts, evidence=evidence, by=by)
    return (told, *asked)


def _level(before: NodeHistory, after: NodeHistory, attempt: Attempt, context: Context) -> tuple[Follows, ...]:
    node, goal = before.node, attempt.goal
    held = before.assigned.get(goal.bundle.lineage)
    moved = held is None or held.bundle != goal.bundle or held.digest != goal.digest
    commit = None
    if moved or before.touched or attempt.touched:
        commit = Assigned(node, goal.bundle, goal.digest, attempt.id)
    events: list[Follows] = [commit] if commit is not None else []
    evidence = after.last.evidence if after.last is not None else ()
    aim = context.rollout
    if before.recovery is None:
        # An attempt that another rollout left open ends here, and says nothing about this one.
        is_aim = aim is not None and (goal.bundle, goal.digest) == (aim.bundle, aim.digest)
        return (*events, *(_finish(before, context, NodeResult.ON_NEW, evidence) if is_aim else ()))
    if goes_on(before.recovery):
        standing = apply_to_node(after, commit, context.now) if commit is not None else after
        higher = next_rung(standing, context.lineage, context.images, retries=context.policy.retries)
        if isinstance(higher, NextRung):  # without a bundle to send, being well is the end after all
            return (*events, _take(standing, higher, context))
    events.append(RecoveryEnded(node, goal.bundle, evidence))
    has_moved = moved if before.recovery.failed is not None else goal.bundle != before.recovery.bundle
    is_off_aim = aim is not None and (
        before.recovery.failed == aim.bundle or (has_moved and goal.bundle.lineage == aim.bundle.lineage)
    )
    if is_off_aim:
        why = (f"back on {goal.bundle}", *before.recovery.evidence)
        events.extend(_finish(before, context, NodeResult.ROLLED_BACK, why))
    return tuple(events)


def _not_level(after: NodeHistory, attempt: Attempt, context: Context) -> tuple[Follows, ...]:
    if after.recovery is not None:
        return _climb(after, context)
    if after.last is None:
        return ()
    answer = after_failure(after, after.last, context.policy)
    rollout = context.rollout.id if context.rollout is not None else None
    match answer:
        case Retry(goal):
            return (AttemptStarted(after.node, context.new_id(), goal, rollout),)
        case Recover(policy, failed, evidence):
            # An unrelated failure is one of the bundle that runs there, not of the one that was to come.
            held = after.assigned.get(context.lineage)
            bundle = failed or (held.bundle if held is not None else after.last.goal.bundle)
            requested = RecoveryRequested(after.node, policy, bundle, failed, evidence, "bundle orchestrator")
            climbed = _climb(apply_to_node(after, requested, context.now), context)
            return (*_blame(after, attempt, context), requested, *climbed)
        case Quarantine(evidence):
            return (*_blame(after, attempt, context), *_quarantine(after, context, evidence))
        case _:
            assert_never(answer)


def _blame(after: NodeHistory, attempt: Attempt, context: Context) -> tuple[Attributed, ...]:
    """Say whose the failure of an attempt of the rollout is."""
    rollout, goal = context.rollout, attempt.goal
    if rollout is None or after.last is None or (goal.bundle, goal.digest) != (rollout.bundle, rollout.digest):
        return ()
    if after.last.result is AttemptResult.DEAD:
        return _told_without(after, context, "; ".join(after.last.evidence))
    sign = sign_of(attempt, after.last.result)
    found = attribute(sign, cohort_of(rollout, sign))
    return (Attributed(rollout.id, after.node, sign, found.blame, found.evidence),)


def _told_without(history: NodeHistory, context: Context, why: str) -> tuple[Attributed, ...]:
    """Say that a machine of the rollout fell ill before it was given anything of the bundle."""
    if context.rollout is None or history.node not in context.rollout.wave_of:
        return ()
    sign = Sign(Blame.ELSEWHERE, f"it fell ill without the bundle: {why}")
    return (Attributed(context.rollout.id, history.node, sign, sign.blame, (sign.why,), without=True),)


def _climb(history: NodeHistory, context: Context) -> tuple[Follows, ...]:
    """Take the next rung of the ladder."""
    step = next_rung(history, context.lineage, context.images, retries=context.policy.retries)
    match step:
        case NextRung() as higher:
            return (_take(history, higher, context),)
        case Quarantine(evidence):
            return _quarantine(history, context, evidence)
        case _:
            assert_never(step)


def _take(history: NodeHistory, higher: NextRung, context: Context) -> AttemptStarted:
    rollout = context.rollout.id if context.rollout is not None else None
    return AttemptStarted(history.node, context.new_id(), higher.goal, rollout, higher.rung)


def _quarantine(history: NodeHistory, context: Context, evidence: Sequence[str]) -> tuple[Follows, ...]:
    lines = tuple(evidence)
    return (Quarantined(history.node, lines), *_finish(history, context, NodeResult.QUARANTINED, lines))


def _finish(history: NodeHistory, context: Context, result: NodeResult, why: Sequence[str]) -> tuple[NodeFinished, ...]:
    if context.rollout is None:
        return ()
    return (NodeFinished(context.rollout.id, history.node, result, "; ".join(why)),)
