"""What to do with an image over HPM.1: its file is read, or its bytes are the firmware itself (HPM.1, section 4).

A file begins with ``PICMGFWU``: a header that says for which device it is, then actions (back up, prepare,
upload), then the MD5 of all before it. Of an upload only the firmware's bytes travel. They are read from
the file when they are sent, so that memory stays flat.
"""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import BinaryIO, TypeAlias

from attrs import frozen

from ...core.observation import Unknown
from ...errors import BundleError
from .hpm_version import version_text

SIGNATURE = b"PICMGFWU"
_HEADER = struct.Struct("<8sBB3sHIBBBBBBB6sH")
_RECORD = struct.Struct("<BBB")
_UPLOAD = struct.Struct("<6s21sI")
_MD5 = 16
_BACK_UP, _PREPARE, _UPLOADS = 0, 1, 2
_CHUNK = 1 << 20
_MOST_ACTIONS = 64


@frozen
class Device:
    """For which device a file is. *manufacturer* 0 names none; *earliest* is the oldest version it may replace."""

    device: int
    manufacturer: int
    product: int
    earliest: tuple[int, int]


@frozen
class BackUp:
    """Have the components of *mask* copied before they are overwritten."""

    mask: int


@frozen
class Prepare:
    """Have the components of *mask* made ready, which may erase what waits there."""

    mask: int


@frozen
class Upload:
    """*length* bytes from *offset* of the file, for one component. *version* is None where nothing tells it."""

    component: int
    offset: int
    length: int
    version: str | Unknown | None = None


Action: TypeAlias = BackUp | Prepare | Upload


@frozen
class Package:
    """What is to be done, in this order; *device* is None for bare firmware."""

    actions: tuple[Action, ...]
    device: Device | None = None

    @property
    def uploads(self) -> tuple[Upload, ...]:
        """What is uploaded."""
        return tuple(action for action in self.actions if isinstance(action, Upload))


def read_package(path: Path, *, component: int) -> Package:
    """Read the file at *path*; bytes that are no HPM.1 file are firmware for *component*.

    Raises:
        BundleError: it is an HPM.1 file, and damaged.
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(len(SIGNATURE)) != SIGNATURE:
            mask = 1 << component
            return Package((Prepare(mask), Upload(component, 0, size)))
        file.seek(0)
        _check_sum(file, size)
        file.seek(0)
        header = file.read(_HEADER.size)
        (_, _, device, manufacturer, product, _, _, _, _, _, _, major, minor, _, oem) = _HEADER.unpack(header)
        if sum(header + file.read(oem + 1)) & 0xFF:
            raise _damaged("its header's checksum is wrong")
        actions = []
        while file.tell() < size - _MD5:
            actions.append(_action(file, size - _MD5))
            if len(actions) > _MOST_ACTIONS:
                raise _damaged("it has no end of actions")
    target = Device(device, int.from_bytes(manufacturer, "little"), product, (major & 0x7F, minor))
    return Package(tuple(actions), target)


def _check_sum(file: BinaryIO, size: int) -> None:
    if size < _HEADER.size + 1 + _MD5:
        raise _damaged("it is cut short")
    digest = hashlib.md5(usedforsecurity=False)  # what the format asks for; the bundle's digest is what is trusted
    left = size - _MD5
    while left:
        chunk = file.read(min(_CHUNK, left))
        if not chunk:
            raise _damaged("it is cut short")
        digest.update(chunk)
        left -= len(chunk)
    if digest.digest() != file.read(_MD5):
        raise _damaged("its MD5 does not match its contents")


def _action(file: BinaryIO, end: int) -> Action:
    head = file.read(_RECORD.size)
    if len(head) < _RECORD.size or sum(head) & 0xFF:
        raise _damaged("an action's checksum is wrong")
    kind, mask, _ = _RECORD.unpack(head)
    if kind == _BACK_UP:
        return BackUp(mask)
    if kind == _PREPARE:
        return Prepare(mask)
    if kind != _UPLOADS or mask.bit_count() != 1:
        raise _damaged(f"it has an action {kind} for components {mask:02X}h")
    fixed = file.read(_UPLOAD.size)
    if len(fixed) < _UPLOAD.size:
        raise _damaged("an upload is cut short")
    version, _, length = _UPLOAD.unpack(fixed)
    offset = file.tell()
    if offset + length > end:
        raise _damaged("an upload is cut short")
    file.seek(offset + length)
    return Upload(mask.bit_length() - 1, offset, length, version_text(version))


def _damaged(why: str) -> BundleError:
    return BundleError(f"the HPM.1 image is damaged: {why}")
