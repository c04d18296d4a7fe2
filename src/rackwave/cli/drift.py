"""``rackwave drift``."""

from __future__ import annotations

import click

from ..automation import Automation
from ..core.report import NodeStatus
from .app import Exit, Setting
from .render import json_option, nodes_option, print_json, print_table


@click.command()
@nodes_option
@click.option("--detailed-exit-code", is_flag=True, help="3: all are level; 4: one drifted; 5: one cannot be read.")
@json_option
@click.pass_obj
def drift(setting: Setting, nodes: str | None, detailed_exit_code: bool, as_json: bool) -> int:
    """Compare what nodes run and how they are set with the bundles that are assigned to them; touch nothing.

    What could not be read is told as such: it is no drift. A component that was set back on purpose is none either.
    """

    async def work(automation: Automation) -> tuple[NodeStatus, ...]:
        return await automation.status(nodes, look=True)

    statuses = setting.run(work)
    if as_json:
        print_json([document for each in statuses for document in each.drift_documents()])
    else:
        _print(statuses)
    found = [drift.state for each in statuses for drift in each.drift.values()]
    if not detailed_exit_code or not found:
        return Exit.DONE
    return Exit.SOME_FAILED if "drifted" in found else Exit.WAITING if "unread" in found else Exit.NOTHING_TO_DO


def _print(statuses: tuple[NodeStatus, ...]) -> None:
    rows = []
    for each in statuses:
        node = str(each.history.node)
        for drift in each.drift.values():
            head = (node, str(drift.bundle), drift.state)
            rows += [(*head, found.what, _shown(found.have), _shown(found.want), "") for found in drift.deviations]
            rows += [(*head, "", "", "", why) for why in drift.unread]
            if drift.state == "level":
                rows.append((*head, "", "", "", ""))
        if not each.drift:
            rows.append((node, "-", "unassigned", "", "", "", ""))
    print_table(["NODE", "BUNDLE", "STATE", "WHAT", "HAVE", "WANT", "NOTE"], rows)


def _shown(value: object) -> str:
    return "?" if value is None else str(value)
