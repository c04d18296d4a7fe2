"""How much longer a rollout takes than its machines must; ``nox -s makespan``.

A thousand nodes over HTTPS, in waves, of which each machine takes as long for its flash and its POST as large ones do.
What no orchestrator can be quicker than is the longest path of a machine, once a wave; the makespan, from the start of
the rollout to its last node's end, is compared with that.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

from rollouts import Workshop, check, lab, race

from rackwave.clock import SystemClock
from rackwave.core.event import NodeFinished, RolloutStarted, WaveStarted
from rackwave.records import Records

AIM = 1.10


def main() -> int:
    """Measure and print; a rollout that does not do the work ends the benchmark."""
    parser = argparse.ArgumentParser(description="Compare a rollout's makespan with what its machines must take.")
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--wave", type=int, default=250, help="nodes of one wave")
    parser.add_argument("--update", type=float, default=120.0, help="seconds of a flash")
    parser.add_argument("--reset", type=float, default=30.0, help="seconds of a POST")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rackwave-bench-") as folder:
        found = measure(Path(folder), options.nodes, options.wave, options.update, options.reset)
    sys.stdout.write(json.dumps(found, indent=2) + "\n" if options.json else _told(found))
    return 0


def measure(folder: Path, nodes: int, wave: int, update: float, reset: float) -> dict[str, Any]:
    """Roll A.2 out to *nodes* machines that carry A.1."""
    workshop = Workshop(folder)
    state = workshop.state()
    files, output = state / "lab", state / "output.txt"
    waves = math.ceil(nodes / wave)
    with lab(nodes, files, "--update", str(update), "--reset", str(reset)) as control:
        rackwave = [sys.executable, "-m", "rackwave", "-i", str(files / "inventory.toml"), "-s", str(state), "deploy"]
        subprocess.run([*rackwave, "--canary", "0", "--waves", "1", "A.1"], check=True, capture_output=True)
        workshop.publish_new(state)
        run, truth, _ = race([*rackwave, "--canary", "0", "--waves", str(waves), "A.2"], control, output)
    check("rackwave", run, truth, nodes, output)
    began, ended = _waves(state)
    ideal = waves * (update + reset)
    return {
        "nodes": nodes,
        "waves": [end - start for start, end in pairwise((*began, ended))],
        "makespan": ended - began[0],
        "ideal": ideal,
        "ratio": (ended - began[0]) / ideal,
        "aim": AIM,
        "cpu": run.cpu,
        "requests": truth["totals"]["requests"] / nodes,
        "lab": truth["lab"]["cpu_seconds"] / run.wall,
    }


def _waves(state: Path) -> tuple[list[float], float]:
    """Return when each wave of the last rollout began, and when its last node was done, in epoch seconds."""
    with closing(Records(state, clock=SystemClock(), read_only=True)) as records:
        told = [(recorded.at, recorded.event) for recorded in records.events()]
    last = max(at for at, event in told if isinstance(event, RolloutStarted))
    of_last = [(at, event) for at, event in told if at >= last]
    began = [at for at, event in of_last if isinstance(event, WaveStarted)]
    return began, max(at for at, event in of_last if isinstance(event, NodeFinished))


def _told(found: dict[str, Any]) -> str:
    waves = ", ".join(f"{seconds:.0f}" for seconds in found["waves"])
    return (
        f"{found['nodes']} nodes: waves of {waves} s; makespan {found['makespan']:.0f} s / ideal {found['ideal']:.0f} s"
        f" = {found['ratio']:.2f} (aim <= {found['aim']:.2f})\n"
        f"CPU {found['cpu']:.1f} s, {found['requests']:.1f} requests a node, the lab {found['lab']:.2f} cores\n"
    )


if __name__ == "__main__":
    sys.exit(main())
