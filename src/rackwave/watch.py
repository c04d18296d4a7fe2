"""The watch: what the bundle orchestrator (124) does while nobody rolls anything out.

Every node is one chain of turns on the embedded engine, as in a rollout: a turn looks, writes down what changed,
does what ``core.watching`` decides, and says when it wants to look again. A node that waits costs an entry in a heap;
its session is kept, its connection is not. A node is leased only while something is done to it, so that rollouts and
persons never wait for the watch: where one of them works on a node, the watch lets go of it until they are done.

Nothing is kept here that counts. How a node was seen last, why it is left alone and what was begun on it stand in the
journal, and a watch that starts goes on from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import assert_never

from attrs import define, evolve

from .bundle_orchestrator import BmcPool, BundleOrchestrator
from .core.binding import meant
from .core.bundle import Bundle
from .core.history import Assignment, NodeHistory
from .core.identity import BundleId, Lineage, NodeName
from .core.look import full_look
from .core.observation import Lack, Look, Observation, Post, Power, Unknown
from .core.pace import spread
from .core.policy import Policy
from .core.recovery import CONVERGE
from .core.request import Want
from .core.watch_policy import WatchPolicy
from .core.watching import (
    Condition,
    Decision,
    Drift,
    GoOn,
    Leave,
    Reach,
    Reassert,
    Recover,
    changes,
    decide,
    drift_of,
    is_doubted,
    left_alone,
    maintenance,
    next_look,
)
from .core.window import Windows
from .engine.embedded import EmbeddedEngine
from .engine.logbook import Logbook
from .errors import (
    BmcCertificateError,
    BmcLoginError,
    LeaseError,
    NodeError,
    RackwaveError,
    SecretError,
    StateError,
)
from .ports import Announces, Bmc, Clock

BY = "watch"
"""Who asks for what the watch begins, in the journal."""

HOLDERS_FOR = 5.0
"""Seconds for which it is remembered who works on which node: to find out costs a look at every such process."""

DUE_FOR = 60.0
"""Seconds for which it is remembered which bundles are due: that is found in the repository, whatever the nodes."""

GAP = 5.0
"""Seconds between two looks at a node, whatever its BMC tells: one that flaps must not be asked without an end."""


@define
class _Memory:
    """What a watch remembers of one node from turn to turn, and may forget."""

    last: Condition | None = None
    looked_at: float = 0.0
    read_at: float | None = None
    assigned: Mapping[Lineage, Assignment] | None = None
    announces: bool = False
    """Whether its BMC has told of news."""


class Watch:
    """Keeps the nodes of a fleet on what is assigned to them, unattended, for as long as it runs."""

    def __init__(
        self,
        *,
        logbook: Logbook,
        bmcs: BmcPool,
        orchestrator: Callable[[], BundleOrchestrator],
        load: Callable[[BundleId], Bundle],
        bring: Callable[[Iterable[BundleId]], Awaitable[None]],
        holders: Callable[[], Mapping[NodeName, str]],
        due: Callable[[Sequence[NodeName]], Mapping[NodeName, Mapping[Lineage, str]]],
        windows: Callable[[NodeName], Sequence[Windows]],
        watch: WatchPolicy,
        policy: Policy,
        clock: Clock,
    ) -> None:
        """Compose it.

        Args:
            logbook: The journal with its fold.
            bmcs: The ways to the BMCs; for the watch alone, since it lets go of them as it sees fit.
            orchestrator: Makes what takes a recovery to its end; one for each.
            load: Loads a bundle of the repository.
            bring: Brings bundles here that are only in the registry behind it.
            holders: Who works on which node now.
            due: Which bundle of each lineage is due on which of some nodes, in words.
            windows: The maintenance windows that a node has of its own.
            watch: What the watch may do by itself.
            policy: The policy of rollouts, for what it begins.
            clock: The time.
        """
        self._logbook = logbook
        self._bmcs = bmcs
        self._orchestrator = orchestrator
        self._load = load
        self._bring = bring
        self._find_holders = holders
        self._find_due = due
        self._windows = windows
        self._watch = watch
        self._policy = policy
        self._clock = clock
        self._engine = EmbeddedEngine(clock)
        self._memories: dict[NodeName, _Memory] = {}
        self._holders: Mapping[NodeName, str] = {}
        self._holders_at: float | None = None
        self._due: Mapping[NodeName, Mapping[Lineage, str]] = {}
        self._due_at: float | None = None
        self._acting: set[BundleOrchestrator] = set()
        self._mending: set[NodeName] = set()
        self._waiting: dict[NodeName, None] = {}
        self._once = False
        self._stopping = False

    async def run(self, nodes: Sequence[NodeName], *, once: bool = False) -> None:
        """Watch *nodes* until `stop`; *once*: until each was looked at and what that asked for is done.

        Raises:
            StateError: the journal cannot be written any more.
        """
        self._once = once
        started = self._clock.now()
        self._memories = {node: _Memory() for node in nodes}
        try:
            await self._engine.run(nodes, lambda node: self._turn(node, started))
        finally:
            await asyncio.gather(*(self._bmcs.release(node) for node in nodes), return_exceptions=True)

    def stop(self) -> None:
        """End at the next safe point: looks in flight end, and what is done to a node stops where it can go on."""
        self._stopping = True
        self._engine.stop()
        for orchestrator in self._acting:
            orchestrator.stop()

    # -- a turn ----------------------------------------------------------------------------------

    async def _turn(self, node: NodeName, started: float) -> float | None:
        memory, gap = self._memories[node], min(GAP, 0.8 * self._watch.soonest)
        if memory.last is not None and (ago := self._clock.now() - memory.looked_at) < gap:
            return gap - ago
        self._logbook.refresh()
        if holder := self._holder(node):
            return await self._let_be(node, memory, holder)
        last = memory.last
        condition = memory.last = await self._look(node, memory)
        memory.looked_at = self._clock.now()
        known = self._logbook.node(node).sightings
        await self._logbook.record(
            *changes(node, known, last, condition), *maintenance(node, known, self._due_on(node))
        )
        if self._stopping:
            return None
        decision = self._decide(node, last, condition)
        left = decision if isinstance(decision, Leave) else await self._do(node, decision)
        if left is None:  # something was done: what was seen before says nothing any more
            self._memories[node] = _Memory(announces=memory.announces)
            return None if self._stopping else 0.0
        await self._logbook.record(*left_alone(node, self._logbook.node(node).sightings, left.why))
        return await self._rest(node, last, condition, started)

    def _decide(self, node: NodeName, last: Condition | None, now: Condition, holder: str = "") -> Decision:
        history = self._logbook.node(node)
        is_in_rollout = history.is_open and any(node in each.wave_of for each in self._logbook.ledger.unfinished())
        return decide(
            last,
            now,
            history,
            self._watch,
            self._policy,
            at=self._clock.now(),
            holder=holder,
            in_rollout=is_in_rollout,
            own=self._windows(node),
        )

    async def _let_be(self, node: NodeName, memory: _Memory, holder: str) -> float | None:
        """Leave *node* to whoever works on it: two that look at one BMC take sessions from each other."""
        if memory.last is not None:
            found = self._decide(node, memory.last, memory.last, holder)
            why = found.why if isinstance(found, Leave) else ""
            await self._logbook.record(*left_alone(node, self._logbook.node(node).sightings, why))
        self._memories[node] = _Memory(announces=memory.announces)
        await self._release(node)
        return None if self._once else spread(self._watch.soonest, node, self._clock.now())

    async def _rest(self, node: NodeName, last: Condition | None, condition: Condition, started: float) -> float | None:
        """Let go of the connection to *node*'s BMC, keep the session, and hear what it tells by itself."""
        memory, doubted = self._memories[node], is_doubted(last, condition, self._watch)
        if self._once and not doubted and node not in self._waiting:
            await self._release(node)
            return None
        now = self._clock.now()
        wait = next_look(
            self._watch,
            node,
            condition,
            unchanged=now - max((each.since for each in self._logbook.node(node).sightings.values()), default=started),
            announces=memory.announces,
            is_doubted=doubted,
            now=now,
        )
        if condition.bmc is Reach.ANSWERS:
            with suppress(NodeError, SecretError):  # the next look finds out what it is
                bmc = await self._bmcs.get(node)
                if self._watch.listen and wait > self._watch.soonest and isinstance(bmc, Announces):
                    await bmc.listen(lambda: self._news(node))
                await bmc.park()
        return wait

    async def _release(self, node: NodeName) -> None:
        with suppress(NodeError, SecretError):  # its session ends by itself, or with the next that is opened
            await self._bmcs.release(node)

    def _news(self, node: NodeName) -> None:
        self._memories[node].announces = True
        self._engine.wake((node,))

    def _holder(self, node: NodeName) -> str:
        now = self._clock.monotonic()
        if self._holders_at is None or now - self._holders_at >= HOLDERS_FOR:
            self._holders, self._holders_at = self._find_holders(), now
        return self._holders.get(node, "")

    def _due_on(self, node: NodeName) -> Mapping[Lineage, str]:
        now = self._clock.monotonic()
        if self._due_at is None or now - self._due_at >= DUE_FOR:
            self._due_at = now
            with suppress(RackwaveError):  # what was known stands; who plans a rollout is told what is wrong
                self._due = self._find_due(tuple(self._memories))
        return self._due.get(node, {})

    # -- looking ---------------------------------------------------------------------------------

    async def _look(self, node: NodeName, memory: _Memory) -> Condition:
        """Look at *node*: at power, POST and health, and where that is due at what it should carry."""
        history = self._logbook.node(node)
        try:
            bmc = await self._bmcs.get(node)
            seen = await bmc.observe(Look())
            condition = Condition.of(seen, memory.last)
            is_up = condition.power is Power.ON and condition.post is Post.COMPLETE
            if not (is_up and self._is_to_read(history, memory)):
                return condition
            memory.read_at, memory.assigned = self._clock.now(), history.assigned
            return Condition.of(seen, memory.last, await self._read(bmc, seen, history))
        except (BmcLoginError, BmcCertificateError, SecretError) as error:
            return Condition(Reach.REFUSED, why=_no_way_in(error))
        except NodeError as error:
            seen = Observation.blank(self._clock.now(), f"{error}", Look(), lack=Lack.AWAY)
            return Condition.of(seen, memory.last)

    def _is_to_read(self, history: NodeHistory, memory: _Memory) -> bool:
        """Whether what is installed and set is to be read now, and not only what is cheap."""
        if not history.assigned:
            return False
        if (
            memory.read_at is None
            or memory.last is None
            or memory.last.is_suspect
            or memory.assigned != history.assigned
        ):
            return True
        is_unread = any(isinstance(drift, Unknown) for drift in memory.last.drift.values())
        return self._clock.now() - memory.read_at >= (self._watch.latest if is_unread else self._watch.read_every)

    async def _read(self, bmc: Bmc, seen: Observation, history: NodeHistory) -> dict[Lineage, Drift]:
        found: dict[Lineage, Drift] = {}
        for lineage, held in history.assigned.items():
            try:
                bundle = meant(self._load(held.bundle), history.bindings, self._load)
            except RackwaveError as error:
                found[lineage] = Unknown(f"{error}")  # of this bundle alone; the node is watched all the same
                continue
            seen = seen.with_more(await bmc.observe(evolve(full_look(bundle), system=False)))
            found[lineage] = drift_of(history.node, bundle, seen)
        return found

    # -- acting ----------------------------------------------------------------------------------

    async def _do(self, node: NodeName, decision: GoOn | Recover | Reassert) -> Leave | None:
        """Do what was decided; None: it was done, as far as it went. Otherwise why it was not."""
        if isinstance(decision, Reassert):
            if len(self._mending) >= self._watch.at_once:
                self._waiting[node] = None
                return Leave("it differs from its bundle, and waits until others are mended")
            self._mending.add(node)
        self._waiting.pop(node, None)
        await self._release(node)  # what acts has a session of its own, and some BMCs have few
        orchestrator = self._orchestrator()
        self._acting.add(orchestrator)
        try:
            await self._act(orchestrator, node, decision)
        except LeaseError:
            return Leave("another process works on it")
        except StateError:
            raise
        except RackwaveError as error:
            return Leave(f"{error}")
        except ExceptionGroup as group:
            return Leave(_of_turns(group))
        finally:
            self._holders_at = None
            self._acting.discard(orchestrator)
            self._mending.discard(node)
            if isinstance(decision, Reassert):
                self._engine.wake(tuple(self._waiting)[:1])
        return None

    async def _act(self, orchestrator: BundleOrchestrator, node: NodeName, decision: GoOn | Recover | Reassert) -> None:
        history = self._logbook.node(node)
        held = [each.get(decision.lineage) for each in (history.assigned, history.prior)]
        await self._bring(each.bundle for each in held if each is not None)
        match decision:
            case GoOn(lineage):
                await orchestrator.finish((node,), lineage, self._policy)
            case Recover(lineage, evidence, want):
                ladder = "rollback" if want is Want.PRIOR else self._policy.recovery
                await self._climb(orchestrator, node, lineage, ladder, evidence)
            case Reassert(lineage, what):
                await self._climb(orchestrator, node, lineage, CONVERGE, what)
            case _:
                assert_never(decision)

    async def _climb(
        self,
        orchestrator: BundleOrchestrator,
        node: NodeName,
        lineage: Lineage,
        ladder: str,
        evidence: tuple[str, ...],
    ) -> None:
        await orchestrator.run_recovery(
            (node,), lineage, self._policy, ladder=ladder, failed=ladder == "rollback", evidence=evidence, by=BY
        )


def _no_way_in(error: RackwaveError) -> str:
    """Say why a BMC does not let us in, in words that are the same the next time."""
    match error:
        case BmcLoginError():
            return "its BMC refuses the login; see 'rackwave doctor'"
        case BmcCertificateError():
            return "its BMC's certificate or key is not believed; see 'rackwave doctor'"
        case _:
            return "its credentials cannot be read; see 'rackwave doctor'"


def _of_turns(group: ExceptionGroup[Exception]) -> str:
    """Say what ended turns early, where the watch goes on all the same.

    Raises:
        ExceptionGroup: something in it is nothing that may happen, or the journal cannot be written.
    """
    known, unknown = group.split(RackwaveError)
    if known is None or unknown is not None or known.subgroup(StateError) is not None:
        raise group
    return "; ".join(str(error) for error in known.exceptions)
