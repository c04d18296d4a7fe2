"""A rollout over IPMI alone: the worker's own turns, HPM.1 and the event log, against the emulated BMC."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

from rackwave.bmc.ipmi.bmc import IpmiBmc
from rackwave.bmc.ipmi.endpoint import Endpoint
from rackwave.bmc.ipmi.threads import Threads
from rackwave.core.bundle import Bundle
from rackwave.core.event import NodeResult
from rackwave.core.identity import NodeName
from rackwave.core.policy import Policy
from rackwave.core.rollout import RolloutState
from rackwave.ports import Bmc, Credentials
from rackwave_emulators.clock import ScaledClock
from rackwave_emulators.faults import parse_fault
from rackwave_emulators.lab import Lab
from rackwave_emulators.personality import Timing
from rig import ACTIVATIONS, BIOS, BMC, Rig, Shelf

NODE = NodeName("r1n01")
QUICK = Timing(update=20, post=20, apply=2, bmc_reset=30, power=2, shutdown=2)


@define
class IpmiRig(Rig):
    """A rig whose one node is the lab's, reached over IPMI alone."""

    lab: Lab = field(kw_only=True)
    threads: Threads = field(factory=lambda: Threads(2), kw_only=True)
    _bmc: IpmiBmc | None = field(default=None, init=False)

    async def get(self, node: NodeName) -> Bmc:
        """Return the adapter of the node."""
        if self._bmc is None:
            face = self.lab[str(node)].ipmi
            assert face is not None
            self._bmc = IpmiBmc(
                node,
                Endpoint.parse(face.endpoint),
                lambda: Credentials("admin", "password"),
                clock=self.clock,
                threads=self.threads,
            )
        return self._bmc

    async def release(self, node: NodeName) -> None:
        """End its session."""
        if self._bmc is not None:
            await self._bmc.close()
            self._bmc = None


def rolled_out(tmp_path: Path, images: dict[Any, str], *faults: dict[str, Any]) -> tuple[RolloutState, Any]:
    """Roll a bundle out to a node that has restarted before; return how that went, and the lab's truth."""

    async def main() -> tuple[RolloutState, Any]:
        clock = ScaledClock(40.0)
        async with Lab(1, clock=clock, directory=tmp_path / "lab", timing=QUICK) as lab:
            lab["r1n01"].machine.reset_host("ForceRestart")
            await clock.sleep(60)
            for fault in faults:
                lab["r1n01"].arm(parse_fault(fault))
            shelf = Shelf(tmp_path, activations=ACTIVATIONS)
            bundle: Bundle = shelf.bundle("A.1", images)
            rig = IpmiRig(shelf, (NODE,), clock=clock, policy=Policy(poll=2.0, settle=30.0, steady=10.0), lab=lab)
            state = await rig.roll_out(bundle)
            await rig.release(NODE)
            rig.threads.close()
            truth = lab.truth()["nodes"]["r1n01"]
            assert 0 == truth["ipmi"]["sessions_open"]
            return state, truth

    return asyncio.run(main())


def installed(truth: Any) -> dict[str, str]:
    """Return what runs really."""
    return {name: truth["installed"][name]["version"] for name in ("BIOS", "BMC")}


@pytest.mark.parametrize("images", [{BIOS: "2.0.0"}, {BMC: "2.0.0"}, {BIOS: "2.1.0", BMC: "2.2.0"}])
def test_over_ipmi_alone(tmp_path: Path, images: dict[Any, str]) -> None:
    """BIOS and BMC are written over HPM.1, activated, restarted for and found level, each flashed once."""
    state, truth = rolled_out(tmp_path, images, {"fault": "redfish-dead"})

    assert NodeResult.ON_NEW is state.results[NODE].result
    assert {"BIOS": "1.0.0", "BMC": "1.0.0", **{str(name): told for name, told in images.items()}} == installed(truth)
    assert (len(images), 0) == (truth["flashes"], truth["double_flashes"])


@pytest.mark.parametrize(
    "fault",
    [
        {"fault": "ipmi-sessions-dropped", "at": "write"},
        {"fault": "ipmi-silent", "at": "write", "lasts": 60},
        {"fault": "bmc-flaps"},
        {"fault": "clock-off"},
    ],
    ids=lambda fault: fault["fault"],
)
def test_what_passes_is_survived(tmp_path: Path, fault: dict[str, Any]) -> None:
    """Sessions that are forgotten, silence for a minute, a BMC that flaps (P36) or whose clock is off (P33)."""
    state, truth = rolled_out(tmp_path, {BIOS: "2.1.0", BMC: "2.2.0"}, fault)

    assert NodeResult.ON_NEW is state.results[NODE].result
    assert {"BIOS": "2.1.0", "BMC": "2.2.0"} == installed(truth)
    assert (2, 0) == (truth["flashes"], truth["double_flashes"])


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"fault": "lockdown"}, "P38"),
        ({"fault": "bad-health", "version": "2.*", "boots": False}, "does not come through POST"),
        ({"fault": "completed-unapplied"}, "BIOS reads 1.0.0"),
        ({"fault": "licence-missing"}, "Initiate Upgrade Action was answered with CCh"),
        ({"fault": "factory-reset"}, "was refused"),
    ],
    ids=lambda value: value["fault"] if isinstance(value, dict) else None,
)
def test_what_fails_is_said(tmp_path: Path, fault: dict[str, Any], words: str) -> None:
    """What only a person mends ends in quarantine with its reason, and nothing is flashed twice."""
    state, truth = rolled_out(tmp_path, {BIOS: "2.1.0", BMC: "2.2.0"}, fault)

    assert NodeResult.QUARANTINED is state.results[NODE].result
    assert words in state.results[NODE].reason
    assert 0 == truth["double_flashes"]
