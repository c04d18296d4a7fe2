"""What comes over a node while it waits is given its own time, and stops nobody else."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest
from attrs import evolve

from rackwave.core.event import Held, Intended, NodeResult, RecoveryRequested, Unheld
from rackwave.core.observation import Component, Lack, Look, Observation, Post, Power, Unknown
from rackwave.core.policy import Policy
from rackwave.core.receipt import Receipt
from rackwave.core.step import ResetHost
from rackwave.errors import SecretError
from rackwave.ports import Bmc, Completing, Image
from rackwave_emulators.personality import load_personality
from rig import BIOS, Rig, Shelf, nodes


class Altered:
    """A BMC whose answers are altered from one moment to another."""

    def __init__(self, bmc: Bmc, rig: Rig, span: tuple[float, float], **more: object) -> None:
        self._bmc, self._rig, self._span, self._more = bmc, rig, span, more

    def __getattr__(self, name: str) -> object:
        return getattr(self._bmc, name)

    async def observe(self, look: Look) -> Observation:
        """Look, and alter what was seen."""
        seen = await self._bmc.observe(look)
        begin, end = self._span
        is_so = look.system and begin <= self._rig.clock.monotonic() < end
        return evolve(seen, **self._more) if is_so else seen


@pytest.mark.parametrize(
    "told",
    [
        {"post": Post.RUNNING},
        {"power": Power.OFF, "post": Post.NOT_RUNNING},
        {"health": Unknown("it is busy")},
        {"power": Unknown("no answer", Lack.AWAY)},
    ],
)
def test_what_a_person_does_to_a_held_node_is_no_failure_of_it(tmp_path: Path, told: dict[str, object]) -> None:
    """Held for an hour and restarted by hand just as the hold ends: no recovery, one reset, the new bundle."""
    rig = Rig(Shelf(tmp_path), nodes(1), policy=Policy(canary=0))
    old, new = rig.shelf.bundle("A.1", {BIOS: "1.0.0"}), rig.shelf.bundle("A.2", {BIOS: "2.0.0"})
    rig.between = lambda bmc: Altered(bmc, rig, (3650.0, 3699.0) if "power" in told else (3650.0, 3800.0), **told)

    async def lift() -> None:
        await rig.clock.sleep(3700)
        await rig.journal.append(Unheld(rig.nodes[0], "test"))

    async def main() -> None:
        await rig.assign(old)
        await rig.journal.append(Held(rig.nodes[0], "memory is swapped", "test"))
        _, state = await asyncio.gather(lift(), rig.roll_out(new))
        assert state.results[rig.nodes[0]].result is NodeResult.ON_NEW

    rig.clock.run(main())
    events = [each.event for each in rig.journal.events()]

    assert not [event for event in events if isinstance(event, RecoveryRequested)]
    assert 1 == len([e for e in events if isinstance(e, Intended) and isinstance(e.step, ResetHost)])


def test_a_host_that_was_mended_while_it_was_held_is_not_restarted_again(tmp_path: Path) -> None:
    """A dead host is on its ladder when somebody holds and mends it: its restart, then due, would cut off new work."""
    rig = Rig(Shelf(tmp_path), nodes(1), policy=Policy(canary=0))
    old, new = rig.shelf.bundle("A.1", {BIOS: "1.0.0"}), rig.shelf.bundle("A.2", {BIOS: "1.0.0"})
    rig.between = lambda bmc: Altered(bmc, rig, (0.0, 2000.0), power=Power.OFF, post=Post.NOT_RUNNING)

    async def lift() -> None:
        await rig.clock.sleep(3600)
        await rig.journal.append(Unheld(rig.nodes[0], "test"))

    async def main() -> None:
        await rig.assign(old)
        asked = RecoveryRequested(rig.nodes[0], "resend-then-prior", old.id, None, ("the host is off",), "test")
        await rig.journal.append(Held(rig.nodes[0], "a new power supply", "test"), asked)
        await asyncio.gather(lift(), rig.roll_out(new))

    rig.clock.run(main())

    assert not [e for e in rig.journal.events() if isinstance(e.event, Intended)]
    assert 0 == rig.rack.machine(rig.nodes[0]).truth()["resets"]["host"]
    assert "A.2" == rig.assigned(rig.nodes[0])


class Hidden:
    """A BMC that lists no component any more from some moment on."""

    def __init__(self, bmc: Bmc, rig: Rig, after: float) -> None:
        self._bmc, self._rig, self._after = bmc, rig, after

    def __getattr__(self, name: str) -> object:
        return getattr(self._bmc, name)

    async def observe(self, look: Look) -> Observation:
        """Look, and leave out the inventory."""
        seen = await self._bmc.observe(look)
        if self._rig.clock.monotonic() < self._after:
            return seen
        unlisted = Unknown("the BMC lists no such component", Lack.ABSENT)
        return evolve(seen, components={name: Component(name, unlisted, unlisted) for name in seen.components})


@pytest.mark.parametrize("after", [0.0, 30.0, 90.0])
def test_a_component_that_is_listed_no_more_is_not_waited_for_without_an_end(tmp_path: Path, after: float) -> None:
    """Before, in and after its write: patience is spent on an inventory that lacks it, and a person looks."""
    rig = Rig(Shelf(tmp_path), nodes(1), policy=Policy(canary=0))
    rig.clock.run(rig.assign(rig.shelf.bundle("A.1", {BIOS: "1.0.0"})))
    rig.between = lambda bmc: Hidden(bmc, rig, after)
    state = rig.run(rig.shelf.bundle("A.2", {BIOS: "2.0.0"}))

    assert NodeResult.QUARANTINED is state.results[rig.nodes[0]].result
    assert rig.clock.monotonic() < 3 * 3600


class Locked:
    """A BMC whose secret cannot be had for a while."""

    def __init__(self, bmc: Bmc, rig: Rig) -> None:
        self._bmc, self._rig = bmc, rig

    def __getattr__(self, name: str) -> object:
        return getattr(self._bmc, name)

    async def observe(self, look: Look) -> Observation:
        """Look, from the second minute on."""
        if self._bmc.node == "r1n02" and self._rig.clock.monotonic() < 120:
            raise SecretError("env:BMC_PASSWORD is not set", advice="Set it.")
        return await self._bmc.observe(look)


def test_a_secret_that_is_missing_for_a_node_that_waits_stops_no_other(tmp_path: Path) -> None:
    """A node of the second wave, whose turn is still to come, does not end the rollout for the first."""
    rig = Rig(Shelf(tmp_path), nodes(2), policy=Policy(canary=1, waves=1))
    rig.clock.run(rig.assign(rig.shelf.bundle("A.1", {BIOS: "1.0.0"})))
    rig.between = lambda bmc: Locked(bmc, rig)
    state = rig.run(rig.shelf.bundle("A.2", {BIOS: "2.0.0"}))

    assert [NodeResult.ON_NEW] * 2 == [state.results[node].result for node in rig.nodes]


def test_a_bmc_that_never_tells_how_its_host_is_is_not_waited_for_without_an_end(tmp_path: Path) -> None:
    """No POST by any way, and no other witness of it: patience ends as with what cannot be read, with the reason."""
    rig = Rig(Shelf(tmp_path), nodes(1), policy=Policy(canary=0))
    rig.between = lambda bmc: Altered(bmc, rig, (0.0, math.inf), post=Unknown("it tells no POST", Lack.ABSENT))
    rig.clock.run(rig.assign(rig.shelf.bundle("A.1", {BIOS: "1.0.0"})))
    state = rig.run(rig.shelf.bundle("A.2", {BIOS: "2.0.0"}))

    assert {"r1n01": NodeResult.QUARANTINED} == {str(node): end.result for node, end in state.results.items()}
    assert "it tells no POST" in state.results[rig.nodes[0]].reason
    assert rig.clock.monotonic() < 3600.0


class Slept:
    """A BMC whose first write leaves only *seconds* after it was intended: its process was stopped meanwhile."""

    def __init__(self, bmc: Bmc, rig: Rig, seconds: float) -> None:
        self._bmc, self._rig, self._seconds = bmc, rig, seconds

    def __getattr__(self, name: str) -> object:
        return getattr(self._bmc, name)

    async def write(self, image: Image, *, completing: Completing) -> Receipt:
        """Sleep, then hand *image* over."""
        await self._rig.clock.sleep(self._seconds)
        return await self._bmc.write(image, completing=completing)


@pytest.mark.parametrize("make", ["plain", "openbmc"])
def test_a_write_has_its_time_from_when_it_left(tmp_path: Path, make: str) -> None:
    """A machine that slept between intent and request is no BMC whose task is stuck, nor one that fetched too late."""
    rig = Rig(Shelf(tmp_path), nodes(1), policy=Policy(canary=0), personality=load_personality(make))
    rig.between = lambda bmc: Slept(bmc, rig, 7200.0)
    rig.clock.run(rig.assign(rig.shelf.bundle("A.1", {BIOS: "1.0.0"})))
    state = rig.run(rig.shelf.bundle("A.2", {BIOS: "2.0.0"}))

    assert {"r1n01": NodeResult.ON_NEW} == {str(node): end.result for node, end in state.results.items()}
    assert 1 == rig.rack.machine("r1n01").truth()["flashes"]
