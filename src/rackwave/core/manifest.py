"""Reads and writes a bundle's manifest document, strictly.

A document is plain JSON::

    {"lineage": "A", "seq": 2, "purpose": "BIOS 2.0.0: fixes CVE-2024-0001",
     "applies_to": {"vendor": "Lab*", "model": "*"},
     "elements": [{"name": "bios", "kind": "bios-image", "component": "BIOS", "version": "2.0.0",
                   "payload": "bios.bin", "activation": "host-reset", "reversibility": "reflash"}],
     "payloads": [{"name": "bios.bin", "role": "data", "digest": "sha256:…", "size": 1048576}]}

Rules:

- Every error names the path of the field that is wrong: ``elements[2].kind: …``.
- A field that we do not know is kept in ``extra`` and written back (a newer rackwave wrote it). A
  value that we do not know of a field that we know, such as a new kind, is refused: half a bundle
  is not applied.
- Whatever two parts of a manifest could contradict each other about is checked here, once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from ..errors import UsageError
from .bundle import (
    BUNDLE_STONE,
    Activation,
    AppliesTo,
    Element,
    ElementKind,
    Manifest,
    Payload,
    PayloadRole,
    Reversibility,
    RunnableImage,
    Witness,
)
from .canonical import canonical_json, check_json
from .identity import BundleId, ComponentName, ComponentPattern, Digest, Lineage
from .record import Record, bad_field
from .version import SCHEMES

__all__ = ["canonical_json", "check_manifest", "manifest_from_document", "manifest_to_document"]

MAX_ELEMENTS = 256
MAX_PAYLOADS = 1024
MAX_DOCUMENT = 4 * 1024 * 1024  # what registries accept as a manifest
MAX_PAYLOAD_SIZE = 2**40  # 1 TiB; a software image of a whole machine is some tens of GiB

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
# A bare file name that is the same in a URL, on a FAT stick and on every disk: BMCs are picky (P20).
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,126}")


def manifest_from_document(document: Any) -> Manifest:
    """Read a manifest from parsed JSON.

    Raises:
        ManifestError: a field is missing, of a wrong type, or contradicts another; the message
            names its path. Nothing else is raised, whatever *document* is.
    """
    check_json(document, what="manifest")
    record = Record(document, "")
    manifest = Manifest(
        id=BundleId(record.named("lineage", Lineage), record.integer("seq", highest=10**12 - 1)),
        purpose=record.text("purpose", may_be_empty=True),
        elements=tuple(_element(item) for item in record.records("elements", most=MAX_ELEMENTS)),
        payloads=tuple(_payload(item) for item in record.records("payloads", most=MAX_PAYLOADS, optional=True)),
        applies_to=_applies_to(record),
        image=_image(record),
        enforce_by=record.moment("enforce_by") if record.optional("enforce_by") else "",
        extra=record.rest(),
    )
    check_manifest(manifest)
    return manifest


def manifest_to_document(manifest: Manifest) -> dict[str, Any]:
    """Write *manifest* as plain JSON values; what has its default is left out.

    Raises:
        ManifestError: an ``extra`` holds a field that has a meaning of its own.
    """
    document: dict[str, Any] = {
        "lineage": str(manifest.id.lineage),
        "seq": manifest.id.seq,
        "purpose": manifest.purpose,
        "applies_to": _applies_document(manifest.applies_to, "applies_to"),
        "elements": [_element_document(item, index) for index, item in enumerate(manifest.elements)],
    }
    if manifest.payloads:
        document["payloads"] = [_payload_document(item, index) for index, item in enumerate(manifest.payloads)]
    if manifest.image is not None:
        told = {"digest": str(manifest.image.digest), "size": manifest.image.size}
        document["image"] = _with_extra(told, manifest.image.extra, "image")
    if manifest.enforce_by:
        document["enforce_by"] = manifest.enforce_by
    return _with_extra(document, manifest.extra, "", reserved=("payloads", "image", "enforce_by"))


def check_manifest(manifest: Manifest) -> None:
    """Refuse a manifest whose parts contradict one another.

    Raises:
        ManifestError: names the element or payload, and what is wrong with it.
    """
    if not manifest.elements:
        raise bad_field("elements", "must hold at least one element", "A bundle that changes nothing is not a bundle.")
    _check_unique("elements", "name", [element.name for element in manifest.elements])
    _check_unique("payloads", "name", [payload.name for payload in manifest.payloads])
    payloads = {payload.name: payload for payload in manifest.payloads}
    for index, element in enumerate(manifest.elements):
        path = f"elements[{index}]"
        if element.kind.is_image:
            _check_image(element, path)
        elif element.kind is ElementKind.BIOS_SETTINGS:
            _check_settings(element, path)
        _check_stones(element, path)
        if element.payload is not None:
            payload = payloads.get(element.payload)
            if payload is None:
                raise bad_field(f"{path}.payload", f"there is no payload {element.payload!r} in this bundle")
            if element.kind.is_image and payload.size == 0:
                raise bad_field(f"{path}.payload", f"the image {payload.name!r} is empty")
    _check_targets(manifest)
    _check_order(manifest)


def _check_image(element: Element, path: str) -> None:
    for name, value in (("component", element.component or element.selector), ("version", element.version)):
        if not value:
            raise bad_field(f"{path}.{name}", f"is missing: an element of kind {element.kind} needs it")
    if not element.payload and not element.switches:
        raise bad_field(
            f"{path}.payload",
            f"is missing: an element of kind {element.kind} needs it, unless its reversibility is bank-switch",
        )
    if element.attributes:
        raise bad_field(f"{path}.attributes", f"an element of kind {element.kind} has no attributes")


def _check_settings(element: Element, path: str) -> None:
    if not element.attributes:
        raise bad_field(f"{path}.attributes", f"is missing: an element of kind {element.kind} sets at least one")
    for name, value in (
        ("component", element.component or element.selector),
        ("version", element.version),
        ("scheme", element.scheme),
        ("payload", element.payload),
    ):
        if value is not None:
            raise bad_field(f"{path}.{name}", f"an element of kind {element.kind} has no {name}")


def _check_targets(manifest: Manifest) -> None:
    """One component, one attribute: one element. Else the order of two writes would decide."""
    components: dict[ComponentName, str] = {}
    attributes: dict[str, str] = {}
    for index, element in enumerate(manifest.elements):
        if element.component is not None:
            other = components.setdefault(element.component, element.name)
            if other != element.name:
                raise bad_field(f"elements[{index}].component", f"{element.component} is written by {other!r} already")
        for attribute in element.attributes:
            other = attributes.setdefault(attribute, element.name)
            if other != element.name:
                raise bad_field(f"elements[{index}].attributes.{attribute}", f"is set by {other!r} already")


def _check_stones(element: Element, path: str) -> None:
    for place, stone in enumerate(element.via):
        if stone.startswith(BUNDLE_STONE):
            try:
                BundleId.parse(stone.removeprefix(BUNDLE_STONE))
            except UsageError as error:
                raise bad_field(f"{path}.via[{place}]", str(error), error.advice) from error


def _check_order(manifest: Manifest) -> None:
    names = {element.name for element in manifest.elements}
    for index, element in enumerate(manifest.elements):
        for place, name in enumerate(element.after):
            if name not in names:
                raise bad_field(f"elements[{index}].after[{place}]", f"there is no element {name!r} in this bundle")
    try:
        TopologicalSorter({element.name: element.after for element in manifest.elements}).prepare()
    except CycleError as error:
        circle = " after ".join(repr(name) for name in reversed(error.args[1]))
        raise bad_field("elements", f"they wait for one another in a circle: {circle}") from error


def _check_unique(path: str, key: str, names: list[str]) -> None:
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        earlier = first.setdefault(name, index)
        if earlier != index:
            raise bad_field(f"{path}[{index}].{key}", f"{name!r} is the name of {path}[{earlier}] already")


# -- reading --------------------------------------------------------------------------------


def _element(record: Record) -> Element:
    component, selector = _target(record)
    return Element(
        name=record.matching("name", _NAME, "an element's name"),
        kind=record.one_of("kind", ElementKind),
        activation=record.one_of("activation", Activation),
        reversibility=record.one_of("reversibility", Reversibility),
        component=component,
        selector=selector,
        version=record.version("version") if record.optional("version") else None,
        scheme=record.among("scheme", SCHEMES, "a version scheme") if record.optional("scheme") else None,
        payload=record.matching("payload", _FILE_NAME, "a bare file name") if record.optional("payload") else None,
        attributes=record.attributes("attributes"),
        applies_to=_applies_to(record),
        accepts=record.texts("accepts"),
        via=record.texts("via"),
        after=record.texts("after"),
        time_limit=record.seconds("time_limit", default=1800.0),
        checks=record.several("checks", Witness),
        executor=record.matching("executor", _NAME, "an executor's name") if record.optional("executor") else None,
        extra=record.rest(),
    )


def _target(record: Record) -> tuple[ComponentName | None, ComponentPattern | None]:
    """Take the component, which may be written as a pattern."""
    if not record.optional("component"):
        return None, None
    if record.holds_any("component", "*?"):
        return None, record.named("component", ComponentPattern)
    return record.named("component", ComponentName), None


def _payload(record: Record) -> Payload:
    return Payload(
        name=record.matching("name", _FILE_NAME, "a bare file name"),
        role=record.one_of("role", PayloadRole),
        digest=record.named("digest", Digest),
        size=record.integer("size", highest=MAX_PAYLOAD_SIZE),
        extra=record.rest(),
    )


def _image(outer: Record) -> RunnableImage | None:
    if not outer.optional("image"):
        return None
    record = Record(outer.take("image"), "image")
    return RunnableImage(
        digest=record.named("digest", Digest),
        size=record.integer("size", highest=MAX_DOCUMENT),
        extra=record.rest(),
    )


def _applies_to(outer: Record) -> AppliesTo:
    if not outer.optional("applies_to"):
        return AppliesTo()
    record = Record(outer.take("applies_to"), outer.at("applies_to"))
    return AppliesTo(
        vendor=record.text("vendor") if record.optional("vendor") else "*",
        model=record.text("model") if record.optional("model") else "*",
        extra=record.rest(),
    )


# -- writing --------------------------------------------------------------------------------


def _element_document(element: Element, index: int) -> dict[str, Any]:
    optional: dict[str, Any] = {
        "component": str(element.component or element.selector or "") or None,
        "version": element.version,
        "scheme": element.scheme,
        "payload": element.payload,
        "attributes": dict(element.attributes) or None,
        "applies_to": None
        if element.applies_to == AppliesTo()
        else _applies_document(element.applies_to, f"elements[{index}].applies_to"),
        "accepts": list(element.accepts) or None,
        "via": list(element.via) or None,
        "after": list(element.after) or None,
        "time_limit": None if element.time_limit == 1800.0 else _plain_number(element.time_limit),
        "checks": [witness.value for witness in element.checks] or None,
        "executor": element.executor,
    }
    document = {
        "name": element.name,
        "kind": element.kind.value,
        "activation": element.activation.value,
        "reversibility": element.reversibility.value,
        **{key: value for key, value in optional.items() if value is not None},
    }
    return _with_extra(document, element.extra, f"elements[{index}]", reserved=tuple(optional))


def _applies_document(applies: AppliesTo, path: str) -> dict[str, Any]:
    return _with_extra({"vendor": applies.vendor, "model": applies.model}, applies.extra, path)


def _payload_document(payload: Payload, index: int) -> dict[str, Any]:
    document = {
        "name": payload.name,
        "role": payload.role.value,
        "digest": str(payload.digest),
        "size": payload.size,
    }
    return _with_extra(document, payload.extra, f"payloads[{index}]")


def _with_extra(
    document: dict[str, Any], extra: Mapping[str, Any], path: str, *, reserved: tuple[str, ...] = ()
) -> dict[str, Any]:
    clash = sorted(key for key in extra if key in document or key in reserved)
    if clash:
        raise bad_field(
            f"{path}.{clash[0]}" if path else clash[0], "stands in 'extra' though it has a meaning of its own"
        )
    return {**document, **extra}


def _plain_number(value: float) -> int | float:
    """Write 30.0 as 30, so that reading and writing a document does not change it."""
    return int(value) if value.is_integer() else value
