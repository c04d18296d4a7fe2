"""The journal's chain: each event's digest covers the one before it, so that nothing of the past changes unnoticed.

``digest(n) = sha256(digest(n - 1), [n, at, kind, node, version, document])``, the second part as JSON without
blanks. Whoever can write to the file can also write a whole new chain: note the head now and then where that one
cannot write (a ticket, a printed page), and hold the journal to it by ``rackwave history verify --since``.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Callable
from typing import Self, TypeAlias

from attrs import frozen

from ..errors import StateError, UsageError

ORIGIN = hashlib.sha256(b"rackwave journal").hexdigest()
"""What stands before the first event."""

Row: TypeAlias = tuple[int, float, str, str | None, str, str]
"""number, at, kind, node, version and document, as they are stored."""

_NOTED = re.compile(r"(\d{1,15}):([0-9a-f]{64})")


@frozen
class Head:
    """The digest at event *number*; written ``number:digest``."""

    number: int
    digest: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a head that was noted.

        Raises:
            UsageError: it is none.
        """
        found = _NOTED.fullmatch(text.strip())
        if found is None:
            raise UsageError(f"{text!r} is no head of a journal", advice="It is what 'rackwave history verify' prints.")
        return cls(int(found[1]), found[2])

    def __str__(self) -> str:
        return f"{self.number}:{self.digest}"


def link(before: str, row: Row) -> str:
    """Return the digest of *row*, which follows the event with the digest *before*."""
    content = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(f"{before}{content}".encode()).hexdigest()


def head(connection: sqlite3.Connection) -> Head | None:
    """Return the last event that was ever committed, by SQLite's own count; None where that one is gone."""
    given = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    if given is None:
        return Head(0, ORIGIN)
    found = connection.execute("SELECT digest FROM events WHERE number = ?", given).fetchone()
    return Head(given[0], found[0]) if found is not None else None


def fill(connection: sqlite3.Connection) -> None:
    """Give the events of a journal that had no chain their digests: the past is sealed as it is found."""
    digest = ORIGIN
    rows = connection.execute("SELECT number, at, kind, node, version, document FROM events ORDER BY number")
    for row in rows.fetchall():
        digest = link(digest, row)
        connection.execute("UPDATE events SET digest = ? WHERE number = ?", (digest, row[0]))


_SELECT = (
    "SELECT number, at, kind, node, version, document, digest FROM events WHERE number > ? ORDER BY number LIMIT 1000"
)


def verify(read: Callable[[str, tuple[object, ...]], list[tuple[object, ...]]], noted: Head | None = None) -> Head:
    """Follow the chain from the first event to the last and return its head.

    *read* runs a SELECT; *noted* is a head of earlier, which must still lie on the chain.

    Raises:
        StateError: an event was changed, taken out, or put in, or *noted* is not on the chain: the message names
            the first event that is not as it was written.
    """
    digest, number = ORIGIN, 0
    if noted is not None and noted.number == 0 and noted.digest != ORIGIN:
        raise _not_there(noted)
    while page := read(_SELECT, (number,)):
        for *row, stored in page:
            if row[0] != number + 1:
                raise _broken(number + 1, "it is missing")
            digest = link(digest, tuple(row))  # type: ignore[arg-type]  # a row of the table
            if stored != digest:
                raise _broken(number + 1, "it is not as it was written")
            number += 1
            if noted is not None and noted.number == number and noted.digest != digest:
                raise _not_there(noted)
    if noted is not None and noted.number > number:
        raise StateError(
            f"the journal ends at event {number}, and {noted.number} had been written",
            advice="Somebody cut it off, or put an older copy in its place. Look at every node before you go on.",
        )
    return Head(number, digest)


def _broken(number: int, what: str) -> StateError:
    return StateError(
        f"the journal's chain breaks at event {number}: {what}",
        advice="Restore the journal from a copy, and find out who changed it. What it says from there on is nobody's "
        "word: look at every node.",
    )


def _not_there(noted: Head) -> StateError:
    return StateError(
        f"the journal's chain passes event {noted.number}, and not by the digest that was noted",
        advice="It was written anew since. Restore it from a copy, and find out who did that.",
    )
