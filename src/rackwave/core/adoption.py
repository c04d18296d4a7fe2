"""Takes a rack in as it is found: one bundle of what its machines run, as far as that can be written again.

The bundle is the lineage's seq 0: nothing forward ever aims at it, and what fails later goes back to it. An element
stands in it for each component and version that is found on some machine and of which an image is known, or that the
machine itself keeps in another bank when it is replaced; each machine is bound to its own (core/binding.py). All else
is missing for the way back, and is said to be.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from fnmatch import fnmatchcase

from attrs import evolve, field, frozen

from .binding import Binding
from .bundle import (
    Activation,
    AttributeValue,
    Element,
    ElementKind,
    Manifest,
    Payload,
    PayloadRole,
    Reversibility,
    frozen_map,
)
from .identity import BundleId, ComponentName, ComponentPattern, Digest, Lineage, NodeName
from .observation import Unknown
from .version import same

SETTINGS = "settings"
_ODD = re.compile(r"[^A-Za-z0-9._-]+")
_KINDS = {"BIOS": ElementKind.BIOS_IMAGE, "BMC": ElementKind.BMC_FIRMWARE}


@frozen
class KnownImage:
    """An image that could be written again, and of which component and version it is."""

    component: ComponentName
    version: str
    digest: Digest
    size: int
    kind: ElementKind | None = None
    scheme: str | None = None


@frozen
class Kept:
    """A version of which no image is known, and that its machines keep themselves when another takes its place."""

    component: ComponentName
    version: str


@frozen
class Found:
    """What one machine runs of what the lineage manages, and how it is set.

    *keeps* are the components of which it keeps, and can bring back, what ran before.
    """

    node: NodeName
    vendor: str = ""
    model: str = ""
    installed: Mapping[ComponentName, str | Unknown] = field(factory=dict, converter=frozen_map)
    settings: Mapping[str, AttributeValue] = field(factory=dict, converter=frozen_map)
    keeps: frozenset[ComponentName] = frozenset()


@frozen
class Missing:
    """Something of a machine that cannot be brought back, and why."""

    what: str
    have: str
    why: str

    def __str__(self) -> str:
        return f"{self.what} {self.have}: {self.why}"


@frozen
class Draft:
    """The manifest of the bundle, and which image each of its payloads is."""

    manifest: Manifest
    payloads: Mapping[str, KnownImage] = field(converter=frozen_map)


@frozen
class TakenIn:
    """How a machine stands beside the bundle. *binding* is None where nothing in it is the machine's own.

    *kept* is what it can be brought back to only by itself, for want of an image.
    """

    binding: Binding | None
    missing: tuple[Missing, ...]
    kept: tuple[Kept, ...] = ()


def draft(
    lineage: Lineage, found: Sequence[Found], images: Sequence[KnownImage], managed: Mapping[ComponentName, Element]
) -> Draft | None:
    """Make the bundle of what is *found*; None where nothing could go into it.

    Args:
        lineage: Whose seq 0 it is to be.
        found: The machines.
        images: Those that are known, the best first.
        managed: How the lineage's bundles write each component: activation, scheme, time limit and the like.
    """
    used: dict[tuple[ComponentName, str], KnownImage | Kept] = {}
    for each in found:
        for component, version in each.installed.items():
            scheme = managed[component].scheme if component in managed else None
            fitting = (i for i in images if i.component == component and _is(scheme or i.scheme, version, i.version))
            if (image := next(fitting, None)) is not None:
                used.setdefault((component, image.version), image)
            elif component in each.keeps and isinstance(version, str):
                used.setdefault((component, version), Kept(component, version))
    elements, payloads = _elements(tuple(used.values()), managed)
    agreed = _agreed(found)
    if agreed:
        settings = Element(
            SETTINGS, ElementKind.BIOS_SETTINGS, Activation.HOST_RESET, Reversibility.REFLASH, attributes=agreed
        )
        elements = (*elements, settings)
    if not elements:
        return None
    manifest = Manifest(
        BundleId(lineage, 0),
        "what was found when the rack was adopted",
        elements,
        tuple(Payload(name, PayloadRole.DATA, image.digest, image.size) for name, image in payloads.items()),
    )
    return Draft(manifest, payloads)


def take_in(found: Found, manifest: Manifest | None) -> TakenIn:
    """Bind a machine to what is its own in the bundle of *manifest*, and say what is missing for the way back."""
    elements = manifest.elements if manifest is not None else ()
    own: dict[str, ComponentName] = {}
    kept: list[Kept] = []
    for component, version in found.installed.items():
        for element in elements:
            if _is_for(element, component) and _is(element.scheme, version, element.version):
                if element.payload is None and component not in found.keeps:
                    continue
                own[element.name] = component
                if element.payload is None:
                    kept.append(Kept(component, str(version)))
                break
    alike = [each for each in elements if _is_as_found(each, found)]
    held = {*own, *(each.name for each in alike)}
    missing = _missing(found, set(own.values()), {name for each in alike for name in each.attributes})
    if not held:
        return TakenIn(None, missing)
    parts = {each.name: (own[each.name],) for each in elements if each.selector is not None and each.name in own}
    binding = Binding(parts, tuple(each.name for each in elements if each.name not in held))
    return TakenIn(binding, missing, tuple(kept))


def _is(scheme: str | None, version: str | Unknown, other: str | None) -> bool:
    return not isinstance(version, Unknown) and other is not None and same(scheme, version, other)


def _is_for(element: Element, component: ComponentName) -> bool:
    """Whether *element* is an image for *component*."""
    if not element.kind.is_image:
        return False
    if element.selector is None:
        return element.component == component
    return fnmatchcase(component, element.selector)


def _is_as_found(element: Element, found: Found) -> bool:
    """Whether an element sets what a machine has set already."""
    sets = element.kind is ElementKind.BIOS_SETTINGS
    return sets and all(found.settings.get(name) == value for name, value in element.attributes.items())


def _elements(
    images: Sequence[KnownImage | Kept], managed: Mapping[ComponentName, Element]
) -> tuple[tuple[Element, ...], dict[str, KnownImage]]:
    """Return an element for each image and for what is kept, and each image's payload's name: the element's."""
    components = [image.component for image in images]
    elements: list[Element] = []
    payloads: dict[str, KnownImage] = {}
    for image in sorted(images, key=lambda each: (each.component, each.version)):
        name = _name(f"{image.component}-{image.version}", {element.name for element in elements})
        only_one = components.count(image.component) == 1
        kind = (image.kind if isinstance(image, KnownImage) else None) or _KINDS.get(
            image.component, ElementKind.DEVICE_FIRMWARE
        )
        usual = Activation.BMC_RESET if kind is ElementKind.BMC_FIRMWARE else Activation.HOST_RESET
        like = managed.get(image.component) or Element(name, kind, usual, Reversibility.REFLASH)
        elements.append(
            evolve(
                like,
                name=name,
                version=image.version,
                payload=name if isinstance(image, KnownImage) else None,
                reversibility=like.reversibility if isinstance(image, KnownImage) else Reversibility.BANK_SWITCH,
                # Two elements of one component: each machine is bound to the one that is its own.
                component=image.component if only_one else None,
                selector=None if only_one else ComponentPattern(f"{image.component[:-1]}?"),
                accepts=(),
                via=(),
                after=(),
            )
        )
        if isinstance(image, KnownImage):
            payloads[name] = image
    return tuple(elements), payloads


def _name(text: str, taken: Container[str]) -> str:
    """Make a name of *text* that an element and a file may have."""
    base = _ODD.sub("-", text)[:56].strip("-._") or "image"
    name, number = base, 2
    while name in taken:
        name, number = f"{base}-{number}", number + 1
    return name


def _agreed(found: Sequence[Found]) -> dict[str, AttributeValue]:
    """Return the settings that all machines have alike: a bundle sets each attribute once."""
    first, *others = [each.settings for each in found] or [{}]
    return {name: value for name, value in first.items() if all(each.get(name) == value for each in others)}


def _missing(found: Found, own: Container[str], kept: Container[str]) -> tuple[Missing, ...]:
    told = []
    machine = " ".join(part for part in (found.vendor, found.model) if part) or "this machine"
    for component, version in sorted(found.installed.items()):
        if isinstance(version, Unknown):
            told.append(Missing(component, "?", f"its version is {version}"))
        elif component not in own:
            why = f"no image of {component} {version} for {machine} is known: put one where --from looks"
            told.append(Missing(component, version, why))
    for name, value in sorted(found.settings.items()):
        if name not in kept:
            told.append(Missing(name, str(value), "machines differ in it, and a bundle sets a setting once"))
    return tuple(told)
