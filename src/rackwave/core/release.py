"""Which of the releases that a feed lists are new for a lineage, and what shows that they are newer.

Rules:

- Of each stream only the newest counts, by the feed's own order (newest first). The ones between it and what
  the lineage has are passed over; their CVEs count as fixed by it, and their severity is never lost.
- What was seen before in the lineage is not new, whatever became of it: the same bytes, or another box of the
  same vendor, component and version.
- No version is taken apart. A release is *known* to be newer where the feed lists the lineage's own version behind
  it, where both are dated, or where publisher or lineage declare how versions compare (``core.version``). Where
  nothing shows it, it is proposed all the same, and says so: no policy publishes such a one without a person.

::

    news(feed, listed, book=book, current=manifest)  ->  (Proposal(A-3f9c0d21ab, …, ground=listed), …)
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from attrs import evolve, frozen

from .announcement import Announcement, worst
from .bundle import Element, Manifest
from .feed import Feed
from .identity import Digest, Lineage, ReleaseId
from .release_book import ReleaseBook, Stage
from .version import compare


class Ground(StrEnum):
    """What shows that a release is newer than what the lineage has."""

    FIRST = "first"
    LISTED = "listed"
    DECLARED = "declared"
    DATED = "dated"
    UNKNOWN = "unknown"


@frozen
class Proposal:
    """A release that is new for a lineage; *passes* are the versions between, which it takes in."""

    release: ReleaseId
    announced: Announcement
    ground: Ground
    passes: tuple[str, ...] = ()


def release_id(lineage: Lineage, digest: Digest) -> ReleaseId:
    """Name the release whose package is *digest*, as one for *lineage*: the same whichever feed lists it."""
    return ReleaseId(f"{lineage}-{digest.hex[:10]}")


def news(
    feed: Feed, listed: Sequence[Announcement], *, book: ReleaseBook, current: Manifest | None
) -> tuple[Proposal, ...]:
    """Return what *feed* lists that its lineage has not met, given what it listed before and the current bundle."""
    streams: dict[str, list[Announcement]] = {}
    for announced in listed:
        if feed.takes(announced):
            streams.setdefault(announced.stream, []).append(announced)
    found = [_newest(feed, stream, book=book, current=current) for stream in streams.values()]
    return tuple(proposal for proposal in found if proposal is not None)


def _newest(
    feed: Feed, stream: Sequence[Announcement], *, book: ReleaseBook, current: Manifest | None
) -> Proposal | None:
    head, release = stream[0], release_id(feed.lineage, stream[0].digest)
    installed = _installed(feed, head, current)
    if book.knows(release) or book.twin(feed.lineage, head) is not None:
        return None
    if installed is not None and installed.version == head.version:
        return None
    published = book.published_digests(feed.lineage)
    behind = [
        place
        for place, announced in enumerate(stream)
        if announced.digest in published or (installed is not None and announced.version == installed.version)
    ]
    if behind:
        between = stream[: behind[0]]
        told = evolve(
            head,
            severity=worst(announced.severity for announced in between),
            cves=tuple(dict.fromkeys(cve for announced in between for cve in announced.cves)),
        )
        return Proposal(release, told, Ground.LISTED, tuple(announced.version for announced in between[1:]))
    if installed is None:
        return Proposal(release, head, Ground.FIRST)
    ground = _ground(feed, head, installed, book=book)
    return Proposal(release, head, ground) if ground is not None else None


def _ground(feed: Feed, head: Announcement, installed: Element, *, book: ReleaseBook) -> Ground | None:
    """Say what shows that *head* is newer than *installed*; None where something shows that it is not."""
    order = compare(head.scheme or installed.scheme, head.version, installed.version or "")
    if order is not None:
        return Ground.DECLARED if order > 0 else None
    dated = [
        record.announced.date
        for record in book.of(feed.lineage)
        if record.stage is Stage.PUBLISHED and record.announced.version == installed.version and record.announced.date
    ]
    if dated and head.date:
        return Ground.DATED if head.date > dated[-1] else None
    return Ground.UNKNOWN


def _installed(feed: Feed, announced: Announcement, current: Manifest | None) -> Element | None:
    component = announced.component or feed.component
    for element in current.elements if current is not None else ():
        if component is not None and element.component == component:
            return element
    return None
