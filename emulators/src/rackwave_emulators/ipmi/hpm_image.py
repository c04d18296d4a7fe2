"""HPM.1 image files: written for tests and rehearsals, and read (PICMG HPM.1 R1.0, section 4).

A file is a header of 34 bytes that begins with ``PICMGFWU``, OEM data, a byte that makes their sum zero,
action records (backup, prepare, upload), and the MD5 of everything before it. Of an upload record only
the data travel to the BMC; version and description stay in the file.
"""

from __future__ import annotations

import hashlib
import struct
from typing import TypeAlias, assert_never

from attrs import field, frozen, validators

from rackwave.errors import UsageError

from ..images import ImageError
from .version import WireVersion

_SIGNATURE = b"PICMGFWU"
_HEADER = struct.Struct("<8sBB3sHIBBBBBBB6sH")
_RECORD = struct.Struct("<BBB")
_UPLOAD = struct.Struct("<6s21sI")
_MD5 = 16
_BACKUP, _PREPARE, _UPLOADS = 0, 1, 2
COMPONENTS = 8
"""How many components HPM.1 has numbers for."""

_component_mask = validators.and_(validators.ge(0), validators.le(0xFF))


@frozen
class Backup:
    """Have the components of *mask* copied before they are overwritten."""

    mask: int = field(validator=_component_mask)


@frozen
class Prepare:
    """Have the components of *mask* made ready for new bytes."""

    mask: int = field(validator=_component_mask)


@frozen
class Upload:
    """Bytes for one component."""

    component: int = field(validator=[validators.ge(0), validators.lt(COMPONENTS)])
    version: WireVersion
    description: str
    payload: bytes = field(repr=False)

    @property
    def mask(self) -> int:
        """The one bit of the component."""
        return 1 << self.component


Action: TypeAlias = Backup | Prepare | Upload


@frozen
class HpmImage:
    """A whole file. The device it is for is told by *device*, *manufacturer* and *product*; times are in seconds."""

    actions: tuple[Action, ...]
    version: WireVersion
    device: int = 0x20
    manufacturer: int = 0
    product: int = 0x0001
    built_at: int = 0
    capabilities: int = 0x00
    self_test_seconds: int = 0
    rollback_seconds: int = 0
    inaccessible_seconds: int = 0

    @property
    def components(self) -> int:
        """The mask of all components that it touches."""
        mask = 0
        for action in self.actions:
            mask |= action.mask
        return mask

    def encode(self) -> bytes:
        """Return the file's bytes; equal images give equal bytes."""
        header = _HEADER.pack(
            _SIGNATURE,
            0,
            self.device,
            self.manufacturer.to_bytes(3, "little"),
            self.product,
            self.built_at,
            self.capabilities,
            self.components,
            _ticks(self.self_test_seconds),
            _ticks(self.rollback_seconds),
            _ticks(self.inaccessible_seconds),
            0,  # the earliest version that this one may replace: any
            0,
            self.version.octets(),
            0,  # no OEM data
        )
        whole = header + _zero_sum(header) + b"".join(_encode(action) for action in self.actions)
        return whole + _md5(whole)


def read_hpm(octets: bytes) -> HpmImage:
    """Read a file's bytes.

    Raises:
        ImageError: it is damaged, cut short or no HPM.1 image.
    """
    if not octets.startswith(_SIGNATURE) or len(octets) < _HEADER.size + 1 + _MD5:
        raise ImageError("this is no HPM.1 image")
    whole, digest = octets[:-_MD5], octets[-_MD5:]
    if _md5(whole) != digest:
        raise ImageError("the HPM.1 image's MD5 does not match its contents")
    (
        _, _, device, manufacturer, product, built_at, capabilities, _,
        self_test, rollback, inaccessible, _, _, version, oem,
    ) = _HEADER.unpack_from(whole)  # fmt: skip
    end = _HEADER.size + oem + 1
    if len(whole) < end or sum(whole[:end]) & 0xFF:
        raise ImageError("the HPM.1 image's header checksum is wrong")
    return HpmImage(
        actions=_actions(whole[end:]),
        version=WireVersion.read(version) or WireVersion(0, 0),
        device=device,
        manufacturer=int.from_bytes(manufacturer, "little"),
        product=product,
        built_at=built_at,
        capabilities=capabilities,
        self_test_seconds=self_test * _TICK,
        rollback_seconds=rollback * _TICK,
        inaccessible_seconds=inaccessible * _TICK,
    )


def wrap_hpm(
    payload: bytes, *, component: int, version: str, description: str = "rackwave lab image", manufacturer: int = 0
) -> HpmImage:
    """Return an image that brings *payload*, a lab image or a real one, to one component of a lab's BMC.

    Raises:
        UsageError: there is no such component number.
    """
    if not 0 <= component < COMPONENTS:
        raise UsageError(f"HPM.1 has no component {component}", advice=f"They are numbered 0 to {COMPONENTS - 1}.")
    told = WireVersion.of(version)
    actions = (Prepare(1 << component), Upload(component, told, description[:_DESCRIPTION], payload))
    return HpmImage(actions=actions, version=told, manufacturer=manufacturer)


_TICK = 5  # seconds in which HPM.1 counts
_DESCRIPTION = 20  # characters, and a zero after them


def _ticks(seconds: int) -> int:
    return min(-(-seconds // _TICK), 0xFF)


def _encode(action: Action) -> bytes:
    match action:
        case Backup(mask):
            kind, body = _BACKUP, b""
        case Prepare(mask):
            kind, body = _PREPARE, b""
        case Upload(_, version, description, payload):
            mask, kind = action.mask, _UPLOADS
            text = description.encode("ascii", "replace")[:_DESCRIPTION]
            body = _UPLOAD.pack(version.octets(), text, len(payload)) + payload
        case unknown:
            assert_never(unknown)
    head = bytes([kind, mask])
    return head + _zero_sum(head) + body


def _actions(rest: bytes) -> tuple[Action, ...]:
    found: list[Action] = []
    while rest:
        if len(rest) < _RECORD.size or sum(rest[: _RECORD.size]) & 0xFF:
            raise ImageError("the HPM.1 image has an action record with a wrong checksum")
        kind, mask, _ = _RECORD.unpack_from(rest)
        rest = rest[_RECORD.size :]
        if kind == _BACKUP:
            found.append(Backup(mask))
        elif kind == _PREPARE:
            found.append(Prepare(mask))
        elif kind == _UPLOADS:
            action, rest = _upload(mask, rest)
            found.append(action)
        else:
            raise ImageError(f"the HPM.1 image has an action {kind} that there is none of")
    return tuple(found)


def _upload(mask: int, rest: bytes) -> tuple[Upload, bytes]:
    if len(rest) < _UPLOAD.size or mask.bit_count() != 1:
        raise ImageError("the HPM.1 image has an upload record that is cut short, or not for one component")
    version, description, length = _UPLOAD.unpack_from(rest)
    payload = rest[_UPLOAD.size : _UPLOAD.size + length]
    if len(payload) != length:
        raise ImageError(f"the HPM.1 image should have {length} bytes of firmware and has {len(payload)}")
    text = description.split(b"\x00")[0].decode("ascii", "replace")
    upload = Upload(mask.bit_length() - 1, WireVersion.read(version) or WireVersion(0, 0), text, payload)
    return upload, rest[_UPLOAD.size + length :]


def _zero_sum(octets: bytes) -> bytes:
    return bytes([-sum(octets) & 0xFF])


def _md5(octets: bytes) -> bytes:
    return hashlib.md5(octets, usedforsecurity=False).digest()  # what the format asks for
