"""``rackwave snapshot`` and ``restore``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ..automation import Automation
from ..core.snapshot import Snapshot
from ..core.way_back import Consent
from ..snapshots import RestoreReport, read_snapshot, write_new
from .app import Exit, Setting
from .progress import run_watched
from .render import json_option, nodes_option, print_json, print_table


@click.command()
@nodes_option
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="A file that is not there yet.")
@click.pass_obj
def snapshot(setting: Setting, nodes: str | None, out: Path | None) -> int:
    """Write down what nodes carry, run and are set to now, to be brought back to: rackwave restore.

    It looks and changes nothing. What cannot be read is written down as such, and a node of which nothing could be
    read is named.
    """

    async def work(automation: Automation) -> Snapshot:
        return await automation.snapshots.take(nodes)

    taken = setting.run(work)
    text = json.dumps(taken.document(), indent=2, ensure_ascii=False)
    if out is None:
        click.echo(text)
    else:
        write_new(out, f"{text}\n")
    for node in taken.unread:
        click.echo(f"{node} could not be read: only which bundles it carries is written down", err=True)
    return Exit.SOME_FAILED if taken.unread else Exit.DONE


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@nodes_option
@click.option("--dry-run", is_flag=True, help="Say what it takes and what cannot be brought back; touch nothing.")
@click.option(
    "--no-way-back",
    multiple=True,
    metavar="ELEMENT",
    help="Consent to write this element although there is no way back from it; all: every one.",
)
@json_option
@click.pass_obj
def restore(
    setting: Setting, file: Path, nodes: str | None, dry_run: bool, no_way_back: tuple[str, ...], as_json: bool
) -> int:
    """Bring nodes back to the snapshot in FILE, by rollouts of the bundles that they carried then.

    Refused as a whole where one of them cannot be brought back, with every reason, before anything is touched.
    """
    then = read_snapshot(file)
    consent: Consent = True if "all" in no_way_back else no_way_back
    if dry_run:
        found = setting.run(lambda automation: automation.snapshots.plan(then, nodes, no_way_back=consent))
        _show(found, as_json=as_json)
        return Exit.FAILED if found.problems else Exit.DONE
    done = run_watched(
        setting, lambda automation: automation.snapshots.restore(then, nodes, no_way_back=consent), quiet=as_json
    )
    _show(done, as_json=as_json)
    return Exit.DONE if done.succeeded else Exit.SOME_FAILED


def _show(report: RestoreReport, *, as_json: bool) -> None:
    if as_json:
        print_json(report.document())
        return
    rows = []
    for each in report.targets:
        state = "to be sent" if not report.rollouts else "back" if report.is_back(each) else "not back"
        state = "cannot be" if each.problems else state if each.sends else "as it was"
        bundles = ", ".join(str(carried.bundle) for carried in each.sends)
        rows.append((str(each.node), state, bundles, "; ".join(each.problems)))
    print_table(["NODE", "RESTORED", "BUNDLES", "WHY NOT"], rows)
    for bundle, why in report.left_out.items():
        click.echo(f"{bundle} was not begun: {why}")
