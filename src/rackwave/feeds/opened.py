"""Opens a feed as what it is."""

from __future__ import annotations

from ..core.feed import Feed, FeedKind
from ..ports import Clock, Secrets
from .catalogue import read_catalogue
from .fetch import fetcher
from .folder import FolderFeed
from .listed import ListedFeed
from .listing import FeedSource
from .lvfs import read_lvfs
from .tag import TagFeed


def open_feed(feed: Feed, *, secrets: Secrets, clock: Clock) -> FeedSource:
    """Return *feed*, ready to be read; nothing is asked of anybody yet.

    Raises:
        FeedError: its CA cannot be used.
    """
    match feed.kind:
        case FeedKind.FOLDER:
            return FolderFeed(feed, clock=clock)
        case FeedKind.LVFS:
            return ListedFeed(feed, fetcher(feed), read_lvfs)
        case FeedKind.CATALOGUE:
            return ListedFeed(feed, fetcher(feed), read_catalogue)
        case FeedKind.OCI:
            return TagFeed(feed, secrets)
