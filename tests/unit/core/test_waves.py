"""Waves: a partition in order with the canary alone; and when a rollout goes on."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rackwave.core.event import NodeFinished, NodeResult
from rackwave.core.identity import NodeName, RolloutId
from rackwave.core.policy import Policy
from rackwave.core.rollout import RolloutState
from rackwave.core.waves import GoOn, Stop, Wait, cut_waves, judge_wave
from rackwave.errors import UsageError
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


LABELS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), max_size=40)


@settings(max_examples=200, deadline=None)
@given(
    places=LABELS,
    canary=st.integers(0, 5),
    waves=st.integers(0, 6),
    most=st.integers(0, 6),
    domain_most=st.integers(1, 3),
    percent=st.sampled_from([0, 1, 25, 100]),
)
def test_no_wave_takes_more_of_a_domain_than_may_be_away_at_once(
    places: list[tuple[int, int]], canary: int, waves: int, most: int, domain_most: int, percent: int
) -> None:
    """Each node is in one wave; no wave has more of a rack, or of a power feed, or in all, than the policy says."""
    labels = {NodeName(f"n{i}"): {"rack": f"r{r}", "power": f"p{p}"} for i, (r, p) in enumerate(places)}
    policy = Policy(
        canary=canary, waves=waves, wave_most=most, wave_percent=percent, domain="rack, power", domain_most=domain_most
    )

    cut = cut_waves(tuple(labels), policy, labels)

    assert sorted(labels) == sorted(node for wave in cut for node in wave)
    for wave in cut:
        for label in ("rack", "power"):
            values = [labels[node][label] for node in wave]
            assert all(values.count(value) <= domain_most for value in set(values))
    later = [wave for wave in cut if not set(wave) & set(tuple(labels)[:canary])]
    assert all(len(wave) <= (most or 99) for wave in later)


def test_nodes_without_the_label_hold_nobody_up() -> None:
    """What nobody said anything of is in a domain of its own."""
    assert 2 == len(cut_waves(names(7), Policy(canary=1, waves=1, domain="rack")))


def test_a_wave_that_is_over_is_watched_and_the_next_one_waits_for_approval() -> None:
    """First the soak, then the approval, then it goes on; a pause comes before an approval."""
    from attrs import evolve

    from rackwave.core.event import RolloutPaused

    policy = Policy(canary=1, waves=1, soak=100.0, approval="after-canary")
    begun = evolve(state(policy, {0: ON_NEW}), wave=0, settled_at=1000.0)
    paused = evolve(begun, paused=RolloutPaused(RolloutId("roll1"), "lunch", "me"))

    assert Wait("wave 0 is watched for 100 s", 1100.0) == judge_wave(begun, 1099.0)
    assert "waits for approval" in judge_wave(begun, 1100.0).why  # type: ignore[union-attr]  # a Wait
    assert "paused by me: lunch" == judge_wave(paused, 1100.0).why  # type: ignore[union-attr]  # as above
    assert GoOn() == judge_wave(evolve(begun, approved=frozenset({1})), 1100.0)


def test_a_budget_in_percent_counts_where_it_is_more() -> None:
    """Ten percent of 60 nodes are six, whatever the number says; of six nodes none."""
    many = state(Policy(canary=0, failure_budget_percent=10), dict.fromkeys(range(6), BACK), nodes=60)
    few = state(Policy(canary=0, failure_budget=0, failure_budget_percent=10), {0: BACK})

    assert GoOn() == judge_wave(many)
    assert isinstance(judge_wave(few), Stop)


def test_nodes_that_policy_names_go_ahead_in_their_order() -> None:
    """Test machines first, then staging, then the rest; the canary is the first of them all."""
    tiers = ("prod", "test", "prod", "staging", "test", "")
    labels = {name: {"tier": tier} for name, tier in zip(names(6), tiers, strict=True)}
    cut = cut_waves(names(6), Policy(canary=1, waves=1, first="tier=test, tier=stag*"), labels)

    assert (("n1",), ("n4", "n3", "n0", "n2", "n5")) == cut


@pytest.mark.parametrize(
    "given",
    [{"first": "tier"}, {"first": "=test"}, {"enforce_by": "tomorrow"}, {"enforce_by": "2026-12-01T06:00"}],
    ids=str,
)
def test_a_policy_that_cannot_be_read_is_refused_by_name(given: dict[str, str]) -> None:
    """A label without a value, a date that is none or has no zone."""
    with pytest.raises(UsageError, match=next(iter(given))):
        Policy(**given)  # type: ignore[arg-type]
