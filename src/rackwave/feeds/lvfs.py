"""LVFS's catalogue of all firmware (``firmware.xml.gz``), or a mirror's: one component with its releases a device.

The catalogue's own signature (a ``.jcat`` beside it) is not verified: TLS vouches for where it came from, each
package for what it is by the sha256 that the catalogue names, and a person for the draft.

https://lvfs.readthedocs.io/en/latest/metainfo.html
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from ..core.announcement import Announcement
from ..core.feed import Feed
from ..core.identity import Digest
from ..core.octets import Octets, printable
from ..errors import FeedError, PackageFormatError, UsageError
from ..importers.appstream import category, components, custom, first, release_of, targets, text, vendor
from ..importers.package import safe_name
from .listing import MOST_RELEASES, MOST_TOLD, Listing

_SCHEMES = {"pair": "dotted", "triplet": "dotted", "quad": "dotted", "plain": "dotted", "number": "dotted"}
"""LVFS's version formats that are numbers with dots between; the others (hex, bcd, dell-bios) are what their makers
mean by them: versions of those equal only themselves."""


def read_lvfs(feed: Feed, data: bytes) -> Listing:
    """Return what the catalogue *data* lists for the devices that *feed* names.

    Raises:
        FeedError: it is no such catalogue, or has no end.
    """
    announced: list[Announcement] = []
    problems: list[str] = []

    def found(root: Element) -> None:
        if root.get("type") != "firmware" or not set(feed.guids) & set(targets(root)):
            return
        for release in root.iterfind("releases/release"):
            told = _announced(root, release)
            if isinstance(told, Announcement):
                announced.append(told)
            elif len(problems) < MOST_TOLD:
                problems.append(told)
            if len(announced) > MOST_RELEASES:
                raise FeedError(f"it lists more than {MOST_RELEASES} releases", feed=feed.name)

    try:
        components(Octets.of("catalogue", data), found)
    except PackageFormatError as error:
        raise FeedError(f"it is no catalogue of LVFS: {error}", feed=feed.name) from error
    return Listing(tuple(announced), tuple(problems))


def _announced(root: Element, release: Element) -> Announcement | str:
    version = release.get("version", "").strip()
    name = f"{first(root, 'id') or first(root, 'name')} {version}"
    box = next(_boxes(release), None)
    if not version or box is None:
        return printable(f"{name} was passed over: it names no {'package with a sha256' if version else 'version'}")
    location, digest, size = box
    component, kind = category(root)
    told = release_of(root, release)
    try:
        return Announcement(
            stream=printable(first(root, "id")) or first(root, "name"),
            version=printable(version),
            digest=Digest(f"sha256:{digest}"),
            file=location,
            name=safe_name(location),
            size=size,
            vendor=printable(vendor(root)),
            model=printable(first(root, "name")),
            component=component,
            kind=kind if component is not None else None,
            scheme=_SCHEMES.get(custom(root, "LVFS::VersionFormat"), ""),
            targets=targets(root),
            severity=told.severity,
            cves=told.cves,
            summary=told.summary,
            date=told.date,
            url=told.url,
        )
    except UsageError as error:
        return printable(f"{name} was passed over: {error}")


def _boxes(release: Element) -> Iterator[tuple[str, str, int | None]]:
    """Yield location, sha256 and size in bytes of the release's packages, as LVFS wrote them until 2020 and since."""
    for artifact in release.iterfind("artifacts/artifact"):
        digest = next((text(each) for each in artifact.iterfind("checksum") if each.get("type") == "sha256"), "")
        if artifact.get("type") == "binary" and digest and (location := first(artifact, "location")):
            yield location, digest.lower(), _size(artifact)
    digest = next(
        (
            text(each)
            for each in release.iterfind("checksum")
            if each.get("target") == "container" and each.get("type") == "sha256"
        ),
        "",
    )
    if digest and (location := first(release, "location")):
        yield location, digest.lower(), _size(release)


def _size(box: Element) -> int | None:
    """Return the size of what is downloaded; the installed one is that of the image within."""
    for size in box.iterfind("size"):
        if size.get("type") == "download" and text(size).isascii() and text(size).isdigit() and len(text(size)) < 16:
            return int(text(size))
    return None
