"""Firmware over HPM.1 (PICMG HPM.1 R1.0): what there is, uploads, activation, self test and the way back.

Rules:

- An upload is stop and wait, block by block. A block whose answer was lost is sent again under its number: a
  BMC that has it says yes and keeps one (HPM.1, 3.4.5). So an upload outlives lost packets and lost sessions;
  it does not outlive a restart of the BMC, which forgets it (D5h).
- The block's size is what the BMC takes, found with the first block. A refused length is nothing taken; but
  after silence nobody knows, so the upload is aborted and begun anew before another size is tried.
- The last block waits for *completing*. Before it the BMC cannot hold the whole image, and an upload that
  breaks off is aborted; after it, nothing is.
- An upload that is under way already (D5h) is somebody else's, and is left alone.
- Commands that take long answer 80h and are followed by Get Upgrade Status.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from attrs import define, frozen

from ...core.identity import ComponentName
from ...core.observation import Component, Lack, TaskPhase, TaskSeen, Unknown
from ...core.receipt import Accepted, Ambiguous, Ground, Receipt, Refused
from ...errors import BmcAmbiguousError, BmcAnswerError, BmcLoginError, BmcRefusedError, BmcUnreachableError, NodeError
from ...ports import Clock
from . import completion
from .device import DeviceId
from .hpm_image import BackUp, Device, Package, Prepare, Upload
from .hpm_version import version_text
from .link import Link, Patience
from .session import Command, Session

CAPABILITIES = Command(0x2C, 0x2E, "Get Target Upgrade Capabilities")
PROPERTIES = Command(0x2C, 0x2F, "Get Component Properties")
ABORT = Command(0x2C, 0x30, "Abort Firmware Upgrade")
INITIATE = Command(0x2C, 0x31, "Initiate Upgrade Action")
BLOCK = Command(0x2C, 0x32, "Upload Firmware Block")
FINISH = Command(0x2C, 0x33, "Finish Firmware Upload")
STATUS = Command(0x2C, 0x34, "Get Upgrade Status")
ACTIVATE = Command(0x2C, 0x35, "Activate Firmware")
SELF_TEST = Command(0x2C, 0x36, "Query Self-test Results")
ROLLBACK_STATUS = Command(0x2C, 0x37, "Query Rollback Status")
ROLLBACK = Command(0x2C, 0x38, "Initiate Manual Rollback")

WAY = "HPM.1"
TASK = "hpm1"
"""The URI of the one task that HPM.1 has: the last command that took long."""

_PICMG = b"\x00"
_TICK = 5.0  # seconds in which HPM.1 counts; python-ipmi reads them as single seconds
_LEAST_WAIT = 30.0
_POLL = 1.0
_ACTIONS = {BackUp: 0, Prepare: 1, Upload: 2}
_GENERAL, _CURRENT, _DESCRIPTION, _DEFERRED = 0, 1, 2, 4
_CAN_BACK_UP, _CAN_PREPARE, _CAN_DEFER = 0x03, 0x04, 0x10  # general properties (table 3-6)

BLOCK_SIZES = (512, 192, 96, 22)
"""Bytes of firmware in a block, tried from the largest. 512 fits in any packet; IPMI 1.5 had room for 22."""

_BLOCK_PATIENCE = Patience(2.0, 5)
_BURST = 0.1
"""Seconds for which one call sends blocks before others get the thread."""
_LOST_SESSIONS = 8
"""How often one upload goes on in a new session; by then four of five packets are lost."""
_BUSY_TRIES = 60
_SILENCE = -1
_SMALLER_PLEASE = (
    _SILENCE,
    completion.LENGTH,
    completion.FIELD_LENGTH,
    completion.TOO_MANY_BYTES,
    completion.OUT_OF_RANGE,
)
_ABORT_WITHIN = 10.0


@frozen
class Capabilities:
    """Get Target Upgrade Capabilities. *patience* is the longest that the BMC says it takes, in seconds."""

    components: tuple[int, ...]
    self_test: bool
    manual_rollback: bool
    deferred: bool
    patience: float


@define
class _Course:
    """How an upload stands at the BMC: *begun* by us, and *whole* once its last block may be there."""

    begun: bool = False
    whole: bool = False

    @property
    def is_in_the_way(self) -> bool:
        """Whether an upload of ours is unfinished there, so that it takes no other."""
        return self.begun and not self.whole


@define
class _Progress:
    """How far an upload is: *sent* bytes are acknowledged, *block* is the number of the next one."""

    size: int
    sent: int = 0
    block: int = 0


class Hpm:
    """The firmware of one node's BMC."""

    def __init__(self, session: Session, clock: Clock) -> None:
        self._session = session
        self._clock = clock
        self._names: dict[str, int] = {}
        self._named_in = 0

    # -- what there is --------------------------------------------------------------------------

    async def capabilities(self) -> Capabilities:
        """Read what the BMC can do.

        Raises:
            NodeError: as `Session.ask`; a BMC without HPM.1 refuses with C1h.
        """
        data = await self._ask(CAPABILITIES, least=7)
        flags, *times = data[1:6]
        present = data[6]
        return Capabilities(
            components=tuple(number for number in range(8) if present >> number & 1),
            self_test=bool(flags & 0x01),
            manual_rollback=bool(flags & 0x04),
            deferred=bool(flags & 0x10),
            patience=max(_LEAST_WAIT, max(times, default=0) * _TICK),
        )

    async def component(self, name: ComponentName) -> Component:
        """Read what is installed and what waits in the component called *name*.

        Raises:
            NodeError: as `Session.ask`.
        """
        number = await self.number(name)
        if number is None:
            unknown = Unknown(f"HPM.1 lists no component {name}", Lack.ABSENT)
            return Component(name, unknown, unknown)
        current = version_text(await self._property(number, _CURRENT, 6))
        return Component(
            name, Unknown("the BMC tells no version") if current is None else current, await self._deferred(number)
        )

    async def number(self, name: ComponentName) -> int | None:
        """Return the number of the component called *name*; None: there is none.

        Names are read once a session: a BMC that was flashed may have others.

        Raises:
            NodeError: as `Session.ask`.
        """
        if not self._names or self._named_in != self._session.generation:
            found: dict[str, int] = {}
            for number in (await self.capabilities()).components:
                text = (await self._property(number, _DESCRIPTION, 1)).split(b"\x00")[0]
                found.setdefault(text.decode("ascii", "replace").strip(), number)
            self._names, self._named_in = found, self._session.generation
        return self._names.get(str(name))

    async def _deferred(self, number: int) -> str | Unknown | None:
        try:
            return version_text(await self._property(number, _DEFERRED, 6))
        except BmcRefusedError as error:
            # 83h: no such property, where nothing can be deferred (HPM.1, 3.4.2).
            if error.status in (0x83, completion.INVALID_DATA):
                return None
            return Unknown(str(error))

    async def _property(self, number: int, selector: int, least: int) -> bytes:
        return await self._ask(PROPERTIES, bytes([number, selector]), least=least)

    # -- what goes on ---------------------------------------------------------------------------

    async def status(self) -> tuple[int, int]:
        """Read which command was the last to take long, and its completion code (80h: it goes on).

        Raises:
            NodeError: as `Session.ask`.
        """
        data = await self._ask(STATUS, least=2)
        return data[0], data[1]

    async def running(self) -> tuple[TaskSeen, ...]:
        """Return the command that takes long as a task, while it does.

        Raises:
            NodeError: as `Session.ask`.
        """
        try:
            command, code = await self.status()
        except BmcRefusedError as error:
            if error.status in completion.CANNOT:
                return ()  # no HPM.1, no upgrade
            raise
        return (_task(command, code),) if code == completion.IN_PROGRESS else ()

    async def followed(self) -> TaskSeen:
        """Return how the last upload that we finished goes on.

        Raises:
            NodeError: as `Session.ask`.
        """
        command, code = await self.status()
        if command != FINISH.number:
            return TaskSeen(TASK, TaskPhase.VANISHED, message="the BMC knows of no upload any more")
        return _task(command, code)

    # -- upload ---------------------------------------------------------------------------------

    async def write(
        self, path: Path, package: Package, device: DeviceId, *, completing: Callable[[], Awaitable[None]]
    ) -> Receipt:
        """Carry out *package*, whose one upload ends with its last block only after *completing*.

        Raises:
            NodeError: nothing was sent that changes anything.
        """
        if package.device is not None and (why := _misfit(package.device, device)):
            return Refused(why)
        (upload,) = package.uploads
        if upload.length == 0:
            return Refused("the image has no bytes")
        abilities = await self.capabilities()
        if upload.component not in abilities.components:
            return Refused(f"HPM.1 lists no component {upload.component}", ground=Ground.UNABLE)
        general = (await self._property(upload.component, _GENERAL, 1))[0]
        for action in package.actions:
            if isinstance(action, Upload) or not _is_supported(action, general):
                continue
            receipt = await self._initiate(action.mask, _ACTIONS[type(action)], abilities)
            if not isinstance(receipt, Accepted):
                return receipt
        return await self._upload(path, upload, abilities, completing)

    async def _upload(
        self, path: Path, upload: Upload, abilities: Capabilities, completing: Callable[[], Awaitable[None]]
    ) -> Receipt:
        course = _Course()
        try:
            receipt = await self._blocks(path, upload, abilities, course, completing)
            if isinstance(receipt, Accepted):
                receipt = await self._finish(upload)
        except BaseException as error:
            if course.is_in_the_way:
                await self._abort()
            if isinstance(error, BmcLoginError) or not isinstance(error, (NodeError, OSError)):
                raise
            return Ambiguous(f"the upload broke off: {error}", body_complete=course.whole, held=True)
        if not isinstance(receipt, Accepted) and course.is_in_the_way:
            await self._abort()
        return receipt

    async def _blocks(
        self,
        path: Path,
        upload: Upload,
        abilities: Capabilities,
        course: _Course,
        completing: Callable[[], Awaitable[None]],
    ) -> Receipt:
        """Send all blocks, with the largest that the BMC takes."""
        for size in BLOCK_SIZES:
            receipt = await self._initiate(1 << upload.component, _ACTIONS[Upload], abilities)
            course.begun = isinstance(receipt, Accepted)
            if not course.begun:
                return receipt
            progress = _Progress(size)
            last = (upload.length - 1) // size * size  # where the last block begins
            code = await self._send(path, upload, progress, last, abilities)
            if code == completion.OK:
                await completing()
                course.whole = True
                code = await self._send(path, upload, progress, upload.length, abilities)
                return Accepted(way=WAY) if code == completion.OK else self._broken(code, whole=True)
            if progress.sent or code not in _SMALLER_PLEASE:
                return self._broken(code)
            await self._abort()
        return Refused("the BMC takes no block of any size", ground=Ground.UNABLE)

    def _broken(self, code: int, *, whole: bool = False) -> Receipt:
        why = f"{BLOCK.name} was answered with {completion.words(code)}"
        if code == completion.STATE:
            why += ": the BMC has forgotten the upload"
        return Ambiguous(why, body_complete=whole, held=True)

    async def _send(self, path: Path, upload: Upload, progress: _Progress, until: int, abilities: Capabilities) -> int:
        """Send blocks until *until*, over lost sessions; return the code that stopped it, or 00h."""
        lost = busy = 0
        while progress.sent < until:
            try:
                code = await self._session.burst(partial(_send_some, path, upload, progress, until))
            except BmcAmbiguousError:
                lost += 1
                if not progress.sent and progress.size > BLOCK_SIZES[-1] and until < upload.length:
                    return _SILENCE  # it may be too long for the BMC to read; whether it was taken is not known
                if lost > _LOST_SESSIONS:
                    raise
                continue
            if code == completion.IN_PROGRESS:
                code = await self._through(BLOCK, abilities)
            if code == completion.BUSY and busy < _BUSY_TRIES:
                busy += 1
                await self._clock.sleep(_POLL)
            elif code != completion.OK:
                return code
        return completion.OK

    async def _finish(self, upload: Upload) -> Receipt:
        """Say that all is sent. What the BMC makes of it, it may tell later."""
        request = bytes([upload.component]) + struct.pack("<I", upload.length)
        code = await self._act(FINISH, request)
        if code is None:
            # Was it taken? Then it is the last command that took long; else it may be said again, for the
            # BMC waits for it, or has forgotten the upload and says so.
            command, code = await self.status()
            if command != FINISH.number:
                code = await self._act(FINISH, request)
        if code is None or code == completion.STATE:
            return Ambiguous(f"{FINISH.name} was not answered, or only by a BMC that knows no upload", held=True)
        if code == completion.IN_PROGRESS:
            return Accepted(TASK, WAY, held=True)
        if code == completion.OK:
            return Accepted(way=WAY, held=True)
        return Refused(f"{FINISH.name} was answered with {_finish_words(code)}")

    async def _initiate(self, mask: int, action: int, abilities: Capabilities) -> Receipt:
        code = await self._act(INITIATE, bytes([mask, action]))
        if code is None:
            # Before any block it changes nothing to say it again (HPM.1, 3.4.4).
            code = await self._act(INITIATE, bytes([mask, action]))
        if code is None:
            return Ambiguous(f"{INITIATE.name} was not answered", body_complete=False)
        if code == completion.IN_PROGRESS:
            code = await self._through(INITIATE, abilities)
        if code == completion.STATE:
            return Refused("another upgrade is under way", completion.NOT_NOW)
        return completion.receipt_of(code, INITIATE.name)

    async def _through(self, command: Command, abilities: Capabilities) -> int:
        """Wait until *command* is through; return how it ended."""
        until = self._clock.monotonic() + abilities.patience
        while self._clock.monotonic() < until:
            await self._clock.sleep(_POLL)
            last, code = await self.status()
            if last != command.number:
                message = f"{self._session.node}: the BMC has forgotten {command.name}"
                raise BmcAnswerError(message, node=self._session.node)
            if code != completion.IN_PROGRESS:
                return code
        message = f"{self._session.node}: {command.name} still goes on after {abilities.patience:.0f} s"
        raise BmcUnreachableError(message, node=self._session.node)

    async def _abort(self) -> None:
        """Have the BMC forget an upload of ours, so that it takes another; as far as it can be reached."""

        async def abort() -> None:
            with suppress(NodeError):
                await self._session.answer(ABORT, _PICMG)

        aborting = asyncio.ensure_future(abort())
        try:
            await asyncio.shield(aborting)
        except asyncio.CancelledError:
            await asyncio.wait([aborting], timeout=_ABORT_WITHIN)
            raise

    # -- activation and the way back ------------------------------------------------------------

    async def activate(self, number: int) -> Receipt:
        """Have the BMC run what was uploaded. It may restart before it answers: then nobody knows yet.

        HPM.1 activates everything that waits; *number* is the component that is meant.

        Raises:
            NodeError: not sent; as `Session.act`.
        """
        code = await self._act(ACTIVATE)
        if code is None:
            return Ambiguous(f"{ACTIVATE.name} was not answered, as by a BMC that restarts for it")
        if code == completion.STATE and not (await self._property(number, _GENERAL, 1))[0] & _CAN_DEFER:
            return Accepted(way=ACTIVATE.name)  # it runs since it was written: such a component never waits
        if code == completion.STATE:
            return Refused("the BMC holds no image that could be activated, or is busy with one", completion.NOT_NOW)
        return completion.receipt_of(code, ACTIVATE.name)

    async def passes_self_test(self) -> bool | Unknown:
        """Whether the firmware that runs says that it is well; Unknown where it has no such test."""
        try:
            data = await self._ask(SELF_TEST, least=2)
        except BmcLoginError:
            raise
        except NodeError as error:
            return Unknown(str(error))
        if data[0] == 0x56:
            return Unknown("the BMC has no self test")
        return data[0] == 0x55

    async def roll_back(self) -> Receipt:
        """Bring back what ran before the last upgrade, once.

        Raises:
            NodeError: not sent; as `Session.act`.
        """
        code = await self._act(ROLLBACK)
        if code is None:
            return Ambiguous(f"{ROLLBACK.name} was not answered")
        receipt = completion.receipt_of(code, ROLLBACK.name)
        return Accepted(TASK, ROLLBACK.name) if code == completion.IN_PROGRESS else receipt

    async def rolled_back(self) -> frozenset[int] | Unknown:
        """Which components were rolled back, by number; Unknown while that goes on, and where it failed."""
        try:
            data = await self._ask(ROLLBACK_STATUS, least=1)
        except BmcLoginError:
            raise
        except NodeError as error:
            return Unknown(str(error))
        return frozenset(number for number in range(8) if data[0] >> number & 1)

    # -- inside ---------------------------------------------------------------------------------

    async def _ask(self, command: Command, data: bytes = b"", *, least: int = 0) -> bytes:
        """Ask, and take the group's byte off the answer."""
        answer = await self._session.ask(command, _PICMG + data, least=least + 1)
        if answer[:1] != _PICMG:
            message = f"{self._session.node}: the answer to {command.name} is not HPM.1's"
            raise BmcAnswerError(message, node=self._session.node)
        return answer[1:]

    async def _act(self, command: Command, data: bytes = b"") -> int | None:
        """Send once; None: it was sent, and not answered."""
        try:
            return await self._session.act(command, _PICMG + data)
        except BmcAmbiguousError:
            return None


def _send_some(path: Path, upload: Upload, progress: _Progress, until: int, link: Link) -> int:
    """Send blocks for a tenth of a second, in a thread; return the last completion code."""
    began = time.monotonic()
    for octets in _pieces(path, upload, progress, until):
        request = _PICMG + bytes([progress.block]) + octets
        answer = link.raw(BLOCK.netfn, BLOCK.number, request, patience=_BLOCK_PATIENCE)
        if answer[0] not in (completion.OK, completion.IN_PROGRESS):
            return answer[0]
        progress.sent += len(octets)
        progress.block = (progress.block + 1) & 0xFF
        if answer[0] == completion.IN_PROGRESS:
            return answer[0]
        if time.monotonic() - began > _BURST:
            break
    return completion.OK


def _pieces(path: Path, upload: Upload, progress: _Progress, until: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(upload.offset + progress.sent)
        while progress.sent < until:
            yield file.read(min(progress.size, until - progress.sent))


def _task(command: int, code: int) -> TaskSeen:
    what = {INITIATE.number: INITIATE.name, FINISH.number: FINISH.name, ROLLBACK.number: ROLLBACK.name}
    name = what.get(command, f"HPM.1 command {command:02X}h")
    if code == completion.IN_PROGRESS:
        return TaskSeen(TASK, TaskPhase.RUNNING, message=name)
    if code == completion.OK:
        return TaskSeen(TASK, TaskPhase.DONE, message=name, held=command == FINISH.number)
    return TaskSeen(TASK, TaskPhase.FAILED, message=f"{name}: {_finish_words(code)}")


def _finish_words(code: int) -> str:
    told = {
        0x81: "the image has not as many bytes as was said",
        0x82: "the image does not verify",
        0x83: "the image is not for this component",
    }
    return f"{code:02X}h, {told[code]}" if code in told else completion.words(code)


def _is_supported(action: BackUp | Prepare, general: int) -> bool:
    if isinstance(action, Prepare):
        return bool(general & _CAN_PREPARE)
    return bool(general & _CAN_BACK_UP)


def _misfit(wanted: Device, found: DeviceId) -> str:
    """Say why a file is not for this device; empty: it is. HPM.1 has the client check that (4.2.1)."""
    if wanted.device != found.device & 0xFF:
        return f"the image is for device {wanted.device:02X}h, and this is {found.device:02X}h"
    if wanted.manufacturer and wanted.manufacturer != found.manufacturer:
        return f"the image is a product of manufacturer {wanted.manufacturer}, and this is one of {found.manufacturer}"
    if wanted.product != found.product:
        return f"the image is for product {wanted.product:04X}h, and this is {found.product:04X}h"
    return ""
