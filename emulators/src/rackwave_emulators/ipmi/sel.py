"""The system event log (chapters 31 and 32), and who writes into it what befalls the machine.

Entered are: power off and on, starts and restarts, a POST that starts the operating system or fails, a
host that stops in mid-run (critical stop, and the watchdog that notices), firmware that changed or was
spoilt, and restarts of the BMC.
"""

from __future__ import annotations

import struct

from attrs import frozen

from rackwave.core.identity import ComponentName
from rackwave.core.observation import Post

from ..host import PowerState
from ..machine import Glimpse
from .node import Node
from .sensors import Kind, Number

CAPACITY = 512
FIRST, LAST = 0x0000, 0xFFFF
_SYSTEM_EVENT = 0x02
_GENERATOR = 0x0020  # the BMC itself
_REVISION = 0x04
_SENSOR_SPECIFIC = 0x6F
_DEASSERTED = 0x80
_SECOND_BYTE_SAYS_MORE = 0xC0
_ENTRY = struct.Struct("<HBIHBBBB3s")
_STARTING_OS = 0x13  # System Firmware Progress, event data 2 (table 42-3)
_ROM_CORRUPT = 0x0B  # System Firmware Error, event data 2 (table 42-3)
_CHANGED = {ComponentName("BIOS"): 0x09, ComponentName("BMC"): 0x02}  # Version Change, event data 2


@frozen
class Event:
    """Something to enter: which sensor, which of its states, and up to two bytes more."""

    sensor: Number
    kind: Kind
    offset: int
    deasserted: bool = False
    more: bytes = b""

    def entry(self, number: int, at: float) -> bytes:
        """Return the 16 bytes of its SEL record (32.1)."""
        data = bytes([self.offset | (_SECOND_BYTE_SAYS_MORE if self.more else 0)]) + self.more
        return _ENTRY.pack(
            number,
            _SYSTEM_EVENT,
            _timestamp(at),
            _GENERATOR,
            _REVISION,
            self.kind,
            self.sensor,
            _SENSOR_SPECIFIC | (_DEASSERTED if self.deasserted else 0),
            data.ljust(3, b"\xff"),
        )


class EventLog:
    """The records in their order; when it is full, what is new is lost."""

    def __init__(self) -> None:
        self._records: dict[int, bytes] = {}
        self._last = 0
        self.overflowed = False
        self.revision = 0
        """Another one for every other content."""
        self.added_at = 0.0
        self.erased_at = 0.0

    def __len__(self) -> int:
        return len(self._records)

    @property
    def records(self) -> tuple[bytes, ...]:
        """Every record, in the order in which they came."""
        return tuple(self._records.values())

    def enter(self, event: Event, *, at: float) -> None:
        """Enter *event*, dated *at*."""
        if (number := self._room()) is not None:
            self._records[number] = event.entry(number, at)
            self.added_at = at

    def add(self, record: bytes, *, at: float) -> int | None:
        """Enter a client's 16 bytes and return their number; None: the log is full."""
        number = self._room()
        if number is None:
            return None
        # The BMC dates what has a date, and numbers everything (31.6).
        dated = struct.pack("<I", _timestamp(at)) if record[2] < 0xE0 else record[3:7]
        self._records[number] = struct.pack("<H", number) + record[2:3] + dated + record[7:16]
        self.added_at = at
        return number

    def find(self, number: int) -> tuple[int, bytes] | None:
        """Return a record and the number of the one after it; FIRST and LAST work too."""
        numbers = list(self._records)
        if not numbers:
            return None
        wanted = numbers[0] if number == FIRST else numbers[-1] if number == LAST else number
        if wanted not in self._records:
            return None
        place = numbers.index(wanted) + 1
        return (numbers[place] if place < len(numbers) else LAST), self._records[wanted]

    def clear(self, *, at: float) -> None:
        """Erase everything."""
        self.revision += 1
        self._records.clear()
        self.overflowed = False
        self.erased_at = at

    def _room(self) -> int | None:
        self.revision += 1
        if len(self._records) >= CAPACITY:
            self.overflowed = True
            return None
        self._last = self._last % 0xFFFE + 1
        while self._last in self._records:
            self._last = self._last % 0xFFFE + 1
        return self._last


class Witness:
    """Enters into ``log`` what befalls the machine of *node*, from now on.

    It compares how the machine stands with how it stood, after everything that happens in it by itself.
    """

    def __init__(self, node: Node) -> None:
        self.log = EventLog()
        self._node = node
        with node.exclusive() as machine:
            self._components = tuple(spec.name for spec in machine.personality.components)
            self._before = machine.glimpse()
            self._controller = machine.controller
            machine.watch(self._look)

    def catch_up(self) -> float:
        """Enter what has happened so far, and return the time by the BMC's clock."""
        with self._node.exclusive() as machine:
            self._look(machine.glimpse())
            return machine.time + machine.controller.clock_offset

    def _look(self, state: Glimpse) -> None:
        before, self._before = self._before, state
        for event in self._events(before, state):
            self.log.enter(event, at=state.time + self._controller.clock_offset)  # P33: its clock may be wrong

    def _events(self, before: Glimpse, now: Glimpse) -> list[Event]:
        found = []
        went_off, was_off = now.power is PowerState.OFF, before.power is PowerState.OFF
        restarted = now.host_resets > before.host_resets
        if went_off and not was_off:
            found.append(Event(Number.POWER, Kind.POWER_UNIT, 0x00))
        if was_off and not went_off:
            found.append(Event(Number.POWER, Kind.POWER_UNIT, 0x00, deasserted=True))
        if before.power in (PowerState.ON, PowerState.POWERING_OFF) and now.power is PowerState.POWERING_ON:
            found.append(Event(Number.POWER, Kind.POWER_UNIT, 0x01))  # a power cycle, off for an instant only
        if restarted:
            powered_up = was_off or before.power is PowerState.POWERING_ON
            found.append(Event(Number.BOOT, Kind.BOOT_INITIATED, 0x00 if powered_up else 0x01))
        for name, old, new in zip(self._components, before.activations, now.activations, strict=True):
            if new > old:
                more = bytes([_CHANGED.get(name, 0x00), self._components.index(name)])
                found.append(Event(Number.VERSION, Kind.VERSION_CHANGE, 0x07, more=more))
        if now.corruptions > before.corruptions:
            found.append(Event(Number.POST, Kind.FIRMWARE_PROGRESS, 0x00, more=bytes([_ROM_CORRUPT])))
        if now.post is Post.COMPLETE and (restarted or before.post is not Post.COMPLETE):
            found.append(Event(Number.POST, Kind.FIRMWARE_PROGRESS, 0x02, more=bytes([_STARTING_OS])))
        if now.post is Post.FAILED and (restarted or before.post is not Post.FAILED):
            if before.post is Post.COMPLETE and not restarted:
                found.append(Event(Number.OS_STOP, Kind.OS_STOP, 0x01))
                found.append(Event(Number.WATCHDOG, Kind.WATCHDOG_2, 0x00))
            else:
                found.append(Event(Number.POST, Kind.FIRMWARE_PROGRESS, 0x00))
        if now.bmc_resets > before.bmc_resets:
            found.append(Event(Number.BMC_HEALTH, Kind.SUBSYSTEM_HEALTH, 0x03))
        return found


def _timestamp(at: float) -> int:
    return min(max(int(at), 0), 0xFFFF_FFFE)
