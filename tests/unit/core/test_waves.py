"""Waves: a partition in order with the canary alone; and when a rollout goes on."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rackwave.core.event import NodeFinished, NodeResult
from rackwave.core.history import RolloutState
from rackwave.core.identity import NodeName, RolloutId
from rackwave.core.policy import Policy
from rackwave.core.waves import GoOn, Stop, cut_waves, judge_wave
from values import bundle

A2 = bundle("A.2")
ON_NEW, BACK, GONE = NodeResult.ON_NEW, NodeResult.ROLLED_BACK, NodeResult.QUARANTINED


def names(count: int) -> tuple[NodeName, ...]:
    """Return *count* node names."""
    return tuple(NodeName(f"n{number}") for number in range(count))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(count=st.integers(0, 60), canary=st.integers(0, 5), waves=st.integers(0, 8))
def test_waves_are_a_partition_in_order(count: int, canary: int, waves: int) -> None:
    """Every node is in exactly one wave, in the order given; the canary is alone, the others are of equal size."""
    cut = cut_waves(names(count), Policy(canary=canary, waves=waves))
    rest = cut[1:] if canary and cut else cut
    sizes = [len(wave) for wave in rest]

    assert names(count) == tuple(node for wave in cut for node in wave)
    assert all(cut)
    assert not canary or not cut or len(cut[0]) == min(canary, count)
    assert len(rest) <= max(1, waves)
    assert not sizes or max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)


def state(policy: Policy, ended: dict[int, NodeResult], *, nodes: int = 6) -> RolloutState:
    """Return a rollout in its last wave in which some nodes are done."""
    waves = cut_waves(names(nodes), policy)
    rollout = RolloutId("roll1")
    results = {name: NodeFinished(rollout, name, r, "why") for i, r in ended.items() for name in [names(nodes)[i]]}
    return RolloutState(rollout, A2.id, A2.digest, waves, policy, "test", 0.0, wave=len(waves) - 1, results=results)


@pytest.mark.parametrize(
    ("policy", "ended", "stops"),
    [
        (Policy(), {}, ""),
        (Policy(), {0: ON_NEW, 1: ON_NEW}, ""),
        (Policy(), {0: BACK}, "the canary n0 is rolled-back: why"),
        (Policy(failure_budget=5), {0: GONE}, "the canary n0 is quarantined: why"),
        (Policy(), {0: ON_NEW, 1: BACK}, ""),
        (Policy(), {0: ON_NEW, 1: BACK, 2: GONE}, "2 nodes failed, the budget is 1: n1, n2"),
        (Policy(failure_budget=0), {0: ON_NEW, 3: BACK}, "1 nodes failed, the budget is 0: n3"),
        (Policy(canary=0), {0: BACK}, ""),
        (Policy(canary=0, failure_budget=2), {0: BACK, 1: BACK, 2: GONE}, "3 nodes failed, the budget is 2"),
    ],
)
def test_a_failed_canary_or_a_used_up_budget_stops(policy: Policy, ended: dict[int, NodeResult], stops: str) -> None:
    """Roll-backs and quarantines count alike; a canary stops the rollout whatever the budget."""
    verdict = judge_wave(state(policy, ended))

    assert bool(stops) == isinstance(verdict, Stop)
    assert not isinstance(verdict, Stop) or verdict.why.startswith(stops)
    assert isinstance(verdict, (GoOn, Stop))
