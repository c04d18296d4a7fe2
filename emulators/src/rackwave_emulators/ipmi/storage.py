"""The Storage and Sensor network functions (0Ah, 04h): SEL, SDR repository, FRU inventory, sensor readings."""

from __future__ import annotations

import struct

from .codes import Caller, Code, Command, Commands, CompletionError, Privilege
from .fru import fru_inventory
from .node import Node
from .sel import CAPACITY, LAST, Witness
from .sensors import BY_NUMBER, Analog, Discrete, sensor_records

NETFN, NETFN_SENSOR = 0x0A, 0x04
_ALL = 0xFF
_VERSION = 0x51
_SEL_ENTRY = 16
_ERASE, _STATUS = 0xAA, 0x00
_ERASED = 0x01
_LONGEST_READ = 0x80


class Storage:
    """Answers the Storage and Sensor commands of one BMC, from the log that *witness* keeps."""

    def __init__(self, node: Node, witness: Witness) -> None:
        self._node = node
        self._witness = witness
        self._log = witness.log
        self._records = sensor_records()
        self._fru = b""
        self._sel_reservation = self._sdr_reservation = 0

    def commands(self) -> Commands:
        """Return what the BMC understands of these network functions."""
        operator = Privilege.OPERATOR
        return {
            (NETFN_SENSOR, 0x27): Command(self._thresholds, least=1),
            (NETFN_SENSOR, 0x2D): Command(self._reading, least=1),
            (NETFN, 0x10): Command(self._fru_area, least=1),
            (NETFN, 0x11): Command(self._read_fru, least=4),
            (NETFN, 0x20): Command(self._sdr_info),
            (NETFN, 0x22): Command(self._reserve_sdr),
            (NETFN, 0x23): Command(self._sdr, least=6),
            (NETFN, 0x40): Command(self._sel_info),
            (NETFN, 0x42): Command(self._reserve_sel),
            (NETFN, 0x43): Command(self._sel_entry, least=6),
            (NETFN, 0x44): Command(self._add_sel_entry, operator, least=_SEL_ENTRY),
            (NETFN, 0x47): Command(self._clear_sel, operator, least=6),
            (NETFN, 0x48): Command(self._sel_time),
            (NETFN, 0x49): Command(self._set_sel_time, operator, least=4),
        }

    # -- sensors (chapter 35) -------------------------------------------------------------------

    def _thresholds(self, data: bytes, _: Caller) -> bytes:
        match BY_NUMBER.get(data[0]):
            case Analog() as sensor:
                return sensor.thresholds()
            case Discrete():
                raise CompletionError(Code.INVALID_COMMAND)
            case None:
                raise CompletionError(Code.NOT_PRESENT)

    def _reading(self, data: bytes, _: Caller) -> bytes:
        with self._node.exclusive() as machine:
            state = machine.glimpse()
        match BY_NUMBER.get(data[0]):
            case Analog() as sensor:
                return sensor.reading(state, self._node.uuid)
            case Discrete() as sensor:
                return sensor.reading(state)
            case None:
                raise CompletionError(Code.NOT_PRESENT)

    # -- FRU inventory (chapter 34) -------------------------------------------------------------

    def _fru_area(self, data: bytes, _: Caller) -> bytes:
        return struct.pack("<HB", len(self._inventory(data[0])), 0)

    def _read_fru(self, data: bytes, _: Caller) -> bytes:
        inventory = self._inventory(data[0])
        start, count = struct.unpack_from("<HB", data, 1)
        if start >= len(inventory):
            raise CompletionError(Code.OUT_OF_RANGE)
        found = inventory[start : start + min(count, _LONGEST_READ)]
        return bytes([len(found)]) + found

    def _inventory(self, device: int) -> bytes:
        if device != 0:
            raise CompletionError(Code.NOT_PRESENT)
        if not self._fru:
            with self._node.exclusive() as machine:
                self._fru = fru_inventory(
                    manufacturer=self._node.vendor,
                    model=self._node.model,
                    serial=machine.serial,
                    uuid=self._node.uuid,
                    name=self._node.name,
                )
        return self._fru

    # -- SDR repository (chapter 33) ------------------------------------------------------------

    def _sdr_info(self, _: bytes, __: Caller) -> bytes:
        # No room, never added to or erased since the factory; it can be reserved.
        return struct.pack("<BHHIIB", _VERSION, len(self._records), 0, 0, 0, 0x02)

    def _reserve_sdr(self, _: bytes, __: Caller) -> bytes:
        self._sdr_reservation = self._sdr_reservation % 0xFFFF + 1
        return struct.pack("<H", self._sdr_reservation)

    def _sdr(self, data: bytes, _: Caller) -> bytes:
        reservation, number, start, count = struct.unpack_from("<HHBB", data)
        if start and reservation != self._sdr_reservation:
            raise CompletionError(Code.RESERVATION_CANCELLED)
        index = len(self._records) - 1 if number == LAST else max(number - 1, 0)
        if index >= len(self._records):
            raise CompletionError(Code.NOT_PRESENT)
        following = index + 2 if index + 1 < len(self._records) else LAST
        return struct.pack("<H", following) + _part(self._records[index], start, count)

    # -- SEL (chapter 31) -----------------------------------------------------------------------

    def _sel_info(self, _: bytes, __: Caller) -> bytes:
        self._witness.catch_up()
        log = self._log
        free = (CAPACITY - len(log)) * _SEL_ENTRY
        operations = 0x02 | (0x80 if log.overflowed else 0)  # it can be reserved; bit 7: entries were lost
        return struct.pack(
            "<BHHIIB", _VERSION, len(log), min(free, 0xFFFF), int(log.added_at), int(log.erased_at), operations
        )

    def _reserve_sel(self, _: bytes, __: Caller) -> bytes:
        self._sel_reservation = self._sel_reservation % 0xFFFF + 1
        return struct.pack("<H", self._sel_reservation)

    def _sel_entry(self, data: bytes, _: Caller) -> bytes:
        self._witness.catch_up()
        reservation, number, start, count = struct.unpack_from("<HHBB", data)
        if start and reservation != self._sel_reservation:
            raise CompletionError(Code.RESERVATION_CANCELLED)
        found = self._log.find(number)
        if found is None:
            raise CompletionError(Code.NOT_PRESENT)
        following, record = found
        return struct.pack("<H", following) + _part(record, start, count)

    def _add_sel_entry(self, data: bytes, _: Caller) -> bytes:
        number = self._log.add(data[:_SEL_ENTRY], at=self._witness.catch_up())
        if number is None:
            raise CompletionError(0xC4)  # out of space
        return struct.pack("<H", number)

    def _clear_sel(self, data: bytes, _: Caller) -> bytes:
        reservation, letters, action = struct.unpack_from("<H3sB", data)
        if letters != b"CLR" or action not in (_ERASE, _STATUS):
            raise CompletionError(Code.INVALID_DATA)
        if action == _ERASE:
            if reservation != self._sel_reservation:
                raise CompletionError(Code.RESERVATION_CANCELLED)
            self._log.clear(at=self._witness.catch_up())
            self._sel_reservation = 0  # whoever read in the middle must begin again (31.4.2)
        return bytes([_ERASED])

    def _sel_time(self, _: bytes, __: Caller) -> bytes:
        return struct.pack("<I", int(self._witness.catch_up()) & 0xFFFF_FFFF)

    def _set_sel_time(self, data: bytes, _: Caller) -> bytes:
        with self._node.exclusive() as machine:
            machine.controller.clock_offset = int.from_bytes(data[:4], "little") - machine.time
        return b""


def _part(record: bytes, start: int, count: int) -> bytes:
    if start >= len(record):
        raise CompletionError(Code.OUT_OF_RANGE)
    return record[start:] if count == _ALL else record[start : start + count]
