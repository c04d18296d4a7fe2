"""The rack converges and no component is flashed twice, whatever the wire does and however often we are killed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from attrs import evolve, frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rackwave.core.bundle import Activation
from rackwave.core.event import Acted, Intended, NodeResult
from rackwave.core.identity import NodeName
from rackwave.core.policy import Policy
from rackwave.core.receipt import Ambiguous
from rackwave.core.recovery import POLICIES
from rackwave.core.step import WriteImage
from rackwave_emulators.faults import (
    CompletedUnapplied,
    Fault,
    FlashFails,
    HostDead,
    InventoryLags,
    Leaves,
    Moment,
    RevivedBy,
    TaskVanishes,
)
from rackwave_emulators.personality import Personality, load_personality
from rackwave_emulators.sim import WireFate
from rig import BIOS, BMC, NIC, Reaper, Rig, Shelf, nodes
from truths import assert_settled, history, quarantined, results, story

POLICY = Policy(poll=10.0, watch=30.0, canary=1, waves=1, failure_budget=3)
LOST = (WireFate.LOST_REQUEST, WireFate.LOST_ANSWER, WireFate.SILENT, WireFate.PARTIAL)
VERSIONS = {BIOS: ("1.0.0", "2.0.0"), BMC: ("5.0", "6.0"), NIC: ("20.1", "20.2")}
SOME = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def variant(name: str, nic: Activation = Activation.HOST_RESET, **rules: bool) -> Personality:
    """Return the make *name* with other habits."""
    make = load_personality(name)
    components = tuple(evolve(spec, activation=nic) if spec.name == NIC else spec for spec in make.components)
    return evolve(make, components=components, rules=evolve(make.rules, **rules))


MAKES = {
    "plain": variant("plain"),
    "openbmc": variant("openbmc"),
    "tells little": variant("plain", task_names_image=False, shows_staged=False, tasks_survive_bmc_reset=False),
    "marks no boots": variant("plain", last_reset_time=False),
    "hot-pluggable": variant("plain", nic=Activation.IMMEDIATE, shows_staged=False),
    "busy": variant("openbmc", nic=Activation.IMMEDIATE, task_names_image=True),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the images lie, made once for all runs."""
    return tmp_path_factory.mktemp("shelf")


class Spiteful:
    """A wire that strikes chosen requests of one node, and lets every other one through."""

    def __init__(self, fates: Mapping[int, WireFate]) -> None:
        self._fates = fates
        self._count = 0
        self.struck: list[tuple[str, WireFate]] = []

    def __call__(self, act: str) -> WireFate:
        fate = self._fates.get(self._count, WireFate.OK)
        self._count += 1
        if fate is not WireFate.OK:
            self.struck.append((act, fate))
        return fate

    @property
    def lost_acts(self) -> list[str]:
        return [act for act, fate in self.struck if act != "observe" and fate is not WireFate.PARTIAL]


@frozen
class Trouble:
    """What one generated run is up against."""

    make: str
    components: tuple[str, ...]
    settings: bool
    wires: tuple[Mapping[int, WireFate], ...]
    faults: tuple[tuple[int, Fault], ...] = ()
    kills: frozenset[int] = frozenset()
    away: float = 0.0
    recovery: str = "resend-then-prior"


fates = st.dictionaries(st.integers(0, 40), st.sampled_from(LOST), max_size=4)
parts = st.lists(st.sampled_from([BIOS, BMC, NIC]), min_size=1, max_size=3, unique=True).map(tuple)


def troubles(*, faults: st.SearchStrategy[Fault] | None = None, kills: int = 0) -> st.SearchStrategy[Trouble]:
    """Return what a run may be up against: lost messages always, *faults* of the machines and *kills* where asked."""
    return st.builds(
        Trouble,
        make=st.sampled_from(sorted(MAKES)),
        components=parts,
        settings=st.booleans(),
        wires=st.tuples(fates, fates, fates),
        faults=st.lists(st.tuples(st.integers(0, 2), faults), max_size=2).map(tuple)
        if faults is not None
        else st.just(()),
        kills=st.frozensets(st.integers(0, 250), max_size=kills) if kills else st.just(frozenset()),
        away=st.sampled_from([0.0, 45.0, 200.0, 7200.0]),
        recovery=st.sampled_from(sorted(POLICIES)),
    )


@frozen
class Run:
    """A run that is over."""

    rig: Rig
    wires: Mapping[NodeName, Spiteful]
    results: Mapping[str, NodeResult]


def run(folder: Path, trouble: Trouble) -> Run:
    """Roll A.2 out to three nodes on A.1, to the end, and judge by the lab's truth how it was left."""
    names, make = nodes(3), MAKES[trouble.make]
    wires = {name: Spiteful(fates) for name, fates in zip(names, trouble.wires, strict=True)}
    shelf = Shelf(folder, activations={spec.name: spec.activation for spec in make.components})
    policy = evolve(POLICY, recovery=trouble.recovery)
    rig = Rig(shelf, names, policy=policy, personality=make, wires=wires, reaper=Reaper(trouble.kills))
    has_settings = trouble.settings and make.rules.bios_attributes
    old = {name: versions[0] for name, versions in VERSIONS.items()}
    new = {name: VERSIONS[name][1] for name in trouble.components}
    before = shelf.bundle("A.1", old, settings={"BootMode": "Uefi"} if has_settings else None)
    after = shelf.bundle("A.2", new, settings={"BootMode": "Bios"} if has_settings else None)
    earlier = shelf.bundle("A.0", {BIOS: "0.9.0", NIC: "20.0"})
    for bundle in (earlier, before):
        rig.clock.run(rig.assign(bundle))
    for number, fault in trouble.faults:
        rig.rack.machine(names[number]).inject(fault)
    state = rig.run_with_kills(after, away=trouble.away)
    assert_settled(rig, state)
    return Run(rig, wires, results(state))


def lost_steps(rig: Rig, node: NodeName) -> int:
    """Count the writes whose answer never came, or that a kill cut off."""
    events = story(rig, node)
    told = {(e.attempt, e.number) for e in events if isinstance(e, Acted) and not isinstance(e.receipt, Ambiguous)}
    return sum(
        isinstance(e, Intended) and isinstance(e.step, WriteImage) and (e.attempt, e.number) not in told for e in events
    )


@SOME
@given(trouble=troubles())
def test_the_rack_converges_though_the_wire_fails(folder: Path, trouble: Trouble) -> None:
    """Whatever is dropped, a node ends on the new or the prior bundle; one that lost no write, on the new."""
    over = run(folder, trouble)

    for node, wire in over.wires.items():
        if over.results[node] is NodeResult.NOT_STARTED:
            continue
        if lost_steps(over.rig, node) == 0:
            assert NodeResult.ON_NEW == over.results[node], (node, wire.struck)
        if over.results[node] is NodeResult.QUARANTINED:
            assert_rule_demands_it(over.rig, node)


def assert_rule_demands_it(rig: Rig, node: NodeName) -> None:
    """A node is quarantined only where the definition of a double flash, or the policy's end, leaves nothing else."""
    evidence = " ".join(history(rig, node).quarantined or ())
    demanding = ("the BMC had the whole image, no task tells",)

    assert any(words in evidence for words in demanding), evidence


targets = st.sampled_from([BIOS, BMC, NIC, "*"])
faults = st.one_of(
    st.builds(FlashFails, component=targets, leaves=st.sampled_from(Leaves)),
    st.builds(TaskVanishes, component=targets, applied=st.booleans()),
    st.builds(CompletedUnapplied, component=targets),
    st.builds(InventoryLags, seconds=st.sampled_from([30.0, 120.0])),
    st.builds(HostDead, at=st.sampled_from(Moment), revived_by=st.sampled_from(RevivedBy), power_off=st.booleans()),
)


@SOME
@given(trouble=troubles(faults=faults, kills=5))
def test_nothing_is_flashed_twice(folder: Path, trouble: Trouble) -> None:
    """No mix of faults, lost messages and kills makes a double flash, and every node comes to rest as journalled."""
    run(folder, trouble)


@SOME
@given(trouble=troubles(kills=6))
def test_kills_and_lost_messages_quarantine_only_where_the_rule_demands_it(folder: Path, trouble: Trouble) -> None:
    """Without a fault of the machine, a person is called only for what nobody can know from here."""
    over = run(folder, trouble)

    for node in quarantined(over.rig):
        assert_rule_demands_it(over.rig, node)
