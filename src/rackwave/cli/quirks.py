"""``rackwave quirk``: what makes do differently, and what of that holds for a node."""

from __future__ import annotations

import json
from typing import Any

import click

from ..automation import Automation
from ..bmc.quirks import load_roster
from ..bmc.quirks.telling import concerns, facts_document, record_document, selection_document
from ..core.identity import NodeName
from ..errors import NodeError
from ..planning import each
from .app import Exit, Setting
from .render import json_option, print_json, print_table


@click.group()
def quirk() -> None:
    """What makes of BMC do otherwise than the standard says, and why we say so."""


@quirk.command("list")
@json_option
def list_quirks(as_json: bool) -> None:
    """List every record: those that ship, and those that other packages added."""
    records = load_roster().records
    if as_json:
        print_json([record_document(record) for record in records])
        return
    print_table(
        ["QUIRK", "CONCERNS", "DIFFERS", "WHY"],
        [(record.id, concerns(record.match), ", ".join(record.keys), record.why) for record in records],
    )


@quirk.command()
@click.argument("nodes")
@json_option
@click.pass_obj
def explain(setting: Setting, nodes: str, as_json: bool) -> int:
    """Say which records hold for NODES, what each changes and why, and which fail by the firmware alone.

    The BMCs are asked who they are; nothing is changed.
    """

    async def work(automation: Automation) -> list[dict[str, Any]]:
        async def one(node: NodeName) -> dict[str, Any]:
            try:
                return await _explained(automation, node)
            finally:
                await automation.fleet.release(node)

        return await each(one, [node.name for node in automation.fleet.select(nodes)])

    told = setting.run(work)
    if as_json:
        print_json(told)
    else:
        for number, node in enumerate(told):
            if number:
                click.echo()
            _print(node)
    return Exit.FAILED if any(node["problem"] is not None for node in told) else Exit.DONE


async def _explained(automation: Automation, node: NodeName) -> dict[str, Any]:
    bmc = await automation.fleet.redfish(node)
    problem: str | None = None
    try:
        # All that a record may ask for, so that firmware is told also where nothing hangs on it.
        await bmc.service.root()
        await bmc.service.system()
        await bmc.service.manager()
    except NodeError as error:
        problem = str(error)
    make = bmc.service.make
    return {
        "node": str(node),
        "problem": problem,
        "facts": facts_document(make.facts),
        **selection_document(make.selection),
    }


def _print(told: dict[str, Any]) -> None:
    known = [
        f"{name} {', '.join(value) if isinstance(value, list) else value}"
        for name, value in told["facts"].items()
        if value is not None
    ]
    click.echo(f"{told['node']}: {'; '.join(known) or 'it tells nothing of itself'}")
    if told["problem"] is not None:
        click.echo(f"  {told['problem']}")
    if not told["records"]:
        click.echo("  no record holds: it is spoken to as the standard says")
    for record in told["records"]:
        click.echo(f"  {record['id']} ({record['file']})")
        for key, value in record["differs"].items():
            click.echo(f"    {key} = {json.dumps(value, ensure_ascii=False)}")
        click.echo(f"    why: {record['why']}")
        click.echo(f"    since: {record['since']}; source: {record['source']}")
    for near in told["near"]:
        click.echo(f"  not {near['id']} ({near['file']}): {near['but']}")
