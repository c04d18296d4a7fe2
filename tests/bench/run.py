"""What a rollout costs: ours, gates on, beside a minimal asyncio client and sushy with a thread a node.

    python tests/bench/run.py --nodes 100 --rivals DIR

Each contender updates a fresh emulated rack over HTTPS, from a process of its own, in real time. What
it costs is counted by those who know: requests and connections by the lab, CPU by the kernel. A run in
which the lab itself took more than half a core measures the lab: it is void, and run again.
docs/benchmarks.md says what the numbers mean.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import requests
from attrs import asdict, frozen

from rackwave.automation import PUBLISHER_KEY, REPOSITORY, TRUST
from rackwave.bundle_manager import BundleManager
from rackwave.clock import SystemClock
from rackwave.core.identity import AttemptId, BundleId, ComponentName, NodeName
from rackwave.repository.examples import prepare_example
from rackwave.repository.keys import generate_key
from rackwave.repository.repository import BundleRepository
from rackwave.repository.trust import KeyringTrust
from rackwave.serving.config import ServingConfig
from rackwave.serving.images import ImageServerProcess

OURS, FLOOR, SUSHY = "rackwave", "floor_asyncio", "sushy_threads"
LAB = ("--update", "10", "--reset", "3", "--latency", "0.05")
OLD, NEW = "1.0.0", "2.0.0"
MOST_OF_A_CORE = 0.5
TRIES = 3
AIMS = {"wall": 1.25, "cpu": 3.0, "requests": 1.5, "sushy_cpu": 10.0}
_TICK = os.sysconf("SC_CLK_TCK")


@frozen
class Measured:
    """One run. CPU in seconds of user and system time; *others* is what else the machine was doing, in cores."""

    contender: str
    nodes: int
    wall: float
    cpu: float
    images_cpu: float
    requests: float
    connections: float
    lab_share: float
    others: float
    peak_mib: float

    @property
    def void(self) -> bool:
        """Whether the lab, not the contender, may have been measured."""
        return self.lab_share > MOST_OF_A_CORE


@frozen
class Spent:
    """What the kernel says of a process that ended."""

    code: int
    wall: float
    cpu: float
    peak_mib: float


def main() -> int:
    """Measure, print, and say by the exit code whether everybody did the work."""
    options = _options()
    rivals = _rivals(options.rivals)
    contenders = [name for name in (OURS, FLOOR, SUSHY) if name == OURS or name in rivals]
    if options.only:
        contenders = [name for name in contenders if name in options.only.split(",")]
    runs: list[Measured] = []
    with tempfile.TemporaryDirectory(prefix="rackwave-bench-") as folder:
        shop = Shop(Path(folder))
        for round_ in range(options.runs):
            for name in contenders:
                if name == SUSHY and round_ >= options.sushy_runs:
                    continue
                runs.append(asyncio.run(measure(name, rivals.get(name), shop, options)))
    medians = {name: _median([run for run in runs if run.contender == name]) for name in contenders}
    result = {
        "medians": {name: asdict(run) for name, run in medians.items()},
        "ratios": ratios(medians),
        "aims": AIMS,
        "import": {name: import_cost(modules) for name, modules in _IMPORTS.items()},
        "void": [run.contender for run in runs if run.void],
        "runs": [asdict(run) for run in runs],
    }
    sys.stdout.write(json.dumps(result, indent=2) + "\n" if options.json else _table(result, medians))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--rivals", type=Path, help="where floor_asyncio.py and sushy_threads.py lie")
    parser.add_argument("--runs", type=int, default=1, help="of each; the medians are compared")
    parser.add_argument("--sushy-runs", type=int, default=1, help="at most so many of the slow one")
    parser.add_argument("--only", help=f"of {OURS}, {FLOOR}, {SUSHY}: these, with commas between")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _rivals(given: Path | None) -> dict[str, Path]:
    """Find the rivals: where the option says, else the environment, else beside the checkout."""
    named = given or os.environ.get("RACKWAVE_BENCH_RIVALS")
    place = Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "bench"
    found = {name: place / f"{name}.py" for name in (FLOOR, SUSHY) if (place / f"{name}.py").is_file()}
    if not found:
        _say(f"no rivals in {place}: measuring {OURS} alone. Name their directory with --rivals.")
    return found


class Shop:
    """A publisher's directory with A.1 and A.2, and fresh state directories that have both to offer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._number = 0
        self._key = folder / PUBLISHER_KEY
        self._signer = generate_key(self._key)
        self._trust = KeyringTrust(()).with_key(self._signer.public_key, lineages=("*",), note="bench")
        manager = self._manager(folder)
        self._built = []
        for source in prepare_example("lab-bios", folder / "source")[:2]:
            manager.build(source, folder / "built" / source.name)
            self._built.append(folder / "built" / source.name)
        self.image = folder / "source" / "A.2" / "bios-2.0.0.bin"

    def state(self) -> Path:
        """Make a state directory to which A.1 is published."""
        self._number += 1
        state = self.folder / f"state-{self._number}"
        state.mkdir()
        self._trust.save(state / TRUST)
        self._manager(state).publish(self._built[0], "bench")
        return state

    def publish_new(self, state: Path) -> None:
        """Publish A.2."""
        self._manager(state).publish(self._built[1], "bench")

    def new_image(self, state: Path) -> tuple[Path, Any]:
        """Return the image of A.2 where it lies in the repository, and its digest."""
        repository = BundleRepository(state / REPOSITORY, self._trust)
        bundle = repository.get(BundleId.parse("A.2"))
        (payload,) = bundle.manifest.payloads
        return repository.payload_path(bundle, payload.name), payload.digest

    def _manager(self, state: Path) -> BundleManager:
        return BundleManager(BundleRepository(state / REPOSITORY, self._trust), self._signer)


async def measure(name: str, rival: Path | None, shop: Shop, options: argparse.Namespace) -> Measured:
    """Measure one contender, again where the lab was too busy."""
    for left in reversed(range(TRIES)):
        _say(f"{name}: {options.nodes} nodes, load {os.getloadavg()[0]:.2f}")
        run = await _measure_once(name, rival, shop, options.nodes)
        told = f"wall {run.wall:.1f} s, CPU {run.cpu:.2f} s, {run.requests:.1f} requests a node"
        _say(f"{name}: {told}, lab {run.lab_share:.2f}, others {run.others:.2f} cores")
        if not run.void or not left:
            return run
        _say(f"{name}: void, the lab took more than {MOST_OF_A_CORE} of a core; again")
    raise AssertionError("unreachable")


async def _measure_once(name: str, rival: Path | None, shop: Shop, nodes: int) -> Measured:
    state = shop.state()
    with lab(nodes, state / "lab") as control:
        command = ["-i", str(state / "lab" / "inventory.toml"), "-s", str(state), "deploy", "--canary", "0", "--waves", "1"]
        if rival is None:
            subprocess.run([sys.executable, "-m", "rackwave", *command, "A.1"], check=True, capture_output=True)
        shop.publish_new(state)
        if rival is None:
            report = state / "ours.json"
            program = [sys.executable, str(Path(__file__).with_name("ours.py")), str(report), *command, "A.2"]
            run, truth, others = await _race(program, control, state)
            own = json.loads(report.read_text())
            images_cpu, peak = own["children_cpu"], own["peak_mib"]
            cpu = run.cpu - images_cpu
        else:
            async with image_server(state, *shop.new_image(state)) as (url, spent):
                program = [sys.executable, str(rival), str(state / "lab" / "nodes.json"), url, NEW]
                run, truth, others = await _race([*program, *([str(nodes)] if name == SUSHY else [])], control, state)
                images_cpu, peak, cpu = spent(), run.peak_mib, run.cpu
        check(name, run, truth, nodes, state)
        totals, lab_cpu = truth["totals"], truth["lab"]["cpu_seconds"]
        return Measured(
            contender=name,
            nodes=nodes,
            wall=run.wall,
            cpu=cpu,
            images_cpu=images_cpu,
            requests=totals["requests"] / nodes,
            connections=totals["connections"] / nodes,
            lab_share=lab_cpu / run.wall,
            others=max(0.0, (others - run.cpu - lab_cpu - (images_cpu if rival else 0.0)) / run.wall),
            peak_mib=peak,
        )


async def _race(program: list[str], control: str, state: Path) -> tuple[Spent, dict[str, Any], float]:
    """Run *program* from a zeroed lab; return what it spent, the truth, and all CPU that the machine spent."""
    requests.post(f"{control}/reset-counters", timeout=30).raise_for_status()
    before = _busy()
    run = await asyncio.to_thread(spend, program, state / "output.txt")
    busy = _busy() - before
    return run, requests.get(f"{control}/truth", timeout=30).json(), busy


def spend(program: list[str], output: Path) -> Spent:
    """Run *program* to its end and return what it and the children it waited for spent."""
    started = time.monotonic()
    with output.open("wb") as file:
        process = subprocess.Popen(program, stdout=file, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    return Spent(process.returncode, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def check(name: str, run: Spent, truth: dict[str, Any], nodes: int, state: Path) -> None:
    """Hold the contender to its work: it is not compared with one that did less."""
    versions = {node["installed"][ComponentName("BIOS")]["version"] for node in truth["nodes"].values()}
    problems = [f"exit code {run.code}"] * (run.code != 0) + [f"versions {versions}"] * (versions != {NEW})
    problems += [f"{truth['totals']['flashes']} flashes"] * (truth["totals"]["flashes"] != nodes)
    problems += [f"{truth['totals']['double_flashes']} double flashes"] * (truth["totals"]["double_flashes"] != 0)
    if name == OURS and truth["totals"]["sessions_open"]:
        problems.append(f"{truth['totals']['sessions_open']} sessions left open")
    if problems:
        raise SystemExit(f"{name} failed: {', '.join(problems)}\n{(state / 'output.txt').read_text()[-2000:]}")


@contextmanager
def lab(nodes: int, directory: Path) -> Iterator[str]:
    """Start a rack in a process of its own; yield where its control interface is."""
    command = [sys.executable, "-m", "rackwave", "lab", "up", "--with-parent", "--nodes", str(nodes), *LAB]
    command += ["--version", f"BIOS={OLD}", "--directory", str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if not any(line.startswith("ready") for line in process.stdout):
            raise SystemExit("the lab did not start")
        try:
            yield json.loads((directory / "lab.json").read_text())["control"]
        finally:
            process.stdin.close()


@asynccontextmanager
async def image_server(state: Path, path: Path, digest: Any) -> AsyncIterator[Any]:
    """Serve the image to the rivals as it is served to us, so that nobody's CPU includes the serving."""
    server = ImageServerProcess(state / "rival-images", ServingConfig(), clock=SystemClock(), bmc_hosts={})
    url = await server.grant(
        node=NodeName("any"), attempt=AttemptId("bench"), digest=digest, path=path, file_name="bios.bin"
    )
    child = server._child
    assert child is not None
    before = _cpu_of(child.pid)
    yield url, lambda: _cpu_of(child.pid) - before
    await server.stop()


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def _busy() -> float:
    """CPU seconds that the whole machine has been busy for."""
    user, nice, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:])
    return (user + nice + system + irq + softirq) / _TICK


_IMPORTS = {OURS: "rackwave.cli.rollouts, rackwave.automation", FLOOR: "aiohttp, asyncio, json", SUSHY: "sushy"}


def import_cost(modules: str) -> dict[str, float]:
    """Return what a process costs that only imports: median CPU of five, and its memory."""
    runs = [spend([sys.executable, "-c", f"import {modules}"], Path(os.devnull)) for _ in range(5)]
    return {"cpu": statistics.median(run.cpu for run in runs), "peak_mib": runs[0].peak_mib}


def _median(runs: list[Measured]) -> Measured:
    sound = [run for run in runs if not run.void] or runs
    numbers = {
        key: statistics.median(getattr(run, key) for run in sound) for key in asdict(sound[0]) if key != "contender"
    }
    return Measured(contender=sound[0].contender, **numbers)


def ratios(medians: dict[str, Measured]) -> dict[str, float]:
    """Compare: ours by the floor, and sushy by ours."""
    ours, floor, sushy = (medians.get(name) for name in (OURS, FLOOR, SUSHY))
    found: dict[str, float] = {}
    if ours and floor:
        for key in ("wall", "cpu", "requests", "connections"):
            found[key] = getattr(ours, key) / getattr(floor, key)
    if ours and sushy:
        found["sushy_cpu"] = sushy.cpu / ours.cpu
    return found


def _table(result: dict[str, Any], medians: dict[str, Measured]) -> str:
    lines = [f"{'':14} {'wall s':>7} {'CPU s':>7} {'images s':>8} {'req/node':>8} {'conn/node':>9} {'lab':>5} {'others':>6} {'MiB':>6}"]
    for run in medians.values():
        lines.append(
            f"{run.contender:14} {run.wall:7.1f} {run.cpu:7.2f} {run.images_cpu:8.2f} {run.requests:8.1f} "
            f"{run.connections:9.1f} {run.lab_share:5.2f} {run.others:6.2f} {run.peak_mib:6.0f}{' VOID' * run.void}"
        )
    for key, value in result["ratios"].items():
        aim = AIMS.get(key)
        meets = "" if aim is None else f"   aim {'>=' if key == 'sushy_cpu' else '<='} {aim:g}"
        what = "sushy / ours, CPU" if key == "sushy_cpu" else f"ours / floor, {key}"
        lines.append(f"{what:28} {value:6.2f}{meets}")
    for name, cost in result["import"].items():
        lines.append(f"importing alone, {name:14} {cost['cpu']:5.2f} s of CPU, {cost['peak_mib']:4.0f} MiB")
    return "\n".join(lines) + "\n"


def _say(text: str) -> None:
    sys.stderr.write(f"-- {text}\n")


if __name__ == "__main__":
    sys.exit(main())
