"""What is due when: one machine's future, as a heap of callbacks that only runs when someone looks."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from rackwave.ports import Clock

# A clock that adds up floats may come out one rounding short of a due time; 1.8e9 s resolves to 2.4e-7 s.
_ROUNDING = 1e-6


class Timeline:
    """Runs due callbacks in the order of their times; those of equal times in the order of their entry.

    While a callback runs, ``time`` is the moment for which it was due, however late one looked, so
    that what follows from it is dated right. Time never runs back, even where the clock does.
    """

    __slots__ = ("_clock", "_due", "_entries", "_offset", "time", "watch")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = clock.now() - clock.monotonic()
        self._due: list[tuple[float, int, Callable[[], None]]] | None = None  # most nodes of a large rack have none
        self._entries = 0
        self.time = clock.now()
        """Seconds since the epoch at which this machine stands."""
        self.watch: Callable[[], None] | None = None
        """Called after each callback that ran; it must not look at the machine in a way that advances it."""

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        """Have *callback* run *seconds* from now."""
        if self._due is None:
            self._due = []
        self._entries += 1
        heapq.heappush(self._due, (self.time + seconds, self._entries, callback))

    def advance(self) -> bool:
        """Run everything that is due; return whether anything was."""
        now = self._offset + self._clock.monotonic()
        if not self._due or self._due[0][0] > now + _ROUNDING:  # as nearly always: every look at a machine asks this
            if now > self.time:
                self.time = now
            return False
        ran = False
        while self._due and self._due[0][0] <= now + _ROUNDING:
            due, _, callback = heapq.heappop(self._due)
            self.time = max(self.time, due)
            callback()
            ran = True
            if self.watch is not None:
                self.watch()
        self.time = max(self.time, now)
        return ran

    @property
    def next_due(self) -> float | None:
        """When the next callback is due, in epoch seconds; None: nothing is to come."""
        return self._due[0][0] if self._due else None
