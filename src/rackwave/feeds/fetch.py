"""Fetches files over HTTPS or from a folder: bounded in size and time, whole or not at all.

TLS is always verified. A redirect may lead to another host, as CDNs do, never from https to http.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import aiohttp
from attrs import field, frozen
from yarl import URL

from ..core.feed import Feed, FeedKind
from ..core.identity import Digest
from ..errors import FeedError, StateError
from .listing import Progress

MOST_PACKAGE = 16 << 30
"""Bytes that a package may have where its feed names no size; as many as an importer reads."""
_CHUNK = 1 << 20
_MOST_REDIRECTS: Final = 5
_LIST_TIMEOUT = aiohttp.ClientTimeout(total=300.0, connect=30.0, sock_read=60.0)
_PACKAGE_TIMEOUT = aiohttp.ClientTimeout(total=4 * 3600.0, connect=30.0, sock_read=60.0)
"""16 GiB at 10 Mbit/s take 3.8 hours. A server that goes silent is given up after a minute in either case."""


@frozen
class Fetched:
    """A feed's own file; *tag* is what its server calls this version of it, and *unchanged* that it still is."""

    data: bytes
    tag: str = ""
    unchanged: bool = False


@frozen
class Fetcher:
    """Fetches what *feed* names."""

    feed: Feed
    _tls: ssl.SSLContext | None = field(default=None, repr=False)

    @property
    def is_remote(self) -> bool:
        """Whether the feed is a URL rather than a path."""
        return "://" in self.feed.where

    async def whole(self, *, most: int, tag: str = "") -> Fetched:
        """Read the feed's own file.

        Args:
            most: Bytes that it may have.
            tag: The tag of the version that is known; that one is not sent again.

        Raises:
            FeedError: it cannot be read, or is larger than *most*.
        """
        if not self.is_remote:
            return Fetched(await asyncio.to_thread(self._read, Path(self.feed.where), most))
        data = bytearray()
        try:
            async with self._get(self.feed.where, _LIST_TIMEOUT, {"If-None-Match": tag} if tag else {}) as answer:
                if answer.status == 304 and tag:
                    return Fetched(b"", tag, unchanged=True)
                async for chunk in answer.content.iter_chunked(_CHUNK):
                    data += chunk
                    if len(data) > most:
                        raise self._error(f"it is larger than the {most} bytes that such a file may have")
                return Fetched(bytes(data), answer.headers.get("ETag", "")[:256])
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise self._down(self.feed.where, error) from error

    async def file(self, where: str, path: Path, *, digest: Digest, size: int | None, progress: Progress) -> None:
        """Fetch the file *where*, relative to the feed, to *path*; it appears there once it is whole and verified.

        Raises:
            FeedError: it cannot be had, or is not what *digest* and *size* say.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.part")
        found, got = hashlib.sha256(), 0
        try:
            with self._writable(draft) as out:
                async for chunk in self._chunks(where):
                    got += len(chunk)
                    if got > (MOST_PACKAGE if size is None else size):
                        raise self._lie(where, f"it is larger than the {size or MOST_PACKAGE} bytes that it should be")
                    found.update(chunk)
                    await asyncio.to_thread(out.write, chunk)
                    progress(got, size)
                out.flush()
                await asyncio.to_thread(os.fsync, out.fileno())
            if size is not None and got != size:
                raise self._lie(where, f"it ended after {got} of {size} bytes")
            if found.hexdigest() != digest.hex:
                raise self._lie(where, f"its sha256 is {found.hexdigest()}, and the feed says {digest.hex}")
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    @contextmanager
    def _writable(self, draft: Path) -> Iterator[BinaryIO]:
        try:
            with draft.open("wb") as out:
                yield out
        except OSError as error:
            raise StateError(
                f"{draft.parent} cannot be written: {error.strerror}", advice="Check the disk's space and its rights."
            ) from error

    async def _chunks(self, where: str) -> AsyncIterator[bytes]:
        if not self.is_remote:
            try:
                with self._beside(where).open("rb") as file:
                    while chunk := await asyncio.to_thread(file.read, _CHUNK):
                        yield chunk
            except OSError as error:
                raise self._error(f"{where} cannot be read: {error.strerror}") from error
            return
        try:
            url = str(URL(self.feed.where).join(URL(where)))
            async with self._get(url, _PACKAGE_TIMEOUT, {}) as answer:
                async for chunk in answer.content.iter_chunked(_CHUNK):
                    yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise self._down(where, error) from error

    @asynccontextmanager
    async def _get(
        self, url: str, timeout: aiohttp.ClientTimeout, headers: dict[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        # Bytes as they are: what is compressed is bounded where it is inflated.
        asked = {"Accept-Encoding": "identity", "User-Agent": "rackwave", **headers}
        connector = aiohttp.TCPConnector(ssl=self._tls if self._tls is not None else True)
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, auto_decompress=False, trust_env=True
        ) as session:
            target = URL(url)
            for _ in range(_MOST_REDIRECTS + 1):
                self._check(target)
                async with session.get(target, headers=asked, allow_redirects=False) as answer:
                    if answer.status in (301, 302, 303, 307, 308) and "Location" in answer.headers:
                        target = target.join(URL(answer.headers["Location"]))
                        continue
                    if answer.status not in (200, 304):
                        raise self._error(f"{target.host} answers {answer.status} {answer.reason or ''}".rstrip())
                    yield answer
                    return
            raise self._error(f"{target.host} redirects more than {_MOST_REDIRECTS} times")

    def _check(self, url: URL) -> None:
        allowed = ("https", "http") if self.feed.insecure_http else ("https",)
        if url.scheme not in allowed:
            advice = "Use https, or allow it with insecure_http = true."
            raise self._error(f"it leads to {url.scheme}:, without TLS", advice)
        if url.user is not None:
            raise self._error("it leads to an address with credentials in it")

    def _read(self, path: Path, most: int) -> bytes:
        try:
            with path.open("rb") as file:
                data = file.read(most + 1)
        except OSError as error:
            raise self._error(f"{path} cannot be read: {error.strerror}") from error
        if len(data) > most:
            raise self._error(f"{path} is larger than the {most} bytes that such a file may have")
        return data

    def _beside(self, where: str) -> Path:
        """Return the file that a feed on disk names: one in its own folder, or below."""
        place = Path(self.feed.where)
        folder = (place if self.feed.kind is FeedKind.FOLDER else place.parent).resolve()
        path = (folder / where.removeprefix("file:")).resolve() if "\0" not in where else folder
        if not path.is_relative_to(folder) or not path.is_file():
            raise self._error(f"it names {where[:200]!r}, and there is no such file beside it")
        return path

    def _down(self, where: str, error: Exception) -> FeedError:
        said = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
        host = URL(where).host if "://" in where else where
        return self._error(f"{host or where} cannot be reached: {said}", "Check the address, the network and the CA.")

    def _lie(self, where: str, what: str) -> FeedError:
        advice = "Nothing was taken. It is fetched again at the next look; if it stays so, tell the feed's publisher."
        return self._error(f"{where} is damaged, or not what the feed says: {what}", advice)

    def _error(self, what: str, advice: str = "") -> FeedError:
        return FeedError(what, feed=self.feed.name, advice=advice)


def fetcher(feed: Feed) -> Fetcher:
    """Return what fetches for *feed*, with the CA that it names, if any.

    Raises:
        FeedError: the CA cannot be used.
    """
    if not feed.ca:
        return Fetcher(feed)
    try:
        return Fetcher(feed, ssl.create_default_context(cafile=feed.ca))
    except (OSError, ssl.SSLError) as error:
        raise FeedError(f"its CA {feed.ca} cannot be used: {error}", feed=feed.name) from error
