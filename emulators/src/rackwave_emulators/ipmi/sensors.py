"""The sensors of a lab machine, as SDRs tell them (chapter 43) and as they read (chapter 35).

What they read follows from the machine's state and its name: nothing here is measured, but a host that
is off has no warm processor and no turning fan.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from enum import IntEnum

from attrs import frozen

from rackwave.core.observation import Health, Post

from ..host import PowerState
from ..machine import Glimpse

_OWNER = 0x20
_THRESHOLD, _SEVERITY, _SPECIFIC = 0x01, 0x07, 0x6F  # event/reading types (42.1)
_EVENTS_AND_SCANNING, _UNAVAILABLE = 0xC0, 0x20


class Kind(IntEnum):
    """Sensor types (42.2)."""

    TEMPERATURE = 0x01
    FAN = 0x04
    POWER_UNIT = 0x09
    OTHER_UNITS = 0x0B
    FIRMWARE_PROGRESS = 0x0F
    CHASSIS = 0x18
    BOOT_INITIATED = 0x1D
    OS_STOP = 0x20
    WATCHDOG_2 = 0x23
    SUBSYSTEM_HEALTH = 0x28
    VERSION_CHANGE = 0x2B


class Number(IntEnum):
    """The lab's sensor numbers; the SEL names them too."""

    POWER = 0x01
    BOOT = 0x02
    POST = 0x03
    OS_STOP = 0x04
    WATCHDOG = 0x05
    VERSION = 0x06
    BMC_HEALTH = 0x07
    HEALTH = 0x08
    INLET = 0x10
    CPU = 0x11
    FAN = 0x12
    WATTS = 0x13


@frozen
class Analog:
    """A sensor that reads *factor* times its raw value, in *unit* (43.17); *critical* is raw too."""

    number: Number
    kind: Kind
    name: str
    entity: int
    unit: int
    factor: int
    nominal: int
    critical: int
    reads_off: bool
    """Whether it reads while the host is off."""

    def record(self) -> bytes:
        """Return its full sensor record, but for the header (43.1)."""
        upper = 0x18  # the upper non-critical and upper critical thresholds can be read
        body = struct.pack(
            "<9BHH16B",
            _OWNER, 0, self.number,
            self.entity, 1, 0x7F, 0x68, self.kind, _THRESHOLD,
            0x0280, 0x0280,  # goes high on upper non-critical and upper critical
            upper, 0,
            0x00, self.unit, 0, 0,  # unsigned, linear
            self.factor & 0xFF, self.factor >> 8 << 6, 0, 0, 0, 0,  # y = M x
            0x01, self.nominal, self.critical, 0,
        )  # fmt: skip
        return (
            body + bytes([0xFF, 0x00, 0, self.critical, self.critical - 5, 0, 0, 0, 1, 1, 0, 0, 0]) + _name(self.name)
        )

    def thresholds(self) -> bytes:
        """Return which thresholds there are, and all six of them (35.9)."""
        return bytes([0x18, 0, 0, 0, self.critical - 5, self.critical, 0])

    def reading(self, state: Glimpse, seed: str) -> bytes:
        """Return what Get Sensor Reading tells (35.14)."""
        if state.power is not PowerState.ON and not self.reads_off:
            return bytes([0, _EVENTS_AND_SCANNING | _UNAVAILABLE, 0xC0])
        wobble = zlib.crc32(f"{seed}{self.number}{int(state.time) // 60}".encode()) % 5
        return bytes([self.nominal + wobble, _EVENTS_AND_SCANNING, 0xC0])


@frozen
class Discrete:
    """A sensor of states; *states* returns the bits of those that hold."""

    number: Number
    kind: Kind
    name: str
    entity: int
    offsets: int
    states: Callable[[Glimpse], int]
    event_type: int = _SPECIFIC

    def record(self) -> bytes:
        """Return its compact sensor record, but for the header (43.2)."""
        body = struct.pack(
            "<9BHHH3B",
            _OWNER, 0, self.number,
            self.entity, 1, 0x67, 0x40, self.kind, self.event_type,
            self.offsets, self.offsets, self.offsets,
            0xC0, 0, 0,  # no reading in units
        )  # fmt: skip
        return body + bytes([0x01, 0, 0, 0, 0, 0, 0, 0]) + _name(self.name)

    def reading(self, state: Glimpse) -> bytes:
        """Return what Get Sensor Reading tells (35.14)."""
        states = self.states(state)
        return bytes([0, _EVENTS_AND_SCANNING, states & 0xFF, 0x80 | states >> 8 & 0x7F])


def _powered_off(state: Glimpse) -> int:
    return 0x01 if state.power is PowerState.OFF else 0x00


def _post_failed(state: Glimpse) -> int:
    return 0x01 if state.post is Post.FAILED else 0x04 if state.post is Post.RUNNING else 0x00


def _severity(state: Glimpse) -> int:
    # Transition to OK, to non-critical from OK, to critical from less severe (table 42-2, 07h)
    return {Health.OK: 0x01, Health.WARNING: 0x02, Health.CRITICAL: 0x04}[state.health]


def _nothing(_: Glimpse) -> int:
    return 0


SENSORS: tuple[Analog | Discrete, ...] = (
    Analog(Number.INLET, Kind.TEMPERATURE, "Inlet Temp", 0x37, 0x01, 1, 22, 45, reads_off=True),
    Analog(Number.CPU, Kind.TEMPERATURE, "CPU Temp", 0x03, 0x01, 1, 48, 95, reads_off=False),
    Analog(Number.FAN, Kind.FAN, "Fan 1", 0x1D, 0x12, 60, 90, 250, reads_off=False),
    Analog(Number.WATTS, Kind.OTHER_UNITS, "Power Input", 0x0A, 0x06, 2, 110, 250, reads_off=False),
    Discrete(Number.POWER, Kind.POWER_UNIT, "Power Unit", 0x13, 0x0003, _powered_off),
    Discrete(Number.BOOT, Kind.BOOT_INITIATED, "Boot", 0x22, 0x0003, _nothing),
    Discrete(Number.POST, Kind.FIRMWARE_PROGRESS, "POST", 0x22, 0x0005, _post_failed),
    Discrete(Number.OS_STOP, Kind.OS_STOP, "OS Stop", 0x23, 0x0002, _nothing),
    Discrete(Number.WATCHDOG, Kind.WATCHDOG_2, "Watchdog", 0x23, 0x0001, _nothing),
    Discrete(Number.VERSION, Kind.VERSION_CHANGE, "Firmware", 0x22, 0x0080, _nothing),
    Discrete(Number.HEALTH, Kind.CHASSIS, "System Health", 0x17, 0x0007, _severity, event_type=_SEVERITY),
    Discrete(Number.BMC_HEALTH, Kind.SUBSYSTEM_HEALTH, "BMC Health", 0x06, 0x0008, _nothing),
)
"""Every sensor of a lab machine."""

BY_NUMBER = {int(sensor.number): sensor for sensor in SENSORS}


def sensor_records() -> tuple[bytes, ...]:
    """Return the whole SDR repository, record by record."""
    bodies = [(0x01 if isinstance(sensor, Analog) else 0x02, sensor.record()) for sensor in SENSORS]
    bodies.append((0x12, bytes([_OWNER, 0, 0, 0xBF, 0, 0, 0, 0x2E, 1, 0]) + _name("BMC")))
    return tuple(
        struct.pack("<HBBB", number, 0x51, kind, len(body)) + body
        for number, (kind, body) in enumerate(bodies, start=1)
    )


def _name(text: str) -> bytes:
    return bytes([0xC0 | len(text)]) + text.encode("ascii")
