"""The Chassis network function (00h): power, identification and boot options (chapter 28)."""

from __future__ import annotations

from collections.abc import Mapping

from ..host import HostReset, PowerState
from .codes import Caller, Code, Command, Commands, CompletionError, Privilege
from .node import Node

NETFN = 0x00
_POWERED = (PowerState.ON, PowerState.POWERING_OFF)  # off is off only once it is
_CONTROLS: Mapping[int, HostReset] = {
    0: HostReset.FORCE_OFF,
    1: HostReset.ON,
    2: HostReset.POWER_CYCLE,
    3: HostReset.FORCE_RESTART,
    5: HostReset.GRACEFUL_SHUTDOWN,
}
# 28.3: what restarts a host that is off is to be refused with D5h.
_NEEDS_POWER = (HostReset.POWER_CYCLE, HostReset.FORCE_RESTART, HostReset.GRACEFUL_SHUTDOWN)
_IDENTIFY_SECONDS = 15  # the specification's default (28.5)
_DEVICES: Mapping[int, str] = {1: "Pxe", 2: "Hdd", 5: "Cd", 6: "BiosSetup", 15: "Floppy"}
_SELECTORS: Mapping[str, int] = {device: selector for selector, device in _DEVICES.items()}
_NO_OVERRIDE = bytes(5)
_VALID, _PERSISTENT = 0x80, 0x40
_PARAMETER_UNSUPPORTED = 0x80
_SET_IN_PROGRESS, _FLAG_CLEARING, _ACKNOWLEDGE, _FLAGS, _INITIATOR = 0, 3, 4, 5, 6
_LENGTHS: Mapping[int, int] = {
    _SET_IN_PROGRESS: 1,
    1: 1,
    2: 1,
    _FLAG_CLEARING: 1,
    _ACKNOWLEDGE: 2,
    _FLAGS: 5,
    _INITIATOR: 9,
}


class Chassis:
    """Answers the Chassis commands of one BMC."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._identifying = 0  # which request to identify is the last one
        self._flags = _NO_OVERRIDE
        self._flags_since = 0  # the host's last reset when the flags were set
        self._options: dict[int, bytes] = {number: bytes(length) for number, length in _LENGTHS.items()}

    def commands(self) -> Commands:
        """Return what the BMC understands of this network function."""
        return {
            (NETFN, 0x00): Command(lambda *_: bytes([0x00, 0x20, 0x20, 0x20, 0x20])),
            (NETFN, 0x01): Command(self._status),
            (NETFN, 0x02): Command(self._control, Privilege.OPERATOR, least=1),
            (NETFN, 0x04): Command(self._identify, Privilege.OPERATOR),
            (NETFN, 0x07): Command(lambda *_: b"\x00\x01"),  # restart cause unknown
            (NETFN, 0x08): Command(self._set_option, Privilege.OPERATOR, least=1),
            (NETFN, 0x09): Command(self._option, Privilege.OPERATOR, least=3),
        }

    def _status(self, _: bytes, __: Caller) -> bytes:
        with self._node.exclusive() as machine:
            powered = machine.power in _POWERED
            identifying = self._node.identifying()
        # Power restore policy unknown; the state of the identify light is told (bit 6 of the third byte).
        return bytes([0x60 | powered, 0x00, 0x40 | (0x10 if identifying else 0x00), 0x00])

    def _control(self, data: bytes, _: Caller) -> bytes:
        kind = _CONTROLS.get(data[0] & 0x0F)
        if kind is None:
            raise CompletionError(Code.INVALID_DATA)
        with self._node.exclusive() as machine:
            if kind in _NEEDS_POWER and machine.power not in _POWERED:
                raise CompletionError(Code.STATE)
            machine.reset_host(kind)
        return b""

    def _identify(self, data: bytes, _: Caller) -> bytes:
        seconds = data[0] if data else _IDENTIFY_SECONDS
        forever = len(data) > 1 and bool(data[1] & 1)
        self._identifying += 1
        request = self._identifying

        def end() -> None:
            if request == self._identifying:
                self._node.set_identifying(on=False)

        with self._node.exclusive() as machine:
            self._node.set_identifying(on=bool(seconds or forever))
            if seconds and not forever:
                machine.after(seconds, end)
        return b""

    # -- boot options (28.12 to 28.14) ----------------------------------------------------------

    def _set_option(self, data: bytes, _: Caller) -> bytes:
        number, value = data[0] & 0x7F, data[1:]
        length = _LENGTHS.get(number)
        if length is None:
            raise CompletionError(_PARAMETER_UNSUPPORTED)
        if not value:
            return b""  # only locks or unlocks the parameter
        if len(value) < length:
            raise CompletionError(Code.LENGTH)
        if number == _FLAGS:
            self._set_flags(value[:length])
        else:
            self._options[number] = value[:length]
        return b""

    def _option(self, data: bytes, _: Caller) -> bytes:
        number = data[0] & 0x7F
        if number == _FLAGS:
            value = self._present_flags()
        elif number in self._options:
            value = self._options[number]
        else:
            raise CompletionError(_PARAMETER_UNSUPPORTED)
        return bytes([0x01, number]) + value

    def _set_flags(self, flags: bytes) -> None:
        device = flags[1] >> 2 & 0x0F
        if device and device not in _DEVICES:
            raise CompletionError(Code.INVALID_DATA)
        with self._node.exclusive() as machine:
            self._flags, self._flags_since = flags, machine.last_reset
            self._node.set_boot_device(_DEVICES[device] if flags[0] & _VALID and device else "Hdd")

    def _present_flags(self) -> bytes:
        """Return the flags; those for one boot end with it, and what Redfish set since shows here too."""
        with self._node.exclusive() as machine:
            flags = self._flags
            if flags[0] & _VALID and not flags[0] & _PERSISTENT and machine.last_reset != self._flags_since:
                self._flags = flags = _NO_OVERRIDE
                self._node.set_boot_device("Hdd")
            selector = _SELECTORS.get(self._node.boot_device(), 0)
        if flags[0] & _VALID and selector != flags[1] >> 2 & 0x0F:
            return bytes([_VALID | _PERSISTENT, selector << 2, 0, 0, 0])
        return flags
