"""Signed records on which machines a bundle was proven: what they cover, and what they do not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rackwave.core.identity import NodeName
from rackwave.core.node import Node
from rackwave.core.statement import unproven, validated_on
from values import BIOS, bundle, image

A2 = bundle("A.2", image(BIOS, "2"))
NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=8)


def node(name: str, vendor: str, model: str) -> Node:
    """Return a node of a make and model."""
    return Node(NodeName(name), vendor=vendor, model=model)


@given(st.lists(st.tuples(NAMES, NAMES), max_size=5), st.tuples(NAMES, NAMES))
def test_a_record_covers_the_models_that_it_names_and_no_others(
    proven: list[tuple[str, str]], asked: tuple[str, str]
) -> None:
    """Make and model count together; a node whose model nobody said is covered by none."""
    nodes = [node(f"r1n{number}", *made) for number, made in enumerate(proven)]
    record = validated_on(A2, nodes, by="us", at="2026-01-01T00:00:00Z")

    is_covered = unproven(record, node("r9n9", *asked)) is None

    assert is_covered == (asked in proven and asked[1] != "")


@given(
    st.none()
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["predicateType", "predicate", "models", "vendor"]), inner, max_size=3)
        ),
    )
)
def test_what_is_no_record_covers_nothing(record: object) -> None:
    """Whatever stands where a record should be, a node is not taken for proven by it."""
    assert unproven(record, node("r1n01", "Acme", "X1")) is not None
