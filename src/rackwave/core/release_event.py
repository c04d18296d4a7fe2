"""What happened to releases and the feeds that list them, as the journal keeps it (core/release_book.py folds it)."""

from __future__ import annotations

from typing import TypeAlias

from attrs import frozen

from .announcement import Announcement
from .identity import BundleId, Digest, Lineage, ReleaseId


class AboutReleases:
    """Every event of this module: it is about a release or a feed, not about a node or a rollout."""

    __slots__ = ()


@frozen
class ReleaseSeen(AboutReleases):
    """*feed* lists a release that is new for *lineage*; *ground* says what shows that, *passes* what it takes in."""

    release: ReleaseId
    lineage: Lineage
    feed: str
    announced: Announcement
    ground: str
    passes: tuple[str, ...] = ()


@frozen
class ReleaseRefused(AboutReleases):
    """No bundle can be made of the release, or not be published; it is tried again at the next look."""

    release: ReleaseId
    reason: str


@frozen
class ReleaseDrafted(AboutReleases):
    """The release as *bundle*, whose manifest is *manifest*; *waits*: for what, empty where its policy needs nobody.

    *replaces* is the current bundle that it was made from; *objections* speak against it, *notes* do not;
    *faults* forbid it.
    """

    release: ReleaseId
    bundle: BundleId
    manifest: Digest
    replaces: BundleId | None
    objections: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    waits: str = ""
    faults: tuple[str, ...] = ()


@frozen
class ReleaseApproved(AboutReleases):
    """*by*, a person or a feed's policy, has the draft published as it stands: the intent of the publication."""

    release: ReleaseId
    bundle: BundleId
    manifest: Digest
    by: str


@frozen
class ReleaseRejected(AboutReleases):
    """*by* does not want the release, for good."""

    release: ReleaseId
    reason: str
    by: str


@frozen
class ReleasePublished(AboutReleases):
    """*bundle* is its lineage's current one; *reason* stands beside it in the repository."""

    release: ReleaseId
    bundle: BundleId
    digest: Digest
    reason: str


@frozen
class FeedFailed(AboutReleases):
    """*feed* cannot be read, since now or for another reason than before."""

    feed: str
    problem: str


@frozen
class FeedReached(AboutReleases):
    """*feed* can be read again."""

    feed: str


ReleaseEvent: TypeAlias = (
    ReleaseSeen
    | ReleaseRefused
    | ReleaseDrafted
    | ReleaseApproved
    | ReleaseRejected
    | ReleasePublished
    | FeedFailed
    | FeedReached
)
