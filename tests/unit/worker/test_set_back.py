"""One component rolled back on a simulated rack: the rest stays, and nothing that comes later undoes it unasked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from rackwave.core.event import Bound
from rackwave.core.identity import BundleId, ComponentName, Lineage, NodeName
from rackwave.core.recovery import CONVERGE
from rackwave.core.set_back import WhyNot, bring_forward, set_back
from rackwave_emulators.faults import HostDead, RevivedBy
from rackwave_emulators.sim import Killed
from rig import BIOS, NIC, Reaper, Rig, Shelf, nodes
from truths import assert_never_twice, attempts, writes

LINEAGE = Lineage("A")


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """Two nodes that went from A.1 to A.2."""
    rig = Rig(Shelf(tmp_path), nodes(2))
    a1 = rig.shelf.bundle("A.1", {BIOS: "1.0.0", NIC: "20.1"})
    a2 = rig.shelf.bundle("A.2", {BIOS: "2.0.0", NIC: "21.0"})
    rig.clock.run(rig.assign(a1))
    rig.run(a2)
    return rig


def setting_back(rig: Rig, component: ComponentName = BIOS) -> dict[NodeName, Bound]:
    """What sets a component of every node back."""
    found = {
        node: set_back(
            rig.logbook().node(node), LINEAGE, component, load=rig.shelf.bundles.__getitem__, reason="hangs", by="ann"
        )
        for node in rig.nodes
    }
    return {node: each for node, each in found.items() if not isinstance(each, WhyNot)}


async def converge(rig: Rig, bindings: Mapping[NodeName, Bound]) -> None:
    """Put every node on the ladder that writes what differs."""
    await rig.orchestrator().run_recovery(
        rig.nodes, LINEAGE, rig.policy, ladder=CONVERGE, failed=False, evidence=("asked",), by="ann", bindings=bindings
    )


def installed(rig: Rig) -> list[tuple[str, str]]:
    """The BIOS and NIC that each machine really has."""
    truths = [rig.rack.machine(node).truth()["installed"] for node in rig.nodes]
    return [(each["BIOS"]["version"], each["NIC"]["version"]) for each in truths]  # type: ignore[index]


def test_only_that_component_is_written_and_the_assignment_stays(rig: Rig) -> None:
    """The BIOS is A.1's again, the NIC is not touched, and A.2 stays what is assigned."""
    before = [len(writes(rig, node)) for node in rig.nodes]
    rig.clock.run(converge(rig, setting_back(rig)))

    assert [("1.0.0", "21.0")] * 2 == installed(rig)
    assert [1, 1] == [len(writes(rig, node)) - count for node, count in zip(rig.nodes, before, strict=True)]
    assert ["A.2", "A.2"] == [rig.assigned(node) for node in rig.nodes]
    assert_never_twice(rig)


def test_a_dead_host_is_mended_by_the_component_that_killed_it(rig: Rig) -> None:
    """It is written to though it is dead, as in every recovery, and restarted after."""
    rig.rack.machine(rig.nodes[0]).inject(HostDead(revived_by=RevivedBy.PRIOR))
    rig.clock.run(converge(rig, setting_back(rig)))

    assert [("1.0.0", "21.0")] * 2 == installed(rig)
    assert "complete" == rig.rack.machine(rig.nodes[0]).truth()["post"]


def test_neither_another_rollout_of_the_bundle_nor_a_resend_undoes_it(rig: Rig) -> None:
    """Rolled out again and recovered on what is assigned, the nodes keep the component as it was set back."""
    rig.clock.run(converge(rig, setting_back(rig)))
    rig.run(rig.shelf.bundles[BundleId.parse("A.2")], "again")
    rig.rack.machine(rig.nodes[0]).inject(HostDead(revived_by=RevivedBy.REFLASH))
    rig.clock.run(
        rig.orchestrator().run_recovery(
            rig.nodes[:1],
            LINEAGE,
            rig.policy,
            ladder="resend-then-prior",
            failed=False,
            evidence=("dead",),
            by="ann",
        )
    )

    assert ("resend", "A.2") in attempts(rig, rig.nodes[0])
    assert [("1.0.0", "21.0")] * 2 == installed(rig)


def test_bringing_it_forward_writes_what_the_assigned_bundle_has(rig: Rig) -> None:
    """And nothing else."""
    rig.clock.run(converge(rig, setting_back(rig)))
    found = {node: bring_forward(rig.logbook().node(node), LINEAGE, BIOS) for node in rig.nodes}
    rig.clock.run(converge(rig, {node: each for node, each in found.items() if isinstance(each, Bound)}))

    assert [("2.0.0", "21.0")] * 2 == installed(rig)
    assert ((), ()) == tuple(rig.logbook().node(node).set_back for node in rig.nodes)


def test_a_roll_back_of_the_whole_takes_the_rest(rig: Rig) -> None:
    """After the BIOS alone, the prior bundle brings the NIC back too."""
    rig.clock.run(converge(rig, setting_back(rig)))
    rig.clock.run(
        rig.orchestrator().run_recovery(
            rig.nodes, LINEAGE, rig.policy, ladder="rollback", failed=True, evidence=("asked",), by="ann"
        )
    )

    assert [("1.0.0", "20.1")] * 2 == installed(rig)
    assert ["A.1", "A.1"] == [rig.assigned(node) for node in rig.nodes]


@pytest.mark.parametrize("kill_at", range(0, 60, 7))
def test_killed_anywhere_it_is_finished_by_whoever_comes_next(rig: Rig, kill_at: int) -> None:
    """The exception and the request for it are written at once: there is never one without the other."""
    bindings = setting_back(rig)
    rig.reaper = Reaper({kill_at})
    try:
        rig.clock.run(converge(rig, bindings))
    except* Killed:
        rig.reaper.revive()
    rig.clock.run(converge(rig, bindings))

    assert [("1.0.0", "21.0")] * 2 == installed(rig)
    assert_never_twice(rig)
