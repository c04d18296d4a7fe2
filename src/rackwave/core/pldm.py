"""Firmware packages of PLDM (DMTF DSP0267 1.0 to 1.3, header revisions 1 to 4): a header, then component images.

The header names devices by their descriptors, says of each which components apply to it (a bitmap), and says of each
component where its image lies, in which version. Nothing of a header is believed before its CRC-32 is right.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Final

from attrs import field, frozen

from ..errors import UsageError
from .octets import Octets

IDENTIFIERS: Final[Mapping[int, bytes]] = {
    1: bytes.fromhex("f018878ccb7d49439800a02f059aca02"),
    2: bytes.fromhex("1244d2648d7d4718a030fc8a56587d5a"),
    3: bytes.fromhex("3119ce2fe80a4a99af6d46f8b121f6bf"),
    4: bytes.fromhex("7b291c996db64208801b02026e463c78"),
}
"""Which header begins with which UUID. The revision stands behind it once more."""

NO_STAMP = 0xFFFFFFFF
VENDOR_DEFINED = 0xFFFF
_DOWNSTREAM_SINCE, _OPAQUE_SINCE, _MANIFEST_SINCE = 2, 3, 4
_HEADER = struct.Struct("<16sBH13sHBB")
_DATE = struct.Struct("<h3sBBBBBHB")
_DEVICE = struct.Struct("<HBIBBH")
_DESCRIPTOR = struct.Struct("<HH")
_COMPONENT = struct.Struct("<HHIHHIIBB")
_LENGTH = struct.Struct("<I")
_COUNT = struct.Struct("<H")
_SMALLEST = _HEADER.size + 1 + _COUNT.size + _LENGTH.size
_TEXTS: Final[Mapping[int, str]] = {0: "ascii", 1: "ascii", 2: "utf-8", 3: "utf-16", 4: "utf-16-le", 5: "utf-16-be"}
_STAMPED = 0x1  # of a downstream device's flags: its minimum version has a comparison stamp
_DESCRIPTORS: Final[Mapping[int, str]] = {
    0x0000: "PCI vendor",
    0x0001: "IANA enterprise",
    0x0002: "UUID",
    0x0003: "PnP vendor",
    0x0004: "ACPI vendor",
    0x0005: "IEEE company",
    0x0006: "SCSI vendor",
    0x0100: "PCI device",
    0x0101: "PCI subsystem vendor",
    0x0102: "PCI subsystem",
    0x0103: "PCI revision",
    0x0104: "PnP product",
    0x0105: "ACPI product",
    0x0106: "ASCII model",
    0x0107: "ASCII model",
    0x0108: "SCSI product",
    0x0109: "UBM controller",
}
_NUMBERS = (0x0000, 0x0001, 0x0100, 0x0101, 0x0102, 0x0103)
_MODELS = (0x0106, 0x0107)


@frozen
class Descriptor:
    """One mark by which a device is recognised; *kind* and *data* are as DSP0267 has them."""

    kind: int
    data: bytes

    def __str__(self) -> str:
        name = _DESCRIPTORS.get(self.kind, f"descriptor {self.kind:04x}h")
        if self.kind == VENDOR_DEFINED and len(self.data) >= 2 + self.data[1]:
            title = self.data[2 : 2 + self.data[1]].decode("utf-8", "replace")
            return f"{title} {self.data[2 + self.data[1] :].hex()}"
        if self.kind in _NUMBERS:
            return f"{name} {int.from_bytes(self.data, 'little'):0{len(self.data) * 2}x}"
        if self.kind in _MODELS:
            return f"{name} {self.data.rstrip(bytes(1)).decode('ascii', 'replace')}"
        return f"{name} {self.data.hex()}"


@frozen
class Device:
    """Devices that carry all of *descriptors*; *components* are the places, from 0, of what applies to them.

    A *downstream* device sits behind another, and its *version* is the least that activates by itself.
    """

    descriptors: tuple[Descriptor, ...]
    components: tuple[int, ...]
    version: str = ""
    flags: int = 0
    package_data: bytes = b""
    manifest: bytes = b""
    downstream: bool = False
    stamp: int | None = None

    def __str__(self) -> str:
        return ", ".join(str(descriptor) for descriptor in self.descriptors)


@frozen
class Component:
    """One image: *size* bytes at *offset* of the package. *activation* has the bits of the activation methods."""

    classification: int
    identifier: int
    version: str
    size: int
    offset: int = 0
    options: int = 0
    activation: int = 0
    stamp: int = NO_STAMP
    opaque: bytes = b""


@frozen
class PldmHeader:
    """All that stands before the images. *size* is in bytes, *payload_sum* the CRC-32 of what follows (revision 4)."""

    revision: int
    version: str
    devices: tuple[Device, ...]
    components: tuple[Component, ...]
    released: datetime | None = None
    size: int = field(default=0, eq=False)
    payload_sum: int | None = field(default=None, eq=False)


# -- reading --------------------------------------------------------------------------------


def is_pldm(start: bytes, _: int) -> bool:
    """Whether a file that begins with *start* says that it is such a package."""
    return start[:16] in IDENTIFIERS.values()


def parse_pldm(octets: Octets) -> PldmHeader:
    """Read the header at the beginning of *octets* and check that every image is there.

    Raises:
        PackageFormatError: it is damaged, contradicts itself, or is of a revision that is not known.
    """
    identifier, revision, size, date, bits, kind, length = octets.unpack(_HEADER, 0, "package header")
    if IDENTIFIERS.get(revision) != identifier:
        raise octets.damaged(f"revision {revision} does not go with the UUID {identifier.hex()}", "header revision", 16)
    sums = 2 if revision >= _MANIFEST_SINCE else 1
    if size < _SMALLEST:
        raise octets.damaged(f"is {size}, which is too small for a header", "header size", 17)
    header = octets.part(0, size, "header size")
    body = header.take(0, size - _LENGTH.size * sums, "package header")
    header_sum, *payload_sum = header.unpack(struct.Struct(f"<{sums}I"), len(body), "header checksum")
    if zlib.crc32(body) != header_sum:
        raise octets.damaged("the CRC-32 of the header is wrong", "header checksum", len(body))
    if bits % 8:
        raise octets.damaged(f"is {bits}, which is no multiple of 8", "length of the component bitmap", 32)
    reader = _Reader(Octets(octets.file, len(body), octets.read, octets.start))
    reader.take(_HEADER.size, "package header")
    version = reader.text(kind, length, "package version")
    devices = [*reader.devices(revision, bits // 8, downstream=False)]
    if revision >= _DOWNSTREAM_SINCE:
        devices += reader.devices(revision, bits // 8, downstream=True)
    components = tuple(reader.components(revision))
    if reader.left:
        raise octets.damaged(f"{reader.left} bytes follow the component table", "header", reader.at)
    _check(octets, tuple(devices), components, size)
    released = _read_date(date)
    return PldmHeader(revision, version, tuple(devices), components, released, size, *payload_sum)


def _check(octets: Octets, devices: tuple[Device, ...], components: tuple[Component, ...], size: int) -> None:
    for place, device in enumerate(devices):
        for number in device.components:
            if number >= len(components):
                problem = f"names component {number}, and there are {len(components)}"
                raise octets.damaged(problem, f"applicable components of device {place}")
    at = size
    for place, component in sorted(enumerate(components), key=lambda each: each[1].offset):
        what = f"image of component {place}"
        if component.offset < at:
            raise octets.damaged("overlaps what stands before it", what, component.offset)
        octets.part(component.offset, component.size, what)
        at = component.offset + component.size


class _Reader:
    """Walks through a header."""

    def __init__(self, octets: Octets) -> None:
        self._octets = octets
        self.at = 0

    @property
    def left(self) -> int:
        return self._octets.size - self.at

    def take(self, length: int, what: str) -> bytes:
        found = self._octets.take(self.at, length, what)
        self.at += length
        return found

    def unpack(self, form: struct.Struct, what: str) -> tuple[int, ...]:
        return form.unpack(self.take(form.size, what))

    def text(self, kind: int, length: int, what: str) -> str:
        at = self.at
        data = self.take(length, what)
        if kind not in _TEXTS:
            raise self._octets.damaged(f"is text of a kind {kind} that there is none of", what, at)
        try:
            return data.decode(_TEXTS[kind]).rstrip("\0")
        except UnicodeDecodeError as error:
            raise self._octets.damaged(f"is no {_TEXTS[kind]} text", what, at) from error

    def devices(self, revision: int, bitmap: int, *, downstream: bool) -> Iterator[Device]:
        what = "downstream device" if downstream else "device"
        (count,) = self.take(1, f"count of {what}s")
        for place in range(count):
            yield self._device(f"{what} {place}", revision, bitmap, downstream=downstream)

    def _device(self, what: str, revision: int, bitmap: int, *, downstream: bool) -> Device:
        begin = self.at
        record, count, flags, kind, length, in_data = self.unpack(_DEVICE, what)
        in_manifest = self.unpack(_LENGTH, what)[0] if revision >= _MANIFEST_SINCE else 0
        bits = int.from_bytes(self.take(bitmap, f"applicable components of {what}"), "little")
        version = self.text(kind, length, f"version of {what}")
        stamp = self.unpack(_LENGTH, what)[0] if downstream and flags & _STAMPED else None
        descriptors = []
        for place in range(count):
            sort, size = self.unpack(_DESCRIPTOR, f"descriptor {place} of {what}")
            descriptors.append(Descriptor(sort, self.take(size, f"descriptor {place} of {what}")))
        package_data = self.take(in_data, f"package data of {what}")
        manifest = self.take(in_manifest, f"reference manifest of {what}")
        if self.at - begin != record:
            problem = f"says that it is {record} bytes long and is {self.at - begin}"
            raise self._octets.damaged(problem, f"record length of {what}", begin)
        places = tuple(place for place in range(bitmap * 8) if bits >> place & 1)
        return Device(tuple(descriptors), places, version, flags, package_data, manifest, downstream, stamp)

    def components(self, revision: int) -> Iterator[Component]:
        (count,) = self.unpack(_COUNT, "count of components")
        for place in range(count):
            what = f"component {place}"
            sort, identifier, stamp, options, activation, offset, size, kind, length = self.unpack(_COMPONENT, what)
            version = self.text(kind, length, f"version of {what}")
            opaque = b""
            if revision >= _OPAQUE_SINCE:
                (in_opaque,) = self.unpack(_LENGTH, f"opaque data of {what}")
                opaque = self.take(in_opaque, f"opaque data of {what}")
            yield Component(sort, identifier, version, size, offset, options, activation, stamp, opaque)


def _read_date(octets: bytes) -> datetime | None:
    """Read a timestamp104 (DSP0240); None: it is none. The last byte, how exact it is, says nothing to us."""
    offset, micro, second, minute, hour, day, month, year, _ = _DATE.unpack(octets)
    try:
        zone = timezone(timedelta(minutes=offset))
        return datetime(year, month, day, hour, minute, second, int.from_bytes(micro, "little"), zone)
    except (ValueError, OverflowError):
        return None


# -- writing --------------------------------------------------------------------------------


def pldm_header(header: PldmHeader, *, payload_sum: int = 0) -> bytes:
    """Return the bytes of *header*, whose images follow it one after another in their order; equal gives equal.

    *payload_sum* is the CRC-32 of all images, for revision 4.

    Raises:
        UsageError: it does not fit into such a header.
    """
    if header.revision not in IDENTIFIERS:
        raise UsageError(f"PLDM has no header revision {header.revision}", advice="There are 1 to 4.")
    if any(place >= len(header.components) for device in header.devices for place in device.components):
        raise UsageError("a device names a component that the package does not hold")
    try:
        # Offsets are as long whatever they are, so that the first writing tells the size for the second.
        size = len(_body(header, 0)) + _LENGTH.size * (2 if header.revision >= _MANIFEST_SINCE else 1)
        body = _body(header, size)
        tail = _LENGTH.pack(zlib.crc32(body))
        return body + tail + (_LENGTH.pack(payload_sum) if header.revision >= _MANIFEST_SINCE else b"")
    except (struct.error, OverflowError) as error:
        raise UsageError(f"a PLDM header has no room for this: {error}") from error


def _body(header: PldmHeader, size: int) -> bytes:
    bitmap = -(-len(header.components) // 8)
    version = _text(header.version)
    out = [
        _HEADER.pack(
            IDENTIFIERS[header.revision], header.revision, size, _date(header.released), bitmap * 8, *version[:2]
        ),
        version[2],
    ]
    for downstream in (False, True) if header.revision >= _DOWNSTREAM_SINCE else (False,):
        devices = [device for device in header.devices if device.downstream is downstream]
        out += [struct.pack("<B", len(devices)), *(_device(device, header.revision, bitmap) for device in devices)]
    out.append(_COUNT.pack(len(header.components)))
    at = size
    for component in header.components:
        kind, length, text = _text(component.version)
        out += [
            _COMPONENT.pack(
                component.classification,
                component.identifier,
                component.stamp,
                component.options,
                component.activation,
                at,
                component.size,
                kind,
                length,
            ),
            text,
        ]
        if header.revision >= _OPAQUE_SINCE:
            out += [_LENGTH.pack(len(component.opaque)), component.opaque]
        at += component.size
    return b"".join(out)


def _device(device: Device, revision: int, bitmap: int) -> bytes:
    kind, length, text = _text(device.version)
    rest = [_LENGTH.pack(len(device.manifest))] if revision >= _MANIFEST_SINCE else []
    rest += [sum(1 << place for place in device.components).to_bytes(bitmap, "little"), text]
    flags = device.flags
    if device.downstream:
        flags = flags & ~_STAMPED | (_STAMPED if device.stamp is not None else 0)
        rest += [_LENGTH.pack(device.stamp)] if device.stamp is not None else []
    for descriptor in device.descriptors:
        rest += [_DESCRIPTOR.pack(descriptor.kind, len(descriptor.data)), descriptor.data]
    rest += [device.package_data, device.manifest if revision >= _MANIFEST_SINCE else b""]
    tail = b"".join(rest)
    record = _DEVICE.size + len(tail)
    count = len(device.descriptors)
    return _DEVICE.pack(record, count, flags, kind, length, len(device.package_data)) + tail


def _text(text: str) -> tuple[int, int, bytes]:
    kind = 1 if text.isascii() else 2
    data = text.encode(_TEXTS[kind], "replace")
    return kind, len(data), data


def _date(moment: datetime | None) -> bytes:
    if moment is None:
        return bytes(_DATE.size)
    offset = moment.utcoffset() or timedelta()
    micro = moment.microsecond.to_bytes(3, "little")
    return _DATE.pack(
        int(offset.total_seconds() // 60),
        micro,
        moment.second,
        moment.minute,
        moment.hour,
        moment.day,
        moment.month,
        moment.year,
        0,
    )
