"""``rackwave rollback`` and ``recover``."""

from __future__ import annotations

import click

from ..automation import Automation
from ..core.identity import Lineage
from ..core.recovery import POLICIES
from ..core.report import NodeStatus
from .app import Exit, Setting
from .lines import LINE
from .progress import run_watched
from .render import json_option, named_option, print_json
from .statuses import print_statuses


@click.command()
@click.argument("lineage", required=False)
@click.option("-n", "--nodes", metavar="NODES", help="Names, labels and ranges, or @all.")
@click.option(
    "--rollout", metavar="ROLLOUT", help="The nodes that this rollout brought to its bundle; --nodes narrows."
)
@click.option("--wave", type=click.IntRange(0), help="With --rollout: those of this wave.")
@click.option("--component", metavar="NAME", help="Only this component; what is assigned stays.")
@click.option("--reason", type=LINE, help="With --component: why, for whoever finds it so.")
@click.option("--forward", is_flag=True, help="With --component: end it, and write what the assigned bundle has.")
@click.option("--at-once", is_flag=True, help="All of them, however many the policy lets be away at once.")
@json_option
@click.pass_obj
def rollback(
    setting: Setting,
    /,
    lineage: str | None,
    nodes: str | None,
    rollout: str | None,
    wave: int | None,
    component: str | None,
    reason: str | None,
    forward: bool,
    at_once: bool,
    as_json: bool,
) -> int:
    """Bring nodes back to the bundle of LINEAGE that each carried before, or one component of them.

    Refused as a whole where one of them has no way back. No canary, no window: as many at once as wave_most,
    wave_percent and domain_most of the inventory's policy let be away, or all where they say nothing.
    """
    if (rollout is None) == (lineage is None):
        raise click.UsageError("it takes LINEAGE and --nodes, or --rollout")
    if lineage is not None and nodes is None:
        raise click.UsageError("Missing option '-n' / '--nodes': it names nodes, or @all.")
    if lineage is not None and wave is not None:
        raise click.UsageError("--wave goes with --rollout")
    if forward and (component is None or lineage is None or reason is not None):
        raise click.UsageError("--forward goes with LINEAGE, --nodes and --component, and without --reason")
    if not forward and (component is None) != (reason is None):
        raise click.UsageError("--component goes with --reason")

    async def work(automation: Automation) -> tuple[NodeStatus, ...]:
        back = automation.operator_recovery
        if rollout is not None:
            state = automation.control.find(rollout)
            return await back.rollback_rollout(
                state, wave=wave, nodes=nodes, component=component, reason=reason or "", at_once=at_once
            )
        if forward:
            return await back.bring_forward(nodes, Lineage(lineage or ""), component or "", at_once=at_once)
        return await automation.rollback(
            nodes, lineage or "", component=component, reason=reason or "", at_once=at_once
        )

    return _show_statuses(run_watched(setting, work, quiet=as_json), as_json=as_json)


@click.command()
@click.argument("lineage")
@named_option
@click.option("--policy", "ladder", type=click.Choice(list(POLICIES)), help="Which ladder; default: the inventory's.")
@json_option
@click.pass_obj
def recover(setting: Setting, lineage: str, nodes: str, ladder: str | None, as_json: bool) -> int:
    """Bring dead nodes back on the bundle of LINEAGE that is assigned to them, all at once.

    It restarts the hosts that are named, also those that are well.
    """

    async def work(automation: Automation) -> tuple[set[str], tuple[NodeStatus, ...]]:
        before = await automation.status(nodes)
        return _carried(before), await automation.recover(nodes, lineage, ladder=ladder)

    before, statuses = run_watched(setting, work, quiet=as_json)
    code = _show_statuses(statuses, as_json=as_json)
    is_elsewhere = _carried(statuses) != before  # recovered, but on another bundle than the assigned one
    return Exit.SOME_FAILED if code == Exit.DONE and is_elsewhere else code


def _show_statuses(statuses: tuple[NodeStatus, ...], *, as_json: bool) -> int:
    if as_json:
        print_json([status.document() for status in statuses])
    else:
        print_statuses(statuses)
    if any(status.state == "quarantined" for status in statuses):
        return Exit.SOME_FAILED
    return Exit.DONE if all(status.state == "assigned" for status in statuses) else Exit.WAITING


def _carried(statuses: tuple[NodeStatus, ...]) -> set[str]:
    return {f"{s.history.node} {held.bundle}" for s in statuses for held in s.history.assigned.values()}
