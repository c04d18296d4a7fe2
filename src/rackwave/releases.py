r"""The bundle manager by itself: reads the feeds, has drafts made of what is new, and published what may be published.

::

    listed by a feed -> seen -> draft -> approved, by a person or by the feed's policy -> published
                          \-> refused (tried again at the next look)      \-> rejected, or superseded
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping

from attrs import frozen

from .core import release_event as ev
from .core.due import Due, Published, maintenance_due
from .core.feed import Feed, next_look
from .core.identity import Digest, Lineage, NodeName, ReleaseId
from .core.release import news
from .core.release_book import ReleaseRecord, Stage
from .engine.logbook import Logbook
from .errors import FeedError, RackwaveError, UsageError
from .feeds import FeedSource, load_feeds, open_feed
from .feeds.config import FEEDS
from .ports import Clock, Secrets
from .release_desk import Fetching, ReleaseBusyError, ReleaseDesk, silent
from .repository.entry import State
from .stock import Stock

_log = logging.getLogger(__name__)


@frozen
class FeedLook:
    """What one look at a feed came to. *problem*: why it could not be read; *passed_over*: entries of no use."""

    feed: Feed
    listed: int = 0
    new: tuple[ReleaseId, ...] = ()
    problem: str = ""
    passed_over: tuple[str, ...] = ()


class Releases:
    """The releases of a state directory's feeds. One process watches; others may look, approve and reject meanwhile."""

    def __init__(self, stock: Stock, logbook: Logbook, *, clock: Clock, secret_store: Secrets, by: str) -> None:
        self._stock = stock
        self._logbook = logbook
        self._clock = clock
        self._secrets = secret_store
        self._desk = ReleaseDesk(stock, logbook, by=by)
        self._sources: dict[str, tuple[Feed, FeedSource]] = {}

    # -- what is known -----------------------------------------------------------------------------

    @property
    def feeds(self) -> tuple[Feed, ...]:
        """The feeds that ``feeds.toml`` names.

        Raises:
            UsageError: it cannot be used.
        """
        return load_feeds(self._stock.state / FEEDS)

    def list(self, lineage: Lineage | None = None) -> tuple[ReleaseRecord, ...]:
        """Return every release, or those of *lineage*, in the order in which they were seen."""
        self._logbook.refresh()
        book = self._logbook.ledger.releases
        return book.of(lineage) if lineage is not None else tuple(book.releases.values())

    def find(self, release: str) -> ReleaseRecord:
        """Return a release by its id, or by the beginning of one that no other has.

        Raises:
            UsageError: there is none, or several begin so.
        """
        found = [record for record in self.list() if record.id == release]
        found = found or [record for record in self.list() if record.id.startswith(release)]
        if len(found) != 1:
            raise UsageError(
                f"{len(found) or 'no'} releases are called {release!r}", advice="See 'rackwave release list --all'."
            )
        return found[0]

    def troubles(self) -> dict[str, tuple[str, float]]:
        """Return the feeds that could not be read at the latest look: what was wrong, and since when."""
        self._logbook.refresh()
        return dict(self._logbook.ledger.releases.troubled)

    def due(self, nodes: Iterable[NodeName]) -> tuple[Due, ...]:
        """Say for which of *nodes* maintenance is due: newer bundles of a lineage were published than they carry."""
        self._logbook.refresh()
        ledger = self._logbook.ledger
        carried = {
            name: {lineage: held.bundle for lineage, held in ledger.node(name).assigned.items()} for name in nodes
        }
        entries = self._stock.repository.list()
        current = {entry.id.lineage: entry.id.seq for entry in entries if entry.state is State.CURRENT}
        published = [
            Published(entry.id, entry.published_at, entry.purpose)
            for entry in entries
            if entry.state is not State.WITHDRAWN and entry.id.seq <= current[entry.id.lineage]
        ]
        return maintenance_due(carried, published, ledger.releases)

    # -- by itself ---------------------------------------------------------------------------------

    async def look(self, name: str | None = None, *, fetching: Fetching | None = None) -> tuple[FeedLook, ...]:
        """Look at every feed, or the one called *name*, once; draft what is new and publish what policy allows.

        Raises:
            UsageError: there is no such feed, or ``feeds.toml`` cannot be used.
        """
        feeds = self.feeds
        chosen = [feed for feed in feeds if name in (None, feed.name)]
        if not chosen:
            known = ", ".join(feed.name for feed in feeds) or "none"
            what = f"there is no feed {name!r}" if name is not None else f"{self._stock.state / FEEDS} names no feed"
            raise UsageError(what, advice=f"Feeds: {known}. How one is written: rackwave release feeds --help.")
        looks = [await self._look(feed) for feed in chosen]
        await self._settle({feed.name: feed for feed in chosen}, fetching or silent)
        return tuple(looks)

    async def watch(self, tell: Callable[[FeedLook], None], *, fetching: Fetching | None = None) -> None:
        """Look at each feed in its rhythm, for ever; *tell* is called with each look.

        ``feeds.toml`` is read again before each round, and a mistake in it ends the watch.

        Raises:
            UsageError: ``feeds.toml`` cannot be used, or names none.
        """
        due: dict[str, float] = {}
        failures: dict[str, int] = {}
        while True:
            feeds = self.feeds
            if not feeds:
                raise UsageError(f"{self._stock.state / FEEDS} names no feed", advice="See 'rackwave release feeds'.")
            for feed in feeds:
                if due.get(feed.name, 0.0) > self._clock.monotonic():
                    continue
                (look,) = await self.look(feed.name, fetching=fetching)
                tell(look)
                failures[feed.name] = failures.get(feed.name, 0) + 1 if look.problem else 0
                chance = random.random()  # noqa: S311 - spreads looks, guards nothing
                due[feed.name] = self._clock.monotonic() + next_look(feed, failures[feed.name], chance)
            next_one = min(due[feed.name] for feed in feeds)
            await self._clock.sleep(max(1.0, next_one - self._clock.monotonic()))

    # -- by hand -----------------------------------------------------------------------------------

    async def approve(self, release: str, *, manifest: Digest | None = None, despite: bool = False) -> ReleaseRecord:
        """Publish a draft as it stands; return the release as it is then.

        Args:
            release: Its id, or the beginning of one.
            manifest: The digest of the manifest that was looked at, else that of the latest draft: where what it
                is made from changed since, the new draft is not published.
            despite: Also where something speaks against it.

        Raises:
            UsageError: it is no draft, not the one that was looked at, or something speaks against it.
            TrustError: a key is missing; what was approved is published once it is there.
            StateError: another process works on it.
            BundleError: it cannot be published.
        """
        found = self.find(release)
        feed = self._feed(found)
        await self._desk.approve(found.id, feed, self._source(feed), manifest=manifest, despite=despite)
        return self.find(found.id)

    async def reject(self, release: str, reason: str) -> ReleaseRecord:
        """Have nothing made of a release, for good; return it as it is then.

        Raises:
            UsageError: it is published, or decided on already.
            StateError: another process works on it.
        """
        found = self.find(release)
        await self._desk.reject(found.id, reason)
        return self.find(found.id)

    # -- inside ------------------------------------------------------------------------------------

    async def _look(self, feed: Feed) -> FeedLook:
        troubled = self.troubles().get(feed.name)
        try:
            listing = await self._source(feed).look()
        except FeedError as error:
            if troubled is None or troubled[0] != error.whole:
                await self._logbook.record(ev.FeedFailed(feed.name, error.whole))
            return FeedLook(feed, problem=error.whole)
        if troubled is not None:
            await self._logbook.record(ev.FeedReached(feed.name))
        current = await asyncio.to_thread(self._desk.current, feed.lineage)
        proposals = news(
            feed,
            listing.announced,
            book=self._logbook.ledger.releases,
            current=current.manifest if current is not None else None,
        )
        for proposal in proposals:
            await self._logbook.record(
                ev.ReleaseSeen(
                    proposal.release, feed.lineage, feed.name, proposal.announced, proposal.ground, proposal.passes
                )
            )
        new = tuple(proposal.release for proposal in proposals)
        return FeedLook(feed, len(listing.announced), new, passed_over=listing.problems)

    async def _settle(self, feeds: Mapping[str, Feed], fetching: Fetching) -> None:
        """Bring every open release of *feeds* as far as it may come without a person."""
        for record in self.list():
            feed = feeds.get(record.feed)
            if record.stage is Stage.SUPERSEDED:
                self._desk.forget(record.id)
            if feed is None or record.stage.is_final:
                continue
            try:
                await self._desk.advance(record.id, feed, self._source(feed), fetching)
            except ReleaseBusyError:
                continue  # whoever works on it brings it as far as we would
            except RackwaveError as error:
                if error.whole != self.find(record.id).reason:  # said once, not at each look
                    await self._logbook.record(ev.ReleaseRefused(record.id, error.whole))
        for feed in feeds.values():
            try:
                await self._desk.raise_floor(feed)
            except RackwaveError as error:  # a key is away, or no metadata: the floor follows at a later look
                _log.warning("the floor of lineage %s could not be raised: %s", feed.lineage, error.whole)

    def _source(self, feed: Feed) -> FeedSource:
        known = self._sources.get(feed.name)
        if known is None or known[0] != feed:
            known = (feed, open_feed(feed, secrets=self._secrets, clock=self._clock))
            self._sources[feed.name] = known
        return known[1]

    def _feed(self, record: ReleaseRecord) -> Feed:
        for feed in self.feeds:
            if feed.name == record.feed:
                return feed
        raise UsageError(
            f"{record.id} came from the feed {record.feed}, which {FEEDS} does not name any more",
            advice="Name it again, or reject the release.",
        )
