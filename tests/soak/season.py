"""A season of weather: one rollout over a whole rack, with faults, kills and take-overs drawn from one seed.

    over = play(17, shelf, 200)        # the same seed, the same story, to the second

Three nodes in four get up to three faults of the catalogue (``rackwave_emulators.weather``, rough), some a bundle that
does not agree with them. The orchestrator is killed a few times and begun again, and now and then another takes its
nodes over while it still runs, or is stopped right before it sends an image.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from attrs import evolve, frozen

from rackwave.core.bundle import Bundle
from rackwave.core.event import NodeFinished
from rackwave.core.identity import NodeName, RolloutId
from rackwave.core.policy import Policy
from rackwave.core.receipt import Receipt
from rackwave.core.rollout import RolloutState
from rackwave.errors import LeaseError
from rackwave.permit import ask_permit
from rackwave.ports import Bmc, Completing, Image
from rackwave_emulators.faults import BadHealth, Fault, HostDead, RevivedBy
from rackwave_emulators.personality import load_personality
from rackwave_emulators.sim import Killed
from rackwave_emulators.weather import Climate, forecast
from rig import BIOS, Reaper, Rig, Shelf, nodes

OLD, NEW = "1.0.0", "2.0.0"
AFTERWARDS = 3600.0
"""Seconds after the end in which nothing may change any more."""
_MAKES = ("plain", "openbmc", "supermicro", "hgx")
"""Those that tell of POST in the standard's words; of the others `SimBmc` knows no other witness."""


@frozen
class Season:
    """A season that is over."""

    seed: int
    rig: Rig
    state: RolloutState
    faults: Mapping[NodeName, tuple[Fault, ...]]
    bundles: tuple[Bundle, Bundle]
    kills: int
    takeovers: int
    seconds: float
    spoilt: Fault | None = None

    @property
    def ends(self) -> dict[NodeName, float]:
        """When the rollout ended for each node, in epoch seconds."""
        told = ((recorded.at, recorded.event) for recorded in self.rig.journal.events())
        return {event.node: at for at, event in told if isinstance(event, NodeFinished)}


def play(seed: int, shelf: Shelf, count: int, *, spoilt: Fault | None = None, every: int = 1) -> Season:
    """Roll A.2 out to *count* nodes that carry A.1, in the weather of *seed*.

    *spoilt* befalls one of *every* so many beside that.
    """
    began = time.monotonic()
    chance = random.Random(f"season {seed}")  # noqa: S311 - guards nothing
    names = nodes(count)
    kills = sorted(chance.sample(range(40, 12 * count), 3))
    is_strict = seed % 5 == 0
    rig = Rig(
        shelf,
        names,
        # One season in five has a budget that may stop the rollout.
        policy=Policy(
            canary=int(is_strict), waves=3, failure_budget=count // 8 if is_strict else count, poll=10.0, watch=120.0
        ),
        personality=load_personality(_MAKES[seed % len(_MAKES)]),
        reaper=Reaper(kills),
    )
    old = shelf.bundle("A.1", {BIOS: OLD})
    new = shelf.bundle("A.2", {BIOS: NEW})
    faults = _faults(seed, names)
    rig.clock.run(rig.assign(old))
    for name, given in faults.items():
        for fault in given:
            rig.rack.machine(name).inject(fault)
    rollout = rig.clock.run(rig.start(new))
    for name in names[::every] if spoilt is not None else ():
        rig.rack.machine(name).inject(spoilt)
    takeover_at = chance.uniform(200.0, 2000.0)
    stall = Stall(rig, takeover_at - 150.0)
    rig.between = stall.between
    died, took = rig.clock.run(_live(rig, rollout, takeover_at))
    rig.clock.advance(AFTERWARDS)
    state = rig.logbook().ledger.rollouts[rollout]
    return Season(seed, rig, state, faults, (old, new), died, took, time.monotonic() - began, spoilt)


class Stall:
    """Stops one orchestrator right before it sends a write, as SIGSTOP would, until long after it was overtaken."""

    def __init__(self, rig: Rig, since: float) -> None:
        self._rig = rig
        self._since = since
        self.happened = False

    def between(self, bmc: Bmc) -> Bmc:
        """Put itself before *bmc*."""
        return _Stalling(bmc, self)  # type: ignore[return-value]

    async def wait(self) -> None:
        """Stop the first that comes by once it is time."""
        if not self.happened and self._rig.clock.monotonic() >= self._since:
            self.happened = True
            await self._rig.clock.sleep(6000.0)
            await ask_permit()  # as every adapter does at the last moment


class _Stalling:
    def __init__(self, bmc: Bmc, stall: Stall) -> None:
        self._bmc = bmc
        self._stall = stall

    def __getattr__(self, name: str) -> object:
        return getattr(self._bmc, name)

    async def write(self, image: Image, *, completing: Completing) -> Receipt:
        """Hand *image* over, sooner or later."""
        await self._stall.wait()
        return await self._bmc.write(image, completing=completing)


async def _live(rig: Rig, rollout: RolloutId, takeover_at: float) -> tuple[int, int]:
    """Run the rollout to its end over kills; *takeover_at* seconds from now a second orchestrator begins beside it."""
    died, took = 0, 0
    rivals: list[asyncio.Task[RolloutState]] = []

    async def rival() -> RolloutState:
        await rig.clock.sleep(takeover_at)
        return await rig.orchestrator().run_rollout(rollout)

    rivals.append(asyncio.ensure_future(rival()))
    while True:
        try:
            await rig.orchestrator().run_rollout(rollout)
            break
        except Killed:
            died += 1
            rig.reaper.revive()
        except (LeaseError, ExceptionGroup) as overtaken:
            if not _is_lease(overtaken):
                raise
            took += 1
            with suppress(Killed):
                await rivals[0]
                break
            died += 1
            rig.reaper.revive()
    for task in rivals:
        task.cancel()
    await asyncio.gather(*rivals, return_exceptions=True)
    return died, took


def _is_lease(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_is_lease(each) for each in error.exceptions)
    return isinstance(error, LeaseError)


def _faults(seed: int, names: tuple[NodeName, ...]) -> dict[NodeName, tuple[Fault, ...]]:
    drawn: dict[NodeName, list[Fault]] = {name: [] for name in names}
    for gust in forecast(seed, fair(names), climate=Climate.FAIR):
        drawn[NodeName(gust.node)].append(gust.fault)
    rough = [name for name in names if name not in fair(names)]
    for gust in forecast(seed, rough, climate=Climate.ROUGH):
        drawn[NodeName(gust.node)].append(gust.fault)
    for name in rough:
        chance = random.Random(f"bundle {seed} {name}")  # noqa: S311 - guards nothing
        if chance.random() < 0.08:
            drawn[name].append(BadHealth(component="BIOS", version=NEW, boots=chance.random() < 0.5))
        elif chance.random() < 0.06:
            drawn[name].append(HostDead(revived_by=chance.choice((RevivedBy.RESTART, RevivedBy.REFLASH)), after=60.0))
    return {name: tuple(_on_bios(fault) for fault in given) for name, given in drawn.items() if given}


def _on_bios(fault: Fault) -> Fault:
    """Have *fault* befall what the bundle writes."""
    return evolve(fault, component="BIOS") if getattr(fault, "component", "") == "NIC" else fault  # type: ignore[call-arg]


def fair(names: tuple[NodeName, ...]) -> tuple[NodeName, ...]:
    """Return the half of *names* whose faults all pass by themselves: what nobody may give up."""
    return names[::2]


def shelf_in(folder: Path) -> Shelf:
    """Return a place for the bundles of seasons, whose versions compare also where BMCs write them oddly (P43)."""
    return Shelf(folder, scheme="hpe-rom")
