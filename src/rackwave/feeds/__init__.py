"""Feeds: where vendors and their mirrors announce releases, read with nothing believed that is not checked."""

from .config import load_feeds
from .listing import FeedSource, Listing, Progress
from .opened import open_feed

__all__ = ["FeedSource", "Listing", "Progress", "load_feeds", "open_feed"]
