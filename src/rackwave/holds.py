"""Holds: a person's word that nodes are not to be touched, put on the record and lifted."""

from __future__ import annotations

from .core.event import Held, Unheld
from .engine.logbook import Logbook
from .errors import UsageError
from .fleet import Fleet
from .ports import Clock


class Holds:
    """Sets holds and lifts them; whoever works on a node sees them before its next act."""

    def __init__(self, logbook: Logbook, fleet: Fleet, *, clock: Clock, by: str) -> None:
        self._logbook = logbook
        self._fleet = fleet
        self._clock = clock
        self._by = by

    async def hold(self, nodes: str, reason: str, until: float | None = None) -> None:
        """Have nothing begun on nodes until *until* (epoch seconds; None: until it is lifted).

        What runs on them is not disturbed: a write goes on, its restart waits. A rollout that is under way
        in another process sees the hold before its next act.

        Raises:
            UsageError: *until* is past.
        """
        if until is not None and until <= self._clock.now():
            raise UsageError("that time is past", advice="Give a later one with --until, or none.")
        self._logbook.refresh()
        names = [node.name for node in self._fleet.select(nodes)]
        await self._logbook.record(*(Held(name, reason, self._by, until) for name in names))

    async def unhold(self, nodes: str) -> None:
        """Lift the hold on nodes; those without one are left as they are."""
        self._logbook.refresh()
        names = [node.name for node in self._fleet.select(nodes)]
        held = [name for name in names if self._logbook.node(name).hold is not None]
        await self._logbook.record(*(Unheld(name, self._by) for name in held))
