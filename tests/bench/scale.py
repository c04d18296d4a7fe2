"""What a large rack costs: planning it, and rolling out to it on virtual time.

    python tests/bench/scale.py --plan 1000 10000 100000 --rollout 1000 10000

The machines and the wire are simulated, everything else is what a real rollout runs: planner, gates, bundle
orchestrator, worker, recovery manager, engine and the fold of the journal. Each size is measured in a process of its
own, for peak memory is a process's. docs/benchmarks.md says what the numbers mean.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from attrs import asdict, frozen

from rackwave.bundle_manager import BundleManager
from rackwave.clock import SystemClock
from rackwave.core.bundle import Bundle
from rackwave.core.event import Assigned
from rackwave.core.identity import AttemptId, BundleId, NodeName
from rackwave.core.node import Node
from rackwave.core.odds import Odds
from rackwave.core.policy import Policy
from rackwave.core.stand_in import Pace
from rackwave.engine.logbook import Logbook
from rackwave.engine.memory import MemoryJournal
from rackwave.leave import NodeLeave
from rackwave.planning import RackPlanner
from rackwave.repository.examples import prepare_example
from rackwave.repository.keys import generate_key
from rackwave.repository.repository import BundleRepository
from rackwave.repository.trust import KeyringTrust
from rackwave.simulated_rack import RackPool
from rackwave.simulation import Simulation, prepare
from rackwave_emulators.sim import SimRack

ROUGH = Odds(fail=0.03, die=0.01, trouble=0.1)
"""What goes wrong in a rough rollout."""


@frozen
class Spent:
    """One size, measured. *seconds* of CPU; *virtual* is how long the rollout would have taken."""

    what: str
    nodes: int
    seconds: float
    peak_kib: int
    """Beyond what the process held before its rack was made."""
    virtual: float = 0.0

    @property
    def per_node(self) -> float:
        """Milliseconds a node."""
        return 1000 * self.seconds / self.nodes

    @property
    def kib(self) -> float:
        """KiB a node."""
        return self.peak_kib / self.nodes


class Stage:
    """A repository with A.1 and A.2, and nodes that carry A.1."""

    def __init__(self, folder: Path, count: int) -> None:
        signer = generate_key(folder / "publisher.pem")
        trust = KeyringTrust(()).with_key(signer.public_key, lineages=("*",), note="bench")
        self.repository = BundleRepository(folder / "repository", trust)
        manager = BundleManager(self.repository, signer)
        for source in prepare_example("lab-bios", folder / "source")[:2]:
            built = manager.build(source, folder / "built" / source.name)
            manager.publish(built, "bench")
        self._bundles = {name: self.repository.get(name) for name in map(BundleId.parse, ("A.1", "A.2"))}
        self.old, self.new = self._bundles.values()
        self.base = peak_kib()
        self.nodes = tuple(Node(NodeName(f"n{number:06d}")) for number in range(count))
        self.logbook = Logbook(MemoryJournal(SystemClock()))

    def load(self, bundle: BundleId) -> Bundle:
        """Return *bundle*, which was verified once."""
        return self._bundles[bundle]

    async def assign(self) -> None:
        """Put A.1 on record on every node."""
        for node in self.nodes:
            await self.logbook.record(Assigned(node.name, self.old.id, self.old.digest, AttemptId("earlier")))

    def rack(self) -> SimRack:
        """Return the machines to be planned."""
        return SimRack((node.name for node in self.nodes), SystemClock(), installed={"BIOS": "1.0.0"})

    async def plan(self, rack: SimRack) -> None:
        """Look at every node, plan it, and tell the plan as it is told to others."""
        planner = RackPlanner(
            logbook=self.logbook,
            repository=self.repository,
            load=self.load,
            bmcs=RackPool(rack),
            selectors=(),
            clock=SystemClock(),
            leave=NodeLeave(self.logbook, clock=SystemClock()),
            validation=lambda _: None,
        )
        plan = await planner.plan(self.new, self.nodes, Policy(), no_way_back=())
        rows = plan.document()["nodes"]
        if plan.refusals or len(rows) != len(self.nodes) or not all(each.steps for each in plan.nodes):
            raise SystemExit("the plan is not what it should be")

    async def simulation(self, odds: Odds) -> Simulation:
        """Prepare what ``rackwave simulate`` runs."""
        return await prepare(
            self.new,
            self.nodes,
            Policy(failure_budget=len(self.nodes)),
            no_way_back=(),
            odds=odds,
            pace=Pace(),
            start=SystemClock().now(),
            logbook=self.logbook,
            repository=self.repository,
            load=self.load,
            selectors=(),
            validation=lambda _: None,
        )


def plain_loop() -> float:
    """Return the CPU seconds that ten million additions take here and now: by it two machines can be compared."""
    began, total = time.process_time(), 0
    for number in range(10_000_000):
        total += number
    return time.process_time() - began


def peak_kib() -> int:
    """Return the most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure(what: str, count: int) -> Spent:
    """Measure one size in this process."""
    gc.set_threshold(20_000, *gc.get_threshold()[1:])  # as the command line does
    with tempfile.TemporaryDirectory(prefix="rackwave-scale-") as folder:
        stage = Stage(Path(folder), count)
        asyncio.run(stage.assign())
        if what == "plan":
            rack = stage.rack()
            began = time.process_time()
            asyncio.run(stage.plan(rack))
            return Spent(what, count, time.process_time() - began, peak_kib() - stage.base)
        simulation = asyncio.run(stage.simulation(Odds() if what == "rollout" else ROUGH))
        began = time.process_time()
        outcome = simulation.run(1)
        seconds = time.process_time() - began
        if outcome.result != "done" or outcome.double_flashes or (what == "rollout" and outcome.on_new != count):
            raise SystemExit(f"the rollout is not what it should be: {outcome}")
        return Spent(what, count, seconds, peak_kib() - stage.base, outcome.seconds)


def measured_apart(what: str, count: int) -> Spent:
    """Measure one size in a process of its own."""
    command = [sys.executable, __file__, "--only", what, str(count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    spent = Spent(**json.loads(done.stdout))
    sys.stderr.write(f"-- {what}, {count} nodes: {spent.seconds:.2f} s of CPU\n")
    return spent


def table(found: list[Spent]) -> str:
    """Tell what was found, and how a node's share changes from one size to the next."""
    lines = [
        "| | nodes | CPU s | ms a node | KiB a node | ms a node, to the size before | virtual h |",
        "|---|---|---|---|---|---|---|",
    ]
    before: dict[str, Spent] = {}
    for spent in found:
        smaller = before.get(spent.what)
        ratio = f"{spent.per_node / smaller.per_node:.2f}" if smaller is not None else ""
        hours = f"{spent.virtual / 3600:.1f}" if spent.virtual else ""
        lines.append(
            f"| {spent.what} | {spent.nodes:,} | {spent.seconds:.2f} | {spent.per_node:.3f} | {spent.kib:.1f} "
            f"| {ratio} | {hours} |"
        )
        before[spent.what] = spent
    return "\n".join(lines)


def main() -> int:
    """Measure and print; nothing is asserted of times."""
    parser = argparse.ArgumentParser(description="Measure what a large rack costs.")
    parser.add_argument("--plan", type=int, nargs="*", default=[1_000, 10_000, 100_000], help="nodes to plan")
    parser.add_argument("--rollout", type=int, nargs="*", default=[1_000, 10_000], help="nodes to roll out to")
    parser.add_argument("--rough", type=int, nargs="*", default=[1_000, 10_000], help="the same, where much goes wrong")
    parser.add_argument("--json", action="store_true", help="print every size as JSON")
    parser.add_argument("--only", nargs=2, metavar=("WHAT", "NODES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        what, count = options.only
        sys.stdout.write(json.dumps(asdict(measure(what, int(count)))) + "\n")
        return 0
    loops = [plain_loop()]
    found = [measured_apart("plan", count) for count in options.plan]
    found += [measured_apart("rollout", count) for count in options.rollout]
    found += [measured_apart("rough", count) for count in options.rough]
    loops.append(plain_loop())
    if options.json:
        document = {"plain_loop": loops, "sizes": [asdict(each) for each in found]}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        told = ", ".join(f"{seconds:.2f}" for seconds in loops)
        sys.stdout.write(f"{table(found)}\n\nplain loop before and after: {told} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
