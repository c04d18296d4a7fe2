"""The journal: append-only events, intent before act and outcome after. State is a fold over them.

    journal = SqliteJournal(Database.open(path), clock=clock)
    await journal.append(Intended(...))     # returns after the fsync: now the act may go out
    for recorded in journal.events(node=NodeName("r1n07")): ...

``rackwave status`` reads the same file while a deploy runs: ``SqliteJournal.reader(path)``.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

from ..core.event import (
    ByHand,
    ConditionChanged,
    Event,
    Held,
    ImageFetched,
    LoginRefused,
    PinForgotten,
    Pinned,
    Recorded,
    RolloutFinished,
    RolloutStarted,
    SessionClosed,
    SessionOpened,
    Unheld,
    WaveStarted,
)
from ..core.identity import NodeName
from ..errors import StateError
from ..ports import Clock
from .chain import Head, head, link, verify
from .codec import EventCodec
from .database import SCHEMA_VERSION, Database
from .leases import refuse_overtaken

_PAGE = 1000  # events read at a time: bounds memory, and how long one read holds the thread
_INSERT = "INSERT INTO events (number, at, kind, node, version, document, digest) VALUES (?, ?, ?, ?, ?, ?, ?)"


class SqliteJournal:
    """Events in a ``Database``. Its clock dates them; their order is their number, never their date."""

    def __init__(self, database: Database, *, clock: Clock | None, codec: EventCodec | None = None) -> None:
        self.database = database
        self._clock = clock
        self._codec = codec or EventCodec()
        self._version = "" if database.read_only else version("rackwave")
        self._write_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode

    @classmethod
    def open(cls, path: Path, *, clock: Clock, codec: EventCodec | None = None) -> SqliteJournal:
        """Open *path* for reading and writing; see ``Database.open`` for what is refused."""
        return cls(Database.open(path), clock=clock, codec=codec)

    @classmethod
    def reader(cls, path: Path, *, codec: EventCodec | None = None) -> SqliteJournal:
        """Open *path* for reading only, also while another process writes to it."""
        return cls(Database.reader(path), clock=None, codec=codec)

    async def append(self, *events: Event) -> tuple[Recorded, ...]:
        """Write *events*, all or none, and return them with their numbers once they are safely on disk.

        Callers at the same time share one fsync. A caller that is cancelled may have written all the same.

        Raises:
            StateError: nothing was written.
            LeaseError: as above; another process has taken over a node that *events* are about.
        """
        if not events:
            return ()
        if self._clock is None:
            raise StateError(f"The journal {self.database.path} is open for reading only.")
        at = self._clock.now()
        rows = []
        for event in events:
            kind, document = self._codec.encode(event)
            rows.append((at, kind, getattr(event, "node", None), self._version, self._write_json(document)))

        held = self.database.held
        ours = {node for event in events for node in concerned(event, held)}

        def insert(connection: sqlite3.Connection) -> list[int]:
            refuse_overtaken(connection, held, ours)
            last = head(connection)
            if last is None:
                raise self._lost(self._last_given())
            number, digest = last.number, last.digest
            for row in rows:
                number += 1
                digest = link(digest, (number, *row))
                connection.execute(_INSERT, (number, *row, digest))
            return list(range(last.number + 1, number + 1))

        numbers = await self.database.write(insert)
        return tuple(Recorded(number, at, event) for number, event in zip(numbers, events, strict=True))

    def events(self, after: int = 0, node: NodeName | None = None) -> Iterator[Recorded]:
        """Read the committed events numbered above *after*, in order; with *node*, those about it alone.

        Events that name no node (``RolloutStarted``, ``WaveStarted``, …) are left out when *node* is given.

        Raises:
            StateError: the journal is damaged, or a newer rackwave wrote what this one does not know. A
                missing event is noticed where all are read: numbers have no gaps, since an act that
                fails gives its number back.
        """
        last = self._last_given() if node is None else 0
        where, about = ("number > ? AND node = ?", (str(node),)) if node is not None else ("number > ?", ())
        select = f"SELECT number, at, kind, version, document FROM events WHERE {where} ORDER BY number LIMIT {_PAGE}"  # noqa: S608 - constants only
        while page := self.database.read(select, (after, *about)):
            for number, at, kind, written_by, document in page:
                if node is None and number != after + 1:
                    raise self._lost(after + 1)
                yield Recorded(number, at, self._decode(number, kind, written_by, document))
                after = number
            if len(page) < _PAGE:
                break
        if after < last:
            raise self._lost(after + 1)

    def last_number(self) -> int:
        """The number of the newest committed event; 0 where there is none."""
        ((number,),) = self.database.read("SELECT coalesce(max(number), 0) FROM events")
        return int(number)

    def verify(self, noted: Head | None = None) -> Head:
        """Follow the chain of digests from the first event to the last and return its head; see ``engine.chain``.

        Raises:
            StateError: the past was changed, or *noted* is not on the chain.
        """
        ((version,),) = self.database.read("PRAGMA user_version")
        if version < SCHEMA_VERSION:
            raise StateError(
                f"The journal {self.database.path} has no chain yet.", advice="It gets one with the next write to it."
            )
        return verify(self.database.read, noted)

    def close(self) -> None:
        """Commit what is queued and close the database."""
        self.database.close()

    def _last_given(self) -> int:
        """The highest number that was ever given to a committed event, by SQLite's own count."""
        rows = self.database.read("SELECT seq FROM sqlite_sequence WHERE name = 'events'")
        return int(rows[0][0]) if rows else 0

    def _lost(self, number: int) -> StateError:
        return StateError(
            f"The journal {self.database.path} is damaged: event {number} is missing.",
            advice="Restore it from a copy. Without it nobody knows which writes were begun: look at every node first.",
        )

    def _decode(self, number: int, kind: str, written_by: str, document: str) -> Event:
        try:
            content = json.loads(document)
        except ValueError as error:
            raise StateError(
                f"Event {number} in the journal {self.database.path} cannot be read: {error}.",
                advice="The journal is damaged: restore it from a copy.",
            ) from error
        return self._codec.decode(kind, content, written_by=written_by)


def concerned(event: Event, held: Collection[str]) -> Iterable[str]:
    """Return the nodes whose leases must be ours still for *event* to be true."""
    match event:
        case RolloutStarted() | WaveStarted() | RolloutFinished():
            return tuple(held)
        case _ if isinstance(event, _ANYBODYS):
            return ()
        case _:
            return (node,) if (node := getattr(event, "node", None)) is not None else ()


_ANYBODYS = (
    SessionOpened,
    SessionClosed,
    ImageFetched,
    LoginRefused,
    Pinned,
    PinForgotten,
    ByHand,
    Held,
    Unheld,
    ConditionChanged,
)
"""What is true whoever has the lease: what became of a BMC's sessions and keys, what persons said and did, and what
was seen."""
