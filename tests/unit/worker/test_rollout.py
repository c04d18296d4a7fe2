"""Whole rollouts on a simulated rack: what is level is left alone, several lineages live together, stops are clean."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import ClassVar

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rackwave.core.bundle import Bundle
from rackwave.core.event import AttemptEnded, AttemptResult, Intended, NodeResult, Outcome, Quarantined, Resolved
from rackwave.core.identity import NodeName
from rackwave.core.observation import Look, Observation, Post, Power
from rackwave.core.policy import Policy
from rackwave.core.receipt import Ambiguous, Receipt
from rackwave.errors import BmcLoginError, LeaseError, TrustError
from rackwave.ports import Bmc, Image
from rackwave_emulators.faults import BadHealth, FlashFails, HostDead, InventoryLags, RevivedBy, TaskVanishes
from rackwave_emulators.images import read_image
from rackwave_emulators.personality import load_personality
from rackwave_emulators.sim import Killed, SimBmc, WireFate
from rig import BIOS, BMC, NIC, Reaper, Rig, Shelf, nodes
from truths import assert_settled, attempts, committed, events, history, quarantined, results, story, writes

OLD = {BIOS: "1.0.0", BMC: "5.0", NIC: "20.1"}
NEW = {BIOS: "2.0.0", BMC: "6.0", NIC: "20.2"}


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """Return bundles to choose from."""
    return Shelf(tmp_path)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    parts=st.lists(st.sampled_from([BIOS, BMC, NIC]), unique=True), has_settings=st.booleans(), count=st.integers(2, 5)
)
def test_a_level_rack_is_left_alone(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], has_settings: bool, count: int
) -> None:
    """Where every node is as the bundle says, nothing but looks reaches a BMC, and the bundle is committed."""
    acts: list[str] = []

    def wire(act: str) -> WireFate:
        acts.append(act)
        return WireFate.OK

    shelf = Shelf(tmp_path_factory.getbasetemp())
    rig = Rig(shelf, nodes(count), wire=wire)
    rig.clock.run(rig.assign(shelf.bundle("A.1", OLD)))
    same = {name: version for name, version in OLD.items() if name in parts}
    state = rig.run(shelf.bundle("A.2", same, settings={"BootMode": "Uefi"} if has_settings else None))
    assert_settled(rig, state)

    assert {"observe"} == set(acts)
    assert [] == [event for event in events(rig) if isinstance(event, Intended)]
    assert dict.fromkeys(rig.nodes, "A.2") == {node: rig.assigned(node) for node in rig.nodes}
    assert {NodeResult.ON_NEW} == set(results(state).values())


def test_rolling_out_again_changes_nothing(shelf: Shelf) -> None:
    """A second rollout of the bundle that is there ends at once and writes nothing."""
    rig = Rig(shelf, nodes(3))
    a2 = shelf.bundle("A.2", NEW)
    rig.run(a2)
    before, moment = [writes(rig, node) for node in rig.nodes], rig.clock.monotonic()
    state = rig.run(a2, "roll2")

    assert {NodeResult.ON_NEW} == set(results(state).values())
    assert before == [writes(rig, node) for node in rig.nodes]
    assert rig.clock.monotonic() - moment < 60


def test_two_lineages_live_on_one_node(shelf: Shelf) -> None:
    """Each has its own current, assigned and prior bundle; rolling one back leaves the other where it is."""
    rig = Rig(shelf, nodes(1))
    node = rig.nodes[0]
    a1, b1, a2 = (
        shelf.bundle("A.1", {BIOS: "1.0.0"}),
        shelf.bundle("B.1", {NIC: "20.2"}),
        shelf.bundle("A.2", {BIOS: "2.0.0"}),
    )
    for number, bundle in enumerate((a1, b1, a2)):
        rig.run(bundle, f"roll{number}")
    rig.clock.run(recover(rig, a2, failed=True))

    assert ["A.1", "B.1", "A.2", "A.1"] == committed(rig, node)
    assert ("A.1", "B.1") == (rig.assigned(node), rig.assigned(node, "B"))


async def recover(rig: Rig, bundle: Bundle, *, failed: bool = False, ladder: str = "") -> None:
    """Ask for the recovery of every node, as an operator does."""
    await rig.orchestrator().run_recovery(
        rig.nodes,
        bundle.id.lineage,
        rig.policy,
        ladder=ladder or ("rollback" if failed else "resend-then-prior"),
        failed=failed,
        evidence=("an operator says so",),
        by="operator",
    )


def test_a_committed_bundle_goes_back_to_what_the_node_had_before(shelf: Shelf) -> None:
    """The prior bundle is the node's own, whatever the numbers; what already is as it says is skipped."""
    rig = Rig(shelf, nodes(1))
    node = rig.nodes[0]
    a1, a7 = shelf.bundle("A.1", OLD), shelf.bundle("A.7", {**OLD, BIOS: "2.0.0"})
    rig.run(a1, "roll1")
    rig.run(a7, "roll7")
    rig.clock.run(recover(rig, a7, failed=True))

    assert ["A.1", "A.7", "A.1"] == committed(rig, node)
    assert [("BIOS", "2.0.0"), ("BIOS", "1.0.0")] == [(w["component"], w["version"]) for w in writes(rig, node)]


def test_an_operators_recovery_of_a_healthy_node_only_restarts_it(shelf: Shelf) -> None:
    """The first rung suffices: nothing is written."""
    rig = Rig(shelf, nodes(1))
    a1 = shelf.bundle("A.1", OLD)
    rig.clock.run(rig.assign(a1))
    rig.clock.run(recover(rig, a1))

    assert [("restart", "A.1")] == attempts(rig, rig.nodes[0])
    assert [] == writes(rig, rig.nodes[0])


def test_a_bundle_that_keeps_dying_machines_ends_with_its_budget(shelf: Shelf) -> None:
    """A version that makes every machine unwell costs the canary, and no other node is touched."""
    rig = Rig(shelf, nodes(5), policy=Policy(failure_budget=4))
    rig.clock.run(rig.assign(shelf.bundle("A.1", OLD)))
    for node in rig.nodes:
        rig.rack.machine(node).inject(BadHealth(version="2.*"))
    state = rig.run(shelf.bundle("A.2", {BIOS: "2.0.0"}))
    assert_settled(rig, state)

    untouched = {f"r1n0{number}": NodeResult.NOT_STARTED for number in range(2, 6)}
    assert {"r1n01": NodeResult.ROLLED_BACK, **untouched} == results(state)
    assert [0] * 4 == [len(writes(rig, node)) for node in rig.nodes[1:]]


def test_a_host_that_dies_again_and_again_is_left_to_a_person(shelf: Shelf) -> None:
    """A recovery that holds only for minutes is repeated as often as policy allows, and no more."""
    rig = Rig(shelf, nodes(2), policy=Policy(canary=1, waves=1, recoveries=2, effect_timeout=5000.0))
    rig.clock.run(rig.assign(shelf.bundle("A.1", OLD)))
    rig.rack.machine("r1n01").inject(BadHealth(version="2.*", count=None))
    for n in range(1, 6):
        rig.rack.machine("r1n02").inject(HostDead(revived_by=RevivedBy.REFLASH, after=300.0 * n))
    state = rig.run(shelf.bundle("A.2", {BIOS: "2.0.0"}))

    assert state.finished is not None
    assert [("restart", "A.1"), ("resend", "A.1")] * 2 == attempts(rig, NodeName("r1n02"))


def test_a_wave_whose_nodes_are_all_done_before_it_starts_does_not_hold_the_rollout(shelf: Shelf) -> None:
    """Every node of the last waves was taken back by its recovery meanwhile: the rollout ends all the same."""
    rig = Rig(shelf, nodes(3), policy=Policy(canary=1, waves=2, failure_budget=3, recovery="prior-at-once"))
    for bundle in (shelf.bundle("A.0", {BIOS: "0.9.0"}), shelf.bundle("A.1", {BIOS: "1.0.0"})):
        rig.clock.run(rig.assign(bundle))
    for name in ("r1n02", "r1n03"):
        rig.rack.machine(name).inject(HostDead())
    rig.rack.machine("r1n01").inject(InventoryLags(seconds=250.0))
    state = rig.run(shelf.bundle("A.2", {BIOS: "2.0.0"}))
    assert_settled(rig, state)

    assert ["on-new", "rolled-back", "rolled-back"] == [result.value for result in results(state).values()]


def test_a_bundle_that_was_replaced_in_the_repository_is_not_sent(shelf: Shelf) -> None:
    """What was planned is named by its digest; another bundle under the same name stops the run."""
    rig = Rig(shelf, nodes(1))
    rollout = rig.clock.run(rig.start(shelf.bundle("A.2", NEW)))
    shelf.bundle("A.2", {BIOS: "6.6.6"})
    with pytest.raises(ExceptionGroup) as raised:
        rig.clock.run(rig.orchestrator().run_rollout(rollout))

    assert [TrustError] == [type(error) for error in raised.value.exceptions]
    assert [] == writes(rig, rig.nodes[0])


def test_damaged_bytes_are_never_sent(shelf: Shelf) -> None:
    """A payload that is not what its digest says ends the attempt before an intent is written."""
    rig = Rig(shelf, nodes(1))
    a1, a2 = shelf.bundle("A.1", OLD), shelf.bundle("A.2", NEW)
    rig.clock.run(rig.assign(a1))

    shelf.damaged = {payload.name for payload in a2.manifest.payloads}
    state = rig.run(a2)
    assert_settled(rig, state)

    assert {"r1n01": NodeResult.ROLLED_BACK} == results(state)
    assert [] == [event for event in events(rig) if isinstance(event, Intended)]


class LockedOut(SimBmc):
    """A BMC that refuses the credentials from a moment on (P34)."""

    def __init__(self, bmc: Bmc, rig: Rig, since: float, tries: list[float]) -> None:
        super().__init__(rig.rack.machine(bmc.node), images=rig.rack.images)
        self._rig = rig
        self._since = since
        self._tries = tries

    async def observe(self, look: Look) -> Observation:
        """Refuse the login, or look."""
        if self._rig.clock.monotonic() < self._since:
            return await super().observe(look)
        self._tries.append(self._rig.clock.monotonic())
        raise BmcLoginError(f"The BMC of {self.node} refused the credentials.", node=self.node)


@pytest.mark.parametrize("since", [0.0, 30.0])
def test_refused_credentials_are_not_tried_again(shelf: Shelf, since: float) -> None:
    """One refusal quarantines with the evidence, before a write or amid one: more could lock the account."""
    rig = Rig(shelf, nodes(1))
    rig.clock.run(rig.assign(shelf.bundle("A.1", OLD)))
    tries: list[float] = []
    rig.between = lambda bmc: LockedOut(bmc, rig, since, tries)
    rig.run(shelf.bundle("A.2", NEW))

    assert 1 == len(tries)
    assert [rig.nodes[0]] == quarantined(rig)
    evidence = history(rig, rig.nodes[0]).quarantined
    assert evidence is not None
    assert "Check the credentials" in evidence[0]


def test_a_node_that_was_taken_over_is_left_alone(shelf: Shelf) -> None:
    """Another orchestrator takes the lease in mid-run: this one sends nothing more, and says so."""
    rig = Rig(shelf, nodes(1))
    rig.clock.run(rig.assign(shelf.bundle("A.1", OLD)))

    def wire(act: str) -> WireFate:
        if rig.clock.monotonic() > 30:
            rig.leases._tokens[rig.nodes[0]] = 7
            rig.leases._leases.clear()
        return WireFate.OK

    rig.wire = wire
    with pytest.raises(ExceptionGroup) as raised:
        rig.run(shelf.bundle("A.2", NEW))

    assert [LeaseError] == [type(error) for error in raised.value.exceptions]
    assert 1 == len(writes(rig, rig.nodes[0]))
    assert 1 == len([event for event in events(rig) if isinstance(event, Intended)])


def test_what_an_open_write_left_is_finished_by_whoever_comes_next(shelf: Shelf) -> None:
    """A stopped run leaves its write to the next start, which finds it done and does not write again."""
    rig = Rig(shelf, nodes(1))
    rig.clock.run(rig.assign(shelf.bundle("A.1", OLD)))
    rollout = rig.clock.run(rig.start(shelf.bundle("A.2", {BIOS: "2.0.0"})))

    async def stop_early() -> None:
        orchestrator = rig.orchestrator()

        async def stop() -> None:
            await rig.clock.sleep(20.0)
            orchestrator.stop()

        stopping = asyncio.ensure_future(stop())
        await orchestrator.run_rollout(rollout)
        await stopping

    rig.clock.run(stop_early())
    rig.clock.advance(3600.0)
    state = rig.clock.run(rig.orchestrator().run_rollout(rollout))
    assert_settled(rig, state)

    assert 1 == len(writes(rig, rig.nodes[0]))
    assert {"r1n01": NodeResult.ON_NEW} == results(state)


def test_a_quarantined_node_is_not_touched_until_it_is_readmitted(shelf: Shelf) -> None:
    """A rollout passes it by, and counts it."""
    rig = Rig(shelf, nodes(2), policy=Policy(canary=0, waves=1))
    rig.clock.run(rig.assign(shelf.bundle("A.1", OLD)))
    rig.clock.run(quarantine(rig))
    state = rig.run(shelf.bundle("A.2", NEW))

    assert {"r1n01": NodeResult.QUARANTINED, "r1n02": NodeResult.ON_NEW} == results(state)
    assert [] == writes(rig, rig.nodes[0])


async def quarantine(rig: Rig) -> None:
    """Put the first node into quarantine."""
    await rig.journal.append(Quarantined(rig.nodes[0], ("smoke",)))


def test_a_roll_back_takes_the_same_steps_as_a_rollout(shelf: Shelf) -> None:
    """Rolled out to A.1 from A.2, and rolled back to it: write by write, reset by reset, the same."""
    forward, back = Rig(shelf, nodes(1)), Rig(shelf, nodes(1))
    a1, a2 = shelf.bundle("A.1", OLD), shelf.bundle("A.2", NEW)
    for rig in (forward, back):
        rig.run(a1, "roll1")
        rig.run(a2, "roll2")
    forward.run(a1, "roll3")
    back.clock.run(recover(back, a2, failed=True))

    assert steps(forward) == steps(back)
    assert [AttemptResult.LEVEL] * 3 == [e.result for e in events(back) if isinstance(e, AttemptEnded)]


def steps(rig: Rig) -> list[str]:
    """Return the kinds and targets of everything that was intended, in order."""
    return [
        f"{type(e.step).__name__} {getattr(e.step, 'component', '')} {getattr(e.step, 'version', '')}"
        for e in events(rig)
        if isinstance(e, Intended)
    ]


def test_every_write_is_resolved_before_its_attempt_ends_well(shelf: Shelf) -> None:
    """No attempt is level with a write of its own still open."""
    rig = Rig(shelf, nodes(2))
    rig.rack.machine("r1n02").inject(FlashFails(component="NIC"))
    rig.clock.run(rig.assign(shelf.bundle("A.1", OLD)))
    rig.run(shelf.bundle("A.2", NEW))
    for node in rig.nodes:
        told = story(rig, node)
        intended = {(e.attempt, e.number) for e in told if isinstance(e, Intended) and hasattr(e.step, "digest")}
        resolved = {(e.attempt, e.number) for e in told if isinstance(e, Resolved) and e.outcome in Outcome}

        assert intended <= resolved


def test_what_another_lineage_left_open_ends_in_its_own(shelf: Shelf) -> None:
    """A ladder of A's, cut off by a kill, resends A.1 under the rollout of B.2, which then goes on as asked."""
    rig = Rig(shelf, nodes(1))
    node = rig.nodes[0]
    rig.run(shelf.bundle("A.1", {BIOS: "1.0.0"}), "roll1")
    rig.run(shelf.bundle("B.1", {NIC: "20.1"}), "roll2")
    rig.rack.machine(node).inject(HostDead(revived_by=RevivedBy.REFLASH))
    rig.reaper = Reaper([16])
    with pytest.raises(Killed):
        rig.run(shelf.bundle("A.2", {BIOS: "2.0.0"}), "roll3")
    rig.reaper.revive()
    state = rig.run(shelf.bundle("B.2", {NIC: "20.2"}), "roll4")

    assert {"r1n01": NodeResult.ON_NEW} == results(state)
    assert [("restart", "A.1"), ("resend", "A.1"), ("rollout", "B.2")] == attempts(rig, node)[-3:]
    assert ["A.1", "B.1", "A.1", "B.2"] == committed(rig, node)
    assert [("BIOS", "1.0.0"), ("NIC", "20.2")] == [(w["component"], w["version"]) for w in writes(rig, node)]


class BreaksOff(SimBmc):
    """A BMC whose first upload breaks off within its last bytes."""

    broken: ClassVar[list[NodeName]] = []

    async def write(self, image: Image, *, completing: Callable[[], Awaitable[None]]) -> Receipt:
        """Break off once, then take the image."""
        if self.node in self.broken:
            return await super().write(image, completing=completing)
        self.broken.append(self.node)
        await completing()
        return Ambiguous("the connection broke", body_complete=False)


def test_an_upload_that_is_known_to_be_cut_short_is_tried_again(shelf: Shelf) -> None:
    """The last bytes were announced and did not all leave: the BMC cannot have the image whole."""
    rig = Rig(shelf, nodes(1), personality=load_personality("openbmc"))
    rig.clock.run(rig.assign(shelf.bundle("A.1", OLD)))
    BreaksOff.broken.clear()
    rig.between = lambda bmc: BreaksOff(rig.rack.machine(bmc.node), images=rig.rack.images)
    state = rig.run(shelf.bundle("A.2", {BIOS: "2.0.0"}))
    assert_settled(rig, state)

    assert {"r1n01": NodeResult.ON_NEW} == results(state)
    assert [("rollout", "A.2"), ("retry", "A.2")] == attempts(rig, rig.nodes[0])


class Sleepy(SimBmc):
    """A BMC that loses the answer to its first pull, sleeps over it for minutes, and only then fetches the image."""

    woken: ClassVar[list[bool]] = []

    def __init__(self, rig: Rig, node: NodeName, asleep: float) -> None:
        super().__init__(rig.rack.machine(node), images=rig.rack.images)
        self._rig = rig
        self._asleep = asleep
        self._late: list[asyncio.Task[None]] = []

    async def write(self, image: Image, *, completing: Callable[[], Awaitable[None]]) -> Receipt:
        """Queue the first request, take every other."""
        if self._late:
            return await super().write(image, completing=completing)
        self._late.append(asyncio.ensure_future(self._wake_up(image)))
        return Ambiguous("no answer")

    async def _wake_up(self, image: Image) -> None:
        await self._rig.clock.sleep(self._asleep)
        assert image.url is not None
        path = self._rig.rack.images.serve(image.url)
        self.woken.append(path is not None)
        if path is not None:
            machine = self._rig.rack.machine(self.node)
            machine.image_received(machine.begin_update(image.component, image.url), read_image(path))


@pytest.mark.parametrize("asleep", [70.0, 125.0, 200.0, 240.0])
def test_a_pull_that_wakes_up_late_finds_nothing_to_write(shelf: Shelf, asleep: float) -> None:
    """What is about to be called never begun can no longer begin: its grant is revoked first."""
    rig = Rig(shelf, nodes(1))
    rig.clock.run(rig.assign(shelf.bundle("A.1", OLD)))
    Sleepy.woken.clear()
    sleepy = Sleepy(rig, rig.nodes[0], asleep)
    rig.between = lambda _: sleepy
    state = rig.run(shelf.bundle("A.2", {BIOS: "2.0.0"}))
    assert_settled(rig, state)

    assert [False] == Sleepy.woken
    assert {"r1n01": NodeResult.ON_NEW} == results(state)
    assert 1 == len(writes(rig, rig.nodes[0]))


def test_an_upload_whose_end_was_announced_counts_as_whole(shelf: Shelf) -> None:
    """Killed before the answer, and the BMC lost it with its tasks: it held the image, so that a person must look."""

    def make(reaper: Reaper) -> Rig:
        rig = Rig(shelf, nodes(1), personality=load_personality("openbmc"), reaper=reaper)
        rig.clock.run(rig.assign(shelf.bundle("A.1", OLD)))
        rig.rack.machine("r1n01").inject(TaskVanishes(applied=False))
        return rig

    reaper, to = Reaper(), shelf.bundle("A.2", {BIOS: "2.0.0"})
    make(reaper).run(to)
    rig = make(Reaper([reaper.points.index("before append Acted")]))
    rig.run_with_kills(to)

    assert [rig.nodes[0]] == quarantined(rig)
    assert 1 == len(writes(rig, rig.nodes[0]))


def test_a_machine_at_work_is_not_restarted_for_its_health(shelf: Shelf) -> None:
    """Critically unwell with its host running, a node is set aside for a person: nothing is sent, nothing restarted."""
    rig = Rig(shelf, nodes(2), policy=Policy(canary=0, waves=1))
    rig.clock.run(rig.assign(shelf.bundle("A.1", {BIOS: "1.0.0"})))
    rig.rack.machine("r1n02").inject(BadHealth(version="1.0.0"))
    state = rig.run(shelf.bundle("A.2", {BIOS: "2.0.0"}))

    assert {"r1n01": NodeResult.ON_NEW, "r1n02": NodeResult.QUARANTINED} == results(state)
    assert (0, 0) == (rig.rack.machine("r1n02").truth()["flashes"], rig.rack.machine("r1n02").truth()["resets"]["host"])


def test_nobody_is_restarted_on_one_look(shelf: Shelf) -> None:
    """A BMC that calls a running host off, once, while it waits for its wave, costs that host nothing (P42)."""
    told: list[NodeName] = []

    class Once:
        """Says "off" in its first answer."""

        def __init__(self, bmc: SimBmc) -> None:
            self._bmc = bmc

        def __getattr__(self, name: str) -> object:
            return getattr(self._bmc, name)

        async def observe(self, look: Look) -> Observation:
            seen = await self._bmc.observe(look)
            if self._bmc.node != "r1n02" or told:
                return seen
            told.append(self._bmc.node)
            return evolve(seen, power=Power.OFF, post=Post.NOT_RUNNING)

    rig = Rig(shelf, nodes(2), policy=Policy(canary=1, waves=1))
    rig.between = Once
    rig.clock.run(rig.assign(shelf.bundle("A.1", {BIOS: "1.0.0"})))
    state = rig.run(shelf.bundle("A.2", {BIOS: "2.0.0"}))
    assert_settled(rig, state)

    assert ["r1n02"] == told
    assert 1 == rig.rack.machine("r1n02").truth()["resets"]["host"]  # the one that A.2 needs


def test_a_dead_host_that_tells_nothing_is_written_to_after_its_restart(shelf: Shelf) -> None:
    """P41: a restart that leaves a host dead and unreadable is followed by the next rung, which writes all the same."""
    rig = Rig(shelf, nodes(1), policy=Policy(canary=0))
    rig.clock.run(rig.assign(shelf.bundle("A.1", {BIOS: "1.0.0"})))
    rig.rack.machine(rig.nodes[0]).inject(HostDead(revived_by=RevivedBy.REFLASH, blind=True))
    state = rig.run(shelf.bundle("A.2", {BIOS: "2.0.0"}))

    assert [] == quarantined(rig)
    assert NodeResult.ON_NEW is state.results[rig.nodes[0]].result
    assert_settled(rig, state)
