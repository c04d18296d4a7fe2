"""A bundle as one file, for a site without a line: an OCI image layout in an uncompressed tar file.

Two exports of one bundle are identical to the bit. Other tools know it as ``oci-archive``.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import tarfile
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from ..core.canonical import canonical_json, parse_json
from ..core.identity import Digest
from ..errors import BundleError, BundleNotFoundError, ManifestError, UsageError
from .artifact import OpenedBundle
from .entry import offer
from .layout import MARKER, MAX_INDEX, Descriptor, ImageLayout, LayoutIndex, read_index
from .store import CHUNK, BlobFolder, mismatch, sync_folder, writing_to
from .tar import Member, members, refused

_NAMES = re.compile(r"oci-layout|index\.json|blobs/sha256/[0-9a-f]{64}")


class BundleFile:
    """A bundle in a file that somebody gave us: nothing is unpacked, nothing believed."""

    def __init__(self, path: Path) -> None:
        """Look at what it consists of.

        Raises:
            BundleError: it is no such file, or holds what does not belong there.
        """
        self.directory = path
        self._members = members(path)
        for name in self._members:
            if not _NAMES.fullmatch(name):
                raise refused(path, f"{name[:100]!r} does not belong into one")

    def index(self) -> LayoutIndex:
        """Read its ``index.json``.

        Raises:
            BundleError: it has none, or it cannot be read.
        """
        member = self._members.get("index.json")
        if member is None or "oci-layout" not in self._members or member.size > MAX_INDEX:
            raise refused(self.directory, "it holds no image layout, or one that is too large")
        with self.directory.open("rb") as file:
            try:
                return read_index(parse_json(_Section(file, member).read(), what="index.json"))
            except ManifestError as error:
                raise BundleError(f"{self.directory}: {error}") from error

    def read(self, blob: Descriptor, limit: int) -> bytes:
        """Return the bytes of a document of at most *limit* bytes, verified.

        Raises:
            BundleNotFoundError: it is not there.
            DigestMismatchError: it holds other bytes.
            BundleError: it is larger than *limit*.
        """
        member = self._member(blob)
        if member.size > limit:
            raise BundleError(f"{blob.digest} is larger than the {limit} bytes that such a document may have")
        with self.directory.open("rb") as file:
            data = _Section(file, member).read()
        found = "sha256:" + hashlib.sha256(data).hexdigest()
        if found != blob.digest:
            raise mismatch(blob.digest, found)
        return data

    def size(self, blob: Descriptor) -> int:
        """Return how many bytes it has of a blob."""
        return self._member(blob).size

    def fetch(self, blob: Descriptor, into: BlobFolder) -> None:
        """Copy a blob to *into*, verified (``BlobFolder.add_expected``)."""
        with self.directory.open("rb") as file:
            into.add_expected(_Section(file, self._member(blob)), digest=blob.digest, size=blob.size)

    def verify(self, blob: Descriptor) -> None:
        """Hash a blob.

        Raises:
            DigestMismatchError: it holds other bytes.
        """
        hasher = hashlib.sha256()
        with self.directory.open("rb") as file:
            section = _Section(file, self._member(blob))
            while chunk := section.read(CHUNK):
                hasher.update(chunk)
        if hasher.hexdigest() != blob.digest.hex:
            raise mismatch(blob.digest, "sha256:" + hasher.hexdigest())

    def _member(self, blob: Descriptor) -> Member:
        member = self._members.get(f"blobs/sha256/{blob.digest.hex}")
        if member is None:
            raise BundleNotFoundError(f"{self.directory} has no blob {blob.digest}", advice="Ask for the file again.")
        return member


class _Section:
    """A part of a file, to be read from its start."""

    def __init__(self, file: BinaryIO, member: Member) -> None:
        self._file = file
        self._left = member.size
        file.seek(member.offset)

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(chunk)
        return chunk


def write_bundle_file(layout: ImageLayout, opened: OpenedBundle, out: Path) -> int:
    """Write a bundle to *out*, whole or not at all, verified as it is read; return how many bytes that are.

    Raises:
        UsageError: *out* is there already.
        DigestMismatchError: the bundle is damaged.
        StateError: the disk is full, or nothing may be written there.
    """
    if out.exists():
        raise UsageError(f"{out} is there already", advice="Name another file with --out.")
    index = LayoutIndex((offer(opened.index, opened.bundle),))
    draft = out.with_name(f".{out.name}.{secrets.token_hex(8)}")
    try:
        with writing_to(out.parent), draft.open("xb") as file:
            # pax: for a member of more than 8 GiB; any other has the same bytes in every format
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                for name, data in (("oci-layout", MARKER), ("index.json", canonical_json(index.document()))):
                    tar.addfile(_info(name, len(data)), BytesIO(data))
                for blob in sorted(opened.blobs, key=lambda blob: blob.digest):
                    with layout.blobs.opened(blob.digest) as source:
                        hashing = _Hashing(source)
                        tar.addfile(_info(f"blobs/sha256/{blob.digest.hex}", blob.size), hashing)
                        hashing.check(blob.digest)
            size = file.tell()
            file.flush()
            os.fsync(file.fileno())
        draft.rename(out)
        sync_folder(out.parent)
    finally:
        draft.unlink(missing_ok=True)
    return size


def _info(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info


class _Hashing:
    """A file that is hashed as it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hasher = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        self._hasher.update(chunk)
        return chunk

    def check(self, digest: Digest) -> None:
        found = "sha256:" + self._hasher.hexdigest()
        if found != digest or self._file.read(1):
            raise mismatch(digest, found)
