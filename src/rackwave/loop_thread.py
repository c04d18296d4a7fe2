"""One daemon thread that owns the only event loop; plain calls and notebooks submit to it.

No nested loops: a caller that has a loop of its own (Jupyter) is not asked to share it.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from .errors import StateError

T = TypeVar("T")


class LoopThread:
    """An event loop in a thread of its own, started when it is first needed."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start *work* on the loop and return its future.

        Raises:
            StateError: this object was made before a fork, in the parent.
        """
        if os.getpid() != self._pid:
            work.close()
            raise StateError(
                "this object belongs to the parent process",
                advice="Open a CentralAutomationSystem of its own in each process.",
            )
        if threading.current_thread() is self._thread:
            work.close()
            raise StateError(
                "a plain call was made from inside the event loop it needs",
                advice="In async code use the same methods of 'aio'.",
            )
        return asyncio.run_coroutine_threadsafe(work, self._running_loop())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do *work* on the loop and wait for its result. An interrupt leaves it running there."""
        return self.submit(work).result()

    def stop(self) -> None:
        """End the thread; whatever still runs on it is cancelled."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop, self._thread = None, None
        if loop is None or thread is None or os.getpid() != self._pid:
            return
        loop.call_soon_threadsafe(loop.stop)
        thread.join()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_serve, args=(self._loop,), name="rackwave-loop", daemon=True)
                self._thread.start()
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
