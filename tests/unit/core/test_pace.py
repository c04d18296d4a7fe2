"""The pace of looks: few while nothing can have changed, and never late by more than is promised."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwave.core.identity import ComponentName
from rackwave.core.observation import Power
from rackwave.core.pace import Durations, away, first_look, next_look, refused
from rackwave.core.policy import Policy
from rackwave.core.step import ResetHost, ResetKind, StageSettings, Step
from values import BIOS, bmc_reset, image, write

POLICY = Policy()
RESET = ResetHost(ResetKind.FORCE_RESTART, ("bios",), Power.ON, "1")
FLASH = write(image(BIOS, "2"))
DURATIONS = st.floats(1.0, 7200.0)
POLICIES = st.builds(Policy, poll=st.floats(0.1, 10.0), late=st.floats(0.05, 0.5), poll_most=st.floats(10.0, 300.0))


def looks(
    policy: Policy,
    takes: float,
    *,
    percent: Callable[[float], int | None] = lambda _: None,
    usual: float | None = None,
    first: float | None = None,
) -> list[float]:
    """Return when something is looked at that ends after *takes* seconds, the last time being the first after it."""
    moments = [policy.poll if first is None else first]
    while moments[-1] < takes:
        now = moments[-1]
        moments.append(now + next_look(policy, now, percent=percent(now), usual=usual))
    return moments


def evenly(takes: float) -> Callable[[float], int]:
    """Return the percentage that a BMC tells whose progress is even, cut off to a whole number."""
    return lambda now: min(99, int(100 * now / takes))


@given(takes=DURATIONS, policy=POLICIES)
def test_an_end_of_which_nothing_tells_is_seen_a_small_fraction_late(takes: float, policy: Policy) -> None:
    """It is seen at most the promised fraction after it, or one poll, or the longest wait, whichever rules."""
    late = looks(policy, takes)[-1] - takes

    assert late <= max(policy.poll, min(policy.late * takes, policy.poll_most)) + 1e-6


@given(takes=DURATIONS)
def test_looks_grow_like_the_logarithm_of_the_duration(takes: float) -> None:
    """Beyond what the longest wait costs, ten times the duration costs the same few looks more."""
    steady = POLICY.poll / POLICY.late
    few = steady / POLICY.poll + math.log(max(takes / steady, 1.0)) / math.log(1 + POLICY.late)

    assert len(looks(POLICY, takes)) <= few + takes / POLICY.poll_most + 3


@given(takes=DURATIONS)
def test_an_even_percentage_tells_the_end(takes: float) -> None:
    """It is seen a fiftieth late, or a poll, after no more looks than the longest wait asks for and twenty."""
    seen = looks(POLICY, takes, percent=evenly(takes))

    assert seen[-1] - takes <= 0.05 * takes + 1.5 * POLICY.poll
    assert len(seen) <= 20 + takes / POLICY.poll_most


@given(takes=DURATIONS, told=st.lists(st.integers(0, 100), min_size=1))
def test_a_percentage_that_lies_costs_a_bounded_time(takes: float, told: list[int]) -> None:
    """Whatever it says, the end is seen within one and a half times what it took, five polls or the longest wait."""
    words = iter(told * 8000)
    seen = looks(POLICY, takes, percent=lambda _: next(words))

    assert seen[-1] - takes <= min(max(1.5 * takes, 5 * POLICY.poll), POLICY.poll_most)


def test_a_percentage_that_sticks_is_not_asked_for_every_poll() -> None:
    """Two hours at 99 % are no two hours of a look each 2 s."""
    seen = looks(POLICY, 7200.0, percent=lambda now: min(99, int(now)))

    assert len(seen) < 300


@given(usual=st.floats(5.0, 3600.0), share=st.floats(0.9, 1.1))
def test_what_took_its_time_before_is_left_alone_until_then(usual: float, share: float) -> None:
    """Its end is seen within a twentieth, a poll, or where it came early the last tenth that nobody looked."""
    first = max(2 * POLICY.poll, next_look(POLICY, 0.0, usual=usual))
    seen = looks(POLICY, share * usual, usual=usual, first=first)

    assert seen[-1] - share * usual <= max(0.1 * usual, 2 * POLICY.poll) + 1e-6
    assert len(seen) <= 10 + usual / POLICY.poll_most


@given(elapsed=st.floats(0.0, 1e5), percent=st.none() | st.integers(0, 100), usual=st.none() | st.floats(0.0, 1e5))
def test_no_wait_is_shorter_than_poll_or_longer_than_most(
    elapsed: float, percent: int | None, usual: float | None
) -> None:
    """Whatever is known, the bounds of the policy hold, and a deadline is not passed by more than a poll."""
    wait = next_look(POLICY, elapsed, percent=percent, usual=usual)
    bound = next_look(POLICY, elapsed, percent=percent, usual=usual, deadline=7.0)

    assert POLICY.poll <= wait <= POLICY.poll_most
    assert bound <= 7.0


def test_a_poll_longer_than_the_longest_wait_stands() -> None:
    """Who asks for a look every five minutes gets no more."""
    assert 300.0 == next_look(Policy(poll=300.0), 1000.0)


@given(waited=st.floats(0.0, 1e4))
def test_bmcs_that_are_away_are_not_asked_in_step(waited: float) -> None:
    """A hundred that went together are tried over a quarter of the wait, and each the same way again."""
    waits = [away(POLICY, waited, f"r1n{n:02}") for n in range(100)]

    assert waits == [away(POLICY, waited, f"r1n{n:02}") for n in range(100)]
    assert max(waits) - min(waits) > 0.15 * min(waits)
    assert 2.0 <= min(waits)
    assert max(waits) <= 37.5


@given(told=st.floats(0.0, 3600.0), refused_for=st.floats(0.0, 1e5))
def test_what_is_refused_is_asked_again_after_the_time_told_and_not_in_step(told: float, refused_for: float) -> None:
    """Never sooner than the BMC said, and no later than it said or a look would come, and a quarter."""
    waits = [refused(POLICY, told, refused_for, f"r1n{n:02}") for n in range(100)]

    assert waits == [refused(POLICY, told, refused_for, f"r1n{n:02}") for n in range(100)]
    assert max(told, POLICY.poll) <= min(waits)
    assert max(waits) <= 1.25 * max(told, next_look(POLICY, refused_for))
    assert max(waits) - min(waits) > 0.15 * min(waits)


def test_a_silent_bmc_is_tried_less_and_less_often() -> None:
    """From a poll to half a minute."""
    short, long = away(POLICY, 0.0, "a"), away(POLICY, 600.0, "a")

    assert short <= 2.5
    assert long >= 30.0


@pytest.mark.parametrize(
    ("step", "usual", "seconds"),
    [
        (FLASH, 600.0, 2.0),
        (StageSettings("settings", {"A": 1}, {"A": 0}), None, 1.0),
        (RESET, None, 4.0),
        (RESET, 50.0, 45.0),
        (RESET, 500.0, 60.0),
        (bmc_reset("1"), None, 4.0),
    ],
)
def test_first_look_at_what_was_sent(step: Step, usual: float | None, seconds: float) -> None:
    """A write may fail at once and is looked at soon; nothing restarts in 2 s."""
    assert seconds == first_look(POLICY, step, usual=usual)


def test_the_shortest_time_of_the_closest_kin_counts() -> None:
    """A node's own past comes before that of its make, and of what is known the shortest is believed."""
    known = Durations()
    known.add(RESET, 300.0, node="a", make=("Contoso", "X"))
    known.add(RESET, 150.0, node="b", make=("Contoso", "X"))
    known.add(RESET, 200.0, node="a", make=("Contoso", "X"))

    assert 200.0 == known.usual(RESET, node="a", make=("Contoso", "X"))
    assert 150.0 == known.usual(RESET, node="c", make=("Contoso", "X"))
    assert None is known.usual(RESET, node="c", make=("Contoso", "Y"))
    assert None is known.usual(RESET, node="c")


def test_a_write_is_timed_by_its_image() -> None:
    """What one node took for an image says what the next will; another image of that component says nothing."""
    known = Durations()
    known.add(FLASH, 240.0, node="a")

    assert 240.0 == known.usual(FLASH, node="b")
    assert None is known.usual(write(image(ComponentName("NIC"), "3")), node="b")
