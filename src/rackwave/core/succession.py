"""The bundle that takes the current one's place: a release's elements, and all that the release does not touch.

Rules:

- An element of the current bundle stays as it is, bytes and all, unless the release brings its component.
- What the release brings takes over what its predecessor says of how it is written: name, order, activation, way
  back, time. Only version and image are new. Where the predecessor named the versions that one may come from, its
  own is added to them.
- What the current bundle does not have is added at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import evolve, field, frozen

from .bundle import Element, Manifest, Payload, frozen_map
from .identity import BundleId, ComponentName, Lineage


@frozen
class Succession:
    """The new bundle's manifest. *fresh* maps names of its payloads to their names in the release; others are carried.

    *is_new* is false where it would bring nothing that the current bundle does not.
    """

    manifest: Manifest
    fresh: Mapping[str, str] = field(converter=frozen_map)
    is_new: bool

    @property
    def carried(self) -> tuple[Payload, ...]:
        """The payloads whose bytes lie in the repository already."""
        return tuple(payload for payload in self.manifest.payloads if payload.name not in self.fresh)


def next_id(lineage: Lineage, taken: Iterable[BundleId]) -> BundleId:
    """Return an id above every one of *lineage* that was ever *taken*: one that was withdrawn is not given again."""
    return BundleId(lineage, max((each.seq for each in taken if each.lineage == lineage), default=0) + 1)


def succeed(current: Manifest | None, release: Manifest) -> Succession:
    """Put *release*, a manifest of what a release brings alone, in the place of *current*."""
    if current is None:
        return Succession(release, {payload.name: payload.name for payload in release.payloads}, is_new=True)
    brought = {element.component: element for element in release.elements}
    replaced = [element for element in current.elements if _is_brought(element, brought)]
    kept = [element for element in current.elements if not _is_brought(element, brought)]
    payloads = _carried(current, replaced, kept)
    by_name = {payload.name: payload for payload in payloads}
    fresh: dict[str, str] = {}
    new_names: dict[str, str] = {}
    for payload in release.payloads:
        there = by_name.get(payload.name)
        if there is not None and there.digest == payload.digest:
            new_names[payload.name] = payload.name
            continue
        name = payload.name if there is None else _other_name(payload)
        new_names[payload.name], fresh[name] = name, payload.name
        payloads.append(evolve(payload, name=name))
    elements = [
        _follow(element, brought.pop(element.component), new_names) if _is_brought(element, brought) else element
        for element in current.elements
    ]
    taken = {element.name for element in elements}
    for element in brought.values():
        name = element.name if element.name not in taken else f"{element.name[:56]}-{len(taken)}"
        taken.add(name)
        elements.append(evolve(element, name=name, payload=new_names[element.payload or ""]))
    manifest = evolve(
        current, id=release.id, purpose=release.purpose, elements=tuple(elements), payloads=tuple(payloads)
    )
    return Succession(manifest, fresh, is_new=_content(manifest) != _content(current))


def _is_brought(element: Element, brought: Mapping[ComponentName | None, Element]) -> bool:
    return element.component is not None and element.component in brought


def _follow(before: Element, release: Element, new_names: Mapping[str, str]) -> Element:
    accepts = before.accepts
    if accepts and before.version is not None and before.version != release.version and before.version not in accepts:
        accepts = (*accepts, before.version)
    return evolve(before, version=release.version, payload=new_names[release.payload or ""], accepts=accepts)


def _carried(current: Manifest, replaced: list[Element], kept: list[Element]) -> list[Payload]:
    gone = {element.payload for element in replaced} - {element.payload for element in kept}
    return [payload for payload in current.payloads if payload.name not in gone]


def _other_name(payload: Payload) -> str:
    stem, dot, suffix = payload.name.rpartition(".")
    return f"{(stem or suffix)[:80]}-{payload.digest.hex[:8]}{dot if stem else ''}{suffix if stem else ''}"


def _content(manifest: Manifest) -> object:
    """What a bundle brings to a machine, without the names of its files and where it may come from."""
    digests = {payload.name: payload.digest for payload in manifest.payloads}
    return [
        (element.component, element.version, digests.get(element.payload or ""), dict(element.attributes))
        for element in manifest.elements
    ]
