"""What became of every release that a feed ever listed: a fold over the journal."""

from __future__ import annotations

from enum import StrEnum
from typing import assert_never

from attrs import evolve, frozen

from . import release_event as ev
from .announcement import Announcement
from .identity import BundleId, Digest, Lineage, ReleaseId


class Stage(StrEnum):
    """How far a release has come. REFUSED is tried again; REJECTED, SUPERSEDED and PUBLISHED are final."""

    SEEN = "seen"
    REFUSED = "refused"
    DRAFT = "draft"
    APPROVED = "approved"
    PUBLISHED = "published"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"

    @property
    def is_final(self) -> bool:
        """Whether nothing more becomes of it."""
        return self in (Stage.PUBLISHED, Stage.REJECTED, Stage.SUPERSEDED)


@frozen
class ReleaseRecord:
    """All that the journal says of one release for one lineage. Times are epoch seconds.

    *bundle* is the one that it is to become, *manifest* the digest of that bundle's manifest and *replaces* the
    bundle that it was made from; *faults* forbid its publication, *objections* speak
    against it, *waits* says why no policy publishes it.
    *reason*: why it is refused or rejected.
    """

    id: ReleaseId
    lineage: Lineage
    feed: str
    announced: Announcement
    ground: str
    seen_at: float
    since: float
    passes: tuple[str, ...] = ()
    stage: Stage = Stage.SEEN
    bundle: BundleId | None = None
    manifest: Digest | None = None
    replaces: BundleId | None = None
    faults: tuple[str, ...] = ()
    objections: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    waits: str = ""
    reason: str = ""
    by: str = ""

    @property
    def drafted(self) -> tuple[BundleId, Digest]:
        """The bundle that it is drafted as and the digest of that one's manifest (ValueError: it is no draft yet)."""
        if self.bundle is None or self.manifest is None:
            message = f"{self.id} is no draft"
            raise ValueError(message)
        return self.bundle, self.manifest


class ReleaseBook:
    """The releases of every lineage, and which feeds cannot be read."""

    def __init__(self) -> None:
        self.releases: dict[ReleaseId, ReleaseRecord] = {}
        self.troubled: dict[str, tuple[str, float]] = {}
        """Feeds that could not be read at the latest look: what was wrong, and since when."""

    def knows(self, release: ReleaseId) -> bool:
        """Whether it was seen before."""
        return release in self.releases

    def of(self, lineage: Lineage) -> tuple[ReleaseRecord, ...]:
        """Return the releases of *lineage* in the order in which they were seen."""
        return tuple(record for record in self.releases.values() if record.lineage == lineage)

    def twin(self, lineage: Lineage, announced: Announcement) -> ReleaseRecord | None:
        """Return the release of *lineage* that is the same firmware as *announced* in another box."""
        for record in self.of(lineage):
            if record.announced.is_same_firmware == announced.is_same_firmware:
                return record
        return None

    def published_digests(self, lineage: Lineage) -> frozenset[Digest]:
        """Return the packages that bundles of *lineage* were made of."""
        return frozenset(record.announced.digest for record in self.of(lineage) if record.stage is Stage.PUBLISHED)

    def apply(self, event: ev.ReleaseEvent, at: float) -> None:
        """Fold one event in."""
        match event:
            case ev.ReleaseSeen(release, lineage, feed, announced, ground, passes):
                if release not in self.releases:
                    self._supersede(lineage, feed, announced.stream, at)
                    self.releases[release] = ReleaseRecord(
                        release, lineage, feed, announced, ground, at, at, passes=passes
                    )
            case ev.FeedFailed(feed, problem):
                since = self.troubled[feed][1] if feed in self.troubled else at
                self.troubled[feed] = (problem, since)
            case ev.FeedReached(feed):
                self.troubled.pop(feed, None)
            case _:
                if event.release in self.releases:
                    self.releases[event.release] = _changed(self.releases[event.release], event, at)

    def _supersede(self, lineage: Lineage, feed: str, stream: str, at: float) -> None:
        """A feed's newer release of one stream takes the place of those that nobody decided on yet."""
        for record in self.of(lineage):
            same = record.feed == feed and record.announced.stream == stream
            if same and record.stage in (Stage.SEEN, Stage.REFUSED, Stage.DRAFT):
                self.releases[record.id] = evolve(record, stage=Stage.SUPERSEDED, since=at)


def _changed(
    record: ReleaseRecord,
    event: ev.ReleaseRefused | ev.ReleaseDrafted | ev.ReleaseApproved | ev.ReleaseRejected | ev.ReleasePublished,
    at: float,
) -> ReleaseRecord:
    match event:
        case ev.ReleaseRefused(_, reason):
            # What was approved stays so: it is its publication that does not work yet.
            stage = Stage.APPROVED if record.stage is Stage.APPROVED else Stage.REFUSED
            return evolve(record, stage=stage, reason=reason, since=at)
        case ev.ReleaseDrafted(_, bundle, manifest, replaces, objections, notes, waits, faults):
            return evolve(
                record,
                stage=Stage.DRAFT,
                bundle=bundle,
                manifest=manifest,
                replaces=replaces,
                faults=faults,
                objections=objections,
                notes=notes,
                waits=waits,
                reason="",
                since=at,
            )
        case ev.ReleaseApproved(_, _, _, by):
            return evolve(record, stage=Stage.APPROVED, by=by, reason="", since=at)
        case ev.ReleaseRejected(_, reason, by):
            return evolve(record, stage=Stage.REJECTED, reason=reason, by=by, since=at)
        case ev.ReleasePublished(_, bundle):
            return evolve(record, stage=Stage.PUBLISHED, bundle=bundle, reason="", since=at)
        case _:
            assert_never(event)
