"""``rackwave hold`` and ``unhold``."""

from __future__ import annotations

import click

from ..automation import Automation
from ..core.report import NodeStatus
from .app import Setting
from .lines import LINE
from .render import json_option, print_json
from .statuses import print_statuses
from .times import MOMENT


@click.command()
@click.argument("nodes")
@click.option("--reason", type=LINE, required=True, help="Why, for whoever finds it held.")
@click.option(
    "--until", type=MOMENT, help="When it ends by itself: 4h, 2d, or a date and time such as 2026-12-01T08:00."
)
@json_option
@click.pass_obj
def hold(setting: Setting, nodes: str, reason: str, until: float | None, as_json: bool) -> None:
    """Have NODES left alone: nothing is written to them and nothing restarts them until that is lifted.

    What runs already goes on; its next step waits. A rollout that is under way waits, too.
    """

    async def work(automation: Automation) -> tuple[NodeStatus, ...]:
        await automation.holds.hold(nodes, reason, until)
        return await automation.status(nodes)

    _show(setting.run(work), as_json=as_json)


@click.command()
@click.argument("nodes")
@json_option
@click.pass_obj
def unhold(setting: Setting, nodes: str, as_json: bool) -> None:
    """Lift the hold on NODES."""

    async def work(automation: Automation) -> tuple[NodeStatus, ...]:
        await automation.holds.unhold(nodes)
        return await automation.status(nodes)

    _show(setting.run(work), as_json=as_json)


def _show(statuses: tuple[NodeStatus, ...], *, as_json: bool) -> None:
    if as_json:
        print_json([each.document() for each in statuses])
    else:
        print_statuses(statuses)
