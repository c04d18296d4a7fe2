"""What a feed lists, and the port that every kind of feed implements."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeAlias

from attrs import frozen

from ..core.announcement import Announcement

Progress: TypeAlias = Callable[[int, int | None], None]
"""Told the bytes that came so far, and how many there will be where that is known."""

MOST_RELEASES = 100_000
"""Releases in one feed. LVFS lists some 15,000."""
MOST_TOLD = 20
"""Entries that were passed over, told one by one; the rest is counted."""


@frozen
class Listing:
    """What one look at a feed found, the newest of each stream first; *problems* say what was passed over and why."""

    announced: tuple[Announcement, ...] = ()
    problems: tuple[str, ...] = ()


class FeedSource(Protocol):
    """One feed, ready to be read."""

    async def look(self) -> Listing:
        """List what there is now.

        Raises:
            FeedError: it cannot be read, or is no feed of its kind.
        """
        ...

    async def package(self, announced: Announcement, folder: Path, progress: Progress) -> Path:
        """Return where the package of *announced* lies, fetched into *folder* if need be, verified by its digest.

        Raises:
            FeedError: it cannot be had, or is not what the feed says.
        """
        ...
