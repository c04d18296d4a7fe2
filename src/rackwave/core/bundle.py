"""What a bundle is: a manifest of elements and the payloads they need (system.md, 114 and 134-174).

A bundle replaces the current one of its lineage completely. Its manifest says what each element
changes, which bytes it needs, how the change becomes effective and how one gets back.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeAlias

from attrs import field, frozen

from .identity import BundleId, ComponentName, ComponentPattern, Digest
from .moment import moment

AttributeValue: TypeAlias = str | int | bool | None
"""A BIOS attribute's value, as the Redfish attribute registry types it."""

BUNDLE_STONE = "bundle:"
"""What a stepping stone begins with that is an earlier bundle, not a version."""


def frozen_map(mapping: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return a read-only copy of *mapping*: an attrs converter (mypy cannot infer a generic one).

    What is read-only already is one of ours, that nobody else holds, and is handed on as it is.
    """
    return mapping if isinstance(mapping, MappingProxyType) else MappingProxyType(dict(mapping))


class ElementKind(StrEnum):
    """What an element changes on a machine (claims 5 and 6)."""

    BIOS_IMAGE = "bios-image"
    BIOS_SETTINGS = "bios-settings"
    BMC_FIRMWARE = "bmc-firmware"
    DEVICE_FIRMWARE = "device-firmware"
    DRIVER = "driver"
    PATCH = "patch"
    APPLICATION = "application"
    SWITCH_CONFIG = "switch-config"
    STORAGE_CONFIG = "storage-config"
    CONTROL = "control"

    @property
    def is_image(self) -> bool:
        """Whether the element is one firmware image written to one component."""
        return self in (ElementKind.BIOS_IMAGE, ElementKind.BMC_FIRMWARE, ElementKind.DEVICE_FIRMWARE)


class Activation(StrEnum):
    """What must happen before a change that was written is what runs."""

    IMMEDIATE = "immediate"
    HOST_RESET = "host-reset"
    BMC_RESET = "bmc-reset"


class Reversibility(StrEnum):
    """How one gets back to an element's version once another has taken its place."""

    BANK_SWITCH = "bank-switch"
    REFLASH = "reflash"
    AC_CYCLE = "ac-cycle"
    ONE_WAY = "one-way"


class Witness(StrEnum):
    """Who must speak for a change before it counts as done."""

    INSTALLED_VERSION = "installed-version"
    POST = "post"
    HEALTH = "health"
    LOG = "log"
    IN_BAND = "in-band"


class PayloadRole(StrEnum):
    """What a payload is for (202, 204 and 206; claim 9)."""

    EXECUTABLE = "executable"
    DATA = "data"
    METADATA = "metadata"


@frozen
class Payload:
    """Some bytes that the bundle carries. *size* is in bytes; *name* is a bare file name."""

    name: str
    role: PayloadRole
    digest: Digest
    size: int
    extra: Mapping[str, Any] = field(factory=dict, converter=frozen_map, hash=False)


@frozen
class RunnableImage:
    """A container image beside the payloads, opaque to us: digest and size in bytes of its OCI image manifest."""

    digest: Digest
    size: int
    extra: Mapping[str, Any] = field(factory=dict, converter=frozen_map, hash=False)


@frozen
class AppliesTo:
    """Which machines a bundle, or one element of it, is for: shell-style patterns; ``*`` is any."""

    vendor: str = "*"
    model: str = "*"
    extra: Mapping[str, Any] = field(factory=dict, converter=frozen_map, hash=False)


@frozen
class Element:
    """One change to one machine.

    An image element writes *payload* to *component* until it reports *version*; without a payload it can only be
    gone back to, by switching to the bank in which the machine itself has that version. A settings element
    brings the BIOS attributes to *attributes*. Instead of a component *selector* may stand, a pattern
    over components such as ``NIC.*``. *scheme* says how its versions are compared (``core.version``).
    *accepts* lists the versions one may come from (shell-style patterns; empty is any), *via* those to
    pass through on the way, the first first: a version, or an earlier bundle as ``bundle:A.1``.
    *after* names elements that must be done first. *time_limit* is the longest that a write may take, in
    seconds: until it has passed, a write whose outcome is not known counts as still running. *checks*
    are the witnesses that must speak for it, beside those that a policy asks anyway. *executor* names
    who carries it out; None: whoever is made for its kind. *extra* keeps what a newer rackwave wrote
    and we do not know.
    """

    name: str
    kind: ElementKind
    activation: Activation
    reversibility: Reversibility
    component: ComponentName | None = None
    selector: ComponentPattern | None = None
    version: str | None = None
    scheme: str | None = None
    payload: str | None = None
    attributes: Mapping[str, AttributeValue] = field(factory=dict, converter=frozen_map)
    applies_to: AppliesTo = AppliesTo()
    accepts: tuple[str, ...] = ()
    via: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    time_limit: float = 1800.0
    checks: tuple[Witness, ...] = ()
    executor: str | None = None
    extra: Mapping[str, Any] = field(factory=dict, converter=frozen_map)

    @property
    def switches(self) -> bool:
        """Whether it is an image that the machine may have in another bank of the component."""
        return self.kind.is_image and self.reversibility is Reversibility.BANK_SWITCH


@frozen
class Manifest:
    """A bundle's description of itself; *elements* stand in the order in which they are applied.

    *enforce_by* is a date and time with its zone, from which on it is deployed whatever a node's scheduler and
    windows say; empty: none.
    """

    id: BundleId
    purpose: str
    elements: tuple[Element, ...]
    payloads: tuple[Payload, ...] = ()
    applies_to: AppliesTo = AppliesTo()
    image: RunnableImage | None = None
    enforce_by: str = ""
    extra: Mapping[str, Any] = field(factory=dict, converter=frozen_map)

    @property
    def enforced_from(self) -> float | None:
        """*enforce_by* in epoch seconds; None where it names no date."""
        return moment(self.enforce_by) if self.enforce_by else None

    # Asked in every turn of every node, and always the same.

    @cached_property
    def image_components(self) -> frozenset[ComponentName]:
        """The components that images are written to."""
        return frozenset(e.component for e in self.elements if e.kind.is_image and e.component is not None)

    @cached_property
    def switched_components(self) -> frozenset[ComponentName]:
        """The components that may be brought back from their other bank."""
        return frozenset(e.component for e in self.elements if e.switches and e.component is not None)

    @cached_property
    def kept_components(self) -> frozenset[ComponentName]:
        """The components that only a machine itself can bring back: no image of them is in it."""
        return frozenset(e.component for e in self.elements if e.switches and not e.payload and e.component is not None)

    @cached_property
    def has_settings(self) -> bool:
        """Whether BIOS settings are among it."""
        return any(element.kind is ElementKind.BIOS_SETTINGS for element in self.elements)

    @cached_property
    def resets_bmc(self) -> bool:
        """Whether something in it wants a restart of the BMC."""
        return any(element.activation is Activation.BMC_RESET for element in self.elements)

    @cached_property
    def varies(self) -> bool:
        """Whether it may mean something else on each machine: it has patterns, or elements for some machines only."""
        return any(each.selector is not None or each.applies_to != AppliesTo() for each in self.elements)

    def element(self, name: str) -> Element:
        """Return the element called *name* (KeyError where there is none)."""
        for element in self.elements:
            if element.name == name:
                return element
        raise KeyError(name)

    def payload(self, name: str) -> Payload:
        """Return the payload called *name* (KeyError where there is none)."""
        for payload in self.payloads:
            if payload.name == name:
                return payload
        raise KeyError(name)


@frozen
class Bundle:
    """A verified manifest together with the digest that names the bundle in its repository."""

    manifest: Manifest
    digest: Digest

    @property
    def id(self) -> BundleId:
        """The manifest's own id."""
        return self.manifest.id
