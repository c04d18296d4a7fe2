"""What the BMC tells and does over IPMI is what its machine is and does."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from rackwave.core.observation import Post
from rackwave_emulators.faults import ClockOff, HostDead, Lockdown, RevivedBy
from rackwave_emulators.host import HostReset, PowerState

CHASSIS, SENSOR, APP, STORAGE = 0x00, 0x04, 0x06, 0x0A


def power_bit(console: Any) -> int:
    """Ask whether the host is on."""
    code, data = console.ask(CHASSIS, 0x01)

    assert 0 == code
    return int(data[0] & 1)


def events(console: Any) -> list[tuple[int, int, bool, bytes]]:
    """Read the whole event log: sensor type, offset, whether asserted, the other two bytes of data."""
    found, number = [], 0
    while number != 0xFFFF:
        code, data = console.ask(STORAGE, 0x43, struct.pack("<HHBB", 0, number, 0, 0xFF))
        if code:
            break
        number = struct.unpack_from("<H", data)[0]
        record = data[2:]
        found.append((record[10], record[13] & 0x0F, not record[12] & 0x80, record[14:16]))
    return found


def test_power_is_the_machines(rig: Any) -> None:
    """Off, on, cycle and hard reset are what Redfish would see, and take the machine's time."""
    console = rig.console()
    console.ask(CHASSIS, 0x02, b"\x00")
    while_going_off = power_bit(console)
    rig.clock.advance(2)

    assert (1, 0, PowerState.OFF) == (while_going_off, power_bit(console), rig.machine.power)
    assert 0xD5 == console.ask(CHASSIS, 0x02, b"\x02")[0]
    assert 0xD5 == console.ask(CHASSIS, 0x02, b"\x03")[0]
    assert 0 == console.ask(CHASSIS, 0x02, b"\x01")[0]
    rig.clock.advance(62)
    assert (1, Post.COMPLETE) == (power_bit(rig.console()), rig.machine.post)


@pytest.mark.parametrize(("control", "boots"), [(2, 1), (3, 1), (5, 0)])
def test_controls_reset_the_host(rig: Any, control: int, boots: int) -> None:
    """Cycle and hard reset boot the host once; a soft shutdown lets it go off and stay off."""
    rig.console().ask(CHASSIS, 0x02, bytes([control]))
    rig.clock.advance(70)

    assert boots == rig.machine.truth()["resets"]["host"]
    assert bool(boots) == (rig.machine.power is PowerState.ON)


def test_a_power_change_takes_its_time(rig: Any) -> None:
    """While the power is changing another change is not for this state (P35)."""
    console = rig.console()
    console.ask(CHASSIS, 0x02, b"\x00")

    assert 0xD5 == console.ask(CHASSIS, 0x02, b"\x01")[0]
    assert 0xCC == console.ask(CHASSIS, 0x02, b"\x0f")[0]


def test_the_boot_device_is_redfishs_too(rig: Any) -> None:
    """A boot device that is set over IPMI shows in Redfish, holds for one boot, and the other way round."""
    console = rig.console()
    console.ask(CHASSIS, 0x08, bytes([5, 0x80, 0x04, 0, 0, 0]))

    assert "Pxe" == rig.station.boot()["BootSourceOverrideTarget"]
    assert bytes([1, 5, 0x80, 0x04, 0, 0, 0]) == console.ask(CHASSIS, 0x09, b"\x05\x00\x00")[1]
    rig.machine.reset_host(HostReset.FORCE_RESTART)
    assert bytes([1, 5, 0, 0, 0, 0, 0]) == console.ask(CHASSIS, 0x09, b"\x05\x00\x00")[1]
    console.ask(CHASSIS, 0x08, bytes([5, 0xC0, 0x08, 0, 0, 0]))
    rig.station.set_boot_device("Cd")
    assert bytes([1, 5, 0xC0, 0x14, 0, 0, 0]) == console.ask(CHASSIS, 0x09, b"\x05\x00\x00")[1]


def test_identify_ends_by_itself(rig: Any) -> None:
    """The identify light blinks for as long as was asked, in Redfish as well."""
    console = rig.console()
    console.ask(CHASSIS, 0x04, b"\x0a")
    blinking = rig.station.indicator()
    rig.clock.advance(11)
    rig.machine.advance()

    assert ("Blinking", "Off") == (blinking, rig.station.indicator())


def test_lockdown_says_yes_and_does_nothing(rig: Any) -> None:
    """P38: a cold reset under lockdown reports success, and the BMC never goes away."""
    rig.station.arm(Lockdown())
    console = rig.console()

    assert (0, b"") == console.ask(APP, 0x02)
    assert 0 == console.ask(APP, 0x01)[0]
    assert 0 == rig.machine.truth()["resets"]["bmc"]


def test_the_device_tells_the_bmcs_version(rig: Any) -> None:
    """Get Device ID has the version of the BMC component, its minor part in BCD, and says when it is being updated."""
    rig.machine.install("BMC", "3.17.9")
    console = rig.console()
    before = console.ask(APP, 0x01)[1]
    rig.machine.begin_update("BMC", "x", source="push")

    assert (0x03, 0x17, b"\x00\x09\x00\x00") == (before[2], before[3], before[11:15])
    assert 0x83 == console.ask(APP, 0x01)[1][2]


def test_power_off_and_on_are_events(rig: Any) -> None:
    """The event log tells that the host went off, came on and booted, up to the operating system."""
    rig.machine.reset_host(HostReset.FORCE_OFF)
    rig.clock.advance(10)
    rig.machine.advance()
    rig.machine.reset_host(HostReset.ON)
    rig.clock.advance(100)

    told = [event[:3] for event in events(rig.console())]
    assert [(0x09, 0, True), (0x09, 0, False), (0x1D, 0, True), (0x0F, 2, True)] == told


def test_a_cycle_is_an_event(rig: Any) -> None:
    """A power cycle is told as one, though the host is off for an instant only."""
    rig.machine.reset_host(HostReset.POWER_CYCLE)
    rig.clock.advance(100)

    assert [(0x09, 1, True), (0x1D, 0, True), (0x0F, 2, True)] == [event[:3] for event in events(rig.console())]


def test_a_dead_host_is_a_critical_stop(rig: Any) -> None:
    """A host that dies in mid-run leaves a critical stop and an expired watchdog, and then a failed POST."""
    rig.station.arm(HostDead(revived_by=RevivedBy.NEVER))
    rig.clock.advance(1)
    rig.machine.advance()
    rig.machine.reset_host(HostReset.FORCE_RESTART)
    rig.clock.advance(100)

    told = [event[:3] for event in events(rig.console())]
    assert [(0x20, 1, True), (0x23, 0, True), (0x1D, 1, True), (0x0F, 0, True)] == told


def test_events_are_dated_by_the_bmcs_clock(rig: Any) -> None:
    """P33: with its clock years off, the BMC dates its events by it and tells the wrong time."""
    rig.station.arm(ClockOff(seconds=-400_000_000.0))
    rig.machine.advance()
    rig.machine.reset_host(HostReset.FORCE_OFF)
    rig.clock.advance(5)
    console = rig.console()
    _, record = console.ask(STORAGE, 0x43, struct.pack("<HHBB", 0, 0, 0, 0xFF))
    _, now = console.ask(STORAGE, 0x48)

    assert int(rig.clock.now() - 400_000_000) == struct.unpack("<I", now)[0]
    assert int(rig.clock.now() - 400_000_000) - 3 == struct.unpack_from("<I", record, 5)[0]


def test_the_log_is_cleared_under_a_reservation(rig: Any) -> None:
    """Clearing needs the reservation of the moment; what a client adds is numbered and dated by the BMC."""
    console = rig.console()
    code, number = console.ask(STORAGE, 0x44, bytes(2) + b"\x02" + bytes(4) + b"\x20\x00\x04\x01\x10\x6f\x01\xff\xff")
    reservation = console.ask(STORAGE, 0x42)[1]

    assert (0, 1) == (code, struct.unpack("<H", number)[0])
    assert 0xC5 == console.ask(STORAGE, 0x47, b"\xee\xeeCLR\xaa")[0]
    assert (0, b"\x01") == console.ask(STORAGE, 0x47, reservation + b"CLR\xaa")
    assert [] == events(console)
    assert 0xCB == console.ask(STORAGE, 0x43, struct.pack("<HHBB", 0, 0, 0, 0xFF))[0]


def test_a_full_log_loses_what_is_new(rig: Any) -> None:
    """With 512 entries the log is full, keeps the oldest and says that it overflowed."""
    console = rig.console()
    record = bytes(2) + b"\x02" + bytes(4) + b"\x20\x00\x04\x01\x10\x6f\x01\xff\xff"
    codes = {console.ask(STORAGE, 0x44, record)[0] for _ in range(513)}
    info = console.ask(STORAGE, 0x40)[1]

    assert {0x00, 0xC4} == codes
    assert (512, 0x80) == (struct.unpack_from("<H", info, 1)[0], info[13] & 0x80)


def test_every_sdr_names_a_sensor_that_reads(rig: Any) -> None:
    """The repository is one chain of records, each as long as it says, and each of its sensors has a reading."""
    console = rig.console()
    number, sensors = 0, []
    while number != 0xFFFF:
        code, data = console.ask(STORAGE, 0x23, struct.pack("<HHBB", 0, number, 0, 0xFF))
        number, record = struct.unpack_from("<H", data)[0], data[2:]

        assert 0 == code
        assert len(record) == 5 + record[4]
        if record[3] in (1, 2):
            sensors.append(record[7])

    assert 12 == len(set(sensors)) == len(sensors)
    assert {0} == {console.ask(SENSOR, 0x2D, bytes([sensor]))[0] for sensor in sensors}
    assert 0xCB == console.ask(SENSOR, 0x2D, b"\xfe")[0]


def test_a_cold_host_has_no_warm_processor(rig: Any) -> None:
    """While the host is off its processor has no reading, and the chassis inlet still has."""
    console = rig.console()
    on = [console.ask(SENSOR, 0x2D, bytes([sensor]))[1][1] & 0x20 for sensor in (0x10, 0x11)]
    rig.machine.reset_host(HostReset.FORCE_OFF)
    rig.clock.advance(5)
    off = [console.ask(SENSOR, 0x2D, bytes([sensor]))[1][1] & 0x20 for sensor in (0x10, 0x11)]

    assert ([0, 0], [0, 0x20]) == (on, off)


def test_the_fru_has_the_machines_serial(rig: Any) -> None:
    """The FRU inventory is read in pieces, its areas' checksums are right, and it has serial number and model."""
    console = rig.console()
    size = struct.unpack_from("<H", console.ask(STORAGE, 0x10, b"\x00")[1])[0]
    whole = b""
    while len(whole) < size:
        whole += console.ask(STORAGE, 0x11, b"\x00" + struct.pack("<HB", len(whole), 32))[1][1:]

    assert 0 == sum(whole[:8]) & 0xFF
    starts = [whole[area] * 8 for area in (2, 3, 4)]
    assert [0, 0, 0] == [sum(whole[at : at + whole[at + 1] * 8]) & 0xFF for at in starts]
    assert rig.machine.serial.encode() in whole
    assert rig.station.model.encode() in whole
