"""Which bundle a failed node gets next: the policies of system.md as data.

A policy is a ladder of rungs. Each rung is one attempt with its own goal; the ladder ends when an
attempt leaves the node level and well, and in quarantine when the rungs are used up.

    rollback            the bundle failed, or the machine failed because of it   prior
    resend-then-prior   a failure not related to the bundle (the default)        restart, assigned, prior
    prior-at-once       as above, known-good first                               restart and prior
    prior-then-resend   as above, the claims read literally                      restart and prior, and assigned, prior

    converge            nothing failed: a part was set back, or forward again    assigned, only what differs

What stands before an "and" is not the end, even where it did it: a machine that runs again after a
restart still gets the prior bundle where policy wants known-good first.

"Prior" to a bundle that was never committed is the one that is: a failed deployment of A.2 goes
back to the assigned A.1. Images that the failed attempts touched are written again even though
their component reports the right version, for a corrupt image can report it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TypeAlias

from attrs import frozen

from .attempt import EndedAttempt
from .bundle import Bundle
from .event import AttemptResult
from .goal import Cause, Goal
from .history import Assignment, NodeHistory, Recovery
from .identity import BundleId, ComponentName, Lineage
from .policy import Policy


class Send(StrEnum):
    """What a rung sends to the node."""

    NOTHING = "nothing"
    ASSIGNED = "assigned"
    DIFFERENCE = "difference"
    PRIOR = "prior"


@frozen
class Rung:
    """One step of a ladder. *goes_on*: the next rung is taken even where this one did it.

    NOTHING is a restart, DIFFERENCE the assigned bundle as far as the node differs from it.
    """

    send: Send
    goes_on: bool = False


_RESTART = Rung(Send.NOTHING)
_RESTART_FIRST = Rung(Send.NOTHING, goes_on=True)

POLICIES: Mapping[str, tuple[Rung, ...]] = MappingProxyType(
    {
        "rollback": (Rung(Send.PRIOR),),
        "resend-then-prior": (_RESTART, Rung(Send.ASSIGNED), Rung(Send.PRIOR)),
        "prior-at-once": (_RESTART_FIRST, Rung(Send.PRIOR)),
        "prior-then-resend": (
            _RESTART_FIRST,
            Rung(Send.PRIOR, goes_on=True),
            Rung(Send.ASSIGNED),
            Rung(Send.PRIOR),
        ),
    }
)
"""What a policy may name."""

CONVERGE = "converge"

LADDERS: Mapping[str, tuple[Rung, ...]] = MappingProxyType({**POLICIES, CONVERGE: (Rung(Send.DIFFERENCE),)})
"""Every ladder that a node can be on."""


@frozen
class Retry:
    """Nothing was written: the same goal again, as a new attempt."""

    goal: Goal


@frozen
class Recover:
    """Start this ladder; *failed* is the bundle to blame, if any."""

    policy: str
    failed: BundleId | None
    evidence: tuple[str, ...]


@frozen
class Quarantine:
    """A person must look; this is what they read."""

    evidence: tuple[str, ...]


Answer: TypeAlias = Retry | Recover | Quarantine


def after_failure(history: NodeHistory, ended: EndedAttempt, policy: Policy) -> Answer:
    """Say what follows an attempt outside any recovery that did not leave the node level.

    A host that was found dead before anything was sent failed on its own; anything that fails after
    we began counts as the bundle's ("undecided counts as the bundle's").
    """
    if ended.result is AttemptResult.LOST:
        return Quarantine(ended.evidence)
    if ended.result is AttemptResult.DEAD and history.recoveries >= policy.recoveries:
        return Quarantine((*ended.evidence, f"it was recovered {history.recoveries} times already"))
    if ended.result is AttemptResult.DEAD:
        return Recover(policy.recovery, None, ended.evidence)
    if ended.result is AttemptResult.NOTHING_WRITTEN and history.retries <= policy.retries:
        goal = ended.goal
        return Retry(Goal(goal.bundle, goal.digest, Cause.RETRY, goal.reassert))
    return Recover("rollback", ended.goal.bundle, ended.evidence)


@frozen
class NextRung:
    """The next goal of a ladder and the place of its rung."""

    goal: Goal
    rung: int


def next_rung(
    history: NodeHistory, lineage: Lineage, images: frozenset[ComponentName], *, retries: int
) -> NextRung | Quarantine:
    """Return the next rung of the ladder that *history* is on; quarantine where none is left.

    *images* are the components that the lineage's bundles write. A rung without a bundle to send
    (nothing was ever committed) is skipped; one on which provably nothing was written is taken again,
    at most *retries* times.
    """
    recovery = history.recovery
    if recovery is None:
        return Quarantine(("no recovery was asked for",))
    taken = history.last if recovery.rung else None  # what ended before this ladder says nothing about it
    if taken is not None and taken.result is AttemptResult.LOST:
        return Quarantine((*recovery.evidence, *taken.evidence))
    ladder = LADDERS[recovery.policy]
    first = recovery.rung
    if taken is not None and taken.result is AttemptResult.NOTHING_WRITTEN and taken.goal.writes:
        first -= history.retries <= retries
    for index in range(first, len(ladder)):
        goal = _goal(ladder[index], history, recovery, lineage, images)
        if goal is not None:
            return NextRung(goal, index)
    tried = history.last.evidence if history.last is not None else ()
    why = "the ladder is used up" if recovery.rung else "there is no bundle to go back to"
    return Quarantine((*recovery.evidence, *tried, f"{recovery.policy}: {why}"))


def way_back(history: NodeHistory, bundle: BundleId) -> Assignment | None:
    """Return what *bundle* would be rolled back to on this node: None where there is no way back."""
    assigned = history.assigned.get(bundle.lineage)
    if assigned is not None and assigned.bundle != bundle:
        return assigned
    return history.prior.get(bundle.lineage)


def goes_on(recovery: Recovery) -> bool:
    """Whether the ladder goes on although the rung that was taken last left the node level."""
    ladder = LADDERS[recovery.policy]
    return 0 < recovery.rung <= len(ladder) and ladder[recovery.rung - 1].goes_on


def _goal(
    rung: Rung, history: NodeHistory, recovery: Recovery, lineage: Lineage, images: frozenset[ComponentName]
) -> Goal | None:
    assigned = history.assigned.get(lineage)
    match rung.send:
        case Send.NOTHING:
            if assigned is None:
                return None
            return Goal(assigned.bundle, assigned.digest, Cause.RESTART, restart=True, writes=False)
        case Send.ASSIGNED:
            # What was assigned when the ladder began: the prior bundle may have been committed since.
            held = (assigned, history.prior.get(lineage))
            target = next((each for each in held if each is not None and each.bundle == recovery.bundle), assigned)
            if target is None:
                return None
            return Goal(target.bundle, target.digest, Cause.RESEND, reassert=images)
        case Send.DIFFERENCE:
            if assigned is None:
                return None
            return Goal(assigned.bundle, assigned.digest, Cause.RESEND, reassert=history.touched)
        case Send.PRIOR:
            target = way_back(history, recovery.failed or recovery.bundle)
            if target is None:
                return None
            # After a failed deployment only what it touched is suspect; after any other failure, everything.
            suspect = history.touched if recovery.failed is not None else images
            return Goal(target.bundle, target.digest, Cause.ROLLBACK, reassert=suspect)


def images_of(*bundles: Bundle) -> frozenset[ComponentName]:
    """Return the components that *bundles* write images to; what only a machine itself has cannot be written again."""
    return frozenset(
        element.component
        for bundle in bundles
        for element in bundle.manifest.elements
        if element.payload is not None and element.kind.is_image and element.component is not None
    )
