"""How an image goes over by HPM.1 (PICMG HPM.1 R1.0).

Rules:

- An upload is stop and wait, block by block. A block whose answer was lost is sent again under its number: a
  BMC that has it says yes and keeps one. So an upload outlives lost packets and lost sessions;
  it does not outlive a restart of the BMC, which forgets it (D5h).
- The block's size is what the BMC takes, found with the first block. A refused length is nothing taken; but
  after silence nobody knows, so the upload is aborted and begun anew before another size is tried.
- The last block waits for *completing*. Before it the BMC cannot hold the whole image, and an upload that
  breaks off is aborted; after it, nothing is.
- An upload that is under way already (D5h) is somebody else's, and is left alone.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from attrs import define

from ...core.hpm_image import BackUp, Device, HpmImage, Prepare, Upload
from ...core.receipt import Accepted, Ambiguous, Ground, Receipt, Refused
from ...errors import BmcAmbiguousError, BmcLoginError, LeaseError, NodeError, SecretError
from ...permit import ask_permit
from ...ports import Clock, Completing
from . import completion
from .device import DeviceId
from .hpm import (
    ABORT,
    BLOCK,
    CAN_BACK_UP,
    CAN_PREPARE,
    FINISH,
    INITIATE,
    PICMG,
    POLL,
    TASK,
    WAY,
    Capabilities,
    Hpm,
    finish_words,
)
from .link import Link, Patience
from .session import Session

_ACTIONS = {BackUp: 0, Prepare: 1, Upload: 2}

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
_NOT_TAKEN = (0x81, 0x82, 0x83)
"""How a BMC says that what it got is not to be programmed."""

_ABORT_WITHIN = 10.0


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


class Uploader:
    """Hands images to one node's BMC."""

    def __init__(self, session: Session, hpm: Hpm, clock: Clock) -> None:
        self._session = session
        self._hpm = hpm
        self._clock = clock

    async def write(self, path: Path, package: HpmImage, device: DeviceId, *, completing: Completing) -> Receipt:
        """Carry out *package*, whose one upload ends with its last block only after *completing*.

        Raises:
            NodeError: nothing was sent that changes anything.
        """
        if package.device is not None and (why := _misfit(package.device, device)):
            return Refused(why)
        (upload,) = package.uploads
        if upload.length == 0:
            return Refused("the image has no bytes")
        abilities = await self._hpm.capabilities()
        if upload.component not in abilities.components:
            return Refused(f"HPM.1 lists no component {upload.component}", ground=Ground.UNABLE)
        general = await self._hpm.general(upload.component)
        for action in package.actions:
            if isinstance(action, Upload) or not _is_supported(action, general):
                continue
            receipt = await self._initiate(action.mask, _ACTIONS[type(action)], abilities)
            if not isinstance(receipt, Accepted):
                return receipt
        return await self._upload(path, upload, abilities, completing)

    async def _upload(self, path: Path, upload: Upload, abilities: Capabilities, completing: Completing) -> Receipt:
        course = _Course()
        try:
            receipt = await self._blocks(path, upload, abilities, course, completing)
            if isinstance(receipt, Accepted):
                receipt = await self._finish(upload)
        except BaseException as error:
            if course.is_in_the_way:
                await self._abort()
            # A login that is refused amid the upload says nothing of what went before it.
            is_login = isinstance(error, (BmcLoginError, SecretError))
            if not isinstance(error, (NodeError, SecretError, OSError)) or (is_login and not course.begun):
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
        completing: Completing,
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
                await completing(held=True)
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
                code = await self._hpm.through(BLOCK, abilities)
            if code == completion.BUSY and busy < _BUSY_TRIES:
                busy += 1
                await self._clock.sleep(POLL)
            elif code != completion.OK:
                return code
        return completion.OK

    async def _finish(self, upload: Upload) -> Receipt:
        """Say that all is sent. What the BMC makes of it, it may tell later."""
        request = bytes([upload.component]) + struct.pack("<I", upload.length)
        code = await self._hpm.act(FINISH, request)
        if code is None:
            # Was it taken? Then it is the last command that took long; else it may be said again, for the
            # BMC waits for it, or has forgotten the upload and says so.
            command, code = await self._hpm.status()
            if command != FINISH.number:
                code = await self._hpm.act(FINISH, request)
        if code is None or code == completion.STATE:
            return Ambiguous(f"{FINISH.name} was not answered, or only by a BMC that knows no upload", held=True)
        if code == completion.IN_PROGRESS:
            return Accepted(TASK, WAY, held=True)
        if code == completion.OK:
            return Accepted(way=WAY, held=True)
        if code in _NOT_TAKEN:
            return Refused(f"{FINISH.name} was answered with {finish_words(code)}")
        return Ambiguous(f"{FINISH.name} was answered with {finish_words(code)}", held=True)

    async def _initiate(self, mask: int, action: int, abilities: Capabilities) -> Receipt:
        code = await self._hpm.act(INITIATE, bytes([mask, action]))
        if code is None:
            # Before any block it changes nothing to say it again.
            code = await self._hpm.act(INITIATE, bytes([mask, action]))
        if code is None:
            return Ambiguous(f"{INITIATE.name} was not answered", body_complete=False)
        if code == completion.IN_PROGRESS:
            try:
                code = await self._hpm.through(INITIATE, abilities)
            except (NodeError, SecretError) as error:  # it may be erasing what was there
                return Ambiguous(f"{INITIATE.name} was begun, and its end is not known: {error}", body_complete=False)
        if code == completion.STATE:
            return Refused("another upgrade is under way", completion.NOT_NOW)
        return completion.receipt_of(code, INITIATE.name)

    async def _abort(self) -> None:
        """Have the BMC forget an upload of ours, so that it takes another; as far as it can be reached."""

        async def abort() -> None:
            with suppress(NodeError, SecretError, LeaseError):
                await ask_permit()  # the upload may be another's by now
                await self._session.answer(ABORT, PICMG)

        aborting = asyncio.ensure_future(abort())
        try:
            await asyncio.shield(aborting)
        except asyncio.CancelledError:
            await asyncio.wait([aborting], timeout=_ABORT_WITHIN)
            raise


def _send_some(path: Path, upload: Upload, progress: _Progress, until: int, link: Link) -> int:
    """Send blocks for a tenth of a second, in a thread; return the last completion code."""
    began = time.monotonic()
    for octets in _pieces(path, upload, progress, until):
        request = PICMG + bytes([progress.block]) + octets
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
            octets = file.read(min(progress.size, until - progress.sent))
            if not octets:
                raise OSError(f"{path.name} was cut short while it was sent")
            yield octets


def _is_supported(action: BackUp | Prepare, general: int) -> bool:
    if isinstance(action, Prepare):
        return bool(general & CAN_PREPARE)
    return bool(general & CAN_BACK_UP)


def _misfit(wanted: Device, found: DeviceId) -> str:
    """Say why a file is not for this device; empty: it is. HPM.1 has the client check that."""
    if wanted.device != found.device & 0xFF:
        return f"the image is for device {wanted.device:02X}h, and this is {found.device:02X}h"
    if wanted.manufacturer and wanted.manufacturer != found.manufacturer:
        return f"the image is a product of manufacturer {wanted.manufacturer}, and this is one of {found.manufacturer}"
    if wanted.product != found.product:
        return f"the image is for product {wanted.product:04X}h, and this is {found.product:04X}h"
    if found.revision < wanted.earliest:
        first = "{}.{:02x}".format(*wanted.earliest)
        return f"the image may follow {first} or later, and this runs {found.version} (P17)"
    return ""
