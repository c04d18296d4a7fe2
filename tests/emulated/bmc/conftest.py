"""What the tests of the IPMI adapter share: one emulated node, its clock, and a count of sessions afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest
from attrs import frozen

from rackwave.bmc.ipmi.bmc import IpmiBmc
from rackwave.bmc.ipmi.endpoint import Endpoint
from rackwave.bmc.ipmi.threads import Threads
from rackwave.core.identity import ComponentName, NodeName
from rackwave.ports import Credentials, Image
from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.faults import parse_fault
from rackwave_emulators.images import make_image
from rackwave_emulators.ipmi.hpm_image import wrap_hpm
from rackwave_emulators.lab import Lab

T = TypeVar("T")


@frozen
class Hurried:
    """The lab's clock for a client that sleeps alone: its sleep moves the clock."""

    clock: VirtualClock

    def now(self) -> float:
        return self.clock.now()

    def monotonic(self) -> float:
        return self.clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await asyncio.sleep(0)


@frozen
class IpmiBench:
    """One emulated node and a client for its IPMI."""

    lab: Lab
    bmc: IpmiBmc
    clock: VirtualClock
    directory: Path
    make: Callable[..., IpmiBmc]

    def truth(self) -> Any:
        return self.lab.truth()["nodes"]["r1n01"]

    def fault(self, **fault: Any) -> None:
        self.lab["r1n01"].arm(parse_fault(fault))

    def image(self, component: str = "BIOS", version: str = "2.0.0", *, size: int = 9000, hpm: bool = False) -> Image:
        path = self.directory / f"{component}-{version}.img"
        facts = make_image(path, component=component, version=version, size=size)
        if hpm:
            number = ("BIOS", "BMC", "NIC").index(component)
            path.write_bytes(wrap_hpm(path.read_bytes(), component=number, version=version))
        return Image(ComponentName(component), version, facts.digest, path.stat().st_size, path, path.name)


class Play(Protocol):
    """Play a scenario on a bench; every session that it opened is closed afterwards."""

    def __call__(self, scenario: Callable[[IpmiBench], Awaitable[T]], **options: Any) -> T: ...


@pytest.fixture
def on_ipmi(tmp_path: Path) -> Play:
    """Play a scenario against the IPMI of one emulated node whose clock only the scenario moves."""

    def run(scenario: Callable[[IpmiBench], Awaitable[T]], **options: Any) -> T:
        async def main() -> T:
            clock, threads = VirtualClock(), Threads(2)
            lab_options = {name: options.pop(name) for name in ("personality", "account") if name in options}
            async with Lab(1, clock=clock, directory=tmp_path / "lab", **lab_options) as lab:
                station = lab["r1n01"]
                assert station.ipmi is not None
                endpoint = Endpoint.parse(station.ipmi.endpoint)

                def make(password: str = "password", **more: Any) -> IpmiBmc:  # noqa: S107 - the lab's
                    return IpmiBmc(
                        NodeName("r1n01"),
                        more.pop("endpoint", endpoint),
                        lambda: Credentials("admin", password),
                        clock=Hurried(clock),
                        threads=threads,
                        **{**options, **more},
                    )

                bmc = make()
                try:
                    told = await scenario(IpmiBench(lab, bmc, clock, tmp_path, make))
                finally:
                    await bmc.close()
                    threads.close()

                assert 0 == lab.truth()["nodes"]["r1n01"]["ipmi"]["sessions_open"]
                return told

        return asyncio.run(main())

    return run
