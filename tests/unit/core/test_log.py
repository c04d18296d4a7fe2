"""A machine's log since a mark, whatever order and dates its BMC has."""

from __future__ import annotations

import itertools

import pytest

from rackwave.core.log import LogEntry, LogMark, LogNews, Severity, news


def entries(*told: tuple[str, str]) -> list[LogEntry]:
    """Entries by id and date."""
    return [LogEntry(number, created, Severity.OK, f"entry {number}") for number, created in told]


def day(number: int) -> str:
    """A date."""
    return f"2026-01-{number:02}T00:00:00Z"


THREE = entries(("9", day(1)), ("10", day(2)), ("11", day(3)))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_news_whatever_the_order(order):
    """Upward, downward or by the letters of their ids: the newest entry is the mark, and what follows one is news."""
    listed = [THREE[n] for n in order]

    assert LogMark("SEL", "11", day(3)) == news("SEL", listed, None).mark
    assert ["10", "11"] == [e.id for e in news("SEL", listed, LogMark("SEL", "9", day(1))).entries]
    assert () == news("SEL", listed, LogMark("SEL", "11", day(3))).entries


def test_ids_that_are_no_numbers():
    """Where ids are no numbers, dates tell the order; where there are none either, the order of telling does."""
    dated = entries(("z", day(1)), ("a", day(2)))
    undated = entries(("z", ""), ("a", ""))

    assert "a" == news("SEL", dated[::-1], None).mark.last
    assert "a" == news("SEL", undated, None).mark.last


def test_a_clock_that_is_years_off():
    """Dates of the BMC's clock are never held against ours (P33): an entry of 1970 after a mark is news."""
    listed = entries(("1", "1970-01-01T00:00:10Z"), ("2", "1970-01-01T00:00:20Z"))

    assert ["2"] == [e.id for e in news("SEL", listed, LogMark("SEL", "1", "1970-01-01T00:00:10Z")).entries]


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        (entries(("1", day(8)), ("2", day(9))), ["1", "2"]),  # cleared, and ids begin anew
        (entries(("9", day(8))), ["9"]),  # cleared, and the marked id is another entry's
        (entries(("7", day(1)), ("8", day(9))), ["8"]),  # wrapped: what is older than the mark is no news
        (entries(("1", ""), ("2", "soon")), []),  # undated: nobody knows
        ([], []),
    ],
)
def test_a_log_that_was_cleared(listed, found):
    """A mark that is gone says that the log was cleared; what is dated after it is news."""
    seen = news("SEL", listed, LogMark("SEL", "9", day(5)))

    assert seen.cleared
    assert found == [e.id for e in seen.entries]


def test_an_empty_log():
    """Whatever is in a log that was empty at the mark is news, and it was not cleared."""
    empty = news("SEL", [], None)

    assert LogNews(LogMark("SEL")) == empty
    assert LogNews(LogMark("SEL", "11", day(3)), tuple(THREE)) == news("SEL", THREE, empty.mark)


def test_a_mark_is_written_and_read():
    """A mark survives being written down; nonsense is refused."""
    mark = LogMark("/redfish/v1/Systems/1/LogServices/SEL", "11", day(3))

    assert mark == LogMark.parse(str(mark))
    assert LogMark("SEL") == LogMark.parse(str(LogMark("SEL")))
    for nonsense in ("", "x", "#@", "x#y"):
        with pytest.raises(ValueError, match="mark"):
            LogMark.parse(nonsense)
