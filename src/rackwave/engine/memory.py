"""A journal that lives in memory: for simulations, and for tests that kill the process in mind only."""

from __future__ import annotations

from collections.abc import Iterator

from ..core.event import Event, Recorded
from ..ports import Clock


class MemoryJournal:
    """Keeps events in a list; it outlives whatever wrote to it, as a file would."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._recorded: list[Recorded] = []

    async def append(self, *events: Event) -> tuple[Recorded, ...]:
        """Keep *events*."""
        first = len(self._recorded) + 1
        recorded = tuple(Recorded(first + i, self._clock.now(), event) for i, event in enumerate(events))
        self._recorded.extend(recorded)
        return recorded

    def events(self, after: int = 0) -> Iterator[Recorded]:
        """Read what was written after event number *after*."""
        return iter(self._recorded[after:])
