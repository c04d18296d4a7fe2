"""What a person reads of and does to one machine, in the port's words (`Panel`), from IPMI's numbers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from ...core.boot import BootMode, BootOverride, BootSetting, Lasting
from ...core.log import LogEntry, LogMark, LogNews, Severity, news
from ...core.observation import Health, Unknown
from ...core.power import PowerAct
from ...core.sensor import Sensor as TellingSensor
from ...core.sensor import SensorKind, SensorReadings
from .chassis import Boot, BootDevice, Control
from .health import health_of_reading, severity_of_event
from .sel import Entry, EventLog
from .sensors import Reading, Sensor, Sensors

LOG = "SEL"
MOST_SENSORS = 128

POWER_ACTS: Mapping[PowerAct, Control] = {
    PowerAct.ON: Control.POWER_UP,
    PowerAct.FORCE_OFF: Control.POWER_DOWN,
    PowerAct.CYCLE: Control.POWER_CYCLE,
    PowerAct.FORCE_RESTART: Control.HARD_RESET,
    PowerAct.NMI: Control.DIAGNOSTIC_INTERRUPT,
    PowerAct.SHUTDOWN: Control.SOFT_SHUTDOWN,
}
"""IPMI has no restart by the operating system and no power button. A BMC need not have all of these."""

_TARGETS: Mapping[str, BootDevice] = {
    "None": BootDevice.NONE,
    "Pxe": BootDevice.PXE,
    "Hdd": BootDevice.DISK,
    "Cd": BootDevice.CD,
    "BiosSetup": BootDevice.SETUP,
    "Floppy": BootDevice.FLOPPY,
    "Diags": BootDevice.DIAGNOSTICS,
}
"""Redfish's words for the devices that both have."""

_KINDS = {
    0x01: SensorKind.TEMPERATURE,
    0x02: SensorKind.VOLTAGE,
    0x03: SensorKind.CURRENT,
    0x04: SensorKind.FAN,
}
_WATTS = "W"
_LOWER_CRITICAL, _UPPER_CRITICAL = 0x02, 0x10

_TYPES = {
    0x01: "temperature",
    0x02: "voltage",
    0x03: "current",
    0x04: "fan",
    0x05: "chassis intrusion",
    0x07: "processor",
    0x08: "power supply",
    0x09: "power unit",
    0x0C: "memory",
    0x0D: "drive",
    0x0F: "system firmware",
    0x10: "event logging",
    0x12: "system event",
    0x13: "critical interrupt",
    0x1D: "system boot",
    0x1F: "operating system boot",
    0x20: "operating system stop",
    0x22: "ACPI power state",
    0x23: "watchdog",
    0x28: "management subsystem",
    0x2B: "version change",
}
_EVENTS = {
    (0x09, 0x0): "power off",
    (0x09, 0x1): "power cycle",
    (0x0C, 0x1): "uncorrectable memory error",
    (0x0F, 0x0): "firmware error in POST",
    (0x0F, 0x1): "firmware hang in POST",
    (0x0F, 0x2): "progress of POST",
    (0x1D, 0x0): "started by power up",
    (0x1D, 0x1): "started by hard reset",
    (0x1D, 0x2): "started by warm reset",
    (0x20, 0x1): "critical stop in mid-run",
    (0x23, 0x0): "timer expired",
    (0x28, 0x3): "management controller unavailable",
    (0x2B, 0x7): "firmware changed",
}


def boot_setting(boot: Boot) -> BootSetting:
    """Return the boot flags as a setting."""
    words = {device: word for word, device in _TARGETS.items()}
    target = words.get(BootDevice(boot.device)) if boot.device in set(BootDevice) else None
    if target is None:
        return BootSetting(Unknown(f"boot device {int(boot.device)} has no name"), tuple(_TARGETS))
    if boot.device == BootDevice.NONE:
        return BootSetting(BootOverride("None", Lasting.NEVER), tuple(_TARGETS))
    lasting = Lasting.ALWAYS if boot.persistent else Lasting.ONCE
    return BootSetting(BootOverride(target, lasting, BootMode.UEFI if boot.uefi else BootMode.LEGACY), tuple(_TARGETS))


def boot_flags(override: BootOverride) -> Boot | None:
    """Return the flags for *override*; None: IPMI has no such device. Without a mode it is UEFI's."""
    if override.lasting is Lasting.NEVER:
        return Boot(BootDevice.NONE)
    device = _TARGETS.get(override.target)
    if device is None:
        return None
    return Boot(device, override.lasting is Lasting.ALWAYS, override.mode is not BootMode.LEGACY)


async def read_sensors(sensors: Sensors) -> SensorReadings:
    """Read what measures something.

    Raises:
        NodeError: as `Sensors.all`.
    """
    measuring = [sensor for sensor in await sensors.all() if sensor.conversion is not None]
    told = [_telling(sensor, await sensors.read(sensor)) for sensor in measuring[:MOST_SENSORS]]
    return SensorReadings(tuple(told), max(len(measuring) - MOST_SENSORS, 0))


def _telling(sensor: Sensor, reading: Reading | None) -> TellingSensor:
    kind = _KINDS.get(sensor.kind, SensorKind.POWER if sensor.unit == _WATTS else SensorKind.OTHER)
    none = Unknown("the sensor has no reading now")
    return TellingSensor(
        name=sensor.name,
        kind=kind,
        reading=none if reading is None or reading.value is None else reading.value,
        unit=sensor.unit,
        health=none if reading is None else health_of_reading(reading),
        low=sensor.low,
        high=sensor.high,
    )


async def read_log(log: EventLog, since: LogMark | None, limit: int) -> LogNews:
    """Read the event log since a mark, or its newest entries.

    Raises:
        NodeError: as `EventLog.newest`.
    """
    entries, has_more = None, False
    if since is not None and since.log == LOG and since.last.isdigit():
        entries, has_more = await log.upward(int(since.last), limit + 1)
        if not entries or _told(entries[0]).created != since.created:
            entries = None  # cleared, or gone round
    if entries is None:
        entries, has_more = await log.newest(limit), False
    return news(LOG, [_told(entry) for entry in entries], since, more=has_more)


def _told(entry: Entry) -> LogEntry:
    created = "" if entry.at is None else datetime.fromtimestamp(entry.at, UTC).isoformat()
    if not entry.sensor_type:
        return LogEntry(str(entry.number), created, Severity.UNKNOWN, "an entry of the maker's own")
    what = _TYPES.get(entry.sensor_type, f"sensor type {entry.sensor_type:02X}h")
    event = _EVENTS.get((entry.sensor_type, entry.offset)) if entry.event_type == 0x6F else None
    state = event or f"state {entry.offset:X}h of {entry.event_type:02X}h"
    message = f"{what} {entry.sensor:02X}h: {state}{'' if entry.asserted else ', over'}"
    code = f"{entry.sensor_type:02X}.{entry.event_type:02X}.{entry.offset:X}"
    return LogEntry(str(entry.number), created, _SEVERITIES[severity_of_event(entry)], message, code)


_SEVERITIES = {Health.OK: Severity.OK, Health.WARNING: Severity.WARNING, Health.CRITICAL: Severity.CRITICAL}
