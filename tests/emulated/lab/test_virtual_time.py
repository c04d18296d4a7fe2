"""A lab and its client on one virtual clock, over real sockets."""

from __future__ import annotations

from pathlib import Path

from rackwave.bmc.redfish.bmc import RedfishBmc
from rackwave.bmc.redfish.transport import Timeouts
from rackwave.bmc.redfish.trust import CaTrust
from rackwave.core.identity import ComponentName, NodeName
from rackwave.core.observation import Look, TaskPhase, TaskSeen, Unknown
from rackwave.core.receipt import Accepted
from rackwave.ports import Credentials, Image
from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.faults import parse_fault
from rackwave_emulators.images import make_image
from rackwave_emulators.lab import Lab
from rackwave_emulators.personality import Timing

NODE = NodeName("r1n01")


async def _nothing() -> None:
    pass


def _client(lab: Lab, clock: VirtualClock, timeouts: Timeouts) -> RedfishBmc:
    return RedfishBmc(
        NODE,
        lab.urls[NODE],
        lambda: Credentials("admin", "password"),
        clock=clock,
        trust=CaTrust(lab.ca),
        timeouts=timeouts,
    )


def test_an_hour_of_flashing_over_sockets(tmp_path: Path) -> None:
    """A flash of 60 minutes is followed over HTTPS, a look every 10 s, and strikes no deadline of a request."""
    clock = VirtualClock()
    path = tmp_path / "attempt-a1-bios.img"
    facts = make_image(path, component="BIOS", version="2.0.0", size=1 << 16)
    image = Image(ComponentName("BIOS"), "2.0.0", facts.digest, path.stat().st_size, path, path.name)

    async def main() -> tuple[float, int]:
        async with Lab(1, clock=clock, directory=tmp_path / "lab", timing=Timing(update=3600)) as lab:
            # Deadlines that an hour, or the ten seconds between two looks, would have struck long ago.
            bmc = _client(lab, clock, Timeouts(connect=5, read=5, upload=5))
            receipt = await bmc.write(image, completing=_nothing)
            assert isinstance(receipt, Accepted)
            began, looks = clock.monotonic(), 0
            while True:
                seen = (await bmc.observe(Look(system=False, task=receipt.task))).task
                looks += 1
                assert isinstance(seen, TaskSeen), seen
                if seen.phase is not TaskPhase.RUNNING:
                    break
                await clock.sleep(10)
            await bmc.close()
            return clock.monotonic() - began, looks

    took, looks = clock.run(main())

    assert 3600 <= took <= 3620
    assert looks >= 360


def test_a_silent_bmc_costs_real_seconds_alone(tmp_path: Path) -> None:
    """A BMC that hangs is given up by the real deadline of the request, while no virtual time passes."""
    clock = VirtualClock()

    async def main() -> tuple[Unknown | object, float]:
        async with Lab(1, clock=clock, directory=tmp_path / "lab") as lab:
            lab[NODE].arm(parse_fault({"fault": "redfish-dead", "how": "hang"}))
            bmc = _client(lab, clock, Timeouts(connect=0.2, read=0.2, upload=0.2, retry=0.2, login=0.2))
            began = clock.monotonic()
            seen = await bmc.observe(Look())
            took = clock.monotonic() - began
            await bmc.close()
            return seen.power, took

    power, took = clock.run(main())

    assert isinstance(power, Unknown)
    assert took == 0.0
