"""The fold from events to where each node stands.

Rules:
- *assigned* moves only by ``Assigned``; what was assigned before becomes *prior*.
- *revived* is when the BMC was restarted because it did not answer, in the last 24 hours.
- *bmc_written* is when we last had news of a write of the BMC's own firmware, *bmc_write_began* when that was intended.
- *touched*, *staged* and *held* outlive the attempts that made them so; see attempt.py.
- *sightings* are how the watch last saw the node; *off_by_hand* outlives them until the host is seen on again.
- That a component was set back is forgotten once its bundle is neither *assigned* nor *prior*.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from attrs import evolve, field, frozen

from . import event as ev
from .attempt import Attempt, EndedAttempt, StepRecord
from .binding import Bindings, SetBack
from .bundle import Activation, frozen_map
from .hold import Hold
from .identity import BundleId, ComponentName, Digest, Lineage, NodeName
from .login import RefusedLogin, with_refusal, without_way
from .pin import Pin
from .receipt import Refused
from .request import Asked, AskingWithdrawn, RecoveryAsked
from .sighting import POWER, OffByHand, Sighting, Sightings, after_act, after_look
from .step import ResetBmc, Write

DAY = 86_400.0
"""Seconds over which restarts of a BMC are counted."""


@frozen
class Assignment:
    """A bundle that was committed on a node."""

    bundle: BundleId
    digest: Digest
    at: float


@frozen
class Recovery:
    """A ladder that a node is on; *rung* is the next one to take."""

    policy: str
    bundle: BundleId
    failed: BundleId | None
    evidence: tuple[str, ...]
    rung: int = 0


@frozen
class NodeHistory:
    """All that the journal says of one node."""

    node: NodeName
    assigned: Mapping[Lineage, Assignment] = field(factory=dict, converter=frozen_map)
    prior: Mapping[Lineage, Assignment] = field(factory=dict, converter=frozen_map)
    attempt: Attempt | None = None
    last: EndedAttempt | None = None
    touched: frozenset[ComponentName] = frozenset()
    staged: Mapping[ComponentName, Activation] = field(factory=dict, converter=frozen_map)
    held: frozenset[ComponentName] = frozenset()
    retries: int = 0
    recovery: Recovery | None = None
    recoveries: int = 0
    asked: Asked | None = None
    quarantined: tuple[str, ...] | None = None
    revived: tuple[float, ...] = ()
    sessions: frozenset[str] = frozenset()
    refused_logins: tuple[RefusedLogin, ...] = ()
    pin: Pin | None = None
    bmc_write_began: float | None = None
    bmc_written: float | None = None
    identity: ev.Identified | None = None
    hold: Hold | None = None
    held_back: str = ""
    sightings: Sightings = field(factory=dict, converter=frozen_map)
    off_by_hand: OffByHand | None = None
    bindings: Bindings = field(factory=dict, converter=frozen_map)
    """What bundles, by their digests, mean on this node."""

    @property
    def is_open(self) -> bool:
        """Whether an attempt or a recovery has begun and not ended."""
        return self.attempt is not None or self.recovery is not None

    @property
    def make(self) -> tuple[str, ...]:
        """Vendor and model; empty where the machine did not say both."""
        told = (self.identity.vendor, self.identity.model) if self.identity is not None else ()
        return told if all(told) else ()

    @property
    def set_back(self) -> tuple[SetBack, ...]:
        """Components that keep another bundle's image than that of the bundle that is assigned."""
        bound = (self.bindings.get(held.digest) for held in self.assigned.values())
        return tuple(back for binding in bound if binding is not None for back in binding.set_back)


def apply_to_node(history: NodeHistory, event: ev.NodeEvent, at: float) -> NodeHistory:
    """Return *history* with one more event about its node."""
    match event:
        case ev.LogMarked() | ev.Intended() | ev.Completing() | ev.Acted() | ev.Reading() | ev.Resolved():
            return _apply_to_attempt(evolve(history, held_back=""), event, at)
        case ev.Bound(_, _, digest, binding):
            return evolve(history, bindings={**history.bindings, digest: binding})
        case ev.Held() | ev.Unheld() | ev.HeldBack() | ev.Enforced() | RecoveryAsked() | AskingWithdrawn():
            return _apply_word(history, event, at)
        case ev.AttemptStarted(_, attempt, goal, rollout, rung):
            recovery, retries = history.recovery, history.retries
            if recovery is not None and rung is not None:
                retries = retries if rung < recovery.rung else 0
                recovery = evolve(recovery, rung=rung + 1)
            begun = Attempt(attempt, goal, at, rollout, rung, staged=history.staged, held=history.held)
            return evolve(history, attempt=begun, recovery=recovery, retries=retries, held_back="", off_by_hand=None)
        case ev.AttemptEnded(_, _, result, evidence):
            return _end_attempt(history, result, evidence, at)
        case ev.Assigned(_, bundle, digest) | ev.Adopted(_, bundle, digest):
            return _assign(history, bundle, digest, at)
        case ev.RecoveryRequested(_, policy, bundle, failed, evidence):
            return evolve(
                history,
                recovery=Recovery(policy, bundle, failed, evidence),
                recoveries=history.recoveries + 1,
                asked=None,
            )
        case ev.RecoveryEnded():
            return evolve(history, recovery=None)
        case ev.Quarantined(_, evidence):
            return evolve(history, quarantined=evidence, attempt=None, recovery=None, asked=None)
        case ev.Readmitted():
            return evolve(history, quarantined=None, retries=0, recoveries=0, refused_logins=())
        case ev.SessionOpened() | ev.SessionClosed() | ev.LoginRefused() | ev.Pinned() | ev.PinForgotten():
            return _apply_to_access(history, event, at)
        case ev.Identified():
            return evolve(history, identity=event)
        case ev.ByHand() | ev.ConditionChanged() | ev.ImageFetched():
            return _apply_from_beside(history, event, at)
        case _:
            assert_never(event)


def _apply_word(
    history: NodeHistory,
    event: ev.Held | ev.Unheld | ev.HeldBack | ev.Enforced | RecoveryAsked | AskingWithdrawn,
    at: float,
) -> NodeHistory:
    """Apply what somebody says is to be done to the node, or is not."""
    match event:
        case RecoveryAsked(_, lineage, want, evidence, by):
            return evolve(history, asked=Asked(lineage, want, evidence, by, at))
        case AskingWithdrawn():
            return evolve(history, asked=None)
        case ev.Held(_, reason, by, until):
            return evolve(history, hold=Hold(reason, by, at, until))
        case ev.Unheld():
            return evolve(history, hold=None)
        case ev.HeldBack(_, why):
            return evolve(history, held_back=why)
        case ev.Enforced():
            return evolve(history, held_back="")


def _apply_from_beside(
    history: NodeHistory, event: ev.ByHand | ev.ConditionChanged | ev.ImageFetched, at: float
) -> NodeHistory:
    """Apply what happens beside attempts: what persons do, what is seen, what a BMC fetches."""
    power = history.sightings[POWER].word if POWER in history.sightings else ""
    match event:
        case ev.ByHand(_, what, by, result):
            off = after_act(history.off_by_hand, what, result, by=by, at=at, power=power)
            return evolve(history, off_by_hand=off)
        case ev.ConditionChanged(_, what, _, after):
            seen = {name: each for name, each in history.sightings.items() if name != what}
            if after:
                seen[what] = Sighting(after, at)
            off = after_look(history.off_by_hand, after) if what == POWER else history.off_by_hand
            return evolve(history, sightings=seen, off_by_hand=off)
        case ev.ImageFetched():
            return history


def _apply_to_access(
    history: NodeHistory,
    event: ev.SessionOpened | ev.SessionClosed | ev.LoginRefused | ev.Pinned | ev.PinForgotten,
    at: float,
) -> NodeHistory:
    match event:
        case ev.SessionOpened(_, uri):
            refused_logins = without_way(history.refused_logins, "")
            return evolve(history, sessions=history.sessions | {uri}, refused_logins=refused_logins)
        case ev.SessionClosed(_, uri):
            return evolve(history, sessions=history.sessions - {uri})
        case ev.LoginRefused(_, fingerprint, reason, way):
            refused = RefusedLogin(fingerprint, at, reason, way)
            return evolve(history, refused_logins=with_refusal(history.refused_logins, refused))
        case ev.Pinned(_, key, ground, uuid):
            return evolve(history, pin=Pin(key, ground, at, uuid))
        case ev.PinForgotten():
            return evolve(history, pin=None)


def _end_attempt(history: NodeHistory, result: ev.AttemptResult, evidence: tuple[str, ...], at: float) -> NodeHistory:
    if history.attempt is None:
        return history
    goal = history.attempt.goal
    touched = history.touched | history.attempt.touched
    unharmed = {ev.AttemptResult.NOTHING_WRITTEN: history.retries + 1, ev.AttemptResult.CALLED_OFF: history.retries}
    return evolve(
        history,
        attempt=None,
        last=EndedAttempt(goal, result, evidence, at),
        touched=touched,
        staged=history.attempt.left_staged,
        held=history.attempt.left_held,
        retries=unharmed.get(result, 0),
    )


def _assign(history: NodeHistory, bundle: BundleId, digest: Digest, at: float) -> NodeHistory:
    before = history.assigned.get(bundle.lineage)
    prior = history.prior
    if before is not None and before.bundle != bundle:
        prior = {**prior, bundle.lineage: before}
    assigned = {**history.assigned, bundle.lineage: Assignment(bundle, digest, at)}
    needed = {held.digest for held in (*assigned.values(), *prior.values())}
    bindings = {
        digest: binding if digest in needed else evolve(binding, set_back=())
        for digest, binding in history.bindings.items()
    }
    # The same bundle again, after a recovery, forgives nothing: a host that keeps dying would wear its flash out.
    recoveries = history.recoveries if before is not None and before.bundle == bundle else 0
    return evolve(
        history,
        assigned=assigned,
        prior=prior,
        bindings=bindings,
        touched=frozenset(),
        retries=0,
        recoveries=recoveries,
    )


def _apply_to_attempt(
    history: NodeHistory,
    event: ev.LogMarked | ev.Intended | ev.Completing | ev.Acted | ev.Reading | ev.Resolved,
    at: float,
) -> NodeHistory:
    attempt = history.attempt
    if attempt is None or attempt.id != event.attempt:
        return history
    match event:
        case ev.LogMarked(_, _, mark):
            return evolve(history, attempt=evolve(attempt, is_marked=True, mark=mark))
        case ev.Intended(_, attempt_id, number, step, known_tasks):
            steps = (*attempt.steps, StepRecord(attempt_id, number, at, step, known_tasks))
            if isinstance(step, ResetBmc) and step.revives:
                history = evolve(history, revived=(*(t for t in history.revived if at - t < DAY), at))
        case ev.Completing(_, _, number, held):
            steps = tuple(
                evolve(r, completing=True, begins_on_order=held) if r.number == number else r for r in attempt.steps
            )
        case ev.Acted(_, _, number, receipt):
            steps = tuple(evolve(r, receipt=receipt, acted_at=at) if r.number == number else r for r in attempt.steps)
            if isinstance(receipt, Refused):  # it was not restarted after all
                unsent = {r.at for r in attempt.steps if r.number == number}
                history = evolve(history, revived=tuple(t for t in history.revived if t not in unsent))
        case ev.Reading(_, _, number, installed):
            steps = tuple(
                evolve(r, readings=(*r.readings, (at, installed))) if r.number == number else r for r in attempt.steps
            )
        case ev.Resolved(_, _, number, outcome, evidence):
            steps = tuple(
                evolve(r, outcome=outcome, evidence=evidence, acted_at=at) if r.number == number else r
                for r in attempt.steps
            )
    history = evolve(history, attempt=evolve(attempt, steps=steps))
    changed = next((record for record in steps if record.number == event.number), None)
    if changed is None or not isinstance(event, ev.Acted | ev.Resolved):
        return history
    if _wrote_bmc(changed):
        return evolve(history, bmc_write_began=changed.at, bmc_written=at)
    if isinstance(changed.step, ResetBmc) and any(_wrote_bmc(record) for record in steps):
        return evolve(history, bmc_written=at)  # only now does it run what was written
    return history


def _wrote_bmc(record: StepRecord) -> bool:
    """Whether *record* is a write of the BMC's firmware that may have happened."""
    return (
        isinstance(record.step, Write)
        and record.step.writes_bmc
        and not isinstance(record.receipt, Refused)
        and record.outcome is not ev.Outcome.NEVER_STARTED
    )
