"""``rackwave plan``, ``deploy``, ``rollout``, ``rollback`` and ``recover``."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click

from ..automation import Automation
from ..core.recovery import POLICIES
from ..core.report import NodeStatus, RackPlan, RolloutReport
from ..core.step import describe
from ..errors import UsageError
from .app import Exit, Setting
from .nodes import print_statuses
from .progress import Progress
from .render import json_option, named_option, nodes_option, print_json, print_table

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def _policy_options(command: F) -> F:
    """Give *command* the options that change the inventory's policy for this once."""
    for option in (
        click.option("--canary", type=click.IntRange(0), help="Nodes in the first wave, alone."),
        click.option("--waves", type=click.IntRange(1), help="Waves after the canary."),
        click.option("--failure-budget", type=click.IntRange(0), help="Failed nodes before the rollout stops."),
        click.option("--no-way-back", is_flag=True, help="Consent to write where nothing can be rolled back to."),
        click.option("--detailed-exit-code", is_flag=True, help="Exit with 3 where nothing was to do."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("bundle")
@nodes_option
@_policy_options
@json_option
@click.pass_obj
def plan(
    setting: Setting,
    bundle: str,
    nodes: str | None,
    canary: int | None,
    waves: int | None,
    failure_budget: int | None,
    no_way_back: bool,
    detailed_exit_code: bool,
    as_json: bool,
) -> int:
    """Say what bringing nodes level with BUNDLE takes, and what stands in the way; touch nothing."""

    async def work(automation: Automation) -> RackPlan:
        policy = automation.policy(canary=canary, waves=waves, failure_budget=failure_budget)
        return await automation.plan(bundle, nodes, policy=policy, no_way_back=no_way_back)

    found = setting.run(work)
    if as_json:
        print_json(found.document())
    else:
        _print_plan(found)
    if found.refusals:
        return Exit.FAILED
    return Exit.NOTHING_TO_DO if detailed_exit_code and found.nothing_to_do else Exit.DONE


@click.command()
@click.argument("bundle")
@nodes_option
@_policy_options
@json_option
@click.pass_obj
def deploy(
    setting: Setting,
    bundle: str,
    nodes: str | None,
    canary: int | None,
    waves: int | None,
    failure_budget: int | None,
    no_way_back: bool,
    detailed_exit_code: bool,
    as_json: bool,
) -> int:
    """Roll BUNDLE out in waves; roll back and recover what fails on the way.

    The same command goes on with a rollout that was interrupted or killed. Ctrl-C stops at the next
    safe point.
    """

    async def work(automation: Automation) -> tuple[RackPlan | None, RolloutReport]:
        policy = automation.policy(canary=canary, waves=waves, failure_budget=failure_budget)
        before = None
        if detailed_exit_code:
            before = await automation.plan(bundle, nodes, policy=policy, no_way_back=no_way_back)
        return before, await automation.deploy(bundle, nodes, policy=policy, no_way_back=no_way_back)

    before, report = run_watched(setting, work, quiet=as_json)
    _show_reports([report], as_json=as_json, single=True)
    if report.succeeded and before is not None and before.nothing_to_do:
        return Exit.NOTHING_TO_DO
    return report_exit(report)


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
        for report in automation.rollouts():
            if report.state.id == rollout_id:
                return report
        raise UsageError(f"there is no rollout {rollout_id}", advice="See 'rackwave rollout list'.")

    _show_reports([setting.run(work, read_only=True)], as_json=as_json, single=True)


@rollout.command()
@json_option
@click.pass_obj
def resume(setting: Setting, as_json: bool) -> int:
    """Go on with everything that an interrupted or killed process left unfinished."""
    reports = run_watched(setting, lambda automation: automation.resume(), quiet=as_json)
    _show_reports(list(reports), as_json=as_json)
    return max((report_exit(report) for report in reports), default=Exit.DONE)


@click.command()
@click.argument("lineage")
@named_option
@json_option
@click.pass_obj
def rollback(setting: Setting, lineage: str, nodes: str, as_json: bool) -> int:
    """Bring nodes back to the bundle of LINEAGE that each carried before, all at once: there are no waves."""
    statuses = run_watched(setting, lambda automation: automation.rollback(nodes, lineage), quiet=as_json)
    return _show_statuses(statuses, as_json=as_json)


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


def run_watched(setting: Setting, work: Callable[[Automation], Awaitable[T]], *, quiet: bool) -> T:
    """Do *work* with live progress; the first Ctrl-C (or SIGTERM) asks it to stop at a safe point."""

    async def whole() -> T:
        async with setting.automation() as automation:
            with Progress(quiet=quiet) as progress:
                automation.subscribe(progress, going_on=progress.go_on)
                loop = asyncio.get_running_loop()

                def interrupted() -> None:
                    click.echo("Stopping at the next safe point; the same command goes on later.", err=True)
                    automation.stop()
                    for number in (signal.SIGINT, signal.SIGTERM):
                        loop.remove_signal_handler(number)  # the second one ends the process

                for number in (signal.SIGINT, signal.SIGTERM):
                    loop.add_signal_handler(number, interrupted)
                return await work(automation)

    return asyncio.run(whole())


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
            what = "; ".join(describe(step) for step in each.steps)
        else:
            what = "level: " + "; ".join(note.text for note in each.notes)
        rows.append((str(each.node), str(wave_of[each.node]), str(each.resets), what))
    print_table(["NODE", "WAVE", "RESETS", "WHAT"], rows)
    if found.nothing_to_do:
        click.echo(f"Nothing to do: every node is level with {found.bundle}.")


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
        document["result"] or "under way",
    )
