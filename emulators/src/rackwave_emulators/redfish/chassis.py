"""The chassis and its sensors over Redfish: the very sensors that IPMI tells, in all three places that makes have.

Every recorded make but the newest has Thermal and Power, deprecated as they are; most have the Sensors
collection beside them.
"""

from __future__ import annotations

from typing import Any

from ..host import PowerState
from ..ipmi.sensors import SENSORS, Analog, Kind
from . import paths
from .unit import Unit

_UNAVAILABLE = 0x20
_TYPES = {Kind.TEMPERATURE: "Temperature", Kind.FAN: "Rotational", Kind.OTHER_UNITS: "Power"}
_UNITS = {Kind.TEMPERATURE: "Cel", Kind.FAN: "RPM", Kind.OTHER_UNITS: "W"}
_ON = (PowerState.ON, PowerState.POWERING_OFF)


def path_of(unit: Unit) -> str:
    """Return where the unit's one chassis is."""
    return f"{paths.CHASSIS}/{unit.uuid}"


def chassis(unit: Unit) -> dict[str, Any]:
    """The Chassis."""
    path, machine = path_of(unit), unit.machine
    return {
        "@odata.id": path,
        "@odata.type": "#Chassis.v1_9_0.Chassis",
        "Id": unit.uuid,
        "Name": f"{unit.name} chassis",
        "ChassisType": "RackMount",
        "Manufacturer": machine.personality.vendor,
        "Model": machine.personality.model,
        "SerialNumber": machine.serial,
        "UUID": unit.uuid,
        "PowerState": "On" if machine.power in _ON else "Off",
        "IndicatorLED": unit.chassis_indicator(),
        "Status": {"State": "Enabled", "Health": "OK"},
        "Thermal": {"@odata.id": f"{path}/Thermal"},
        "Power": {"@odata.id": f"{path}/Power"},
        "Sensors": {"@odata.id": f"{path}/Sensors"},
        "Links": {
            "ComputerSystems": [{"@odata.id": f"{paths.SYSTEMS}/{unit.system_id}"}],
            "ManagedBy": [{"@odata.id": f"{paths.MANAGERS}/{unit.manager_id}"}],
        },
    }


def thermal(unit: Unit) -> dict[str, Any]:
    """The temperatures and fans."""
    path = f"{path_of(unit)}/Thermal"
    return {
        "@odata.id": path,
        "@odata.type": "#Thermal.v1_7_1.Thermal",
        "Id": "Thermal",
        "Name": "Thermal",
        "Temperatures": _rows(unit, f"{path}#/Temperatures", Kind.TEMPERATURE, "ReadingCelsius"),
        "Fans": [row | {"ReadingUnits": "RPM"} for row in _rows(unit, f"{path}#/Fans", Kind.FAN, "Reading")],
    }


def power(unit: Unit) -> dict[str, Any]:
    """What it draws."""
    path = f"{path_of(unit)}/Power"
    rows = _rows(unit, f"{path}#/PowerControl", Kind.OTHER_UNITS, "PowerConsumedWatts")
    kept = ("@odata.id", "MemberId", "Name", "PowerConsumedWatts", "Status")
    return {
        "@odata.id": path,
        "@odata.type": "#Power.v1_7_1.Power",
        "Id": "Power",
        "Name": "Power",
        "PowerControl": [{name: row[name] for name in kept} for row in rows],
    }


def sensors(unit: Unit) -> dict[str, Any]:
    """The collection of sensors."""
    path = f"{path_of(unit)}/Sensors"
    members = [{"@odata.id": f"{path}/{_id(sensor)}"} for sensor in _analog()]
    return {
        "@odata.id": path,
        "@odata.type": "#SensorCollection.SensorCollection",
        "Name": "Sensors",
        "Members@odata.count": len(members),
        "Members": members,
    }


def sensor_paths(unit: Unit) -> dict[str, Analog]:
    """Return every sensor by its path."""
    return {f"{path_of(unit)}/Sensors/{_id(sensor)}": sensor for sensor in _analog()}


def sensor(unit: Unit, path: str, of: Analog) -> dict[str, Any]:
    """One Sensor."""
    reading = _reading(unit, of)
    return {
        "@odata.id": path,
        "@odata.type": "#Sensor.v1_9_0.Sensor",
        "Id": _id(of),
        "Name": of.name,
        "ReadingType": _TYPES[of.kind],
        "ReadingUnits": _UNITS[of.kind],
        "Reading": reading,
        "Thresholds": {"UpperCritical": {"Reading": of.critical * of.factor}},
        "Status": _status(reading),
    }


def _rows(unit: Unit, path: str, kind: Kind, name: str) -> list[dict[str, Any]]:
    found = []
    for number, of in enumerate(each for each in _analog() if each.kind is kind):
        reading = _reading(unit, of)
        row = {"@odata.id": f"{path}/{number}", "MemberId": str(number), "Name": of.name, name: reading}
        row |= {"SensorNumber": int(of.number)}
        found.append(row | {"UpperThresholdCritical": of.critical * of.factor, "Status": _status(reading)})
    return found


def _reading(unit: Unit, of: Analog) -> int | None:
    raw = of.reading(unit.machine.glimpse(), unit.uuid)
    return None if raw[1] & _UNAVAILABLE else raw[0] * of.factor


def _status(reading: int | None) -> dict[str, str]:
    return {"State": "UnavailableOffline"} if reading is None else {"State": "Enabled", "Health": "OK"}


def _analog() -> tuple[Analog, ...]:
    return tuple(each for each in SENSORS if isinstance(each, Analog))


def _id(of: Analog) -> str:
    return of.name.replace(" ", "")
