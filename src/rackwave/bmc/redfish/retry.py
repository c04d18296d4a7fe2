"""Every retry policy, as values. What is not named here is sent exactly once."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from attrs import frozen
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_base,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from ...errors import BmcRefusedError, BmcUnreachableError, NodeError
from ...ports import Clock

T = TypeVar("T")


class DroppedError(BmcUnreachableError):
    """The connection broke after a GET was sent (P27); it may be sent again."""


class wait_as_told(wait_base):  # noqa: N801 - named as tenacity names its policies
    """Wait as long as the answer's Retry-After says and up to a quarter more, else as *otherwise* says.

    A rack whose BMCs were all told the same must not ask them all at the same moment.
    """

    def __init__(self, otherwise: wait_base) -> None:
        self._otherwise = otherwise

    def __call__(self, retry_state: RetryCallState) -> float:
        """Seconds to wait before the next attempt."""
        error = retry_state.outcome.exception() if retry_state.outcome else None
        if isinstance(error, BmcRefusedError) and error.retry_after is not None:
            told = max(error.retry_after, 0.1)  # "Retry-After: 0" is no leave for a busy loop
            return told * random.uniform(1.0, 1.25)  # noqa: S311 - chance, not secrecy
        return self._otherwise(retry_state)


class stop_at_deadline(stop_base):  # noqa: N801 - named as tenacity names its policies
    """Stop when the next wait would end past *deadline* on *clock*; never sleep toward a lost cause."""

    def __init__(self, clock: Clock, deadline: float) -> None:
        self._clock = clock
        self._deadline = deadline

    def __call__(self, retry_state: RetryCallState) -> bool:
        """Whether to give up."""
        return self._clock.monotonic() + retry_state.upcoming_sleep >= self._deadline


def _is_busy(error: BaseException) -> bool:
    return isinstance(error, BmcRefusedError) and error.status in (429, 503)


@frozen
class RetryPolicy:
    """What is tried again, after which wait, how often at most. The deadline comes with each call."""

    when: retry_base
    wait: wait_base
    stop: stop_base

    async def call(self, attempt: Callable[[], Awaitable[T]], *, clock: Clock, within: float) -> T:
        """Await *attempt* until it succeeds, or raise its last error once *within* seconds would be exceeded."""
        deadline = clock.monotonic() + within
        # The first attempt is made without tenacity, whose machinery costs 90 us where the request costs 140.
        try:
            return await attempt()
        except NodeError as error:
            first: NodeError | None = error

        async def again() -> T:
            nonlocal first
            if first is not None:
                failed, first = first, None
                raise failed
            return await attempt()

        retrying = AsyncRetrying(
            retry=self.when,
            wait=self.wait,
            stop=self.stop | stop_at_deadline(clock, deadline),
            sleep=clock.sleep,
            reraise=True,
        )
        return await retrying(again)


GET = RetryPolicy(
    when=retry_if_exception_type(DroppedError) | retry_if_exception(_is_busy),
    wait=wait_as_told(wait_exponential(multiplier=0.2, max=5.0) + wait_random(0, 0.3)),
    stop=stop_after_attempt(5),
)
"""Reads: a dropped connection (P27) or a busy BMC (P22). A BMC that cannot be reached at all is not
tried again here: the node's next turn does that, and meanwhile holds nothing."""

LOGIN = RetryPolicy(
    when=retry_if_exception(_is_busy),
    wait=wait_as_told(wait_exponential(multiplier=1.0, max=15.0) + wait_random(0, 1.0)),
    stop=stop_after_attempt(8),
)
"""The session cap (P26): 503 until somebody's session ends. Nothing else about a login is tried again;
a refusal above all never is, since a few more lock the account (P34)."""
