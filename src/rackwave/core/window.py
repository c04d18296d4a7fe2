"""Maintenance windows: when work may begin on a machine, in the time of the place where it stands.

::

    Sat,Sun 22:00-04:00 Europe/Berlin      days on which a window opens; it may reach into the next day
    Mon-Fri 01:30-05:00 UTC
    22:00-04:00 Europe/Berlin              every day
    Sat 22:00-04:00 Europe/Berlin; Wed 02:00-03:00 Europe/Berlin

The clock on the wall counts: where a day has 23 or 25 hours a window opens and closes by the wall's hands, and an hour
that comes twice is in it twice. Time zones are those of the IANA database (``zoneinfo``).
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from attrs import frozen

from ..errors import UsageError

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_ONE = re.compile(r"(?:([A-Za-z,-]+)\s+)?([0-2]\d):([0-5]\d)-([0-2]\d):([0-5]\d)\s+([A-Za-z0-9_+/-]+)")
_ADVICE = "Write it as 'Sat 22:00-04:00 Europe/Berlin'; several are parted by ';'."
_LOOK_AHEAD = 9
"""Days in which the next opening is looked for: a week, and what a window may reach over."""


@frozen
class Window:
    """One window: *days* (0 is Monday) on which it opens, from *begin* to *end* of the wall clock in *zone*."""

    days: frozenset[int]
    begin: time
    end: time
    zone: ZoneInfo

    def on(self, day: date) -> tuple[float, float]:
        """Return when it opens and closes if it opens on *day*, in epoch seconds."""
        later = day if self.end > self.begin else day + timedelta(days=1)
        opens = datetime.combine(day, self.begin, self.zone)
        closes = datetime.combine(later, self.end, self.zone)
        return opens.timestamp(), closes.timestamp()


@frozen
class Windows:
    """When work may begin; none: always."""

    windows: tuple[Window, ...] = ()

    def closes(self, now: float) -> float | None:
        """Return until when it is open at *now* (epoch seconds; infinity: always); None where it is shut."""
        if not self.windows:
            return float("inf")
        open_now = [closes for opens, closes in self._near(now, -1, 1) if opens <= now < closes]
        return max(open_now, default=None)

    def opens(self, now: float) -> float:
        """Return when it opens next, or *now* where it is open."""
        if self.closes(now) is not None:
            return now
        return min(opens for opens, _ in self._near(now, -1, _LOOK_AHEAD) if opens > now)

    def why_not(self, now: float, seconds: float | None) -> str | None:
        """Say why work of *seconds* (None: nobody knows how long) may not begin at *now*; None where it may."""
        closes = self.closes(now)
        if closes is None:
            return f"its maintenance window opens at {utc(self.opens(now))}"
        if seconds is not None and now + seconds > closes:
            return f"it takes some {seconds / 60:.0f} min, and its maintenance window closes at {utc(closes)}"
        return None

    def _near(self, now: float, first: int, last: int) -> list[tuple[float, float]]:
        found = []
        for window in self.windows:
            today = datetime.fromtimestamp(now, window.zone).date()
            days = [today + timedelta(days=number) for number in range(first, last + 1)]
            found += [window.on(day) for day in days if day.weekday() in window.days]
        return found


@lru_cache(maxsize=256)
def read_windows(text: str) -> Windows:
    """Read windows; none where *text* is empty.

    Raises:
        UsageError: it is none; the part that is not right is named.
    """
    return Windows(tuple(_window(part.strip()) for part in text.split(";") if part.strip()))


def _window(text: str) -> Window:
    found = _ONE.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is no maintenance window", advice=_ADVICE)
    days, hour, minute, end_hour, end_minute, zone = found.groups()
    try:
        begin, end = time(int(hour), int(minute)), time(int(end_hour), int(end_minute))
        return Window(_days(days), begin, end, ZoneInfo(zone))
    except (ValueError, ZoneInfoNotFoundError, OSError) as error:
        raise UsageError(f"{text!r} is no maintenance window: {error}", advice=_ADVICE) from error


def _days(text: str | None) -> frozenset[int]:
    if text is None:
        return frozenset(range(7))
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        start, stop = _day(first), _day(last if dash else first)
        found.update(number % 7 for number in range(start, stop + (7 if stop < start else 0) + 1))
    return frozenset(found)


def _day(text: str) -> int:
    name = text.strip().capitalize()[:3]
    if name not in _DAYS:
        message = f"{text!r} is no day of the week"
        raise ValueError(message)
    return _DAYS.index(name)


def utc(at: float) -> str:
    """Return *at* (epoch seconds) to the minute, in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="minutes").replace("+00:00", "Z")
