"""``rackwave doctor``."""

from __future__ import annotations

import click

from ..automation import Automation
from ..check import Check, Outcome
from ..doctor import examine
from .app import Exit, Setting
from .render import json_option, nodes_option, print_json, print_table


@click.command()
@nodes_option
@click.option("--no-reach", is_flag=True, help="Leave out the test fetch through virtual media.")
@json_option
@click.pass_obj
def doctor(setting: Setting, nodes: str | None, no_reach: bool, as_json: bool) -> int:
    """Check what a rollout will need of each node: login, clock, sessions, the way to the image server.

    And of the rack: the programs that the inventory names can be run, its webhooks' hosts take connections.

    Whether the BMC can reach the image server is tried by putting a small image into a free virtual
    drive and taking it out again; nothing is flashed and nothing restarts.
    """

    async def work(automation: Automation) -> tuple[Check, ...]:
        return await examine(automation, nodes, reach=not no_reach)

    checks = setting.run(work)
    if as_json:
        print_json([check.document() for check in checks])
    else:
        print_table(
            ["NODE", "CHECK", "OUTCOME", "DETAIL"],
            [
                ("-" if check.node is None else str(check.node), check.name, str(check.outcome), check.detail)
                for check in checks
            ],
        )
    return Exit.FAILED if any(check.outcome is Outcome.BAD for check in checks) else Exit.DONE
