"""A rollout simulated before it is begun: the same planner, gates, recovery and engine, on machines in memory.

Nothing is asked of a BMC and nothing is written. The machines are the lab's (``rackwave-emulators``), which is
reached by its entry point; time is virtual, so that hours pass in as long as their events take to work out.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from attrs import evolve, frozen

from .bundle_orchestrator import BundleOrchestrator
from .core.bundle import Bundle
from .core.event import Assigned, Bound, Event, RolloutStarted
from .core.forecast import Forecast, Outcome
from .core.identity import AttemptId, BundleId, Digest, NodeName, RolloutId
from .core.ledger import Ledger
from .core.node import Node, Selector
from .core.odds import Odds
from .core.policy import Policy
from .core.report import RackPlan
from .core.stand_in import BMC_RESTART, FLASH, POST, Pace, StandIn, meant, named, stand_in
from .core.step import Step
from .core.waves import GoOn
from .core.way_back import Consent
from .core.window import Windows
from .engine.leases import Holder
from .engine.logbook import Logbook
from .engine.memory import MemoryJournal, MemoryLeases
from .errors import BundleError
from .leave import NodeLeave
from .planning import RackPlanner, unless_refused
from .ports import Clock
from .recovery_manager import RecoveryManager
from .repository.repository import BundleRepository
from .simulated_rack import RackPool, Simulator, find_simulator
from .worker.worker_orchestrator import WorkerOrchestrator

AT_MOST = 30 * 86_400.0
"""Virtual seconds after which a rollout that still waits is given up: four windows, where one opens once a week."""

SELDOM = 300.0
"""Virtual seconds between two looks at a node that waits for its wave, at least. At a real rollout's 15 s nearly all of
the work would be looks at machines that wait, for hours or for a window; a host that dies meanwhile is found later
instead."""

MOST_LOOKS = 24
"""About how often a node is looked at while it waits, at most: in a hundred waves it is not to cost more."""


async def prepare(
    bundle: Bundle,
    nodes: Sequence[Node],
    policy: Policy,
    *,
    no_way_back: Consent,
    odds: Odds,
    pace: Pace,
    start: float,
    logbook: Logbook,
    repository: BundleRepository,
    load: Callable[[BundleId], Bundle],
    selectors: Sequence[Selector],
    validation: Callable[[Bundle], object],
    windows: Callable[[NodeName], Sequence[Windows]] = lambda _: (),
) -> Simulation:
    """Plan the rollout of *bundle* to machines that stand in for *nodes*.

    Raises:
        PlanRefusedError: a node refuses it.
        UsageError: no lab is installed.
    """
    simulator, ledger = find_simulator(), logbook.ledger
    bundles = {bundle.id: bundle}
    stand_ins = []

    def known(wanted: BundleId) -> Bundle:
        """Load a bundle that a machine carries something of, and keep it for the simulation."""
        if wanted not in bundles:
            bundles[wanted] = load(wanted)
        return bundles[wanted]

    for node in nodes:
        history = ledger.node(node.name)
        lines = (history.assigned, history.prior)
        held = []
        for carried in (line[bundle.id.lineage] for line in lines if bundle.id.lineage in line):
            with suppress(BundleError):  # what is gone cannot be sent; the plan says what that means
                held.append(meant(known(carried.bundle), node, history, known))
        took = partial(_took, ledger, node.name)
        stand_ins.append(stand_in(named(node, history), meant(bundle, node, history, known), held, took, pace))
    rack = simulator(stand_ins, bundles.values(), start=start)
    planner = RackPlanner(
        logbook=logbook,
        repository=repository,
        load=load,
        bmcs=RackPool(rack),
        selectors=selectors,
        clock=rack.clock,
        leave=NodeLeave(logbook, clock=rack.clock),
        validation=validation,
    )
    plan = await planner.plan(bundle, nodes, policy, no_way_back=no_way_back)
    unless_refused(plan)
    return Simulation(plan, tuple(stand_ins), bundles, ledger, odds, start, simulator, windows)


def _took(ledger: Ledger, node: NodeName, step: Step) -> float | None:
    return ledger.usual_of(step, node)


@frozen
class Simulation:
    """A planned rollout that can be run under any seed, any number of times.

    *past* is what the journal knows of the nodes, as far as the rollout may need it: what they carry, and how long
    things took.
    """

    plan: RackPlan
    stand_ins: tuple[StandIn, ...]
    bundles: Mapping[BundleId, Bundle]
    past: Ledger
    odds: Odds
    start: float
    simulator: Simulator
    windows: Callable[[NodeName], Sequence[Windows]] = lambda _: ()

    def run(self, seed: int) -> Outcome:
        """Roll out once, with what *seed* has in store; the same seed gives the same outcome, to the second."""
        plan, policy = self.plan, self.plan.policy
        policy = evolve(policy, approval="none", watch=self._watch)
        rack = self.simulator(
            self.stand_ins, self.bundles.values(), odds=self.odds, seed=seed, start=self.start, lasts=self._lasts
        )
        journal = MemoryJournal(rack.clock)
        logbook = Logbook(journal, self.past.heir())
        orchestrator = BundleOrchestrator(
            logbook=logbook,
            worker=WorkerOrchestrator(
                logbook=logbook,
                images=rack.images,
                payload_path=_no_path,
                clock=rack.clock,
                leave=NodeLeave(logbook, clock=rack.clock),
            ),
            recovery=RecoveryManager(logbook=logbook, load=self.bundles.__getitem__, clock=rack.clock),
            bmcs=RackPool(rack),
            load=self.bundles.__getitem__,
            forward=_always,
            leases=MemoryLeases(),
            holder=Holder("simulation", "simulation", "", "", 0, ""),
            clock=rack.clock,
            windows=self.windows,
        )
        started = RolloutStarted(RolloutId("simulated"), plan.bundle, plan.digest, self._waves, policy, "simulation")
        bound = [Bound(node, plan.bundle, plan.digest, binding) for node, binding in plan.bindings.items()]

        async def roll_out() -> Outcome:
            await logbook.record(*self._carried())
            alarm = asyncio.ensure_future(_stop_after(AT_MOST, orchestrator, rack.clock))
            began = rack.clock.monotonic()
            try:
                state = await orchestrator.begin_rollout(started, bound)
            finally:
                alarm.cancel()
            end = state.finished_at - state.started if state.finished_at is not None else rack.clock.monotonic() - began
            return Outcome.of(seed, state, rack.truth(), seconds=end)

        return rack.run(roll_out(), at_most=2 * AT_MOST)

    def forecast(self, outcomes: Sequence[Outcome]) -> Forecast:
        """Sum *outcomes* up."""
        return Forecast(
            bundle=self.plan.bundle,
            waves=tuple(len(wave) for wave in self._waves),
            odds=self.odds,
            start=self.start,
            assumptions=tuple(self._assumptions()),
            outcomes=tuple(outcomes),
        )

    @property
    def _waves(self) -> tuple[tuple[NodeName, ...], ...]:
        """The waves of the rollout; to a rack that is level there is but one, as with ``deploy``."""
        return (tuple(each.node for each in self.plan.nodes),) if self.plan.is_level else self.plan.waves

    @property
    def _lasts(self) -> float:
        """Seconds that it takes about, where nothing goes wrong and nothing is waited for."""
        return len(self._waves) * max((each.whole for each in self.stand_ins), default=0.0)

    @property
    def _watch(self) -> float:
        """Seconds between two looks at a node that waits for its wave, or whose wave is watched."""
        policy = self.plan.policy
        has_windows = bool(policy.window) or any(self.windows(each.node) for each in self.stand_ins)
        seldom = SELDOM if has_windows else max(SELDOM, self._lasts / MOST_LOOKS)  # none is to be missed
        if policy.soak:
            # One look must fall to the end of the watch over a wave: it begins the next one.
            seldom = policy.soak / math.ceil(policy.soak / seldom) + 0.01
        return max(policy.watch, seldom)

    def _carried(self) -> list[Event]:
        """Return the events after which a journal knows of the nodes what ours does: what they carry, and carried."""
        lineage, told = self.plan.bundle.lineage, AttemptId("earlier")
        events: list[Event] = []
        for each in self.stand_ins:
            history = self.past.node(each.node)
            held = (history.prior.get(lineage), history.assigned.get(lineage))
            for carried in held:
                if carried is None or carried.bundle not in self.bundles:
                    continue
                binding = history.bindings.get(carried.digest)
                if binding is not None:
                    events.append(Bound(each.node, carried.bundle, carried.digest, binding))
                events.append(Assigned(each.node, carried.bundle, carried.digest, told))
        return events

    def _assumptions(self) -> Iterable[str]:
        odds, policy, count = self.odds, self.plan.policy, len(self.stand_ins)
        yield (
            f"the bundle does not agree with {_percent(odds.fail)} of the nodes, {_percent(odds.die)} die by "
            f"themselves, {_percent(odds.trouble)} have trouble with their BMC"
        )
        if odds.fail and not any(each.comes for each in self.stand_ins):
            yield "no image is written, and settings agree with every machine: none fails by the bundle here"
        lineage = self.plan.bundle.lineage
        strangers = sum(lineage not in self.past.node(each.node).assigned for each in self.stand_ins)
        if strangers:
            yield f"nothing of {lineage} was ever committed on {strangers} nodes: what they have now is made up"
        assumed = {"a flash": self._flashes(), "POST": f"{POST:.0f} s", "a restart of the BMC": f"{BMC_RESTART:.0f} s"}
        for what, seconds in assumed.items():
            guessed = sum(what in each.assumed for each in self.stand_ins)
            if guessed:
                yield f"nobody knows how long {what} takes on {guessed} of {count} nodes: {seconds} are assumed"
        if not any(each.assumed for each in self.stand_ins):
            yield "what things take is what they took before, or what was said"
        yield "each machine takes 0.9 to 1.3 times that; BMCs have the habits of the standard"
        if policy.watch < self._watch and len(self._waves) > 1:
            yield f"nodes that wait are looked at every {self._watch:.0f} s, not every {policy.watch:.0f} s"
        if policy.approval != "none":
            yield "every wave is approved at once"
        if policy.window:
            yield f"work begins in the window {policy.window}"
        own = sum(bool(self.windows(each.node)) for each in self.stand_ins)
        if own:
            yield f"{own} nodes have maintenance windows of their own, which are kept to"

    def _flashes(self) -> str:
        elements = self.bundles[self.plan.bundle].manifest.elements
        kinds = sorted({each.kind for each in elements if each.kind in FLASH})
        return ", ".join(f"{FLASH[kind]:.0f} s ({kind})" for kind in kinds)


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


def _no_path(bundle: Bundle, payload: str) -> Path:
    """Return a name in place of a path: no image is read."""
    return Path("simulated") / bundle.manifest.payload(payload).digest.hex


async def _always(_: BundleId, __: Digest) -> GoOn:
    return GoOn()


async def _stop_after(seconds: float, orchestrator: BundleOrchestrator, clock: Clock) -> None:
    await clock.sleep(seconds)
    orchestrator.stop()
