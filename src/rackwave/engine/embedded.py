"""The embedded engine: one process, one event loop, one turn at a time a node.

A node that waits is an entry in a heap: no thread, no task, no lock. Because a turn looks again at
the world, nothing needs to be replayed: the engine stores wakes and signals, and that is all.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable, Iterable

from ..core.identity import NodeName
from ..ports import Clock

Turn = Callable[[NodeName], Awaitable[float | None]]
"""Does one short turn of a node and returns the seconds until its next; None: the node is done."""


class EmbeddedEngine:
    """Drives the turns of many nodes.

    Args:
        clock: Waiting is done on it.
        at_once: Turns in flight at the same time. A turn mostly waits for its BMC; 500 of them cost
            about 150 MB of TLS buffers.
    """

    def __init__(self, clock: Clock, *, at_once: int = 500) -> None:
        self._clock = clock
        self._at_once = at_once
        self._stopping = False
        self._changed = asyncio.Event()
        self._called: set[NodeName] = set()

    def wake(self, nodes: Iterable[NodeName]) -> None:
        """Give *nodes* their next turn now instead of when they asked for it."""
        self._called.update(nodes)
        self._changed.set()

    def stop(self) -> None:
        """Begin no further turn; turns in flight end by themselves."""
        self._stopping = True
        self._changed.set()

    async def run(self, nodes: Iterable[NodeName], turn: Turn) -> bool:
        """Drive *turn* until every node is done; False where ``stop`` came first.

        Raises:
            ExceptionGroup: turns raised; nodes with other turns in flight were let finish those.
        """
        order = itertools.count()
        now = self._clock.monotonic()
        heap: list[tuple[float, int, NodeName]] = [(now, next(order), node) for node in nodes]
        heapq.heapify(heap)
        running: dict[asyncio.Task[float | None], NodeName] = {}
        failures: list[Exception] = []
        timer: asyncio.Task[None] | None = None
        try:
            while running or (heap and not self._stopping and not failures):
                now = self._clock.monotonic()
                while (
                    heap and not self._stopping and not failures and heap[0][0] <= now and len(running) < self._at_once
                ):
                    _, _, node = heapq.heappop(heap)
                    task = asyncio.ensure_future(turn(node))
                    task.add_done_callback(lambda _: self._changed.set())
                    running[task] = node
                if heap and len(running) < self._at_once and heap[0][0] > now:
                    timer = asyncio.ensure_future(self._ring(heap[0][0] - now))
                await self._changed.wait()
                self._changed.clear()
                if timer is not None:
                    timer.cancel()
                    timer = None
                for task in [task for task in running if task.done()]:
                    node = running.pop(task)
                    error = task.exception()
                    if isinstance(error, Exception):
                        failures.append(error)
                    elif error is not None:
                        raise error
                    elif (wait := task.result()) is not None:
                        heapq.heappush(heap, (self._clock.monotonic() + wait, next(order), node))
        finally:
            if timer is not None:
                timer.cancel()
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        if failures:
            raise ExceptionGroup("turns failed", failures)
        return not heap

    async def _ring(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._changed.set()
