"""Sensors: what there is, from the SDR repository (chapters 33 and 43), and what they read (chapter 35).

The repository is read once, and again when its own dates say that it has changed.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from ...errors import BmcRefusedError
from .record_reader import FIRST, RecordReader
from .session import Command, Session

GET_REPOSITORY_INFO = Command(0x0A, 0x20, "Get SDR Repository Info")
RESERVE_REPOSITORY = Command(0x0A, 0x22, "Reserve SDR Repository")
GET_SDR = Command(0x0A, 0x23, "Get SDR")
GET_READING = Command(0x04, 0x2D, "Get Sensor Reading")

_BMC = 0x20
_FULL, _COMPACT = 0x01, 0x02
_THRESHOLD = 0x01
_UNAVAILABLE, _SCANNED = 0x20, 0x40
_FULL_NAME, _COMPACT_NAME = 42, 26  # where a record's name begins, after the header of 5 bytes
_NO_ANALOG = 0b11
_SHARED = 18

UNITS = {1: "Cel", 2: "[degF]", 3: "K", 4: "V", 5: "A", 6: "W", 7: "J", 18: "RPM", 21: "ms", 22: "s", 23: "min"}
"""The base units (43.17) that machines have sensors for, as UCUM writes them."""


@frozen
class Conversion:
    """From a raw reading to a value: ``(m * raw + b * 10 ** b_exponent) * 10 ** r_exponent`` (36.3)."""

    m: int
    b: int
    b_exponent: int
    r_exponent: int
    signed: int

    def value(self, raw: int) -> float:
        """Return what *raw* stands for."""
        match self.signed:
            case 1 if raw & 0x80:  # one's complement
                raw -= 0xFF
            case 2 if raw & 0x80:  # two's complement
                raw -= 0x100
        return float((self.m * raw + self.b * 10**self.b_exponent) * 10**self.r_exponent)


@frozen
class Sensor:
    """A sensor that can be read. *conversion* is None where its reading is no number.

    *low* and *high* are the critical thresholds, where its record has them.
    """

    number: int
    kind: int
    event_type: int
    name: str
    unit: str = ""
    conversion: Conversion | None = None
    low: float | None = None
    high: float | None = None

    @property
    def is_threshold(self) -> bool:
        """Whether its states are crossed thresholds."""
        return self.event_type == _THRESHOLD


@frozen
class Reading:
    """What a sensor tells: *value* in its unit where it is a number, *states* as bits where they are told."""

    sensor: Sensor
    value: float | None
    states: int


class Sensors:
    """The sensors of one node's BMC."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._reader = RecordReader(session, get=GET_SDR, reserve=RESERVE_REPOSITORY)
        self._known: tuple[Sensor, ...] = ()
        self._as_of: bytes | None = None

    async def all(self) -> tuple[Sensor, ...]:
        """Return every sensor of the BMC itself; of other controllers only they could tell.

        Raises:
            NodeError: as `Session.ask`.
        """
        info = await self._session.ask(GET_REPOSITORY_INFO, least=13)
        as_of = info[1:3] + info[5:13]  # how many records, and when one was added or erased last
        if as_of != self._as_of:
            found: list[Sensor] = []
            if info[1:3] != b"\x00\x00":
                async for record in self._reader.after(FIRST):
                    found.extend(sensors_of(record.octets))
            self._known, self._as_of = tuple(found), as_of
        return self._known

    async def read(self, sensor: Sensor) -> Reading | None:
        """Read one sensor; None where it has no reading now (its part is off), or not by this way.

        Raises:
            NodeError: as `Session.ask`, but for a completion code.
        """
        try:
            data = await self._session.ask(GET_READING, bytes([sensor.number]), least=2)
        except BmcRefusedError:
            return None
        if data[1] & _UNAVAILABLE or not data[1] & _SCANNED:
            return None
        states = data[2] if len(data) > 2 else 0
        if not sensor.is_threshold and len(data) > 3:
            states |= (data[3] & 0x7F) << 8
        value = sensor.conversion.value(data[0]) if sensor.conversion is not None else None
        return Reading(sensor, value, states)


def sensors_of(record: bytes) -> Iterator[Sensor]:
    """Read the sensors of an SDR; records of other kinds, and those that are cut short, have none."""
    kind, body = record[3], record[5:]
    name_at = {_FULL: _FULL_NAME, _COMPACT: _COMPACT_NAME}.get(kind)
    if name_at is None or len(body) <= name_at or body[0] != _BMC or body[1] & 0x03:
        return
    length = body[name_at] & 0x1F
    name = "".join(c for c in body[name_at + 1 : name_at + 1 + length].decode("latin-1") if c.isprintable()).strip()
    unit = UNITS.get(body[16], "") if body[7] == _THRESHOLD or kind == _FULL else ""
    conversion = _conversion(body) if kind == _FULL else None
    # A compact record may stand for several sensors that lie side by side (43.2, record sharing).
    count = max(body[_SHARED] & 0x0F, 1) if kind == _COMPACT else 1
    for index in range(count):
        yield Sensor(
            number=body[2] + index & 0xFF,
            kind=body[7],
            event_type=body[8],
            name=name if count == 1 else f"{name} {index + 1}",
            unit=unit,
            conversion=conversion,
            low=_threshold(body, conversion, 0x02, 35),
            high=_threshold(body, conversion, 0x10, 32),
        )


def _threshold(body: bytes, conversion: Conversion | None, bit: int, at: int) -> float | None:
    """Read a threshold, where the record says that there is one (43.1, readable threshold mask)."""
    if conversion is None or body[8] != _THRESHOLD or not body[13] & bit:
        return None
    return conversion.value(body[at])


def _conversion(body: bytes) -> Conversion | None:
    signed = body[15] >> 6
    if signed == _NO_ANALOG or body[18] & 0x7F:
        return None  # no number, or one that is not linear
    m_low, m_high, b_low, b_high = body[19:23]
    exponents = body[24]
    return Conversion(
        m=_signed(m_low | (m_high & 0xC0) << 2, 10),
        b=_signed(b_low | (b_high & 0xC0) << 2, 10),
        b_exponent=_signed(exponents & 0x0F, 4),
        r_exponent=_signed(exponents >> 4, 4),
        signed=signed,
    )


def _signed(number: int, bits: int) -> int:
    return number - (1 << bits) if number >> bits - 1 else number
