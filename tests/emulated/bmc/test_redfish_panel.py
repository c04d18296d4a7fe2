"""A machine's panel over Redfish against the emulated BMCs of the lab, of every make, over HTTPS."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from rackwave.bmc.redfish.bmc import RedfishBmc
from rackwave.bmc.redfish.media import MediaKind
from rackwave.bmc.redfish.trust import CaTrust
from rackwave.core.boot import BootMode, BootOverride, Lasting
from rackwave.core.identity import NodeName
from rackwave.core.log import LogNews, Severity
from rackwave.core.observation import Look, Power, Unknown
from rackwave.core.power import PowerAct
from rackwave.core.receipt import Accepted
from rackwave.core.sensor import SensorKind
from rackwave.ports import Credentials
from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.faults import parse_fault
from rackwave_emulators.lab import Lab
from rackwave_emulators.personality import personalities
from rackwave_emulators.redfish.station import Station

MAKES = sorted(personalities())
UNCORRECTABLE = struct.pack("<HBIHBBBB3s", 0, 2, 0, 0x20, 4, 0x0C, 0x20, 0x6F, b"\x01\xff\xff")
"""A SEL record of memory that met an error which cannot be corrected (IPMI 2.0, table 42-3)."""


@frozen
class Bench:
    """One emulated node and a client for it."""

    station: Station
    bmc: RedfishBmc
    clock: VirtualClock

    @property
    def requests(self) -> int:
        """How many requests the BMC saw."""
        return self.station.counters.requests

    async def log(self, *args: Any, **options: Any) -> LogNews:
        """Read the log, which must be readable."""
        found = await self.bmc.panel.log(*args, **{"limit": 50, **options})
        assert isinstance(found, LogNews), found
        return found


def on_bench(tmp_path: Path, program: Callable[[Bench], Awaitable[None]], **lab: Any) -> None:
    """Run *program* against one emulated node."""

    async def run() -> None:
        clock = VirtualClock()
        async with Lab(1, clock=clock, directory=tmp_path / "lab", **lab) as rack:
            bmc = RedfishBmc(
                NodeName("r1n01"),
                rack.urls["r1n01"],
                lambda: Credentials("admin", "password"),
                clock=clock,
                trust=CaTrust(rack.ca),
            )
            try:
                await program(Bench(rack["r1n01"], bmc, clock))
            finally:
                await bmc.close()
            assert 0 == rack.truth()["nodes"]["r1n01"]["sessions_open"]

    asyncio.run(run())


@pytest.mark.parametrize("make", MAKES)
def test_the_log_of_every_make(tmp_path, make):
    """What befalls a machine is news since a mark, where and in whichever order its make keeps it, in one request."""

    async def program(bench: Bench) -> None:
        before = await bench.log(None)
        await bench.bmc.panel.power(PowerAct.FORCE_OFF)
        bench.clock.advance(60)
        await bench.bmc.panel.power(PowerAct.ON)
        bench.clock.advance(600)
        bench.station.witness.log.add(UNCORRECTABLE, at=bench.station.witness.catch_up())
        requests = bench.requests
        after = await bench.log(before.mark)
        cost = bench.requests - requests
        nothing = await bench.log(after.mark)

        assert 1 == cost
        assert 3 <= len(after.entries)
        assert [Severity.CRITICAL] == [e.severity for e in after.entries if e.severity is not Severity.OK]
        assert "Memory" in after.entries[-1].message
        assert () == nothing.entries
        assert not nothing.cleared

    on_bench(tmp_path, program, personality=make)


def test_a_log_that_is_cleared(tmp_path):
    """A log that somebody cleared says so; what came since the clearing is told, and an old entry is not."""

    async def program(bench: Bench) -> None:
        for _ in range(3):
            bench.station.witness.log.add(UNCORRECTABLE, at=bench.station.witness.catch_up())
        before = await bench.log(None)
        bench.clock.advance(60)
        bench.station.clear_log()
        empty = await bench.log(before.mark)
        bench.station.witness.log.add(UNCORRECTABLE, at=bench.station.witness.catch_up())
        after = await bench.log(before.mark)

        assert (True, 0) == (empty.cleared, len(empty.entries))
        assert (True, 1) == (after.cleared, len(after.entries))

    on_bench(tmp_path, program)


def test_a_clock_that_is_years_off(tmp_path):
    """A BMC whose clock stands in another year (P33) tells the news all the same."""

    async def program(bench: Bench) -> None:
        bench.station.arm(parse_fault({"fault": "clock-off", "seconds": -10 * 365 * 86400}))
        bench.station.witness.log.add(UNCORRECTABLE, at=bench.station.witness.catch_up())
        before = await bench.log(None)
        bench.station.witness.log.add(UNCORRECTABLE, at=bench.station.witness.catch_up())

        assert 1 == len((await bench.log(before.mark)).entries)

    on_bench(tmp_path, program)


@pytest.mark.parametrize("make", MAKES)
def test_the_sensors_of_every_make(tmp_path, make):
    """Temperatures, fans and watts are read in few requests; a host that is off has some without a reading."""

    async def program(bench: Bench) -> None:
        requests = bench.requests
        on = await bench.bmc.panel.sensors()
        cost = bench.requests - requests
        await bench.bmc.panel.power(PowerAct.FORCE_OFF)
        bench.clock.advance(60)
        off = await bench.bmc.panel.sensors()

        assert not isinstance(on, Unknown)
        assert not isinstance(off, Unknown)
        assert {SensorKind.TEMPERATURE, SensorKind.FAN, SensorKind.POWER} == {each.kind for each in on.sensors}
        assert not any(isinstance(each.reading, Unknown) for each in on.sensors)
        assert {"CPU Temp", "Fan 1", "Power Input"} == {
            each.name for each in off.sensors if isinstance(each.reading, Unknown)
        }
        assert cost <= 8  # root, session, systems, system, chassis, Thermal, Power

    on_bench(tmp_path, program, personality=make)


@pytest.mark.parametrize("make", MAKES)
def test_a_boot_override_of_every_make(tmp_path, make):
    """An override for one boot holds until the host has booted; a continuous one until it is cleared."""

    async def program(bench: Bench) -> None:
        panel = bench.bmc.panel

        async def override() -> BootOverride:
            found = await panel.boot_setting()
            assert not isinstance(found, Unknown)
            assert isinstance(found.override, BootOverride)
            return found.override

        async def reboot() -> None:
            assert isinstance(await panel.power(PowerAct.FORCE_RESTART), Accepted)
            bench.clock.advance(600)

        assert Lasting.NEVER is (await override()).lasting
        assert isinstance(await panel.set_boot(BootOverride("pxe")), Accepted)
        assert BootOverride("Pxe", Lasting.ONCE, BootMode.UEFI) == await override()
        await reboot()
        assert Lasting.NEVER is (await override()).lasting
        assert isinstance(await panel.set_boot(BootOverride("Cd", Lasting.ALWAYS, BootMode.LEGACY)), Accepted)
        await reboot()
        assert BootOverride("Cd", Lasting.ALWAYS, BootMode.LEGACY) == await override()
        assert isinstance(await panel.set_boot(BootOverride("None", Lasting.NEVER)), Accepted)
        assert Lasting.NEVER is (await override()).lasting

    on_bench(tmp_path, program, personality=make)


def test_secure_boot(tmp_path):
    """Secure boot is switched for the next boot, is active after it, and not while there are no keys."""

    async def program(bench: Bench) -> None:
        panel = bench.bmc.panel

        async def now() -> tuple[object, object, object]:
            found = await panel.secure_boot()
            assert not isinstance(found, Unknown)
            return found.enabled, found.active, found.mode

        async def reboot() -> None:
            await panel.power(PowerAct.FORCE_RESTART)
            bench.clock.advance(600)

        assert (False, False, "UserMode") == await now()
        assert isinstance(await panel.set_secure_boot(enabled=True), Accepted)
        assert (True, False, "UserMode") == await now()
        await reboot()
        assert (True, True, "UserMode") == await now()
        assert isinstance(await panel.reset_secure_boot_keys("DeleteAllKeys"), Accepted)
        await reboot()
        assert (True, False, "SetupMode") == await now()

    on_bench(tmp_path, program)


def test_light_and_media(tmp_path):
    """The light goes on and off; a medium that cannot be fetched is refused and leaves its slot free."""

    async def program(bench: Bench) -> None:
        panel = bench.bmc.panel
        on = await panel.set_indicator(on=True)
        lit = await panel.indicator()
        off = await panel.set_indicator(on=False)
        dark = await panel.indicator()
        slot = await bench.bmc.media.free_slot(MediaKind.USB)
        assert slot is not None
        inserted = await bench.bmc.media.insert(slot, "http://127.0.0.1:9/none.img")

        assert isinstance(on, Accepted)
        assert isinstance(off, Accepted)
        assert (True, False) == (lit, dark)
        assert not isinstance(inserted, Accepted)
        assert await bench.bmc.media.free_slot(MediaKind.USB) == slot

    on_bench(tmp_path, program)


@pytest.mark.parametrize("make", MAKES)
def test_power_of_every_make(tmp_path, make):
    """Every act that a make lists is taken and does what it says; what it does not list is not sent."""

    async def program(bench: Bench) -> None:
        panel = bench.bmc.panel
        can = await panel.power_acts()
        assert isinstance(can, frozenset)
        assert {PowerAct.ON, PowerAct.FORCE_OFF} <= can
        for act in (PowerAct.FORCE_OFF, PowerAct.ON, *sorted(can - {PowerAct.ON, PowerAct.NMI, PowerAct.BUTTON})):
            if act is not PowerAct.ON:
                await panel.power(PowerAct.ON)
                bench.clock.advance(600)
            receipt = await panel.power(act)
            bench.clock.advance(600)
            seen = await bench.bmc.observe(Look())

            assert isinstance(receipt, Accepted), act
            assert (Power.OFF if act in (PowerAct.FORCE_OFF, PowerAct.SHUTDOWN) else Power.ON) is seen.power, act

    on_bench(tmp_path, program, personality=make)
