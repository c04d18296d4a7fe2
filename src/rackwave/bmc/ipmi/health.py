"""The system's health, as far as sensors and the chassis tell it.

IPMI has no word for the health of a machine. What is made of its parts here is meant as Redfish means the
health of a system: critical is what may stop or spoil the machine, not that one of its fans wants to be
replaced. So a fan or a power supply, of which there are spares, is a warning.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...core.observation import Health, Unknown
from .chassis import ChassisStatus
from .sel import Entry
from .sensors import Reading

_FAN = 0x04
_NON_CRITICAL, _CRITICAL, _NON_RECOVERABLE = 0b001001, 0b010010, 0b100100
_SEVERITY, _REDUNDANCY, _SPECIFIC = 0x07, 0x0B, 0x6F

_SEVERITIES = {
    1: Health.WARNING,
    2: Health.CRITICAL,
    3: Health.CRITICAL,
    4: Health.WARNING,
    5: Health.CRITICAL,
    6: Health.CRITICAL,
}
"""Generic event type 07h (42.1)."""

_SPECIFIC_STATES: dict[tuple[int, int], Health] = {
    (0x07, 0x0): Health.CRITICAL,  # processor: IERR
    (0x07, 0x1): Health.CRITICAL,  # thermal trip
    (0x07, 0x2): Health.CRITICAL,  # FRB1, its self test failed
    (0x07, 0x3): Health.CRITICAL,  # FRB2, hangs in POST
    (0x07, 0x4): Health.CRITICAL,  # FRB3, does not start
    (0x07, 0xB): Health.CRITICAL,  # uncorrectable machine check
    (0x08, 0x1): Health.WARNING,  # power supply: failure
    (0x08, 0x2): Health.WARNING,  # predictive failure
    (0x08, 0x3): Health.WARNING,  # input lost
    (0x09, 0x5): Health.CRITICAL,  # power unit: soft power control failure
    (0x09, 0x6): Health.CRITICAL,  # failure
    (0x0C, 0x1): Health.CRITICAL,  # memory: uncorrectable
    (0x0C, 0x5): Health.WARNING,  # correctable errors beyond the limit
    (0x0C, 0xA): Health.CRITICAL,  # critical overtemperature
    (0x0D, 0x1): Health.WARNING,  # drive: fault
    (0x0D, 0x2): Health.WARNING,  # predictive failure
    (0x13, 0x8): Health.CRITICAL,  # critical interrupt: bus uncorrectable error
    (0x13, 0xA): Health.CRITICAL,  # bus fatal error
}
"""Sensor-specific states by sensor type and offset (table 42-3), where they say something of the whole."""

_THRESHOLD = 0x01
_THRESHOLD_EVENTS = dict.fromkeys((2, 4, 9, 11), Health.CRITICAL)
"""Crossings of a critical or non-recoverable threshold, away from the normal (table 42-2)."""

_BAD_EVENTS = {
    (0x0F, 0x0): Health.CRITICAL,  # firmware error
    (0x0F, 0x1): Health.CRITICAL,  # firmware hang
    (0x20, 0x0): Health.CRITICAL,  # critical stop while the operating system loads
    (0x20, 0x1): Health.CRITICAL,  # and in mid-run
    (0x23, 0x0): Health.WARNING,  # the watchdog expired
    (0x23, 0x1): Health.WARNING,  # and reset the host
    (0x28, 0x3): Health.WARNING,  # the management controller was away
}

_ORDER = (Health.OK, Health.WARNING, Health.CRITICAL)


def health_of(status: ChassisStatus, readings: Iterable[Reading]) -> Health | Unknown:
    """Judge; a machine of which no sensor tells anything is Unknown, unless the chassis reports a fault."""
    told = [health_of_reading(reading) for reading in readings]
    faults = _of_chassis(status)
    if not told and faults is Health.OK:
        return Unknown("no sensor tells anything")
    return max((faults, *told), key=_ORDER.index)


def _of_chassis(status: ChassisStatus) -> Health:
    if status.power_fault or status.overload:
        return Health.CRITICAL
    if status.control_fault or status.drive_fault or status.cooling_fault:
        return Health.WARNING
    return Health.OK


def health_of_reading(reading: Reading) -> Health:
    """Say what one sensor's states mean for the machine."""
    sensor, states = reading.sensor, reading.states
    if sensor.is_threshold:
        if states & _NON_RECOVERABLE:
            return Health.CRITICAL
        if states & _CRITICAL:
            return Health.WARNING if sensor.kind == _FAN else Health.CRITICAL
        return Health.WARNING if states & _NON_CRITICAL else Health.OK
    found = [Health.OK]
    for offset in range(15):
        if not states >> offset & 1:
            continue
        found.append(_of_state(sensor.kind, sensor.event_type, offset))
    return max(found, key=_ORDER.index)


def severity_of_event(entry: Entry) -> Health:
    """Say how bad it is what an entry of the event log tells; what is over is not bad any more."""
    if not entry.asserted:
        return Health.OK
    if entry.event_type == _THRESHOLD:
        return _THRESHOLD_EVENTS.get(entry.offset, Health.WARNING)
    if entry.event_type == _SPECIFIC and (entry.sensor_type, entry.offset) in _BAD_EVENTS:
        return _BAD_EVENTS[entry.sensor_type, entry.offset]
    return _of_state(entry.sensor_type, entry.event_type, entry.offset)


def _of_state(kind: int, event_type: int, offset: int) -> Health:
    if event_type == _SPECIFIC:
        return _SPECIFIC_STATES.get((kind, offset), Health.OK)
    if event_type == _SEVERITY:
        return _SEVERITIES.get(offset, Health.OK)
    return Health.WARNING if event_type == _REDUNDANCY and offset else Health.OK
