"""AppStream's XML as LVFS uses it: in the metainfo of one firmware, and in the catalogue of all.

It is read by expat without document types, so that there are no entities to expand and nothing to fetch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from ..core.bundle import ElementKind
from ..core.identity import ComponentName
from ..core.octets import Octets
from .package import Release

_DEEPEST = 64
_LONGEST_SUMMARY = 400
_CVE = re.compile(r"CVE-\d{4}-\d{4,}")
_CATEGORIES: Final[Mapping[str, tuple[ComponentName, ElementKind]]] = {
    "X-System": (ComponentName("BIOS"), ElementKind.BIOS_IMAGE),
    "X-BaseboardManagementController": (ComponentName("BMC"), ElementKind.BMC_FIRMWARE),
}


def components(octets: Octets, found: Callable[[Element], None]) -> None:
    """Call *found* with every ``component`` of the document, whole, one after the other: the rest is not kept.

    Raises:
        PackageFormatError: it is no XML, nested too deeply, or declares a document type.
    """
    _Reader(octets, found).read()


class _Reader:
    """Builds the tree of one component at a time: LVFS's catalogue is 40 MB, which as one tree take 400."""

    def __init__(self, octets: Octets, found: Callable[[Element], None]) -> None:
        self._octets = octets
        self._found = found
        self._depth = 0
        self._builder: TreeBuilder | None = None
        self._outside = 0

    def read(self) -> None:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = self._refuse
        try:
            for chunk in self._octets.chunks():
                parser.Parse(chunk, False)
            parser.Parse(b"", True)
        except (expat.ExpatError, LookupError, ValueError) as error:  # an encoding may be unknown, or none for text
            raise self._octets.damaged(f"cannot be read: {error}", "XML") from error

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._octets.damaged(f"is nested more than {_DEEPEST} deep", "XML")
        if self._builder is None and name == "component":
            self._builder, self._outside = TreeBuilder(), self._depth
        if self._builder is not None:
            self._builder.start(name, attributes)

    def _end(self, name: str) -> None:
        if self._builder is not None:
            self._builder.end(name)
            if self._depth == self._outside:
                whole, self._builder = self._builder.close(), None
                self._found(whole)
        self._depth -= 1

    def _text(self, data: str) -> None:
        if self._builder is not None:
            self._builder.data(data)

    def _refuse(self, *_: object) -> None:
        raise self._octets.damaged("declares a document type, which no metainfo needs and attacks do", "XML")


def category(root: Element) -> tuple[ComponentName | None, ElementKind]:
    """Return what a component's firmware is for, as far as its categories say."""
    known = [_CATEGORIES[each] for each in texts(root, "categories/category") if each in _CATEGORIES]
    return known[0] if known else (None, ElementKind.DEVICE_FIRMWARE)


def custom(root: Element, key: str) -> str:
    """Return one of LVFS's own values, empty where it is not there."""
    return next((text(value) for value in root.iterfind("custom/value") if value.get("key") == key), "")


def vendor(root: Element) -> str:
    """Return who made it."""
    return first(root, "developer_name") or first(root, "developer/name")


def targets(root: Element) -> tuple[str, ...]:
    """Return the GUIDs of the devices that it is for."""
    return tuple(each.lower() for each in texts(root, "provides/firmware"))


def release_of(root: Element, release: Element) -> Release:
    """Return what is said of *release*, one of the component *root*."""
    description = release.find("description")
    told = " ".join(" ".join(description.itertext()).split()) if description is not None else ""
    named = [text(issue) for issue in release.iterfind("issues/issue") if issue.get("type") == "cve"]
    summary = told if len(told) <= _LONGEST_SUMMARY else f"{told[:_LONGEST_SUMMARY]}…"
    urls = {url.get("type", ""): text(url) for url in (*root.iterfind("url"), *release.iterfind("url"))}
    return Release(
        severity=release.get("urgency", ""),
        cves=tuple(dict.fromkeys(cve for cve in (*named, *_CVE.findall(told)) if _CVE.fullmatch(cve))),
        summary=summary or first(root, "summary"),
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


def text(element: Element) -> str:
    """Return an element's own text without the blanks around it."""
    return (element.text or "").strip()


def texts(root: Element, path: str) -> Iterator[str]:
    """Yield the texts of every element at *path* that has one."""
    return (found for element in root.iterfind(path) if (found := text(element)))


def first(root: Element, path: str) -> str:
    """Return the first text at *path*, empty where there is none."""
    return next(texts(root, path), "")
