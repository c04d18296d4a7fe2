"""What a bundle means on one machine: patterns over its parts become the parts, and what is not for it is left out.

An element's ``component = "NIC.*"`` is for every part of a machine whose name it fits; an element's own ``applies_to``
is for machines of a make and model. Both are worked out once, when a rollout is planned, from what the BMC lists and
what the inventory says; the journal keeps the answer, so that a killed run, a roll-back and a recovery mean the same
parts, also while the BMC lists less than it did (NICs come with the host, P45).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase

from attrs import evolve, field, frozen

from .bundle import AppliesTo, Bundle, Element, frozen_map
from .identity import ComponentName
from .node import Node

PART = "@"
"""Stands between an element's name and the part that it was bound to: ``nic@NIC.Slot.1``."""


@frozen
class Binding:
    """*parts* are those that each pattern fits, by its element's name; *left_out* the elements not for this machine."""

    parts: Mapping[str, tuple[ComponentName, ...]] = field(factory=dict, converter=frozen_map)
    left_out: tuple[str, ...] = ()


def needs_binding(bundle: Bundle) -> bool:
    """Whether *bundle* may mean something else on each machine."""
    return any(each.selector is not None or each.applies_to != AppliesTo() for each in bundle.manifest.elements)


def has_patterns(bundle: Bundle) -> bool:
    """Whether the parts of a machine must be listed to know what *bundle* means on it."""
    return any(each.selector is not None for each in bundle.manifest.elements)


def bind(bundle: Bundle, node: Node, listed: Collection[ComponentName]) -> Binding:
    """Say what *bundle* means on *node*, whose BMC lists the components *listed*."""
    left_out = tuple(each.name for each in bundle.manifest.elements if not fits(node, each.applies_to))
    parts = {
        each.name: tuple(sorted(name for name in listed if fnmatchcase(name, each.selector)))
        for each in bundle.manifest.elements
        if each.selector is not None and each.name not in left_out
    }
    return Binding(parts, left_out)


def fits(node: Node, applies: AppliesTo) -> bool:
    """Whether *node* is one of the machines that *applies* names."""
    return fnmatchcase(node.vendor, applies.vendor) and fnmatchcase(node.model, applies.model)


def why_not(bundle: Bundle, binding: Binding) -> str | None:
    """Say why *bundle* cannot be deployed as it is bound; None where it can."""
    owners: dict[ComponentName, str] = {}
    for element in bundle.manifest.elements:
        if element.name in binding.left_out:
            continue
        named = (element.component,) if element.component is not None else binding.parts.get(element.name, ())
        for component in named:
            other = owners.setdefault(component, element.name)
            if other != element.name:
                return f"{other} and {element.name} of {bundle.id} are both for {component}"
    if len(binding.left_out) == len(bundle.manifest.elements):
        return f"no element of {bundle.id} is for a machine of its make and model"
    return None


def bound(bundle: Bundle, binding: Binding | None) -> Bundle:
    """Return *bundle* as it is bound: each pattern replaced by an element a part, and without what is left out.

    Without a binding it stays as it is, and planning says of each pattern that it is one.
    """
    if binding is None:
        return bundle
    names = {
        element.name: _names(element, binding)
        for element in bundle.manifest.elements
        if element.name not in binding.left_out
    }
    elements = [
        evolve(
            element,
            name=name,
            component=component,
            selector=element.selector if component is None else None,
            after=tuple(new for before in element.after for new, _ in names.get(before, ())),
        )
        for element in bundle.manifest.elements
        if element.name in names
        for name, component in names[element.name]
    ]
    return evolve(bundle, manifest=evolve(bundle.manifest, elements=tuple(elements)))


def _names(element: Element, binding: Binding) -> tuple[tuple[str, ComponentName | None], ...]:
    """Return the name and the component of each element that *element* becomes."""
    if element.selector is None:
        return ((element.name, element.component),)
    return tuple((f"{element.name}{PART}{part}", part) for part in binding.parts.get(element.name, ()))
