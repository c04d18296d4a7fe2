"""Work by hand: one lease, one journal, each act once, and nothing on a node that is not to be touched."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from attrs import define, field

from rackwave.core.boot import BootOverride, BootSetting
from rackwave.core.event import AttemptStarted, ByHand, Held
from rackwave.core.goal import Cause, Goal
from rackwave.core.identity import AttemptId, BundleId, Digest, NodeName
from rackwave.core.log import LogMark, LogNews
from rackwave.core.observation import Power, Unknown
from rackwave.core.power import PowerAct, PowerWish
from rackwave.core.receipt import Accepted, Ambiguous, Receipt, Refused
from rackwave.core.sensor import SensorReadings
from rackwave.engine.leases import Holder
from rackwave.engine.logbook import Logbook
from rackwave.engine.memory import MemoryJournal, MemoryLeases
from rackwave.errors import NodeError, UsageError
from rackwave.hands_on import BUSY, Done, HandsOn
from rackwave.leave import NodeLeave
from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.host import HostReset
from rackwave_emulators.sim import SimBmc, SimRack

NODE = NodeName("r1n01")
UNREAD = Unknown("not part of this")
ALL = frozenset(PowerAct)

_RESETS = {
    PowerAct.ON: "On",
    PowerAct.FORCE_OFF: "ForceOff",
    PowerAct.SHUTDOWN: "GracefulShutdown",
    PowerAct.RESTART: "GracefulRestart",
    PowerAct.FORCE_RESTART: "ForceRestart",
    PowerAct.CYCLE: "PowerCycle",
}


@define
class SimPanel:
    """The power of a simulated machine; *answers* are given instead of acting, one each, None: act."""

    rack: SimRack
    can: frozenset[PowerAct] | Unknown | None = ALL
    answers: list[Receipt | None] = field(factory=list)
    obeys: bool = True
    sent: list[PowerAct] = field(factory=list)

    async def power_acts(self) -> frozenset[PowerAct] | Unknown | None:
        return self.can

    async def power(self, act: PowerAct) -> Receipt:
        self.sent.append(act)
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None and not isinstance(answer, Ambiguous):
            return answer
        if act is not PowerAct.SHUTDOWN or self.obeys:
            self.rack.machine(NODE).reset_host(HostReset(_RESETS[act]))
        return answer or Accepted(way="Reset")

    async def boot_setting(self) -> BootSetting | Unknown:
        return UNREAD

    async def set_boot(self, override: BootOverride) -> Receipt:
        raise NotImplementedError

    async def indicator(self) -> bool | Unknown:
        return UNREAD

    async def set_indicator(self, *, on: bool) -> Receipt:
        raise NotImplementedError

    async def sensors(self) -> SensorReadings | Unknown:
        return UNREAD

    async def log(self, since: LogMark | None, *, limit: int) -> LogNews | Unknown:
        return UNREAD


@define
class Bench:
    """One simulated node, and hands on it."""

    rack: SimRack
    clock: VirtualClock
    logbook: Logbook
    leases: MemoryLeases
    panel: SimPanel
    hands: HandsOn

    @property
    def told(self) -> list[tuple[str, str]]:
        """What the journal says was done by hand."""
        return [(e.event.what, e.event.result) for e in self.logbook._journal.events() if isinstance(e.event, ByHand)]


def on_bench(program: Callable[[Bench], Awaitable[Any]], *, meant: bool = False, **panel: Any) -> Any:
    """Run *program* on a bench."""

    async def run() -> Any:
        clock = VirtualClock()
        rack = SimRack([NODE], clock)
        logbook = Logbook(MemoryJournal(clock))
        leases, hand = MemoryLeases(), SimPanel(rack, **panel)

        async def bmc(node: NodeName) -> SimBmc:
            return rack.bmc(node)

        async def get(node: NodeName) -> SimPanel:
            return hand

        hands = HandsOn(
            logbook=logbook,
            leases=leases,
            leave=NodeLeave(logbook, clock=clock),
            bmc=bmc,
            panel=get,
            clock=clock,
            by="ann",
            meant=meant,
        )
        bench = Bench(rack, clock, logbook, leases, hand, hands)
        work = asyncio.ensure_future(program(bench))
        while not work.done():
            await asyncio.sleep(0)
            clock.advance(0.5)
        return work.result()

    return asyncio.run(run())


def wish(what: PowerWish, **options: Any) -> Callable[[Bench], Awaitable[tuple[Done, Bench]]]:
    """A program that asks for *what*."""

    async def program(bench: Bench) -> tuple[Done, Bench]:
        return await bench.hands.power(NODE, what, **options), bench

    return program


def test_a_cycle_that_the_service_lacks():
    """A cycle without PowerCycle is off, seen off, then on: both sent once, journalled before and after (P42)."""
    done, bench = on_bench(wish(PowerWish.CYCLE), can=frozenset({PowerAct.ON, PowerAct.FORCE_OFF}))

    assert done.succeeded
    assert [PowerAct.FORCE_OFF, PowerAct.ON] == bench.panel.sent
    assert Power.ON is done.power
    assert [
        ("power force-off", ""),
        ("power force-off", "accepted by Reset"),
        ("power on", ""),
        ("power on", "accepted by Reset"),
    ] == bench.told
    assert {} == bench.leases._leases


def test_not_now():
    """A 409 just after power-off was not carried out, and is asked for again when it said (P35); not for ever."""
    later = Refused("not yet", 10.0)
    done, bench = on_bench(
        wish(PowerWish.CYCLE), can=frozenset({PowerAct.ON, PowerAct.FORCE_OFF}), answers=[None, later]
    )
    never, patience = on_bench(wish(PowerWish.OFF), answers=[later] * 99)

    assert done.succeeded
    assert [PowerAct.FORCE_OFF, PowerAct.ON, PowerAct.ON] == bench.panel.sent
    assert not never.succeeded
    assert len(patience.panel.sent) <= BUSY / 10 + 1


def test_an_answer_that_was_lost():
    """An act whose answer was lost is not sent again: what is seen tells."""
    done, bench = on_bench(wish(PowerWish.OFF), answers=[Ambiguous("lost")])

    assert done.succeeded
    assert [PowerAct.FORCE_OFF] == bench.panel.sent


@pytest.mark.parametrize(("force_after", "acts"), [(None, ["shutdown"]), (30.0, ["shutdown", "force-off"])])
def test_a_system_that_does_not_obey(force_after, acts):
    """A shutdown that is not obeyed fails after its time, or is forced where that was asked for."""
    done, bench = on_bench(wish(PowerWish.SHUTDOWN, force_after=force_after), obeys=False)

    assert acts == [str(act) for act in bench.panel.sent] == list(done.acts)
    assert (force_after is not None) == done.succeeded


def test_what_cannot_be_done_is_not_begun():
    """A wish that the service has no acts for, or a power that cannot be read, sends nothing."""
    for wanted, can, error in (
        (PowerWish.NMI, frozenset({PowerAct.ON}), UsageError),
        (PowerWish.OFF, Unknown("no answer"), NodeError),
    ):

        async def program(bench: Bench, wanted: PowerWish = wanted, error: type[Exception] = error) -> Bench:
            with pytest.raises(error):
                await bench.hands.power(NODE, wanted)
            return bench

        bench = on_bench(program, can=can)

        assert [] == bench.panel.sent
        assert {} == bench.leases._leases


@pytest.mark.parametrize("meant", [False, True])
def test_a_held_node(meant):
    """A node that somebody holds is refused, unless the person says that it is meant."""

    async def program(bench: Bench) -> None:
        await bench.logbook.record(Held(NODE, "memory is being changed", "bob"))
        if meant:
            assert (await bench.hands.power(NODE, PowerWish.OFF)).succeeded
            return
        with pytest.raises(UsageError, match="memory is being changed"):
            await bench.hands.power(NODE, PowerWish.OFF)
        assert [] == bench.panel.sent

    on_bench(program, meant=meant)


def test_a_node_that_a_rollout_has_not_ended_with():
    """A node with an open attempt is refused, meant or not: a reset might meet a write."""

    async def program(bench: Bench) -> None:
        goal = Goal(BundleId.parse("A.1"), Digest("sha256:" + "0" * 64), Cause.ROLLOUT)
        await bench.logbook.record(AttemptStarted(NODE, AttemptId("0" * 12), goal))
        with pytest.raises(UsageError, match="has not ended"):
            await bench.hands.power(NODE, PowerWish.OFF)
        assert [] == bench.panel.sent

    on_bench(program, meant=True)


def test_a_lease_that_is_taken_over_stops_it():
    """When another takes the node over, the next act is not sent."""

    async def program(bench: Bench) -> None:
        work = asyncio.ensure_future(bench.hands.power(NODE, PowerWish.CYCLE))
        while not bench.panel.sent:  # noqa: ASYNC110 - the clock of the bench moves meanwhile
            await asyncio.sleep(0)
        await bench.leases.acquire(NODE, Holder.here())
        with pytest.raises(Exception, match="taken over"):
            await work
        assert [PowerAct.FORCE_OFF] == bench.panel.sent

    on_bench(program, can=frozenset({PowerAct.ON, PowerAct.FORCE_OFF}))


def test_a_bmc_is_back_when_it_stays_back():
    """A BMC's restart is over once another boot has answered for the whole of a steady time (P36)."""

    async def program(bench: Bench) -> tuple[Done, float]:
        began = bench.clock.monotonic()
        done = await bench.hands.reset_bmc(NODE, steady=20.0)
        return done, bench.clock.monotonic() - began

    done, took = on_bench(program)

    assert done.succeeded
    assert took >= 20.0 + 90.0 - 5.0
