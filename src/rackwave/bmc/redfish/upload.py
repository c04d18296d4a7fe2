"""The bodies of an upload, streamed from a file: of known length, with flat memory (P13)."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from ...ports import Completing

_PIECE = 1024 * 1024
"""Bytes read at a time: one hop to a thread each, and no more than this in memory."""


class Raw:
    """The file itself as the body, as HttpPushUri takes it (DSP0266, "HTTP push update").

    *completing* is awaited once, before the bytes are handed over that make the image whole.
    """

    content_type = "application/octet-stream"

    def __init__(self, path: Path, size: int, *, completing: Completing) -> None:
        self._path = path
        self._file_size = size
        self._completing = completing
        self.complete = False

    @property
    def size(self) -> int:
        """Bytes in all, for the Content-Length."""
        return self._file_size

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body, from the first byte.

        Raises:
            OSError: the file cannot be read, or is no longer as long as it was.
        """
        left = self._file_size
        with await asyncio.to_thread(self._path.open, "rb") as file:
            while left:
                piece = await asyncio.to_thread(file.read, min(_PIECE, left))
                if not piece:
                    raise OSError(f"{self._path.name} became shorter while it was sent")
                left -= len(piece)
                if not left:
                    await self._complete()
                yield piece
        await self._complete()  # of an empty image

    async def _complete(self) -> None:
        if not self.complete:
            await self._completing()
            self.complete = True


class Multipart(Raw):
    """A multipart update of a file: JSON *parameters* first, then the file (DSP0266, 12.6.2)."""

    def __init__(
        self,
        path: Path,
        file_name: str,
        size: int,
        *,
        parameters: Mapping[str, object],
        completing: Completing,
    ) -> None:
        super().__init__(path, size, completing=completing)
        name = "".join(c for c in file_name if c.isprintable() and c not in '"\\/') or "image.bin"
        boundary = secrets.token_hex(16)
        self._head = (
            (
                f"--{boundary}\r\n"
                'Content-Disposition: form-data; name="UpdateParameters"\r\n'
                "Content-Type: application/json\r\n\r\n"
            ).encode()
            + json.dumps(parameters).encode()
            + (
                f"\r\n--{boundary}\r\n"
                f'Content-Disposition: form-data; name="UpdateFile"; filename="{name}"\r\n'
                "Content-Type: application/octet-stream\r\n\r\n"
            ).encode()
        )
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self.content_type = f"multipart/form-data; boundary={boundary}"

    @property
    def size(self) -> int:
        """Bytes in all, for the Content-Length."""
        return len(self._head) + super().size + len(self._tail)

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body, from the first byte; see `Raw.pieces`."""
        yield self._head
        async for piece in super().pieces():
            yield piece
        yield self._tail
