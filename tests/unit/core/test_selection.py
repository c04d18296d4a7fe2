"""Selectors map nodes to lineages; several lineages on a node must not want the same thing."""

from __future__ import annotations

import pytest
from attrs import evolve

from rackwave.core.bundle import AppliesTo, Bundle
from rackwave.core.identity import Lineage, NodeName
from rackwave.core.node import Node, Selector
from rackwave.core.selection import conflicts, lineages_of, refusal
from values import BIOS, BMC, NIC, bios_settings, bundle, image

WEB = Node(NodeName("r1n01"), "Dell", "R650", {"role": "web", "rack": "r1"})
DISK = Node(NodeName("r2n01"), "HPE", "DL380", {"role": "storage", "rack": "r2"})
SELECTORS = (
    Selector(Lineage("A"), vendor="Dell"),
    Selector(Lineage("B"), labels={"role": "storage"}),
    Selector(Lineage("C"), labels={"rack": "r*"}),
    Selector(Lineage("D"), names=frozenset({NodeName("r1n01")}), model="R6*"),
    Selector(Lineage("E"), names=frozenset({NodeName("r1n01")}), model="R7*"),
)


@pytest.mark.parametrize(("node", "lineages"), [(WEB, {"A", "C", "D"}), (DISK, {"B", "C"})])
def test_a_node_carries_every_lineage_whose_selector_takes_it(node: Node, lineages: set[str]) -> None:
    """A common bundle for a common type, and several lineages on one node (claims 7, 16, 18)."""
    assert lineages == lineages_of(node, SELECTORS)


def for_model(vendor: str, model: str) -> Bundle:
    """Return A.2, which is for these machines only."""
    made = bundle("A.2", image(BIOS, "2"))
    return evolve(made, manifest=evolve(made.manifest, applies_to=AppliesTo(vendor, model)))


@pytest.mark.parametrize(
    ("node", "of", "why"),
    [
        (WEB, for_model("Dell", "R6*"), None),
        (WEB, for_model("*", "*"), None),
        (WEB, for_model("HPE", "*"), "A.2 is for vendor HPE, r1n01 is Dell"),
        (WEB, for_model("Dell", "R7*"), "A.2 is for model R7*, r1n01 is R650"),
        (evolve(WEB, vendor=""), for_model("Dell", "*"), "no selector maps r1n01 to lineage A"),
        (DISK, for_model("*", "*"), "no selector maps r2n01 to lineage A"),
    ],
)
def test_a_bundle_that_is_not_for_a_node_is_refused_with_its_reason(node: Node, of: Bundle, why: str | None) -> None:
    """The selector must map, and vendor and model must be the bundle's."""
    assert why == refusal(node, of, SELECTORS)


def test_without_selectors_whoever_names_the_nodes_decides() -> None:
    """An inventory that has none leaves only the bundle's own word."""
    assert refusal(DISK, for_model("*", "*"), ()) is None


def test_two_lineages_may_not_want_one_component_or_attribute() -> None:
    """The refusal names both bundles, both elements and what they quarrel over."""
    a = bundle("A.2", image(BIOS, "2"), bios_settings({"BootMode": "Uefi", "QuietBoot": True}))
    b = bundle("B.7", image(BIOS, "3"), bios_settings({"BootMode": "Bios"}))

    assert (
        "A.2 (bios) and B.7 (bios) want component BIOS",
        "A.2 (settings) and B.7 (settings) want BIOS attribute BootMode",
    ) == conflicts([b, a])


def test_lineages_that_keep_apart_do_not_quarrel() -> None:
    """Different components on one node, and two bundles of one lineage, are no conflict."""
    a, b = bundle("A.2", image(BIOS, "2")), bundle("B.1", image(BMC, "1"), image(NIC, "1"))

    assert () == conflicts([a, b])
    assert () == conflicts([a, bundle("A.3", image(BIOS, "3"))])
