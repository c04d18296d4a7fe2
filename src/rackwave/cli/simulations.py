"""``rackwave simulate``: a rollout on machines in memory, under many seeds, before it is begun."""

from __future__ import annotations

import gc
import multiprocessing
import os
import time
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from typing import Any

import click
from attrs import frozen

from ..automation import Automation
from ..core.forecast import Outcome, span
from ..core.odds import Odds, read_share
from ..core.stand_in import Pace
from ..simulation import Simulation
from .app import Exit, Setting
from .asked import Asked, policy_options
from .render import json_option, nodes_option, print_json
from .times import MOMENT

MOST_SEEDS = 100
ENOUGH = 20_000
"""Nodes to roll out to in all where nobody says how many seeds: a minute or two of work."""

WORTH_A_PROCESS = 4_000
"""Nodes to roll out to in all from which it is worth to begin processes, which plan the rollout again."""

PATIENCE = 5.0
"""Seconds after which somebody who waits is told how far it is."""


class _Share(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic from click 8.4 on
    name = "share"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        del param, ctx
        return value if isinstance(value, float) else read_share(str(value))


_SECONDS = click.FloatRange(0, min_open=True)


@frozen
class _Request:
    """All that another process needs to prepare the same simulation."""

    setting: Setting
    bundle: str
    nodes: str | None
    asked: Asked
    odds: Odds
    pace: Pace
    start: float

    def prepare(self) -> Simulation:
        """Plan the rollout; nothing is written, and no BMC is asked."""

        async def work(automation: Automation) -> Simulation:
            return await automation.simulation(
                self.bundle,
                self.nodes,
                policy=automation.policy(**self.asked.overrides),
                no_way_back=self.asked.no_way_back,
                odds=self.odds,
                pace=self.pace,
                start=self.start,
            )

        return self.setting.run(work, read_only=True)


@click.command()
@click.argument("bundle")
@nodes_option
@click.option("--fail", type=_Share(), default="1%", show_default=True, help="Nodes with which BUNDLE does not agree.")
@click.option("--die", type=_Share(), default="0.1%", show_default=True, help="Nodes whose host dies by itself.")
@click.option(
    "--trouble", type=_Share(), default="5%", show_default=True, help="Nodes with a BMC that misbehaves a while."
)
@click.option("--seeds", type=click.IntRange(1), help="How many seeds, from 1; default: what a minute or two allows.")
@click.option("--seed", type=int, help="One seed only: the same one gives the same rollout again.")
@click.option("--flash", type=_SECONDS, help="Seconds that each flash takes, whatever it took before.")
@click.option("--post", type=_SECONDS, help="Seconds that a host takes to come up.")
@click.option("--bmc-restart", type=_SECONDS, help="Seconds that a BMC takes to come back.")
@click.option("--start", type=MOMENT, help="When it would begin, for windows; default: now.")
@click.option("--jobs", type=click.IntRange(1), help="Processes; default: one a processor, where that is worth it.")
@policy_options
@json_option
@click.pass_obj
def simulate(
    setting: Setting,
    /,
    bundle: str,
    nodes: str | None,
    fail: float,
    die: float,
    trouble: float,
    seeds: int | None,
    seed: int | None,
    flash: float | None,
    post: float | None,
    bmc_restart: float | None,
    start: float | None,
    jobs: int | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Say how long a rollout of BUNDLE would take, and how it might end, by simulating it; touch nothing.

    The same planner, gates, recovery and engine roll it out to machines in memory, on virtual time, once a seed:
    to the nodes, in the waves and under the policy that 'rackwave deploy' would have.
    """
    if seed is not None and seeds is not None:
        raise click.UsageError("--seed is one seed, --seeds are many: say one of them")
    begin = time.time() if start is None else start
    odds, pace = Odds(fail=fail, die=die, trouble=trouble), Pace(flash, post, bmc_restart)
    request = _Request(setting, bundle, nodes, Asked.of(options), odds, pace, begin)
    simulation = request.prepare()
    count = len(simulation.stand_ins)
    chosen = [seed] if seed is not None else list(range(1, (seeds or _enough(count)) + 1))
    outcomes = []
    with closing(_outcomes(request, simulation, chosen, jobs or _worth(count * len(chosen), len(chosen)))) as coming:
        told = time.monotonic()
        for outcome in coming:
            outcomes.append(outcome)
            if time.monotonic() - told > PATIENCE:
                told = time.monotonic()
                end = f"{outcome.result} after {span(outcome.seconds)}"
                click.echo(f"-- {len(outcomes)} of {len(chosen)} seeds; seed {outcome.seed}: {end}", err=True)
    found = simulation.forecast(outcomes)
    if as_json:
        print_json(found.document())
    else:
        click.echo(str(found))
    if found.double_flashes:
        click.echo(f"{found.double_flashes} double flashes: this must not be. Report it, with the seeds.", err=True)
        return Exit.FAILED
    return Exit.DONE


def _enough(nodes: int) -> int:
    return max(3, min(MOST_SEEDS, ENOUGH // nodes))


def _worth(work: int, seeds: int) -> int:
    return 1 if work < WORTH_A_PROCESS else min(seeds, os.cpu_count() or 1)


def _outcomes(request: _Request, simulation: Simulation, seeds: list[int], jobs: int) -> Generator[Outcome]:
    """Yield the outcome of each seed, in order, worked out by *jobs* processes."""
    if jobs == 1:
        yield from map(simulation.run, seeds)
        return
    context = multiprocessing.get_context("spawn")  # nothing of ours, such as an open journal, goes along
    with ProcessPoolExecutor(jobs, context, _begin, (request, gc.get_threshold())) as pool:
        try:
            yield from pool.map(_run, seeds)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_prepared: list[Simulation] = []
"""In a process of the pool: what it runs."""


def _begin(request: _Request, garbage: tuple[int, int, int]) -> None:
    gc.set_threshold(*garbage)
    _prepared.append(request.prepare())


def _run(seed: int) -> Outcome:
    return _prepared[0].run(seed)
