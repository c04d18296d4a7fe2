"""``rackwave adopt``."""

from __future__ import annotations

from pathlib import Path

import click

from ..adoption import AdoptionReport
from ..automation import Automation
from ..core.identity import Lineage
from .app import Exit, Setting
from .render import json_option, nodes_option, print_json, print_table


@click.command()
@click.argument("lineage")
@nodes_option
@click.option(
    "--from",
    "packages",
    type=click.Path(path_type=Path),
    help="A folder with the firmware that runs: packages of vendors, or images with a sidecar.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be taken in and what is missing; write nothing.")
@json_option
@click.pass_obj
def adopt(
    setting: Setting, lineage: str, nodes: str | None, packages: Path | None, dry_run: bool, as_json: bool
) -> int:
    """Take nodes that run already in as they are found: as LINEAGE.0, to which a deployment that fails goes back.

    It changes nothing on any machine. What cannot be brought back, since no image of it is known, is told.
    """

    async def work(automation: Automation) -> AdoptionReport:
        chosen = automation.fleet.select(nodes)
        return await automation.adopting.adopt(Lineage(lineage), chosen, packages, dry_run=dry_run)

    report = setting.run(work)
    if as_json:
        print_json(report.document())
    else:
        _print(report, dry_run=dry_run)
    if not report.adopted:
        return Exit.FAILED
    is_whole = not report.left and not any(taken.missing for taken in report.nodes.values())
    return Exit.DONE if is_whole else Exit.SOME_FAILED


def _print(report: AdoptionReport, *, dry_run: bool) -> None:
    rows = [(str(node), "left", "", "", why) for node, why in report.left.items()]
    for node, taken in report.nodes.items():
        state = f"{'would be ' if dry_run else ''}{report.bundle}" if taken.binding is not None else "nothing to keep"
        rows += [(str(node), state, lack.what, lack.have, lack.why) for lack in taken.missing]
        if not taken.missing:
            rows.append((str(node), state, "", "", ""))
    print_table(["NODE", "TAKEN IN AS", "MISSING", "HAVE", "WHY"], rows)
    for node, taken in report.nodes.items():
        for kept in taken.kept:
            click.echo(f"{node}: no image of {kept.component} {kept.version}; the machine keeps it when it is replaced")
    for line in report.unused:
        click.echo(f"not used: {line}", err=True)
