"""``rackwave`` as a process that is stopped in the middle of an act, or that starts after much time has passed.

    python frozen_in_the_act.py stop-at PLACE deploy A.2      # SIGSTOPs itself at the first write, at PLACE
    python frozen_in_the_act.py later SECONDS deploy A.2      # lives SECONDS from now

PLACE is ``check``, right after the lease was checked for the last time before the write is handed to the adapter, or
``wire``, when the adapter has a connection to the BMC and is about to write the request to it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

import aiohttp

from rackwave.cli.app import main
from rackwave.clock import SystemClock
from rackwave.core.step import WriteImage
from rackwave.worker import worker_orchestrator

stopped = False


def stop() -> None:
    """Stop, the first time."""
    global stopped
    if not stopped:
        stopped = True
        os.kill(os.getpid(), signal.SIGSTOP)


def stop_after_the_check() -> None:
    """Arrange to be stopped where the worker orchestrator has checked its lease."""
    execute = worker_orchestrator.execute

    async def executed(prepared: Any, **named: Any) -> Any:
        if isinstance(prepared.step, WriteImage):
            stop()
        return await execute(prepared, **named)

    worker_orchestrator.execute = executed


def stop_on_the_wire() -> None:
    """Arrange to be stopped between the connection and the request."""
    connect = aiohttp.TCPConnector.connect

    async def connected(self: Any, request: Any, *args: Any, **named: Any) -> Any:
        connection = await connect(self, request, *args, **named)
        if request.method == "POST" and "UpdateService" in request.url.path:
            stop()
        return connection

    aiohttp.TCPConnector.connect = connected  # type: ignore[method-assign]


what, value, *words = sys.argv[1:]
if what == "later":
    SystemClock.now = lambda self: time.time() + float(value)  # type: ignore[method-assign]
elif value == "check":
    stop_after_the_check()
else:
    stop_on_the_wire()
sys.exit(main(words))
