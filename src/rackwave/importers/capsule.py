"""UEFI capsules (UEFI 2.10, 8.5.3 and 23.3): a header with a GUID, and for firmware management protocols items within.

A capsule is given to firmware whole, since its signature is in it; what is looked at here says what it is for.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator
from typing import BinaryIO

from attrs import frozen

from ..core.octets import Octets
from ..errors import UsageError
from .files import image_of
from .package import Image, Package

_FMP = uuid.UUID("6dcbd5ed-e82d-4c44-bda1-7194199ad92a")
_PKCS7 = uuid.UUID("4aafd29d-68df-49ee-8aa9-347d375665a7")
_HEADER = struct.Struct("<16sIII")
_FMP_HEADER = struct.Struct("<IHH")
_ITEM = struct.Struct("<I16sB3xII")
_WIDE = struct.Struct("<Q")
_SIGNED = struct.Struct("<QIHH16s")
_PAYLOAD = struct.Struct("<4sIII")
_REVISION, _UEFI_GUID = 0x0200, 0x0EF1
_MOST_ITEMS = 64
_LARGEST_HEADER = 4096
_WRITTEN_HEADER = 32
_KNOWN_FLAGS = 0x7FFFF  # 16 bits of the capsule's own, and three that UEFI gives a meaning


@frozen
class Item:
    """One image for a firmware management protocol. *version* is what its payload header tells; None: none there."""

    target: str
    index: int
    size: int
    signed: bool
    version: int | None
    lowest: int | None


def is_capsule(start: bytes, size: int) -> bool:
    """Whether a file of *size* bytes that begins with *start* is a capsule.

    Only those for firmware management protocols have one GUID that says so. Of others, sizes that go together do.
    """
    if len(start) < _HEADER.size:
        return False
    guid, header, flags, told = _HEADER.unpack_from(start)
    if uuid.UUID(bytes_le=guid) == _FMP:
        return True
    return any(guid) and told == size and _HEADER.size <= header <= _LARGEST_HEADER and not flags & ~_KNOWN_FLAGS


def read_capsule(octets: Octets) -> Package:
    """Read a capsule; it makes one image, the whole file.

    Raises:
        PackageFormatError: sizes or offsets in it contradict one another or the file.
    """
    guid, header, _, size = octets.unpack(_HEADER, 0, "capsule header")
    if size != octets.size:
        raise octets.damaged(f"is {size}, and the file has {octets.size} bytes", "capsule size", 24)
    target = uuid.UUID(bytes_le=guid)
    body = octets.part(header, size - header, "capsule body")
    items = tuple(_items(body)) if target == _FMP else ()
    versions = {item.version for item in items if item.version is not None}
    checks = ["sizes and offsets of the headers"]
    if any(item.signed for item in items):
        checks.append("signature present, not verified")
    image = image_of(
        octets.file,
        octets.chunks,
        version=str(versions.pop()) if len(versions) == 1 else None,
        version_scheme="number" if items else None,
        targets=tuple(item.target for item in items) or (str(target),),
        checks=tuple(checks),
    )
    return Package(
        format="uefi-capsule",
        name=octets.file,
        images=(image,),
        version=image.version,
        notes=tuple(_notes(items, target)),
    )


def write_capsule(file: BinaryIO, image: Image, *, target: uuid.UUID, version: int, lowest: int = 0) -> None:
    """Write *image* as an unsigned capsule with one item for the firmware management protocol of *target*.

    Firmware that demands a signature refuses it; machines of a lab, and OVMF built without a certificate, do not.

    Args:
        file: Where it is written.
        image: Its size and bytes.
        target: The GUID of the firmware that it is for.
        version: As the firmware will report it.
        lowest: The oldest version that it may replace.

    Raises:
        UsageError: it is too large for a capsule, whose sizes have 32 bits.
        DigestMismatchError: the image was changed since it was read.
    """
    payload = _PAYLOAD.pack(b"MSS1", _PAYLOAD.size, version, lowest)
    item = _ITEM.pack(3, target.bytes_le, 1, len(payload) + image.size, 0) + bytes(2 * _WIDE.size)
    body = _FMP_HEADER.pack(1, 0, 1) + _WIDE.pack(_FMP_HEADER.size + _WIDE.size) + item + payload
    size = _WRITTEN_HEADER + len(body) + image.size
    if size >= 1 << 32:
        raise UsageError(f"{image.name} is too large for a capsule", advice="Write it to the component as it is.")
    header = _HEADER.pack(_FMP.bytes_le, _WRITTEN_HEADER, 0, size)
    file.write(header.ljust(_WRITTEN_HEADER, b"\0") + body)
    image.copy_to(file)


def _notes(items: tuple[Item, ...], target: uuid.UUID) -> Iterator[str]:
    if target != _FMP:
        yield f"a capsule for {target}, with nothing in it that tells a version: say it as the BMC will report it"
    for place, item in enumerate(items):
        version = f"version {item.version} ({item.version:#010x})" if item.version is not None else "no version told"
        lowest = f", replaces {item.lowest} or later" if item.lowest else ""
        signed = "signed, not verified" if item.signed else "not signed"
        yield f"item {place}: {item.target}, image index {item.index}, {version}{lowest}, {signed}"
    if any(item.version is not None for item in items):
        yield "its version is a number; where the BMC reports another form of it, say that one"


def _items(body: Octets) -> Iterator[Item]:
    version, drivers, count = body.unpack(_FMP_HEADER, 0, "FMP header")
    if version != 1:
        raise body.damaged(f"is version {version}; only 1 is known", "FMP header", 0)
    if drivers + count > _MOST_ITEMS or not count:
        raise body.damaged(f"holds {count} images and {drivers} drivers", "FMP header", 4)
    offsets = [
        body.unpack(_WIDE, _FMP_HEADER.size + place * _WIDE.size, f"offset of item {place}")[0]
        for place in range(drivers + count)
    ]
    for place, offset in enumerate(offsets[drivers:], drivers):
        yield _item(body.part(offset, max(body.size - offset, 0), f"item {place}"), f"item {place}")


def _item(octets: Octets, what: str) -> Item:
    version, guid, index, size, code = octets.unpack(_ITEM, 0, what)
    if not 1 <= version <= 3:
        raise octets.damaged(f"is version {version}; 1 to 3 are known", what, 0)
    at = _ITEM.size + _WIDE.size * (version - 1)  # version 2 has an instance of hardware behind it, 3 flags as well
    image = octets.part(at, size, f"image of {what}")
    octets.part(at + size, code, f"vendor code of {what}")
    signed = False
    if image.size >= _SIGNED.size:
        _, length, revision, kind, certificate = image.unpack(_SIGNED, 0, f"signature of {what}")
        signed = (revision, kind, uuid.UUID(bytes_le=certificate)) == (_REVISION, _UEFI_GUID, _PKCS7)
        if signed:
            start = _WIDE.size + length  # the counter stands before the certificate
            image = image.part(start, max(image.size - start, 0), f"payload of {what}")
    told = lowest = None
    if image.size >= _PAYLOAD.size:
        signature, _, firmware, least = image.unpack(_PAYLOAD, 0, f"payload header of {what}")
        if signature == b"MSS1":
            told, lowest = firmware, least
    return Item(str(uuid.UUID(bytes_le=guid)), index, size, signed, told, lowest)
