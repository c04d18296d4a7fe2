"""A plan that somebody has read, as ``rackwave plan --json`` printed it: applied as it was read, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from attrs import field, fields, frozen

from ..errors import UsageError
from .bundle import frozen_map
from .identity import BundleId, Digest, NodeName
from .policy import Policy
from .report import RackPlan
from .step import describe
from .way_back import Consent

ADVICE = "Save one with 'rackwave plan BUNDLE --json > plan.json', read it, and apply it as it is."


@frozen
class ReviewedPlan:
    """What was planned when it was read: for each node its steps, in words that name what it has and gets."""

    bundle: BundleId
    digest: Digest
    waves: tuple[tuple[NodeName, ...], ...]
    policy: Policy
    no_way_back: Consent
    steps: Mapping[NodeName, tuple[str, ...]] = field(converter=frozen_map)

    @property
    def nodes(self) -> tuple[NodeName, ...]:
        """Its nodes, in the order of their waves."""
        return tuple(node for wave in self.waves for node in wave)

    @classmethod
    def read(cls, document: Any) -> Self:
        """Read what ``plan --json`` printed.

        Raises:
            UsageError: it is none; the message names the field.
        """
        match document:
            case {
                "bundle": str(bundle),
                "digest": str(digest),
                "waves": list(waves),
                "policy": dict(policy),
                "no_way_back": list(consent),
                "nodes": list(nodes),
                "refusals": [],
            }:
                pass
            case {"refusals": [_, *_]}:
                raise UsageError("this plan has refusals, and cannot be applied", advice="Plan again without them.")
            case _:
                raise UsageError("this is no plan", advice=ADVICE)
        steps: dict[NodeName, tuple[str, ...]] = {}
        for node in nodes:
            match node:
                case {"node": str(name), "steps": list(told)} if all(isinstance(step, str) for step in told):
                    steps[NodeName(name)] = tuple(told)
                case _:
                    raise UsageError("this plan has a node without a name or steps", advice=ADVICE)
        if not all(isinstance(wave, list) and all(isinstance(name, str) for name in wave) for wave in waves):
            raise UsageError("the waves of this plan are no lists of names", advice=ADVICE)
        planned = tuple(tuple(NodeName(name) for name in wave) for wave in waves)
        if sorted(steps) != sorted(node for wave in planned for node in wave):
            raise UsageError("the waves of this plan and its nodes are not the same", advice=ADVICE)
        if not all(isinstance(element, str) for element in consent):
            raise UsageError("no_way_back of this plan is no list of elements", advice=ADVICE)
        return cls(
            BundleId.parse(bundle),
            Digest(digest),
            planned,
            _policy(policy),
            True if "all" in consent else tuple(consent),
            steps,
        )

    def moved(self, now: RackPlan) -> tuple[tuple[NodeName, str], ...]:
        """Return what is not any more as it was read, node by node."""
        if now.digest != self.digest:
            told = f"{self.bundle} was {self.digest} and is {now.digest}"
            return tuple((node, told) for node in self.nodes[:1])
        current = {plan.node: tuple(describe(step) for step in plan.steps) for plan in now.nodes}
        refused = dict(now.refusals)
        found = []
        for node in self.nodes:
            before, after = self.steps[node], current.get(node)
            if node in refused:
                found.append((node, f"it is refused now: {refused[node]}"))
            elif after != before:
                found.append((node, f"it was to {_words(before)}, and is to {_words(after or ())} now"))
        return tuple(found)


def _policy(table: dict[str, Any]) -> Policy:
    known = {attribute.name for attribute in fields(Policy)}
    strange = sorted(set(table) - known)
    if strange:
        raise UsageError(f"the policy of this plan has {strange[0]!r}, which is not known here", advice=ADVICE)
    return Policy(**table)


def _words(steps: tuple[str, ...]) -> str:
    return "; ".join(steps) or "stay as it is"
