"""One repository of a registry that speaks the OCI Distribution specification, v1.1. Implements ``Depot``.

- What is fetched is named by digest and size beforehand. A tag is only ever a hint: what it leads to
  is verified by signature (artifact.py).
- A pull that breaks off goes on where it stopped (``Range``), in this process or the next.
- An upload goes in pieces; where a piece breaks off the registry is asked how much of it it has.

https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md
"""

from __future__ import annotations

import hashlib
import re
import time
from http import HTTPStatus
from pathlib import Path
from typing import Self

from ..core.canonical import parse_json
from ..core.identity import Digest
from ..errors import (
    BundleNotFoundError,
    DigestMismatchError,
    ManifestError,
    RegistryCertificateError,
    RegistryUnreachableError,
)
from .address import RegistryAddress
from .depot import MAX_DOCUMENT, is_document
from .exchange import REDIRECTS, Exchange
from .layout import INDEX_TYPE, Descriptor
from .login import Login
from .store import BlobFolder, Incoming, mismatch
from .upload import Piece
from .wire import Answer, Bounds, Wire

PIECE = 64 * 1024 * 1024
"""Bytes of one piece of an upload: what is sent again, at most, when a connection breaks."""
MAX_TAGS = 100_000
_TRIES_IN_VAIN = 3  # how often in a row a transfer may break off without a byte having passed
_PAGE = 1000
_NEXT = re.compile(r'<([^>]{1,2048})>\s*;\s*rel="?next"?', re.IGNORECASE)
_TOLD = "Docker-Content-Digest"
_LIES = "Push the bundle again, and find out what the registry, or a proxy before it, does to what it stores."


class Registry:
    """A repository of a registry. One transfer at a time; not for several threads at once."""

    def __init__(
        self,
        address: RegistryAddress,
        *,
        login: Login | None = None,
        ca: Path | None = None,
        bounds: Bounds | None = None,
        piece: int = PIECE,
    ) -> None:
        """Say where it is; nothing is sent yet.

        Raises:
            UsageError: *ca* is no file.
        """
        self.address = address
        self._bounds = bounds or Bounds()
        self._wire = Wire(address.host, ca=ca, bounds=self._bounds)
        self._exchange = Exchange(address, login or Login(), self._wire)
        self._piece = piece

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()

    # -- reading -----------------------------------------------------------------------------------

    def tags(self) -> tuple[str, ...]:
        """Return every tag; none where nothing was ever pushed there.

        Raises:
            RegistryError: it cannot be asked, or its list has no end.
        """
        found: dict[str, None] = {}
        url: str | None = f"{self.address.base}/tags/list?n={_PAGE}"
        while url is not None:
            with self._exchange.ask("GET", url) as answer:
                if answer.status == HTTPStatus.NOT_FOUND:
                    return ()
                self._exchange.expect(answer, HTTPStatus.OK, "its list of tags")
                known = len(found)
                found.update(dict.fromkeys(self._tags(answer.read(MAX_DOCUMENT))))
                following = _NEXT.search(answer.headers.get("Link", "")[:4096])
            if len(found) > MAX_TAGS or (following and len(found) == known):
                raise self._exchange.lie("its list of tags has no end")
            url = self._exchange.own(following[1], "its list of tags goes on at") if following else None
        return tuple(found)

    def resolve(self, tag: str, *, kind: str = INDEX_TYPE) -> Descriptor:
        """Return what *tag* names: the digest is of the bytes that came, whatever the registry says it is.

        *kind* is the media type that it must have.

        Raises:
            BundleNotFoundError: there is no such tag.
            RegistryError: the registry cannot be asked, or answers what cannot be.
        """
        with self._exchange.ask("GET", f"{self.address.base}/manifests/{tag}", accept=kind) as answer:
            if answer.status == HTTPStatus.NOT_FOUND:
                raise BundleNotFoundError(
                    f"{self.address} has no {tag}", advice="'rackwave bundle tags' lists what it has."
                )
            self._exchange.expect(answer, HTTPStatus.OK, f"the manifest of {tag}")
            data = answer.read(MAX_DOCUMENT)
            told = answer.headers.get(_TOLD)
        digest = Digest("sha256:" + hashlib.sha256(data).hexdigest())
        if told is not None and told != digest:
            raise DigestMismatchError(
                f"{self.address} sent other bytes for {tag} than it says",
                expected=told[:80],
                found=digest,
                advice=_LIES,
            )
        return Descriptor(kind, digest, len(data))

    def read(self, blob: Descriptor, limit: int) -> bytes:
        """Return the bytes of a document of at most *limit* bytes, verified.

        Raises:
            BundleNotFoundError: it is not there.
            DigestMismatchError: other bytes came.
            RegistryError: the registry cannot be asked, or answers what cannot be.
        """
        if blob.size > limit:
            raise ManifestError(f"{blob.digest} is told to have {blob.size} bytes; at most {limit} are read")
        with self._exchange.get(blob) as answer:
            self._exchange.expect(answer, HTTPStatus.OK, str(blob.digest))
            data = answer.read(blob.size)
        found = "sha256:" + hashlib.sha256(data).hexdigest()
        if found != blob.digest:
            raise self._other_bytes(blob, found)
        return data

    def size(self, blob: Descriptor) -> int:
        """Return how many bytes the registry says it has.

        Raises:
            BundleNotFoundError: it has none.
            RegistryError: it cannot be asked.
        """
        found = self._held(blob)
        if found is None:
            raise self._exchange.missing(blob)
        return found

    def fetch(self, blob: Descriptor, into: BlobFolder) -> None:
        """Bring the bytes into *into*, verified and durable; what came before a break is kept for the next time.

        Raises:
            BundleNotFoundError: it is not there.
            DigestMismatchError: other bytes came. Nothing of them is kept.
            RegistryError: the registry cannot be asked, or answers what cannot be.
            StateError: the disk is full.
        """
        if is_document(blob):
            into.add_bytes(self.read(blob, MAX_DOCUMENT))
            return
        with into.resuming(blob.digest) as incoming:
            if incoming is None:
                return
            is_continued = incoming.size > 0
            try:
                self._receive(blob, incoming)
            except DigestMismatchError:
                if not is_continued:
                    raise
                self._receive(blob, incoming)  # all of it anew: what lay here may have been the damaged part

    # -- writing -----------------------------------------------------------------------------------

    def put(self, blob: Descriptor, source: BlobFolder) -> None:
        """Take the bytes in from *source*, unless the registry has them.

        Raises:
            DigestMismatchError: *source* holds other bytes.
            RegistryError: the registry cannot be asked, or does not take it.
        """
        if is_document(blob):
            self._put_manifest(str(blob.digest), blob, source)
        elif self._held(blob) is None:
            self._upload(blob, source)

    def tag(self, tag: str, index: Descriptor, source: BlobFolder) -> None:
        """Take *index* in and name it *tag*: the last step.

        Raises:
            DigestMismatchError: *source* holds other bytes.
            RegistryError: the registry cannot be asked, or does not take it.
        """
        self._put_manifest(tag, index, source)

    def _put_manifest(self, reference: str, blob: Descriptor, source: BlobFolder) -> None:
        data = source.read(blob.digest, MAX_DOCUMENT)
        url = f"{self.address.base}/manifests/{reference}"
        with self._exchange.ask("PUT", url, body=lambda: data, kind=blob.media_type) as answer:
            self._exchange.expect(answer, HTTPStatus.CREATED, f"the manifest {reference}")
            told = answer.headers.get(_TOLD, str(blob.digest))
        if told != blob.digest:
            raise DigestMismatchError(
                f"{self.address} stored the manifest {reference} as something else",
                expected=str(blob.digest),
                found=told[:80],
                advice=_LIES,
            )

    def _upload(self, blob: Descriptor, source: BlobFolder) -> None:
        """Send a blob in pieces, hashed on the way: it is only closed under its digest if it is what was named."""
        deadline = time.monotonic() + self._bounds.for_blob(blob.size)
        with self._exchange.ask("POST", f"{self.address.base}/blobs/uploads/") as answer:
            self._exchange.expect(answer, HTTPStatus.ACCEPTED, "an upload")
            location = self._location(answer)
        with source.opened(blob.digest) as file:
            hasher, sent, in_vain = hashlib.sha256(), 0, 0
            while sent < blob.size:
                piece = Piece(file, sent, min(self._piece, blob.size - sent), hasher)
                broken: RegistryUnreachableError | None = None
                try:
                    location, stored = self._send(location, piece, deadline)
                except RegistryCertificateError:
                    raise
                except RegistryUnreachableError as error:
                    broken = error
                    location, stored = self._stored(location)
                if not piece.start <= stored <= piece.end:
                    raise self._exchange.lie(f"of {piece.end} bytes that were sent it says it has {stored}")
                in_vain = 0 if stored > sent else in_vain + 1
                if in_vain >= _TRIES_IN_VAIN or (broken and time.monotonic() > deadline):
                    raise broken or self._exchange.lie("it takes bytes and says that it has none of them")
                hasher, sent = piece.hashed(stored), stored
            found = "sha256:" + hasher.hexdigest()
            if found != blob.digest or file.read(1):
                raise mismatch(blob.digest, found)
        url = f"{location}{'&' if '?' in location else '?'}digest={blob.digest}"
        with self._exchange.ask("PUT", url) as answer:
            self._exchange.expect(answer, HTTPStatus.CREATED, f"the blob {blob.digest}")

    def _send(self, location: str, piece: Piece, deadline: float) -> tuple[str, int]:
        left = max(1.0, deadline - time.monotonic())
        span = f"{piece.start}-{piece.end - 1}"
        with self._exchange.ask("PATCH", location, body=piece.rewound, span=span, seconds=left) as answer:
            self._exchange.expect(answer, HTTPStatus.ACCEPTED, f"bytes {span} of an upload")
            return self._location(answer), self._reached(answer, piece.end)

    def _stored(self, location: str) -> tuple[str, int]:
        with self._exchange.ask("GET", location) as answer:
            self._exchange.expect(answer, HTTPStatus.NO_CONTENT, "how far an upload is")
            return self._location(answer, location), self._reached(answer, 0)

    def _reached(self, answer: Answer, default: int) -> int:
        told = answer.headers.get("Range")
        if told is None:
            return default
        found = re.fullmatch(r"(?:bytes=)?0-(\d{1,15})", told)
        if found is None:
            raise self._exchange.lie(f"it says that it has the bytes {told[:40]!r} of an upload")
        last = int(found[1])
        return last + 1 if last or default == 1 else 0  # docker-registry 2.8 says 0-0 of none as well as of one

    def _location(self, answer: Answer, default: str = "") -> str:
        return self._exchange.own(answer.headers.get("Location", default), "it wants an upload sent to")

    # -- receiving ---------------------------------------------------------------------------------

    def _receive(self, blob: Descriptor, incoming: Incoming) -> None:
        """Write what is missing of *blob*, going on where the connection breaks, and put it in place."""
        deadline = time.monotonic() + self._bounds.for_blob(blob.size)
        if incoming.size > blob.size:
            incoming.start_again()
        in_vain = 0
        while incoming.size < blob.size:
            before, broken = incoming.size, None
            try:
                self._receive_once(blob, incoming, max(1.0, deadline - time.monotonic()))
            except RegistryCertificateError:
                raise
            except RegistryUnreachableError as error:
                broken = error
            in_vain = 0 if incoming.size > before else in_vain + 1
            if incoming.size < blob.size and (in_vain >= _TRIES_IN_VAIN or time.monotonic() > deadline):
                raise broken or RegistryUnreachableError(
                    f"{self.address} sent {incoming.size} of the {blob.size} bytes of {blob.digest}",
                    registry=self.address.host,
                )
        try:
            incoming.finish()
        except DigestMismatchError as error:
            raise self._other_bytes(blob, error.found) from error

    def _receive_once(self, blob: Descriptor, incoming: Incoming, seconds: float) -> None:
        start = incoming.size
        with self._exchange.get(blob, start=start, seconds=seconds) as answer:
            if answer.status == HTTPStatus.PARTIAL_CONTENT and start:
                told = answer.headers.get("Content-Range", "")
                if not told.startswith(f"bytes {start}-"):
                    raise self._exchange.lie(f"asked for the bytes from {start} on it sent {told[:40]!r}")
            else:
                self._exchange.expect(answer, HTTPStatus.OK, str(blob.digest))
                if start:  # it knows no ranges
                    incoming.start_again()
            for chunk in answer.chunks(blob.size - incoming.size):
                incoming.write(chunk)

    def _held(self, blob: Descriptor) -> int | None:
        accept = blob.media_type if is_document(blob) else ""
        with self._exchange.ask("HEAD", self._exchange.url(blob), accept=accept) as answer:
            if answer.status == HTTPStatus.NOT_FOUND:
                return None
            if answer.status not in REDIRECTS:
                self._exchange.expect(answer, HTTPStatus.OK, str(blob.digest))
                told = answer.headers.get("Content-Length", "")
                if re.fullmatch(r"\d{1,15}", told):
                    return int(told)
        return blob.size  # it does not say; what comes is counted

    def _tags(self, data: bytes) -> tuple[str, ...]:
        try:
            match parse_json(data, what="its list of tags"):
                case {"tags": None}:
                    return ()
                case {"tags": list(tags)} if all(isinstance(tag, str) for tag in tags):
                    return tuple(tags)
        except ManifestError as error:
            raise self._exchange.lie(str(error)) from error
        raise self._exchange.lie("its list of tags is none")

    def _other_bytes(self, blob: Descriptor, found: str) -> DigestMismatchError:
        return DigestMismatchError(
            f"{self.address} sent other bytes for {blob.digest}: {found}",
            expected=str(blob.digest),
            found=found,
            advice=_LIES,
        )
