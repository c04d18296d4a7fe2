"""A feed: where releases are announced, which of them count, and how much happens without a person."""

from __future__ import annotations

import re
from enum import StrEnum
from fnmatch import fnmatchcase

from attrs import frozen

from .announcement import Announcement, Severity
from .identity import ComponentName, Lineage

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
EVERY = 3600.0
"""Seconds between two looks where the inventory says nothing: an hour, less than any vendor's rhythm."""
SHORTEST_EVERY = 10.0
LONGEST_EVERY = 30 * 24 * 3600.0

_FIRST_RETRY = 60.0
_JITTER = 0.2
"""Share of a wait that is left to chance, so that many managers do not ask one server at one moment."""


class FeedKind(StrEnum):
    """What a feed is read as."""

    FOLDER = "folder"
    LVFS = "lvfs"
    CATALOGUE = "catalogue"
    OCI = "oci"


class FeedPolicy(StrEnum):
    """What happens to a release: a draft that waits for a person, or everything, where nothing speaks against it."""

    DRAFT = "draft"
    AUTOMATIC = "automatic"


@frozen
class Feed:
    """One feed of the inventory. *where* is a URL or an absolute path; *every* is in seconds.

    *guids*, *vendor* and *model* choose among what is announced; *component* says what the images are for
    where nobody else does. *floor*: a release of this severity or a higher one that fixes a CVE becomes a security
    floor once no node carries what lies below it. *tag* is what a registry calls the release that counts.
    """

    name: str
    kind: FeedKind
    where: str
    lineage: Lineage
    policy: FeedPolicy = FeedPolicy.DRAFT
    component: ComponentName | None = None
    guids: tuple[str, ...] = ()
    vendor: str = "*"
    model: str = "*"
    floor: Severity | None = None
    every: float = EVERY
    ca: str = ""
    insecure_http: bool = False
    tag: str = ""
    credentials: str = ""

    def takes(self, announced: Announcement) -> bool:
        """Whether *announced* is one of those that the feed is read for."""
        if self.guids and not set(self.guids) & set(announced.targets):
            return False
        if self.component is not None and announced.component not in (None, self.component):
            return False
        return fnmatchcase(announced.vendor, self.vendor) and fnmatchcase(announced.model, self.model)


def next_look(feed: Feed, failures: int, chance: float) -> float:
    """Return the seconds until *feed* is looked at again, after *failures* failures in a row.

    A feed that failed is tried sooner than its rhythm at first, then more and more seldom, to a day at the most
    or the rhythm where that is longer. *chance* is from 0 to 1.
    """
    wait = feed.every
    if failures:
        wait = min(_FIRST_RETRY * 2.0 ** min(failures - 1, 20), max(feed.every, 24 * 3600.0))
    return wait * (1 + _JITTER * (chance - 0.5))
