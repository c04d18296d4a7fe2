"""A rollout's state: what is carried from state to state says the same as what it follows from."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from rackwave.core.event import NodeFinished, NodeResult, RolloutStarted, WaveStarted
from rackwave.core.identity import BundleId, Digest, NodeName, RolloutId
from rackwave.core.policy import Policy
from rackwave.core.rollout import apply_to_rollout, begin_rollout

ROLLOUT = RolloutId("abcd")
A2 = BundleId.parse("A.2")
DIGEST = Digest("sha256:" + "a" * 64)
FAILURES = (NodeResult.ROLLED_BACK, NodeResult.QUARANTINED)


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    ends=st.lists(st.tuples(st.integers(0, 15), st.sampled_from(NodeResult)), max_size=30),
)
def test_what_is_carried_on_is_what_follows_from_the_results(
    sizes: list[int], ends: list[tuple[int, NodeResult]]
) -> None:
    """However nodes end, also twice or before their wave: failures, waves that are over and results agree."""
    numbers = iter(range(sum(sizes)))
    waves = tuple(tuple(NodeName(f"n{next(numbers)}") for _ in range(size)) for size in sizes)
    state = begin_rollout(RolloutStarted(ROLLOUT, A2, DIGEST, waves, Policy(), "test"), 0.0)
    state = apply_to_rollout(state, WaveStarted(ROLLOUT, 0), 1.0)
    last: dict[NodeName, NodeResult] = {}
    for index, result in ends:
        node = state.nodes[index % len(state.nodes)]
        last[node] = result
        before = state
        state = apply_to_rollout(state, NodeFinished(ROLLOUT, node, result), 2.0)

        assert before.results.get(node) != state.results[node] or before.results == state.results
        assert last == {name: end.result for name, end in state.results.items()}
        assert {name for name in last if last[name] in FAILURES} == {end.node for end in state.failed}
        assert len({end.node for end in state.failed}) == len(state.failed)
        for wave, nodes in enumerate(waves):
            assert (set(nodes) <= set(last)) == apply_to_rollout(state, WaveStarted(ROLLOUT, wave), 3.0).is_wave_over
        assert Counter(state.wave_of[name] for name in last) == Counter(state.settled)
