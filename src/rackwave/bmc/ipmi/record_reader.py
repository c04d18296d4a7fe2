"""Reading records piece by piece: SEL entries and SDRs come by the same rules (IPMI 2.0, 31.5 and 33.12).

- A record is asked for whole; a BMC that cannot tell so many bytes at once is asked for pieces, each half
  as long as the last, and remembered for it.
- Pieces need a reservation, which anybody's change to the repository cancels (C5h): then a new one is
  taken, and the record read from its beginning.
- What a BMC says comes next is followed once only, and no further than to `MOST` records: a repository that
  runs in a circle ends in an error, not in a loop.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from attrs import frozen

from ...errors import BmcAnswerError, BmcRefusedError
from . import completion
from .session import Command, Session

FIRST, LAST = 0x0000, 0xFFFF
MOST = 16_384
"""Records; real event logs hold 512 to 4,000, SDR repositories a few hundred."""

_WHOLE = 0xFF
_PIECES = (32, 16, 8, 5)
_PATIENCE = 8
"""Reservations taken for one record; who changes the repository so often will go on doing it."""


@frozen
class Record:
    """One record: its number, the number that the BMC says comes next, and its bytes."""

    number: int
    following: int
    octets: bytes


class RecordReader:
    """Reads one repository.

    Args:
        session: whose BMC.
        get: Get SEL Entry or Get SDR.
        reserve: the command that reserves for it.
        size: the length of every record, None where the record's fifth byte tells it.
    """

    def __init__(self, session: Session, *, get: Command, reserve: Command, size: int | None = None) -> None:
        self._session = session
        self._get = get
        self._reserve = reserve
        self._size = size
        self._piece = _WHOLE

    async def read(self, number: int) -> Record:
        """Read one record.

        Raises:
            BmcRefusedError: there is none (``status`` CBh), or another completion code.
            NodeError: as `Session.ask`.
        """
        if self._piece == _WHOLE:
            try:
                return self._record(number, await self._ask(number, 0, 0, _WHOLE))
            except BmcRefusedError as error:
                if error.status not in completion.CUT_SHORT:
                    raise
                self._piece = _PIECES[0]
        for _ in range(_PATIENCE):
            try:
                return await self._in_pieces(number)
            except BmcRefusedError as error:
                if error.status == completion.RESERVATION_CANCELLED:
                    continue
                smaller = [size for size in _PIECES if size < self._piece]
                if error.status not in completion.CUT_SHORT or not smaller:
                    raise
                self._piece = smaller[0]
        raise self._session.refusal(self._get, completion.RESERVATION_CANCELLED)

    async def after(self, number: int) -> AsyncIterator[Record]:
        """Read the records from *number* on.

        Raises:
            BmcAnswerError: they run in a circle, or have no end.
            NodeError: as `read`.
        """
        known: set[int] = set()
        while number != LAST:
            record = await self.read(number)
            if record.number in known or len(known) >= MOST:
                node = self._session.node
                raise BmcAnswerError(f"{node}: the records that {self._get.name} reads have no end", node=node)
            known.add(record.number)
            yield record
            number = record.following

    async def _ask(self, number: int, reservation: int, start: int, count: int) -> bytes:
        request = reservation.to_bytes(2, "little") + number.to_bytes(2, "little") + bytes([start, count])
        return await self._session.ask(self._get, request, least=2)

    async def _in_pieces(self, number: int) -> Record:
        reservation = int.from_bytes((await self._session.ask(self._reserve, least=2))[:2], "little")
        head = await self._ask(number, reservation, 0, min(self._piece, self._size or 5))
        octets = head[2:]
        whole = self._size or (octets[4] + 5 if len(octets) > 4 else 0)
        while len(octets) < whole:
            piece = (await self._ask(number, reservation, len(octets), min(self._piece, whole - len(octets))))[2:]
            if not piece:
                break
            octets += piece
        return self._record(number, head[:2] + octets[: max(whole, 5)])

    def _record(self, number: int, answer: bytes) -> Record:
        octets = answer[2:]
        least = self._size or 5
        if len(octets) < least:
            node = self._session.node
            message = f"{node}: record {number:04X}h of {self._get.name} has {len(octets)} bytes, not {least}"
            raise BmcAnswerError(message, node=node)
        # FIRST and LAST are asked for by these numbers; the record itself knows its own.
        return Record(int.from_bytes(octets[:2], "little"), int.from_bytes(answer[:2], "little"), octets)
