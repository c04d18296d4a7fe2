"""One rollout of three nodes, the second of which fails its flash, killed at one point and begun again.

Lab and orchestrator share an event loop on virtual time; journal, TLS, UDP and image server are the real ones.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import frozen

from emulated.crash.kill import Point, Reaper, mortal
from emulated.table.stage import AFTERWARDS, Workshop, holding, without_redfish
from rackwave.automation import REPOSITORY, TRUST, Automation
from rackwave.core.event import Assigned, Event, NodeResult
from rackwave.core.identity import AttemptId, BundleId, NodeName
from rackwave.core.policy import Policy
from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.faults import BadHealth, Fault, FlashFails
from rackwave_emulators.lab import Lab
from rackwave_emulators.personality import load_personality

OLD, NEW = BundleId.parse("A.1"), BundleId.parse("A.2")
FAILING = "r1n02"
NODES = ("r1n01", "r1n02", "r1n03")
POLICY = Policy(canary=1, waves=1, poll=15.0, watch=60.0)
"""Fewer looks than in the field: each is three points."""


@frozen
class Drilled:
    """How one run came out: by the journal, and in truth."""

    at: Point | None
    points: tuple[Point, ...]
    struck: bool
    starts: int
    results: Mapping[str, NodeResult]
    events: tuple[Event, ...]
    sessions: tuple[int, int]
    """How many sessions the lab had open when the last process ended, and when BMCs had ended those nobody uses."""
    nodes: Mapping[str, Mapping[str, Any]]
    seconds: float

    unknown: int
    """How many sessions nobody can know of: BMCs made them, and who asked died before their names were kept."""


def drill(make: str, workshop: Workshop, directory: Path, *, ipmi: bool, at: Point | None = None) -> Drilled:
    """Roll out, die at *at* if that comes, and go on until the rollout has ended."""
    clock = VirtualClock(time.time())  # the image server's grants end in real time
    living: list[Reaper] = []
    with holding(clock), mortal(lambda: living[0]):
        over = clock.run(_drilled(make, workshop, directory, clock, living, ipmi, at), timers_too=True)
    gc.collect()  # the dead close nothing: what they left is complained of here, and not in some later test
    return over


async def _drilled(
    make: str,
    workshop: Workshop,
    directory: Path,
    clock: VirtualClock,
    living: list[Reaper],
    ipmi: bool,
    at: Point | None,
) -> Drilled:
    began = time.monotonic()
    personality = load_personality(make)
    living[:] = [Reaper()]
    async with Lab(
        len(NODES),
        personality=personality,
        clock=clock,
        versions={name: "1.0.0" for name in ("BIOS", "BMC", "NIC") if personality.component(name)},
        directory=directory / "lab",
        ipmi=ipmi,
    ) as lab:
        if ipmi:
            without_redfish(lab)
            for station in lab.stations:  # what a machine logged at its last start is all that IPMI knows of POST
                station.machine.reset_host("ForceRestart")
            await clock.sleep(AFTERWARDS)
        state = directory / "state"
        state.mkdir()
        for name in (REPOSITORY, TRUST):
            (state / name).symlink_to(workshop.state / name)
        async with Automation(lab.directory / "inventory.toml", state, clock=clock) as before:
            digest = before.bundle(OLD).digest
            await before.logbook.record(*(Assigned(NodeName(n), OLD, digest, AttemptId("earlier")) for n in NODES))
        lab[FAILING].arm(_failure(ipmi=ipmi))
        reaper = living[0] = Reaper(at)
        starts = 0
        while True:
            starts += 1
            automation = Automation(lab.directory / "inventory.toml", state, clock=clock)
            if await _lived(automation, reaper):
                break
            reaper.revive()
            await clock.sleep(1.0)
        open_then = lab.truth()["totals"]["sessions_open"]
        async with Automation(lab.directory / "inventory.toml", state, clock=clock, read_only=True) as after:
            (state_then,) = after.logbook.ledger.rollouts.values()
            events = tuple(recorded.event for recorded in after.records.events())
        await clock.sleep(AFTERWARDS)
        truth = lab.truth()
    return Drilled(
        at=at,
        points=tuple(reaper.points),
        struck=reaper.struck,
        starts=starts,
        results={str(node): ended.result for node, ended in sorted(state_then.results.items())},
        events=events,
        sessions=(open_then, truth["totals"]["sessions_open"]),
        nodes=truth["nodes"],
        seconds=time.monotonic() - began,
        unknown=_unknown_sessions(reaper.points_lived),
    )


def _unknown_sessions(points: tuple[Point, ...]) -> int:
    """Count the logins that BMCs took and whose sessions were not recorded, in a life that ended there."""
    sent = [p for p in points if p.name.endswith("before POST /redfish/v1/SessionService/Sessions")]
    made = len(sent) - (points[-1] in sent if points else 0)  # the last is where it died
    return made - sum(p.name.startswith("after append SessionOpened") for p in points)


def _failure(*, ipmi: bool) -> Fault:
    """What fails on one node: its flash; or what it brings, where a flash that broke off is simply begun again."""
    return BadHealth(component="BIOS", version="2.0.0", boots=False) if ipmi else FlashFails(component="BIOS")


async def _lived(automation: Automation, reaper: Reaper) -> bool:
    """Run the rollout as a process that starts now would; whether it came to its end alive."""
    working = asyncio.ensure_future(_work(automation))
    dying = asyncio.ensure_future(reaper.death.wait())
    await asyncio.wait((working, dying), return_when=asyncio.FIRST_COMPLETED)
    if not reaper.dead:
        dying.cancel()
        await working
        return True
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    await _dropped(automation, reaper)
    return False


async def _work(automation: Automation) -> None:
    try:
        if automation.rollouts():
            await automation.resume()
        else:
            await automation.deploy(NEW, ",".join(NODES), policy=POLICY)
    finally:
        await automation.close()


async def _dropped(automation: Automation, reaper: Reaper) -> None:
    """Let go of what a dead process held: its files and sockets, and its child, which does not outlive it."""
    for connection in reaper.connections:
        await connection.park()
    reaper.connections.clear()
    if automation._fleet is not None:
        await asyncio.gather(automation._fleet.close(), return_exceptions=True)
    if automation._images is not None and automation._images._child is not None:
        with suppress(ProcessLookupError):
            automation._images._child.kill()
        await automation._images._child.wait()
    automation.records.close()
