"""What LVFS has publishers say of their firmware: ``*.metainfo.xml`` (AppStream, with LVFS's own keys)."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree.ElementTree import Element

from attrs import frozen

from ..core.bundle import ElementKind
from ..core.identity import ComponentName
from ..core.octets import Octets
from .appstream import category, components, custom, first, release_of, targets, text, vendor
from .package import Release

MAX_METAINFO = 1 << 20


@frozen
class Metainfo:
    """One firmware. *sums* are the files of the release, each with its checksums by algorithm; *accepts* is prose."""

    name: str
    vendor: str
    version: str
    scheme: str | None
    targets: tuple[str, ...]
    component: ComponentName | None
    kind: ElementKind
    release: Release
    sums: Mapping[str, Mapping[str, str]]
    accepts: tuple[str, ...]


def parse_metainfo(octets: Octets) -> Metainfo:
    """Read a metainfo file.

    Raises:
        PackageFormatError: it is no XML, declares a document type, is not of firmware, or has no release.
    """
    if octets.size > MAX_METAINFO:
        raise octets.damaged(f"is {octets.size} bytes long; {MAX_METAINFO} are the most", "XML")
    found: list[Element] = []
    components(octets, found.append)
    if len(found) != 1 or found[0].get("type") != "firmware":
        raise octets.damaged("describes no firmware", "component")
    root = found[0]
    release = root.find("releases/release")
    if release is None or not (version := release.get("version", "").strip()):
        raise octets.damaged("has no version", "release")
    component, kind = category(root)
    return Metainfo(
        name=first(root, "name"),
        vendor=vendor(root),
        version=version,
        scheme=custom(root, "LVFS::VersionFormat") or None,
        targets=targets(root),
        component=component,
        kind=kind,
        release=release_of(root, release),
        sums=_sums(release),
        accepts=tuple(
            f"it may follow firmware {requires.get('compare', '')} {requires.get('version', '')}"
            for requires in root.iterfind("requires/firmware")
            if requires.get("version") and not text(requires)
        ),
    )


def _sums(release: Element) -> dict[str, dict[str, str]]:
    """Collect files and checksums, as they were written until 2020 and since."""
    found: dict[str, dict[str, str]] = {}
    for checksum in release.iterfind("checksum"):
        if checksum.get("target") == "content":
            sums = found.setdefault(checksum.get("filename", ""), {})
            if checksum.get("type"):
                sums[checksum.get("type", "")] = text(checksum).lower()
    for artifact in release.iterfind("artifacts/artifact"):
        if artifact.get("type") == "binary" and (name := first(artifact, "filename")):
            sums = found.setdefault(name, {})
            sums |= {each.get("type", ""): text(each).lower() for each in artifact.iterfind("checksum")}
    found.pop("", None)
    return found
