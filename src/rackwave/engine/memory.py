"""Journal and leases that live in memory: for simulations, and for tests that kill a process in mind only."""

from __future__ import annotations

from collections.abc import Iterator

from ..core.event import Event, Recorded
from ..core.identity import NodeName
from ..errors import LeaseError
from ..ports import Clock
from .leases import Holder, Lease


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


class MemoryLeases:
    """Leases within one process: the last to acquire has the node, whoever had it before is fenced off."""

    def __init__(self) -> None:
        self._leases: dict[NodeName, Lease] = {}
        self._tokens: dict[NodeName, int] = {}

    async def acquire(self, node: NodeName, holder: Holder) -> Lease:
        """Take *node* with a token higher than any before."""
        token = self._tokens.get(node, 0) + 1
        self._tokens[node] = token
        lease = Lease(node, token, holder, taken_over=node in self._leases)
        self._leases[node] = lease
        return lease

    async def check(self, lease: Lease) -> None:
        """Raise LeaseError where *lease* is not the newest."""
        if self._leases.get(lease.node) != lease:
            raise LeaseError(f"The lease of {lease.node} (token {lease.token}) was taken over.")

    async def heartbeat(self) -> None:
        """Nothing grows stale in memory."""

    async def release(self, lease: Lease) -> None:
        """Let go of *lease*."""
        if self._leases.get(lease.node) == lease:
            del self._leases[lease.node]
