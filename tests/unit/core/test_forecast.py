"""What many outcomes say together: percentiles, bins, a chart, and sentences."""

from __future__ import annotations

from itertools import pairwise

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwave.core.forecast import UNFINISHED, Forecast, Outcome, histogram, percentile, span
from rackwave.core.identity import BundleId
from rackwave.core.odds import Odds

DONE = Outcome(1, "done", "", 2, 600.0, 9, 0, 0, 0, 4, 9, 0)
STOPPED = evolve(DONE, seed=2, result="stopped", reason="the canary n1 is rolled-back", wave=0, seconds=60.0, on_new=0)

times = st.lists(st.floats(0.0, 1e6), min_size=1, max_size=60)


def forecast(*outcomes: Outcome) -> Forecast:
    """Return the forecast of *outcomes*."""
    return Forecast(BundleId.parse("A.2"), (1, 4, 4), Odds(fail=0.03), 0.0, ("all is assumed",), outcomes)


@settings(deadline=None)
@given(values=times, percent=st.floats(0.0, 100.0))
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(values: list[float], percent: float) -> None:
    """It is one of the values; at least so many are no larger, and of the next smaller one that is not so."""
    found = percentile(values, percent)

    assert found in values
    assert sum(value <= found for value in values) >= len(values) * percent / 100 - 1e-9
    smaller = [value for value in values if value < found]
    assert not smaller or len(smaller) < len(values) * percent / 100 + 1e-9


def test_percentiles_of_ten() -> None:
    """By nearest rank, as the docstring says."""
    values = list(range(10, 110, 10))

    assert [10, 50, 90, 100] == [percentile(values, percent) for percent in (10, 50, 90, 100)]
    assert 7 == percentile([7], 50)


@settings(deadline=None)
@given(values=times)
def test_every_value_is_in_one_bin(values: list[float]) -> None:
    """Bins touch, reach from the least to the most, and count each value once."""
    bins = histogram(values)

    assert len(values) == sum(count for _, _, count in bins)
    assert len(bins) <= 12
    assert abs(min(values) - bins[0][0]) < 0.002
    assert abs(max(values) - bins[-1][1]) < 0.002
    assert all(abs(one[1] - two[0]) < 0.002 for one, two in pairwise(bins))


def test_the_fullest_bin_is_the_longest_bar() -> None:
    """A line a bin; an empty bin has no bar."""
    drawn = forecast(*(evolve(DONE, seconds=each) for each in (60.0, 61.0, 62.0, 120.0))).chart(width=6)

    assert ("         75 s  ██████  3", "         90 s", "        105 s", "      2.0 min  ██      1") == drawn


def test_what_a_stop_does_to_the_makespan_is_told_apart() -> None:
    """A rollout that stopped early was not quick: how long it takes counts where it was done."""
    both = forecast(DONE, STOPPED)

    assert 600.0 == both.makespan().p10
    assert {0: 1} == both.stopped_in()
    assert "It goes through under 1 of 2 seeds, in 10 min (10 min in nine of ten)." == both.risk()[0]
    assert "Under 1 it ends in wave 0: the canary n1 is rolled-back." == both.risk()[1]
    assert 60.0 == forecast(STOPPED).makespan().most
    assert "It goes through under none of 1 seeds." == forecast(STOPPED).risk()[0]


def test_it_says_which_seeds_and_what_is_assumed() -> None:
    """Whoever reads it can replay it."""
    words = str(forecast(DONE, STOPPED, evolve(STOPPED, seed=3, result=UNFINISHED, reason="waits", wave=1)))

    assert words.startswith("A.2 to 9 nodes in waves of 1, 4, 4; seeds 1 to 3\n- all is assumed\n")
    assert "Under 1 it ends in wave 1: waits." in words
    assert "seed 1\n" in str(forecast(DONE))


def test_spans_read_as_people_say_them() -> None:
    """Seconds, minutes, hours, days."""
    assert ["0 s", "119 s", "2 min", "119 min", "2 h 00 min", "47 h 59 min", "2 d 00 h"] == [
        span(each) for each in (0, 119, 120, 119 * 60, 7200, 48 * 3600 - 60, 48 * 3600)
    ]
