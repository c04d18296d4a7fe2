"""``rackwave rollout pause|resume|approve|abort``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from ..automation import Automation
from ..core.report import RolloutReport
from ..core.rollout import RolloutState
from ..errors import UsageError
from ..rollout_control import Aborting
from .app import Exit, Setting
from .lines import LINE
from .progress import run_watched
from .render import json_option, print_json

T = TypeVar("T")


@click.command()
@click.argument("rollout_id", metavar="ROLLOUT")
@click.option("--reason", type=LINE, required=True, help="Why, for whoever finds it paused.")
@json_option
@click.pass_obj
def pause(setting: Setting, rollout_id: str, reason: str, as_json: bool) -> None:
    """Have ROLLOUT begin with no further node; what has begun goes on to its end, and what failed is brought back.

    The process that runs it sees this at the next turn of a node.
    """
    _say(_with(setting, lambda automation: automation.control.pause(rollout_id, reason)), as_json=as_json)


@click.command()
@click.argument("rollout_id", metavar="ROLLOUT")
@click.option("--wave", type=click.IntRange(0), help="This one, ahead of time; default: the next.")
@json_option
@click.pass_obj
def approve(setting: Setting, rollout_id: str, wave: int | None, as_json: bool) -> None:
    """Let the next wave of ROLLOUT begin, where its policy asks for approval."""
    _say(_with(setting, lambda automation: automation.control.approve(rollout_id, wave)), as_json=as_json)


@click.command()
@click.argument("rollout_id", metavar="ROLLOUT")
@click.option("--reason", type=LINE, required=True, help="Why, for whoever asks later.")
@click.option("--now", is_flag=True, help="Leave what is under way as it is: its writes go on in their BMCs.")
@click.option("--yes", is_flag=True, help="With --now: do not ask.")
@click.option("--roll-back", is_flag=True, help="Bring the nodes that are done back to what they had, last wave first.")
@json_option
@click.pass_obj
def abort(setting: Setting, rollout_id: str, reason: str, now: bool, yes: bool, roll_back: bool, as_json: bool) -> int:
    """End ROLLOUT: no further node begins, and nodes that have begun come to their end first.

    With --now they do not: what that would leave behind is said, and asked about. With --roll-back the nodes that are
    done go back to what each had before; refused where one of them cannot.
    """

    async def ask(automation: Automation) -> tuple[str, ...]:
        return automation.control.under_way(rollout_id)

    if now and not yes:
        left = _with(setting, ask)
        for line in left:
            click.echo(f"left behind: {line}", err=True)
        if left and not click.confirm("Abort at once all the same?", err=True):
            raise UsageError("nothing was done", advice="Without --now it ends once these have come to their end.")
    if now and roll_back:
        raise click.UsageError("--now leaves everything as it is, and --roll-back brings it back: one of them")
    found: Aborting = (
        run_watched(setting, lambda automation: automation.abort(rollout_id, reason, roll_back=True), quiet=as_json)
        if roll_back
        else _with(setting, lambda automation: automation.control.abort(rollout_id, reason, now=now))
    )
    if as_json:
        print_json(RolloutReport(found.rollout).document())
    elif found.rollout.finished is not None:
        click.echo(f"Rollout {found.rollout.id} is aborted.")
    elif found.runs:
        when = "at once" if now else "once what is done is back" if roll_back else "once what is under way has ended"
        click.echo(f"Rollout {found.rollout.id} ends {when}.")
    else:
        click.echo("Nothing runs it. What is under way is brought to its end, and the rollout with it, by:")
        click.echo(f"rackwave rollout resume {found.rollout.id}")
    return Exit.DONE if found.rollout.finished is not None else Exit.WAITING


def _with(setting: Setting, work: Callable[[Automation], Awaitable[T]]) -> T:
    async def whole() -> T:
        async with setting.automation(needs_inventory=False) as automation:
            return await work(automation)

    return asyncio.run(whole())


def _say(state: RolloutState, *, as_json: bool) -> None:
    report = RolloutReport(state)
    if as_json:
        print_json(report.document())
    else:
        click.echo(str(report).splitlines()[0])
