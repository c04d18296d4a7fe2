"""Inflates a feed's file, whatever it is packed with, and never to more than was allowed."""

from __future__ import annotations

import lzma
import zlib
from typing import Protocol

from ..core.feed import Feed
from ..errors import FeedError

MOST_PACKED = 64 << 20
"""Bytes of a feed as it comes. LVFS's whole catalogue is some 3 MB packed and 40 MB of XML."""
MOST_INFLATED = 256 << 20
_GZIP, _XZ, _ZSTD = b"\x1f\x8b", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"
_XZ_MEMORY = 256 << 20


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def inflate(feed: Feed, data: bytes) -> bytes:
    """Return what *data*, which may be packed by gzip or xz, holds.

    Raises:
        FeedError: it is damaged, packed in another way, or a bomb.
    """
    if data.startswith(_ZSTD):
        raise FeedError("it is packed by zstd", feed=feed.name, advice="Name the .xml.gz or .xml.xz beside it.")
    if not data.startswith((_GZIP, _XZ)):
        return data
    unpack: _Decompressor = (
        zlib.decompressobj(wbits=31) if data.startswith(_GZIP) else lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
    )
    try:
        found = unpack.decompress(data, MOST_INFLATED + 1)
    except (zlib.error, lzma.LZMAError) as error:
        raise FeedError(f"it is damaged: {error}", feed=feed.name) from error
    if len(found) > MOST_INFLATED:
        raise FeedError(f"{len(data)} bytes of it become more than {MOST_INFLATED}", feed=feed.name)
    if not unpack.eof:
        raise FeedError("it is cut short", feed=feed.name)
    return found
