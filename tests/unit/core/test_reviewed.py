"""A plan that was read is applied as it was read, or not at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwave.core.identity import NodeName
from rackwave.core.planner import plan_node
from rackwave.core.policy import Policy
from rackwave.core.report import RackPlan
from rackwave.core.reviewed import ReviewedPlan
from rackwave.errors import RackwaveError, UsageError
from values import BIOS, bundle, goal, image, well

A2 = bundle("A.2", image(BIOS, "2"))
NODES = (NodeName("n1"), NodeName("n2"))


def planned(*installed: str, refusals: tuple[tuple[NodeName, str], ...] = (), to: Any = A2) -> RackPlan:
    """A plan for two nodes that have these versions."""
    plans = tuple(
        plan_node(node, goal(to), to, well({BIOS: version})) for node, version in zip(NODES, installed, strict=True)
    )
    waves = tuple((node,) for node in NODES)
    return RackPlan(to.id, to.digest, plans, waves, refusals, policy=Policy(canary=1), no_way_back=("bios",))


def saved(plan: RackPlan) -> Any:
    """The plan as a file holds it."""
    return json.loads(json.dumps(plan.document()))


def test_a_plan_is_read_back_as_it_was_printed() -> None:
    """Bundle, waves, policy and consent come back, and on the same rack nothing has moved."""
    reviewed = ReviewedPlan.read(saved(planned("1", "1")))

    assert (A2.id, A2.digest, Policy(canary=1), ("bios",), NODES) == (
        reviewed.bundle,
        reviewed.digest,
        reviewed.policy,
        reviewed.no_way_back,
        reviewed.nodes,
    )
    assert () == reviewed.moved(planned("1", "1"))


def test_what_moved_is_told_node_by_node() -> None:
    """One that has another version, one that is level already, one that is refused now."""
    reviewed = ReviewedPlan.read(saved(planned("1", "1")))

    assert ["n2"] == [node for node, _ in reviewed.moved(planned("1", "1.5"))]
    ((_, text),) = reviewed.moved(planned("2", "1"))
    assert "write BIOS 1 -> 2" in text
    assert "stay as it is now" in text
    ((node, text),) = reviewed.moved(planned("1", "1", refusals=((NODES[1], "it is held"),)))
    assert ("n2", "it is refused now: it is held") == (node, text)


def test_another_bundle_under_the_same_id_is_another_plan() -> None:
    """What was read is bound to the bundle's digest."""
    reviewed = ReviewedPlan.read(saved(planned("1", "1")))
    other = bundle("A.2", image(BIOS, "2"), image(BIOS, "3"))

    assert "and is" in reviewed.moved(planned("1", "1", to=other))[0][1] or other.digest == A2.digest


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"refusals": [{"node": "n1", "reason": "x"}]}, "has refusals"),
        ({"nodes": [{"node": "n1"}]}, "without a name or steps"),
        ({"waves": [["n1"]]}, "not the same"),
        ({"waves": "n1"}, "no plan"),
        ({"policy": {"canary": 1, "patience": 3}}, "'patience'"),
        ({"no_way_back": [3]}, "no list of elements"),
        ({"digest": "sha256:12"}, "sha256:12"),
    ],
)
def test_a_file_that_is_no_plan_is_refused_by_the_field(change: dict[str, Any], words: str) -> None:
    """With a sentence, before anything is asked of anybody."""
    with pytest.raises(UsageError, match=words):
        ReviewedPlan.read({**saved(planned("1", "1")), **change})


_JSON = st.recursive(
    st.none() | st.booleans() | st.text(max_size=4) | st.integers(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["node", "steps", "x"]), inner),
)


@given(st.sampled_from(sorted(saved(planned("1", "1")))), _JSON)
def test_no_file_however_it_is_changed_raises_anything_but_ours(key: str, value: Any) -> None:
    """Any value in any place is read, or refused with an error of ours."""
    try:
        ReviewedPlan.read({**saved(planned("1", "1")), key: value})
    except RackwaveError:
        return
