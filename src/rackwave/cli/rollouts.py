"""``rackwave plan``, ``deploy`` and ``rollout``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ..automation import Automation
from ..core.identity import NodeName
from ..core.report import RackPlan, RolloutReport
from ..core.reviewed import ADVICE, ReviewedPlan
from ..core.step import ImageWay, Step, describe
from ..errors import UsageError
from .app import Exit, Setting
from .asked import Asked, detailed_option, policy_options
from .progress import run_watched
from .render import json_option, nodes_option, print_json, print_table
from .rollout_control import abort, approve, pause

F = TypeVar("F", bound=Callable[..., Any])


@click.command()
@click.argument("bundle")
@nodes_option
@policy_options
@detailed_option
@json_option
@click.pass_obj
def plan(setting: Setting, /, bundle: str, nodes: str | None, as_json: bool, **options: Any) -> int:
    """Say what bringing nodes level with BUNDLE takes, and what stands in the way; touch nothing.

    With --json it is a plan to be read, kept, and applied as it is: rackwave deploy --plan FILE.
    """
    asked = Asked.of(options)
    found = setting.run(lambda automation: asked.plan(automation, bundle, nodes))
    if as_json:
        print_json(found.document())
    else:
        _print_plan(found)
    if found.refusals:
        return Exit.FAILED
    return Exit.NOTHING_TO_DO if asked.detailed_exit_code and found.nothing_to_do else Exit.DONE


@click.command()
@click.argument("bundles", nargs=-1, metavar="BUNDLE...")
@nodes_option
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Apply what 'rackwave plan BUNDLE --json' printed, as it was read; nothing else is to be said then.",
)
@policy_options
@detailed_option
@json_option
@click.pass_obj
def deploy(
    setting: Setting,
    /,
    bundles: tuple[str, ...],
    nodes: str | None,
    plan_file: Path | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Roll each BUNDLE out in waves; roll back and recover what fails on the way.

    Several, of different lineages, are rollouts of their own in one run: one after the other where they go to some of
    the same nodes, else at the same time.

    The same command goes on with a rollout that was interrupted or killed. Ctrl-C stops at the next
    safe point.
    """
    asked = Asked.of(options)
    if plan_file is not None:
        if bundles or nodes or asked.no_way_back or any(value is not None for value in asked.overrides.values()):
            raise click.UsageError("a plan that was read says all of that: --plan goes alone")
        reviewed = _reviewed(plan_file)
        report = run_watched(setting, lambda automation: automation.apply(reviewed), quiet=as_json)
        _show_reports([report], as_json=as_json, single=True)
        return report_exit(report)
    if not bundles:
        raise click.UsageError("it takes a bundle, or --plan FILE")
    if len(bundles) > 1:
        return _deploy_together(setting, bundles, nodes, asked, as_json=as_json)
    (bundle,) = bundles

    async def work(automation: Automation) -> tuple[RackPlan | None, RolloutReport]:
        before = await asked.plan(automation, bundle, nodes) if asked.detailed_exit_code else None
        return before, await asked.deploy(automation, bundle, nodes)

    before, report = run_watched(setting, work, quiet=as_json)
    _show_reports([report], as_json=as_json, single=True)
    if report.succeeded and before is not None and before.nothing_to_do:
        return Exit.NOTHING_TO_DO
    return report_exit(report)


def _deploy_together(
    setting: Setting, bundles: tuple[str, ...], nodes: str | None, asked: Asked, *, as_json: bool
) -> int:
    if asked.detailed_exit_code:
        raise click.UsageError("--detailed-exit-code goes with one bundle")
    run = run_watched(setting, lambda automation: asked.deploy_together(automation, bundles, nodes), quiet=as_json)
    _show_reports(list(run.reports), as_json=as_json)
    for bundle, why in run.left_out.items():
        click.echo(f"{bundle} was not begun: {why}", err=True)
    return max(report_exit(report) for report in run.reports)


def _reviewed(path: Path) -> ReviewedPlan:
    try:
        return ReviewedPlan.read(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no plan: {error}", advice=ADVICE) from error


@click.group()
def rollout() -> None:
    """Look at rollouts and go on with unfinished ones."""


@rollout.command(name="list")
@json_option
@click.pass_obj
def list_rollouts(setting: Setting, as_json: bool) -> None:
    """List every rollout."""

    async def work(automation: Automation) -> tuple[RolloutReport, ...]:
        return automation.rollouts()

    reports = setting.run(work, read_only=True)
    if as_json:
        print_json([report.document() for report in reports])
        return
    print_table(
        ["ROLLOUT", "BUNDLE", "STARTED", "NODES", "ON NEW", "BACK", "QUARANTINED", "RESULT"],
        [_rollout_row(report) for report in reports],
    )


@rollout.command(name="show")
@click.argument("rollout_id", metavar="ROLLOUT")
@json_option
@click.pass_obj
def show_rollout(setting: Setting, rollout_id: str, as_json: bool) -> None:
    """Show how ROLLOUT stands, node by node."""

    async def work(automation: Automation) -> RolloutReport:
        return automation.report(automation.control.find(rollout_id))

    _show_reports([setting.run(work, read_only=True)], as_json=as_json, single=True)


rollout.add_command(pause)
rollout.add_command(approve)
rollout.add_command(abort)


@rollout.command()
@click.argument("rollout_id", metavar="[ROLLOUT]", required=False)
@json_option
@click.pass_obj
def resume(setting: Setting, rollout_id: str | None, as_json: bool) -> int:
    """Go on with everything that was left unfinished, or with ROLLOUT, whose pause ends."""
    reports = run_watched(setting, lambda automation: automation.resume(rollout_id), quiet=as_json)
    _show_reports(list(reports), as_json=as_json)
    return max((report_exit(report) for report in reports), default=Exit.DONE)


def report_exit(report: RolloutReport) -> Exit:
    """Return the exit code that a rollout ends with."""
    if report.succeeded:
        return Exit.DONE
    if report.state.finished is None:
        return Exit.WAITING
    return Exit.SOME_FAILED if report.rolled_back or report.quarantined else Exit.FAILED


def _show_reports(reports: list[RolloutReport], *, as_json: bool, single: bool = False) -> None:
    if as_json:
        documents = [report.document() for report in reports]
        print_json(documents[0] if single else documents)
        return
    if not reports:
        click.echo("Nothing was unfinished.")
    for report in reports:
        results = report.state.results
        begun = {node for wave in report.state.waves[: report.state.wave + 1] for node in wave}
        print_table(
            ["NODE", "RESULT", "REASON"],
            [
                (
                    str(n),
                    str(results[n].result) if n in results else "under way" if n in begun else "not started",
                    results[n].reason if n in results else "",
                )
                for n in report.state.nodes
            ],
        )
        click.echo(str(report).splitlines()[0])
        if report.state.finished is not None and report.state.finished.reason:
            click.echo(report.state.finished.reason)
        if report.waits:
            click.echo(report.waits)
        if report.eta is not None:
            click.echo(str(report.eta))


def _print_plan(found: RackPlan) -> None:
    refused = dict(found.refusals)
    wave_of = {node: index for index, wave in enumerate(found.waves) for node in wave}
    rows = []
    for each in found.nodes:
        blocks = [note.text for note in each.notes if note.blocks]
        if each.node in refused:
            what = f"REFUSED: {refused[each.node]}"
        elif blocks:
            what = f"waits: {'; '.join(blocks)}"
        elif each.steps:
            what = "; ".join(_step(found, each.node, step) for step in each.steps)
        else:
            what = "level: " + "; ".join(note.text for note in each.notes)
        rows.append(
            (str(each.node), str(wave_of[each.node]), str(each.resets), _minutes(found.seconds[each.node]), what)
        )
    print_table(["NODE", "WAVE", "RESETS", "MINUTES", "WHAT"], rows)
    if found.nothing_to_do:
        click.echo(f"Nothing to do: every node is level with {found.bundle}.")


def _step(found: RackPlan, node: NodeName, step: Step) -> str:
    way = found.way(node, step)
    return describe(step) if way is None or way is ImageWay.BANK_SWITCH else f"{describe(step)} ({way})"


def _minutes(seconds: float | None) -> str:
    return "?" if seconds is None else f"{seconds / 60:.0f}"


def _rollout_row(report: RolloutReport) -> tuple[str, ...]:
    document = report.document()
    return (
        document["rollout"],
        document["bundle"],
        document["started"][:19] + "Z",
        str(len(report.state.nodes)),
        str(len(report.on_new)),
        str(len(report.rolled_back)),
        str(len(report.quarantined)),
        document["result"] or "; ".join(filter(None, (report.waits or "under way", str(report.eta or "")))),
    )
