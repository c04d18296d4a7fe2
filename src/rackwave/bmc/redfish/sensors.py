"""Sensor readings of the system's chassis, in a bounded number of requests.

Rules:

- A chassis that has Thermal and Power tells all of its sensors in two requests; these are asked first,
  though newer schemas call them deprecated (iDRAC 9, iLO 5, XCC and Supermicro as recorded still have them).
- Else its Sensors collection is read: whole where the service can expand it, else one by one.
- The chassis that the system names come first; where these have next to nothing (a GB200 names its BMC's
  board only), the others follow.
- `_REQUESTS` bounds it all; what is left out is counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import frozen

from ...core.observation import Unknown
from ...core.sensor import Sensor, SensorKind, SensorReadings
from ...errors import BmcAnswerError, BmcRefusedError
from .document import Document, dig, items, link, text
from .power import health
from .resources import Service
from .session import Session

_REQUESTS = 64
"""Requests for one reading: at 50 ms each about 3 s."""

_FEW = 8
"""Sensors below which the system's own chassis is not the whole machine."""

_KINDS = {
    "Temperature": SensorKind.TEMPERATURE,
    "Rotational": SensorKind.FAN,
    "Power": SensorKind.POWER,
    "Voltage": SensorKind.VOLTAGE,
    "Current": SensorKind.CURRENT,
}
_ABSENT = ("Absent", "Disabled")


@frozen
class _Table:
    """One list of Thermal or Power: where its readings are and what they are."""

    resource: str
    list: str
    kind: SensorKind
    reading: str
    unit: str


_TABLES = (
    _Table("Thermal", "Temperatures", SensorKind.TEMPERATURE, "ReadingCelsius", "Cel"),
    _Table("Thermal", "Fans", SensorKind.FAN, "Reading", "RPM"),
    _Table("Power", "PowerControl", SensorKind.POWER, "PowerConsumedWatts", "W"),
    _Table("Power", "PowerSupplies", SensorKind.POWER, "LastPowerOutputWatts", "W"),
    _Table("Power", "Voltages", SensorKind.VOLTAGE, "ReadingVolts", "V"),
)


class Sensors:
    """Reads the sensors of one machine."""

    def __init__(self, session: Session, service: Service) -> None:
        self._session = session
        self._service = service

    async def read(self) -> SensorReadings:
        """Read them all, or as many as the bound allows.

        Raises:
            NodeError: nothing could be read; BmcAnswerError: there are none.
        """
        found: dict[tuple[str, str], Sensor] = {}
        left_out, budget = 0, _Budget(self._session)
        own = [uri for item in items(await self._service.system(), "Links", "Chassis") if (uri := link(item))]
        for uri in own:
            left_out += await self._chassis(uri, found, budget)
        if len(found) < _FEW:
            chassis = link(await self._service.root(), "Chassis")
            others = await self._service.members(chassis) if chassis is not None else ()
            for uri in others:
                if uri not in own:
                    left_out += await self._chassis(uri, found, budget)
        if not found:
            raise BmcAnswerError(f"{self._service.node}: the BMC shows no sensors", node=self._service.node)
        return SensorReadings(tuple(found.values()), left_out)

    async def _chassis(self, uri: str, found: dict[tuple[str, str], Sensor], budget: _Budget) -> int:
        chassis = await budget.get(uri)
        if chassis is None:
            return 1
        before = len(found)
        for resource in ("Thermal", "Power"):
            place = link(chassis, resource)
            document = await budget.get(place) if place is not None else None
            found |= {(uri, sensor.name): sensor for sensor in of_tables(resource, document or {})}
        collection = link(chassis, "Sensors")
        if len(found) > before or collection is None:
            return 0
        return await self._collection(uri, collection, found, budget)

    async def _collection(self, chassis: str, uri: str, found: dict[tuple[str, str], Sensor], budget: _Budget) -> int:
        expands = dig(await self._service.root(), "ProtocolFeaturesSupported", "ExpandQuery", "NoLinks") is True
        whole = await budget.get(f"{uri}?$expand=.($levels=1)") if expands else None
        page = whole if whole is not None else await budget.get(uri)
        left_out = 0
        for member in items(page, "Members"):
            told: object = member
            place = link(member)
            if isinstance(member, Mapping) and len(member) == 1 and place is not None:
                told = await budget.get(place)
            if not isinstance(told, Mapping):
                left_out += 1
            elif (sensor := of_sensor(told)) is not None:
                found[chassis, sensor.name] = sensor
        return left_out


class _Budget:
    """Reads until the requests are used up. What the service refuses is None, and so is what is too much."""

    def __init__(self, session: Session) -> None:
        self._session = session  # not through the service, which forgets where things are when one is missing
        self._left = _REQUESTS

    async def get(self, uri: str) -> Document | None:
        if self._left <= 0:
            return None
        self._left -= 1
        try:
            return (await self._session.get(uri)).document
        except (BmcRefusedError, BmcAnswerError):
            return None


def of_tables(resource: str, document: Document) -> Iterator[Sensor]:
    """Read the sensors of a Thermal or Power resource."""
    for table in _TABLES:
        if table.resource != resource:
            continue
        for number, row in enumerate(items(document, table.list)):
            if not isinstance(row, Mapping) or text(row, "Status", "State") in _ABSENT:
                continue
            name = text(row, "Name") or text(row, "FanName") or f"{table.list} {text(row, 'MemberId') or number}"
            if table.list == "PowerSupplies":  # iLO calls each of them HpeServerPowerSupply
                name = f"{name} {text(row, 'MemberId') or number}"
            unit = text(row, "ReadingUnits") or table.unit
            yield Sensor(
                name=name,
                kind=table.kind,
                reading=_number(row.get(table.reading)),
                unit="%" if unit == "Percent" else unit,
                health=health(row),
                low=_limit(row.get("LowerThresholdCritical")),
                high=_limit(row.get("UpperThresholdCritical")),
            )


def of_sensor(document: Document) -> Sensor | None:
    """Read a Sensor resource; None for one that is not there."""
    name = text(document, "Name") or text(document, "Id")
    if name is None or text(document, "Status", "State") in _ABSENT:
        return None
    return Sensor(
        name=name,
        kind=_KINDS.get(text(document, "ReadingType") or "", SensorKind.OTHER),
        reading=_number(document.get("Reading")),
        unit=text(document, "ReadingUnits") or "",
        health=health(document),
        low=_limit(dig(document, "Thresholds", "LowerCritical", "Reading")),
        high=_limit(dig(document, "Thresholds", "UpperCritical", "Reading")),
    )


def _number(value: object) -> float | Unknown:
    found = _limit(value)
    return Unknown("it has no reading") if found is None else found


def _limit(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
