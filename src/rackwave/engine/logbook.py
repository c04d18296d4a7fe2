"""The journal together with its fold: what is written is known at once."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..core.event import Event, Recorded
from ..core.history import NodeHistory
from ..core.identity import NodeName
from ..core.ledger import Ledger
from ..ports import Journal

_log = logging.getLogger(__name__)


class Logbook:
    """Appends events durably, folds them into ``ledger`` and tells every subscriber."""

    def __init__(self, journal: Journal, ledger: Ledger | None = None) -> None:
        """*ledger* is what *journal* is folded into; an empty one where it is None."""
        self._journal = journal
        self._subscribers: list[Callable[[Recorded], None]] = []
        self._failed: list[Callable[[Recorded], None]] = []
        self._read = 0
        self._ours: set[int] = set()
        self.ledger = ledger or Ledger()
        self.refresh()

    def refresh(self) -> None:
        """Fold in what other processes wrote since we last read; needed after a lease was taken."""
        for recorded in self._journal.events(self._read):
            self._read = recorded.number
            if recorded.number not in self._ours:
                self.ledger.apply(recorded)
        self._ours.clear()

    def subscribe(self, subscriber: Callable[[Recorded], None]) -> None:
        """Call *subscriber* with every event of ours from now on, once it is durable. It must not block.

        What it raises is logged, the first time, and stops nothing.
        """
        self._subscribers.append(subscriber)

    async def record(self, *events: Event) -> None:
        """Write *events*, all or none; afterwards ``ledger`` knows them."""
        written = await self._journal.append(*events)
        for recorded in written:
            self._ours.add(recorded.number)
            self.ledger.apply(recorded)
        for recorded in written:
            for subscriber in tuple(self._subscribers):
                self._tell(subscriber, recorded)

    def _tell(self, subscriber: Callable[[Recorded], None], recorded: Recorded) -> None:
        """Tell *subscriber*; work on machines does not stop because somebody cannot be told of it."""
        try:
            subscriber(recorded)
        except Exception as error:  # noqa: BLE001 - whatever a listener of anybody's raises
            if subscriber not in self._failed:
                self._failed.append(subscriber)
                trace = None if isinstance(error, OSError) else error  # a terminal or a pipe that is gone needs none
                _log.warning("What happens cannot be told: %s. The work goes on.", error, exc_info=trace)

    def node(self, name: NodeName) -> NodeHistory:
        """Return all that is recorded of *name*."""
        return self.ledger.node(name)
