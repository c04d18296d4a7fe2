"""The fold from events to where each node and rollout stands.

Rules:
- An intent without a receipt is open: it may or may not have happened.
- A write stays open until it is resolved; an accepted one only says that the BMC took it.
- *assigned* moves only by ``Assigned``; what was assigned before becomes *prior*.
- *touched* are the components that may hold something else than the assigned bundle's image.
- *revived* is when the BMC was restarted because it did not answer, in the last 24 hours.
- *bmc_written* is when we last had news of a write of the BMC's own firmware, *bmc_write_began* when that was intended.
- *staged* are the components in which an image of ours may wait for its reset, attempts later still.
- *held* are those for which the BMC may keep an image of ours that it was never told to begin with.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import assert_never

from attrs import evolve, field, frozen

from . import event as ev
from .binding import Binding
from .bundle import Activation, frozen_map
from .goal import Goal
from .hold import Hold
from .identity import AttemptId, BundleId, ComponentName, Digest, Lineage, NodeName, RolloutId
from .log import LogMark
from .login import RefusedLogin, with_refusal, without_way
from .pace import Durations
from .pin import Pin
from .policy import Policy
from .receipt import Accepted, Ambiguous, Receipt, Refused
from .release_book import ReleaseBook
from .release_event import AboutReleases
from .step import ResetBmc, ResetHost, ResetKind, StageSettings, StartUpdate, Step, WriteImage

_WRITTEN = (ev.Outcome.DONE, ev.Outcome.STAGED)
"""How a flash ends whose image is written, as far as the BMC says."""

DAY = 86_400.0
"""Seconds over which restarts of a BMC are counted."""


@frozen
class StepRecord:
    """One step of an attempt: intent, receipt and, for writes, how it really ended."""

    attempt: AttemptId
    number: int
    at: float
    step: Step
    known_tasks: tuple[str, ...] = ()
    completing: bool = False
    begins_on_order: bool = False
    """Whether its upload went a way by which nothing is programmed before the BMC is told to begin."""
    receipt: Receipt | None = None
    acted_at: float | None = None
    outcome: ev.Outcome | None = None
    evidence: str = ""
    readings: tuple[tuple[float, str], ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether nobody can say yet how it ended."""
        if self.outcome is not None or isinstance(self.receipt, Refused):
            return False
        if isinstance(self.step, (WriteImage, StartUpdate)):
            return True
        return self.receipt is None or isinstance(self.receipt, Ambiguous)

    @property
    def was_accepted(self) -> bool:
        """Whether the BMC said that it took it."""
        return isinstance(self.receipt, Accepted)

    @property
    def last_at(self) -> float:
        """When we last knew something new of it (epoch seconds)."""
        return self.acted_at if self.acted_at is not None else self.at


@frozen
class Attempt:
    """A journalled try that has not ended."""

    id: AttemptId
    goal: Goal
    started: float
    rollout: RolloutId | None = None
    rung: int | None = None
    steps: tuple[StepRecord, ...] = ()
    staged: Mapping[ComponentName, Activation] = field(factory=dict, converter=frozen_map)
    held: frozenset[ComponentName] = frozenset()
    is_marked: bool = False
    """Whether the machine's event log was asked where it stands, before the first act."""
    mark: LogMark | None = None

    @property
    def last_at(self) -> float:
        """When its last step was sent or answered, or the attempt started (epoch seconds)."""
        return max((self.started, *(record.last_at for record in self.steps)))

    @property
    def open_steps(self) -> tuple[StepRecord, ...]:
        """Steps in doubt or under way, oldest first."""
        return tuple(record for record in self.steps if record.is_open)

    @property
    def touched(self) -> frozenset[ComponentName]:
        """Components that may hold another image than before: written, or not provably left alone.

        One whose image is only held counts too: not every BMC that was asked to wait does.
        """
        return frozenset(
            record.step.component
            for record in self.steps
            if isinstance(record.step, WriteImage)
            and not isinstance(record.receipt, Refused)
            and record.outcome is not ev.Outcome.NEVER_STARTED
        )

    @property
    def has_begun(self) -> bool:
        """Whether anything was handed to the BMC that changes the node, or may have been."""
        return any(
            isinstance(record.step, (WriteImage, StartUpdate, StageSettings))
            and not isinstance(record.receipt, Refused)
            and record.outcome not in (ev.Outcome.NEVER_STARTED, ev.Outcome.HELD)
            for record in self.steps
        )

    def activated(self, activation: Activation, after: int = 0) -> bool:
        """Whether the reset that *activation* needs was seen to happen after step *after*."""
        kind = ResetBmc if activation is Activation.BMC_RESET else ResetHost
        return any(
            isinstance(reset.step, kind)
            and reset.outcome is ev.Outcome.DONE
            and not (isinstance(reset.step, ResetHost) and reset.step.kind is ResetKind.FORCE_OFF)
            for reset in self.resets_after(after)
        )

    @property
    def left_staged(self) -> Mapping[ComponentName, Activation]:
        """Components in which an image of ours waits for its reset, or may do so, and what it waits for."""
        left = {name: waits for name, waits in self.staged.items() if not self.activated(waits)}
        for record in self.steps:
            if (
                isinstance(record.step, (WriteImage, StartUpdate))
                and (record.is_open or record.outcome in _WRITTEN)
                and record.step.activation is not Activation.IMMEDIATE
                and not self.activated(record.step.activation, record.number)
            ):
                left[record.step.component] = record.step.activation
            if isinstance(record.step, (WriteImage, StartUpdate)) and record.outcome is ev.Outcome.UNSEEN:
                left[record.step.component] = Activation.HOST_RESET
        return left

    @property
    def left_held(self) -> frozenset[ComponentName]:
        """Components for which the BMC may hold an image of ours that was never begun with."""
        left = frozenset() if self.activated(Activation.BMC_RESET) else self.held
        for record in self.steps:
            # Where an answer was lost nobody knows whether the image would be held; to believe so costs a BMC restart.
            asked = isinstance(record.receipt, Accepted) and record.receipt.held
            if (
                isinstance(record.step, WriteImage)
                and (record.outcome is ev.Outcome.HELD or (record.is_open and asked))
                and self.last_start(record) is None
                and not self.activated(Activation.BMC_RESET, record.number)
            ):
                left |= {record.step.component}
        return left

    def last_start(self, write: StepRecord) -> StepRecord | None:
        """Return the last StartUpdate for *write*, those aside that were refused or provably never began."""
        for record in reversed(self.steps):
            if (
                isinstance(record.step, StartUpdate)
                and isinstance(write.step, WriteImage)
                and record.number > write.number
                and record.step.component == write.step.component
                and not isinstance(record.receipt, Refused)
                and record.outcome is not ev.Outcome.NEVER_STARTED
            ):
                return record
        return None

    def last_write(self, component: ComponentName) -> StepRecord | None:
        """Return the last write of *component* that the BMC did not refuse."""
        for record in reversed(self.steps):
            if (
                isinstance(record.step, WriteImage)
                and record.step.component == component
                and not isinstance(record.receipt, Refused)
            ):
                return record
        return None

    def resets_after(self, number: int) -> tuple[StepRecord, ...]:
        """Return the resets of the host or the BMC that were sent after step *number* and not refused."""
        return tuple(
            record
            for record in self.steps
            if record.number > number
            and isinstance(record.step, (ResetHost, ResetBmc))
            and not isinstance(record.receipt, Refused)
            and record.outcome is not ev.Outcome.NEVER_STARTED
        )


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
class EndedAttempt:
    """What is kept of an attempt that is over."""

    goal: Goal
    result: ev.AttemptResult
    evidence: tuple[str, ...]
    at: float


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
    bindings: Mapping[Digest, Binding] = field(factory=dict, converter=frozen_map)
    """What bundles, by their digests, mean on this node."""

    @property
    def make(self) -> tuple[str, ...]:
        """Vendor and model; empty where the machine did not say both."""
        told = (self.identity.vendor, self.identity.model) if self.identity is not None else ()
        return told if all(told) else ()


@frozen
class RolloutState:
    """All that the journal says of one rollout. *wave* is the one under way, -1 before the first.

    *waits*: for what the next wave waits. *settled_at* is when a node was done last, in epoch seconds.
    """

    id: RolloutId
    bundle: BundleId
    digest: Digest
    waves: tuple[tuple[NodeName, ...], ...]
    policy: Policy
    by: str
    started: float
    wave: int = -1
    results: Mapping[NodeName, ev.NodeFinished] = field(factory=dict, converter=frozen_map)
    finished: ev.RolloutFinished | None = None
    finished_at: float | None = None
    paused: ev.RolloutPaused | None = None
    aborted: ev.RolloutAborted | None = None
    approved: frozenset[int] = frozenset()
    waits: str = ""
    settled_at: float | None = None

    # Asked at every turn of every node, and the same until the next event of this rollout: worked out once.

    @cached_property
    def nodes(self) -> tuple[NodeName, ...]:
        """Every node of every wave, in order."""
        return tuple(node for wave in self.waves for node in wave)

    @cached_property
    def failed(self) -> tuple[ev.NodeFinished, ...]:
        """The nodes that are not on the new bundle at their end."""
        return tuple(
            result
            for result in self.results.values()
            if result.result in (ev.NodeResult.ROLLED_BACK, ev.NodeResult.QUARANTINED)
        )

    @cached_property
    def is_wave_over(self) -> bool:
        """Whether every node of the wave under way is done; not before the first has begun."""
        return self.wave >= 0 and all(node in self.results for node in self.waves[self.wave])

    @cached_property
    def wave_of(self) -> Mapping[NodeName, int]:
        """The wave of each node."""
        return {node: index for index, wave in enumerate(self.waves) for node in wave}


class Ledger:
    """The journal folded: values for every node, rollout and release, kept up to date event by event."""

    def __init__(self) -> None:
        self.nodes: dict[NodeName, NodeHistory] = {}
        self.rollouts: dict[RolloutId, RolloutState] = {}
        self.releases = ReleaseBook()
        self._durations = Durations()

    def node(self, name: NodeName) -> NodeHistory:
        """Return the history of *name*, empty where nothing was ever recorded."""
        return self.nodes.get(name) or NodeHistory(name)

    def usual(self, name: NodeName) -> float | None:
        """Return what the last step of *name*'s open attempt usually takes, in seconds; None where nobody knows."""
        history = self.node(name)
        if history.attempt is None or not history.attempt.steps:
            return None
        return self._durations.usual(history.attempt.steps[-1].step, node=name, make=history.make)

    def usual_of(self, step: Step, name: NodeName) -> float | None:
        """Return what *step* usually takes on *name*, or on its like, in seconds; None where nobody knows."""
        return self._durations.usual(step, node=name, make=self.node(name).make)

    def _learn(self, node: NodeName, resolved: ev.Resolved, at: float) -> None:
        history = self.node(node)
        records = history.attempt.steps if history.attempt is not None else ()
        for record in records:
            # What ended otherwise, or was in doubt, tells nothing of how long it takes when it goes well.
            if record.number == resolved.number and resolved.outcome in _WRITTEN and record.was_accepted:
                self._durations.add(record.step, at - record.last_at, node=node, make=history.make)

    def unfinished(self) -> tuple[RolloutState, ...]:
        """Return the rollouts that have begun and not ended, oldest first."""
        return tuple(rollout for rollout in self.rollouts.values() if rollout.finished is None)

    def apply(self, recorded: ev.Recorded) -> None:
        """Fold one event in."""
        match recorded.event:
            case ev.RolloutStarted() as e:
                self.rollouts[e.rollout] = RolloutState(
                    e.rollout, e.bundle, e.digest, e.waves, e.policy, e.by, recorded.at
                )
            case ev.WaveStarted(rollout, wave):
                self.rollouts[rollout] = evolve(self.rollouts[rollout], wave=wave, waits="")
            case ev.NodeFinished(rollout, node) as e:
                state = self.rollouts[rollout]
                self.rollouts[rollout] = evolve(state, results={**state.results, node: e}, settled_at=recorded.at)
            case ev.RolloutPaused(rollout) as e:
                self.rollouts[rollout] = evolve(self.rollouts[rollout], paused=e)
            case ev.RolloutContinued(rollout):
                self.rollouts[rollout] = evolve(self.rollouts[rollout], paused=None, waits="")
            case ev.RolloutWaits(rollout, why):
                self.rollouts[rollout] = evolve(self.rollouts[rollout], waits=why)
            case ev.RolloutAborted(rollout) as e:
                self.rollouts[rollout] = evolve(self.rollouts[rollout], aborted=e)
            case ev.WaveApproved(rollout, wave):
                state = self.rollouts[rollout]
                self.rollouts[rollout] = evolve(state, approved=state.approved | {wave})
            case ev.RolloutFinished(rollout) as e:
                self.rollouts[rollout] = evolve(self.rollouts[rollout], finished=e, finished_at=recorded.at, waits="")
            case AboutReleases() as e:
                self.releases.apply(e, recorded.at)
            case node_event:
                if isinstance(node_event, ev.Resolved):
                    self._learn(node_event.node, node_event, recorded.at)
                self.nodes[node_event.node] = apply_to_node(self.node(node_event.node), node_event, recorded.at)


def apply_to_node(history: NodeHistory, event: ev.NodeEvent, at: float) -> NodeHistory:
    """Return *history* with one more event about its node."""
    match event:
        case ev.LogMarked() | ev.Intended() | ev.Completing() | ev.Acted() | ev.Reading() | ev.Resolved():
            return _apply_to_attempt(evolve(history, held_back=""), event, at)
        case ev.Bound(_, _, digest, binding):
            return evolve(history, bindings={**history.bindings, digest: binding})
        case ev.Held() | ev.Unheld() | ev.HeldBack():
            return _apply_hold(history, event, at)
        case ev.AttemptStarted(_, attempt, goal, rollout, rung):
            recovery, retries = history.recovery, history.retries
            if recovery is not None and rung is not None:
                retries = retries if rung < recovery.rung else 0
                recovery = evolve(recovery, rung=rung + 1)
            begun = Attempt(attempt, goal, at, rollout, rung, staged=history.staged, held=history.held)
            return evolve(history, attempt=begun, recovery=recovery, retries=retries, held_back="")
        case ev.AttemptEnded(_, _, result, evidence):
            return _end_attempt(history, result, evidence, at)
        case ev.Assigned(_, bundle, digest):
            return _assign(history, bundle, digest, at)
        case ev.RecoveryRequested(_, policy, bundle, failed, evidence):
            return evolve(
                history,
                recovery=Recovery(policy, bundle, failed, evidence),
                recoveries=history.recoveries + 1,
            )
        case ev.RecoveryEnded():
            return evolve(history, recovery=None)
        case ev.Quarantined(_, evidence):
            return evolve(history, quarantined=evidence, attempt=None, recovery=None)
        case ev.Readmitted():
            return evolve(history, quarantined=None, retries=0, refused_logins=())
        case ev.SessionOpened() | ev.SessionClosed() | ev.LoginRefused() | ev.Pinned() | ev.PinForgotten():
            return _apply_to_access(history, event, at)
        case ev.Identified():
            return evolve(history, identity=event)
        case ev.ImageFetched() | ev.ByHand():
            return history
        case _:
            assert_never(event)


def _apply_hold(history: NodeHistory, event: ev.Held | ev.Unheld | ev.HeldBack, at: float) -> NodeHistory:
    match event:
        case ev.Held(_, reason, by, until):
            return evolve(history, hold=Hold(reason, by, at, until))
        case ev.Unheld():
            return evolve(history, hold=None)
        case ev.HeldBack(_, why):
            return evolve(history, held_back=why)


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
    retries = history.retries + 1 if result is ev.AttemptResult.NOTHING_WRITTEN else 0
    return evolve(
        history,
        attempt=None,
        last=EndedAttempt(goal, result, evidence, at),
        touched=touched,
        staged=history.attempt.left_staged,
        held=history.attempt.left_held,
        retries=retries,
    )


def _assign(history: NodeHistory, bundle: BundleId, digest: Digest, at: float) -> NodeHistory:
    before = history.assigned.get(bundle.lineage)
    prior = history.prior
    if before is not None and before.bundle != bundle:
        prior = {**prior, bundle.lineage: before}
    assigned = {**history.assigned, bundle.lineage: Assignment(bundle, digest, at)}
    # The same bundle again, after a recovery, forgives nothing: a host that keeps dying would wear its flash out.
    recoveries = history.recoveries if before is not None and before.bundle == bundle else 0
    return evolve(history, assigned=assigned, prior=prior, touched=frozenset(), retries=0, recoveries=recoveries)


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
        isinstance(record.step, WriteImage)
        and record.step.writes_bmc
        and not isinstance(record.receipt, Refused)
        and record.outcome is not ev.Outcome.NEVER_STARTED
    )
