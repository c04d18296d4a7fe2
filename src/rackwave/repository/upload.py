"""A piece of a file on its way to a registry: read, hashed and counted as it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from ..errors import BundleError
from .store import CHUNK

if TYPE_CHECKING:
    from hashlib import _Hash


class Piece:
    """Bytes *start* to *start + length* of *file*; *before* has hashed all that is ahead of them.

    It is what ``requests`` takes for a body: it has a length and can be read.
    """

    def __init__(self, file: BinaryIO, start: int, length: int, before: _Hash) -> None:
        self._file = file
        self.start = start
        self.end = start + length
        self._before = before
        self._hasher = before.copy()
        self._left = length

    def __len__(self) -> int:
        return self.end - self.start

    def rewound(self) -> Piece:
        """Return it as it was at the start, to be sent once more."""
        self._file.seek(self.start)
        self._left = len(self)
        self._hasher = self._before.copy()
        return self

    def read(self, size: int = -1) -> bytes:
        """Read on, at most *size* bytes.

        Raises:
            BundleError: the file ends before the piece does.
        """
        chunk = self._file.read(min(CHUNK if size < 0 else size, self._left))
        if self._left and not chunk:
            raise BundleError(
                "a blob of the bundle is shorter than its manifest says", advice="Run 'rackwave bundle verify'."
            )
        self._left -= len(chunk)
        self._hasher.update(chunk)
        return chunk

    def hashed(self, end: int) -> _Hash:
        """Return the hash of all of the file before *end*, which lies in the piece."""
        if self._left or end != self.end:
            self.rewound()
            while self.end - self._left < end:
                self.read(min(CHUNK, end - self.end + self._left))
        return self._hasher
