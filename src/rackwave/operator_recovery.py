"""Roll-back, recovery and readmission where a person asks for them: of nodes, of a rollout or a wave, of one component.

Each refuses as a whole, with every node that cannot be done and why, before anything is touched. What is done does
not wait for windows or approvals; but nodes that work are not all taken away at once where the inventory's policy
bounds that (``wave_most``, ``wave_percent``, ``domain_most``), unless that is meant.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from attrs import evolve

from .bundle_orchestrator import BundleOrchestrator
from .core.closing import is_on_new
from .core.event import Bound, Readmitted
from .core.history import NodeHistory
from .core.identity import ComponentName, Lineage, NodeName
from .core.policy import Policy
from .core.recovery import CONVERGE, POLICIES
from .core.report import NodeStatus
from .core.rollout import RolloutState
from .core.set_back import WhyNot, bring_forward, set_back
from .core.waves import cut_waves
from .engine.logbook import Logbook
from .errors import PlanRefusedError, UsageError
from .fleet import Fleet
from .leave import words
from .ports import Clock
from .stock import Stock

EVIDENCE = ("asked for by an operator",)


class OperatorRecovery:
    """Puts nodes on the ladders that a person names, and drives them to their ends."""

    def __init__(
        self,
        *,
        logbook: Logbook,
        fleet: Fleet,
        stock: Stock,
        policy: Policy,
        orchestrator: Callable[[], BundleOrchestrator],
        status: Callable[[str], Awaitable[tuple[NodeStatus, ...]]],
        clock: Clock,
        by: str,
    ) -> None:
        self._logbook = logbook
        self._fleet = fleet
        self._stock = stock
        self._policy = policy
        self._orchestrator = orchestrator
        self._status = status
        self._clock = clock
        self._by = by

    async def rollback(
        self,
        nodes: str | None,
        lineage: Lineage,
        *,
        component: str | None = None,
        reason: str = "",
        at_once: bool = False,
    ) -> tuple[NodeStatus, ...]:
        """Bring nodes back to the bundle that each had before its assigned one, or one component of them.

        Args:
            nodes: Which nodes; all where None.
            lineage: Of which lineage.
            component: Only this one; the rest, and what is assigned, stays. It keeps what the prior bundle has for
                it, which status and plans tell, until the next bundle comes or ``bring_forward``.
            reason: Why a component is set back, for whoever finds it so.
            at_once: All nodes, however many the inventory's policy lets be away at once.

        Raises:
            PlanRefusedError: a node has no prior bundle, or its payloads are gone; nothing was touched.
        """
        return await self._back(self._named(nodes), lineage, component, reason, at_once=at_once)

    async def rollback_rollout(
        self,
        rollout: RolloutState,
        *,
        wave: int | None = None,
        nodes: str | None = None,
        component: str | None = None,
        reason: str = "",
        at_once: bool = False,
    ) -> tuple[NodeStatus, ...]:
        """Bring back, as ``rollback`` does, the nodes that a rollout, or one wave of it, brought to its bundle.

        Nodes that it never began with, or that carry another bundle by now, are left as they are.

        Raises:
            UsageError: the rollout has not ended, it has no such wave, or there is nothing to bring back.
            PlanRefusedError: as ``rollback``.
        """
        names = self._of_rollout(rollout, wave, nodes)
        return await self._back(names, rollout.bundle.lineage, component, reason, at_once=at_once)

    async def bring_forward(
        self, nodes: str | None, lineage: Lineage, component: str, *, at_once: bool = False
    ) -> tuple[NodeStatus, ...]:
        """Bring a component that was set back to what the assigned bundle has for it.

        Raises:
            PlanRefusedError: on one of the nodes it is not set back; nothing was touched.
        """
        histories = self._histories(self._named(nodes))
        found = {each.node: bring_forward(each, lineage, ComponentName(component)) for each in histories}
        await self._rebind(histories, lineage, found, lambda each: _odd(each, found[each.node]), at_once=at_once)
        return await self._told(each.node for each in histories)

    async def recover(
        self, nodes: str | None, lineage: Lineage, *, ladder: str | None = None
    ) -> tuple[NodeStatus, ...]:
        """Bring dead nodes back on their assigned bundle, as the recovery policy *ladder* says, all at once.

        Args:
            nodes: Which nodes; all where None.
            lineage: Of which lineage.
            ladder: The name of the policy; the inventory's where None.

        Raises:
            UsageError: no such policy.
            PlanRefusedError: a node carries no bundle of *lineage*, or is not to be touched; nothing was.
        """
        name = ladder or self._policy.recovery
        if name not in POLICIES:
            raise UsageError(f"there is no recovery policy {name!r}", advice=f"There are: {', '.join(POLICIES)}.")
        histories = self._histories(self._named(nodes))
        self._refuse(histories, lineage, lambda _: None)
        await self._bring(histories, lineage)
        names = [each.node for each in histories]
        await self._climb(names, lineage, name, at_once=True)
        return await self._told(names)

    async def readmit(self, nodes: str, reason: str) -> tuple[NodeName, ...]:
        """Take nodes out of quarantine, and forget the logins that they refused and how often they were recovered.

        A person has looked at them. Return those that were concerned.
        """
        chosen = self._histories(self._named(nodes))
        readmitted = tuple(
            each.node for each in chosen if each.quarantined is not None or each.refused_logins or each.recoveries
        )
        await self._logbook.record(*(Readmitted(name, reason, self._by) for name in readmitted))
        return readmitted

    # -- inside ----------------------------------------------------------------------------------

    def _named(self, nodes: str | None) -> tuple[NodeName, ...]:
        self._logbook.refresh()
        return tuple(node.name for node in self._fleet.select(nodes))

    def _of_rollout(self, rollout: RolloutState, wave: int | None, nodes: str | None) -> tuple[NodeName, ...]:
        """Return the nodes that *rollout*, or its wave *wave*, brought to its bundle and that carry it still."""
        if rollout.finished is None:
            raise UsageError(
                f"rollout {rollout.id} has not ended",
                advice=f"'rackwave rollout abort {rollout.id} --roll-back' ends it and brings back what is done.",
            )
        if wave is not None and not wave < len(rollout.waves):
            last = len(rollout.waves) - 1
            raise UsageError(f"rollout {rollout.id} has no wave {wave}", advice=f"Its last is {last}.")
        meant = rollout.nodes if wave is None else rollout.waves[wave]
        done = [node for node in meant if is_on_new(rollout, self._logbook.node(node))]
        if nodes is not None:
            named = self._named(nodes)
            strange = [node for node in named if node not in done]
            if strange:
                raise UsageError(
                    f"rollout {rollout.id} left none of these on {rollout.bundle}: {', '.join(strange)}",
                    advice=f"See 'rackwave rollout show {rollout.id}'.",
                )
            done = [node for node in done if node in named]
        if not done:
            raise UsageError(f"no node is on {rollout.bundle} by rollout {rollout.id}; there is nothing to bring back")
        return tuple(done)

    async def _back(
        self, names: Sequence[NodeName], lineage: Lineage, component: str | None, reason: str, *, at_once: bool
    ) -> tuple[NodeStatus, ...]:
        histories = self._histories(names)
        await self._bring(histories, lineage)
        if component is None:
            await self._roll_back(histories, lineage, at_once=at_once)
        else:
            await self._set_back(histories, lineage, ComponentName(component), reason, at_once=at_once)
        return await self._told(names)

    async def _roll_back(self, histories: Sequence[NodeHistory], lineage: Lineage, *, at_once: bool) -> None:
        def why_not(history: NodeHistory) -> str | None:
            prior = history.prior.get(lineage)
            return "it has no prior bundle" if prior is None else self._unsendable(history, lineage)

        self._refuse(histories, lineage, why_not)
        await self._climb([each.node for each in histories], lineage, "rollback", at_once=at_once)

    async def _set_back(
        self,
        histories: Sequence[NodeHistory],
        lineage: Lineage,
        component: ComponentName,
        reason: str,
        *,
        at_once: bool,
    ) -> None:
        found = {
            each.node: set_back(each, lineage, component, load=self._stock.bundle, reason=reason, by=self._by)
            for each in histories
            if self._unsendable(each, lineage) is None
        }

        def why_not(history: NodeHistory) -> str | None:
            return self._unsendable(history, lineage) or _odd(history, found[history.node])

        await self._rebind(histories, lineage, found, why_not, at_once=at_once)

    async def _told(self, names: Iterable[NodeName]) -> tuple[NodeStatus, ...]:
        return await self._status(",".join(names))

    def _histories(self, names: Iterable[NodeName]) -> list[NodeHistory]:
        return [self._logbook.node(name) for name in names]

    async def _bring(self, histories: Iterable[NodeHistory], lineage: Lineage) -> None:
        """Bring here what the way back needs."""
        held = [each for history in histories for each in (history.assigned.get(lineage), history.prior.get(lineage))]
        await self._stock.bring(each.bundle for each in held if each is not None)

    def _unsendable(self, history: NodeHistory, lineage: Lineage) -> str | None:
        prior = history.prior.get(lineage)
        return None if prior is None else self._stock.repository.why_not_sendable(prior.bundle)

    def _refuse(
        self, histories: Sequence[NodeHistory], lineage: Lineage, why_not: Callable[[NodeHistory], str | None]
    ) -> None:
        """Raise where any of the nodes cannot be done, with all of these."""
        reasons = []
        for history in histories:
            self._fleet.credentials(history.node)  # what does not resolve is said before anything is journalled
            why = self._why_untouchable(history, lineage) or why_not(history)
            if why is not None:
                reasons.append(f"{history.node}: {why}")
        if reasons:
            raise PlanRefusedError(
                f"{len(reasons)} of {len(histories)} nodes cannot be brought back",
                reasons=tuple(reasons),
                advice="Nothing was touched. Mend what is named, or leave those out with --nodes; any archived bundle "
                "can be deployed by its id.",
            )

    def _why_untouchable(self, history: NodeHistory, lineage: Lineage) -> str | None:
        if history.quarantined is not None:
            return f"it is in quarantine; 'rackwave readmit {history.node} --reason …' once you have looked"
        if history.hold is not None and history.hold.stands(self._clock.now()):
            return f"it is {words(history.hold)}; 'rackwave unhold {history.node}' lifts that"
        if lineage not in history.assigned:
            return f"it carries no bundle of lineage {lineage}"
        return None

    async def _rebind(
        self,
        histories: Sequence[NodeHistory],
        lineage: Lineage,
        found: Mapping[NodeName, Bound | WhyNot],
        why_not: Callable[[NodeHistory], str | None],
        *,
        at_once: bool,
    ) -> None:
        self._refuse(histories, lineage, why_not)
        bindings = {node: each for node, each in found.items() if isinstance(each, Bound)}
        names = [each.node for each in histories]
        await self._climb(names, lineage, CONVERGE, bindings=bindings, at_once=at_once)

    async def _climb(
        self,
        names: Sequence[NodeName],
        lineage: Lineage,
        ladder: str,
        *,
        at_once: bool,
        bindings: Mapping[NodeName, Bound] | None = None,
    ) -> None:
        """Put *names* on *ladder*, as many at once as policy lets be away."""
        labels = {node.name: node.labels for node in self._fleet.select(",".join(names))}
        bounded = cut_waves(names, evolve(self._policy, canary=0, waves=1), labels)
        orchestrator = self._orchestrator()
        for wave in [tuple(names)] if at_once else bounded:
            await orchestrator.run_recovery(
                wave,
                lineage,
                self._policy,
                ladder=ladder,
                failed=ladder == "rollback",
                evidence=EVIDENCE,
                by=self._by,
                bindings=bindings or {},
            )


def _odd(history: NodeHistory, found: Bound | WhyNot) -> str | None:
    """Say why what a bundle means on the node cannot be changed now; None where it can."""
    if history.recovery is not None and history.recovery.policy == CONVERGE:
        return None  # the same was asked for before, and an earlier run was killed over it
    if history.attempt is not None or history.recovery is not None:
        return "work on it has not ended; 'rackwave rollout resume' goes on with it"
    return found.why if isinstance(found, WhyNot) else None
