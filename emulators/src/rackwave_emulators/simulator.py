"""A rack in memory for ``rackwave simulate``: machines that stand in for an inventory's nodes, on virtual time.

rackwave finds ``SimulatedRack`` by the entry point ``rackwave.simulator``. What befalls a node depends on the seed and
its name alone, not on its neighbours; the same seed gives the same story, to the second.
"""

from __future__ import annotations

import asyncio
import glob
import random
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from attrs import evolve

from rackwave.core.bundle import AttributeValue, Bundle
from rackwave.core.forecast import RackTruth
from rackwave.core.identity import ComponentName, Digest, NodeName
from rackwave.core.log import LogMark, LogNews
from rackwave.core.observation import Look, Observation, Post
from rackwave.core.odds import Odds
from rackwave.core.receipt import Receipt
from rackwave.core.stand_in import StandIn
from rackwave.ports import ResetKind

from .bios import Attribute, AttributeType
from .clock import LAB_EPOCH, VirtualClock
from .faults import BadHealth, Fault, FlashFails, HostDead, Leaves, RevivedBy
from .host import PowerState
from .images import ImageFacts
from .machine import Glimpse, Machine
from .personality import ComponentSpec, Personality, Timing, keeping, load_personality
from .sim import SimBmc, SimImageServer
from .updates import MachineTask
from .weather import Climate, forecast

T = TypeVar("T")

_MAKE = "plain"
"""Whose habits the machines have: the standard's own. Vendors and models are the nodes'."""

_SLOWER = (0.9, 1.3, 1.0)
"""From how many times to how many times, and most often, what things usually take: no two machines are in step."""

_NOTHING = Odds()


class SimulatedRack:
    """Machines for *stand_ins* on a clock of their own, which *odds* and *seed* bring what they bring.

    Args:
        stand_ins: What each machine is.
        bundles: Whatever may be sent to them: a machine knows an image by its digest.
        odds: What may go wrong.
        seed: Of whatever is drawn.
        start: Epoch seconds at which the clock begins.
        lasts: Seconds over which the moments are spread at which hosts die by themselves.
    """

    def __init__(
        self,
        stand_ins: Iterable[StandIn],
        bundles: Iterable[Bundle],
        *,
        odds: Odds = _NOTHING,
        seed: int = 0,
        start: float = LAB_EPOCH,
        lasts: float = 3600.0,
    ) -> None:
        self.clock = VirtualClock(start)
        versions = dict(_versions(bundles))
        self.images = _Images(versions)
        self._absences = _Absences()
        self._versions = {digest: version for digest, (version, _) in versions.items()}
        self._bmcs: dict[NodeName, _SimulatedBmc] = {}
        self._machines: list[Machine] = []
        registries: dict[tuple[object, ...], Mapping[str, Attribute]] = {}
        for each in stand_ins:
            chance = random.Random(f"{seed} {each.node}")  # noqa: S311 - guards nothing
            settings = tuple(each.settings.items())
            registry = registries.get(settings) or registries.setdefault(settings, _registry(each.settings))
            machine = Machine(each.node, self.clock, personality=_personality(each, chance), attributes=registry)
            for fault in _misfortunes(each, odds, chance, seed=seed, lasts=lasts):
                machine.inject(fault)
            self._machines.append(machine)
            self._bmcs[machine.name] = _SimulatedBmc(machine, self.images, self._versions, self._absences)

    def bmc(self, node: NodeName) -> SimBmc:
        """Return the client of *node*'s BMC."""
        return self._bmcs[node]

    def run(self, main: Coroutine[Any, Any, T], *, at_most: float) -> T:
        """Run *main* to its end on virtual time, of which it may take *at_most* seconds."""

        async def whole() -> T:
            asyncio.get_running_loop().set_default_executor(_AtOnce())
            return await main

        return self.clock.run(whole(), at_most=at_most)

    def truth(self) -> RackTruth:
        """Say what the machines know."""
        counts = [machine.flash_counts for machine in self._machines]
        for machine in self._machines:
            machine.advance()
        return RackTruth(
            most_away=self._absences.most(),
            flashes=sum(flashes for flashes, _ in counts),
            double_flashes=sum(doubles for _, doubles in counts),
        )


class _AtOnce(ThreadPoolExecutor):
    """Does what it is given right away: what a real orchestrator does in a thread, hashing, takes no time here."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - handed on to whoever awaits it
            done.set_exception(error)
        return done


class _Absences:
    """Which hosts are away (not up, whatever the reason), and how many at once."""

    def __init__(self) -> None:
        self._away: dict[NodeName, bool] = {}
        self._changes: list[tuple[float, int]] = []

    def note(self, node: NodeName, at: float, *, away: bool) -> None:
        """Note how *node*'s host is at a moment; moments of one node come in order, those of two do not."""
        if self._away.get(node, False) is not away:
            self._away[node] = away
            self._changes.append((at, 1 if away else -1))

    def most(self) -> int:
        """Return how many were away at once, at most; who comes back at a moment is not away at it."""
        most = now = 0
        for _, change in sorted(self._changes):
            now += change
            most = max(most, now)
        return most


class _Images(SimImageServer):
    """An image server without images: nobody reads one."""

    def __init__(self, versions: Mapping[Digest, tuple[str, int]]) -> None:
        super().__init__()
        self._sizes = {digest: size for digest, (_, size) in versions.items()}

    def size_of(self, digest: Digest, path: Path) -> int:
        del path
        return self._sizes[digest]


class _SimulatedBmc(SimBmc):
    """A client that hands images in by their digests, and notes when the host is away."""

    __slots__ = ("_absences", "_versions")

    def __init__(
        self, machine: Machine, images: SimImageServer, versions: Mapping[Digest, str], absences: _Absences
    ) -> None:
        super().__init__(machine, images=images)
        self._versions = versions
        self._absences = absences
        machine.watch(self._look)
        self._look(machine.glimpse())

    async def reset_host(self, kind: ResetKind) -> Receipt:
        receipt = await super().reset_host(kind)
        self._look(self._machine.glimpse())
        return receipt

    def _look(self, glimpse: Glimpse) -> None:
        up = glimpse.power is PowerState.ON and glimpse.post is Post.COMPLETE
        self._absences.note(self._machine.name, glimpse.time, away=not up)

    def _hand_in(self, task: MachineTask, path: Path) -> None:
        digest = Digest(f"sha256:{path.name}")
        facts = ImageFacts(task.component or ComponentName("BIOS"), self._versions[digest], digest, 0)
        self._machine.image_received(task, facts)

    def _observation(self, look: Look, now: float, *, partial: bool) -> Observation:
        seen = super()._observation(look, now, partial=partial)
        return evolve(seen, log=LogNews(LogMark("SEL"))) if look.log and not partial else seen


def _versions(bundles: Iterable[Bundle]) -> Iterator[tuple[Digest, tuple[str, int]]]:
    for bundle in bundles:
        for element in bundle.manifest.elements:
            if element.payload is not None and element.version is not None:
                payload = bundle.manifest.payload(element.payload)
                yield payload.digest, (element.version, payload.size)


def _personality(stand_in: StandIn, chance: random.Random) -> Personality:
    post, slower = stand_in.post * chance.triangular(*_SLOWER), chance.triangular(*_SLOWER)
    bmc_reset = stand_in.bmc_restart * chance.triangular(*_SLOWER)
    specs = tuple(
        ComponentSpec(
            part.component,
            part.version,
            part.activation,
            seconds=slower * part.seconds,
            members=keeping(part.component) if part.keeps else (),
            previous=f"before {part.version}" if part.keeps else None,
        )
        for part in stand_in.parts
    )
    return evolve(
        load_personality(_MAKE),
        vendor=stand_in.vendor,
        model=stand_in.model,
        components=specs,
        timing=Timing(post=post, apply=post / 3, bmc_reset=bmc_reset),
    )


class _AnyValue(Attribute):
    """A BIOS attribute that takes what it is given: whether a real one would, only its own registry knows."""

    def objection(self, value: object) -> str:
        """Object to nothing."""
        del value
        return ""


def _registry(settings: Mapping[str, AttributeValue]) -> Mapping[str, Attribute]:
    return {name: _AnyValue(name, AttributeType.STRING, value, name) for name, value in settings.items()}


def _misfortunes(stand_in: StandIn, odds: Odds, chance: random.Random, *, seed: int, lasts: float) -> Iterator[Fault]:
    """Draw what befalls one node. Each draw is made whatever the odds are, so that 4 % meets all whom 3 % meets."""
    fails, dies, has_trouble = (chance.random() for _ in range(3))
    how, when, revived = chance.random(), chance.random(), chance.random()
    if fails < odds.fail and stand_in.comes:
        yield _disagreement(*chance.choice(sorted(stand_in.comes.items())), how)
    if dies < odds.die:
        yield HostDead(revived_by=next(by for limit, by in _REVIVALS if revived < limit), after=when * lasts)
    if has_trouble < odds.trouble:
        for gust in forecast(seed, [stand_in.node], climate=Climate.FAIR):
            yield _aimed(gust.fault, stand_in)


_REVIVALS = ((0.7, RevivedBy.RESTART), (0.95, RevivedBy.REFLASH), (1.0, RevivedBy.NEVER))

_DISAGREEMENTS = ((0.3, "boot"), (0.6, "health"), (0.8, "old"), (1.0, "corrupt"))


def _disagreement(component: ComponentName, version: str, how: float) -> Fault:
    """Return the way in which *version* does not agree with a machine: by boot, by health, or in the flash."""
    way = next(word for limit, word in _DISAGREEMENTS if how < limit)
    if way == "boot":
        return BadHealth(component=component, version=glob.escape(version), boots=False)
    if way == "health":
        return BadHealth(component=component, version=glob.escape(version))
    return FlashFails(component=component, leaves=Leaves.OLD if way == "old" else Leaves.CORRUPT)


def _aimed(fault: Fault, stand_in: StandIn) -> Fault:
    """Have *fault* befall a part that the machine has."""
    parts = [str(part.component) for part in stand_in.parts]
    named = getattr(fault, "component", None)
    if named is None or named == "*" or named in parts or not parts:
        return fault
    return evolve(fault, component=parts[0])  # type: ignore[call-arg]
