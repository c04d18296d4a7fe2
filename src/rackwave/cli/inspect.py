"""``rackwave inspect``, ``locate`` and ``support-bundle``."""

from __future__ import annotations

from pathlib import Path

import click

from .. import errors
from ..automation import Automation
from ..core.capability import Survey
from ..core.identity import NodeName
from ..core.observation import Unknown
from .app import Exit, Setting
from .render import json_option, print_json, print_table


@click.command()
@click.argument("nodes")
@json_option
@click.pass_obj
def inspect(setting: Setting, nodes: str, as_json: bool) -> int:
    """Show what the BMCs of NODES can do, and which way an update would go. Nothing is changed."""
    from ..support import survey_all  # late: it imports every adapter

    async def work(automation: Automation) -> list[tuple[NodeName, Survey | errors.RackwaveError]]:
        return await survey_all(automation, nodes)

    found = setting.run(work)
    if as_json:
        print_json([_document(node, survey) for node, survey in found])
    else:
        for node, survey in found:
            _print(node, survey)
    return Exit.FAILED if any(isinstance(survey, errors.RackwaveError) for _, survey in found) else Exit.DONE


def _document(node: NodeName, survey: Survey | errors.RackwaveError) -> dict[str, object]:
    if isinstance(survey, errors.RackwaveError):
        nothing = Survey((), Unknown(str(survey)))
        return {"node": str(node), "error": str(survey), **nothing.document()}
    return {"node": str(node), "error": None, **survey.document()}


def _print(node: NodeName, survey: Survey | errors.RackwaveError) -> None:
    click.echo(f"{node}")
    if isinstance(survey, errors.RackwaveError):
        click.echo(f"  {survey.whole}")
        return
    print_table(
        ["  CAPABILITY", "VALUE"],
        [[f"  {each.name}", _shown(each.value)] for each in survey.capabilities],
    )
    if isinstance(survey.components, Unknown):
        click.echo(f"  no components: {survey.components.reason}")
        return
    print_table(
        ["  COMPONENT", "VERSION", "NAME", "WAY"],
        [
            [
                f"  {each.name}",
                each.version if isinstance(each.version, str) else "unknown",
                each.title,
                _shown(each.way),
            ]
            for each in survey.components
        ],
    )


def _shown(value: str | Unknown) -> str:
    return f"- ({value.reason})" if isinstance(value, Unknown) else value


@click.command()
@click.argument("nodes")
@click.option("--off", is_flag=True, help="Switch the light off again.")
@json_option
@click.pass_obj
def locate(setting: Setting, nodes: str, off: bool, as_json: bool) -> int:
    """Light the locator LED of NODES, so that a person finds them in the rack."""

    async def work(automation: Automation) -> list[tuple[NodeName, str]]:
        return await automation.locate(nodes, on=not off)

    found = [(node, why.removeprefix(f"{node}: ")) for node, why in setting.run(work)]
    if as_json:
        print_json([{"node": node, "lit": None if why else not off, "problem": why or None} for node, why in found])
    else:
        for node, why in found:
            click.echo(f"{node}: {why or ('the light is off' if off else 'the light is on')}", err=bool(why))
    return Exit.FAILED if any(why for _, why in found) else Exit.DONE


@click.command(name="support-bundle")
@click.argument("node")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Default: NODE-support.tar.gz.")
@click.pass_obj
def support_bundle(setting: Setting, node: str, output: Path | None) -> None:
    """Collect what is known of NODE, and what its BMC says, into a file to hand on; secrets are removed.

    Read it before you hand it on: serial numbers, addresses and names stay in it.
    """
    from ..support import collect  # late: it imports every adapter

    async def work(automation: Automation) -> tuple[Path, list[str]]:
        return await collect(automation, node, output)

    path, missing = setting.run(work)
    for line in missing:
        click.echo(f"missing: {line}", err=True)
    click.echo(str(path))
