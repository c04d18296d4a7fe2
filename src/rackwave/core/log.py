"""A machine's own event log: its entries, where it stood at some moment, and what came since.

Rules:

- A mark names the newest entry by its id *and* its date. Dates are the BMC's own: they are compared with
  one another, never with our clock, which may be years off theirs (P33).
- Where the marked entry is still there, what is newer than it is news.
- Where it is not, or its id is another entry's now, the log was cleared or has wrapped. Then those entries
  are news that are dated after the mark, and those without a usable date are not: an old entry counted as
  new would condemn a machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum

from attrs import frozen


class Severity(StrEnum):
    """How bad an entry is, whichever words the make uses; UNKNOWN where it tells none that we know."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


@frozen
class LogEntry:
    """One entry. *created* is the BMC's own date, as it wrote it; *code* its message id, where it has one."""

    id: str
    created: str
    severity: Severity
    message: str
    code: str = ""


@frozen
class LogMark:
    """Where a log stood: its newest entry. *last* is empty where it had none. *log* is which log it is."""

    log: str
    last: str = ""
    created: str = ""

    def __str__(self) -> str:
        return f"{self.log}#{self.last}@{self.created}"

    @classmethod
    def parse(cls, words: str) -> LogMark:
        """Read what ``str`` writes.

        Raises:
            ValueError: it is none.
        """
        log, hash_, rest = words.partition("#")
        last, at, created = rest.partition("@")
        if not log or not hash_ or not at:
            raise ValueError(f"{words!r} is no mark of a log")
        return cls(log, last, created)


@frozen
class LogNews:
    """What came since a mark, oldest first, and the mark that the log stands at now.

    *cleared*: the mark's entry is gone. *more*: there is more than was read.
    """

    mark: LogMark
    entries: tuple[LogEntry, ...] = ()
    cleared: bool = False
    more: bool = False


def in_order(entries: Sequence[LogEntry]) -> tuple[LogEntry, ...]:
    """Sort *entries* oldest first.

    Services list them upward (iLO, Supermicro), downward (iDRAC) or by the letters of their ids (bmcweb):
    numbers decide where all ids are such, else dates, else the order in which they were told.
    """
    if all(entry.id.isascii() and entry.id.isdigit() for entry in entries):
        return tuple(sorted(entries, key=lambda entry: int(entry.id)))
    dates = [date_of(entry.created) for entry in entries]
    if None not in dates:
        return tuple(sorted(entries, key=lambda entry: date_of(entry.created) or 0.0))
    return tuple(entries)


def news(log: str, entries: Sequence[LogEntry], since: LogMark | None, *, more: bool = False) -> LogNews:
    """Return what of *entries* is newer than *since*; without a mark, all of them."""
    ordered = in_order(entries)
    newest = ordered[-1] if ordered else None
    mark = LogMark(log, newest.id, newest.created) if newest is not None else LogMark(log)
    if since is None or since.log != log or not since.last:
        return LogNews(mark, ordered, more=more)
    place = next(
        (n for n, entry in enumerate(ordered) if (entry.id, entry.created) == (since.last, since.created)), None
    )
    if place is not None:
        return LogNews(mark, ordered[place + 1 :], more=more)
    then = date_of(since.created)
    later = tuple(e for e in ordered if then is not None and (date_of(e.created) or 0.0) > then)
    return LogNews(mark, later, cleared=True, more=more)


def date_of(created: str) -> float | None:
    """Read an entry's date as seconds since the epoch, for comparing it with others of the same log."""
    try:
        parsed = datetime.fromisoformat(created.strip())
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
