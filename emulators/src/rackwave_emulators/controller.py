"""The BMC of one machine as a computer of its own: it restarts, flaps, has a clock and a certificate."""

from __future__ import annotations

from collections.abc import Callable

from .faults import Armory, BmcFlaps, Certificate
from .timeline import Timeline


class Controller:
    """Whether the BMC is there, and what changes with it. *back* is called whenever it has restarted."""

    __slots__ = (
        "_armory",
        "_away_for",
        "_back",
        "_departures",
        "_timeline",
        "away",
        "certificate",
        "certificates",
        "clock_offset",
        "last_reset",
        "resets",
    )

    def __init__(self, timeline: Timeline, armory: Armory, *, away_for: float, back: Callable[[], None]) -> None:
        self._timeline = timeline
        self._armory = armory
        self._away_for = away_for
        self._back = back
        self._departures = 0
        self.away = False
        self.last_reset = int(timeline.time) - 86_400
        """When it was last reset, in whole epoch seconds; never the same for two resets."""
        self.resets = 0
        self.certificates = 0
        """How often its certificate has changed (P32)."""
        self.certificate: Certificate | None = None
        """What the present certificate is; None: the one it began with."""
        self.clock_offset = 0.0
        """By how many seconds its clock is wrong (P33)."""

    def restart(self) -> None:
        """Go away, and come back in a while."""
        self.resets += 1
        self._leave(self._away_for, self._restarted)

    def change_certificate(self, to: Certificate) -> None:
        """Show another certificate from now on."""
        self.certificate = to
        self.certificates += 1

    def _leave(self, seconds: float, then: Callable[[], None]) -> None:
        self.away = True
        self._departures += 1
        departure = self._departures

        def come_back() -> None:
            if departure == self._departures:
                self.away = False
                then()

        self._timeline.after(seconds, come_back)

    def _restarted(self) -> None:
        self.last_reset = max(int(self._timeline.time), self.last_reset + 1)
        self._armory.mend(self._timeline.time)
        self._back()
        if flaps := self._armory.strike(BmcFlaps, at=self._timeline.time):
            self._flap(flaps, flaps.times)

    def _flap(self, flaps: BmcFlaps, times: int) -> None:
        """Be gone once more after a while, *times* over (P36)."""
        if not times:
            return
        departure = self._departures

        def go() -> None:
            if departure == self._departures:
                self._leave(flaps.down, lambda: self._flap(flaps, times - 1))

        self._timeline.after(flaps.up, go)
