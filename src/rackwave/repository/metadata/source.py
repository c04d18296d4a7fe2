"""Where signed metadata is fetched from: a small port, and the repository on our own disk behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    SlowRetrievalError,
)
from tuf.ngclient import FetcherInterface

MAX_FILE = 16 * 1024 * 1024
_CHUNK = 256 * 1024


class MetadataSource(Protocol):
    """A repository's folder of signed metadata, near or far."""

    def fetch(self, path: str, max_length: int) -> Iterator[bytes]:
        """Yield the bytes of *path* (``metadata/timestamp.json``, ``targets/channels/…``) as they arrive.

        It may stop after *max_length* bytes and one more; the caller counts them, too. Whoever waits for a network
        yields at least every few seconds, if need be an empty chunk, so that the caller's deadline is looked at.

        Raises:
            FileNotFoundError: there is no such file.
            OSError: it cannot be fetched.
        """
        ...


class LocalSource:
    """The folder ``tuf`` of a repository on this machine's disks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fetch(self, path: str, max_length: int) -> Iterator[bytes]:
        """See ``MetadataSource``."""
        left = max_length + 1
        with (self._folder / path).open("rb") as file:
            while left > 0 and (chunk := file.read(min(left, _CHUNK))):
                left -= len(chunk)
                yield chunk


class DeadlineFetcher(FetcherInterface):
    """Fetches for python-tuf from a source, all of it by one deadline: a byte now and then does not keep it alive."""

    def __init__(self, source: MetadataSource, *, seconds: float, monotonic: Callable[[], float]) -> None:
        self._source = source
        self._seconds = seconds
        self._monotonic = monotonic
        self._until = monotonic() + seconds

    def _fetch(self, url: str) -> Iterator[bytes]:
        return self._chunks(url, MAX_FILE)

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """Return the bytes at *url*, at most *max_length*."""
        return b"".join(self._chunks(url, max_length))

    def _chunks(self, url: str, max_length: int) -> Iterator[bytes]:
        size = 0
        try:
            for chunk in self._source.fetch(url, max_length):
                size += len(chunk)
                if size > max_length:
                    raise DownloadLengthMismatchError(f"{url} is larger than the {max_length} bytes it may have")
                if self._monotonic() > self._until:
                    raise SlowRetrievalError(
                        f"{url}: {size} bytes came, and the {self._seconds:.0f} s for all are over"
                    )
                yield chunk
        except FileNotFoundError as error:
            raise DownloadHTTPError(f"there is no {url}", 404) from error
        except OSError as error:
            raise DownloadError(f"{url} cannot be fetched: {error.strerror or error}") from error
