"""The system event log over Redfish: the very records that IPMI tells, in the place and the order of each make."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from ..ipmi.sel import CAPACITY, EventLog
from ..ipmi.sensors import Kind
from . import paths
from .moments import moment
from .unit import Unit

_DEASSERTED = 0x80
_MEMORY, _PROCESSOR, _CRITICAL_INTERRUPT = 0x0C, 0x07, 0x13  # kinds that only clients enter, as a test may

_KINDS = {
    Kind.TEMPERATURE: "Temperature",
    Kind.FAN: "Fan",
    Kind.POWER_UNIT: "Power Unit",
    Kind.FIRMWARE_PROGRESS: "System Firmware Progress",
    Kind.BOOT_INITIATED: "SystemBoot/Restart",
    Kind.OS_STOP: "OS Stop/Shutdown",
    Kind.WATCHDOG_2: "Watchdog",
    Kind.SUBSYSTEM_HEALTH: "Management Subsystem Health",
    Kind.VERSION_CHANGE: "Version Change",
    _MEMORY: "Memory",
    _PROCESSOR: "Processor",
    _CRITICAL_INTERRUPT: "Critical Interrupt",
}
"""LogEntry.SensorType (DSP0268) by the sensor types of IPMI 2.0, table 42-3."""

_WORDS: Mapping[tuple[int, int], tuple[str, str]] = {
    (Kind.POWER_UNIT, 0x00): ("OK", "The host's power is off."),
    (Kind.POWER_UNIT, 0x01): ("OK", "The host was power cycled."),
    (Kind.BOOT_INITIATED, 0x00): ("OK", "The host was started by a power up."),
    (Kind.BOOT_INITIATED, 0x01): ("OK", "The host was started by a hard reset."),
    (Kind.VERSION_CHANGE, 0x07): ("OK", "A firmware version was changed."),
    (Kind.FIRMWARE_PROGRESS, 0x00): ("Critical", "The system firmware met an error in POST."),
    (Kind.OS_STOP, 0x01): ("Critical", "The operating system stopped in mid-run."),
    (Kind.WATCHDOG_2, 0x00): ("Warning", "The watchdog timer expired."),
    (Kind.SUBSYSTEM_HEALTH, 0x03): ("Warning", "The management controller was unavailable."),
    (_MEMORY, 0x01): ("Critical", "Memory met an error that cannot be corrected."),
    (_MEMORY, 0x00): ("Warning", "Memory met an error that was corrected."),
    (_PROCESSOR, 0x00): ("Critical", "A processor met an internal error."),
    (_CRITICAL_INTERRUPT, 0x08): ("Critical", "The bus met a fatal error."),
}


def services_path(unit: Unit) -> str:
    """Return where the collection of logs is."""
    at_manager = unit.machine.personality.rules.event_log_at_manager
    owner = f"{paths.MANAGERS}/{unit.manager_id}" if at_manager else f"{paths.SYSTEMS}/{unit.system_id}"
    return f"{owner}/LogServices"


def log_path(unit: Unit) -> str:
    """Return where the event log is."""
    return f"{services_path(unit)}/{unit.machine.personality.rules.event_log}"


def service(unit: Unit) -> dict[str, Any]:
    """The LogService of the event log."""
    path = log_path(unit)
    return {
        "@odata.id": path,
        "@odata.type": "#LogService.v1_5_0.LogService",
        "Id": path.rpartition("/")[2],
        "Name": "System Event Log",
        "ServiceEnabled": True,
        "LogEntryType": "SEL",
        "MaxNumberOfRecords": CAPACITY,
        "OverWritePolicy": "NeverOverWrites",
        "DateTime": moment(unit.machine.time + unit.clock_offset),
        "DateTimeLocalOffset": "+00:00",
        "Entries": {"@odata.id": f"{path}/Entries"},
        "Status": {"State": "Enabled", "Health": "OK"},
        "Actions": {"#LogService.ClearLog": {"target": f"{path}/Actions/LogService.ClearLog"}},
    }


def entries(unit: Unit, log: EventLog) -> dict[str, Any]:
    """Every entry, whole, in the order of this make."""
    path = f"{log_path(unit)}/Entries"
    members = [entry(path, record) for record in log.records]
    if unit.machine.personality.rules.event_log_downward:
        members.reverse()
    return {
        "@odata.id": path,
        "@odata.type": "#LogEntryCollection.LogEntryCollection",
        "Name": "System Event Log Entries",
        "Members@odata.count": len(members),
        "Members": members,
    }


def entry(path: str, record: bytes) -> dict[str, Any]:
    """One LogEntry of a SEL record (IPMI 2.0, 32.1)."""
    number, kind_of_record, stamp = struct.unpack_from("<HBI", record)
    told: dict[str, Any] = {
        "@odata.id": f"{path}/{number}",
        "@odata.type": "#LogEntry.v1_15_0.LogEntry",
        "Id": str(number),
        "Name": f"Log Entry {number}",
        "EntryType": "SEL",
    }
    if kind_of_record >= 0xE0:  # a record without a date, of which nothing but its bytes is known
        return {**told, "Severity": "OK", "Message": f"OEM record {record[3:].hex()}"}
    kind, sensor, direction, offset = record[10], record[11], record[12], record[13] & 0x0F
    severity, words = _WORDS.get((kind, offset), ("OK", f"Sensor type {kind:02X}h tells state {offset}."))
    told |= {
        "Created": moment(stamp),
        "EntryCode": "Deassert" if direction & _DEASSERTED else "Assert",
        "SensorNumber": sensor,
        "Severity": severity,
        "Message": words if not direction & _DEASSERTED else f"No longer: {words}",
        "MessageId": f"0x{kind:02X}{direction:02X}{offset:02X}",
    }
    if kind in _KINDS:
        told["SensorType"] = _KINDS[kind]
    return told
