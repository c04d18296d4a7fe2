"""A JSON catalogue: what a site's own mirror, or a script that reads a vendor's page, can write without effort.

::

    {"releases": [                             newest first, at least within one stream
      {"component": "BIOS", "version": "2.1.0", "file": "bios-2.1.0.cab", "sha256": "9f86…",
       "size": 16777216, "severity": "high", "cves": ["CVE-2026-1234"], "date": "2026-11-20"}]}

``file`` is relative to the catalogue. Its JSON Schema is ``catalogue.schema.json``; fields that are not known are
passed over, so that a catalogue may say more than we read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.announcement import Announcement
from ..core.bundle import ElementKind
from ..core.canonical import parse_json
from ..core.feed import Feed
from ..core.identity import ComponentName, Digest
from ..core.octets import printable
from ..errors import FeedError, ManifestError, UsageError
from ..importers.package import safe_name
from .listing import MOST_RELEASES, MOST_TOLD, Listing

_MOST_VALUES = 40 * MOST_RELEASES
_TEXTS = ("vendor", "model", "scheme", "severity", "summary", "date", "url", "stream", "name")


def read_catalogue(feed: Feed, data: bytes) -> Listing:
    """Return what the catalogue *data* lists; *feed* says for which component, where an entry does not.

    Raises:
        FeedError: it is no such catalogue, or has no end.
    """
    try:
        document = parse_json(data, what="the catalogue", most=_MOST_VALUES)
    except ManifestError as error:
        raise FeedError(f"it is no catalogue: {error}", feed=feed.name) from error
    listed = document.get("releases") if isinstance(document, dict) else None
    if not isinstance(listed, list) or len(listed) > MOST_RELEASES:
        raise FeedError(
            f"it is no catalogue: it has no list of at most {MOST_RELEASES} releases",
            feed=feed.name,
            advice='Write {"releases": [{"component": …, "version": …, "file": …, "sha256": …}]}.',
        )
    announced: list[Announcement] = []
    problems: list[str] = []
    for number, entry in enumerate(listed, 1):
        try:
            announced.append(_announced(feed, entry))
        except UsageError as error:
            if len(problems) < MOST_TOLD:
                problems.append(printable(f"release {number} was passed over: {error}"))
    return Listing(tuple(announced), tuple(problems))


def _announced(feed: Feed, entry: Any) -> Announcement:
    if not isinstance(entry, dict):
        raise UsageError("it is no object")
    told = {key: printable(_text(entry, key)) for key in _TEXTS}
    component = ComponentName(name) if (name := _text(entry, "component")) else feed.component
    version, file = printable(_needed(entry, "version")), _needed(entry, "file")
    kind = _text(entry, "kind")
    if kind and kind not in {each.value for each in ElementKind if each.is_image}:
        raise UsageError(f"kind is {kind!r}, which is no kind of image")
    return Announcement(
        stream=told["stream"] or str(component or told["name"] or file),
        version=version,
        digest=Digest(f"sha256:{_needed(entry, 'sha256').lower().removeprefix('sha256:')}"),
        file=file,
        name=told["name"] or safe_name(file),
        size=_size(entry),
        vendor=told["vendor"],
        model=told["model"],
        component=component,
        kind=ElementKind(kind) if kind else None,
        scheme=told["scheme"],
        severity=told["severity"],
        cves=_cves(entry),
        summary=told["summary"],
        date=told["date"],
        url=told["url"],
    )


def _text(entry: Mapping[str, Any], key: str) -> str:
    text = entry.get(key, "")
    if not isinstance(text, str):
        raise UsageError(f"{key} is no text")
    return text


def _needed(entry: Mapping[str, Any], key: str) -> str:
    text = _text(entry, key)
    if not text.strip():
        raise UsageError(f"{key} is missing")
    return text


def _size(entry: Mapping[str, Any]) -> int | None:
    size = entry.get("size")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        raise UsageError("size is no number of bytes")
    return size


def _cves(entry: Mapping[str, Any]) -> tuple[str, ...]:
    cves = entry.get("cves", [])
    if not isinstance(cves, list) or not all(isinstance(cve, str) for cve in cves):
        raise UsageError("cves is no list of texts")
    return tuple(printable(cve) for cve in cves)
