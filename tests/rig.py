"""A whole orchestrator on a simulated rack: same core, worker, engine and orchestrator; only the edge is simulated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import define, field

from rackwave.bundle_orchestrator import BundleOrchestrator
from rackwave.core.bundle import Activation, Bundle, Element, ElementKind, Manifest, Payload, PayloadRole, Reversibility
from rackwave.core.event import Assigned, RolloutStarted
from rackwave.core.history import RolloutState
from rackwave.core.identity import AttemptId, BundleId, ComponentName, Digest, Lineage, NodeName, RolloutId
from rackwave.core.policy import Policy
from rackwave.core.waves import cut_waves
from rackwave.engine.leases import Holder
from rackwave.engine.logbook import Logbook
from rackwave.engine.memory import MemoryJournal, MemoryLeases
from rackwave.ports import Bmc
from rackwave.recovery_manager import RecoveryManager
from rackwave.worker.worker_orchestrator import WorkerOrchestrator
from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.images import make_image
from rackwave_emulators.personality import Personality
from rackwave_emulators.sim import SimRack, Wire, calm

BIOS, BMC, NIC = ComponentName("BIOS"), ComponentName("BMC"), ComponentName("NIC")
ACTIVATIONS = {BIOS: Activation.HOST_RESET, BMC: Activation.BMC_RESET, NIC: Activation.HOST_RESET}
KINDS = {
    BIOS: ElementKind.BIOS_IMAGE,
    BMC: ElementKind.BMC_FIRMWARE,
    NIC: ElementKind.DEVICE_FIRMWARE,
}


class Shelf:
    """Bundles with real lab images, made once in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bundles: dict[BundleId, Bundle] = {}
        self._paths: dict[Digest, Path] = {}

    def bundle(
        self,
        name: str,
        images: Mapping[ComponentName, str],
        *,
        settings: Mapping[str, str | int | bool | None] | None = None,
        time_limit: float = 600.0,
    ) -> Bundle:
        """Make the bundle *name* with an image of the given version for each component."""
        elements: list[Element] = []
        payloads: list[Payload] = []
        for component, version in images.items():
            file_name = f"{component.lower()}-{version}.img"
            path = self.folder / file_name
            facts = make_image(path, component=component, version=version, size=4096)
            self._paths[facts.digest] = path
            payloads.append(Payload(file_name, PayloadRole.DATA, facts.digest, facts.size))
            elements.append(
                Element(
                    name=component.lower(),
                    kind=KINDS[component],
                    activation=ACTIVATIONS[component],
                    reversibility=Reversibility.REFLASH,
                    component=component,
                    version=version,
                    payload=file_name,
                    time_limit=time_limit,
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
        return self._paths[bundle.manifest.payload(payload).digest]


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
    rack: SimRack = field(init=False)
    journal: MemoryJournal = field(init=False)
    leases: MemoryLeases = field(factory=MemoryLeases)

    def __attrs_post_init__(self) -> None:
        self.rack = SimRack(self.nodes, self.clock, personality=self.personality, installed=self.installed)
        self.journal = MemoryJournal(self.clock)

    async def get(self, node: NodeName) -> Bmc:
        """Return a BMC client (the rig is its own pool)."""
        return self.rack.bmc(node, wire=self.wire)

    async def release(self, node: NodeName) -> None:
        """Let go of nothing: simulated clients hold nothing."""

    def logbook(self) -> Logbook:
        """Read the journal as a process that starts now would."""
        return Logbook(self.journal)

    def orchestrator(self) -> BundleOrchestrator:
        """Start a new orchestrator on what is there, as after a kill."""
        logbook = self.logbook()
        worker = WorkerOrchestrator(
            logbook=logbook, images=self.rack.images, payload_path=self.shelf.path, clock=self.clock
        )
        return BundleOrchestrator(
            logbook=logbook,
            worker=worker,
            recovery=RecoveryManager(logbook=logbook, load=self.shelf.bundles.__getitem__, clock=self.clock),
            bmcs=self,
            load=self.shelf.bundles.__getitem__,
            leases=self.leases,
            holder=Holder("sim", "sim", "", "", 0, ""),
            clock=self.clock,
        )

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

    def assigned(self, node: NodeName, lineage: str = "A") -> str | None:
        """Return the bundle that is committed on *node*, None where none is."""
        held = self.logbook().node(node).assigned.get(Lineage(lineage))
        return str(held.bundle) if held is not None else None


def nodes(count: int) -> tuple[NodeName, ...]:
    """Return *count* node names."""
    return tuple(NodeName(f"r1n{number:02d}") for number in range(1, count + 1))
