"""Bytes by digest in an OCI image layout on disk, verified whenever they are handed out.

Rules:

- New bytes go to ``ingest/``, are hashed while they are copied, fsynced, then put in place by
  ``os.replace``; the folder is fsynced after that. A blob under its digest is therefore complete,
  also after a kill or a power cut.
- A blob is never changed in place. What is damaged is healed by adding it again.
- Memory stays at one chunk, whatever the size (measured: 1 GiB added within 64 MB of memory).

https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Protocol

from ..core.identity import Digest
from ..errors import BundleError, BundleNotFoundError, DigestMismatchError, StateError

CHUNK = 1024 * 1024
_SETTLED = 100_000_000  # ns; a file system's clock ticks at 1 to 10 ms, so that a write within a tick leaves no trace


class Reader(Protocol):
    """What bytes can be read from."""

    def read(self, size: int = -1, /) -> bytes:
        """Read on, at most *size* bytes."""
        ...


Stamp = tuple[int, int, int, int, int]


class BlobFolder:
    """The ``blobs/sha256`` of an image layout. Implements ``rackwave.ports.BlobStore``.

    What was verified once in this process is not hashed again for each of a thousand nodes, as long
    as its device, inode, size, mtime and ctime are the same. That is sound against everything that
    goes through the file system: nobody can set a ctime, and we only ever replace whole files, which
    gives a new inode. Only rot beneath the file system after the first reading escapes it; ``verify``
    always hashes.
    """

    def __init__(self, directory: Path) -> None:
        self._blobs = directory / "blobs" / "sha256"
        self._ingest = directory / "ingest"
        self._partial = directory / "partial"
        self._verified: dict[Digest, Stamp] = {}
        self._hashing = threading.Lock()

    @property
    def folder(self) -> Path:
        """Where the blobs lie, each under its digest."""
        return self._blobs

    def add_file(self, source: Path | BinaryIO) -> tuple[Digest, int]:
        """Copy *source* in and return its digest and size. Afterwards it is durable."""
        return self._add(source, expected=None, limit=None)

    def add_bytes(self, data: bytes) -> tuple[Digest, int]:
        """Put a small blob in."""
        digest = Digest("sha256:" + hashlib.sha256(data).hexdigest())
        with ingesting(self._ingest) as (path, file):
            file.write(data)
            self._place(path, file, digest)
        return digest, len(data)

    def add_expected(self, source: Path | Reader, *, digest: Digest, size: int) -> None:
        """Copy *source* in if it is what was named, and nothing if it is not.

        Raises:
            DigestMismatchError: *source* holds other bytes, or more of them.
        """
        self._add(source, expected=digest, limit=size)

    @contextmanager
    def resuming(self, digest: Digest) -> Iterator[Incoming | None]:
        """Open what has arrived of a blob so far; None where all of it came while we waited for another process.

        What stays unfinished when the block is left, or the process dies, is there for the next one.

        Raises:
            StateError: the disk is full, or nothing may be written there.
        """
        with writing_to(self._partial.parent):
            self._partial.mkdir(parents=True, exist_ok=True)
            path = self._partial / digest.hex
            while True:
                file = path.open("a+b")
                fcntl.flock(file, fcntl.LOCK_EX)
                if os.fstat(file.fileno()).st_nlink:
                    break
                file.close()  # put in place, or removed, while we waited
                if self.file(digest).exists():
                    yield None
                    return
            with file:
                yield Incoming(path, file, digest, self._place)

    def remove_partial(self) -> int:
        """Remove what never arrived whole; return how many bytes that were."""
        freed = 0
        with suppress(FileNotFoundError):
            for path in self._partial.iterdir():
                with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    freed += os.fstat(file.fileno()).st_size
                    path.unlink()
        return freed

    def path(self, digest: Digest) -> Path:
        """Return where the blob lies, after its bytes were verified against *digest*.

        Raises:
            DigestMismatchError: the bytes on disk are not the bytes named.
            BundleNotFoundError: no such blob.
        """
        with self._open(digest) as file:
            if self._verified.get(digest) != stamp(file):
                with self._hashing:  # the nodes of a wave ask at once: the first hashes, the others wait
                    if self._verified.get(digest) != stamp(file):
                        self._verify(digest, file)
        return self.file(digest)

    def verify(self, digest: Digest) -> int:
        """Hash the blob, whatever is remembered of it, and return its size.

        Raises:
            DigestMismatchError: the bytes on disk are not the bytes named.
            BundleNotFoundError: no such blob.
        """
        self._verified.pop(digest, None)
        with self._open(digest) as file:
            return self._verify(digest, file)

    def file(self, digest: Digest) -> Path:
        """Return where the blob should lie; nothing is verified, so verify what is read from there."""
        return self._blobs / digest.hex

    @contextmanager
    def opened(self, digest: Digest) -> Iterator[BinaryIO]:
        """Open a blob for whoever verifies what is read from it.

        Raises:
            BundleNotFoundError: no such blob.
        """
        with self._open(digest) as file:
            yield file

    def size(self, digest: Digest) -> int:
        """Return the size of the blob without reading it.

        Raises:
            BundleNotFoundError: no such blob.
        """
        with self._open(digest) as file:
            return os.fstat(file.fileno()).st_size

    def read(self, digest: Digest, limit: int) -> bytes:
        """Return the bytes of a blob of at most *limit* bytes, verified.

        Raises:
            BundleError: it is larger than *limit*.
            DigestMismatchError: the bytes on disk are not the bytes named.
            BundleNotFoundError: no such blob.
        """
        with self._open(digest) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise BundleError(f"{digest} is larger than the {limit} bytes that such a document may have")
        found = "sha256:" + hashlib.sha256(data).hexdigest()
        if found != digest:
            raise mismatch(digest, found)
        return data

    def sweep(self) -> None:
        """Remove what killed processes left in ``ingest/``; whoever still writes holds a lock on it."""
        with suppress(FileNotFoundError):
            for path in self._ingest.iterdir():
                with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()

    def _add(self, source: Path | Reader, *, expected: Digest | None, limit: int | None) -> tuple[Digest, int]:
        if isinstance(source, Path):
            try:
                opened = source.open("rb")
            except OSError as error:
                raise BundleError(f"{source} cannot be read: {error.strerror}") from error
            with opened:
                return self._add(opened, expected=expected, limit=limit)
        hasher = hashlib.sha256()
        size = 0
        with ingesting(self._ingest) as (path, file):
            while chunk := source.read(CHUNK):
                size += len(chunk)
                if limit is not None and size > limit:
                    break  # endless data under a small name; the digest cannot match any more
                hasher.update(chunk)
                file.write(chunk)
            digest = Digest("sha256:" + hasher.hexdigest())
            if expected is not None and (digest != expected or size != limit):
                found = f"more than {limit} bytes" if limit is not None and size > limit else str(digest)
                raise mismatch(expected, found)
            self._place(path, file, digest)
        return digest, size

    def _place(self, path: Path, file: BinaryIO, digest: Digest) -> None:
        file.flush()
        os.fchmod(file.fileno(), 0o444)  # nobody edits a blob by accident
        os.fsync(file.fileno())
        if not self._blobs.is_dir():
            self._blobs.mkdir(parents=True, exist_ok=True)
            sync_folder(self._blobs.parent)
        path.replace(self.file(digest))
        sync_folder(self._blobs)

    def _verify(self, digest: Digest, file: BufferedReader) -> int:
        before = stamp(file)
        was_at_rest = is_at_rest(before)
        found = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
        if found != digest:
            self._verified.pop(digest, None)
            raise mismatch(digest, found)
        if was_at_rest and stamp(file) == before:
            self._verified[digest] = before
        return before[2]

    def _open(self, digest: Digest) -> BufferedReader:
        try:
            return self.file(digest).open("rb")
        except FileNotFoundError as error:
            raise BundleNotFoundError(
                f"the repository has no blob {digest}", advice="Publish the bundle again from its source."
            ) from error


class Incoming:
    """A blob on its way in: hashed as it is written, put in place once it is what was named."""

    def __init__(
        self, path: Path, file: BinaryIO, digest: Digest, place: Callable[[Path, BinaryIO, Digest], None]
    ) -> None:
        self._path = path
        self._file = file
        self._digest = digest
        self._place = place
        self._hasher = hashlib.sha256()
        self.size = 0
        file.seek(0)
        while chunk := file.read(CHUNK):  # from an earlier time; it is believed no more than what comes
            self._hasher.update(chunk)
            self.size += len(chunk)

    def write(self, chunk: bytes) -> None:
        """Add what came next."""
        self._file.write(chunk)
        self._hasher.update(chunk)
        self.size += len(chunk)

    def start_again(self) -> None:
        """Throw away what has arrived."""
        self._file.truncate(0)
        self._hasher = hashlib.sha256()
        self.size = 0

    def finish(self) -> None:
        """Put the blob in place, durably.

        Raises:
            DigestMismatchError: it is not what was named; what has arrived is gone.
        """
        found = "sha256:" + self._hasher.hexdigest()
        if found != self._digest:
            self.start_again()
            raise mismatch(self._digest, found)
        self._place(self._path, self._file, self._digest)


@contextmanager
def ingesting(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Open a new file in *folder*, locked against ``BlobFolder.sweep`` and gone unless it was moved away.

    Raises:
        StateError: the disk is full, or nothing may be written there.
    """
    with writing_to(folder.parent):
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            path = folder / f"{os.getpid()}-{secrets.token_hex(8)}"
            file = path.open("xb")
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_nlink:
                break
            file.close()  # swept in the instant between its creation and its lock
        try:
            with file:
                yield path, file
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def writing_to(directory: Path) -> Iterator[None]:
    """Turn what the file system refuses meanwhile into a StateError that names *directory*."""
    try:
        yield
    except OSError as error:
        raise StateError(
            f"{directory} cannot be written to: {error.strerror}", advice="Check its permissions and the disk's space."
        ) from error


def replace_file(path: Path, data: bytes, *, mode: int, exist_ok: bool = True) -> None:
    """Write a small file whole or not at all, durably, with *mode* from its first moment on.

    Raises:
        FileExistsError: it exists and *exist_ok* is false.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if exist_ok:
            draft.replace(path)
        else:
            path.hardlink_to(draft)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def stamp(file: BinaryIO) -> Stamp:
    """Return what changes when the file does, by way of the file system: device, inode, size, mtime and ctime."""
    seen = os.fstat(file.fileno())
    return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns


def is_at_rest(seen: Stamp) -> bool:
    """Whether the file was last written so long ago that another write would have changed its stamp."""
    return time.time_ns() - max(seen[3], seen[4]) > _SETTLED  # by the stamp's own clock


def mismatch(expected: Digest, found: str) -> DigestMismatchError:
    """Return the error for a blob that holds other bytes."""
    return DigestMismatchError(f"the blob {expected} holds other bytes: {found}", expected=str(expected), found=found)
