"""What LVFS has publishers say of their firmware: ``*.metainfo.xml`` (AppStream, with LVFS's own keys).

It is read by expat without document types, so that there are no entities to expand and nothing to fetch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from attrs import frozen

from ..core.bundle import ElementKind
from ..core.identity import ComponentName
from ..core.octets import Octets
from .package import Release

MAX_METAINFO = 1 << 20
_DEEPEST = 64
_LONGEST_SUMMARY = 400
_CVE = re.compile(r"CVE-\d{4}-\d{4,}")
_CATEGORIES: Final[Mapping[str, tuple[ComponentName, ElementKind]]] = {
    "X-System": (ComponentName("BIOS"), ElementKind.BIOS_IMAGE),
    "X-BaseboardManagementController": (ComponentName("BMC"), ElementKind.BMC_FIRMWARE),
}


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
    root = _tree(octets)
    if root.tag != "component" or root.get("type") != "firmware":
        raise octets.damaged("describes no firmware", "component")
    release = root.find("releases/release")
    if release is None or not (version := release.get("version", "").strip()):
        raise octets.damaged("has no version", "release")
    category = next((_CATEGORIES[text] for text in _texts(root, "categories/category") if text in _CATEGORIES), None)
    custom = {value.get("key", ""): _text(value) for value in root.iterfind("custom/value")}
    return Metainfo(
        name=_first(root, "name"),
        vendor=_first(root, "developer_name") or _first(root, "developer/name"),
        version=version,
        scheme=custom.get("LVFS::VersionFormat") or None,
        targets=tuple(text.lower() for text in _texts(root, "provides/firmware")),
        component=category[0] if category is not None else None,
        kind=category[1] if category is not None else ElementKind.DEVICE_FIRMWARE,
        release=_release(root, release),
        sums=_sums(release),
        accepts=tuple(
            f"it may follow firmware {requires.get('compare', '')} {requires.get('version', '')}"
            for requires in root.iterfind("requires/firmware")
            if requires.get("version") and not _text(requires)
        ),
    )


def _release(root: Element, release: Element) -> Release:
    description = release.find("description")
    told = " ".join(" ".join(description.itertext()).split()) if description is not None else ""
    named = [_text(issue) for issue in release.iterfind("issues/issue") if issue.get("type") == "cve"]
    summary = told if len(told) <= _LONGEST_SUMMARY else f"{told[:_LONGEST_SUMMARY]}…"
    urls = {url.get("type", ""): _text(url) for url in (*root.iterfind("url"), *release.iterfind("url"))}
    return Release(
        severity=release.get("urgency", ""),
        cves=tuple(dict.fromkeys(cve for cve in (*named, *_CVE.findall(told)) if _CVE.fullmatch(cve))),
        summary=summary or _first(root, "summary"),
        date=_date(release),
        url=urls.get("details") or urls.get("homepage") or "",
    )


def _date(release: Element) -> str:
    if date := release.get("date", ""):
        return date[:10]
    try:
        return datetime.fromtimestamp(int(release.get("timestamp", "")), UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return ""


def _sums(release: Element) -> dict[str, dict[str, str]]:
    """Collect files and checksums, as they were written until 2020 and since."""
    found: dict[str, dict[str, str]] = {}
    for checksum in release.iterfind("checksum"):
        if checksum.get("target") == "content":
            sums = found.setdefault(checksum.get("filename", ""), {})
            if checksum.get("type"):
                sums[checksum.get("type", "")] = _text(checksum).lower()
    for artifact in release.iterfind("artifacts/artifact"):
        if artifact.get("type") == "binary" and (name := _first(artifact, "filename")):
            sums = found.setdefault(name, {})
            sums |= {each.get("type", ""): _text(each).lower() for each in artifact.iterfind("checksum")}
    found.pop("", None)
    return found


def _tree(octets: Octets) -> Element:
    builder, depth = TreeBuilder(), 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise octets.damaged(f"is nested more than {_DEEPEST} deep", "XML")
        builder.start(name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name)

    def refuse(*_: object) -> None:
        raise octets.damaged("declares a document type, which no metainfo needs and attacks do", "XML")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(octets.take(0, octets.size, "XML"), True)
    except (expat.ExpatError, LookupError, ValueError) as error:  # an encoding may be unknown, or none for text
        raise octets.damaged(f"cannot be read: {error}", "XML") from error
    return builder.close()


def _text(element: Element) -> str:
    return (element.text or "").strip()


def _texts(root: Element, path: str) -> Iterator[str]:
    return (text for element in root.iterfind(path) if (text := _text(element)))


def _first(root: Element, path: str) -> str:
    return next(_texts(root, path), "")
