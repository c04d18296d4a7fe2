"""How far the host has come since its last start, as far as standard IPMI tells it.

Witnesses, all of the specification (table 42-3), none of which a BMC must have:

- **System Boot Initiated** (1Dh) in the event log: a start; its entry marks the boot.
- **Power Unit** (09h): power went off, came back, was cycled.
- **System Firmware Progress** (0Fh), as a sensor that can be read and in the log: an error or a hang of POST
  (offsets 0 and 1), progress (2), of which code 13h is "starting operating system boot".
- **OS Boot** (1Fh): an operating system, or its installer, has booted. **OS Stop** (20h): it died.

Rules:

- Where no witness speaks, POST is Unknown, not complete. That the progress sensor is quiet proves something
  only where it was seen to move since the start: a host whose firmware is spoilt never moves it.
- What the log tells counts from the last start on, in the log's order.
- The marker of a boot counts only where the log is known to have restarts in it, for some BMCs enter power-ups
  alone; and a log that is full enters nothing at all. A log that was cleared takes the marker with it.
"""

from __future__ import annotations

from enum import Enum

from ...core.observation import Post, Power, Unknown
from .sel import Entry, News
from .sensors import Reading

POWER_UNIT = 0x09
PROGRESS = 0x0F
BOOT_INITIATED = 0x1D
OS_BOOT = 0x1F
OS_STOP = 0x20

_SPECIFIC = 0x6F
_RESTARTS = (0x1, 0x2, 0x7)  # hard reset, warm reset, system restart
_STARTING_OS = 0x13
_PASSING = (0x05, 0x07, 0x08)  # floppy, keyboard, no boot media: POST goes on, or is through
_OS_BOOTED = range(7)


class _Stage(Enum):
    OFF = "off"
    STARTED = "started"
    POST = "post"
    FAILED = "failed"
    OS = "os"
    STOPPED = "stopped"


class Startup:
    """What was witnessed of one host's starts."""

    def __init__(self) -> None:
        self._stage: _Stage | None = None
        self._marker: str | None = None
        self._has_restarts = False
        self._is_full = False
        self._has_moved = False
        self._reading: int | None = None

    def hear(self, news: News) -> None:
        """Take in what the event log says since the last time."""
        if news.gap:
            self._stage = self._marker = None
            self._has_restarts = self._has_moved = False
        self._is_full = news.full
        for entry in news.entries:
            if entry.event_type == _SPECIFIC:
                self._take(entry)

    def see(self, progress: Reading | None) -> None:
        """Take in what the firmware progress sensor reads now; None: there is none, or it does not tell."""
        self._reading = None if progress is None else progress.states & 0b111
        if self._reading:
            self._has_moved = True

    def restarted(self) -> None:
        """Take in that we restart the host ourselves: what was seen before says nothing of what comes."""
        self._stage = None
        self._has_moved = False

    def post(self, power: Power) -> Post | Unknown:
        """Say how far the host has come."""
        if power is Power.OFF:
            return Post.NOT_RUNNING
        reading = self._reading
        if reading is not None and reading & 0b011:
            return Post.FAILED
        if self._stage in (_Stage.OS, _Stage.STOPPED):
            return Post.COMPLETE
        if reading:
            return Post.RUNNING
        if self._stage is _Stage.FAILED:
            return Post.FAILED
        if reading is not None and self._has_moved:
            return Post.COMPLETE
        if self._stage is _Stage.POST:
            return Post.RUNNING
        if self._stage is _Stage.STARTED:
            return Unknown("the host was started, and nothing tells how far it has come")
        return Unknown("no sensor and no entry of the event log tells of POST")

    def os(self, power: Power) -> bool | Unknown:
        """Say whether an operating system was started, and lives as far as the log knows."""
        if power is Power.OFF or self._stage in (_Stage.FAILED, _Stage.STOPPED):
            return False
        if self._stage is _Stage.OS:
            return True
        if self._reading or self._stage is _Stage.POST:
            return False
        return Unknown("no entry of the event log tells of an operating system")

    @property
    def has_stopped(self) -> bool:
        """Whether the operating system died since the last start."""
        return self._stage is _Stage.STOPPED

    def boot(self) -> str | Unknown:
        """Return the marker of this boot."""
        if self._is_full:
            return Unknown("the event log is full, so that a start would not be entered")
        if self._marker is None or not self._has_restarts:
            return Unknown("the event log has no entry of a restart")
        return self._marker

    def _take(self, entry: Entry) -> None:
        match entry.sensor_type, entry.offset, entry.asserted:
            case 0x1D, offset, True:
                self._start(_Stage.STARTED)
                self._marker = f"ipmi-sel-{entry.number}-{entry.at}"
                self._has_restarts = self._has_restarts or offset in _RESTARTS
            case 0x09, 0x0, True:
                self._start(_Stage.OFF)
            case (0x09, 0x0, False) | (0x09, 0x1, True):
                self._start(_Stage.STARTED)
            case 0x0F, 0x0 | 0x1 as offset, True if self._stage in (_Stage.STARTED, _Stage.POST):
                if offset or entry.more[0] not in _PASSING:
                    self._stage = _Stage.FAILED
            case 0x0F, 0x2, True if entry.more[0] == _STARTING_OS:
                self._stage = _Stage.OS
            case 0x0F, 0x2, True:
                self._stage, self._has_moved = _Stage.POST, True
            case 0x1F, offset, True if offset in _OS_BOOTED:
                self._stage = _Stage.OS
            case 0x20, 0x0 | 0x1, True:
                self._stage = _Stage.STOPPED
            case _:
                pass

    def _start(self, stage: _Stage) -> None:
        self._stage, self._has_moved = stage, False
