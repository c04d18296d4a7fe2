"""The last word before an act leaves: is the node still ours?

The worker orchestrator checks the lease before it hands an act to an adapter. But a process may be stopped after that,
for hours, while another takes the node over and finishes the work; woken up, it would send what was right then. So the
permit travels with the act, and each adapter asks it again at the last moment: with the connection made, right before
the first byte. What is left is a stop between two instructions; a BMC keeps no idle connection and no session for as
long as a lease takes to run out (engine/leases.py), so that what is sent on them then goes nowhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

Permit: TypeAlias = Callable[[], Awaitable[None]]
"""Raises LeaseError where the node is no longer ours."""


async def _nobody_asks() -> None:
    pass


_PERMIT: ContextVar[Permit] = ContextVar("permit", default=_nobody_asks)


@contextmanager
def permitted(permit: Permit) -> Iterator[None]:
    """Have *permit* asked before whatever is sent within the block."""
    token = _PERMIT.set(permit)
    try:
        yield
    finally:
        _PERMIT.reset(token)


async def ask_permit() -> None:
    """Make sure that the act under way may be sent.

    Raises:
        LeaseError: the node was taken over; nothing must be sent.
    """
    await _PERMIT.get()()
