"""What the benchmarks of rollouts share: bundles, a rack in a process of its own, and what a process costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import requests
from attrs import frozen

from rackwave.automation import REPOSITORY, TRUST
from rackwave.bundle_manager import BundleManager
from rackwave.clock import SystemClock
from rackwave.core.identity import AttemptId, BundleId, NodeName
from rackwave.loop_thread import LoopThread
from rackwave.repository.examples import prepare_example
from rackwave.repository.keys import generate_key
from rackwave.repository.repository import BundleRepository
from rackwave.repository.trust import KeyringTrust
from rackwave.serving.config import ServingConfig
from rackwave.serving.images import ImageServerProcess

NEW = "2.0.0"
"""Of BIOS, what A.2 brings."""


@frozen
class Spent:
    """A process that ended: seconds of wall, seconds of CPU (its children's too), peak memory of its own."""

    code: int
    wall: float
    cpu: float
    peak_mib: float


class Workshop:
    """Builds A.1 and A.2 once, and state directories that have A.1 for everybody who runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._signer = generate_key(folder / "publisher.pem")
        self._trust = KeyringTrust(()).with_key(self._signer.public_key, lineages=("*",), note="bench")
        self._old, self._new = (
            self._manager(folder).build(source, folder / "built" / source.name)
            for source in prepare_example("lab-bios", folder / "source")[:2]
        )

    def state(self) -> Path:
        """Make a state directory with A.1."""
        self._number += 1
        state = self._folder / f"state-{self._number}"
        state.mkdir()
        self._trust.save(state / TRUST)
        self._manager(state).publish(self._old, "bench")
        return state

    def publish_new(self, state: Path) -> None:
        """Add A.2 to *state*."""
        self._manager(state).publish(self._new, "bench")

    @contextmanager
    def image(self, state: Path) -> Iterator[tuple[str, Callable[[], float]]]:
        """Serve A.2's image as it is served to our nodes; yield its URL and what tells the server's CPU so far."""
        repository = BundleRepository(state / REPOSITORY, self._trust)
        bundle = repository.get(BundleId.parse("A.2"))
        (payload,) = bundle.manifest.payloads
        path = repository.payload_path(bundle, payload.name)
        server = ImageServerProcess(state / "images", ServingConfig(), clock=SystemClock(), bmc_hosts={})
        loop = LoopThread()
        try:
            url = loop.run(
                server.grant(
                    node=NodeName("any"),
                    attempt=AttemptId("bench"),
                    digest=payload.digest,
                    path=path,
                    file_name=payload.name,
                )
            )
            assert server._child is not None
            pid = server._child.pid
            yield url, lambda: cpu_of(pid)
            loop.run(server.stop())
        finally:
            loop.stop()

    def _manager(self, state: Path) -> BundleManager:
        return BundleManager(BundleRepository(state / REPOSITORY, self._trust), self._signer)


@contextmanager
def lab(nodes: int, directory: Path, *options: str) -> Iterator[str]:
    """Start a rack in a process of its own; yield the URL of its control interface."""
    command = [sys.executable, "-m", "rackwave", "lab", "up", "--with-parent", "--nodes", str(nodes), *options]
    command += ["--version", "BIOS=1.0.0", "--directory", str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if not any(line.startswith("ready") for line in process.stdout):
            raise SystemExit("the lab did not start")
        yield json.loads((directory / "lab.json").read_text())["control"]
        process.stdin.close()


def race(program: list[str], control: str, output: Path) -> tuple[Spent, dict[str, Any], float]:
    """Run *program* against a lab whose counters are at zero; return its cost, the truth, and all CPU spent here."""
    requests.post(f"{control}/reset-counters", timeout=30).raise_for_status()
    before = machine_cpu()
    run = spend(program, output)
    busy = machine_cpu() - before
    return run, requests.get(f"{control}/truth", timeout=30).json(), busy


def spend(program: list[str], output: Path) -> Spent:
    """Run *program* to its end and return what it cost."""
    peak = [0]
    started = time.monotonic()
    with output.open("wb") as file, subprocess.Popen(program, stdout=file, stderr=subprocess.STDOUT) as process:
        ended = threading.Event()
        watch = threading.Thread(target=_watch_memory, args=(process.pid, peak, ended))
        watch.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
        ended.set()
        watch.join()
        process.returncode = os.waitstatus_to_exitcode(status)
    return Spent(process.returncode, wall, usage.ru_utime + usage.ru_stime, peak[0] / 1024)


def check(name: str, run: Spent, truth: dict[str, Any], nodes: int, output: Path, *, sessions: bool = True) -> None:
    """End the benchmark where a contender did not do all of the work, or flashed anything twice."""
    totals = truth["totals"]
    found = {
        "exit code": run.code,
        "nodes on the new version": sum(n["installed"]["BIOS"]["version"] == NEW for n in truth["nodes"].values()),
        "flashes": totals["flashes"],
        "double flashes": totals["double_flashes"],
    }
    expected = {"exit code": 0, "nodes on the new version": nodes, "flashes": nodes, "double flashes": 0}
    if sessions:
        found["sessions open"], expected["sessions open"] = totals["sessions_open"], 0
    if expected != found:
        raise SystemExit(f"{name}: expected {expected}, found {found}\n{output.read_text()[-2000:]}")


def _watch_memory(pid: int, peak: list[int], ended: threading.Event) -> None:
    """Keep the peak memory of *pid* in KiB. What wait4 tells of it includes ours from before the exec."""
    while not ended.wait(0.05):
        with suppress(OSError, StopIteration):
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            peak[0] = int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def cpu_of(pid: int) -> float:
    """CPU seconds of *pid* so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine_cpu() -> float:
    """CPU seconds that all of the machine has worked since it was started."""
    user, nice, system, _, _, irq, softirq, *_ = (
        int(n) for n in Path("/proc/stat").read_text().split("\n")[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
