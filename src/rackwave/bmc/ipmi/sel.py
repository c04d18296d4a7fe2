"""The system event log since a mark (IPMI 2.0, chapters 31 and 32).

- Order is the log's, never the clock's: BMCs' clocks are years off and step (P33).
- A mark is the last entry that was read, with its bytes. Where that is still there, what comes after it is
  new. Where it is not, the log was cleared or has gone round, and all that is there is told, with
  ``gap`` set: between the mark and the first of these something may be lost.
"""

from __future__ import annotations

import struct

from attrs import field, frozen

from ...errors import BmcRefusedError
from . import completion
from .record_reader import FIRST, LAST, Record, RecordReader
from .session import Command, Session

GET_INFO = Command(0x0A, 0x40, "Get SEL Info")
RESERVE = Command(0x0A, 0x42, "Reserve SEL")
GET_ENTRY = Command(0x0A, 0x43, "Get SEL Entry")

_SIZE = 16
_SYSTEM_EVENT = 0x02
_OEM = 0xE0  # from here on records have no timestamp (32.1)
_GONE = (completion.NOT_PRESENT, completion.OUT_OF_RANGE, completion.INVALID_DATA)
_PRE_INIT = 0x2000_0000
"""Below this a timestamp counts from the BMC's own start, because nobody had set its clock yet (37.1)."""


@frozen
class Mark:
    """How far the log was read: the last entry's number and bytes; none: the log was empty."""

    number: int = FIRST
    octets: bytes = field(default=b"", repr=False)


@frozen
class Entry:
    """One entry. *at* is epoch seconds by the BMC's clock, None where it has no date.

    *sensor_type*, *offset* and the two bytes of *more* are those of a system event; an entry of another
    kind has *sensor_type* 0.
    """

    number: int
    at: int | None
    sensor_type: int = 0
    sensor: int = 0
    event_type: int = 0
    offset: int = 0
    asserted: bool = True
    more: bytes = b""


@frozen
class News:
    """What the log has since a mark, in its order. *full*: what happens from now on is not entered."""

    entries: tuple[Entry, ...]
    mark: Mark
    gap: bool = False
    full: bool = False


class EventLog:
    """The log of one node."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._reader = RecordReader(session, get=GET_ENTRY, reserve=RESERVE, size=_SIZE)

    async def since(self, mark: Mark | None = None, *, newest: int | None = None) -> News:
        """Read what was entered after *mark*; where it is None everything, or about the *newest* ones alone.

        Raises:
            NodeError: as `Session.ask`.
        """
        info = await self._session.ask(GET_INFO, least=14)
        count, free = struct.unpack_from("<HH", info, 1)
        is_full = bool(info[13] & 0x80) or (count > 0 and free == 0)
        old = mark or Mark()
        if count == 0:
            return News((), Mark(), gap=bool(old.octets), full=is_full)
        start, has_gap = FIRST, False
        if old.octets:
            found = await self._find(old)
            start, has_gap = (found.following, False) if found is not None else (FIRST, True)
        elif mark is None and newest is not None and count > newest:
            start = await self._near_end(newest)
        records: list[Record] = []
        try:
            async for record in self._reader.after(start):
                records.append(record)  # noqa: PERF401 - what was read before an error counts
        except BmcRefusedError as error:
            if error.status not in _GONE:
                raise
            # Cleared while we read: what we have is true, and what comes now is a new log's.
            has_gap = True
        last = Mark(records[-1].number, records[-1].octets) if records else old
        return News(tuple(entry_of(record.octets) for record in records), last, gap=has_gap, full=is_full)

    async def newest(self, limit: int) -> tuple[Entry, ...]:
        """Read about the *limit* newest entries.

        Raises:
            NodeError: as `Session.ask`.
        """
        return (await self.since(newest=limit)).entries[-limit:]

    async def upward(self, number: int, limit: int) -> tuple[tuple[Entry, ...], bool]:
        """Read from entry *number* on, at most *limit*, nothing where it is gone; and whether there are more.

        Raises:
            NodeError: as `Session.ask`.
        """
        found: list[Entry] = []
        try:
            async for record in self._reader.after(number):
                if len(found) >= limit:
                    return tuple(found), True
                found.append(entry_of(record.octets))
        except BmcRefusedError as error:
            if error.status not in _GONE:
                raise
        return tuple(found), False

    async def _near_end(self, newest: int) -> int:
        """Where to begin so that about *newest* entries are left: logs of thousands take long to read."""
        last = (await self._reader.read(LAST)).number
        try:
            return (await self._reader.read(max(last - newest + 1, 1))).number
        except BmcRefusedError:
            return FIRST  # its numbers have holes

    async def _find(self, mark: Mark) -> Record | None:
        try:
            record = await self._reader.read(mark.number)
        except BmcRefusedError as error:
            if error.status not in _GONE:
                raise
            return None
        return record if record.octets[:_SIZE] == mark.octets[:_SIZE] else None


def entry_of(octets: bytes) -> Entry:
    """Read the 16 bytes of an entry."""
    number, kind, stamp = struct.unpack_from("<HBI", octets)
    at = None if kind >= _OEM or stamp in (0, 0xFFFF_FFFF) or stamp < _PRE_INIT else stamp
    if kind != _SYSTEM_EVENT:
        return Entry(number, at)
    return Entry(
        number=number,
        at=at,
        sensor_type=octets[10],
        sensor=octets[11],
        event_type=octets[12] & 0x7F,
        asserted=not octets[12] & 0x80,
        offset=octets[13] & 0x0F,
        more=octets[14:16],
    )
