"""The embedded engine: one process, one event loop, one turn at a time a node.

A node that waits is an entry in a heap: no thread, no task, no lock. Because a turn looks again at
the world, nothing needs to be replayed: the engine stores wakes and signals, and that is all.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from ..core.identity import NodeName
from ..ports import Clock

Turn = Callable[[NodeName], Awaitable[float | None]]
"""Does one short turn of a node and returns the seconds until its next; None: the node is done."""


class EmbeddedEngine:
    """Drives the turns of many nodes.

    Args:
        clock: Waiting is done on it.
        at_once: Turns in flight at the same time. A turn mostly waits for its BMC and costs little more
            than the connection, which is kept between turns too; few places would all be taken by
            a rack of BMCs that need a second for each answer, and the quick ones would wait for them.
    """

    def __init__(self, clock: Clock, *, at_once: int = 5000) -> None:
        self._clock = clock
        self._at_once = at_once
        self._order = itertools.count()
        self._due: dict[NodeName, tuple[float, int]] = {}
        self._waiting: list[tuple[float, int, NodeName]] = []
        """A heap. An entry counts as long as ``_due`` says the same of its node: a wake only adds to it."""
        self._running: dict[NodeName, asyncio.Task[float | None]] = {}
        self._ended: list[NodeName] = []
        self._called: set[NodeName] = set()
        self._called_back: set[NodeName] = set()
        self._failures: list[Exception] = []
        self._stopping = False
        self._changed = asyncio.Event()

    def wake(self, nodes: Iterable[NodeName]) -> None:
        """Give *nodes* their next turn now instead of when they asked for it.

        A node whose turn is in flight gets it right after: it may have looked before there was news.
        """
        now = self._clock.monotonic()
        for node in nodes:
            if node in self._running:
                self._called.add(node)
            elif node in self._due and self._due[node][0] > now:
                self._wait(node, now, self._due[node][1])
        self._changed.set()

    def call_back(self, nodes: Iterable[NodeName]) -> None:
        """Give *nodes* their next turn now, also those that were done."""
        self.wake(nodes)
        for node in nodes:
            if node in self._running:
                self._called_back.add(node)
            elif node not in self._due:
                self._rest(node, 0.0)

    def stop(self) -> None:
        """Begin no further turn; turns in flight end by themselves."""
        self._stopping = True
        self._changed.set()

    async def run(self, nodes: Iterable[NodeName], turn: Turn) -> bool:
        """Drive *turn* until every node is done; False where ``stop`` came first.

        A turn that raises ends the run: what it could not write down cannot be gone on from here.
        Turns in flight still come to their end.

        Raises:
            ExceptionGroup: what the turns raised.
        """
        self._due, self._waiting, self._ended, self._failures = {}, [], [], []
        self._called, self._called_back = set(), set()
        for node in nodes:
            self._rest(node, 0.0)
        try:
            while self._running or (self._due and self._may_begin):
                self._begin_due(turn)
                await self._until_change()
                self._collect()
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)
            self._running.clear()
        if self._failures:
            raise ExceptionGroup("turns failed", self._failures)
        return not self._due

    @property
    def _may_begin(self) -> bool:
        return not self._stopping and not self._failures

    def _rest(self, node: NodeName, seconds: float) -> None:
        self._wait(node, self._clock.monotonic() + seconds, next(self._order))

    def _wait(self, node: NodeName, due: float, order: int) -> None:
        self._due[node] = due, order
        heapq.heappush(self._waiting, (due, order, node))

    def _next_due(self) -> float | None:
        """When the next turn is due; None: no node waits."""
        while self._waiting and self._due.get(self._waiting[0][2]) != self._waiting[0][:2]:
            heapq.heappop(self._waiting)
        return self._waiting[0][0] if self._waiting else None

    def _begin_due(self, turn: Turn) -> None:
        now = self._clock.monotonic()
        while self._may_begin and len(self._running) < self._at_once:
            due = self._next_due()
            if due is None or due > now:
                return
            _, _, node = heapq.heappop(self._waiting)
            del self._due[node]
            task = self._running[node] = asyncio.ensure_future(turn(node))
            task.add_done_callback(partial(self._end, node))

    def _end(self, node: NodeName, _: asyncio.Task[float | None]) -> None:
        self._ended.append(node)
        self._changed.set()

    async def _until_change(self) -> None:
        """Wait for the end of a turn, a signal, or the next wake."""
        timer: asyncio.Task[None] | None = None
        due = self._next_due()
        if due is not None and self._may_begin and len(self._running) < self._at_once:
            timer = asyncio.ensure_future(self._ring(due - self._clock.monotonic()))
        try:
            await self._changed.wait()
            self._changed.clear()
        finally:
            if timer is not None:
                timer.cancel()

    async def _ring(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._changed.set()

    def _collect(self) -> None:
        """Look at the turns that ended since we last did, and at no others: there may be thousands in flight."""
        ended, self._ended = self._ended, []
        for node in ended:
            task = self._running.pop(node)
            error = task.exception()
            if isinstance(error, Exception):
                self._failures.append(error)
            elif error is not None:
                raise error
            elif (seconds := task.result()) is not None:
                self._rest(node, 0.0 if node in self._called else seconds)
            elif node in self._called_back:
                self._rest(node, 0.0)
            self._called.discard(node)
            self._called_back.discard(node)
