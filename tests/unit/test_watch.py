"""The watch on a simulated rack: what dies comes back by itself, once, and nobody else is touched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

import pytest
from attrs import define, field

from rackwave.core import event as ev
from rackwave.core.identity import BundleId, Lineage, NodeName
from rackwave.core.policy import Policy
from rackwave.core.request import AskingWithdrawn, RecoveryAsked, Want
from rackwave.core.step import WriteImage
from rackwave.core.watch_policy import WatchPolicy
from rackwave.core.watching import LEFT_ALONE, amiss, maintenance_told
from rackwave.engine.leases import Holder, Lease
from rackwave.engine.memory import MemoryLeases
from rackwave.errors import LeaseError, RackwaveError, TrustError
from rackwave.ports import Bmc
from rackwave.watch import Watch
from rackwave_emulators.faults import HostDead, RevivedBy
from rackwave_emulators.sim import Killed, WireFate
from rig import BIOS, NIC, Reaper, Rig, Shelf, nodes

HOUR = 3600.0
MENDS = WatchPolicy(drift="reassert")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """A.1, which every node carries."""
    shelf = Shelf(tmp_path_factory.mktemp("shelf"))
    shelf.bundle("A.1", {BIOS: "1.0.0", NIC: "20.1"})
    return shelf


@pytest.fixture
def rig(shelf: Shelf) -> Rig:
    """Three nodes on A.1."""
    return on_its_bundle(shelf, nodes(3))


def on_its_bundle(shelf: Shelf, names: tuple[NodeName, ...], **more: object) -> Rig:
    """Return a rack that carries A.1."""
    rig = Rig(shelf, names, **more)  # type: ignore[arg-type]  # what a rig takes
    rig.clock.run(rig.assign(next(iter(shelf.bundles.values()))))
    return rig


@define
class Service:
    """A watch over a rig, as a service manager runs it: started, at some time stopped, and started again."""

    rig: Rig
    policy: WatchPolicy = field(factory=WatchPolicy)
    holders: dict[NodeName, str] = field(factory=dict)
    due: dict[NodeName, dict[Lineage, str]] = field(factory=dict)
    unreadable: RackwaveError | None = None

    def find_due(self, _: object) -> dict[NodeName, dict[Lineage, str]]:
        """Look into the repository, as far as it can be read."""
        if self.unreadable is not None:
            raise self.unreadable
        return self.due

    def begin(self) -> Watch:
        """Compose a watch."""

        async def bring(_: object) -> None:
            pass

        return Watch(
            logbook=self.rig.logbook(),
            bmcs=self.rig,
            orchestrator=self.rig.orchestrator,
            load=self.rig.shelf.bundles.__getitem__,
            bring=bring,
            holders=lambda: self.holders,
            due=self.find_due,
            windows=lambda _: (),
            watch=self.policy,
            policy=self.rig.policy,
            clock=self.rig.clock,
        )

    def run(self, seconds: float, then: Mapping[float, Callable[[], object]] | None = None) -> None:
        """Watch for *seconds*; at the moments named something befalls the rack."""

        async def whole() -> None:
            watch, begun = self.begin(), self.rig.clock.monotonic()
            running = asyncio.ensure_future(watch.run(self.rig.nodes))

            async def story() -> None:
                for moment, what in (*sorted((then or {}).items()), (seconds, watch.stop)):
                    await self.rig.clock.sleep(begun + moment - self.rig.clock.monotonic())
                    what()

            told = asyncio.ensure_future(story())
            try:
                await running
            finally:
                told.cancel()

        self.rig.clock.run(whole())

    def once(self) -> None:
        """One round."""
        self.rig.clock.run(self.begin().run(self.rig.nodes, once=True))


def events(rig: Rig, kind: type[ev.Event], node: NodeName | None = None) -> list[ev.Recorded]:
    """Return what the journal has of a kind."""
    return [e for e in rig.journal.events() if isinstance(e.event, kind) and node in (None, e.event.node)]


def sighted(rig: Rig, node: NodeName) -> dict[str, str]:
    """Return how the journal says that *node* was seen."""
    return {name: each.word for name, each in rig.logbook().node(node).sightings.items()}


@pytest.mark.parametrize("off", [True, False])
@pytest.mark.parametrize("revived", [RevivedBy.RESTART, RevivedBy.REFLASH])
def test_a_machine_that_dies_is_brought_back_once_and_ends_on_its_bundle(
    rig: Rig, off: bool, revived: RevivedBy
) -> None:
    """Nobody asked for it; the others are not touched."""
    dead = rig.nodes[0]
    Service(rig).run(
        3 * HOUR, {1000.0: lambda: rig.rack.machine(dead).inject(HostDead(revived_by=revived, power_off=off))}
    )
    (asked,) = events(rig, ev.RecoveryRequested)

    assert (dead, "watch") == (asked.event.node, asked.event.by)
    assert 1 == len(events(rig, ev.RecoveryEnded, dead))
    assert [] == events(rig, ev.AttemptStarted, rig.nodes[1])
    assert "A.1" == rig.assigned(dead)
    assert ("answers", "on", "complete", "level") == tuple(
        sighted(rig, dead)[name] for name in ("bmc", "power", "post", "drift A")
    )
    assert LEFT_ALONE not in sighted(rig, dead)


def test_a_machine_that_only_a_reflash_revives_is_written_once(rig: Rig) -> None:
    """The ladder restarts it first, and then sends each image of its bundle again."""
    dead = rig.nodes[0]
    fault = HostDead(revived_by=RevivedBy.REFLASH)
    Service(rig).run(3 * HOUR, {1000.0: lambda: rig.rack.machine(dead).inject(fault)})

    assert [BIOS, NIC] == sorted(step.component for step in writes(rig))


def writes(rig: Rig) -> list[WriteImage]:
    """Return the images that were to be sent."""
    steps = (each.event.step for each in rig.journal.events() if isinstance(each.event, ev.Intended))
    return [step for step in steps if isinstance(step, WriteImage)]


def kill_points(shelf: Shelf) -> list[int]:
    """Return some of the points at which a watch can be killed from the death of a machine to its revival."""
    rig = on_its_bundle(shelf, nodes(2))
    begun: list[int] = []

    def die() -> None:
        begun.append(len(rig.reaper.points))
        rig.rack.machine(rig.nodes[0]).inject(HostDead(revived_by=RevivedBy.REFLASH))

    Service(rig).run(1.5 * HOUR, {500.0: die})
    points = rig.reaper.points
    end = max(number for number, point in enumerate(points) if "RecoveryEnded" in point)
    return [*range(begun[0], end, 7), end - 1, end]


def test_a_watch_that_is_killed_in_the_midst_is_finished_by_the_next(shelf: Shelf) -> None:
    """Wherever it was killed: one recovery, each image written once, and the machine on its bundle."""
    points = kill_points(shelf)
    assert len(points) > 5
    for point in points:
        rig = on_its_bundle(shelf, nodes(2), reaper=Reaper([point]))
        dead = rig.nodes[0]
        die = partial(rig.rack.machine(dead).inject, HostDead(revived_by=RevivedBy.REFLASH))
        try:
            Service(rig).run(HOUR, {500.0: die})
        except Killed:
            rig.reaper.revive()
        Service(rig).run(HOUR)

        assert 1 == len(events(rig, ev.RecoveryRequested)), point
        assert 1 == len(events(rig, ev.RecoveryEnded, dead)), point
        assert {BIOS, NIC} == {step.component for step in writes(rig)}, point
        assert "A.1" == rig.assigned(dead), point
        assert "on" == sighted(rig, dead)["power"], point
        assert "complete" == sighted(rig, dead)["post"], point


def hold(rig: Rig) -> ev.Event:
    """Return that a person wants the first node left alone."""
    return ev.Held(rig.nodes[0], "swaps a DIMM", "me")


def quarantine(rig: Rig) -> ev.Event:
    """Return that the first node is in quarantine."""
    return ev.Quarantined(rig.nodes[0], ("smoke",))


def switch_off(rig: Rig) -> ev.Event:
    """Return that a person switches the first node off."""
    return ev.ByHand(rig.nodes[0], "power force-off", "me@desk")


@pytest.mark.parametrize(
    ("said", "why"),
    [(hold, "held by me"), (quarantine, "quarantine"), (switch_off, "switched off by me@desk")],
)
def test_whom_a_person_has_a_hand_in_is_left_alone(rig: Rig, said: Callable[[Rig], ev.Event], why: str) -> None:
    """Its host is off for hours; the watch says why it does nothing, once."""
    node = rig.nodes[0]
    rig.clock.run(rig.journal.append(said(rig)))
    Service(rig).run(3 * HOUR, {600.0: lambda: rig.rack.machine(node).inject(HostDead(power_off=True))})

    assert [] == events(rig, ev.RecoveryRequested)
    assert "off" == sighted(rig, node)["power"]
    assert why in sighted(rig, node)[LEFT_ALONE]
    assert 1 == len([e for e in events(rig, ev.ConditionChanged, node) if LEFT_ALONE == e.event.what])


def test_a_hold_that_is_lifted_ends_the_waiting(rig: Rig) -> None:
    """What was left alone is brought back then."""
    node = rig.nodes[0]
    rig.clock.run(rig.journal.append(hold(rig)))
    rig.rack.machine(node).inject(HostDead())
    Service(rig).run(HOUR)
    rig.clock.run(rig.journal.append(ev.Unheld(node, "me")))
    Service(rig).run(HOUR)

    assert 1 == len(events(rig, ev.RecoveryEnded, node))
    assert LEFT_ALONE not in sighted(rig, node)


def test_a_node_that_another_process_works_on_is_not_even_asked(rig: Rig) -> None:
    """Its BMC has sessions for one of us; and it is looked at again once the other is done."""
    node = rig.nodes[0]
    service = Service(rig, holders={node: "rackwave deploy"})
    rig.rack.machine(node).inject(HostDead())
    service.run(HOUR)

    assert {} == sighted(rig, node)
    assert [] == events(rig, ev.RecoveryRequested)
    service.holders.clear()
    service.run(HOUR)
    assert 1 == len(events(rig, ev.RecoveryEnded, node))


class Taken(MemoryLeases):
    """Every node is another process's, which began just now."""

    async def acquire(self, node: NodeName, holder: Holder) -> Lease:
        """Refuse."""
        raise LeaseError(f"{node} is taken.")


def test_a_lease_that_is_refused_leaves_the_node_to_whoever_has_it(rig: Rig) -> None:
    """Also where that was not known when it was looked at."""
    rig.leases = Taken()
    rig.rack.machine(rig.nodes[0]).inject(HostDead())
    Service(rig).run(HOUR)

    assert [] == events(rig, ev.RecoveryRequested)
    assert "another process works on it" == sighted(rig, rig.nodes[0])[LEFT_ALONE]


@pytest.mark.parametrize("fate", [WireFate.SILENT, WireFate.REFUSED, WireFate.PARTIAL])
def test_what_cannot_be_read_is_neither_dead_nor_drift(shelf: Shelf, fate: WireFate) -> None:
    """For two hours nobody can tell; nothing is done, and afterwards all is as before."""
    rig = on_its_bundle(shelf, nodes(1))
    until = [1000.0, 1000.0 + 2 * HOUR]

    def wire(act: str) -> WireFate:
        is_bad = act == "observe" and until[0] <= rig.clock.monotonic() <= until[1]
        return fate if is_bad else WireFate.OK

    rig.wire = wire
    Service(rig, MENDS).run(4 * HOUR)
    told = {(e.event.what, e.event.after) for e in events(rig, ev.ConditionChanged)}

    assert [] == events(rig, ev.RecoveryRequested)
    assert {"answers", "on", "complete", "ok", "level"} == set(sighted(rig, rig.nodes[0]).values())
    assert {WireFate.SILENT: ("bmc", "does not answer"), WireFate.REFUSED: ("power", "unknown")}.get(
        fate, ("drift A", "unknown")
    ) in told


def test_a_machine_that_keeps_dying_is_left_to_a_person_in_the_end(rig: Rig) -> None:
    """As often as the policy allows, and no more."""
    rig.policy = Policy(recoveries=2)
    machine = rig.rack.machine(rig.nodes[0])
    Service(rig).run(8 * HOUR, {each * HOUR: lambda: machine.inject(HostDead()) for each in (1, 2, 3, 4)})

    assert 2 == len(events(rig, ev.RecoveryRequested))
    assert "brought back 2 times on A.1 already" in sighted(rig, rig.nodes[0])[LEFT_ALONE]

    rig.clock.run(rig.journal.append(ev.Readmitted(rig.nodes[0], "a new power supply", "ann")))
    Service(rig).run(HOUR)

    assert 3 == len(events(rig, ev.RecoveryRequested))
    assert LEFT_ALONE not in sighted(rig, rig.nodes[0])


def drifted(shelf: Shelf, count: int) -> Rig:
    """Return a rack on A.1 by the journal, and on another BIOS by its BMCs."""
    return on_its_bundle(shelf, nodes(count), installed={"BIOS": "0.9.0", "BMC": "5.0", "NIC": "20.1"})


def test_drift_is_only_told_where_nothing_else_is_asked_for(shelf: Shelf) -> None:
    """Nobody's host is restarted for it."""
    rig = drifted(shelf, 2)
    Service(rig).run(3 * HOUR)

    assert [] == events(rig, ev.AttemptStarted)
    assert "differs: " in sighted(rig, rig.nodes[0])["drift A"]
    assert LEFT_ALONE not in sighted(rig, rig.nodes[0])


def test_drift_is_mended_one_node_after_another_where_that_is_asked_for(shelf: Shelf) -> None:
    """They run until then: a rack that differs as a whole must not go down as a whole."""
    rig = drifted(shelf, 4)
    Service(rig, MENDS).run(4 * HOUR)
    under_way, most = set(), 0
    for each in rig.journal.events():
        if isinstance(each.event, ev.RecoveryRequested):
            under_way.add(each.event.node)
        if isinstance(each.event, ev.RecoveryEnded):
            under_way.discard(each.event.node)
        most = max(most, len(under_way))

    assert 1 == most
    assert ["level"] * 4 == [sighted(rig, node)["drift A"] for node in rig.nodes]
    assert 4 == len(events(rig, ev.RecoveryEnded))
    assert [] == [
        e for e in events(rig, ev.Intended) if isinstance(e.event.step, WriteImage) and NIC == e.event.step.component
    ]


def test_a_watch_that_is_told_to_stop_begins_nothing_more(rig: Rig) -> None:
    """Not even what the look that was in flight would have called for."""
    watch = Service(rig).begin()
    rig.rack.machine(rig.nodes[0]).inject(HostDead())

    def wire(act: str) -> WireFate:
        if act == "observe" and rig.clock.monotonic() > 60.0:
            watch.stop()
        return WireFate.OK

    rig.wire = wire
    rig.clock.run(watch.run(rig.nodes))

    assert "failed" == sighted(rig, rig.nodes[0])["post"]
    assert [] == events(rig, ev.RecoveryRequested)


def test_one_round_looks_at_every_node_acts_and_ends(rig: Rig) -> None:
    """A second look is part of it where the first one calls for that."""
    rig.rack.machine(rig.nodes[0]).inject(HostDead())
    begun = rig.clock.monotonic()
    Service(rig).once()

    assert 1 == len(events(rig, ev.RecoveryEnded, rig.nodes[0]))
    assert all("complete" == sighted(rig, node)["post"] for node in rig.nodes)
    assert rig.clock.monotonic() - begun < HOUR


class Telling:
    """A BMC that tells of news by itself: what it is asked goes to another."""

    def __init__(self, bmc: Bmc, doors: dict[str, Callable[[], None]]) -> None:
        self._bmc = bmc
        self._doors = doors

    def __getattr__(self, name: str) -> object:
        return getattr(self._bmc, name)

    async def listen(self, wake: Callable[[], None]) -> None:
        """Keep whom to call."""
        self._doors[self._bmc.node] = wake


def test_a_bmc_that_tells_of_a_death_has_it_seen_at_once(rig: Rig) -> None:
    """It must last a minute all the same; without its word it would be seen up to 5 minutes later."""
    doors: dict[str, Callable[[], None]] = {}
    rig.between = lambda bmc: Telling(bmc, doors)  # type: ignore[assignment,return-value]  # what it lacks is the BMC's
    node = rig.nodes[0]

    def die() -> None:
        rig.rack.machine(node).inject(HostDead())
        doors[node]()

    Service(rig).run(3 * HOUR, {2 * HOUR: die})
    begun = next(iter(rig.journal.events())).at

    assert events(rig, ev.RecoveryRequested)[0].at - begun <= 2 * HOUR + 80.0


def test_a_bmc_that_tells_without_an_end_is_not_asked_without_an_end(shelf: Shelf) -> None:
    """A fan that flaps each second costs a look each 5 s at most."""
    rig, doors = on_its_bundle(shelf, nodes(1)), dict[str, Callable[[], None]]()
    rig.between = lambda bmc: Telling(bmc, doors)  # type: ignore[assignment,return-value]  # as above
    flaps = {300.0 + second: lambda: doors[rig.nodes[0]]() for second in range(600)}
    Service(rig).run(900.0, flaps)

    assert len([point for point in rig.reaper.points if point == "before observe"]) <= 600 / 5 + 40


def looks_of_an_hour(shelf: Shelf, count: int) -> float:
    """Return what a node of *count* well ones costs an hour, in looks, once nothing has changed for a while."""
    rig = on_its_bundle(shelf, tuple(NodeName(f"n{number}") for number in range(count)))
    counted: list[int] = []
    Service(rig).run(HOUR, {HOUR / 2: lambda: counted.append(rig.reaper.points.count("before observe"))})
    return 2 * (rig.reaper.points.count("before observe") - counted[0]) / count


def test_looks_a_node_an_hour_are_few_and_as_many_in_a_large_fleet_as_in_a_small_one(shelf: Shelf) -> None:
    """Of power, POST and health; a node more costs what the one before it did."""
    few, many = looks_of_an_hour(shelf, 10), looks_of_an_hour(shelf, 1000)

    assert many <= 20
    assert abs(many - few) <= 1.0


def test_what_changed_is_journalled_and_nothing_else(rig: Rig) -> None:
    """A day over a rack to which nothing happens writes what it saw first."""
    Service(rig).run(24 * HOUR)

    assert 5 * len(rig.nodes) == len(list(rig.journal.events())) - len(rig.nodes)


def test_a_watch_that_starts_again_tells_nothing_that_it_told_before(rig: Rig) -> None:
    """How each node was seen last stands in the journal."""
    Service(rig).run(HOUR)
    before = len(list(rig.journal.events()))
    Service(rig).run(HOUR)

    assert before == len(list(rig.journal.events()))


def test_maintenance_that_is_due_is_told_once_and_done_by_nobody(rig: Rig) -> None:
    """A newer bundle is published, then another; one node gets it from somebody. Nothing is begun by the watch."""
    service, line = Service(rig), Lineage("A")
    first, other, third = rig.nodes

    def published(bundle: str, *left: NodeName) -> Callable[[], None]:
        return lambda: service.due.update({node: {line: bundle} if node in left else {} for node in rig.nodes})

    service.run(
        4 * HOUR,
        {
            HOUR: published("A.2", *rig.nodes),
            2 * HOUR: published("A.3, critical, CVE-2026-1", *rig.nodes),
            3 * HOUR: published("A.3, critical, CVE-2026-1", first, other),
        },
    )

    told = [
        (each.event.before, each.event.after)
        for each in events(rig, ev.ConditionChanged, third)
        if isinstance(each.event, ev.ConditionChanged) and each.event.what == "due A"
    ]
    assert [("", "A.2"), ("A.2", "A.3, critical, CVE-2026-1"), ("A.3, critical, CVE-2026-1", "")] == told
    known = rig.logbook().node(first).sightings
    assert ((), True) == (amiss(known), "A.3, critical, CVE-2026-1 is due since" in maintenance_told(known)[0])
    assert () == maintenance_told(known, [BundleId.parse("A.3")])
    assert [] == events(rig, ev.Intended)


def ask(rig: Rig, node: NodeName, want: Want) -> None:
    """Put on the record what a machine's own software asks for."""
    rig.clock.run(rig.journal.append(RecoveryAsked(node, Lineage("A"), want, "its disk is read-only", str(node))))


def test_what_a_machine_asks_for_is_done_once(rig: Rig) -> None:
    """It runs, and says that it is not well: it is restarted, found level, and another look finds nothing to do."""
    ask(rig, rig.nodes[0], Want.ASSIGNED)
    Service(rig, WatchPolicy(dead="report")).run(HOUR)

    (begun,) = events(rig, ev.RecoveryRequested)
    assert isinstance(begun.event, ev.RecoveryRequested)
    assert ("resend-then-prior", rig.nodes[0]) == (begun.event.policy, begun.event.node)
    assert "recovery is asked for by r1n01: its disk is read-only" in begun.event.evidence
    assert (1, None) == (len(events(rig, ev.RecoveryEnded)), rig.logbook().node(rig.nodes[0]).asked)
    assert [] == [e for e in events(rig, ev.Intended) if isinstance(getattr(e.event, "step", None), WriteImage)]


def test_a_machine_that_asks_for_the_bundle_before_gets_it(shelf: Shelf) -> None:
    """By the ladder that a person's roll-back takes."""
    rig = on_its_bundle(shelf, nodes(1))
    before = shelf.bundle("A.0", {BIOS: "0.9.0", NIC: "20.0"})
    rig.journal = type(rig.journal)(rig.clock)
    for bundle in (before, next(iter(shelf.bundles.values()))):
        rig.clock.run(rig.assign(bundle))
    ask(rig, rig.nodes[0], Want.PRIOR)
    Service(rig).run(HOUR)

    assert "A.0" == rig.assigned(rig.nodes[0])
    assert "0.9.0" == rig.rack.machine("r1n01").truth()["installed"]["BIOS"]["version"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (lambda node: ev.Held(node, "memory is swapped", "ann"), "it is held by ann"),
        (lambda node: AskingWithdrawn(node, "ann"), ""),
        (lambda node: ev.Quarantined(node, ("smoke",)), ""),
    ],
)
def test_who_asks_goes_over_nobodys_head(rig: Rig, said: Callable[[NodeName], ev.Event], why: str) -> None:
    """A person's word counts for more than a machine's."""
    node = rig.nodes[0]
    ask(rig, node, Want.ASSIGNED)
    rig.clock.run(rig.journal.append(said(node)))
    Service(rig).run(HOUR)

    assert [] == events(rig, ev.RecoveryRequested)
    assert why in sighted(rig, node).get(LEFT_ALONE, "")


def test_a_machine_that_asks_without_an_end_is_left_to_a_person(rig: Rig) -> None:
    """Its recoveries are counted like any others."""
    node = rig.nodes[0]
    service = Service(rig)
    service.run(6 * HOUR, {number * HOUR: lambda: asyncio.ensure_future(_ask(rig, node)) for number in range(1, 6)})

    assert rig.policy.recoveries == len(events(rig, ev.RecoveryRequested))
    assert "look at it, then" in sighted(rig, node)[LEFT_ALONE]


async def _ask(rig: Rig, node: NodeName) -> None:
    await rig.journal.append(RecoveryAsked(node, Lineage("A"), Want.ASSIGNED, "again", str(node)))


def test_a_repository_that_cannot_be_trusted_keeps_no_machine_from_being_watched(rig: Rig) -> None:
    """Who plans a rollout is told what is wrong with it; the watch brings back who dies."""
    service = Service(rig, unreadable=TrustError("the list of keys is damaged"))
    service.run(2 * HOUR, {HOUR: lambda: rig.rack.machine("r1n02").inject(HostDead(revived_by=RevivedBy.RESTART))})

    assert 1 == len(events(rig, ev.RecoveryEnded))
    assert not any(name.startswith("due ") for name in sighted(rig, rig.nodes[0]))
