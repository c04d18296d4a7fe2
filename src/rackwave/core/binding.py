"""What a bundle means on one machine: patterns over its parts become the parts, and what is not for it is left out.

An element's ``component = "NIC.*"`` is for every part of a machine whose name it fits; an element's own ``applies_to``
is for machines of a make and model. Both are worked out once, when a rollout is planned, from what the BMC lists and
what the inventory says; the journal keeps the answer, so that a killed run, a roll-back and a recovery mean the same
parts, also while the BMC lists less than it did (NICs come with the host, P45).

A part that a person has set back keeps what another bundle has for it, until the next bundle comes: what the node is
assigned is then still true, with that one exception, which names who made it and why.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from fnmatch import fnmatchcase
from typing import TypeAlias

from attrs import evolve, field, frozen

from ..errors import TrustError
from .bundle import AppliesTo, Bundle, Element, frozen_map
from .identity import BundleId, ComponentName, Digest
from .node import Node

PART = "@"
"""Stands between an element's name and the part that it was bound to: ``nic@NIC.Slot.1``."""


@frozen
class SetBack:
    """*component* has the image of *bundle*, which is *version*, because *by* wants it so."""

    component: ComponentName
    version: str
    bundle: BundleId
    digest: Digest
    reason: str
    by: str

    def __str__(self) -> str:
        return f"{self.component} is set back to {self.version} of {self.bundle} by {self.by}: {self.reason}"


@frozen
class Binding:
    """*parts* are those that each pattern fits, by its element's name; *left_out* the elements not for this machine.

    *set_back* are components that keep another bundle's image.
    """

    parts: Mapping[str, tuple[ComponentName, ...]] = field(factory=dict, converter=frozen_map)
    left_out: tuple[str, ...] = ()
    set_back: tuple[SetBack, ...] = ()


Bindings: TypeAlias = Mapping[Digest, Binding]
"""What bundles, by their digests, mean on one node."""


def needs_binding(bundle: Bundle) -> bool:
    """Whether *bundle* may mean something else on each machine."""
    return bundle.manifest.varies


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


def meant(bundle: Bundle, bindings: Bindings, load: Callable[[BundleId], Bundle]) -> Bundle:
    """Return *bundle* as it is meant on a node: bound, and with other bundles' images where parts were set back.

    Raises:
        TrustError: such another bundle is not any more what it was.
    """
    binding = bindings.get(bundle.digest, Binding())
    found = bound(bundle, bindings.get(bundle.digest))
    for back in binding.set_back:
        source = load(back.bundle)
        if source.digest != back.digest:
            raise TrustError(
                f"{back.component} was set back to what {back.bundle} had for it, and that bundle is another one now.",
                advice="Somebody replaced the bundle. See 'rackwave bundle verify'.",
            )
        found = _with_image(found, bound(source, bindings.get(source.digest)), back.component)
    return found


def image_for(bundle: Bundle, component: ComponentName) -> Element | None:
    """Return what *bundle* writes to *component*; None where it has nothing for it."""
    elements = bundle.manifest.elements
    return next((each for each in elements if each.kind.is_image and each.component == component), None)


def _with_image(bundle: Bundle, source: Bundle, component: ComponentName) -> Bundle:
    """Return *bundle* with the image that *source* has for *component*, in the place of its own."""
    own, other = image_for(bundle, component), image_for(source, component)
    if own is None or other is None:
        return bundle
    element, payloads = evolve(other, name=own.name, after=own.after), bundle.manifest.payloads
    if other.payload is not None:
        payload = source.manifest.payload(other.payload)
        brought = evolve(payload, name=f"{source.id}-{payload.name}")  # its own may be called the same
        element, payloads = evolve(element, payload=brought.name), (*payloads, brought)
    manifest = evolve(
        bundle.manifest,
        elements=tuple(element if each is own else each for each in bundle.manifest.elements),
        payloads=payloads,
    )
    return evolve(bundle, manifest=manifest)


def _names(element: Element, binding: Binding) -> tuple[tuple[str, ComponentName | None], ...]:
    """Return the name and the component of each element that *element* becomes."""
    if element.selector is None:
        return ((element.name, element.component),)
    return tuple((f"{element.name}{PART}{part}", part) for part in binding.parts.get(element.name, ()))
