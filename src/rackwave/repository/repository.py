"""The bundle repository (116): the current bundle of each lineage (118) and the archive (120).

Publishing A.2 makes it current and moves A.1 to the archive in one step, the replacement of
``index.json``. Every blob is durable before that, so a ``kill -9`` at any moment leaves the
repository as it was before or as it is after.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from attrs import evolve, frozen

from ..core.bundle import Bundle
from ..core.identity import BundleId, Digest, Lineage
from ..core.lint import refuse_errors
from ..errors import (
    BundleError,
    BundleNotFoundError,
    DigestMismatchError,
    RackwaveError,
    StateError,
    TrustError,
    UsageError,
)
from .artifact import OpenedBundle, open_bundle
from .bundle_file import BundleFile, write_bundle_file
from .depot import Depot, is_document
from .entry import Entry, State, is_published, keep, offer, offered_id, publish, put_into, read_entry, tagged_id
from .layout import REF_NAME, Descriptor, ImageLayout, LayoutIndex
from .source import SOURCE_NAME
from .trust import Trust

MOST_BYTES = 64 * 1024**3
"""What a bundle may have where nobody says otherwise: a DVD of firmware for every part of a machine, ten times over."""
_NEAR = 10  # how many other bundles of a lineage an error names


@frozen
class Publication:
    """What publishing did. *archived* is the bundle that was current before, if there was one."""

    entry: Entry
    archived: BundleId | None = None
    was_published: bool = False


@frozen
class _Wish:
    """How a bundle is to be entered; *is_signed*: it was published elsewhere, so that nobody here signs it again."""

    reason: str
    may_be_old: bool = False
    is_signed: bool = False
    min_seq: int | None = None


@frozen
class Check:
    """What a deep check of one bundle found; *problem* is None where every byte is as it was signed."""

    id: BundleId
    problem: RackwaveError | None = None

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return self.problem is None


class BundleRepository:
    """A folder of published bundles. It need not exist yet; the first publication makes it."""

    def __init__(self, directory: Path, trust: Trust, *, now: Callable[[], float] = time.time) -> None:
        self._layout = ImageLayout(directory)
        self._trust = trust
        self._now = now
        self._known: tuple[LayoutIndex, tuple[tuple[Entry, Descriptor], ...]] | None = None

    @property
    def directory(self) -> Path:
        """Where it lies."""
        return self._layout.directory

    @property
    def layout(self) -> ImageLayout:
        """The image layout that it is."""
        return self._layout

    @property
    def trust(self) -> Trust:
        """Who says what is believed."""
        return self._trust

    def publish(
        self, built: Path, reason: str = "", *, may_be_old: bool = False, min_seq: int | None = None
    ) -> Publication:
        """Take in the bundle that was built into *built*, or exported into that file, as its lineage's current one.

        Publishing the same content again is not an error: a damaged blob is healed by it, and a new
        signature over the same content takes the place of the old one. With *may_be_old* one that is
        older than the current bundle goes into the archive.

        Args:
            built: Where it was built, or the file.
            reason: Why it is published.
            may_be_old: Take it in also where it is older than the current one.
            min_seq: From now on nothing below this seq is sent, not even to go back.

        Raises:
            TrustError: unsigned, altered, or by a key that may not sign this lineage.
            DigestMismatchError: a blob in *built* is damaged.
            BundleError: the id is taken by other content, its seq is not above the current one's, or
                ``core.lint`` has an error to tell of it.
        """
        source = BundleFile(built) if built.is_file() else ImageLayout(built)
        offered, bundle_id = _single_bundle(source)
        opened = open_bundle(source, offered, self._trust, bundle_id=bundle_id, offered=self._trust.signs)
        refuse_errors(opened.bundle.manifest)

        def take_in(blob: Descriptor) -> None:
            if self._has(blob):
                source.verify(blob)  # what is offered must be sound in any case
            else:
                source.fetch(blob, self._layout.blobs)

        return self._take_in(opened, take_in, _Wish(reason, may_be_old, not self._trust.signs, min_seq))

    def pull(
        self,
        bundle_id: BundleId,
        depot: Depot,
        *,
        digest: Digest | None = None,
        most: int = MOST_BYTES,
        reason: str = "",
    ) -> Publication:
        """Take in *bundle_id* from *depot*: current if it is the latest here, else into the archive.

        Its signature is verified before a payload is fetched, and each payload is then fetched by the
        digest and the size that were signed. What is here already is not fetched again.

        Args:
            bundle_id: Which bundle.
            depot: Where it is; nothing that it says is believed.
            digest: The bundle's digest, where signed metadata tells it.
            most: The most bytes that the bundle may have.
            reason: Why it is published here.

        Raises:
            TrustError: unsigned, altered, by a key that may not sign this lineage, or not *digest*.
            DigestMismatchError: other bytes came than were signed.
            BundleError: the id is taken by other content here, or it is larger than *most*.
            RegistryError: the registry cannot be asked, or answers what cannot be.
        """
        opened = open_bundle(depot, depot.resolve(str(bundle_id)), self._trust, bundle_id=bundle_id)
        if digest is not None and opened.bundle.digest != digest:
            raise TrustError(
                f"what is offered as {bundle_id} is signed, but another content than was meant: {opened.bundle.digest}",
                advice="Do not use it, and find out who put it there.",
            )
        size = sum(blob.size for blob in opened.blobs)
        if size > most:
            raise BundleError(f"{bundle_id} has {size} bytes; at most {most} are taken in", advice="Raise --max-size.")

        def take_in(blob: Descriptor) -> None:
            if not self._has(blob):
                depot.fetch(blob, self._layout.blobs)

        return self._take_in(opened, take_in, _Wish(reason, may_be_old=True, is_signed=True))

    def lacking(self, depot: Depot) -> tuple[BundleId, ...]:
        """Return the bundles that *depot* says it has and that are not here, by lineage and seq.

        Raises:
            RegistryError: the registry cannot be asked.
        """
        here = {entry.id for entry in self.list()}
        there = {bundle_id for tag in depot.tags() if (bundle_id := tagged_id(tag)) is not None}
        return tuple(sorted(there - here))

    def push(self, bundle_id: BundleId, depot: Depot) -> Bundle:
        """Copy a bundle to *depot*, digest by digest, and tag it there with its id, last of all.

        Raises:
            BundleNotFoundError: it is not here.
            DigestMismatchError: it is damaged here, or *depot* stored something else.
            RegistryError: the registry cannot be asked, or does not take it.
        """
        opened = self._open(bundle_id)
        parts = [blob for blob in opened.blobs if blob.digest != opened.index.digest]
        for blob in sorted(parts, key=is_document):  # a registry takes a manifest once it has what that names
            depot.put(blob, self._layout.blobs)
        depot.tag(str(bundle_id), opened.index, self._layout.blobs)
        return opened.bundle

    def export(self, bundle_id: BundleId, out: Path) -> tuple[Bundle, int]:
        """Write a bundle as one file, which ``publish`` takes elsewhere; return it and the file's size in bytes.

        Raises:
            BundleNotFoundError: it is not here.
            DigestMismatchError: it is damaged; nothing was written.
            UsageError: *out* is there already.
        """
        opened = self._open(bundle_id)
        return opened.bundle, write_bundle_file(self._layout, opened, out)

    def keep(self, bundle_id: BundleId, reason: str) -> Entry:
        """Have a bundle stay whatever the retention policy says; with an empty *reason* no longer.

        Raises:
            BundleNotFoundError: it is not here.
        """
        with self._layout.locked() as index:
            _, descriptor = self._found(index, bundle_id)
            kept = keep(descriptor, reason)
            self._layout.swap(index.with_entries(tuple(kept if e is descriptor else e for e in index.entries)))
        return read_entry(kept)

    def get(self, bundle_id: BundleId) -> Bundle:
        """Load a bundle, current or archived, and verify its signature and documents.

        Payloads are checked for presence and size only; ``payload_path`` and ``verify`` read them.

        Raises:
            BundleNotFoundError: it is not here.
            TrustError: its signature does not hold (any more).
            DigestMismatchError: a document is damaged.
        """
        return self._open(bundle_id).bundle

    def payload_manifest(self, bundle_id: BundleId) -> bytes:
        """Return the bytes that are signed of a bundle.

        Raises:
            BundleError: as ``get``.
        """
        return self._open(bundle_id).payload

    def current(self, lineage: Lineage) -> Bundle:
        """Load the bundle that new rollouts of *lineage* aim at.

        Raises:
            BundleNotFoundError: nothing was published in this lineage.
        """
        for entry in self.list():
            if entry.id.lineage == lineage and entry.state is State.CURRENT:
                return self.get(entry.id)
        known = ", ".join(sorted({str(entry.id.lineage) for entry in self.list()})) or "none"
        raise BundleNotFoundError(f"nothing was published in lineage {lineage}", advice=f"Lineages here: {known}.")

    def archive(self, lineage: Lineage) -> tuple[Entry, ...]:
        """Return what was current in *lineage* before, the latest first."""
        entries = [entry for entry in self.list() if entry.id.lineage == lineage and entry.state is State.ARCHIVE]
        return tuple(sorted(entries, key=lambda entry: entry.id.seq, reverse=True))

    def list(self) -> tuple[Entry, ...]:
        """Return every published bundle by lineage and seq. It reads ``index.json`` alone."""
        found = [entry for entry, _ in self._published(self._layout.index())]
        return tuple(sorted(found, key=lambda entry: (entry.id.lineage, entry.id.seq)))

    def verify(self, bundle_id: BundleId | None = None) -> tuple[Check, ...]:
        """Read and hash every byte of one bundle, or of all, and report on each.

        Raises:
            BundleNotFoundError: *bundle_id* is not here.
        """
        ids = [entry.id for entry in self.list()] if bundle_id is None else [self._find(bundle_id)[0].id]
        return tuple(self._check(each) for each in ids)

    def payload_path(self, bundle: Bundle, name: str) -> Path:
        """Return where a payload's bytes lie, verified against the signed manifest.

        Raises:
            TrustError: the bundle must not be sent.
            BundleError: the bundle has no such payload.
            DigestMismatchError: the bytes are damaged.
            BundleNotFoundError: they are gone.
        """
        try:
            payload = bundle.manifest.payload(name)
        except KeyError as error:
            names = ", ".join(payload.name for payload in bundle.manifest.payloads) or "none"
            raise BundleError(f"{bundle.id} has no payload {name!r}", advice=f"Its payloads: {names}.") from error
        self._trust.check_sendable(bundle.id)
        return self._layout.blobs.path(payload.digest)

    def check_sendable(self, bundle_id: BundleId) -> Bundle:
        """Load a bundle that is about to be sent and see that all of it is here.

        Raises:
            BundleError: something of it is missing or damaged, or it must not be sent.
        """
        bundle = self.get(bundle_id)
        self._trust.check_sendable(bundle_id)
        for payload in bundle.manifest.payloads:
            self.payload_path(bundle, payload.name)
        return bundle

    def why_not_sendable(self, bundle_id: BundleId) -> str | None:
        """Say why a bundle could not be sent if it had to be; None where all of it is here."""
        try:
            self.check_sendable(bundle_id)
        except BundleError as error:
            return str(error)
        return None

    def _take_in(self, opened: OpenedBundle, take_in: Callable[[Descriptor], None], wish: _Wish) -> Publication:
        self._layout.index()  # refuses a folder that is no repository before anything is written to it
        with self._layout.in_use():
            self._layout.blobs.sweep()
            for blob in opened.blobs:
                take_in(blob)
            with self._layout.locked() as index:
                return self._enter(index, opened, wish)

    def _has(self, blob: Descriptor) -> bool:
        """Whether a blob is here and sound."""
        try:
            self._layout.blobs.path(blob.digest)
        except (BundleNotFoundError, DigestMismatchError):
            return False
        return True

    def revert(self, bundle_id: BundleId, reason: str, *, min_seq: int | None = None) -> tuple[Entry, ...]:
        """Make an archived bundle its lineage's current one again; return what changed its state.

        Raises:
            BundleNotFoundError: it is not here.
            TrustError: it was withdrawn, lies below the floor, a key is missing, or the trust cannot say so.
            UsageError: it is current already.
        """
        bundle = self.get(bundle_id)
        if self._find(bundle_id)[0].state is State.CURRENT:
            raise UsageError(f"{bundle_id} is current already")
        with self._layout.locked() as index:
            self._trust.move_back(bundle_id, bundle.digest, reason=reason, min_seq=min_seq)
            states = {bundle_id: State.CURRENT}
            current = _current(self._published(index), bundle_id.lineage)
            if current is not None:
                states[current[0].id] = State.ARCHIVE
            return self._put(index, states)

    def withdraw(self, bundle_id: BundleId, reason: str) -> tuple[Entry, ...]:
        """Have a bundle that is not current never sent again, neither forward nor back; return what changed.

        Its bytes stay, since nodes may carry it and what it consists of must be known to leave it.

        Raises:
            BundleNotFoundError: it is not here.
            UsageError: it is current, or withdrawn already.
            TrustError: a key is missing, or the trust cannot say so.
        """
        bundle = self.get(bundle_id)
        if self._find(bundle_id)[0].state is State.WITHDRAWN:
            raise UsageError(f"{bundle_id} is withdrawn already")
        with self._layout.locked() as index:
            self._trust.withdraw(bundle_id, bundle.digest, reason=reason)
            return self._put(index, {bundle_id: State.WITHDRAWN})

    def _put(self, index: LayoutIndex, states: dict[BundleId, State]) -> tuple[Entry, ...]:
        descriptors = {entry.id: descriptor for entry, descriptor in self._published(index)}
        changed = {id(descriptors[each]): put_into(descriptors[each], state) for each, state in states.items()}
        self._layout.swap(index.with_entries(tuple(changed.get(id(each), each) for each in index.entries)))
        return tuple(read_entry(each) for each in changed.values())

    def _enter(self, index: LayoutIndex, opened: OpenedBundle, wish: _Wish) -> Publication:
        bundle = opened.bundle
        known = self._published(index)
        for entry, descriptor in known:
            if entry.id == bundle.id:
                return self._enter_again(index, descriptor, entry, opened, wish)
        line = [entry.id for entry, _ in known if entry.id.lineage == bundle.id.lineage]
        latest = max(line, key=lambda each: each.seq, default=None)
        current = _current(known, bundle.id.lineage)
        is_old = latest is not None and bundle.id.seq <= latest.seq
        if latest is not None and is_old and not wish.may_be_old:
            state = "current" if current is not None and current[0].id == latest else "published"
            raise BundleError(
                f"{bundle.id} is not newer than {latest}, which is {state}",
                advice=f"Give it a seq above {latest.seq}; to go back, roll nodes back to an archived bundle.",
            )
        if not wish.is_signed:  # first: where that fails nothing is entered; a run that is killed is gone on with
            self._trust.enter(bundle.id, opened.payload, bundle.digest, reason=wish.reason, min_seq=wish.min_seq)
        offered = offer(opened.index, bundle)
        if is_old:
            old = publish(offered, at=self._now(), reason=wish.reason, state=State.ARCHIVE)
            self._layout.swap(index.with_entries((*index.entries, old)))
            return Publication(read_entry(old))
        fresh = publish(offered, at=self._now(), reason=wish.reason)
        kept = tuple(
            put_into(each, State.ARCHIVE) if current is not None and each is current[1] else each
            for each in index.entries
        )
        self._layout.swap(index.with_entries((*kept, fresh)))
        return Publication(read_entry(fresh), archived=current[0].id if current is not None else None)

    def _enter_again(
        self, index: LayoutIndex, descriptor: Descriptor, entry: Entry, opened: OpenedBundle, wish: _Wish
    ) -> Publication:
        if entry.digest != opened.bundle.digest:
            raise BundleError(
                f"{entry.id} is already published with other content", advice="Give the new content a new seq."
            )
        if not wish.is_signed:
            self._trust.enter(entry.id, opened.payload, entry.digest, reason=entry.reason, min_seq=wish.min_seq)
        if descriptor.digest != opened.index.digest:  # the same content under a new signature
            signed = evolve(descriptor, digest=opened.index.digest, size=opened.index.size)
            entries = tuple(signed if each is descriptor else each for each in index.entries)
            self._layout.swap(index.with_entries(entries))
        return Publication(entry, was_published=True)

    def _find(self, bundle_id: BundleId) -> tuple[Entry, Descriptor]:
        return self._found(self._layout.index(), bundle_id)

    def _found(self, index: LayoutIndex, bundle_id: BundleId) -> tuple[Entry, Descriptor]:
        tag = str(bundle_id)
        match [each for each in index.entries if each.annotations.get(REF_NAME) == tag and is_published(each)]:
            case [descriptor]:
                return read_entry(descriptor), descriptor
            case []:
                lineage = [
                    str(entry.id) for entry, _ in self._published(index) if entry.id.lineage == bundle_id.lineage
                ]
                near = f"Of lineage {bundle_id.lineage} there are: {', '.join(lineage[-_NEAR:])}." if lineage else ""
                raise BundleNotFoundError(
                    f"there is no bundle {bundle_id} in {self.directory}",
                    advice=near or "See 'rackwave bundle list'.",
                )
            case _:
                raise _twice(bundle_id)

    def _published(self, index: LayoutIndex) -> tuple[tuple[Entry, Descriptor], ...]:
        """Read the published bundles of *index*, once as long as it is the same."""
        if self._known is None or self._known[0] is not index:
            self._known = (index, published(index))
        return self._known[1]

    def _open(self, bundle_id: BundleId) -> OpenedBundle:
        entry, descriptor = self._find(bundle_id)
        opened = open_bundle(self._layout, descriptor, self._trust, bundle_id=bundle_id)
        if opened.bundle.digest != entry.digest:
            raise StateError(
                f"index.json names another content for {bundle_id} than is stored: {entry.digest}",
                advice="Somebody edited index.json: restore it from a backup.",
            )
        return opened

    def _check(self, bundle_id: BundleId) -> Check:
        try:
            for blob in self._open(bundle_id).blobs:
                self._layout.blobs.verify(blob.digest)
        except (BundleError, StateError) as error:
            return Check(bundle_id, error)
        return Check(bundle_id)


def _single_bundle(layout: ImageLayout | BundleFile) -> tuple[Descriptor, BundleId]:
    if (layout.directory / SOURCE_NAME).exists():
        raise BundleError(
            f"{layout.directory} is the source of a bundle and is not built yet",
            advice=f"Run 'rackwave bundle build {layout.directory}', then publish what it wrote.",
        )
    offers = [(entry, offered_id(entry)) for entry in layout.index().entries]
    match [(entry, bundle_id) for entry, bundle_id in offers if bundle_id is not None]:
        case [(descriptor, bundle_id)]:
            return descriptor, bundle_id
        case bundles:
            raise BundleError(
                f"{layout.directory} holds {len(bundles)} bundles; one is published at a time",
                advice="Name the folder that 'rackwave bundle build --out' wrote.",
            )


def _twice(bundle_id: BundleId) -> StateError:
    return StateError(
        f"index.json names {bundle_id} twice", advice="Restore the repository's index.json from a backup."
    )


def _current(known: tuple[tuple[Entry, Descriptor], ...], lineage: Lineage) -> tuple[Entry, Descriptor] | None:
    return next(
        (pair for pair in known if pair[0].id.lineage == lineage and pair[0].state is State.CURRENT),
        None,
    )


def published(index: LayoutIndex) -> tuple[tuple[Entry, Descriptor], ...]:
    """Read the published bundles and refuse an index in which they cannot all be true."""
    known = [(read_entry(descriptor), descriptor) for descriptor in index.entries if is_published(descriptor)]
    seen: set[BundleId] = set()
    newest: dict[Lineage, Entry] = {}
    current: dict[Lineage, int] = {}
    for entry, _ in known:
        if entry.id in seen:
            raise _twice(entry.id)
        seen.add(entry.id)
        newest[entry.id.lineage] = max(entry, newest.get(entry.id.lineage, entry), key=lambda each: each.id.seq)
        current[entry.id.lineage] = current.get(entry.id.lineage, 0) + (entry.state is State.CURRENT)
    for entry, _ in known:
        if current[entry.id.lineage] != 1 and (entry.state is State.CURRENT or entry == newest[entry.id.lineage]):
            raise StateError(
                f"index.json calls {entry.id} {entry.state}, which does not fit the lineage's other bundles",
                advice="Restore the repository's index.json from a backup.",
            )
    return tuple(known)
