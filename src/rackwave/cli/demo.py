"""``rackwave demo``: play the main job on an emulated rack and show how it ended."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ..errors import UsageError
from .app import Exit
from .rehearsal import EXAMPLES, Rehearsal
from .render import print_json, print_table


@click.command()
@click.option("--nodes", type=click.IntRange(1, 1000), default=12, show_default=True, help="How many machines.")
@click.option("--seed", type=int, default=0, show_default=True, help="Who plays which part follows from it.")
@click.option("--bad", type=click.IntRange(0), default=1, show_default=True, help="Nodes whose flash fails.")
@click.option("--dead", type=click.IntRange(0), default=1, show_default=True, help="Hosts that die before their wave.")
@click.option(
    "--kill-at",
    type=click.IntRange(0),
    help="Kill the orchestrator once the rack has taken this many images; 0: never; default: half of the nodes.",
)
@click.option(
    "--personality", default="plain", show_default=True, help="What make the BMCs are; see 'rackwave lab up'."
)
@click.option(
    "--bundles",
    "source",
    default="lab",
    show_default=True,
    metavar="lab|ovmf",
    help="ovmf: real UEFI images, from apt.",
)
@click.option(
    "--directory", type=click.Path(path_type=Path, file_okay=False), help="Keep everything here, to look at it."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def demo(
    nodes: int,
    seed: int,
    bad: int,
    dead: int,
    kill_at: int | None,
    personality: str,
    source: str,
    directory: Path | None,
    as_json: bool,
) -> int:
    """Roll a new BIOS out on an emulated rack, with a bad flash, a dead host and a killed orchestrator."""
    if bad + dead > nodes - 1:
        raise UsageError(
            f"{bad} bad and {dead} dead nodes do not fit {nodes} nodes",
            advice="The canary must be sound: ask for at most one fewer in all than there are nodes.",
        )
    if source not in EXAMPLES:
        raise UsageError(f"there are no bundles called {source!r}", advice="Choose lab or ovmf.")
    kill_at = nodes // 2 if kill_at is None else kill_at
    started = time.monotonic()
    with _workplace(directory) as place:
        result = Rehearsal(
            place, nodes=nodes, seed=seed, bad=bad, dead=dead, personality=personality, source=source
        ).play(kill_at=kill_at)
    result["seconds"] = round(time.monotonic() - started, 1)
    complaints = result["complaints"]
    if as_json:
        print_json(result)
    else:
        _print_result(result)
    return Exit.FAILED if complaints else Exit.DONE


@contextmanager
def _workplace(directory: Path | None) -> Iterator[Path]:
    if directory is None:
        with tempfile.TemporaryDirectory(prefix="rackwave-demo-") as place:
            yield Path(place)
        return
    if directory.exists() and any(directory.iterdir()):
        raise UsageError(f"{directory} is not empty", advice="Name a directory that does not exist yet.")
    directory.mkdir(parents=True, exist_ok=True)
    yield directory.absolute()


def _print_result(result: dict[str, Any]) -> None:
    stories = []
    for row in result["machines"]:
        story = []
        if row["died"]:
            story.append("its host died and was brought back")
        if row["state"] == "rolled-back":
            story.append(f"its flash failed; {result['from']} was brought back")
        versions = ", ".join(f"{component} {version}" for component, version in row["installed"].items())
        stories.append((row["node"], row["state"], str(row["flashes"]), versions, "; ".join(story)))
    print_table(["NODE", "STATE", "FLASHES", "INSTALLED", "STORY"], stories)
    click.echo(
        f"\n{result['nodes']} machines in {result['seconds']} s: {result['on_new']} on {result['to']}, "
        f"{result['rolled_back']} rolled back to {result['from']}, {result['recovered']} recovered, "
        f"{result['quarantined']} quarantined; {result['flashes']} flashes, "
        f"{result['double_flashes']} double flashes (the lab's own count)."
    )
    for complaint in result["complaints"]:
        click.echo(f"NOT AS IT SHOULD BE: {complaint}", err=True)
