"""``rackwave status``, ``history`` and ``readmit``."""

from __future__ import annotations

import sys

import click

from ..automation import Automation
from ..core.event import Recorded
from ..core.identity import NodeName
from ..core.report import NodeStatus, event_document, timestamp
from ..core.story import tell
from ..engine.chain import Head
from .app import Setting
from .lines import LINE
from .live import LiveStatus, follow
from .render import json_option, nodes_option, print_json
from .statuses import print_statuses


@click.command()
@nodes_option
@click.option("--look", is_flag=True, help="Also ask each BMC: power, health, installed versions, drift.")
@click.option("--watch", "is_live", is_flag=True, help="Stay, and show it as it changes; Ctrl-C ends that.")
@click.option("--every", type=click.FloatRange(0.2), help="With --watch: seconds between looks; 2, with --look 30.")
@json_option
@click.pass_obj
def status(setting: Setting, nodes: str | None, look: bool, is_live: bool, every: float | None, as_json: bool) -> None:
    """Say which bundles nodes carry and where they stand; the journal knows, --look asks the BMCs too.

    With --watch it stays: what other processes do shows as they journal it. Where its output is no terminal it prints
    a line for each change, with --json a document.
    """
    if every is not None and not is_live:
        raise click.UsageError("--every goes with --watch")
    if is_live:
        with LiveStatus(as_json=as_json, terminal=sys.stdout.isatty()) as shown:
            seconds = every or (30.0 if look else 2.0)
            setting.run(lambda a: follow(a, shown, nodes, look=look, every=seconds), read_only=not look)
        return

    async def work(automation: Automation) -> tuple[NodeStatus, ...]:
        return await automation.status(nodes, look=look)

    statuses = setting.run(work, read_only=not look)
    if as_json:
        print_json([each.document() for each in statuses])
    else:
        print_statuses(statuses)


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
@click.option("--reason", type=LINE, required=True, help="What you found.")
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
