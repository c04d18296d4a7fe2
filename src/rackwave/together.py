"""Several bundles in one run: those that share a node go out one after the other, all others at the same time.

Each is a rollout of its own, with its own waves and budget. All are planned before the first begins, and what follows
on a node begins only once what went before is done there, on all of its nodes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import combinations
from typing import Protocol

from attrs import field, frozen

from .core.binding import bound
from .core.bundle import Bundle, frozen_map
from .core.identity import BundleId, NodeName
from .core.policy import Policy
from .core.report import RackPlan, RolloutReport
from .core.selection import conflicts
from .core.way_back import Consent
from .errors import PlanRefusedError, UsageError


class Deploys(Protocol):
    """What plans and deploys one bundle; ``Automation`` does."""

    def bundle(self, bundle: BundleId) -> Bundle:
        """Load a bundle."""
        ...

    def narrowed(self, bundle: BundleId, nodes: str | None) -> str:
        """Name those of *nodes* that *bundle* is for."""
        ...

    async def plan(
        self, bundle: str | BundleId, nodes: str | None = None, *, policy: Policy | None, no_way_back: Consent
    ) -> RackPlan:
        """Plan one."""
        ...

    async def deploy(
        self, bundle: str | BundleId, nodes: str | None = None, *, policy: Policy | None, no_way_back: Consent
    ) -> RolloutReport:
        """Deploy one."""
        ...


@frozen
class RunReport:
    """How a run of several bundles ended; *left_out* are those that were not begun, and why."""

    reports: tuple[RolloutReport, ...]
    left_out: Mapping[BundleId, str] = field(factory=dict, converter=frozen_map)

    @property
    def succeeded(self) -> bool:
        """Whether every node carries every bundle that is for it."""
        return not self.left_out and all(report.succeeded for report in self.reports)


async def deploy_together(
    deploys: Deploys,
    bundles: Sequence[BundleId],
    nodes: str | None,
    *,
    policy: Policy | None,
    no_way_back: Consent,
) -> RunReport:
    """Deploy *bundles* of different lineages, in that order where they share a node.

    Raises:
        PlanRefusedError: a node refuses one of them, or two of them want the same of it; nothing was touched.
        UsageError: two are of one lineage, or one is for none of *nodes*.
    """
    if len({bundle.lineage for bundle in bundles}) < len(bundles):
        raise UsageError(
            f"{', '.join(map(str, bundles))}: two of them are of one lineage, of which a node carries one at a time",
            advice="Deploy the newer one.",
        )
    names = {bundle: deploys.narrowed(bundle, nodes) for bundle in bundles}
    plans = [await deploys.plan(each, names[each], policy=policy, no_way_back=no_way_back) for each in bundles]
    reasons = [f"{node}: {why}" for plan in plans for node, why in plan.refusals]
    reasons += [
        f"{node}: {why}" for one, other in combinations(plans, 2) for node, why in _clashes(deploys, one, other)
    ]
    if reasons:
        raise PlanRefusedError(
            f"{', '.join(map(str, bundles))} cannot go out together",
            reasons=tuple(reasons),
            advice="See 'rackwave plan' of each; leave those nodes out with --nodes, or mend what is named.",
        )
    on = {plan.bundle: frozenset(each.node for each in plan.nodes) for plan in plans}
    ends = await side_by_side(
        on, lambda bundle: deploys.deploy(bundle, names[bundle], policy=policy, no_way_back=no_way_back)
    )
    return RunReport(
        tuple(end for end in ends.values() if isinstance(end, RolloutReport)),
        {bundle: end for bundle, end in ends.items() if isinstance(end, str)},
    )


async def side_by_side(
    on: Mapping[BundleId, frozenset[NodeName]], deploy: Callable[[BundleId], Awaitable[RolloutReport]]
) -> dict[BundleId, RolloutReport | str]:
    """Deploy each bundle to the nodes that it is *on*, at the same time; in that order where two share a node.

    Return how each ended, or why it was not begun: what goes before it on a node is not done there. What one of them
    raises is raised once all have ended.
    """
    begun: dict[BundleId, asyncio.Task[RolloutReport | str]] = {}

    async def begin(bundle: BundleId, earlier: Sequence[BundleId]) -> RolloutReport | str:
        for before in earlier:
            if on[before].isdisjoint(on[bundle]):
                continue
            told = await begun[before]
            if isinstance(told, str) or not told.succeeded:
                return f"{before} goes to some of the same nodes before it, and is not done there"
        return await deploy(bundle)

    for bundle in on:
        begun[bundle] = asyncio.ensure_future(begin(bundle, tuple(begun)))
    ended = await asyncio.gather(*begun.values(), return_exceptions=True)
    ends: dict[BundleId, RolloutReport | str] = {}
    for bundle, end in zip(begun, ended, strict=True):
        if isinstance(end, BaseException):
            raise end
        ends[bundle] = end
    return ends


def _clashes(deploys: Deploys, one: RackPlan, other: RackPlan) -> list[tuple[NodeName, str]]:
    """Say what the bundles of two plans both want, on the nodes that both are for."""
    shared = {each.node for each in one.nodes} & {each.node for each in other.nodes}
    first, second = deploys.bundle(one.bundle), deploys.bundle(other.bundle)
    return [
        (node, clash)
        for node in sorted(shared)
        for clash in conflicts([bound(first, one.bindings.get(node)), bound(second, other.bindings.get(node))])
    ]
