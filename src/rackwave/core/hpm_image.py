"""Upgrade image files of HPM.1 (PICMG HPM.1 R1.0, section 4), read and written.

A file begins with ``PICMGFWU``: a header that says for which device it is, with OEM data and a byte that makes their
sum zero, then actions (back up, prepare, upload), then the MD5 of all before it. Of an upload only the firmware's
bytes travel to a BMC. They stay where they are when a file is read, so that memory stays flat.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator
from typing import TypeAlias, assert_never

from attrs import field, frozen, validators

from ..errors import UsageError
from .hpm_version import version_text
from .observation import Unknown
from .octets import Octets

SIGNATURE = b"PICMGFWU"
COMPONENTS = 8
"""How many components HPM.1 has numbers for."""
LONGEST_DESCRIPTION = 20
NO_VERSION = b"\xff" * 6
_HEADER = struct.Struct("<8sBB3sHIBBBBBBB6sH")
_RECORD = struct.Struct("<BBB")
_UPLOAD = struct.Struct("<6s21sI")
_MD5 = 16
_BACK_UP, _PREPARE, _UPLOADS = 0, 1, 2
_MOST_ACTIONS = 64

_a_mask = validators.and_(validators.ge(0), validators.le(0xFF))


@frozen
class Device:
    """For which device a file is. *manufacturer* 0 names none; *earliest* is the oldest version it may replace."""

    device: int = 0x20
    manufacturer: int = 0
    product: int = 0
    earliest: tuple[int, int] = (0, 0)


@frozen
class BackUp:
    """Have the components of *mask* copied before they are overwritten."""

    mask: int = field(validator=_a_mask)


@frozen
class Prepare:
    """Have the components of *mask* made ready, which may erase what waits there."""

    mask: int = field(validator=_a_mask)


@frozen
class Upload:
    """*length* bytes for one component, at *offset* of the file. *told* is their version in six bytes."""

    component: int = field(validator=[validators.ge(0), validators.lt(COMPONENTS)])
    offset: int = field(eq=False)
    length: int
    told: bytes = NO_VERSION
    description: str = ""

    @property
    def version(self) -> str | Unknown | None:
        """The version as text; None where nothing tells it."""
        return version_text(self.told)

    @property
    def mask(self) -> int:
        """The one bit of the component."""
        return 1 << self.component


Action: TypeAlias = BackUp | Prepare | Upload


@frozen
class HpmImage:
    """What is to be done, in this order; *device* is None for bare firmware, which has no header.

    *built_at* is in seconds since 1970; the times that the device needs are in ticks of five seconds.
    """

    actions: tuple[Action, ...]
    device: Device | None = None
    told: bytes = NO_VERSION
    built_at: int = 0
    capabilities: int = 0
    self_test: int = 0
    rollback: int = 0
    inaccessible: int = 0
    oem: bytes = b""

    @property
    def uploads(self) -> tuple[Upload, ...]:
        """What is uploaded."""
        return tuple(action for action in self.actions if isinstance(action, Upload))


def bare_firmware(size: int, component: int) -> HpmImage:
    """Return what is to be done with *size* bytes that are the firmware of *component* and nothing else."""
    return HpmImage((Prepare(1 << component), Upload(component, 0, size)))


def parse_hpm(octets: Octets) -> HpmImage:
    """Read the file that *octets* are.

    Raises:
        PackageFormatError: it is damaged, or no HPM.1 file.
    """
    size = octets.size - _MD5
    if size < _HEADER.size + 1 or octets.take(0, len(SIGNATURE), "signature") != SIGNATURE:
        raise octets.damaged("is no HPM.1 file, or is cut short", "signature", 0)
    digest = hashlib.md5(usedforsecurity=False)  # what the format asks for; the bundle's digest is what is trusted
    for chunk in octets.part(0, size, "contents").chunks():
        digest.update(chunk)
    if digest.digest() != octets.take(size, _MD5, "MD5"):
        raise octets.damaged("does not match the contents", "MD5", size)
    contents = octets.part(0, size, "contents")
    fields = contents.unpack(_HEADER, 0, "header")
    _, _, device, maker, product, built_at, capabilities, _, *ticks, major, minor, told, length = fields
    self_test, rollback, inaccessible = ticks
    end = _HEADER.size + length + 1
    if sum(contents.take(0, end, "header")) & 0xFF:
        raise octets.damaged("is wrong", "header checksum", end - 1)
    return HpmImage(
        actions=tuple(_actions(contents, end)),
        device=Device(device, int.from_bytes(maker, "little"), product, (major & 0x7F, minor)),
        told=told,
        built_at=built_at,
        capabilities=capabilities,
        self_test=self_test,
        rollback=rollback,
        inaccessible=inaccessible,
        oem=contents.take(_HEADER.size, length, "OEM data"),
    )


def _actions(contents: Octets, at: int) -> Iterator[Action]:
    for place in range(_MOST_ACTIONS + 1):
        if at == contents.size:
            return
        what = f"action {place}"
        head = contents.take(at, _RECORD.size, what)
        if sum(head) & 0xFF:
            raise contents.damaged("its checksum is wrong", what, at)
        kind, mask, _ = _RECORD.unpack(head)
        at += _RECORD.size
        if kind == _BACK_UP:
            yield BackUp(mask)
        elif kind == _PREPARE:
            yield Prepare(mask)
        elif kind == _UPLOADS and mask.bit_count() == 1:
            told, description, length = contents.unpack(_UPLOAD, at, what)
            at += _UPLOAD.size
            contents.part(at, length, f"firmware of {what}")
            text = description.split(b"\0")[0].decode("ascii", "replace").strip()
            yield Upload(mask.bit_length() - 1, at, length, told, text)
            at += length
        else:
            raise contents.damaged(f"is of kind {kind} for the components {mask:02X}h", what, at - _RECORD.size)
    raise contents.damaged(f"are more than {_MOST_ACTIONS}", "actions", at)


def hpm_pieces(image: HpmImage, firmware: Callable[[Upload], Iterator[bytes]]) -> Iterator[bytes]:
    """Yield the bytes of a file, piece by piece; *firmware* gives those of each upload. Equal images give equal bytes.

    Raises:
        UsageError: it does not fit into such a file, or *firmware* gives more or fewer bytes than it should.
    """
    digest = hashlib.md5(usedforsecurity=False)
    for piece in _pieces(image, firmware):
        digest.update(piece)
        yield piece
    yield digest.digest()


def _pieces(image: HpmImage, firmware: Callable[[Upload], Iterator[bytes]]) -> Iterator[bytes]:
    yield _header(image)
    for action in image.actions:
        match action:
            case BackUp(mask):
                yield _with_sum(bytes([_BACK_UP, mask]))
            case Prepare(mask):
                yield _with_sum(bytes([_PREPARE, mask]))
            case Upload():
                yield _with_sum(bytes([_UPLOADS, action.mask])) + _upload(action)
                left = action.length
                for piece in firmware(action):
                    left -= len(piece)
                    yield piece
                if left:
                    raise UsageError(f"the firmware of component {action.component} has not {action.length} bytes")
            case unknown:
                assert_never(unknown)


def _header(image: HpmImage) -> bytes:
    device = image.device or Device()
    mask = 0
    for action in image.actions:
        mask |= action.mask
    try:
        header = _HEADER.pack(
            SIGNATURE,
            0,
            device.device,
            device.manufacturer.to_bytes(3, "little"),
            device.product,
            image.built_at,
            image.capabilities,
            mask,
            image.self_test,
            image.rollback,
            image.inaccessible,
            *device.earliest,
            image.told,
            len(image.oem),
        )
    except (struct.error, OverflowError) as error:
        raise UsageError(f"an HPM.1 header has no room for this: {error}") from error
    return _with_sum(header + image.oem)


def _upload(upload: Upload) -> bytes:
    text = upload.description.encode("ascii", "replace")
    if len(text) > LONGEST_DESCRIPTION or not 0 <= upload.length < 1 << 32:
        raise UsageError(f"an HPM.1 upload has no room for {upload.description!r}, or for {upload.length} bytes")
    return _UPLOAD.pack(upload.told, text, upload.length)


def _with_sum(octets: bytes) -> bytes:
    return octets + bytes([-sum(octets) & 0xFF])
