"""The bundle orchestrator (124): takes a rollout through its waves and hands failures to recovery.

It assigns goals and never touches a BMC: that is the worker orchestrator's. Every node of the
rollout is driven by one chain of turns, from the first look to its end; a node that waits for its
wave is watched, and a host that dies meanwhile is recovered on the bundle that is assigned to it.
All that counts is in the journal: the same rollout run again goes on where the journal stands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from .core.binding import meant
from .core.bundle import Bundle
from .core.closing import close, goes_back_next, why_ended
from .core.deployment import Context, call_off
from .core.event import (
    Bound,
    Enforced,
    HeldBack,
    RolloutFinished,
    RolloutResult,
    RolloutStarted,
    RolloutWaits,
    WaveStarted,
)
from .core.gate import Ill, judge
from .core.history import NodeHistory
from .core.identity import BundleId, Digest, Lineage, NodeName, RolloutId
from .core.observation import Look
from .core.pace import usual_steps
from .core.policy import Policy
from .core.rollout import RolloutState
from .core.waves import GoOn, Stop, Wait, judge_wave, may_begin, why_shut
from .core.window import Windows
from .engine.embedded import EmbeddedEngine, Turn
from .engine.leases import Holder, Lease
from .engine.logbook import Logbook
from .errors import BmcCertificateError, BmcLoginError, SecretError, TrustError, UsageError
from .gatekeeper import Gate, Gatekeeper
from .ports import Announces, Bmc, Clock
from .recovery_manager import RecoveryManager
from .worker.worker_orchestrator import Over, Rest, WorkerOrchestrator

KEEP_CONNECTED = 30.0
"""Seconds of rest up to which a node keeps its connection: a kept TLS connection costs about 120 KiB."""

LISTEN_FROM = 20.0
"""Seconds of rest from which a node's BMC is listened to. A stream costs a connection and two requests, which
a short wait does not save; one that is open stays so until the node is released."""


class BmcPool(Protocol):
    """Hands out one BMC adapter a node and lets go of it."""

    async def get(self, node: NodeName) -> Bmc:
        """Return the adapter of *node*, the same one until it is released."""
        ...

    async def release(self, node: NodeName) -> None:
        """Close the adapter of *node* and the session it holds."""
        ...


class LeaseTable(Protocol):
    """Who may act on which node; see engine/leases.py for the rules."""

    async def acquire(self, node: NodeName, holder: Holder) -> Lease:
        """Take the node, or raise LeaseError."""
        ...

    async def check(self, lease: Lease) -> None:
        """Raise LeaseError where the node is no longer ours."""
        ...

    async def heartbeat(self) -> None:
        """Say that we are alive."""
        ...

    async def release(self, lease: Lease) -> None:
        """Let go of the node."""
        ...


class BundleOrchestrator:
    """Runs rollouts and single recoveries on the embedded engine."""

    def __init__(
        self,
        *,
        logbook: Logbook,
        worker: WorkerOrchestrator,
        recovery: RecoveryManager,
        bmcs: BmcPool,
        load: Callable[[BundleId], Bundle],
        forward: Callable[[BundleId, Digest], Awaitable[GoOn | Wait | Stop]],
        leases: LeaseTable,
        holder: Holder,
        clock: Clock,
        windows: Callable[[NodeName], Sequence[Windows]] = lambda _: (),
        gate: Gate | None = None,
    ) -> None:
        """Compose it of its parts; *forward* says, before each wave, whether its bundle may still be deployed.

        *windows* are the maintenance windows that a node has of its own; *gate* says of a rollout whose wave is over
        whether the next may begin.
        """
        self._windows = windows
        self._logbook = logbook
        self._worker = worker
        self._recovery = recovery
        self._bmcs = bmcs
        self._load = load
        self._forward = forward
        self._leases = leases
        self._holder = holder
        self._clock = clock
        self._engine = EmbeddedEngine(clock)
        self._gate = (
            Gatekeeper(gate, logbook=logbook, wake=self._engine.wake, clock=clock) if gate is not None else None
        )
        self._held: dict[NodeName, Lease] = {}
        self._advancing = asyncio.Lock()
        self._ailing: set[NodeName] = set()

    def stop(self) -> None:
        """Stop at the next safe point: no further turn begins, turns in flight end."""
        self._engine.stop()

    async def begin_rollout(self, started: RolloutStarted, bindings: Sequence[Bound] = ()) -> RolloutState:
        """Journal *started* once its nodes are ours, then take the rollout to its end, or until ``stop``.

        *bindings* say what its bundle means on each of its nodes, where it may mean something else on each.

        Raises:
            LeaseError: another orchestrator works on one of its nodes; nothing was journalled.
            UsageError: one that was begun since this one was planned has not ended; as above.
        """
        nodes = tuple(node for wave in started.waves for node in wave)
        await self._hold(nodes)
        try:
            for other in self._logbook.ledger.unfinished():
                if not set(other.nodes).isdisjoint(nodes):
                    raise not_ended(other)
            await self._logbook.record(*bindings, started)
            return await self._drive(started.rollout, nodes)
        finally:
            await self._let_go(nodes)

    async def run_rollout(self, rollout: RolloutId) -> RolloutState:
        """Take *rollout* from where the journal says it stands to its end, or until ``stop``.

        Raises:
            LeaseError: another orchestrator works on one of its nodes.
        """
        nodes = self._logbook.ledger.rollouts[rollout].nodes
        await self._hold(nodes)
        try:
            return await self._drive(rollout, nodes)
        finally:
            await self._let_go(nodes)

    async def run_recovery(
        self,
        nodes: tuple[NodeName, ...],
        lineage: Lineage,
        policy: Policy,
        *,
        ladder: str,
        failed: bool,
        evidence: tuple[str, ...],
        by: str,
        bindings: Mapping[NodeName, Bound] = MappingProxyType({}),
    ) -> None:
        """Put *nodes* on the ladder named *ladder* and drive them to its end (claims 1 to 4).

        *bindings* say what the bundle that is assigned to each means on it from then on. A node that an earlier run
        left on that ladder goes on there; what else is open is finished first.
        """
        await self._hold(nodes)
        try:
            asked = {node for node in nodes if _is_on(self._logbook.node(node), lineage, ladder, failed=failed)}

            async def turn(node: NodeName) -> float | None:
                history = self._logbook.node(node)
                context = self._recovery.context(node, lineage, policy, None)
                if history.attempt is None and history.recovery is None and node not in asked:
                    asked.add(node)
                    await self._recovery.request(
                        node,
                        context,
                        ladder=ladder,
                        failed=failed,
                        evidence=evidence,
                        by=by,
                        bindings=[bindings[node]] if node in bindings else [],
                    )
                    return 0.0
                return await self._turn(node, context)

            await self._run(nodes, turn)
        finally:
            await self._let_go(nodes)

    async def finish(self, nodes: tuple[NodeName, ...], lineage: Lineage, policy: Policy) -> None:
        """Bring what an earlier run left open on *nodes*, outside of any rollout, to its end; begin nothing new.

        What a rollout that is over never came to send is not sent now.
        """

        async def turn(node: NodeName) -> float | None:
            await self._called_off(node)
            return await self._turn(node, self._recovery.context(node, lineage, policy, None))

        await self._hold(nodes)
        try:
            await self._run(nodes, turn)
        finally:
            await self._let_go(nodes)

    async def tidy(self, nodes: tuple[NodeName, ...]) -> None:
        """End the sessions that killed runs left on the BMCs of *nodes*; nothing else is done to them.

        Raises:
            LeaseError: another orchestrator works on one of them; the sessions may be its own.
        """
        await self._hold(nodes)
        try:
            await asyncio.gather(*(self._done_with(node) for node in nodes))
        finally:
            await self._let_go(nodes)

    # -- turns ---------------------------------------------------------------------------------

    async def _drive(self, rollout: RolloutId, nodes: tuple[NodeName, ...]) -> RolloutState:
        await self._advance(rollout)
        await self._run(nodes, lambda node: self._rollout_turn(rollout, node))
        return self._logbook.ledger.rollouts[rollout]

    async def _rollout_turn(self, rollout: RolloutId, node: NodeName) -> float | None:
        self._logbook.refresh()  # another process may have paused, approved or aborted it
        state, history = self._logbook.ledger.rollouts[rollout], self._logbook.node(node)
        context = self._recovery.context(node, state.bundle.lineage, state.policy, state)
        if await self._called_off(node, state):
            history = self._logbook.node(node)
        if history.is_open:
            if state.finished is not None and state.aborted is not None and state.aborted.now:
                await self._bmcs.release(node)
                return None
            return await self._turn_of(rollout, node, context)
        await self._advance(rollout)
        state = self._logbook.ledger.rollouts[rollout]
        if state.finished is not None or (node in state.results and not self._is_watched(state, node)):
            await self._done_with(node)
            return None
        if node in state.results and not state.policy.soak:
            return state.policy.watch  # it is done, and its turns are how the gate's answer comes to be looked at
        if node in state.results:
            return await self._watch_done(node, context)
        if state.wave < state.wave_of[node]:
            return await self._watch(node, history, context)
        now, seconds, own = self._clock.now(), self._expected(node, state), self._windows(node)
        why = may_begin(state, now, seconds, own)
        if why is not None:
            if why != history.held_back:
                await self._logbook.record(HeldBack(node, why))
            return await self._watch(node, history, context)
        shut = why_shut(state.policy, now, seconds, own)
        if shut is not None and history.quarantined is None:
            await self._logbook.record(Enforced(node, shut))
        return await self._turn_of(rollout, node, context)

    async def _called_off(self, node: NodeName, rollout: RolloutState | None = None) -> bool:
        """End the node's attempt where nothing is sent yet and its rollout does not want it any more, or not now.

        It was waiting, for a person or a scheduler, and must not begin once these let it. *rollout* is the one that
        is driven; an attempt that another one left is called off where that one is over.
        """
        history = self._logbook.node(node)
        attempt = history.attempt
        if attempt is None or attempt.rollout is None or attempt.steps:
            return False
        why: str | None = None
        if rollout is not None and attempt.rollout == rollout.id:
            why = may_begin(rollout, self._clock.now(), self._expected(node, rollout), self._windows(node))
        else:
            other = self._logbook.ledger.rollouts.get(attempt.rollout)
            if other is not None and other.finished is not None:
                why = f"its rollout is over: {other.finished.result}"
        if why is None:
            return False
        ended = call_off(history, why)
        await self._logbook.record(*ended)
        return bool(ended)

    async def _turn_of(self, rollout: RolloutId, node: NodeName, context: Context) -> float:
        """Do one turn of the node's attempt, and let the rollout go on from it."""
        rest = await self._turn(node, context)
        await self._advance(rollout)
        return 0.0 if rest is None else rest

    def _is_watched(self, state: RolloutState, node: NodeName) -> bool:
        """Whether the wave of *node*, which is done, is watched, or is what the gate is asked of, before it goes on."""
        is_asked = self._gate is not None and state.is_wave_over and state.wave + 1 < len(state.waves)
        return (bool(state.policy.soak) or is_asked) and state.wave_of[node] == state.wave

    def _expected(self, node: NodeName, state: RolloutState) -> float | None:
        """Return what the images of the rollout's bundle took before, on *node* or its like; None: nobody knows."""
        bundle, ledger = self._bundle(state.bundle, state.digest, node), self._logbook.ledger
        took = [ledger.usual_of(step, node) for step in usual_steps(bundle)]
        known = [each for each in took if each is not None]
        return sum(known) if known else None

    async def _turn(self, node: NodeName, context: Context) -> float | None:
        """Do one turn of the node's attempt, opening one first where none is open; None: nothing is open."""
        history = self._logbook.node(node)
        if history.attempt is None:
            if not await self._recovery.open_attempt(node, context):
                await self._done_with(node)
                return None
            history = self._logbook.node(node)
            if history.attempt is None:
                return 0.0
        goal = history.attempt.goal
        bundle = self._bundle(goal.bundle, goal.digest, node)
        bmc = await self._bmcs.get(node)
        lease = self._held[node]
        result = await self._worker.turn(bmc, bundle, context.policy, check_lease=lambda: self._leases.check(lease))
        match result:
            case Rest(seconds, _):
                if seconds >= LISTEN_FROM and isinstance(bmc, Announces):
                    await bmc.listen(lambda: self._engine.wake((node,)))
                if seconds > KEEP_CONNECTED:
                    await bmc.park()
                return seconds
            case Over(outcome, evidence):
                await self._recovery.close_attempt(node, outcome, evidence, context)
                return 0.0

    async def _done_with(self, node: NodeName) -> None:
        """Let go of *node*, and of the sessions on its BMC that a killed run left when it was done already (P26)."""
        if self._logbook.node(node).sessions:
            await self._bmcs.get(node)
        await self._bmcs.release(node)

    async def _watch(self, node: NodeName, history: NodeHistory, context: Context) -> float:
        """Look at a node that waits for its wave; a dead host is not left dead until then."""
        bmc = await self._bmcs.get(node)
        try:
            seen = await bmc.observe(Look())
        except (BmcLoginError, BmcCertificateError, SecretError):
            return context.policy.watch  # its own wave will say so, with the evidence
        verdict = judge(seen)
        is_ours = context.lineage in history.assigned and history.quarantined is None
        is_dead = isinstance(verdict, Ill) and verdict.dead
        if is_dead and node not in self._ailing:
            self._ailing.add(node)  # nobody is restarted on one look
            return context.policy.poll
        self._ailing.discard(node)
        if isinstance(verdict, Ill) and is_dead and is_ours and history.recoveries < context.policy.recoveries:
            await self._recovery.fell_ill(node, context, verdict.why)
            return 0.0
        if context.policy.watch > KEEP_CONNECTED:
            await bmc.park()
        return context.policy.watch

    async def _watch_done(self, node: NodeName, context: Context) -> float:
        """Look at a node that is done while its wave is watched: what falls ill now may be its bundle's fault."""
        bmc = await self._bmcs.get(node)
        try:
            verdict = judge(await bmc.observe(Look()))
        except (BmcLoginError, BmcCertificateError, SecretError):
            return context.policy.watch  # unread, which is no illness
        if not isinstance(verdict, Ill):
            self._ailing.discard(node)
            return context.policy.watch
        if node not in self._ailing:
            self._ailing.add(node)  # nobody is rolled back on one look
            return context.policy.poll
        self._ailing.discard(node)
        await self._recovery.fell_ill(node, context, verdict.why)
        return 0.0

    async def _advance(self, rollout: RolloutId) -> None:
        """Start the next wave, or end the rollout, where the nodes done so far say so."""
        async with self._advancing:  # two nodes that end together must not both start the next wave
            # Again as long as it leads on: every node of a wave may be done, by recovery, before it starts,
            # and none of them would have a turn left to go on from.
            while await self._advance_once(rollout):
                pass

    async def _advance_once(self, rollout: RolloutId) -> bool:
        state = self._logbook.ledger.rollouts[rollout]
        if state.finished is not None:
            return False
        verdict = judge_wave(state, self._clock.now())
        is_next = (state.wave < 0 or state.is_wave_over) and state.wave + 1 < len(state.waves)
        if isinstance(verdict, GoOn) and is_next:
            verdict = await self._forward(state.bundle, state.digest)
        if isinstance(verdict, GoOn) and is_next and state.wave >= 0 and self._gate is not None:
            verdict = self._gate.judge(state)
        if isinstance(verdict, Stop):
            # A node of a later wave may be on a ladder: a rollout that is over would not be resumed for it.
            at_once = state.aborted is not None and state.aborted.now
            if not at_once and self._logbook.ledger.works_on(state):
                return False
            now = self._clock.now()
            if back := goes_back_next(state, self._logbook.node, now):
                await self._bring_back(back, state, verdict.why)
                return False
            result = RolloutResult.ABORTED if verdict.aborted else RolloutResult.STOPPED
            why = why_ended(state, self._logbook.node, verdict.why, now)
            await self._logbook.record(*close(state, self._logbook.node, result, why))
            self._engine.wake(state.nodes)
            return True
        if state.wave >= 0 and not state.is_wave_over:
            return False
        if isinstance(verdict, Wait):
            if verdict.why != state.waits:
                await self._logbook.record(RolloutWaits(rollout, verdict.why))
            return False
        if state.wave + 1 < len(state.waves):
            await self._logbook.record(WaveStarted(rollout, state.wave + 1))
            self._engine.wake(state.waves[state.wave + 1])
        else:
            await self._logbook.record(RolloutFinished(rollout, RolloutResult.DONE))
            self._engine.wake(state.nodes)
        return True

    async def _bring_back(self, nodes: tuple[NodeName, ...], state: RolloutState, why: str) -> None:
        """Roll *nodes* back, which are done, in a rollout that was aborted."""
        by = state.aborted.by if state.aborted is not None else ""
        for node in nodes:
            context = self._recovery.context(node, state.bundle.lineage, state.policy, state)
            await self._recovery.request(node, context, ladder="rollback", failed=True, evidence=(why,), by=by)
        self._engine.call_back(nodes)

    # -- what a turn needs -----------------------------------------------------------------------

    def _bundle(self, bundle_id: BundleId, digest: Digest, node: NodeName) -> Bundle:
        """Return a bundle as it is meant on *node*."""
        bundle = self._load(bundle_id)
        if bundle.digest != digest:
            raise TrustError(
                f"{bundle_id} in the repository is {bundle.digest}, but {digest} was planned.",
                advice="Somebody replaced the bundle. Plan again after 'rackwave bundle verify'.",
            )
        return meant(bundle, self._logbook.node(node).bindings, self._load)

    # -- leases ----------------------------------------------------------------------------------

    async def _hold(self, nodes: tuple[NodeName, ...]) -> None:
        taken = await asyncio.gather(
            *(self._leases.acquire(node, self._holder) for node in nodes), return_exceptions=True
        )
        self._held.update({lease.node: lease for lease in taken if isinstance(lease, Lease)})
        for refused in taken:
            if isinstance(refused, BaseException):
                await self._let_go(nodes)
                raise refused
        # What the holder before us wrote is part of where these nodes stand.
        self._logbook.refresh()

    async def _let_go(self, nodes: tuple[NodeName, ...]) -> None:
        await asyncio.gather(*(self._bmcs.release(node) for node in nodes), return_exceptions=True)
        held = [self._held.pop(node) for node in nodes if node in self._held]
        await asyncio.gather(*(self._leases.release(lease) for lease in held), return_exceptions=True)

    async def _run(self, nodes: tuple[NodeName, ...], turn: Turn) -> None:
        heart = asyncio.ensure_future(self._beat())
        try:
            await self._engine.run(nodes, turn)
        finally:
            heart.cancel()
            if self._gate is not None:
                self._gate.leave()

    async def _beat(self) -> None:
        while True:
            await self._clock.sleep(10.0)
            await self._leases.heartbeat()


def not_ended(rollout: RolloutState) -> UsageError:
    """Say that *rollout* must come to its end before another may begin."""
    nodes = ", ".join(rollout.nodes[:4]) + (f" and {len(rollout.nodes) - 4} more" if len(rollout.nodes) > 4 else "")
    return UsageError(
        f"rollout {rollout.id} of {rollout.bundle} to {nodes} has not ended",
        advice="Go on with it first: 'rackwave rollout resume'.",
    )


def _is_on(history: NodeHistory, lineage: Lineage, ladder: str, *, failed: bool) -> bool:
    """Whether the node is on the ladder already that is asked for: a second request would go back twice."""
    recovery = history.recovery
    if recovery is None:
        return False
    return (recovery.bundle.lineage, recovery.policy, recovery.failed is not None) == (lineage, ladder, failed)
