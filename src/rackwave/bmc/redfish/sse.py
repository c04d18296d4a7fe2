"""A server-sent event stream taken apart, bounded whatever the server sends (WHATWG HTML, 9.2.6).

Rules:

- A line ends in LF, CR or CRLF, also where the two bytes of CRLF come apart; a blank line ends an event.
- ``data`` lines are joined by newlines; an event without data is none.
- ``id`` stays in force until another comes; one that holds a NUL is ignored.
- ``retry`` is whole milliseconds, anything else is ignored, and so is every other field and comment.
- A line or an event that is too long breaks the stream off: what holds no newline would fill memory.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import field, frozen

MOST_LINE = 64 * 1024
"""Bytes of one line. bmcweb sends an event as one line; the longest recorded Event is under 4 KiB."""

MOST_EVENT = 256 * 1024
"""Bytes of the data of one event."""


class StreamTooLongError(ValueError):
    """A line or an event of the stream is longer than any that a BMC has reason to send."""


@frozen
class Sent:
    """One event. *id* is what to name when the stream is opened again, empty where there was none."""

    data: str = field(repr=False)
    id: str = ""


class Parser:
    """Takes bytes as they come and hands out whole events."""

    def __init__(self) -> None:
        self.retry: float | None = None
        """How many seconds the server wants a client to wait before it opens the stream again."""
        self.last_id = ""
        self._line = bytearray()
        self._data: list[str] = []
        self._size = 0
        self._after_cr = False
        self._is_first = True

    def feed(self, chunk: bytes) -> Iterator[Sent]:
        """Yield every event that *chunk* completes.

        Raises:
            StreamTooLongError: nothing more can be made of this stream.
        """
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk[1:] if chunk.startswith(b"\n") else chunk
        if chunk.endswith(b"\r"):
            self._after_cr = True
        pieces = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for piece in pieces[:-1]:
            self._extend(piece)
            line, self._line = bytes(self._line), bytearray()
            event = self._take(line)
            if event is not None:
                yield event
        self._extend(pieces[-1])

    def _extend(self, piece: bytes) -> None:
        if len(self._line) + len(piece) > MOST_LINE:
            raise StreamTooLongError(f"a line of more than {MOST_LINE} bytes")
        self._line += piece

    def _take(self, raw: bytes) -> Sent | None:
        line = raw.decode("utf-8", errors="replace")
        if self._is_first:
            self._is_first = False
            line = line.removeprefix("\ufeff")
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._size += len(raw)
                if self._size > MOST_EVENT:
                    raise StreamTooLongError(f"an event of more than {MOST_EVENT} bytes")
                self._data.append(value)
            case "id" if "\0" not in value:
                self.last_id = value
            case "retry" if value.isascii() and value.isdigit() and len(value) < 9:
                self.retry = int(value) / 1000
            case _:
                pass  # comments have an empty name
        return None

    def _dispatch(self) -> Sent | None:
        data, self._data, self._size = self._data, [], 0
        return Sent("\n".join(data), self.last_id) if data else None
