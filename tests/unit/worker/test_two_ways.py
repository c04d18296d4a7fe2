"""Racks with two ways to each BMC, either of which may die: no act is sent twice, and restarts keep to their budget."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from attrs import frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rackwave.core.event import Acted, Intended
from rackwave.core.identity import NodeName
from rackwave.core.policy import Policy
from rackwave.core.receipt import Accepted, Ambiguous, Refused
from rackwave.core.step import Means, ResetBmc
from rackwave_emulators.faults import BmcFlaps, Fault, HostDead, IpmiSilent, Lockdown, Moment, RedfishDead, RevivedBy
from rackwave_emulators.sim import WireFate
from rig import BIOS, BMC, Reaper, Rig, Shelf, nodes
from truths import assert_settled, story

POLICY = Policy(poll=10.0, watch=30.0, canary=0, waves=1, failure_budget=3)
LOST = (WireFate.LOST_REQUEST, WireFate.LOST_ANSWER, WireFate.SILENT, WireFate.REFUSED)
VERSIONS = {BIOS: ("1.0.0", "2.0.0"), BMC: ("5.0", "6.0")}


class Listed:
    """A wire that strikes chosen requests of both nodes together."""

    def __init__(self, fates: Mapping[int, WireFate]) -> None:
        self._fates = fates
        self._count = 0

    def __call__(self, _: str) -> WireFate:
        self._count += 1
        return self._fates.get(self._count - 1, WireFate.OK)


@frozen
class Trouble:
    """What one generated run is up against."""

    components: tuple[str, ...]
    redfish: Mapping[int, WireFate]
    ipmi: Mapping[int, WireFate]
    faults: tuple[tuple[int, Fault], ...]
    outlet: bool
    kills: frozenset[int]
    away: float


lasting = st.sampled_from([None, 300.0, 5000.0])
moments = st.sampled_from([Moment.NOW, Moment.WRITE, Moment.WRITTEN, Moment.RESET])
faults = st.one_of(
    st.builds(RedfishDead, at=moments, lasts=lasting, until_restart=st.booleans()),
    st.builds(RedfishDead, at=moments, lasts=lasting, until_restart=st.booleans()),
    st.builds(IpmiSilent, at=moments, lasts=lasting, until_restart=st.booleans()),
    st.builds(Lockdown),
    st.builds(BmcFlaps, times=st.integers(1, 4)),
    st.builds(HostDead, at=moments, revived_by=st.sampled_from(RevivedBy)),
)
fates = st.dictionaries(st.integers(0, 60), st.sampled_from(LOST), max_size=5)
troubles = st.builds(
    Trouble,
    components=st.lists(st.sampled_from([BIOS, BMC]), min_size=1, max_size=2, unique=True).map(tuple),
    redfish=fates,
    ipmi=fates,
    faults=st.lists(st.tuples(st.integers(0, 1), faults), min_size=1, max_size=3).map(tuple),
    outlet=st.booleans(),
    kills=st.frozensets(st.integers(0, 150), max_size=3),
    away=st.sampled_from([0.0, 200.0, 7200.0]),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the images lie, made once for all runs."""
    return tmp_path_factory.mktemp("shelf")


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(trouble=troubles)
def test_no_act_is_sent_twice_and_restarts_keep_to_their_budget(folder: Path, trouble: Trouble) -> None:
    """Whatever dies, whoever is killed: nothing is flashed twice, and a BMC is restarted no more than is allowed."""
    names, shelf = nodes(2), Shelf(folder)
    rig = Rig(shelf, names, policy=POLICY, wire=Listed(trouble.redfish), reaper=Reaper(trouble.kills))
    rig.ipmi = Listed(trouble.ipmi)
    if trouble.outlet:
        rig.outlet = lambda node: rig.rack.machine(node).cut_ac()
    rig.clock.run(rig.assign(shelf.bundle("A.0", {BIOS: "0.9.0"})))
    rig.clock.run(rig.assign(shelf.bundle("A.1", {name: versions[0] for name, versions in VERSIONS.items()})))
    for number, fault in trouble.faults:
        rig.rack.machine(names[number]).inject(fault)
    state = rig.run_with_kills(
        shelf.bundle("A.2", {name: VERSIONS[name][1] for name in trouble.components}), away=trouble.away
    )

    assert_settled(rig, state)
    for node in names:
        assert_in_budget(rig, node)


def assert_in_budget(rig: Rig, node: NodeName) -> None:
    """At most so many revivals an attempt, each means once, and a BMC restarted for nothing that was not journalled."""
    sent: dict[tuple[str, int], ResetBmc] = {}
    for event in story(rig, node):
        match event:
            case Intended(attempt=attempt, number=number, step=ResetBmc() as step):
                sent[attempt, number] = step
            case Acted(attempt=attempt, number=number, receipt=Refused()):
                sent.pop((attempt, number), None)
            case _:
                pass
    revivals = [(attempt, step.means) for (attempt, _), step in sent.items() if step.revives]
    by_attempt = {attempt: [m for a, m in revivals if a == attempt] for attempt, _ in revivals}
    resets = rig.rack.machine(node).truth()["resets"]
    assert isinstance(resets, dict)

    assert all(len(set(used)) == len(used) <= POLICY.bmc_resets for used in by_attempt.values())
    assert len(revivals) <= POLICY.bmc_resets_a_day * (1 + rig.clock.monotonic() // 86_400)
    assert resets["bmc"] <= len(sent)


def test_an_act_tells_over_which_way_it_went(folder: Path) -> None:
    """Journal and history name IPMI where it was IPMI."""
    shelf = Shelf(folder)
    rig = Rig(shelf, nodes(1), policy=POLICY, ipmi=lambda _: WireFate.OK)
    rig.clock.run(rig.assign(shelf.bundle("A.1", {BIOS: "1.0.0"})))
    rig.rack.machine(rig.nodes[0]).inject(RedfishDead(at=Moment.WRITTEN, until_restart=True))
    rig.run(shelf.bundle("A.2", {BIOS: "2.0.0"}))
    ways = [e.receipt.way for e in story(rig, rig.nodes[0]) if isinstance(e, Acted) and isinstance(e.receipt, Accepted)]
    means = [e.step.means for e in story(rig, rig.nodes[0]) if isinstance(e, Intended) and isinstance(e.step, ResetBmc)]

    assert ["SimpleUpdate", "IPMI Cold Reset", "ComputerSystem.Reset"] == ways
    assert [Means.IPMI] == means
    assert not any(isinstance(e, Acted) and isinstance(e.receipt, Ambiguous) for e in story(rig, rig.nodes[0]))
