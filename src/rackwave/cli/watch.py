"""``rackwave watch``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import click

from ..automation import Automation
from ..core.event import ConditionChanged, Recorded
from ..core.report import NodeStatus, event_document
from ..core.story import tell
from ..core.watching import amiss
from .app import Exit, Setting
from .progress import QUIET, run_watched
from .statuses import print_statuses


@click.command()
@click.argument("nodes", required=False)
@click.option("--once", is_flag=True, help="Look at each node once, twice where that is called for, act, and end.")
@click.option("--json", "as_json", is_flag=True, help="A JSON document a line, for each thing that changes.")
@click.pass_obj
def watch(setting: Setting, nodes: str | None, once: bool, as_json: bool) -> int:
    """Watch all nodes, or NODES: tell what changes, and bring a dead machine back on its bundle.

    It runs until it is interrupted, as a service does. [watch] in the inventory says how closely it looks, what
    counts as dead, and whether nodes that differ from their bundle are only told or brought back to it.
    """

    async def work(automation: Automation) -> tuple[NodeStatus, ...]:
        names = [node.name for node in automation.fleet.select(nodes)]
        automation.subscribe(_printer(as_json=as_json))
        if not as_json:
            click.echo(f"Watching {len(names)} nodes.", err=True)
        await automation.watch.run(names, once=once)
        return await automation.status(nodes)

    statuses = run_watched(setting, work, quiet=True)
    if not once:
        return Exit.DONE
    if not as_json:
        print_statuses(statuses)
    are_well = all(each.state in ("assigned", "unassigned") and not amiss(each.history.sightings) for each in statuses)
    return Exit.DONE if are_well else Exit.SOME_FAILED


def _printer(*, as_json: bool) -> Callable[[Recorded], None]:
    def show(recorded: Recorded) -> None:
        event = recorded.event
        if isinstance(event, QUIET):
            return
        if as_json:
            changed = (event.what, event.before, event.after) if isinstance(event, ConditionChanged) else (None,) * 3
            document = {**event_document(recorded), **dict(zip(("what", "before", "after"), changed, strict=True))}
            line = json.dumps(document, ensure_ascii=False)
        else:
            moment = time.strftime("%H:%M:%S", time.localtime(recorded.at))
            line = f"{moment} {getattr(event, 'node', ''):12} {tell(event)}"
        click.echo(line)  # which writes it out at once: whoever reads it is another program

    return show
