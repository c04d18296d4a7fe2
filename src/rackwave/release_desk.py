"""Brings one release as far as it may come: fetched, drafted, approved, published.

An approval names the digest of the manifest that was seen, is journalled before anything is signed, and is what a
killed run goes on from: a bundle that is made again is the same, bit for bit, and published twice is published once.
"""

from __future__ import annotations

import asyncio
import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from .core import release_event as ev
from .core.announcement import Severity, severity_of
from .core.bundle import Bundle
from .core.feed import Feed
from .core.identity import BundleId, Digest, Lineage, ReleaseId
from .core.release_book import ReleaseRecord, Stage
from .core.succession import next_id
from .drafting import Draft, make_draft, manifest_digest
from .engine.logbook import Logbook
from .errors import BundleError, BundleNotFoundError, StateError, UsageError
from .feeds import FeedSource
from .repository.metadata.trust import MetadataTrust
from .stock import Stock

FOLDER = "releases"
_BUILT, _PACKAGE = "built", "package"

Fetching: TypeAlias = Callable[[ReleaseRecord, int, int | None], None]
"""Told the release, how many bytes of its package came, and how many there will be where that is known."""


class ReleaseBusyError(StateError):
    """Another process works on a release."""


class ReleaseDesk:
    """Works on the releases of a state directory, one process at a time on each."""

    def __init__(self, stock: Stock, logbook: Logbook, *, by: str) -> None:
        self._stock = stock
        self._logbook = logbook
        self._by = by

    async def advance(self, release: ReleaseId, feed: Feed, source: FeedSource, fetching: Fetching) -> None:
        """Bring a release as far as it may come without a person.

        Raises:
            ReleaseBusyError: another process works on it.
            RackwaveError: what stops it, for now.
        """
        with self._alone(release):
            record = self._record(release)
            if not record.stage.is_final and record.stage is not Stage.APPROVED:
                record = await self._over_current(record, feed, source, fetching)
                if record.stage is Stage.DRAFT and not record.waits:
                    record = await self._note_approval(record, f"the policy of feed {feed.name}")
            if record.stage is Stage.APPROVED:
                await self._publish(record, feed, source)

    async def approve(
        self, release: ReleaseId, feed: Feed, source: FeedSource, *, manifest: Digest | None, despite: bool
    ) -> None:
        """Publish a draft; see ``Releases.approve``."""
        with self._alone(release):
            record = self._record(release)
            if record.stage is Stage.DRAFT:
                looked_at = manifest or record.manifest
                record = await self._over_current(record, feed, source, silent)
                _check_approvable(record, looked_at, despite=despite)
                record = await self._note_approval(record, self._by)
            elif record.stage is not Stage.APPROVED:
                raise UsageError(f"{record.id} is {record.stage}, not a draft", advice=_next_step(record))
            await self._publish(record, feed, source)

    async def reject(self, release: ReleaseId, reason: str) -> None:
        """Have nothing made of a release; see ``Releases.reject``."""
        with self._alone(release):
            record = self._record(release)
            if record.stage.is_final or record.stage is Stage.APPROVED:
                raise UsageError(f"{record.id} is {record.stage} already", advice=_next_step(record))
            await self._logbook.record(ev.ReleaseRejected(release, reason, self._by))
            self.forget(release)

    async def raise_floor(self, feed: Feed) -> None:
        """Have nothing below a security release sent any more, once no node carries anything below it."""
        trust = self._stock.repository.trust
        if feed.floor is None or not isinstance(trust, MetadataTrust):
            return
        ledger = self._logbook.ledger
        assigned = (node.assigned.get(feed.lineage) for node in ledger.nodes.values())
        lowest = min((held.bundle.seq for held in assigned if held is not None), default=0)
        passed = [
            (record.bundle.seq, record)
            for record in ledger.releases.of(feed.lineage)
            if record.feed == feed.name and record.stage is Stage.PUBLISHED and record.bundle is not None
            if record.bundle.seq <= lowest and _is_security(record, feed.floor)
        ]
        if passed:  # the highest: each is a signature of its own
            seq, record = max(passed, key=lambda each: each[0])
            reason = f"{record.bundle} fixes {', '.join(record.announced.cves)}"
            await asyncio.to_thread(trust.raise_floor, feed.lineage, seq, reason=reason)

    def current(self, lineage: Lineage) -> Bundle | None:
        """Return the current bundle of *lineage*; None where nothing was published in it."""
        try:
            return self._stock.repository.current(lineage)
        except BundleNotFoundError:
            return None

    def forget(self, release: ReleaseId) -> None:
        """Remove what lies here of a release that nothing more becomes of."""
        shutil.rmtree(self._folder(release), ignore_errors=True)

    # -- inside ------------------------------------------------------------------------------------

    async def _over_current(
        self, record: ReleaseRecord, feed: Feed, source: FeedSource, fetching: Fetching
    ) -> ReleaseRecord:
        """Return *record* as a draft over what is current now, or as rejected where that has it already."""
        current = await asyncio.to_thread(self.current, record.lineage)
        is_over = record.replaces == (current.id if current is not None else None)
        if record.stage is Stage.DRAFT and is_over and record.bundle == self._next_id(record):
            return record
        draft = await self._draft(record, feed, source, fetching)
        if draft.is_new:
            await self._note_draft(record, draft, draft.appraisal.waits(feed))
        else:
            await self._logbook.record(ev.ReleaseRejected(record.id, f"{draft.replaces} has it already", "rackwave"))
            self.forget(record.id)
        return self._record(record.id)

    async def _draft(self, record: ReleaseRecord, feed: Feed, source: FeedSource, fetching: Fetching) -> Draft:
        folder = self._folder(record.id)
        package = await source.package(
            record.announced, folder / _PACKAGE, lambda got, size: fetching(record, got, size)
        )
        current = await asyncio.to_thread(self.current, record.lineage)
        bundle = self._next_id(record)
        return await asyncio.to_thread(make_draft, record, feed, package, folder, bundle=bundle, current=current)

    async def _note_draft(self, record: ReleaseRecord, draft: Draft, waits: str) -> None:
        appraisal = draft.appraisal
        await self._logbook.record(
            ev.ReleaseDrafted(
                record.id,
                draft.manifest.id,
                draft.digest,
                draft.replaces,
                objections=appraisal.objections,
                notes=appraisal.notes,
                waits=waits,
                faults=appraisal.faults,
            )
        )

    async def _note_approval(self, record: ReleaseRecord, by: str) -> ReleaseRecord:
        bundle, manifest = record.drafted
        await self._logbook.record(ev.ReleaseApproved(record.id, bundle, manifest, by))
        return self._record(record.id)

    async def _publish(self, record: ReleaseRecord, feed: Feed, source: FeedSource) -> None:
        """Make and publish the bundle of an approved release, or note that it was."""
        bundle, manifest = record.drafted
        published = await asyncio.to_thread(self._published, bundle)
        if published is None or manifest_digest(published.manifest) != manifest:
            draft = await self._draft(record, feed, source, silent)
            if draft.digest != manifest:
                await self._note_draft(record, draft, "approval: what it is made from changed since it was approved")
                return
            published = await asyncio.to_thread(self._sign, record, draft)
        await self._logbook.record(ev.ReleasePublished(record.id, bundle, published.digest, _reason(record)))
        self.forget(record.id)

    def _sign(self, record: ReleaseRecord, draft: Draft) -> Bundle:
        out = self._folder(record.id) / _BUILT
        shutil.rmtree(out, ignore_errors=True)
        manager = self._stock.manager
        built = manager.assemble(draft.manifest, draft.fresh, out)
        manager.publish(built, _reason(record))
        return built.bundle

    def _published(self, bundle: BundleId) -> Bundle | None:
        try:
            return self._stock.repository.get(bundle)
        except BundleNotFoundError:
            return None

    def _next_id(self, record: ReleaseRecord) -> BundleId:
        """Return the id for *record*: above all that its lineage ever had, here or on a node."""
        ledger = self._logbook.ledger
        taken = [entry.id for entry in self._stock.repository.list()]
        taken += [held.bundle for node in ledger.nodes.values() for held in node.assigned.values()]
        taken += [rollout.bundle for rollout in ledger.rollouts.values()]
        taken += [
            each.bundle
            for each in ledger.releases.of(record.lineage)
            if each.bundle is not None and each.stage in (Stage.PUBLISHED, Stage.APPROVED) and each.id != record.id
        ]
        if record.stage is Stage.APPROVED and record.bundle is not None and record.bundle not in taken:
            return record.bundle
        return next_id(record.lineage, taken)

    def _record(self, release: ReleaseId) -> ReleaseRecord:
        """Return what the journal says of a release now, whoever wrote it."""
        self._logbook.refresh()
        return self._logbook.ledger.releases.releases[release]

    def _folder(self, release: ReleaseId) -> Path:
        return self._stock.state / FOLDER / release

    @contextmanager
    def _alone(self, release: ReleaseId) -> Iterator[None]:
        """Keep other processes off a release, and off what lies here of it."""
        folder = self._stock.state / FOLDER
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / f".{release}.lock").open("w")
        except OSError as error:
            raise StateError(f"{folder} cannot be written: {error.strerror}", advice="Check its rights.") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ReleaseBusyError(
                    f"another process works on {release}", advice="It may be fetching it; try again in a moment."
                ) from error
            yield


def silent(_record: ReleaseRecord, _got: int, _size: int | None) -> None:
    """Tell nobody how far a package has come."""


def _check_approvable(record: ReleaseRecord, looked_at: Digest | None, *, despite: bool) -> None:
    if record.stage is not Stage.DRAFT:
        raise UsageError(f"{record.id} is {record.stage}: {record.reason}", advice=_next_step(record))
    if looked_at != record.manifest:
        raise UsageError(
            f"the draft of {record.id} is not the one that you looked at: its manifest is {record.manifest}",
            advice=f"Look again: rackwave release show {record.id}",
        )
    if record.faults:
        raise BundleError(
            f"{record.id} as {record.bundle} is not fit to be published: {record.faults[0]}",
            advice="Import the package by hand ('rackwave bundle import'), mend the source, and reject this release.",
        )
    if record.objections and not despite:
        raise UsageError(
            f"against {record.id} speaks: {'; '.join(record.objections)}",
            advice="If you know better, approve it with --despite.",
        )


def _next_step(record: ReleaseRecord) -> str:
    match record.stage:
        case Stage.SEEN | Stage.REFUSED:
            return "'rackwave release watch --once' makes a draft of it, or says why it cannot."
        case Stage.PUBLISHED:
            return f"Deploy it: rackwave plan {record.bundle}"
        case _:
            return f"See 'rackwave release show {record.id}'."


def _is_security(record: ReleaseRecord, floor: Severity) -> bool:
    severity = severity_of(record.announced.severity)
    return bool(record.announced.cves) and severity is not None and severity.rank >= floor.rank


def _reason(record: ReleaseRecord) -> str:
    announced = record.announced
    what = f"{announced.component or announced.name} {announced.version} from feed {record.feed}"
    fixes = f"fixes {', '.join(announced.cves)}" if announced.cves else ""
    severity = f"severity {announced.severity}" if announced.severity else ""
    return "; ".join(part for part in (what, fixes, severity, f"approved by {record.by}") if part)
