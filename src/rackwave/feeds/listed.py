"""A feed that is one file, which lists releases and where the package of each lies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from attrs import define, field

from ..core.announcement import Announcement
from ..core.feed import Feed
from ..importers.package import safe_name
from .fetch import Fetcher
from .inflate import MOST_PACKED, inflate
from .listing import Listing, Progress


@define
class ListedFeed:
    """The file is read again, by *read*, where its server says that it changed."""

    _feed: Feed
    _fetcher: Fetcher
    _read: Callable[[Feed, bytes], Listing]
    _tag: str = field(default="", init=False)
    _known: Listing = field(factory=Listing, init=False)

    async def look(self) -> Listing:
        """See ``FeedSource``."""
        fetched = await self._fetcher.whole(most=MOST_PACKED, tag=self._tag)
        if not fetched.unchanged:
            self._known = await asyncio.to_thread(self._parse, fetched.data)
            self._tag = fetched.tag
        return self._known

    async def package(self, announced: Announcement, folder: Path, progress: Progress) -> Path:
        """See ``FeedSource``."""
        path = folder / safe_name(announced.name)
        await self._fetcher.file(announced.file, path, digest=announced.digest, size=announced.size, progress=progress)
        return path

    def _parse(self, data: bytes) -> Listing:
        return self._read(self._feed, inflate(self._feed, data))
