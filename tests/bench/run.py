"""What a rollout costs: ours, gates on, beside a minimal asyncio client and sushy with a thread a node.

    python tests/bench/run.py --nodes 100 --rivals DIR

Then a thousand nodes, beside the minimal client; and nodes with quick BMCs among as many with BMCs that
take a second for each answer, beside as many all quick.

Each contender updates a fresh emulated rack over HTTPS, from a process of its own, in real time. What
it costs is counted by those who know: requests and connections by the lab, CPU by the kernel. A run in
which the lab itself took more than half a core measures the lab: it is void, and run again.
docs/benchmarks.md says what the numbers mean.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from attrs import asdict, frozen
from rollouts import NEW, Spent, Workshop, check, lab, race, spend

from rackwave.clock import SystemClock
from rackwave.core.event import NodeFinished, RolloutStarted
from rackwave.records import Records

OURS, FLOOR, SUSHY = "rackwave", "floor_asyncio", "sushy_threads"
LAB = ("--update", "10", "--reset", "3", "--latency", "0.05")
SLOW = "1.0"
ONE_WAVE = ("--canary", "0", "--waves", "1")
MOST_OF_A_CORE = 0.5
TRIES = 3
IMPORTS = {OURS: "rackwave.cli.rollouts", FLOOR: "aiohttp, asyncio, json", SUSHY: "sushy"}
RATIOS = {
    "wall, ours / floor": "<= 1.25",
    "CPU, ours / floor": "<= 3",
    "requests, ours / floor": "<= 1.3",
    "connections, ours / floor": "",
    "CPU, sushy / ours": ">= 10",
    "many: wall, ours / floor": "<= 1.6",
    "many: KiB a node": "<= 150",
    "mixed: quick nodes beside slow / all quick": "<= 1.1",
    "mixed: plan with slow / all quick": "",
}
"""What is compared, and what we aim at."""


@frozen
class Measured:
    """One run. *requests* and *connections* are a node's; *lab* and *others* are cores in use meanwhile.

    *planned* is ours from the start of the process to that of the rollout, *quick* from there until the
    last node that is not slow is done.
    """

    contender: str
    wall: float
    cpu: float
    images_cpu: float
    requests: float
    connections: float
    lab: float
    others: float
    peak_mib: float
    planned: float = 0.0
    quick: float = 0.0

    @property
    def void(self) -> bool:
        """Whether the lab, not the contender, may have been measured."""
        return self.lab > MOST_OF_A_CORE


def main() -> int:
    """Measure and print; whoever does not do the work ends the benchmark."""
    parser = argparse.ArgumentParser(description="Measure what a rollout costs, ours beside others.")
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--rivals", type=Path, help="where floor_asyncio.py and sushy_threads.py are")
    parser.add_argument("--runs", type=int, default=1, help="of ours and the floor; medians are compared")
    parser.add_argument("--sushy-runs", type=int, default=1, help="it takes minutes")
    parser.add_argument("--many", type=int, default=1000, help="nodes at once, ours and the floor; 0: leave it out")
    parser.add_argument("--mixed", type=int, default=50, help="quick nodes beside as many slow; 0: leave it out")
    parser.add_argument("--json", action="store_true", help="print every run as JSON")
    options = parser.parse_args()
    programs: dict[str, Path | None] = {OURS: None, **_rivals(options.rivals)}
    times = {name: options.sushy_runs if name == SUSHY else options.runs for name in programs}
    runs: dict[str, list[Measured]] = {name: [] for name in programs}
    with tempfile.TemporaryDirectory(prefix="rackwave-bench-") as folder:
        workshop = Workshop(Path(folder))
        for turn in range(max(times.values())):  # in turns: what else the machine does hits all alike
            for name, program in programs.items():
                if turn < times[name]:
                    runs[name].append(measure(name, program, workshop, options.nodes))
        crowd = {
            name: measure(name, program, workshop, options.many)
            for name, program in programs.items()
            if options.many and name != SUSHY
        }
        beside = (
            [measure(OURS, None, workshop, 2 * options.mixed, slow=slow) for slow in (options.mixed, 0)]
            if options.mixed
            else []
        )
    medians = {name: _median(several) for name, several in runs.items() if several}
    imports = {name: spend([sys.executable, "-c", f"import {IMPORTS[name]}"], Path(os.devnull)) for name in medians}
    compared = {**_compared(medians), **_compared_crowd(crowd, options.many, imports), **_compared_mixed(beside)}
    if options.json:
        document = {
            "nodes": options.nodes,
            "medians": {name: asdict(median) for name, median in medians.items()},
            "ratios": compared,
            "aims": RATIOS,
            "imports": {name: asdict(spent) for name, spent in imports.items()},
            "runs": [{**asdict(run), "void": run.void} for several in runs.values() for run in several],
            "many": {name: {**asdict(run), "void": run.void} for name, run in crowd.items()},
            "mixed": [{**asdict(run), "void": run.void} for run in beside],
        }
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        labelled = {f"{name}, {options.many}": run for name, run in crowd.items()}
        labelled |= dict(zip(("half of it slow", "none of it slow"), beside, strict=False))
        sys.stdout.write("\n".join(_table({**medians, **labelled}, compared, imports)) + "\n")
    return 0


def _rivals(given: Path | None) -> dict[str, Path]:
    """Find the rivals: where the option says, else the environment, else beside the checkout."""
    named = given or os.environ.get("RACKWAVE_BENCH_RIVALS")
    place = Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "bench"
    found = {name: place / f"{name}.py" for name in (FLOOR, SUSHY) if (place / f"{name}.py").is_file()}
    for name in {FLOOR, SUSHY} - set(found):
        _say(f"there is no {name}.py in {place}; it is left out. Name its directory with --rivals.")
    return found


def measure(name: str, rival: Path | None, workshop: Workshop, nodes: int, *, slow: int = 0) -> Measured:
    """Measure one contender, *slow* of its nodes being slow; where the lab was too busy, again."""
    for left in reversed(range(TRIES)):
        run = _measure_once(name, rival, workshop, nodes, slow)
        _say(
            f"{name}, {nodes} nodes: wall {run.wall:.1f} s, CPU {run.cpu:.2f} s, {run.requests:.1f} requests a node, "
            f"lab {run.lab:.2f} and others {run.others:.2f} cores{': VOID' if run.void else ''}"
        )
        if not run.void or not left:
            break
    return run


def _measure_once(name: str, rival: Path | None, workshop: Workshop, nodes: int, slow: int) -> Measured:
    state = workshop.state()
    files, output = state / "lab", state / "output.txt"
    planned = quick = 0.0
    with lab(nodes, files, *LAB, "--slow", str(slow), SLOW) as control:
        rackwave = ["-i", str(files / "inventory.toml"), "-s", str(state), "deploy", *ONE_WAVE]
        if rival is None:
            subprocess.run([sys.executable, "-m", "rackwave", *rackwave, "A.1"], check=True, capture_output=True)
        workshop.publish_new(state)
        if rival is None:
            report = state / "children-cpu"
            ours = [sys.executable, str(Path(__file__).with_name("ours.py")), str(report)]
            began = time.time()
            run, truth, busy = race([*ours, *rackwave, "A.2"], control, output)
            planned, quick = _times(state, began, [node["name"] for node in _nodes(files)][: nodes - slow])
            images_cpu = float(report.read_text())
            cpu = run.cpu - images_cpu
        else:
            with workshop.image(state) as (url, images):
                before = images()
                program = [sys.executable, str(rival), str(files / "nodes.json"), url, NEW]
                run, truth, busy = race([*program, str(nodes)] if name == SUSHY else program, control, output)
                images_cpu, cpu = images() - before, run.cpu
    check(name, run, truth, nodes, output, sessions=name == OURS)  # sushy leaves its sessions to the BMC
    lab_cpu = truth["lab"]["cpu_seconds"]
    return Measured(
        contender=name,
        wall=run.wall,
        cpu=cpu,
        images_cpu=images_cpu,
        requests=truth["totals"]["requests"] / nodes,
        connections=truth["totals"]["connections"] / nodes,
        lab=lab_cpu / run.wall,
        others=max(0.0, busy - cpu - images_cpu - lab_cpu) / run.wall,
        peak_mib=run.peak_mib,
        planned=planned,
        quick=quick,
    )


def _nodes(files: Path) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads((files / "nodes.json").read_text())
    return found


def _times(state: Path, began: float, nodes: list[str]) -> tuple[float, float]:
    """Return from the journal how long the last rollout was planned, and how long *nodes* took from there."""
    with closing(Records(state, clock=SystemClock(), read_only=True)) as records:
        events = list(records.events())
    started = max(e.at for e in events if isinstance(e.event, RolloutStarted))
    ended = [e.at for e in events if isinstance(e.event, NodeFinished) and e.at >= started and e.event.node in nodes]
    return started - began, max(ended) - started


def _median(several: list[Measured]) -> Measured:
    sound = [run for run in several if not run.void] or several
    keys = [key for key in asdict(sound[0]) if key != "contender"]
    return Measured(sound[0].contender, **{key: statistics.median(getattr(run, key) for run in sound) for key in keys})


def _compared(medians: dict[str, Measured]) -> dict[str, float]:
    ours, floor, sushy = (medians.get(name) for name in (OURS, FLOOR, SUSHY))
    found = {}
    if ours and floor:
        for key in ("wall", "CPU", "requests", "connections"):
            found[f"{key}, ours / floor"] = getattr(ours, key.lower()) / getattr(floor, key.lower())
    if ours and sushy:
        found["CPU, sushy / ours"] = sushy.cpu / ours.cpu
    return found


def _compared_crowd(crowd: dict[str, Measured], nodes: int, imports: dict[str, Spent]) -> dict[str, float]:
    ours, floor = crowd.get(OURS), crowd.get(FLOOR)
    found = {"many: wall, ours / floor": ours.wall / floor.wall} if ours and floor else {}
    if ours:
        found["many: KiB a node"] = (ours.peak_mib - imports[OURS].peak_mib) * 1024 / nodes
    return found


def _compared_mixed(beside: list[Measured]) -> dict[str, float]:
    if not beside:
        return {}
    mixed, quick = beside
    return {
        "mixed: quick nodes beside slow / all quick": mixed.quick / quick.quick,
        "mixed: plan with slow / all quick": mixed.planned / quick.planned,
    }


def _table(medians: dict[str, Measured], compared: dict[str, float], imports: dict[str, Spent]) -> Iterator[str]:
    heads = ("wall s", "CPU s", "images s", "requests", "connects", "lab", "others", "peak MiB")
    yield f"{'':20}" + "".join(f"{head:>10}" for head in heads)
    for name, run in medians.items():
        _, wall, cpu, images, asked, connected, in_lab, others, peak, _, _ = asdict(run).values()
        yield (
            f"{name:20}{wall:10.1f}{cpu:10.2f}{images:10.2f}{asked:10.1f}{connected:10.1f}{in_lab:10.2f}"
            f"{others:10.2f}{peak:10.0f}{'  VOID' if run.void else ''}"
        )
    for name, ratio in compared.items():
        yield f"{name:44}{ratio:7.2f}  {RATIOS[name] and 'aim ' + RATIOS[name]}"
    for name, spent in imports.items():
        yield f"{name:20} imports alone: CPU {spent.cpu:.2f} s, {spent.peak_mib:.0f} MiB"


def _say(text: str) -> None:
    sys.stderr.write(f"-- {text}\n")


if __name__ == "__main__":
    sys.exit(main())
