"""The status of nodes as it changes: a table that stays on a terminal, one line a change anywhere else."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import click

from ..automation import Automation
from ..core.report import NodeStatus
from .render import table
from .statuses import status_table

if TYPE_CHECKING:
    from rich.live import Live


class LiveStatus:
    """Shows the status of nodes each time that something of it changed; ``with`` it."""

    def __init__(self, *, as_json: bool, terminal: bool) -> None:
        self._as_json = as_json
        self._live: Live | None = None
        self._terminal = terminal and not as_json
        self._shown: dict[str, object] = {}

    def __enter__(self) -> Self:
        if self._terminal:
            from rich.live import Live

            self._live = Live(auto_refresh=False)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, statuses: Sequence[NodeStatus]) -> None:
        """Show *statuses*: on a terminal all of them, elsewhere what is not as it was shown last."""
        if self._live is not None:
            self._live.update(table(*status_table(statuses)), refresh=True)
            return
        headings, rows = status_table(statuses)
        for status, row in zip(statuses, rows, strict=True):
            node = str(status.history.node)
            now: object = status.document() if self._as_json else row[1:]
            if self._shown.get(node) == now:
                continue
            self._shown[node] = now
            if self._as_json:
                click.echo(json.dumps(now, ensure_ascii=False))
            else:
                told = ", ".join(
                    f"{heading.lower()} {cell}" for heading, cell in zip(headings[1:], row[1:], strict=True) if cell
                )
                click.echo(f"{time.strftime('%H:%M:%S')} {node:12} {told}")


async def follow(automation: Automation, shown: LiveStatus, nodes: str | None, *, look: bool, every: float) -> None:
    """Show the status of *nodes* anew each *every* seconds, until SIGINT or SIGTERM."""
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    while not stopped.is_set():
        shown.show(await automation.status(nodes, look=look))
        with suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), every)
