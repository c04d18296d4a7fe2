"""What a machine's sensors read, in whichever resource a make keeps them."""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen

from .observation import Health, Unknown


class SensorKind(StrEnum):
    """What a sensor measures."""

    TEMPERATURE = "temperature"
    FAN = "fan"
    POWER = "power"
    VOLTAGE = "voltage"
    CURRENT = "current"
    OTHER = "other"


@frozen
class Sensor:
    """One sensor. *unit* is as UCUM writes it (``Cel``, ``RPM``, ``%``, ``W``, ``V``, ``A``).

    *low* and *high* are the critical thresholds, where the BMC tells any.
    """

    name: str
    kind: SensorKind
    reading: float | Unknown
    unit: str
    health: Health | Unknown
    low: float | None = None
    high: float | None = None


@frozen
class SensorReadings:
    """What was read at one moment. *left_out* counts sensors that were not: there is a bound on requests."""

    sensors: tuple[Sensor, ...]
    left_out: int = 0
