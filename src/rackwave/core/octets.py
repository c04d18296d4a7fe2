"""Bytes of a file that are read where they are needed: every read is bounded, and an error says where it stood.

::

    header = octets.unpack(Struct("<4sI"), 0, "header")
    body = octets.part(8, header[1], "body")      # a piece with its own beginning, still unread
    for chunk in body.chunks(): ...

What is asked for beyond the end is a `PackageFormatError`, so that no parser has to look at lengths twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct
from typing import Any

from attrs import evolve, field, frozen

from ..errors import PackageFormatError

CHUNK = 1 << 18
MOST_AT_ONCE = 1 << 24
"""Bytes that one read may bring into memory: no header of any format comes near it."""


def printable(text: str) -> str:
    """Return *text*, from a file that nobody vouches for, as it may go to a terminal: no escapes, no tricks."""
    return "".join(letter if letter.isprintable() else " " if letter.isspace() else "\ufffd" for letter in text)


@frozen
class Octets:
    """*size* bytes from *start* of the file called *file*; *read* takes an offset in that file and a length."""

    file: str
    size: int
    read: Callable[[int, int], bytes] = field(repr=False)
    start: int = 0

    @classmethod
    def of(cls, file: str, data: bytes) -> Octets:
        """Return octets that are in memory already."""
        return cls(file, len(data), lambda offset, length: data[offset : offset + length])

    def damaged(self, problem: str, what: str, offset: int | None = None, advice: str = "") -> PackageFormatError:
        """Return the error that says what is wrong with *what*, at *offset* of these octets."""
        at = None if offset is None else self.start + offset
        return PackageFormatError(
            printable(problem), file=self.file, field=printable(what), offset=at, advice=printable(advice)
        )

    def take(self, offset: int, length: int, what: str) -> bytes:
        """Read *length* bytes at *offset*, for the field *what*.

        Raises:
            PackageFormatError: they are not all there, or more than belongs into memory.
        """
        self._check(offset, length, what)
        if length > MOST_AT_ONCE:
            raise self.damaged(f"is {length} bytes long, which no such field is", what, offset)
        found = self.read(self.start + offset, length)
        if len(found) != length:
            raise self.damaged("the file was cut short while it was read", what, offset)
        return found

    def unpack(self, form: Struct, offset: int, what: str) -> tuple[Any, ...]:
        """Read one record of *form* at *offset*.

        Raises:
            PackageFormatError: it is cut short.
        """
        return form.unpack(self.take(offset, form.size, what))

    def part(self, offset: int, length: int, what: str) -> Octets:
        """Return *length* octets from *offset*, unread.

        Raises:
            PackageFormatError: they are not all there.
        """
        self._check(offset, length, what)
        return evolve(self, start=self.start + offset, size=length)

    def chunks(self, what: str = "contents") -> Iterator[bytes]:
        """Read all of it, in pieces of bounded size.

        Raises:
            PackageFormatError: the file was cut short meanwhile.
        """
        for offset in range(0, self.size, CHUNK):
            yield self.take(offset, min(CHUNK, self.size - offset), what)

    def _check(self, offset: int, length: int, what: str) -> None:
        if offset < 0 or length < 0 or offset + length > self.size:
            left = max(self.size - offset, 0)
            raise self.damaged(f"is cut short: {length} bytes are told of and {left} are there", what, offset)
