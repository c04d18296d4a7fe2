"""A whole orchestrator on a simulated rack: same core, worker, engine and orchestrator; only the edge is simulated."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attrs import define, evolve, field

from rackwave.bmc.failover import FailoverBmc, Way
from rackwave.bundle_orchestrator import BundleOrchestrator
from rackwave.core.bundle import Activation, Bundle, Element, ElementKind, Manifest, Payload, PayloadRole, Reversibility
from rackwave.core.event import Assigned, Event, GateJudged, Recorded, RolloutStarted
from rackwave.core.identity import AttemptId, BundleId, ComponentName, Digest, Lineage, NodeName, RolloutId
from rackwave.core.policy import Policy
from rackwave.core.receipt import Accepted, Receipt
from rackwave.core.rollout import RolloutState
from rackwave.core.waves import GoOn, Stop, Wait, cut_waves
from rackwave.core.window import Windows
from rackwave.drain import DrainHook
from rackwave.engine.journal import concerned
from rackwave.engine.leases import Holder, Lease
from rackwave.engine.logbook import Logbook
from rackwave.engine.memory import MemoryJournal, MemoryLeases
from rackwave.errors import DigestMismatchError
from rackwave.leave import NodeLeave
from rackwave.ports import Bmc, Journal, Means
from rackwave.recovery_manager import RecoveryManager
from rackwave.worker.worker_orchestrator import WorkerOrchestrator
from rackwave_emulators import personality
from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.images import make_image
from rackwave_emulators.personality import Personality, TaskEnds, load_personality
from rackwave_emulators.sim import Killed, SimRack, Wire, WireFate, calm
from rackwave_emulators.sim_ipmi import SimIpmi

BIOS, BMC, NIC = ComponentName("BIOS"), ComponentName("BMC"), ComponentName("NIC")
ACTIVATIONS = {BIOS: Activation.HOST_RESET, BMC: Activation.BMC_RESET, NIC: Activation.HOST_RESET}
KINDS = {
    BIOS: ElementKind.BIOS_IMAGE,
    BMC: ElementKind.BMC_FIRMWARE,
    NIC: ElementKind.DEVICE_FIRMWARE,
}


class Shelf:
    """Bundles with real lab images, made once in a folder."""

    def __init__(
        self,
        folder: Path,
        *,
        activations: Mapping[ComponentName, Activation] = ACTIVATIONS,
        scheme: str | None = None,
    ) -> None:
        self.folder = folder
        self._scheme = scheme
        self.damaged: set[str] = set()
        """Payloads whose bytes on disk are not what their digests say."""
        self._activations = activations
        self.bundles: dict[BundleId, Bundle] = {}
        self._paths: dict[Digest, Path] = {}

    def bundle(
        self,
        name: str,
        images: Mapping[ComponentName, str],
        *,
        settings: Mapping[str, str | int | bool | None] | None = None,
        time_limit: float = 600.0,
        switched: Collection[ComponentName] = (),
        kept: Collection[ComponentName] = (),
    ) -> Bundle:
        """Make the bundle *name* with an image of the given version for each component.

        *switched* are gone back to by their other bank, *kept* so too, for want of an image.
        """
        elements: list[Element] = []
        payloads: list[Payload] = []
        for component, version in images.items():
            file_name = f"{component.lower()}-{version}.img"
            path = self.folder / file_name
            facts = make_image(path, component=component, version=version, size=4096)
            self._paths[facts.digest] = path
            if component not in kept:
                payloads.append(Payload(file_name, PayloadRole.DATA, facts.digest, facts.size))
            has_bank = component in kept or component in switched
            elements.append(
                Element(
                    name=component.lower(),
                    kind=KINDS[component],
                    activation=self._activations[component],
                    reversibility=Reversibility.BANK_SWITCH if has_bank else Reversibility.REFLASH,
                    component=component,
                    version=version,
                    payload=None if component in kept else file_name,
                    time_limit=time_limit,
                    scheme=self._scheme,
                )
            )
        if settings:
            elements.append(
                Element(
                    name="settings",
                    kind=ElementKind.BIOS_SETTINGS,
                    activation=Activation.HOST_RESET,
                    reversibility=Reversibility.REFLASH,
                    attributes=settings,
                )
            )
        manifest = Manifest(BundleId.parse(name), f"bundle {name}", tuple(elements), tuple(payloads))
        number = len(self.bundles)
        bundle = Bundle(manifest, Digest("sha256:" + f"{number:064x}"))
        self.bundles[bundle.id] = bundle
        return bundle

    def path(self, bundle: Bundle, payload: str) -> Path:
        """Return where *payload* of *bundle* lies."""
        if payload in self.damaged:
            raise DigestMismatchError(f"{payload} is damaged.", expected="as published", found="something else")
        return self._paths[bundle.manifest.payload(payload).digest]


def keeping(component: ComponentName, *, bank: bool = False, ends: TaskEnds = TaskEnds.WRITTEN) -> Personality:
    """A make that lists what ran before on *component*; *bank*: it switches to it, else it writes its copy again."""
    plain = load_personality("plain")
    members = personality.keeping(component)
    return evolve(
        plain,
        components=tuple(
            evolve(spec, members=members, previous="0.1", spare_bank=bank) if spec.name == component else spec
            for spec in plain.components
        ),
        rules=evolve(plain.rules, task_ends=ends),
    )


class Reaper:
    """Kills the orchestrator at chosen points, as kill -9 would: whatever it still tries comes to nothing.

    Points are counted over the whole life of the rig, from 0: one before and one after each request to
    a BMC, one before and one after each append to the journal.
    """

    def __init__(self, kill_at: Iterable[int] = ()) -> None:
        self._kill_at = frozenset(kill_at)
        self._count = itertools.count()
        self.points: list[str] = []
        """Every point so far, by name: ``before observe``, ``after append Intended``, …"""
        self.dead = False

    def passes(self, point: str) -> bool:
        """Count *point*; False where the orchestrator is dead by then or dies there."""
        if self.dead:
            return False
        self.points.append(point)
        self.dead = next(self._count) in self._kill_at
        return not self.dead

    def revive(self) -> None:
        """Let a new process live."""
        self.dead = False


class OwnLeases:
    """The leases as one process has them: those that it took, whether or not another has taken them over since."""

    def __init__(self, leases: MemoryLeases) -> None:
        self._leases = leases
        self.held: dict[NodeName, Lease] = {}

    async def acquire(self, node: NodeName, holder: Holder) -> Lease:
        """Take *node*."""
        lease = self.held[node] = await self._leases.acquire(node, holder)
        return lease

    async def check(self, lease: Lease) -> None:
        """Raise LeaseError where it was taken over."""
        await self._leases.check(lease)

    async def heartbeat(self) -> None:
        """Nothing grows stale in memory."""

    async def release(self, lease: Lease) -> None:
        """Let go of *lease*."""
        self.held.pop(lease.node, None)
        await self._leases.release(lease)


class MortalJournal:
    """A journal whose writer can be killed before and after each append, and is refused where it was overtaken."""

    def __init__(self, journal: Journal, reaper: Reaper, leases: OwnLeases | None = None) -> None:
        self._journal = journal
        self._reaper = reaper
        self._leases = leases

    async def append(self, *events: Event) -> tuple[Recorded, ...]:
        """Keep *events*, unless the writer is killed first."""
        names = "+".join(type(event).__name__ for event in events)
        if not self._reaper.passes(f"before append {names}"):
            raise Killed(names)
        if self._leases is not None:
            held = self._leases.held
            for node in {NodeName(name) for event in events for name in concerned(event, held)} & set(held):
                await self._leases.check(held[node])
        recorded = await self._journal.append(*events)
        if not self._reaper.passes(f"after append {names}"):
            raise Killed(names)
        return recorded

    def events(self, after: int = 0) -> Iterator[Recorded]:
        """Read what was written after event number *after*."""
        return self._journal.events(after)


def _nothing(bmc: Bmc) -> Bmc:
    return bmc


def _always(_: BundleId) -> GoOn:
    return GoOn()


@define
class Rig:
    """A rack and all that outlives a killed orchestrator: journal, image server log, clock."""

    shelf: Shelf
    nodes: tuple[NodeName, ...]
    clock: VirtualClock = field(factory=VirtualClock)
    policy: Policy = field(factory=Policy)
    personality: Personality | None = None
    installed: Mapping[str, str] = field(factory=lambda: {"BIOS": "1.0.0", "BMC": "5.0", "NIC": "20.1"})
    wire: Wire = calm
    wires: Mapping[NodeName, Wire] = field(factory=dict)
    reaper: Reaper = field(factory=Reaper)
    between: Callable[[Bmc], Bmc] = _nothing
    """Puts something between the orchestrator and a BMC."""
    ipmi: Wire | None = None
    """The wire of a second way to every BMC; None: there is none."""
    forward: Callable[[BundleId], GoOn | Wait | Stop] = _always
    """Whether a bundle may be given to further machines."""
    outlet: Callable[[NodeName], None] | None = None
    """What cuts a node's mains and gives them back."""
    rack: SimRack = field(init=False)
    journal: MemoryJournal = field(init=False)
    leases: MemoryLeases = field(factory=MemoryLeases)
    own_windows: Mapping[NodeName, tuple[Windows, ...]] = field(factory=dict)
    gate: Callable[[RolloutState], Awaitable[GateJudged]] | None = None
    hook: DrainHook | None = None
    """Who is asked whether a node is busy."""
    _ways: dict[NodeName, FailoverBmc] = field(factory=dict, init=False)
    _orderly: asyncio.AbstractEventLoop | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.rack = SimRack(self.nodes, self.clock, personality=self.personality, installed=self.installed)
        self.journal = MemoryJournal(self.clock)

    async def get(self, node: NodeName) -> Bmc:
        """Return a BMC client (the rig is its own pool)."""
        loop = asyncio.get_running_loop()
        if loop is not self._orderly:
            # One thread: images are prepared in the order in which they are asked for, so that stories repeat.
            loop.set_default_executor(ThreadPoolExecutor(1))
            self._orderly = loop
        first = self.rack.bmc(node, wire=self._mortal(self.wires.get(node, self.wire)))
        if self.ipmi is None and self.outlet is None:
            return self.between(first)
        if node not in self._ways:
            ways = [Way(Means.REDFISH, first, self.clock)]
            if self.ipmi is not None:
                second = SimIpmi(self.rack.machine(node), wire=self._mortal(self.ipmi))
                ways.append(Way(Means.IPMI, second, self.clock))
            hooks = {Means.OUTLET: self._cut} if self.outlet is not None else {}
            self._ways[node] = FailoverBmc(*ways, clock=self.clock, hooks=hooks)
        return self.between(self._ways[node])

    async def _cut(self, node: NodeName) -> Receipt:
        if not self.reaper.passes("before outlet"):
            raise Killed("outlet")
        assert self.outlet is not None
        self.outlet(node)
        if not self.reaper.passes("after outlet"):
            raise Killed("outlet")
        return Accepted(way="the command outlet (cycle)")

    def _mortal(self, wire: Wire) -> Wire:
        def fate(act: str) -> WireFate:
            if not self.reaper.passes(f"before {act}"):
                return WireFate.KILL_BEFORE
            fate = wire(act)
            return fate if self.reaper.passes(f"after {act}") else WireFate.KILL_AFTER

        return fate

    async def release(self, node: NodeName) -> None:
        """Let go of the node's client, and of all that it remembers."""
        self._ways.pop(node, None)

    def logbook(self, leases: OwnLeases | None = None) -> Logbook:
        """Read the journal as a process that starts now would."""
        return Logbook(MortalJournal(self.journal, self.reaper, leases))

    def orchestrator(self) -> BundleOrchestrator:
        """Start a new orchestrator on what is there, as after a kill."""
        self._ways.clear()
        leases = OwnLeases(self.leases)
        logbook = self.logbook(leases)
        worker = WorkerOrchestrator(
            logbook=logbook,
            images=self.rack.images,
            payload_path=self.shelf.path,
            clock=self.clock,
            leave=NodeLeave(logbook, clock=self.clock, hook=self.hook),
        )
        return BundleOrchestrator(
            logbook=logbook,
            worker=worker,
            recovery=RecoveryManager(logbook=logbook, load=self.shelf.bundles.__getitem__, clock=self.clock),
            bmcs=self,
            load=self.shelf.bundles.__getitem__,
            forward=self._forward,
            leases=leases,
            holder=Holder("sim", "sim", "", "", 0, ""),
            clock=self.clock,
            windows=lambda node: self.own_windows.get(node, ()),
            gate=self.gate,
        )

    async def _forward(self, bundle: BundleId, _: Digest) -> GoOn | Wait | Stop:
        return self.forward(bundle)

    async def assign(self, bundle: Bundle) -> None:
        """Journal *bundle* as committed on every node, as an earlier rollout would have."""
        await self.journal.append(
            *(Assigned(node, bundle.id, bundle.digest, AttemptId("earlier")) for node in self.nodes)
        )

    async def start(self, bundle: Bundle, rollout: str = "roll1") -> RolloutId:
        """Journal a rollout of *bundle* to every node."""
        rollout_id = RolloutId(rollout)
        waves = cut_waves(self.nodes, self.policy)
        await self.journal.append(RolloutStarted(rollout_id, bundle.id, bundle.digest, waves, self.policy, "test"))
        return rollout_id

    async def roll_out(self, bundle: Bundle, rollout: str = "roll1") -> RolloutState:
        """Roll *bundle* out to every node, to the end."""
        rollout_id = await self.start(bundle, rollout)
        return await self.orchestrator().run_rollout(rollout_id)

    def run(self, bundle: Bundle, rollout: str = "roll1") -> RolloutState:
        """Roll *bundle* out on virtual time, without anyone being killed."""
        return self.clock.run(self.roll_out(bundle, rollout))

    def run_with_kills(self, bundle: Bundle, rollout: str = "roll1", *, away: float = 0.0) -> RolloutState:
        """Roll *bundle* out, starting a new orchestrator *away* seconds after each kill."""
        rollout_id = self.clock.run(self.start(bundle, rollout))
        while True:
            try:
                return self.clock.run(self.orchestrator().run_rollout(rollout_id))
            except Killed:
                self.reaper.revive()
                self.clock.advance(away)

    def assigned(self, node: NodeName, lineage: str = "A") -> str | None:
        """Return the bundle that is committed on *node*, None where none is."""
        held = self.logbook().node(node).assigned.get(Lineage(lineage))
        return str(held.bundle) if held is not None else None


def nodes(count: int) -> tuple[NodeName, ...]:
    """Return *count* node names."""
    return tuple(NodeName(f"r1n{number:02d}") for number in range(1, count + 1))
