"""Where bundles lie under their ids: an image layout on disk or a registry, behind one interface.

Nothing that a depot says is believed. What it hands out has the digest that was asked for, or is
refused; which digests a bundle has is read from its signed manifest.
"""

from __future__ import annotations

from typing import Protocol

from .layout import INDEX_TYPE, MANIFEST_TYPE, Descriptor
from .store import BlobFolder

MAX_DOCUMENT = 4 * 1024 * 1024
"""Bytes of a manifest: what registries accept."""


class Readable(Protocol):
    """Bytes by digest, to be read: a depot, or a bundle in one file."""

    def read(self, blob: Descriptor, limit: int) -> bytes:
        """Return the bytes of a document of at most *limit* bytes, verified.

        Raises:
            BundleNotFoundError: it is not there.
            DigestMismatchError: it holds other bytes.
            BundleError: it is larger than *limit*.
        """
        ...

    def size(self, blob: Descriptor) -> int:
        """Return how many bytes are there, as the depot says, without reading them.

        Raises:
            BundleNotFoundError: it is not there.
        """
        ...

    def fetch(self, blob: Descriptor, into: BlobFolder) -> None:
        """Bring the bytes into *into*, verified and durable, or nothing. Memory stays at one chunk.

        Raises:
            BundleNotFoundError: it is not there.
            DigestMismatchError: it holds other bytes, or more or fewer of them.
            StateError: the disk is full.
        """
        ...


class Depot(Readable, Protocol):
    """The same to be written, and tags that name indexes. Implemented by ``ImageLayout`` and ``Registry``."""

    def tags(self) -> tuple[str, ...]:
        """Return every tag, in no order.

        Raises:
            RegistryError: the registry cannot be asked.
        """
        ...

    def resolve(self, tag: str) -> Descriptor:
        """Return what *tag* names. Anybody who can write to the depot can say so: verify what it leads to.

        Raises:
            BundleNotFoundError: there is no such tag.
        """
        ...

    def put(self, blob: Descriptor, source: BlobFolder) -> None:
        """Take the bytes in from *source*, unless they are here.

        Raises:
            DigestMismatchError: *source* holds other bytes.
        """
        ...

    def tag(self, tag: str, index: Descriptor, source: BlobFolder) -> None:
        """Take *index* in from *source* and name it *tag*: the last step, after all that it leads to."""
        ...


def is_document(blob: Descriptor) -> bool:
    """Whether it is a manifest or an index, which registries keep apart from blobs."""
    return blob.media_type in (INDEX_TYPE, MANIFEST_TYPE)
