"""Maintenance windows, by the clock on the wall."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwave.core.window import read_windows
from rackwave.errors import UsageError

BERLIN = "Sat 22:00-04:00 Europe/Berlin"


def at(text: str, zone: str = "Europe/Berlin") -> float:
    """A moment by the clock of *zone*."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("text", "moment", "is_open"),
    [
        (BERLIN, "2026-11-28T21:59", False),
        (BERLIN, "2026-11-28T22:00", True),
        (BERLIN, "2026-11-29T03:59", True),
        (BERLIN, "2026-11-29T04:00", False),
        (BERLIN, "2026-11-27T23:00", False),
        ("Mon-Fri 01:30-05:00 Europe/Berlin", "2026-11-27T02:00", True),
        ("Mon-Fri 01:30-05:00 Europe/Berlin", "2026-11-28T02:00", False),
        ("Fri-Mon 01:30-05:00 Europe/Berlin", "2026-11-29T02:00", True),
        ("22:00-04:00 Europe/Berlin", "2026-11-25T01:00", True),
        (f"{BERLIN}; Wed 02:00-03:00 Europe/Berlin", "2026-11-25T02:30", True),
        ("", "2026-11-25T12:00", True),
    ],
)
def test_a_window_is_open_when_its_words_say_so(text: str, moment: str, is_open: bool) -> None:
    """Days name when it opens, and it may reach into the next one."""
    assert is_open == (read_windows(text).closes(at(moment)) is not None)


def test_the_wall_clock_counts_where_a_day_has_23_or_25_hours() -> None:
    """22:00 to 04:00 is five hours long in the night when summer begins, and seven when it ends."""
    window = read_windows("22:00-04:00 Europe/Berlin")
    lengths = [
        (window.closes(at(evening)) or 0.0) - at(evening)
        for evening in ("2026-03-28T22:00", "2026-07-01T22:00", "2026-10-24T22:00")
    ]

    assert [5 * 3600.0, 6 * 3600.0, 7 * 3600.0] == lengths


def test_what_does_not_fit_before_it_closes_does_not_begin() -> None:
    """And what nobody knows the length of may begin while it is open."""
    window, moment = read_windows(BERLIN), at("2026-11-29T03:30")

    assert window.why_not(moment, None) is None
    assert window.why_not(moment, 1800.0) is None
    assert "closes at 2026-11-29T03:00Z" in str(window.why_not(moment, 1860.0))
    assert "opens at 2026-12-05T21:00Z" in str(window.why_not(at("2026-11-29T05:00"), None))


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),
    st.sampled_from([BERLIN, "Mon,Wed 23:30-00:30 America/New_York", "12:00-11:59 Asia/Kolkata", "03:00-03:00 UTC"]),
)
def test_it_is_open_when_it_opens_and_shut_when_it_closes(moment: datetime, text: str) -> None:
    """Whatever the moment: the next opening is no sooner than now and open, and an open one is shut at its end."""
    window, now = read_windows(text), moment.replace(tzinfo=UTC).timestamp()

    opens = window.opens(now)
    closes = window.closes(opens)

    assert opens >= now
    assert closes is not None
    assert closes > opens


@pytest.mark.parametrize(
    "text",
    [
        "Sat",
        "Sat 22:00-04:00",
        "Sat 22-04 UTC",
        "Sa 22:00-04:00 Nowhere/City",
        "Xyz 22:00-04:00 UTC",
        "25:00-26:00 UTC",
    ],
)
def test_what_is_no_window_is_refused_with_an_example(text: str) -> None:
    """A typing error never means 'always'."""
    with pytest.raises(UsageError, match="no maintenance window") as caught:
        read_windows(text)
    assert "Europe/Berlin" in caught.value.advice
