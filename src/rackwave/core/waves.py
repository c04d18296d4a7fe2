"""Canary first, then waves; and whether the rollout goes on after each (system.md, "Waves")."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from .event import NodeResult
from .history import RolloutState
from .identity import NodeName
from .policy import Policy


def cut_waves(nodes: Sequence[NodeName], policy: Policy) -> tuple[tuple[NodeName, ...], ...]:
    """Cut *nodes*, in their order, into a canary wave and ``policy.waves`` waves of nearly equal size."""
    canary, rest = tuple(nodes[: policy.canary]), list(nodes[policy.canary :])
    count = max(1, min(policy.waves, len(rest)))
    size, larger = divmod(len(rest), count)
    waves: list[tuple[NodeName, ...]] = [canary] if canary else []
    start = 0
    for index in range(count):
        end = start + size + (1 if index < larger else 0)
        if end > start:
            waves.append(tuple(rest[start:end]))
        start = end
    return tuple(waves)


@frozen
class GoOn:
    """The next wave may start."""


@frozen
class Stop:
    """No further node is touched, for this reason."""

    why: str


def judge_wave(rollout: RolloutState) -> GoOn | Stop:
    """Judge the nodes that are done so far: a failed canary or a used-up budget stops the rollout.

    Both a roll-back and a quarantine count: whoever is to blame, the node is not on the new bundle.
    """
    failed = [
        result
        for result in rollout.results.values()
        if result.result in (NodeResult.ROLLED_BACK, NodeResult.QUARANTINED)
    ]
    canary = set(rollout.waves[0]) if rollout.policy.canary and len(rollout.waves) > 1 else set()
    for result in failed:
        if result.node in canary:
            return Stop(f"the canary {result.node} is {result.result}: {result.reason}")
    budget = rollout.policy.failure_budget
    if len(failed) > budget:
        return Stop(f"{len(failed)} nodes failed, the budget is {budget}: {', '.join(r.node for r in failed)}")
    return GoOn()
