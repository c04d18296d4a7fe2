"""Which bundles a node is to carry, and whether they can live on one node together (claims 7, 16, 18)."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from .bundle import AppliesTo, Bundle, Element
from .identity import Lineage
from .node import Node, Selector


def lineages_of(node: Node, selectors: Sequence[Selector]) -> frozenset[Lineage]:
    """Return the lineages whose selectors take *node*."""
    return frozenset(selector.lineage for selector in selectors if selector.selects(node))


def refusal(node: Node, bundle: Bundle, selectors: Sequence[Selector]) -> str | None:
    """Say why *bundle* is not for *node*; None where it is.

    An inventory without selectors leaves the choice to whoever names the nodes.
    """
    applies = bundle.manifest.applies_to
    if selectors and bundle.id.lineage not in lineages_of(node, selectors):
        return f"no selector maps {node.name} to lineage {bundle.id.lineage}"
    return _misfit(node, applies, str(bundle.id))


def _misfit(node: Node, applies: AppliesTo, what: str) -> str | None:
    if not fnmatchcase(node.vendor, applies.vendor):
        return f"{what} is for vendor {applies.vendor}, {node.name} is {node.vendor or 'of none that is known'}"
    if not fnmatchcase(node.model, applies.model):
        return f"{what} is for model {applies.model}, {node.name} is {node.model or 'of none that is known'}"
    return None


def conflicts(bundles: Sequence[Bundle]) -> tuple[str, ...]:
    """Say which elements of bundles of different lineages want the same component or BIOS attribute."""
    owners: dict[tuple[str, str], tuple[Bundle, Element]] = {}
    found: list[str] = []
    for bundle in sorted(bundles, key=lambda b: b.id):
        for element in bundle.manifest.elements:
            for target in _targets(element):
                other = owners.setdefault(target, (bundle, element))
                if other[0].id.lineage != bundle.id.lineage:
                    kind, name = target
                    found.append(f"{other[0].id} ({other[1].name}) and {bundle.id} ({element.name}) want {kind} {name}")
    return tuple(found)


def _targets(element: Element) -> tuple[tuple[str, str], ...]:
    attributes = tuple(("BIOS attribute", name) for name in sorted(element.attributes))
    return (("component", element.component), *attributes) if element.component is not None else attributes
