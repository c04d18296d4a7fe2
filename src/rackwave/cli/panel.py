"""``rackwave power``, ``reset-bmc``, ``boot``, ``sensors`` and ``log``: one machine, by hand."""

from __future__ import annotations

import sys
from typing import Any

import click

from ..automation import Automation
from ..core.boot import BootMode, BootOverride, BootSetting, Lasting
from ..core.log import LogMark, LogNews
from ..core.observation import Look, Power, Unknown
from ..core.power import SHUTDOWN_WITHIN, PowerWish
from ..core.sensor import SensorReadings
from ..errors import NodeError, UsageError
from ..hands_on import AWAY, Done
from .app import Exit, Setting
from .render import json_option, print_json, print_table

_STATUS = "status"
_NEEDS_CONSENT = frozenset(PowerWish) - {PowerWish.ON}

meant_option = click.option("--meant", is_flag=True, help="Also where the node is held, or has work on it.")
yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask whether it is meant.")


@click.command()
@click.argument("node")
@click.argument("wish", type=click.Choice([_STATUS, *(str(wish) for wish in PowerWish)]), default=_STATUS)
@click.option(
    "--force-after",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="With shutdown or restart: cut the power when the operating system has not obeyed by then.",
)
@meant_option
@yes_option
@json_option
@click.pass_obj
def power(
    setting: Setting, node: str, wish: str, force_after: float | None, meant: bool, yes: bool, as_json: bool
) -> int:
    """Say whether NODE's host is on, or change it.

    off and reset act at once, shutdown and restart ask the operating system. What the BMC lacks is made
    of what it has: a cycle is off, wait until it is off, on. It takes the node's lease, and is refused
    while a rollout works on the node or somebody holds it.
    """
    if force_after is not None and wish not in (PowerWish.SHUTDOWN, PowerWish.RESTART):
        raise UsageError("--force-after goes with shutdown and restart only")
    if wish == _STATUS:
        found = setting.run(lambda automation: _power(automation, node))
        return _show_power(found, as_json=as_json)
    asked = PowerWish(wish)
    if asked in _NEEDS_CONSENT and not yes:
        _ask(f"{wish} {node}?")
    if asked is PowerWish.SHUTDOWN:
        within = SHUTDOWN_WITHIN if force_after is None else force_after
        hint = "" if force_after is not None else "; --force-after cuts its power"
        click.echo(f"{node}: waiting until its operating system is down, {within:g} s at most{hint}", err=True)

    async def work(automation: Automation) -> Done:
        return await automation.hands_on(meant=meant).power(automation.one(node), asked, force_after=force_after)

    return _show_done(setting.run(work), as_json=as_json)


def _ask(question: str) -> None:
    """Ask whether it is meant; go on only with a yes.

    Raises:
        UsageError: nobody is there to be asked, or the answer is no.
    """
    try:
        is_meant = click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise  # Ctrl-C
        click.echo(err=True)
        raise UsageError("nobody is there to say yes; nothing was done", advice="--yes does not ask.") from None
    if not is_meant:
        raise UsageError("nothing was done")


async def _power(automation: Automation, node: str) -> Done:
    name = automation.one(node)
    seen = await (await automation.fleet.get(name)).observe(Look())
    return Done(name, not isinstance(seen.power, Unknown), (), f"the host is {seen.power}", seen.power)


@click.command("reset-bmc")
@click.argument("node")
@meant_option
@yes_option
@json_option
@click.pass_obj
def reset_bmc(setting: Setting, node: str, meant: bool, yes: bool, as_json: bool) -> int:
    """Restart NODE's BMC, and wait until it is back for good. Its host goes on."""
    if not yes:
        _ask(f"restart the BMC of {node}?")
    click.echo(f"{node}: waiting until its BMC is back, {AWAY:g} s at most", err=True)

    async def work(automation: Automation) -> Done:
        hands = automation.hands_on(meant=meant)
        return await hands.reset_bmc(automation.one(node), steady=automation.policy().steady)

    return _show_done(setting.run(work), as_json=as_json)


@click.command()
@click.argument("node")
@click.argument("target", required=False)
@click.option("--always", is_flag=True, help="Until it is cleared, not for one boot.")
@click.option("--mode", type=click.Choice([str(mode) for mode in BootMode]), help="Which firmware interface.")
@meant_option
@json_option
@click.pass_obj
def boot(
    setting: Setting, node: str, target: str | None, always: bool, mode: str | None, meant: bool, as_json: bool
) -> int:
    """Say from what NODE boots next, or have it boot from TARGET (pxe, cd, usb, hdd, biossetup …).

    It holds for one boot unless --always says otherwise; 'none' clears it.
    """
    if target is None:
        if always or mode is not None:
            raise UsageError("--always and --mode go with a target")
        return _show_boot(setting.run(lambda automation: _boot(automation, node)), as_json=as_json)
    lasting = Lasting.NEVER if target.lower() == "none" else Lasting.ALWAYS if always else Lasting.ONCE
    override = BootOverride(target, lasting, None if mode is None else BootMode(mode))

    async def work(automation: Automation) -> Done:
        name = automation.one(node)
        panel = await automation.fleet.panel(name)
        return await automation.hands_on(meant=meant).act(name, f"boot from {target}", lambda: panel.set_boot(override))

    return _show_done(setting.run(work), as_json=as_json)


async def _boot(automation: Automation, node: str) -> tuple[str, BootSetting]:
    name = automation.one(node)
    found = await (await automation.fleet.panel(name)).boot_setting()
    if isinstance(found, Unknown):
        raise NodeError(f"{name}: from what it boots is {found}", node=name)
    return name, found


@click.command()
@click.argument("node")
@json_option
@click.pass_obj
def sensors(setting: Setting, node: str, as_json: bool) -> None:
    """Read NODE's sensors: temperatures, fans, power and voltages, with their health and critical thresholds."""

    async def work(automation: Automation) -> tuple[str, SensorReadings]:
        name = automation.one(node)
        found = await (await automation.fleet.panel(name)).sensors()
        if isinstance(found, Unknown):
            raise NodeError(f"{name}: its sensors are {found}", node=name)
        return name, found

    name, found = setting.run(work)
    if as_json:
        rows = [
            {
                "name": each.name,
                "kind": str(each.kind),
                "reading": _known(each.reading),
                "unit": each.unit,
                "health": None if isinstance(each.health, Unknown) else str(each.health),
                "low": each.low,
                "high": each.high,
            }
            for each in found.sensors
        ]
        print_json({"node": name, "sensors": rows, "left_out": found.left_out})
        return
    print_table(
        ["SENSOR", "KIND", "READING", "HEALTH", "CRITICAL"],
        [
            [
                each.name,
                str(each.kind),
                "unknown" if isinstance(each.reading, Unknown) else f"{each.reading:g} {each.unit}",
                "unknown" if isinstance(each.health, Unknown) else str(each.health),
                " ".join(
                    f"{sign} {limit:g}" for sign, limit in (("<", each.low), (">", each.high)) if limit is not None
                ),
            ]
            for each in found.sensors
        ],
    )
    if found.left_out:
        click.echo(f"{found.left_out} more were not read: the BMC wants a request for each.")


@click.command()
@click.argument("node")
@click.option("--since", "mark", metavar="MARK", help="Only what came since a mark that was printed.")
@click.option(
    "--limit", type=click.IntRange(1, 4096), default=50, show_default=True, help="At most so many, the newest."
)
@json_option
@click.pass_obj
def log(setting: Setting, node: str, mark: str | None, limit: int, as_json: bool) -> None:
    """Read NODE's own event log, oldest first, and say where it stands now, for --since."""
    try:
        since = None if mark is None else LogMark.parse(mark)
    except ValueError as error:
        raise UsageError(str(error), advice="Give the mark as 'rackwave log' prints it.") from None

    async def work(automation: Automation) -> tuple[str, LogNews]:
        name = automation.one(node)
        found = await (await automation.fleet.panel(name)).log(since, limit=limit)
        if isinstance(found, Unknown):
            raise NodeError(f"{name}: its event log is {found}", node=name)
        return name, found

    name, found = setting.run(work)
    if as_json:
        entries = [
            {
                "id": each.id,
                "created": each.created or None,
                "severity": str(each.severity),
                "message": each.message,
                "code": each.code or None,
            }
            for each in found.entries
        ]
        told = {"node": name, "mark": str(found.mark), "cleared": found.cleared, "more": found.more}
        print_json({**told, "entries": entries})
        return
    if found.cleared:
        click.echo("The log was cleared since that mark.")
    for each in found.entries:
        click.echo(f"{each.created or '-':25}  {each.severity:8}  {each.message}")
    if not found.entries:
        click.echo("Nothing new." if since is not None else "The log is empty.")
    click.echo(f"The log stands at {found.mark}", err=True)


def _show_power(found: Done, *, as_json: bool) -> int:
    if as_json:
        print_json(_done(found))
    else:
        click.echo(f"{found.node}: {found.told}")
    return Exit.DONE if found.succeeded else Exit.FAILED


def _show_done(done: Done, *, as_json: bool) -> int:
    if as_json:
        print_json(_done(done))
    else:
        click.echo(f"{done.node}: {', '.join(done.acts)}: {done.told}")
    return Exit.DONE if done.succeeded else Exit.FAILED


def _done(done: Done) -> dict[str, Any]:
    return {
        "node": done.node,
        "succeeded": done.succeeded,
        "acts": list(done.acts),
        "told": done.told,
        "power": str(done.power) if isinstance(done.power, Power) else None,
    }


def _show_boot(told: tuple[str, BootSetting], *, as_json: bool) -> int:
    node, found = told
    override = None if isinstance(found.override, Unknown) else found.override
    if as_json:
        print_json(
            {
                "node": node,
                "target": override.target if override is not None else None,
                "lasting": str(override.lasting) if override is not None else None,
                "mode": str(override.mode) if override is not None and override.mode is not None else None,
                "targets": None if found.targets is None else list(found.targets),
            }
        )
        return Exit.DONE
    if override is None:
        click.echo(f"{node}: {found.override}")
    elif override.lasting is Lasting.NEVER:
        click.echo(f"{node}: in its boot order")
    else:
        how = "once" if override.lasting is Lasting.ONCE else "until that is cleared"
        click.echo(f"{node}: from {override.target}, {how}{f' ({override.mode})' if override.mode else ''}")
    if found.targets:
        click.echo(f"It takes {', '.join(found.targets)}.")
    return Exit.DONE


def _known(value: float | Unknown) -> float | None:
    return None if isinstance(value, Unknown) else value
