"""The threads in which blocking IPMI commands run: bounded, shared by every node of a process.

Rules:

- Nothing waits here that can wait on the loop. Whether a BMC is there at all is asked on the loop
  (`presence`), so that a rack without power costs no thread; a thread goes only to a BMC that has just
  answered, and each call in it has a deadline.
- Fair to nodes: at most one call a node is in the queue, for an adapter asks one thing at a time and
  takes its place anew with every command. A long upload is many short calls.
- A call that has begun is not left alone: who is cancelled waits until it is over, so that the session
  that it used is at rest and can be closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")

SIZE = 128
"""Threads of a process, made as they are needed. A command holds one for 0.1 to 20 ms on most BMCs, so that a
few serve thousands; but one that takes a second for each message holds one for as long, and a rack and a half
of those must leave some to the others. One that waits costs some 10 KiB. With 16 the quick half of a rack of
100 took 1.5 times as long beside a slow half; with 128 as long as without it."""


class Threads:
    """A pool of its own, for asyncio's default executor is shared with name look-ups and file access."""

    def __init__(self, size: int = SIZE) -> None:
        if size < 1:
            msg = f"a pool needs a thread, not {size}"
            raise ValueError(msg)
        self.size = size
        self._pool = ThreadPoolExecutor(size, thread_name_prefix="rackwave-ipmi")

    async def run(self, call: Callable[[], Result]) -> Result:
        """Run *call* in a thread; cancelled, wait for its end first, or take it out of the queue."""
        job = self._pool.submit(call)
        waiting = asyncio.wrap_future(job)
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            if not job.cancel():
                await _to_its_end(waiting)
            raise

    def close(self) -> None:
        """Take no more calls; those that run end by their own deadlines."""
        self._pool.shutdown(wait=False, cancel_futures=True)


async def _to_its_end(waiting: asyncio.Future[Result]) -> None:
    """Wait for a call whose caller was cancelled, however often that caller is cancelled again."""
    while not waiting.done():
        try:
            await asyncio.wait([waiting])
        except asyncio.CancelledError:
            continue
    if not waiting.cancelled():
        waiting.exception()  # nobody is left who wants to know
