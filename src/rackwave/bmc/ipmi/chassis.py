"""The chassis: power, its control, the identify light and the boot device (IPMI 2.0, chapter 28)."""

from __future__ import annotations

from enum import IntEnum

from attrs import frozen

from ...core.observation import Power
from ...core.receipt import Accepted, Ground, Receipt, Refused
from ...errors import BmcAnswerError, NodeError
from ...ports import ResetKind
from . import completion
from .session import Command, Session

GET_STATUS = Command(0x00, 0x01, "Get Chassis Status")
CONTROL = Command(0x00, 0x02, "Chassis Control")
IDENTIFY = Command(0x00, 0x04, "Chassis Identify")
SET_BOOT_OPTIONS = Command(0x00, 0x08, "Set System Boot Options")
GET_BOOT_OPTIONS = Command(0x00, 0x09, "Get System Boot Options")

_FLAGS = 5  # the boot flags' parameter number (28.13)
_VALID, _PERSISTENT, _UEFI = 0x80, 0x40, 0x20
_IDENTIFY_KNOWN = 0x40


class Control(IntEnum):
    """What Chassis Control can be asked for (28.3)."""

    POWER_DOWN = 0
    POWER_UP = 1
    POWER_CYCLE = 2
    HARD_RESET = 3
    DIAGNOSTIC_INTERRUPT = 4
    SOFT_SHUTDOWN = 5


_CONTROLS = {
    ResetKind.ON: (Control.POWER_UP,),
    ResetKind.FORCE_OFF: (Control.POWER_DOWN,),
    ResetKind.FORCE_RESTART: (Control.HARD_RESET, Control.POWER_CYCLE),
}
"""In order of preference: a chassis that cannot do the first says so, and does nothing."""

_HAS_NOT = (completion.INVALID_COMMAND, completion.INVALID_DATA, completion.DISABLED)


class BootDevice(IntEnum):
    """Where to boot from, by the numbers of the boot flags (28.13, parameter 5)."""

    NONE = 0
    PXE = 1
    DISK = 2
    SAFE_MODE = 3
    DIAGNOSTICS = 4
    CD = 5
    SETUP = 6
    FLOPPY = 15


@frozen
class ChassisStatus:
    """Get Chassis Status. *identifying* is None where the chassis does not tell."""

    power: Power
    overload: bool
    power_fault: bool
    control_fault: bool
    drive_fault: bool
    cooling_fault: bool
    identifying: bool | None


@frozen
class Boot:
    """The boot override: *device* NONE is none; *persistent* holds for more than the next boot."""

    device: BootDevice | int
    persistent: bool = False
    uefi: bool = False


class Chassis:
    """The chassis of one node."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def status(self) -> ChassisStatus:
        """Read power and faults.

        Raises:
            NodeError: as `Session.ask`.
        """
        data = await self._session.ask(GET_STATUS, least=3)
        power, misc = data[0], data[2]
        return ChassisStatus(
            power=Power.ON if power & 0x01 else Power.OFF,
            overload=bool(power & 0x02),
            power_fault=bool(power & 0x08),
            control_fault=bool(power & 0x10),
            drive_fault=bool(misc & 0x04),
            cooling_fault=bool(misc & 0x08),
            identifying=bool(misc & 0x30) if misc & _IDENTIFY_KNOWN else None,
        )

    async def reset(self, kind: ResetKind) -> Receipt:
        """Change the host's power, once. A refusal in the state that was asked for is as good as yes (P35).

        Where the chassis has none of the controls that would do, that is said to be so (`Ground.UNABLE`): a
        restart can then be made of off and on (P42).

        Raises:
            NodeError: as `Session.act`.
        """
        receipt: Receipt = Refused("there is no chassis control", ground=Ground.UNABLE)
        for control in _CONTROLS[kind]:
            receipt, is_lacking = await self._control(control)
            if not is_lacking:
                return receipt
        return Refused(receipt.reason, ground=Ground.UNABLE) if isinstance(receipt, Refused) else receipt

    async def control(self, control: Control) -> Receipt:
        """Send one Chassis Control, once. A refusal in the state that was asked for is as good as yes (P35).

        Raises:
            NodeError: as `Session.act`.
        """
        return (await self._control(control))[0]

    async def _control(self, control: Control) -> tuple[Receipt, bool]:
        """Send it; return the receipt, and whether the chassis lacks it."""
        way = f"Chassis Control {control.name.lower().replace('_', ' ')}"
        code = await self._session.act(CONTROL, bytes([control]))
        receipt = completion.receipt_of(code, way)
        if isinstance(receipt, Refused) and await self._is_so(control):
            return Accepted(way=way), False
        return receipt, code in _HAS_NOT

    async def _is_so(self, control: Control) -> bool:
        wanted = {Control.POWER_UP: Power.ON, Control.POWER_DOWN: Power.OFF}.get(control)
        if wanted is None:
            return False
        try:
            return (await self.status()).power is wanted
        except NodeError:
            return False  # then the refusal stands

    async def identify(self, *, on: bool) -> Receipt:
        """Switch the identify light on, until it is switched off, or off.

        Raises:
            NodeError: as `Session.act`.
        """
        # Switched on for good where the BMC knows how (the second byte came with IPMI 2.0), else for as
        # long as a byte can say, 255 s.
        requests = (b"\x00\x01", b"\xff") if on else (b"\x00",)
        code = completion.UNSPECIFIED
        for request in requests:
            code = await self._session.act(IDENTIFY, request)
            if code not in (completion.LENGTH, completion.FIELD_LENGTH, completion.INVALID_DATA):
                break
        return completion.receipt_of(code, IDENTIFY.name)

    async def boot(self) -> Boot:
        """Read the boot override.

        Raises:
            NodeError: as `Session.ask`.
        """
        data = await self._session.ask(GET_BOOT_OPTIONS, bytes([_FLAGS, 0, 0]), least=4)
        if data[1] & 0x7F != _FLAGS:
            message = f"{self._session.node}: asked for boot flags, the BMC told parameter {data[1] & 0x7F}"
            raise BmcAnswerError(message, node=self._session.node)
        if not data[2] & _VALID:
            return Boot(BootDevice.NONE)
        number = data[3] >> 2 & 0x0F
        device = BootDevice(number) if number in set(BootDevice) else number
        return Boot(device, bool(data[2] & _PERSISTENT), bool(data[2] & _UEFI))

    async def set_boot(self, boot: Boot) -> Receipt:
        """Set the boot override; device NONE takes it back.

        Raises:
            NodeError: as `Session.act`.
        """
        flags = _VALID | (_PERSISTENT if boot.persistent else 0) | (_UEFI if boot.uefi else 0)
        if boot.device == BootDevice.NONE:
            flags = 0  # flags that are not valid override nothing
        octets = bytes([_FLAGS, flags, boot.device << 2, 0, 0, 0])
        return completion.receipt_of(await self._session.act(SET_BOOT_OPTIONS, octets), SET_BOOT_OPTIONS.name)
