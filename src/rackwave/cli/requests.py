"""``rackwave request``: ask for a recovery, without doing it."""

from __future__ import annotations

import click

from ..automation import Automation
from ..core.identity import Lineage
from ..core.report import NodeStatus
from ..core.request import Want
from .app import Setting
from .lines import LINE
from .render import json_option, print_json
from .statuses import print_statuses


@click.command()
@click.argument("nodes")
@click.option("--evidence", metavar="TEXT", type=LINE, help="What is wrong, in one line.")
@click.option("--prior", is_flag=True, help="Its prior bundle is asked for, not the assigned one.")
@click.option("--lineage", metavar="LINEAGE", help="Of which lineage; default: that of the bundle committed last.")
@click.option("--by", metavar="NAME", type=LINE, default="", help="Who asks; default: this user and host.")
@click.option("--withdraw", is_flag=True, help="Take back what was asked for and was not begun yet.")
@json_option
@click.pass_obj
def request(
    setting: Setting,
    nodes: str,
    evidence: str | None,
    prior: bool,
    lineage: str | None,
    by: str,
    withdraw: bool,
    as_json: bool,
) -> None:
    """Ask that NODES get their bundle again: it is put on the record, and 'rackwave watch' does it.

    For a machine's own software, a monitoring system, or whoever is not to touch machines himself.
    """
    if withdraw == (evidence is not None) or (withdraw and (prior or lineage is not None or by)):
        raise click.UsageError("it takes --evidence, or --withdraw alone")

    async def work(automation: Automation) -> tuple[NodeStatus, ...]:
        if withdraw:
            await automation.requests.withdraw(nodes)
        else:
            want, line = Want.PRIOR if prior else Want.ASSIGNED, Lineage(lineage) if lineage is not None else None
            await automation.requests.ask(nodes, want, evidence or "", lineage=line, by=by)
        return await automation.status(nodes)

    statuses = setting.run(work)
    if as_json:
        print_json([status.document() for status in statuses])
    else:
        print_statuses(statuses)
