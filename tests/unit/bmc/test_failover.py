"""One BMC made of two ways: what is asked of which, and that nothing is ever sent over both."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted_bmc import HandClock, Reply, ScriptedBmc, client

from rackwave.bmc.failover import ABSENT_FOR, LONGEST_REST, FailoverBmc, Way
from rackwave.core.identity import AttemptId, ComponentName, NodeName
from rackwave.core.observation import Component, Lack, Look, Observation, Post, Power, TaskPhase, Unknown
from rackwave.core.receipt import Accepted, Ambiguous, Ground, Receipt, Refused
from rackwave.errors import BmcLoginError
from rackwave.ports import Bmc, Image, Means, ResetKind
from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.images import make_image
from rackwave_emulators.personality import load_personality
from rackwave_emulators.sim import Script, SimBmc, SimRack, WireFate

T = TypeVar("T")
BIOS, BMC = ComponentName("BIOS"), ComponentName("BMC")
SILENT = WireFate.SILENT


class Slow(Script):
    """A wire that takes ten seconds to say that nobody answers."""

    clock: VirtualClock

    def __call__(self, act: str) -> WireFate:
        fate = super().__call__(act)
        if fate is SILENT:
            self.clock.advance(10)
        return fate


class Site:
    """One machine and two ways to its BMC, each with a wire of its own."""

    def __init__(self, folder: Path, first: Script, second: Script, *, make: str = "plain") -> None:
        self.clock = VirtualClock()
        if isinstance(first, Slow):
            first.clock = self.clock
        self.rack = SimRack(["n1"], self.clock, personality=load_personality(make))
        self.machine = self.rack.machine("n1")
        self.first, self.second = first, second
        self.hooked: list[NodeName] = []
        self.ways = (self._way(Means.REDFISH, first), self._way(Means.IPMI, second))
        self.bmc = FailoverBmc(*self.ways, clock=self.clock, hooks={Means.OUTLET: self._outlet})
        self._path = folder / "bios.img"
        self._digest = make_image(self._path, component="BIOS", version="2.0", size=2048).digest

    def _way(self, means: Means, wire: Script) -> Way:
        bmc: SimBmc = self.rack.bmc("n1", wire=wire, means=means)
        return Way(means, bmc, self.clock)

    async def _outlet(self, node: NodeName) -> Receipt:
        self.hooked.append(node)
        return Accepted(way="a hook")

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run on virtual time."""
        return self.clock.run(work)

    def look(self, look: Look = Look()) -> Observation:  # noqa: B008 - frozen
        """Look through both ways."""
        return self.run(self.bmc.observe(look))

    def resets(self) -> tuple[int, int]:
        """Return how often the host and the BMC were reset."""
        counts: Any = self.machine.truth()["resets"]
        return counts["host"], counts["bmc"]

    def write(self) -> Receipt:
        """Hand an image over."""

        async def completing(*, held: bool = False) -> None:
            pass

        image = Image(BIOS, "2.0", self._digest, 2048, self._path, f"attempt-{AttemptId('aaaa')}.img")
        return self.run(self.bmc.write(image, completing=completing))


@pytest.fixture
def site(tmp_path: Path) -> Callable[..., Site]:
    """Return what makes a site from the fates of its two wires."""

    def make(first: Script | None = None, second: Script | None = None, **more: Any) -> Site:
        return Site(tmp_path, first or Script(), second or Script(), **more)

    return make


def dead() -> Script:
    """Return a wire on which nobody answers."""
    return Script(then=SILENT)


# -- reads -------------------------------------------------------------------------------------


def test_a_first_way_that_tells_all_is_asked_alone(site: Callable[..., Site]) -> None:
    """While Redfish answers, IPMI is not bothered."""
    here = site()
    seen = here.look(Look(bmc=True, components=frozenset({BIOS}), settings=True))

    assert Power.ON is seen.power
    assert [] == here.second.acts


def test_what_cannot_be_reached_over_one_way_is_read_over_the_other(site: Callable[..., Site]) -> None:
    """With Redfish dead, power and POST come over IPMI; what only Redfish may tell stays unknown."""
    here = site(dead())
    seen = here.look(Look(bmc=True, tasks=True))

    assert (Power.ON, Post.COMPLETE) == (seen.power, seen.post)
    assert [Lack.AWAY, Lack.AWAY] == [value.lack for value in (seen.bmc_boot, seen.tasks) if isinstance(value, Unknown)]
    assert seen.is_away


def test_both_reasons_are_kept(site: Callable[..., Site]) -> None:
    """Where neither way answers, the reading says so of both."""
    here = site(dead(), dead())
    seen = here.look()

    assert Unknown("the BMC does not answer; IPMI: the BMC does not answer") == seen.power
    assert seen.is_blank


def test_what_is_only_illegible_is_not_asked_elsewhere(site: Callable[..., Site]) -> None:
    """An answer with parts missing (P25) may be whole in a moment: another way's word does not replace it."""
    here = site(Script(then=WireFate.PARTIAL))
    seen = here.look(Look(components=frozenset({BIOS})))

    assert Unknown("the answer was incomplete") == seen.component(BIOS).installed
    assert [] == here.second.acts


def test_what_neither_way_has_is_asked_once(site: Callable[..., Site]) -> None:
    """A second way that has no POST either is not asked for it at every look; its reason stays."""
    here = site(make="idrac")
    told = [here.look().post for _ in range(3)]

    assert 3 * [Unknown("this BMC tells no BootProgress; IPMI: this BMC tells no BootProgress")] == told
    assert ["observe"] == here.second.acts


def test_versions_of_the_second_way_prove_only_by_being_equal(site: Callable[..., Site]) -> None:
    """A version that IPMI tells is "there" where the strings agree, and unknown, never old, where they do not."""
    here = site(dead())
    bmc = here.look(Look(components=frozenset({BMC}))).component(BMC)

    assert bmc.loose
    assert bmc.installed == bmc.against(str(bmc.installed), "9.9")
    assert isinstance(bmc.against("9.9"), Unknown)


def test_a_component_that_only_the_second_way_lists_is_its_own(tmp_path: Path) -> None:
    """What Redfish has not listed for longer than answers lack parts (P25), IPMI's word decides on."""
    clock = VirtualClock()
    plain = SimRack(["n1"], clock)
    other = SimRack(["n1"], clock, personality=load_personality("hgx"))
    bmc = FailoverBmc(
        Way(Means.REDFISH, plain.bmc("n1"), clock),
        Way(Means.IPMI, other.bmc("n1", means=Means.IPMI), clock),
        clock=clock,
    )
    name = ComponentName("HGX_FW_CPU_0")
    look = Look(components=frozenset({name}))
    early = clock.run(bmc.observe(look)).component(name)
    clock.advance(ABSENT_FOR)
    late = clock.run(bmc.observe(look)).component(name)

    assert (True, False) == (early.loose, late.loose)
    assert early.installed == late.installed
    assert isinstance(late.installed, str)


def test_a_component_that_both_tell_is_the_firsts() -> None:
    """A component that is not loose is compared as it is."""
    assert "1.0" == Component(BMC, "1.0").against("2.0")


def test_tasks_are_known_only_where_the_first_way_tells(site: Callable[..., Site]) -> None:
    """A dead Redfish may hide an update: that IPMI sees none is no leave to act. A live one adds both up."""
    here = site()
    accepted = here.write()
    both = here.look(Look(system=False, tasks=True)).tasks
    blind = site(dead()).look(Look(system=False, tasks=True)).tasks

    assert isinstance(accepted, Accepted)
    assert isinstance(both, tuple)
    assert [accepted.task, f"ipmi:{accepted.task}"] == [task.uri for task in both]
    assert isinstance(blind, Unknown)


def test_a_task_of_the_second_way_is_followed_there(site: Callable[..., Site]) -> None:
    """The task of a write that went over IPMI carries IPMI's mark, and is asked of IPMI alone."""
    here = site(dead())
    accepted = here.write()
    assert isinstance(accepted, Accepted)
    asked = len(here.first.acts)
    seen = here.look(Look(system=False, task=accepted.task))

    assert not isinstance(seen.task, Unknown)
    assert (accepted.task, TaskPhase.RUNNING) == (seen.task.uri, seen.task.phase)
    assert asked == len(here.first.acts)


# -- a way that is dead, or shut ------------------------------------------------------------------


def test_a_dead_way_is_asked_less_and_less_often(site: Callable[..., Site]) -> None:
    """A dead Redfish costs its deadline once in a while: rests double up to a bound; then it is found again."""
    here = site(Slow([SILENT] * 7))
    tried: list[float] = []
    for _ in range(700):
        before = len(here.first.acts)
        here.look()
        if len(here.first.acts) > before:
            tried.append(here.clock.monotonic())
        here.clock.advance(1)
    rests = [later - earlier - 10 for earlier, later in itertools.pairwise(tried[:7])]

    assert [10, 20, 40, 80, LONGEST_REST, LONGEST_REST] == rests
    assert {1} == {later - earlier for earlier, later in itertools.pairwise(tried[7:])}


def test_a_way_that_is_found_dead_at_once_may_be_asked_at_once(site: Callable[..., Site]) -> None:
    """A refused connection costs nothing, so nothing is saved by waiting."""
    here = site(Script([SILENT]))

    assert [Power.ON, Power.ON] == [here.look().power, here.look().power]
    assert 2 == len(here.first.acts)


def test_a_restarted_bmc_is_asked_again_at_once(site: Callable[..., Site]) -> None:
    """After a restart of the BMC nobody waits out the rest of a way that was dead before it."""
    here = site(Slow([SILENT] * 3))
    for _ in range(3):
        here.look()
        here.clock.advance(50)
    assert isinstance(here.run(here.bmc.reset_bmc(Means.IPMI)), Accepted)
    here.clock.advance(here.machine.personality.timing.bmc_reset)
    before = len(here.first.acts)
    here.look()

    assert before + 1 == len(here.first.acts)


def test_a_dead_way_is_no_means_of_restarting() -> None:
    """What the BMC can be restarted by follows from what answers; a hook is always there."""
    clock = VirtualClock()
    rack = SimRack(["n1"], clock)

    async def hook(_: NodeName) -> Receipt:
        return Accepted()

    def bmc(first: Script, second: Script) -> FailoverBmc:
        return FailoverBmc(
            Way(Means.REDFISH, rack.bmc("n1", wire=first), clock),
            Way(Means.IPMI, rack.bmc("n1", wire=second, means=Means.IPMI), clock),
            clock=clock,
            hooks={Means.OUTLET: hook},
        )

    def after_a_look(first: Script, second: Script) -> tuple[Means, ...]:
        one = bmc(first, second)
        clock.run(one.observe(Look()))
        return one.means

    assert (Means.REDFISH, Means.IPMI, Means.OUTLET) == after_a_look(Script(), Script())
    assert (Means.IPMI, Means.OUTLET) == after_a_look(dead(), Script())
    assert (Means.OUTLET,) == after_a_look(dead(), dead())


def refusing(clock: HandClock) -> tuple[ScriptedBmc, Callable[[], Bmc]]:
    """Return a server that takes no login, and what makes a client of it."""
    server = ScriptedBmc().on("POST /redfish/v1/SessionService/Sessions", *[Reply(401)] * 9)
    return server, lambda: client(server, clock=clock)


def test_a_refused_login_does_not_stop_the_other_way() -> None:
    """Redfish refuses the password: power is read and changed over IPMI, the refusal is told, and not tried again."""
    clock = HandClock()
    rack = SimRack(["n1"], clock)

    async def scenario() -> tuple[Observation, Receipt, int]:
        server, redfish = refusing(clock)
        async with server:
            other = rack.bmc("n1", means=Means.IPMI)
            bmc = FailoverBmc(Way(Means.REDFISH, redfish(), clock), Way(Means.IPMI, other, clock), clock=clock)
            seen = await bmc.observe(Look(settings=True))
            receipt = await bmc.reset_host(ResetKind.FORCE_RESTART)
            for _ in range(5):
                clock.at += LONGEST_REST
                await bmc.observe(Look())
            await bmc.close()
            return seen, receipt, len(server.seen("POST /redfish/v1/SessionService/Sessions"))

    seen, receipt, logins = asyncio.run(scenario())

    assert Power.ON is seen.power
    assert isinstance(seen.tasks, Unknown)
    assert not seen.is_away
    assert Accepted(way="IPMI ComputerSystem.Reset") == receipt
    assert 1 == logins


def test_a_refused_login_is_raised_where_no_way_is_left() -> None:
    """With IPMI dead too, a person must act: the refusal is raised, as it is of Redfish alone."""
    clock = HandClock()
    rack = SimRack(["n1"], clock)

    async def scenario(second: Way | None) -> None:
        server, redfish = refusing(clock)
        async with server:
            bmc = FailoverBmc(Way(Means.REDFISH, redfish(), clock), second, clock=clock)
            for ask in (bmc.observe(Look()), bmc.reset_host(ResetKind.ON)):
                with pytest.raises(BmcLoginError):
                    await ask
            await bmc.close()

    asyncio.run(scenario(Way(Means.IPMI, rack.bmc("n1", wire=dead(), means=Means.IPMI), clock)))
    asyncio.run(scenario(None))


# -- acts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fate", "goes_on"),
    [
        (WireFate.OK, False),
        (WireFate.LOST_REQUEST, False),
        (WireFate.LOST_ANSWER, False),
        (WireFate.REFUSED, False),
        (WireFate.SILENT, True),
    ],
)
def test_an_act_goes_over_the_second_way_only_where_it_was_provably_never_sent(
    site: Callable[..., Site], fate: WireFate, goes_on: bool
) -> None:
    """Never after a no, never after silence (P12): only where nobody could be reached."""
    here = site(Script([fate]))
    receipt = here.run(here.bmc.reset_host(ResetKind.FORCE_RESTART))

    assert goes_on == (["reset_host"] == here.second.acts)
    assert goes_on == (Accepted(way="IPMI ComputerSystem.Reset") == receipt)


def test_what_one_way_is_unable_to_do_the_other_does(tmp_path: Path) -> None:
    """A Redfish service without a reset of the kind (P42) was asked for nothing: IPMI cycles the power."""
    clock = HandClock()
    rack = SimRack(["n1"], clock)

    async def scenario() -> Receipt:
        server = ScriptedBmc()
        system = server.documents["/redfish/v1/Systems/1"]
        system["Actions"]["#ComputerSystem.Reset"]["ResetType@Redfish.AllowableValues"] = ["On", "GracefulShutdown"]
        async with server:
            redfish = Way(Means.REDFISH, client(server, clock=clock), clock)
            bmc = FailoverBmc(redfish, Way(Means.IPMI, rack.bmc("n1", means=Means.IPMI), clock), clock=clock)
            receipt = await bmc.reset_host(ResetKind.FORCE_RESTART)
            assert [] == server.seen("POST /redfish/v1/Systems/1")
            await bmc.close()
            return receipt

    assert Accepted(way="IPMI ComputerSystem.Reset") == asyncio.run(scenario())


def test_neither_way_takes_it(site: Callable[..., Site]) -> None:
    """Both reasons are told, and whether it may be tried again."""
    receipt = site(dead(), dead()).write()

    assert isinstance(receipt, Refused)
    assert Ground.AWAY is receipt.ground
    assert "IPMI: " in receipt.reason
    assert receipt.retry_after


def test_silence_on_the_second_way_is_silence(site: Callable[..., Site]) -> None:
    """An act that IPMI swallowed is in doubt, and says over which way."""
    receipt = site(dead(), Script([WireFate.LOST_ANSWER])).write()

    assert Ambiguous("IPMI: the connection dropped and no answer came") == receipt


def test_a_bmc_is_restarted_by_the_means_that_is_named(site: Callable[..., Site]) -> None:
    """Whoever plans names the means: over Redfish, over IPMI, by a hook; one that the node lacks is no answer."""
    here = site()
    by = {means: here.run(here.bmc.reset_bmc(means)) for means in (Means.OUTLET, Means.HOST)}
    over_ipmi = here.run(here.bmc.reset_bmc(Means.IPMI))

    assert Accepted(way="a hook") == by[Means.OUTLET]
    assert [NodeName("n1")] == here.hooked
    assert isinstance(by[Means.HOST], Refused)
    assert Accepted(way="IPMI Manager.Reset") == over_ipmi
    assert ([], ["reset_bmc"]) == (here.first.acts, here.second.acts)


FATES = st.lists(st.sampled_from([WireFate(fate) for fate in WireFate if "kill" not in fate]), max_size=6)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=FATES, second=FATES, data=st.data())
def test_no_act_reaches_the_machine_twice(site: Callable[..., Site], first: Any, second: Any, data: Any) -> None:
    """Whatever each way answers, one act is at most one write, one reset of the host, or one of the BMC."""
    here = site(Script(first), Script(second))
    if data.draw(st.booleans()):
        here.look()
    act = data.draw(st.sampled_from(["write", "host", "bmc"]))
    resets = here.resets()
    match act:
        case "write":
            receipt = here.write()
        case "host":
            receipt = here.run(here.bmc.reset_host(ResetKind.FORCE_RESTART))
        case _:
            receipt = here.run(here.bmc.reset_bmc())
    truth = here.machine.truth()
    counts = len(truth["writes"]), *(now - then for now, then in zip(here.resets(), resets, strict=True))

    assert sum(counts) <= 1
    if isinstance(receipt, Refused):
        assert 0 == sum(counts)
    if isinstance(receipt, Accepted):
        assert 1 == sum(counts)


def test_a_held_image_is_begun_with_where_it_is_held(site: Callable[..., Site]) -> None:
    """StartUpdate goes to the way that took the image; one that nobody here handed over is not looked for elsewhere."""
    strange = site(Script([WireFate.OK], then=SILENT), make="supermicro")
    strange.write()
    strange.clock.advance(60)
    anew = FailoverBmc(*strange.ways, clock=strange.clock)
    nobodys = strange.run(anew.start_update(BIOS))
    here = site(Script([SILENT]), make="supermicro")
    here.write()
    here.clock.advance(60)
    here.run(here.bmc.start_update(BIOS))

    assert isinstance(nobodys, Refused)
    assert ([], ["write", "start_update"]) == (strange.second.acts, strange.first.acts)
    assert (["write"], ["write", "start_update"]) == (here.first.acts, here.second.acts)
