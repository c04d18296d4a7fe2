"""``rackwave status``, ``history`` and ``readmit``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ..automation import Automation
from ..core.event import Recorded
from ..core.identity import NodeName
from ..core.observation import Unknown
from ..core.report import NodeStatus, event_document, timestamp
from ..core.story import tell
from ..core.watching import amiss
from ..engine.chain import Head
from ..leave import words
from .app import Setting
from .render import json_option, nodes_option, print_json, print_table


@click.command()
@nodes_option
@click.option("--look", is_flag=True, help="Also ask each BMC: power, health, installed versions, drift.")
@json_option
@click.pass_obj
def status(setting: Setting, nodes: str | None, look: bool, as_json: bool) -> None:
    """Say which bundles nodes carry and where they stand; the journal knows, --look asks the BMCs too."""

    async def work(automation: Automation) -> tuple[NodeStatus, ...]:
        return await automation.status(nodes, look=look)

    statuses = setting.run(work, read_only=not look)
    if as_json:
        print_json([each.document() for each in statuses])
    else:
        print_statuses(statuses)


def print_statuses(statuses: Sequence[NodeStatus]) -> None:
    """Print one line a node."""
    looked = any(each.seen is not None for each in statuses)
    headings = ["NODE", "STATE", "ASSIGNED", "PRIOR", *(["POWER", "POST", "HEALTH", "INSTALLED"] if looked else [])]
    rows = []
    for each in statuses:
        history, seen = each.history, each.seen
        row = [
            str(history.node),
            each.state,
            ", ".join(str(held.bundle) for held in history.assigned.values()) or "-",
            ", ".join(str(held.bundle) for held in history.prior.values()) or "-",
        ]
        if looked and seen is not None:
            words = [f"{name} {component.installed}" for name, component in sorted(seen.components.items())] + [
                line for drift in each.drift.values() for line in drift.lines
            ]
            row += [_short(seen.power), _short(seen.post), _short(seen.health), "; ".join(words)]
        note = _note(each)
        rows.append([*row, note])
    print_table([*headings, "NOTE"], rows)


def _note(status: NodeStatus) -> str:
    """What a person should know of the node first."""
    history = status.history
    if history.quarantined is not None:
        return "; ".join(history.quarantined)
    told = [words(history.hold)] if history.hold is not None else []
    told += map(str, history.set_back)
    if history.held_back:
        told.append(f"waits: {history.held_back}")
    seen = status.seen
    if seen is not None and isinstance(seen.power, Unknown) and isinstance(seen.health, Unknown):
        told.append(seen.power.reason)  # nothing was read, and the table has no room to say so in every column
    elif seen is None:
        told += amiss(history.sightings)
    return "; ".join(told) or status.held_by


class _TellsByDefault(click.Group):
    """``rackwave history [NODES]`` is ``rackwave history tell [NODES]``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, *self.get_help_option_names(ctx)):
            args = ["tell", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_TellsByDefault)
def history() -> None:
    """Tell what happened, of everything or of NODES: what ran, who asked, on which evidence.

    rackwave history [NODES] [--json] tells; 'verify' shows that nobody changed what is told.
    """


@history.command()
@click.option("--since", metavar="HEAD", help="A head that was noted earlier: the journal must still lead on from it.")
@json_option
@click.pass_obj
def verify(setting: Setting, since: str | None, as_json: bool) -> None:
    """Follow the journal's chain of digests; print its head, to be noted where nobody can change it."""
    noted = Head.parse(since) if since is not None else None
    head = setting.automation(needs_inventory=False, read_only=True).records.verify(noted)
    if as_json:
        print_json({"events": head.number, "head": str(head), "since": str(noted) if noted is not None else None})
        return
    click.echo(f"{head.number} events, each as it was written{f', and on from event {noted.number}' if noted else ''}")
    click.echo(f"head: {head}")


@history.command(name="tell")
@click.argument("nodes", required=False)
@json_option
@click.pass_obj
def tell_history(setting: Setting, nodes: str | None, as_json: bool) -> None:
    """Tell what happened, of everything or of NODES: what ran, who asked, on which evidence."""

    async def work(automation: Automation) -> list[Recorded]:
        return list(automation.history(nodes))

    recorded = setting.run(work, read_only=True)
    if as_json:
        print_json([event_document(each) for each in recorded])
        return
    for each in recorded:
        click.echo(f"{timestamp(each.at)}  {getattr(each.event, 'node', ''):12}  {tell(each.event)}")


@click.command()
@click.argument("nodes")
@click.option("--reason", required=True, help="What you found.")
@json_option
@click.pass_obj
def readmit(setting: Setting, nodes: str, reason: str, as_json: bool) -> None:
    """Take NODES out of quarantine, once a person has looked at them."""

    async def work(automation: Automation) -> tuple[tuple[NodeName, ...], tuple[NodeStatus, ...]]:
        return await automation.readmit(nodes, reason), await automation.status(nodes)

    readmitted, statuses = setting.run(work)
    if as_json:
        print_json([each.document() for each in statuses])
        return
    click.echo(f"Readmitted: {', '.join(readmitted)}." if readmitted else "None of them was in quarantine.")
    print_statuses(statuses)


def _short(value: object) -> str:
    return "unknown" if isinstance(value, Unknown) else str(value)
