"""What is seen of a node over IPMI, against the emulated BMC of the lab: start, health, identity, log, sensors."""

from __future__ import annotations

from typing import Any

import pytest

from rackwave.core.identity import ComponentName
from rackwave.core.log import LogMark, Severity
from rackwave.core.observation import NOT_ASKED, Component, Health, Identity, Look, Post, Power, Unknown
from rackwave.core.power import PowerAct
from rackwave.core.sensor import SensorKind
from rackwave.ports import ResetKind

BIOS, BMC = ComponentName("BIOS"), ComponentName("BMC")
WIDE = Look(bmc=True, components=frozenset({BIOS, BMC}), settings=True, tasks=True)


def test_a_wide_look(on_ipmi: Any) -> None:
    """One look has power, health, identity, components and tasks; what IPMI cannot tell is Unknown."""

    async def scenario(bench: Any) -> None:
        seen = await bench.bmc.observe(WIDE)

        assert (Power.ON, Health.OK, ()) == (seen.power, seen.health, seen.tasks)
        assert Identity("Rackwave", "Plain 1", bench.truth()["serial"]) == seen.identity
        assert {BIOS: Component(BIOS, "1.0.0", None), BMC: Component(BMC, "1.0.0", None)} == dict(seen.components)
        # Nothing was witnessed yet: that POST is complete would be a guess.
        for value in (seen.post, seen.os, seen.boot, seen.bmc_boot, seen.settings, seen.staged_settings):
            assert isinstance(value, Unknown)
            assert value is not NOT_ASKED

    on_ipmi(scenario)


def test_what_is_not_asked_is_not_read(on_ipmi: Any) -> None:
    """A look at one task costs one command beside the login."""

    async def scenario(bench: Any) -> None:
        await bench.bmc.observe(Look())
        before = bench.truth()["ipmi"]["requests"]
        seen = await bench.bmc.observe(Look(system=False, task="hpm1"))

        assert 1 == bench.truth()["ipmi"]["requests"] - before
        assert NOT_ASKED is seen.power

    on_ipmi(scenario)


def test_a_quiet_node_costs_little(on_ipmi: Any) -> None:
    """While nothing happens, a look does not sweep the sensors again until their word is half a minute old."""

    async def scenario(bench: Any) -> None:
        await bench.bmc.observe(Look())
        costs = []
        for seconds in (1, 1, 31):
            bench.clock.advance(seconds)
            before = bench.truth()["ipmi"]["requests"]
            await bench.bmc.observe(Look())
            costs.append(bench.truth()["ipmi"]["requests"] - before)

        assert costs[:2] == [4, 4]  # chassis, log, sensor repository, firmware progress
        assert costs[2] > 10

    on_ipmi(scenario)


def test_a_restart_is_seen(on_ipmi: Any) -> None:
    """A restart has a marker of its own, POST runs and completes, and the operating system was started."""

    async def scenario(bench: Any) -> None:
        bmc = bench.bmc
        await bmc.observe(Look())
        await bmc.reset_host(ResetKind.FORCE_RESTART)
        bench.clock.advance(20)
        during = await bmc.observe(Look())
        bench.clock.advance(60)
        after = await bmc.observe(Look())
        await bmc.reset_host(ResetKind.FORCE_RESTART)
        bench.clock.advance(80)
        again = await bmc.observe(Look())

        assert (Post.RUNNING, False) == (during.post, during.os)
        assert (Post.COMPLETE, True) == (after.post, after.os)
        assert during.boot == after.boot != again.boot
        assert {str} == {type(each.boot) for each in (during, after, again)}

    on_ipmi(scenario)


def test_another_process_sees_it_too(on_ipmi: Any) -> None:
    """The event log is the witness: who comes later knows that POST is complete, and has the same marker."""

    async def scenario(bench: Any) -> None:
        await bench.bmc.reset_host(ResetKind.FORCE_RESTART)
        bench.clock.advance(100)
        first = await bench.bmc.observe(Look())
        other = bench.make()
        second = await other.observe(Look())
        await other.close()

        assert (Post.COMPLETE, True) == (second.post, second.os)
        assert first.boot == second.boot

    on_ipmi(scenario)


def test_a_host_that_does_not_boot_is_seen(on_ipmi: Any) -> None:
    """A version that does not even POST shows as a failed POST, as the lab's truth has it."""

    async def scenario(bench: Any) -> None:
        bench.fault(fault="bad-health", boots=False)
        await bench.bmc.reset_host(ResetKind.FORCE_RESTART)
        bench.clock.advance(200)
        seen = await bench.bmc.observe(Look())

        assert (Post.FAILED, False, Health.CRITICAL) == (seen.post, seen.os, seen.health)
        assert "failed" == bench.truth()["post"]

    on_ipmi(scenario)


def test_a_host_that_dies_is_critical(on_ipmi: Any) -> None:
    """A host that stops in mid-run is critical, and its operating system is not running."""

    async def scenario(bench: Any) -> None:
        await bench.bmc.observe(Look())
        bench.fault(fault="host-dead")
        bench.clock.advance(5)
        seen = await bench.bmc.observe(Look())

        assert (False, Health.CRITICAL) == (seen.os, seen.health)

    on_ipmi(scenario)


@pytest.mark.parametrize("level", ["warning", "critical"])
def test_health_is_what_the_sensors_say(on_ipmi: Any, level: str) -> None:
    """A machine that is not well has a sensor that says so."""

    async def scenario(bench: Any) -> None:
        bench.fault(fault="bad-health", level=level)

        assert Health(level) is (await bench.bmc.observe(Look())).health

    on_ipmi(scenario)


def test_power_off_is_no_post(on_ipmi: Any) -> None:
    """Off is seen as off: no POST, no operating system."""

    async def scenario(bench: Any) -> None:
        await bench.bmc.power(PowerAct.FORCE_OFF)
        bench.clock.advance(30)
        seen = await bench.bmc.observe(Look())

        assert (Power.OFF, Post.NOT_RUNNING, False) == (seen.power, seen.post, seen.os)

    on_ipmi(scenario)


async def clear_log(bmc: Any) -> None:
    """Clear the event log, as a person at a shell would."""
    from rackwave.bmc.ipmi.sel import RESERVE
    from rackwave.bmc.ipmi.session import Command

    reservation = await bmc.session.ask(RESERVE)
    assert 0 == await bmc.session.act(Command(0x0A, 0x47, "Clear SEL"), reservation[:2] + b"CLR\xaa")


def test_a_cleared_log_takes_its_marker_with_it(on_ipmi: Any) -> None:
    """After the log was cleared the marker is Unknown: nothing shows whether the host restarted meanwhile."""

    async def scenario(bench: Any) -> None:
        await bench.bmc.reset_host(ResetKind.FORCE_RESTART)
        bench.clock.advance(100)
        before = await bench.bmc.observe(Look())
        await clear_log(bench.bmc)
        after = await bench.bmc.observe(Look())

        assert isinstance(before.boot, str)
        assert isinstance(after.boot, Unknown)

    on_ipmi(scenario)


def test_the_log_since_a_mark(on_ipmi: Any) -> None:
    """What was entered since a mark is told once, in order; with the BMC's clock years off, too (P33)."""

    async def scenario(bench: Any) -> None:
        bmc = bench.bmc
        empty = await bmc.log(None, limit=50)
        await bmc.reset_host(ResetKind.FORCE_OFF)
        bench.clock.advance(10)
        off = await bmc.log(empty.mark, limit=50)
        bench.fault(fault="P33")
        await bmc.reset_host(ResetKind.ON)
        bench.clock.advance(100)
        on = await bmc.log(off.mark, limit=50)
        nothing = await bmc.log(on.mark, limit=50)

        assert () == empty.entries
        assert ["09.6F.0"] == [entry.code for entry in off.entries]
        assert ["09.6F.0", "1D.6F.0", "0F.6F.2"] == [entry.code for entry in on.entries]
        assert "power unit 01h: power off, over" == on.entries[0].message
        assert ((), False) == (nothing.entries, nothing.cleared)
        assert nothing.mark == on.mark == LogMark.parse(str(on.mark))

    on_ipmi(scenario)


def test_a_cleared_log_is_said(on_ipmi: Any) -> None:
    """Where the marked entry is gone, what is dated after it is news, and that the log was cleared is told."""

    async def scenario(bench: Any) -> None:
        bmc = bench.bmc
        await bmc.reset_host(ResetKind.FORCE_OFF)
        bench.clock.advance(10)
        mark = (await bmc.log(None, limit=50)).mark
        await clear_log(bmc)
        await bmc.reset_host(ResetKind.ON)
        bench.clock.advance(100)
        news = await bmc.log(mark, limit=50)

        assert news.cleared
        assert ["09.6F.0", "1D.6F.0", "0F.6F.2"] == [entry.code for entry in news.entries]

    on_ipmi(scenario)


def test_a_long_log_is_read_from_its_end(on_ipmi: Any) -> None:
    """A first look at a log of hundreds reads the newest entries; a bounded reading says that there is more."""

    async def scenario(bench: Any) -> None:
        bmc = bench.bmc
        first = None
        for _ in range(60):
            await bmc.reset_host(ResetKind.FORCE_RESTART)
            bench.clock.advance(100)
            first = first or (await bmc.log(None, limit=1)).mark
        newest = await bmc.log(None, limit=10)
        bounded = await bmc.log(first, limit=20)
        before = bench.truth()["ipmi"]["requests"]
        other = bench.make()
        await other.observe(Look())
        await other.close()
        cost = bench.truth()["ipmi"]["requests"] - before

        assert 10 == len(newest.entries)
        assert bounded.more
        assert 20 == len(bounded.entries)
        assert cost < 250

    on_ipmi(scenario)


def test_a_bad_event_is_severe(on_ipmi: Any) -> None:
    """A critical stop in the log is critical; a start is not."""

    async def scenario(bench: Any) -> None:
        await bench.bmc.observe(Look())
        bench.fault(fault="host-dead")
        bench.clock.advance(5)
        news = await bench.bmc.log(None, limit=50)

        assert Severity.CRITICAL in {entry.severity for entry in news.entries}

    on_ipmi(scenario)


def test_sensors_read(on_ipmi: Any) -> None:
    """Sensors have names, units and thresholds; that of a part without power has no reading."""

    async def scenario(bench: Any) -> None:
        on = {sensor.name: sensor for sensor in (await bench.bmc.sensors()).sensors}
        await bench.bmc.power(PowerAct.FORCE_OFF)
        bench.clock.advance(30)
        off = {sensor.name: sensor for sensor in (await bench.bmc.sensors()).sensors}

        assert {"Inlet Temp", "CPU Temp", "Fan 1", "Power Input"} == set(on)
        inlet, fan, watts = on["Inlet Temp"], on["Fan 1"], on["Power Input"]
        assert (SensorKind.TEMPERATURE, "Cel", 45.0) == (inlet.kind, inlet.unit, inlet.high)
        assert 22 <= inlet.reading <= 27
        assert (SensorKind.FAN, "RPM", SensorKind.POWER, "W") == (fan.kind, fan.unit, watts.kind, watts.unit)
        assert fan.reading % 60 == 0
        assert isinstance(off["CPU Temp"].reading, Unknown)
        assert isinstance(off["Inlet Temp"].reading, float)

    on_ipmi(scenario)


def test_the_sensor_repository_is_read_once(on_ipmi: Any) -> None:
    """The second reading asks whether the repository has changed, and then the sensors alone."""

    async def scenario(bench: Any) -> None:
        await bench.bmc.sensors()
        before = bench.truth()["ipmi"]["requests"]
        await bench.bmc.sensors()

        assert 5 == bench.truth()["ipmi"]["requests"] - before

    on_ipmi(scenario)
