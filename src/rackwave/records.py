"""What the state directory keeps of the past: the journal, its fold, and who holds which node."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from .bmc.redfish.transport import Timeouts
from .core.event import Recorded
from .core.identity import NodeName
from .engine.chain import Head
from .engine.journal import SqliteJournal
from .engine.leases import Leases
from .engine.logbook import Logbook
from .engine.memory import MemoryJournal
from .errors import StateError
from .ports import Clock
from .serving.images import FETCH_LOG

JOURNAL = "journal.sqlite"
IMAGES = "images"


class Records:
    """Opens the journal when it is first asked for.

    *read_only*: nothing is made and nothing written; where there is no journal yet the past is empty.
    """

    def __init__(self, state: Path, *, clock: Clock, read_only: bool = False) -> None:
        self._state = state
        self._clock = clock
        self._read_only = read_only
        self._subscribers: list[Callable[[Recorded], None]] = []
        self._journal: SqliteJournal | None = None
        self._logbook: Logbook | None = None

    @property
    def logbook(self) -> Logbook:
        """The journal with its fold.

        Raises:
            StateError: it is damaged, lost, or cannot be written.
        """
        if self._read_only and self._logbook is not None and self._journal is None and (self._state / JOURNAL).exists():
            self._logbook = None  # somebody has begun one since
        if self._logbook is None:
            self._journal = self._open()
            # Where nothing was ever written a journal in memory stands for the empty past.
            self._logbook = Logbook(self._journal or MemoryJournal(self._clock))
            for subscriber in self._subscribers:
                self._logbook.subscribe(subscriber)
        return self._logbook

    def subscribe(self, subscriber: Callable[[Recorded], None]) -> None:
        """Call *subscriber* with every event that is recorded from now on. It must not block."""
        self._subscribers.append(subscriber)
        if self._logbook is not None:
            self._logbook.subscribe(subscriber)

    def events(self, nodes: Collection[NodeName] | None = None) -> Iterator[Recorded]:
        """Read every event, or those about *nodes*."""
        journal = self._opened()
        if journal is None:
            return iter(())
        if nodes is None:
            return journal.events()
        if len(nodes) == 1:
            return journal.events(node=next(iter(nodes)))
        return (each for each in journal.events() if getattr(each.event, "node", None) in nodes)

    def verify(self, noted: Head | None = None) -> Head:
        """Follow the journal's chain and return its head; see ``SqliteJournal.verify``.

        Raises:
            StateError: the past was changed, *noted* is not on the chain, or there is no journal.
        """
        journal = self._opened()
        if journal is None:
            raise StateError(f"there is no journal at {self._state / JOURNAL}", advice="Name another one with --state.")
        return journal.verify(noted)

    def leases(self) -> Leases | None:
        """The leases that lie beside the journal; None where nothing was ever written."""
        journal = self._opened()
        if journal is None:
            return None
        return Leases(journal.database, clock=self._clock, longest_deadline=Timeouts().longest)

    def holders(self) -> dict[NodeName, str]:
        """Return who works on which node now, in words."""
        leases = self.leases()
        held = leases.holders() if leases is not None else ()
        return {each.node: str(each.holder) for each in held if not each.dead}

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()
        self._journal, self._logbook = None, None

    def _opened(self) -> SqliteJournal | None:
        self.logbook.refresh()
        return self._journal

    def _open(self) -> SqliteJournal | None:
        path = self._state / JOURNAL
        self._refuse_lost(path)
        try:
            if not self._read_only:
                self._state.mkdir(parents=True, exist_ok=True)
            elif self._state.exists() and not self._state.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        except OSError as error:
            raise StateError(
                f"The state directory {self._state} cannot be used: {error.strerror}.",
                advice="Name one that you may write to with --state.",
            ) from error
        if self._read_only:
            return SqliteJournal.reader(path) if path.exists() else None
        return SqliteJournal.open(path, clock=self._clock)

    def _refuse_lost(self, path: Path) -> None:
        """Begin no new journal where there was one: what it knew of writes under way is gone with it."""
        fetches = self._state / IMAGES / FETCH_LOG
        if fetches.exists() and not path.exists():
            raise StateError(
                f"The journal {path} is gone, but BMCs were served from this state directory.",
                advice="Restore it from a copy. To begin a new one, make sure that no node is being written to, and "
                f"move {fetches.parent} aside.",
            )
