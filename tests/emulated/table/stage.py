"""The stage: a lab of one make with a part on every node, and real rollouts over it on virtual time.

Lab and orchestrator share one event loop whose time jumps whenever nothing is left to do, so that hours of a
BMC's time cost seconds. The image server is the real one, a process of its own; while it or the journal's thread
works, or a thread speaks IPMI, the clock is held.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from attrs import frozen

from emulated.table.cast import NEW, OLD, Carries, Part, Reach, parts
from rackwave.automation import PUBLISHER_KEY, REPOSITORY, TRUST, Automation
from rackwave.bmc.ipmi.threads import Threads
from rackwave.bundle_manager import BundleManager
from rackwave.core.event import Assigned, NodeResult, Recorded
from rackwave.core.identity import AttemptId, BundleId, NodeName
from rackwave.core.policy import Policy
from rackwave.engine.database import Database
from rackwave.repository.keys import generate_key
from rackwave.repository.repository import BundleRepository
from rackwave.repository.trust import KeyringTrust
from rackwave.serving.images import ImageServerProcess
from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.event_push import Delivery
from rackwave_emulators.images import make_image
from rackwave_emulators.lab import Lab, Place
from rackwave_emulators.personality import Personality, load_personality
from rackwave_emulators.redfish.update_service import UpdateService

LINEAGES = {Carries.BIOS: "A", Carries.BMC: "B", Carries.NIC: "C", Carries.SETTINGS: "D"}
ATTRIBUTES = {OLD: {"BootMode": "Uefi"}, NEW: {"BootMode": "Bios"}}
COMPONENTS = {Carries.BIOS: "BIOS", Carries.BMC: "BMC", Carries.NIC: "NIC", Carries.SETTINGS: "BIOS"}

AFTERWARDS = 1800.0
"""Seconds after a rollout's end in which nothing may change any more: what a verdict says must hold."""

T = TypeVar("T")


@frozen
class Ended:
    """How a node came out: by the journal, and in truth."""

    part: Part
    node: str
    result: NodeResult | None
    reason: str
    story: tuple[Recorded, ...]
    truth: Mapping[str, Any]


@frozen
class Performance:
    """One make's rollouts, over."""

    make: Personality
    ended: tuple[Ended, ...]
    absent: tuple[Part, ...]
    sessions_open: int
    seconds: float
    virtual_seconds: float


class Workshop:
    """The bundles that every make gets, built and published once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        state = self.state = directory / "state"
        state.mkdir(parents=True)
        signer = generate_key(state / PUBLISHER_KEY)
        KeyringTrust(()).with_key(signer.public_key, lineages=("*",)).save(state / TRUST)
        manager = BundleManager(BundleRepository(state / REPOSITORY, KeyringTrust.load(state / TRUST)), signer)
        for carries, lineage in LINEAGES.items():
            for number, version in enumerate((OLD, NEW), 1):
                folder = directory / f"{lineage}.{number}"
                folder.mkdir()
                (folder / "bundle.toml").write_text(_source(folder, carries, lineage, number, version))
                manager.publish(manager.build(folder, directory / "built" / folder.name))


def _source(folder: Path, carries: Carries, lineage: str, number: int, version: str) -> str:
    component = COMPONENTS[carries]
    payload = f"{component.lower()}-{version}.bin"
    make_image(folder / payload, component=component, version=version, size=4096)
    lines = [
        f'lineage = "{lineage}"',
        f"seq = {number}",
        f'purpose = "{component} {version}"',
        "[[elements]]",
        'name = "image"',
        f'kind = "{_KINDS[component]}"',
        f'component = "{component}"',
        f'version = "{version}"',
        'scheme = "hpe-rom"',  # P43 writes ProLiant's notation, whatever the make; its author has seen that
        f'payload = "{payload}"',
        f'activation = "{"bmc-reset" if component == "BMC" else "host-reset"}"',
        'reversibility = "reflash"',
        "time_limit = 900",
    ]
    if carries is Carries.SETTINGS:
        lines += ["[[elements]]", 'name = "settings"', 'kind = "bios-settings"', 'activation = "host-reset"']
        lines += ['reversibility = "reflash"', "[elements.attributes]"]
        lines += [f'{name} = "{value}"' for name, value in ATTRIBUTES[version].items()]
    return "\n".join(lines) + "\n"


_KINDS = {"BIOS": "bios-image", "BMC": "bmc-firmware", "NIC": "device-firmware"}


def perform(
    make: str,
    workshop: Workshop,
    directory: Path,
    *,
    cast: Iterable[Part] | None = None,
    reach: Reach = Reach.REDFISH,
) -> Performance:
    """Play every part of *make* on nodes that are reached as *reach* says, or those of *cast*."""
    personality = load_personality(make)
    played = list(parts(personality, reach) if cast is None else cast)
    playing = [part for part in played if not part.not_here]
    began = time.monotonic()
    clock = VirtualClock(time.time())  # the image server's grants end in real time
    with holding(clock):
        ended, sessions = clock.run(_play(personality, playing, workshop, directory, clock, reach), timers_too=True)
    absent = tuple(part for part in played if part.not_here)
    return Performance(personality, ended, absent, sessions, time.monotonic() - began, clock.monotonic())


async def _play(
    make: Personality, playing: list[Part], workshop: Workshop, directory: Path, clock: VirtualClock, reach: Reach
) -> tuple[tuple[Ended, ...], int]:
    names = [Place.of(index).name for index in range(len(playing))]
    roles = dict(zip(names, playing, strict=True))
    async with Lab(
        len(playing),
        personality=make,
        clock=clock,
        versions={component: OLD for component in set(COMPONENTS.values()) if make.component(component)},
        directory=directory / "lab",
        ipmi=reach is not Reach.REDFISH,
    ) as lab:
        if reach is Reach.IPMI:
            without_redfish(lab)
            for station in lab.stations:  # what a machine logged at its last start is all that IPMI knows of POST
                station.machine.reset_host("ForceRestart")
            await clock.sleep(AFTERWARDS)
        state = directory / "state"
        state.mkdir()
        for name in (REPOSITORY, TRUST):
            (state / name).symlink_to(workshop.state / name)
        story: dict[str, list[Recorded]] = {name: [] for name in names}
        results: dict[str, tuple[NodeResult, str]] = {}
        async with Automation(lab.directory / "inventory.toml", state, clock=clock) as automation:
            automation.subscribe(lambda recorded: _note(story, recorded))
            for carries, lineage in LINEAGES.items():
                nodes = [name for name, part in roles.items() if part.carries is carries]
                if nodes:
                    results |= await _roll_out(automation, lab, lineage, {name: roles[name] for name in nodes})
        await clock.sleep(AFTERWARDS)
        truth = lab.truth()
    ended = tuple(
        Ended(part, name, *results.get(name, (None, "")), tuple(story[name]), truth["nodes"][name])
        for name, part in roles.items()
    )
    return ended, truth["totals"]["sessions_open"]


def without_redfish(lab: Lab) -> None:
    """Leave only the IPMI addresses of the nodes in the lab's inventory."""
    path, told = lab.directory / "inventory.toml", list[str]()
    for line in path.read_text().splitlines():
        if line.startswith("bmc = "):
            continue
        told.append(line.replace('ipmi = "', 'bmc = "ipmi://') if line.startswith("ipmi = ") else line)
    path.write_text("\n".join(told) + "\n")


async def _roll_out(
    automation: Automation, lab: Lab, lineage: str, roles: Mapping[str, Part]
) -> dict[str, tuple[NodeResult, str]]:
    """Bring *roles*' nodes, which carry the old bundle, to the new one, with their faults in the way."""
    old, new = (BundleId.parse(f"{lineage}.{number}") for number in (1, 2))
    digest = automation.bundle(old).digest
    await automation.logbook.record(*(Assigned(NodeName(n), old, digest, AttemptId("earlier")) for n in roles))
    for name, part in roles.items():
        if part.stranger:
            lab[name].stage_bios(dict(part.stranger))
        for fault in part.faults:
            lab[name].arm(fault)
    policy = Policy(canary=0, waves=1, failure_budget=len(roles), poll=5.0)
    report = await automation.deploy(new, ",".join(roles), policy=policy)
    return {str(node): (ended.result, ended.reason) for node, ended in report.state.results.items()}


def _note(story: dict[str, list[Recorded]], recorded: Recorded) -> None:
    node = getattr(recorded.event, "node", None)
    if node is not None:
        story[str(node)].append(recorded)


# -- time ------------------------------------------------------------------------------------------


@contextmanager
def holding(clock: VirtualClock) -> Iterator[None]:
    """Hold the clock while a thread or the image server's process is waited for, or an image travels."""
    served = ((ImageServerProcess, name) for name in ("start", "stop", "grant", "revoke", "open_door", "shut_door"))
    taken = [(Database, "write"), *served, (UpdateService, "_pull"), (Delivery, "_post"), (Threads, "run")]
    before = [(owner, name, getattr(owner, name)) for owner, name in taken]
    for owner, name, method in before:
        setattr(owner, name, _held(clock, method))
    try:
        yield
    finally:
        for owner, name, method in before:
            setattr(owner, name, method)


def _held(clock: VirtualClock, method: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
    @functools.wraps(method)
    async def call(*args: Any, **named: Any) -> T:
        with clock.held():
            return await method(*args, **named)

    return call
