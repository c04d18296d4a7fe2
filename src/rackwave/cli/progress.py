"""A rollout as it happens: a live table on a terminal, one plain line an event anywhere else."""

from __future__ import annotations

import asyncio
import math
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import click

from ..automation import Automation
from ..core import event as ev
from ..core.identity import NodeName, RolloutId
from ..core.release_event import AboutReleases
from ..core.rollout import RolloutState
from ..core.story import tell
from .app import Setting

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

T = TypeVar("T")

QUIET = (
    ev.SessionOpened,
    ev.SessionClosed,
    ev.Identified,
    ev.ImageFetched,
    ev.Completing,
    ev.Acted,
    ev.Reading,
    ev.Notified,
)
"""Events that are for the history, not for someone who watches."""

_MOST_ROWS = 40

_LOOK_AHEAD = 5.0
"""Seconds between two estimates of when it will be done."""


class Progress:
    """Subscribes to events; ``with`` it, so that the terminal is left as it was found."""

    def __init__(self, *, quiet: bool = False, eta: Callable[[RolloutId], object] = lambda _: None) -> None:
        """*eta* says when a rollout will be done, None where it is over."""
        self._quiet = quiet
        self._eta = eta
        self._etas: dict[RolloutId, str] = {}
        self._asked = -math.inf
        self._live: Live | None = None
        self._wave: dict[NodeName, int] = {}
        self._lines: dict[NodeName, str] = {}
        self._done: dict[NodeName, ev.NodeResult] = {}
        self._titles: dict[RolloutId, str] = {}

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console  # late: only a terminal needs it
            from rich.live import Live

            self._live = Live(self._table(), console=Console(stderr=True), refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.update(self._table(), refresh=True)
            self._live.stop()

    def go_on(self, rollout: RolloutState) -> None:
        """Show where an unfinished rollout stands that an earlier process began."""
        self._note(
            ev.RolloutStarted(rollout.id, rollout.bundle, rollout.digest, rollout.waves, rollout.policy, rollout.by)
        )
        if rollout.wave >= 0:
            self._note(ev.WaveStarted(rollout.id, rollout.wave))
        for node in rollout.nodes:
            if node in rollout.results:
                self._note(rollout.results[node])
        if self._live is not None:
            self._live.update(self._table())
        elif not self._quiet:
            done, left = len(rollout.results), len(rollout.nodes) - len(rollout.results)
            click.echo(
                f"going on with rollout {rollout.id} of {rollout.bundle}: {done} nodes done, {left} left", err=True
            )

    def __call__(self, recorded: ev.Recorded) -> None:
        """Show one event."""
        event = recorded.event
        self._note(event)
        if self._live is not None:
            self._live.update(self._table())
        elif not self._quiet and not isinstance(event, QUIET):
            node = getattr(event, "node", "")
            moment = time.strftime("%H:%M:%S", time.localtime(recorded.at))
            click.echo(f"{moment} {node:12} {tell(event)}", err=True)

    def _note(self, event: ev.Event) -> None:
        match event:
            case ev.RolloutStarted(rollout, bundle, _, waves):
                self._titles[rollout] = f"Rollout {rollout} of {bundle}"
                self._wave |= {node: index for index, wave in enumerate(waves) for node in wave}
                for node in (node for wave in waves for node in wave):  # it may be done in an earlier one
                    self._done.pop(node, None)
            case ev.NodeFinished(_, node, result):
                self._done[node] = result
                self._lines[node] = tell(event)
            case ev.AboutRollouts():
                title = self._titles.get(event.rollout, f"Rollout {event.rollout}").partition(" - ")[0]
                self._titles[event.rollout] = f"{title} - {tell(event)}"
            case AboutReleases() | ev.Notified():
                pass
            case _ if not isinstance(event, QUIET):
                self._lines[event.node] = tell(event)
            case _:
                pass

    def _title(self, rollout: RolloutId) -> str:
        return " - ".join(part for part in (self._titles[rollout], self._etas.get(rollout, "")) if part)

    def _look_ahead(self) -> None:
        """Work out anew when each rollout will be done, now and then: it looks at every node that is left."""
        if time.monotonic() - self._asked >= _LOOK_AHEAD:
            self._asked = time.monotonic()
            found = {rollout: self._eta(rollout) for rollout in self._titles}
            self._etas = {rollout: str(eta) for rollout, eta in found.items() if eta is not None}

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        self._look_ahead()
        table = Table(
            title="\n".join(self._title(rollout) for rollout in self._titles) or "Looking at the nodes",
            box=None,
            title_justify="left",
            expand=True,
        )
        for heading, width in (("NODE", 14), ("WAVE", 4), ("STATE", 12)):
            table.add_column(heading, width=width, no_wrap=True)
        table.add_column("LATEST", no_wrap=True, overflow="ellipsis", ratio=1)
        names = list(self._wave or self._lines)
        busy = [name for name in names if name not in self._done]
        shown = (busy + [name for name in names if name in self._done])[:_MOST_ROWS]
        for name in sorted(shown, key=names.index):
            result = self._done.get(name)
            state = str(result) if result else "waiting" if name not in self._lines else "under way"
            style = {"on-new": "green", "rolled-back": "yellow", "quarantined": "red"}.get(state, "")
            wave = str(self._wave.get(name, ""))
            table.add_row(str(name), wave, Text(state, style=style), Text(self._lines.get(name, "")))
        if len(names) > len(shown):
            table.add_row("…", "", "", Text(f"{len(names) - len(shown)} more; {len(self._done)} of {len(names)} done"))
        return table


def run_watched(setting: Setting, work: Callable[[Automation], Awaitable[T]], *, quiet: bool) -> T:
    """Do *work* with live progress; the first Ctrl-C (or SIGTERM) asks it to stop at a safe point."""

    async def whole() -> T:
        async with setting.automation() as automation:
            with Progress(quiet=quiet, eta=automation.eta) as progress:
                automation.subscribe(progress, going_on=progress.go_on)
                loop = asyncio.get_running_loop()

                def interrupted() -> None:
                    automation.stop()
                    for number in (signal.SIGINT, signal.SIGTERM):
                        loop.remove_signal_handler(number)  # the second one ends the process
                    with suppress(OSError):  # whoever read it may be gone, and the signal must count all the same
                        click.echo("Stopping at the next safe point; the same command goes on later.", err=True)

                for number in (signal.SIGINT, signal.SIGTERM):
                    loop.add_signal_handler(number, interrupted)
                return await work(automation)

    return asyncio.run(whole())
