"""Plans for many nodes: look at each, plan it, and say which are refused and why, before anything is touched."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from typing import TypeVar

from attrs import evolve

from .bundle_orchestrator import BmcPool
from .core.binding import Binding, bind, has_patterns, meant, needs_binding, why_not
from .core.bundle import Activation, Bundle
from .core.drift import drift_from
from .core.enforce import for_bundle, with_date
from .core.goal import Cause, Goal
from .core.history import NodeHistory
from .core.identity import BundleId, ComponentName, NodeName
from .core.look import full_look
from .core.node import Node, Selector
from .core.observation import Look, Observation, Unknown
from .core.planner import NodePlan, Note, plan_node
from .core.policy import Policy
from .core.recovery import way_back
from .core.report import NodeStatus, RackPlan
from .core.selection import conflicts, refusal
from .core.statement import unproven
from .core.step import ImageWay, StageSettings, Write, WriteImage
from .core.waves import cut_waves
from .core.way_back import Consent, Lack, lacking, unconsented
from .engine.logbook import Logbook
from .errors import BmcCertificateError, BmcLoginError, NodeError, PlanRefusedError, SecretError
from .leave import words
from .ports import Bmc, Clock, Leave, Lists
from .repository.repository import BundleRepository

AT_ONCE = 2000
"""Nodes looked at side by side. A look mostly waits for its BMC, and its connection is kept for the rollout
anyway; with few places a rack of BMCs that take a second for each answer would hold them, and all others up."""

T = TypeVar("T")
R = TypeVar("R")


class RackPlanner:
    """Plans rollouts from what the nodes' BMCs say now and what the journal says of their past."""

    def __init__(
        self,
        *,
        logbook: Logbook,
        repository: BundleRepository,
        load: Callable[[BundleId], Bundle],
        bmcs: BmcPool,
        selectors: Sequence[Selector],
        clock: Clock,
        leave: Leave,
        validation: Callable[[Bundle], object],
    ) -> None:
        """*validation* gives the signed record on which machines a bundle was proven; None: there is none."""
        self._logbook = logbook
        # A rack has few ways back and many nodes. A planner makes one plan, so nothing grows stale.
        self._unsendable = cache(repository.why_not_sendable)
        self._load = load
        self._bmcs = bmcs
        self._selectors = selectors
        self._clock = clock
        self._leave = leave
        self._validation = validation
        self._bindings: dict[NodeName, Binding] = {}
        self._keeps: dict[NodeName, frozenset[ComponentName]] = {}
        self._ways: dict[NodeName, dict[str, ImageWay | Unknown]] = {}
        self._policy = Policy()

    async def plan(self, bundle: Bundle, nodes: Sequence[Node], policy: Policy, *, no_way_back: Consent) -> RackPlan:
        """Plan *bundle* for *nodes*; *no_way_back* are the elements whose having no way back is consented to."""
        policy = for_bundle(policy, bundle)
        record = self._validation(bundle) if policy.validated else None
        self._bindings, self._keeps, self._ways, self._policy = {}, {}, {}, policy
        planned = await each(lambda node: self._plan_node(node, bundle), nodes)
        wanted = {node.name: self._as_planned(bundle, node.name) for node in nodes}
        refusals: list[tuple[NodeName, str]] = []
        lacks: dict[NodeName, tuple[Lack, ...]] = {}
        for node, plan in zip(nodes, planned, strict=True):
            lacks[node.name] = self._lacks(node, wanted[node.name], plan)
            reason = self._refusal(node, wanted[node.name], plan) or unconsented(lacks[node.name], no_way_back)
            if reason is None and policy.validated and plan.steps:
                reason = unproven(record, node)
            if reason is not None:
                refusals.append((node.name, reason))
        return RackPlan(
            bundle=bundle.id,
            digest=bundle.digest,
            nodes=tuple(planned),
            waves=cut_waves([node.name for node in nodes], policy, {node.name: node.labels for node in nodes}),
            refusals=tuple(refusals),
            unassigned=frozenset(node.name for node in nodes if not self._carries(node, bundle)),
            bindings=self._bindings,
            policy=policy,
            no_way_back=no_way_back,
            lacks=lacks,
            seconds={plan.node: self._seconds(plan) for plan in planned},
            ways=self._ways,
        )

    async def survey(self, status: NodeStatus) -> NodeStatus:
        """Return *status* with what the node's BMC says now, and how that differs from what is assigned."""
        node, assigned = status.history.node, status.history.assigned.values()
        bundles = [self._meant(held.bundle, status.history) for held in assigned]
        seen = Observation(at=self._clock.now())
        try:
            bmc = await self._bmcs.get(node)
            for look in [full_look(bundle) for bundle in bundles] or [Look()]:
                seen = seen.with_more(await bmc.observe(look))
        except (NodeError, SecretError) as error:
            why = error.whole
            for look in [full_look(bundle) for bundle in bundles] or [Look()]:
                seen = seen.with_more(Observation.blank(self._clock.now(), why, look))
        finally:
            await self._bmcs.release(node)
        drift = {bundle.id.lineage: drift_from(node, bundle, seen) for bundle in bundles}
        return evolve(status, seen=seen, drift=drift)

    def _meant(self, bundle_id: BundleId, history: NodeHistory) -> Bundle:
        return meant(self._load(bundle_id), history.bindings, self._load)

    def _as_planned(self, bundle: Bundle, node: NodeName) -> Bundle:
        """Return *bundle* as it is to be meant on *node* once the rollout begins."""
        known = self._logbook.node(node).bindings
        planned = {bundle.digest: self._bindings[node]} if node in self._bindings else {}
        return meant(bundle, {**known, **planned}, self._load)

    def _carries(self, node: Node, bundle: Bundle) -> bool:
        held = self._logbook.node(node.name).assigned.get(bundle.id.lineage)
        return held is not None and (held.bundle, held.digest) == (bundle.id, bundle.digest)

    async def _plan_node(self, node: Node, bundle: Bundle) -> NodePlan:
        goal = Goal(bundle.id, bundle.digest, Cause.ROLLOUT)
        before = self._logbook.node(node.name).bindings.get(bundle.digest, Binding())
        try:
            bmc = await self._bmcs.get(node.name)
            if needs_binding(bundle):
                binding = await _binding(bmc, bundle, node)
                if isinstance(binding, Unknown):
                    why = f"its components cannot be listed: {binding}"
                    return NodePlan(node.name, goal, (), (Note("parts", why, blocks=True, refused=True),))
                self._bindings[node.name] = evolve(binding, set_back=before.set_back)
            bundle = self._as_planned(bundle, node.name)
            seen = await bmc.observe(full_look(bundle))
            plan = plan_node(node.name, goal, bundle, seen)
            self._keeps[node.name] = await self._kept(bmc, bundle, plan)
            self._ways[node.name] = await _ways_of(bmc, plan)
            told = _told(self._bindings.get(node.name, before))
            asked = (*await _checked(bmc, bundle, plan), *await self._waits(plan))
            return evolve(plan, notes=(*told, *plan.notes, *asked)) if told or asked else plan
        except (BmcLoginError, BmcCertificateError, SecretError) as error:
            # No wait mends this: a person must, and before the rollout rather than in its midst.
            return NodePlan(node.name, goal, (), (Note("login", error.whole, blocks=True, refused=True),))
        except NodeError as error:
            seen = Observation.blank(self._clock.now(), str(error), full_look(bundle))
        return plan_node(node.name, goal, bundle, seen)

    async def _kept(self, bmc: Bmc, bundle: Bundle, plan: NodePlan) -> frozenset[ComponentName]:
        """Return the components of which the machine keeps what ran before, of those with no other way back."""
        back, _ = self._back(bmc.node, bundle) if plan.steps else (None, None)
        wanted = back.manifest.kept_components if back is not None else frozenset()
        if not wanted:
            return frozenset()
        seen = await bmc.observe(Look(system=False, components=wanted, spares=wanted))
        return frozenset(name for name in wanted if isinstance(seen.component(name).spare, str))

    def _back(self, node: NodeName, bundle: Bundle) -> tuple[Bundle | None, str | None]:
        """Return what *node* would be rolled back to, as it is meant there, or why that cannot be sent."""
        history = self._logbook.node(node)
        target = way_back(history, bundle.id)
        problem = self._unsendable(target.bundle) if target is not None else None
        return (None, problem) if target is None or problem is not None else (self._meant(target.bundle, history), None)

    async def _waits(self, plan: NodePlan) -> tuple[Note, ...]:
        """Say what would be waited for before anything is done: the scheduler's work."""
        why = await self._leave.refusal(plan.node) if plan.steps else None
        if why is None:
            return ()
        told = f"{why}; it is not touched before that has ended"
        return (Note("drain", told if self._leave.is_held(plan.node) else with_date(told, self._policy)),)

    def _seconds(self, plan: NodePlan) -> float | None:
        """Return what the steps took before, in all; None where that of one is not known."""
        usual = [self._logbook.ledger.usual_of(step, plan.node) for step in plan.steps]
        known = [each for each in usual if each is not None]
        return sum(known) if len(known) == len(usual) else None

    def _refusal(self, node: Node, bundle: Bundle, plan: NodePlan) -> str | None:
        history = self._logbook.node(node.name)
        misfit = refusal(node, bundle, self._selectors)
        if misfit is not None:
            return misfit
        if history.quarantined is not None:
            return f"it is in quarantine: {'; '.join(history.quarantined)}"
        if history.hold is not None and history.hold.stands(self._clock.now()):
            return f"it is {words(history.hold)}"
        odd = why_not(self._load(bundle.id), self._bindings.get(node.name, Binding()))
        if odd is not None:
            return odd
        others = [
            self._meant(held.bundle, history) for line, held in history.assigned.items() if line != bundle.id.lineage
        ]
        clashes = conflicts([bundle, *others])
        if clashes:
            return "; ".join(clashes)
        impossible = [note.text for note in plan.notes if note.refused]
        if impossible:
            return "; ".join(impossible)
        if not any(isinstance(step, Write) for step in plan.steps):
            return None
        return self._unsendable(bundle.id)

    def _lacks(self, node: Node, bundle: Bundle, plan: NodePlan) -> tuple[Lack, ...]:
        """A roll-back is proven possible before anything starts."""
        if not plan.steps:
            return ()
        back, problem = self._back(node.name, bundle)
        return lacking(plan, bundle, back, problem, self._keeps.get(node.name, frozenset()))


async def _ways_of(bmc: Bmc, plan: NodePlan) -> dict[str, ImageWay | Unknown]:
    return {
        step.element: await bmc.way_of(step.component, activation=step.activation)
        for step in plan.steps
        if isinstance(step, WriteImage)
    }


def unless_refused(plan: RackPlan) -> None:
    """Go on only where no node refuses *plan*.

    Raises:
        PlanRefusedError: some do; nothing was touched.
    """
    if plan.refusals:
        raise PlanRefusedError(
            f"{len(plan.refusals)} of {len(plan.nodes)} nodes refuse {plan.bundle}",
            reasons=tuple(f"{node}: {reason}" for node, reason in plan.refusals),
            advice="See 'rackwave plan'; leave those nodes out with --nodes, or mend what is named.",
        )


async def _binding(bmc: Bmc, bundle: Bundle, node: Node) -> Binding | Unknown:
    listed: frozenset[ComponentName] | Unknown = frozenset()
    if has_patterns(bundle):
        listed = await bmc.list_components() if isinstance(bmc, Lists) else Unknown("this way to its BMC names none")
    return listed if isinstance(listed, Unknown) else bind(bundle, node, listed)


def _told(binding: Binding) -> tuple[Note, ...]:
    nothing = [Note(name, "no part of this machine is called so") for name, parts in binding.parts.items() if not parts]
    left_out = [Note(name, "not for a machine of its make and model") for name in binding.left_out]
    return (*nothing, *left_out, *(Note(str(back.component), str(back)) for back in binding.set_back))


async def _checked(bmc: Bmc, bundle: Bundle, plan: NodePlan) -> tuple[Note, ...]:
    """Ask the BMC of the BIOS settings that *plan* stages: what it would refuse is refused before anything starts."""
    notes: list[Note] = []
    for step in plan.steps:
        if not isinstance(step, StageSettings):
            continue
        check = await bmc.check_settings(step.attributes)
        if isinstance(check, Unknown):
            notes.append(Note(step.element, f"whether the BIOS takes the settings is {check}"))
            continue
        notes.extend(Note(step.element, problem, blocks=True, refused=True) for problem in check.problems)
        notes.extend(Note(step.element, doubt) for doubt in check.doubts)
        element = next(element for element in bundle.manifest.elements if element.name == step.element)
        if element.activation is Activation.IMMEDIATE and check.needs_reset:
            why = f"{', '.join(check.needs_reset)} come into force with a reset, and the bundle plans none for it"
            notes.append(Note(step.element, why, blocks=True, refused=True))
    return tuple(notes)


async def each(work: Callable[[T], Awaitable[R]], items: Sequence[T]) -> list[R]:
    """Do *work* on every item, `AT_ONCE` at a time, and return the results in order."""
    left = iter(enumerate(items))
    results: dict[int, R] = {}

    async def some() -> None:
        for index, item in left:  # which all of them take from
            results[index] = await work(item)

    await asyncio.gather(*(some() for _ in range(min(AT_ONCE, len(items)))))
    return [results[index] for index in range(len(items))]
