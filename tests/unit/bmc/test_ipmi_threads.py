"""The pool of threads for IPMI: bounded, fair, and at rest before a cancelled caller goes on."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from rackwave.bmc.ipmi.threads import Threads


def test_no_more_threads_than_said() -> None:
    """However many calls wait, no more than the pool's size run, and none of them on the loop's thread."""
    running: list[int] = []
    most: list[int] = []
    names: set[str] = set()

    def call() -> None:
        running.append(1)
        most.append(len(running))
        names.add(threading.current_thread().name.rpartition("_")[0])
        time.sleep(0.01)
        running.pop()

    async def main() -> None:
        threads = Threads(3)
        await asyncio.gather(*(threads.run(call) for _ in range(30)))
        threads.close()

    asyncio.run(main())

    assert 3 == max(most)
    assert {"rackwave-ipmi"} == names


def test_a_cancelled_caller_waits_for_its_call() -> None:
    """Who is cancelled, even twice, goes on only when its call is over."""
    ended: list[float] = []

    def call() -> None:
        time.sleep(0.1)
        ended.append(time.monotonic())

    async def main() -> float:
        threads = Threads(1)
        task = asyncio.ensure_future(threads.run(call))
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        threads.close()
        return time.monotonic()

    back = asyncio.run(main())

    assert len(ended) == 1
    assert back >= ended[0]


def test_a_call_that_has_not_begun_never_does() -> None:
    """Cancelled in the queue, a call is taken out of it, and its caller goes on at once."""
    began: list[str] = []
    gate = threading.Event()

    async def main() -> None:
        threads = Threads(1)
        first = asyncio.ensure_future(threads.run(gate.wait))
        second = asyncio.ensure_future(threads.run(lambda: began.append("second")))
        await asyncio.sleep(0.02)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        gate.set()
        await first
        threads.close()

    asyncio.run(main())

    assert [] == began


def test_nodes_take_turns() -> None:
    """A node that asks a thousand things does not hold up one that asks a few: each command queues anew."""
    order: list[str] = []

    async def node(threads: Threads, name: str, commands: int) -> None:
        for _ in range(commands):
            await threads.run(lambda: order.append(name))

    async def main() -> None:
        threads = Threads(1)
        await asyncio.gather(node(threads, "long", 200), node(threads, "short", 5))
        threads.close()

    asyncio.run(main())

    assert max(place for place, name in enumerate(order) if name == "short") < 40


def test_a_pool_has_a_thread() -> None:
    """A pool of no size is refused."""
    with pytest.raises(ValueError, match="needs a thread"):
        Threads(0)
