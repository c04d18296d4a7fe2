"""An OCI image layout on disk: its blobs, and the ``index.json`` that names what is in it.

``index.json`` is the only file that ever changes. It is replaced whole, under a lock, after every
blob that it names is durable; so whoever opens the layout, at whatever moment its writer died, sees
the layout before or after, never between.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from ..core.bundle import frozen_map
from ..core.canonical import canonical_json, parse_json
from ..core.identity import Digest
from ..errors import BundleNotFoundError, DigestMismatchError, ManifestError, StateError, UsageError
from .store import BlobFolder, Stamp, ingesting, is_at_rest, stamp, sync_folder, writing_to

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
REF_NAME = "org.opencontainers.image.ref.name"
TITLE = "org.opencontainers.image.title"
CREATED = "org.opencontainers.image.created"

MAX_INDEX = 32 * 1024 * 1024  # some 50,000 bundles; more belong in a registry
MAX_VALUES = 2_000_000
MAX_DESCRIPTOR_SIZE = 2**40

MARKER = b'{"imageLayoutVersion":"1.0.0"}'
_DAMAGED = "Restore the repository's index.json from a backup; the blobs beside it are not lost."


@frozen
class Descriptor:
    """How OCI names some bytes: type, digest, size, and what is said about them."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(factory=dict, converter=frozen_map)
    extra: Mapping[str, Any] = field(factory=dict, converter=frozen_map)

    @classmethod
    def from_document(cls, document: Any, what: str) -> Descriptor:
        """Read a descriptor.

        Raises:
            ManifestError: it is none.
        """
        match document:
            case {"mediaType": str(media_type), "digest": str(digest), "size": int(size), **rest} if (
                not isinstance(size, bool) and 0 <= size <= MAX_DESCRIPTOR_SIZE
            ):
                annotations = rest.pop("annotations", {})
            case _:
                raise ManifestError(f"{what}: is not a descriptor with mediaType, digest and size")
        if not isinstance(annotations, dict) or not all(isinstance(value, str) for value in annotations.values()):
            raise ManifestError(f"{what}.annotations: must be a table of texts")
        try:
            name = Digest(digest)
        except UsageError as error:
            raise ManifestError(f"{what}.digest: {error}") from error
        return cls(media_type, name, size, annotations, rest)

    def document(self) -> dict[str, Any]:
        """Write it as plain JSON values."""
        annotations = {"annotations": dict(self.annotations)} if self.annotations else {}
        return {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": self.size,
            **annotations,
            **self.extra,
        }


@frozen
class LayoutIndex:
    """What ``index.json`` says: *entries* in the order in which they were added, and what others wrote."""

    entries: tuple[Descriptor, ...] = ()
    extra: Mapping[str, Any] = field(factory=dict, converter=frozen_map)

    def with_entries(self, entries: tuple[Descriptor, ...]) -> LayoutIndex:
        """Return the index with other entries."""
        return evolve(self, entries=entries)

    def document(self) -> dict[str, Any]:
        """Write it as plain JSON values."""
        return {
            **self.extra,
            "schemaVersion": 2,
            "mediaType": INDEX_TYPE,
            "manifests": [entry.document() for entry in self.entries],
        }


class ImageLayout:
    """A folder that is an OCI image layout, or an empty or absent one that becomes one when written to."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.blobs = BlobFolder(directory)
        self._read: tuple[Stamp, LayoutIndex] | None = None

    def index(self) -> LayoutIndex:
        """Read ``index.json``; a folder that is empty or not there yet holds nothing.

        It is not read again while the file is the same: it is only ever replaced whole, by a new inode.

        Raises:
            StateError: the folder is something else, or its ``index.json`` is damaged.
        """
        try:
            with (self.directory / "index.json").open("rb") as file:
                seen = stamp(file)
                if self._read is not None and self._read[0] == seen:
                    return self._read[1]
                data = file.read(MAX_INDEX + 1)
        except FileNotFoundError:
            self._check_fresh()
            return LayoutIndex()
        except NotADirectoryError as error:
            raise StateError(f"{self.directory} is not a folder") from error
        if len(data) > MAX_INDEX:
            raise StateError(f"{self.directory / 'index.json'} is larger than {MAX_INDEX} bytes", advice=_DAMAGED)
        try:
            index = read_index(parse_json(data, what="index.json", most=MAX_VALUES))
        except ManifestError as error:
            raise StateError(f"{self.directory}: {error}", advice=_DAMAGED) from error
        self._read = (seen, index) if is_at_rest(seen) else None
        return index

    # -- as a depot ------------------------------------------------------------------------------

    def tags(self) -> tuple[str, ...]:
        """Return every tag."""
        return tuple(entry.annotations[REF_NAME] for entry in self.index().entries if REF_NAME in entry.annotations)

    def resolve(self, tag: str) -> Descriptor:
        """Return what *tag* names.

        Raises:
            BundleNotFoundError: there is no such tag.
        """
        for entry in self.index().entries:
            if entry.annotations.get(REF_NAME) == tag:
                return entry
        raise BundleNotFoundError(f"there is no {tag} in {self.directory}")

    def read(self, blob: Descriptor, limit: int) -> bytes:
        """Return the bytes of a document, verified (``BlobFolder.read``)."""
        return self.blobs.read(blob.digest, limit)

    def size(self, blob: Descriptor) -> int:
        """Return how many bytes the blob's file has."""
        return self.blobs.size(blob.digest)

    def fetch(self, blob: Descriptor, into: BlobFolder) -> None:
        """Copy a blob to *into*, verified (``BlobFolder.add_expected``)."""
        into.add_expected(self.blobs.file(blob.digest), digest=blob.digest, size=blob.size)

    def verify(self, blob: Descriptor) -> None:
        """Hash a blob (``BlobFolder.verify``)."""
        self.blobs.verify(blob.digest)

    def put(self, blob: Descriptor, source: BlobFolder) -> None:
        """Copy a blob from *source*, unless it is here and sound."""
        try:
            self.blobs.path(blob.digest)
        except (BundleNotFoundError, DigestMismatchError):
            self.blobs.add_expected(source.file(blob.digest), digest=blob.digest, size=blob.size)

    def tag(self, tag: str, index: Descriptor, source: BlobFolder) -> None:
        """Enter *index* in ``index.json`` under *tag*, in place of what had it before."""
        self.put(index, source)
        named = evolve(index, annotations={**index.annotations, REF_NAME: tag})
        with self.locked() as known:
            others = tuple(entry for entry in known.entries if entry.annotations.get(REF_NAME) != tag)
            self.swap(known.with_entries((*others, named)))

    # -- changing index.json -----------------------------------------------------------------------

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep ``garbage.collect`` out while blobs are here that no index names yet; shared by all who add some.

        Raises:
            StateError: nothing may be written here.
        """
        with self._lock(".use", fcntl.LOCK_SH):
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep everybody out who adds blobs.

        Raises:
            StateError: somebody is at it.
        """
        try:
            with self._lock(".use", fcntl.LOCK_EX | fcntl.LOCK_NB):
                yield
        except BlockingIOError as error:
            raise StateError(
                f"{self.directory} is in use: something is being published, pulled or cleared away",
                advice="Run it again when that is done.",
            ) from error

    @contextmanager
    def locked(self) -> Iterator[LayoutIndex]:
        """Hold the lock that writers of ``index.json`` share, across processes, and hand out the index.

        The kernel lets go of it when its holder dies. Only the swap happens under it, never a copy
        of gigabytes, so nobody waits long.
        """
        with self._lock(".lock", fcntl.LOCK_EX):
            yield self.index()

    def swap(self, index: LayoutIndex) -> None:
        """Put *index* in place of ``index.json`` in one step. Call it under ``locked``."""
        if not (self.directory / "oci-layout").exists():  # the marker last: with it, index.json must be there
            if not (self.directory / "index.json").exists():
                self._write("index.json", canonical_json(LayoutIndex().document()))
            self._write("oci-layout", MARKER)
        self._write("index.json", canonical_json(index.document()))

    @contextmanager
    def _lock(self, name: str, how: int) -> Iterator[None]:
        with writing_to(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            lock = (self.directory / name).open("ab")
        with lock:
            fcntl.flock(lock, how)
            yield

    def _write(self, name: str, data: bytes) -> None:
        with ingesting(self.directory / "ingest") as (path, file):
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            path.replace(self.directory / name)
        sync_folder(self.directory)

    def _check_fresh(self) -> None:
        """Refuse a folder that lost its ``index.json``, or that was never ours to write into."""
        if not self.directory.exists():
            return
        if not self.directory.is_dir():
            raise StateError(f"{self.directory} is not a folder")
        names = {path.name for path in self.directory.iterdir()}
        if "oci-layout" in names:
            raise StateError(f"{self.directory} has lost its index.json", advice=_DAMAGED)
        foreign = names - {"blobs", "ingest", "partial", ".lock", ".use", "tuf"}
        if foreign:
            raise StateError(
                f"{self.directory} is not an OCI image layout: it holds {sorted(foreign)[0]!r} and no index.json",
                advice="Name the repository's own folder, or an empty one.",
            )


def read_index(document: Any) -> LayoutIndex:
    """Read an ``index.json``.

    Raises:
        ManifestError: it is none.
    """
    match document:
        case {"schemaVersion": 2, "manifests": list(entries), **rest}:
            rest.pop("mediaType", None)
            return LayoutIndex(
                tuple(
                    Descriptor.from_document(entry, f"index.json: manifests[{place}]")
                    for place, entry in enumerate(entries)
                ),
                rest,
            )
        case _:
            shown = json.dumps(document)[:80]
            raise ManifestError(f"index.json is not an OCI image index: {shown}")
