"""Firmware packages of PLDM (DSP0267), read and written; the format itself is in `core.pldm`."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import BinaryIO

from attrs import evolve

from ..core.bundle import ElementKind
from ..core.identity import ComponentName
from ..core.octets import Octets
from ..core.pldm import Component, Device, PldmHeader, parse_pldm, pldm_header
from ..errors import UsageError
from .files import image_of
from .package import Image, Package, Release

_CLASSES = {
    0x0002: "driver",
    0x0003: "configuration software",
    0x0004: "application software",
    0x0005: "instrumentation",
    0x0006: "firmware or BIOS",
    0x0007: "diagnostic software",
    0x0008: "operating system",
    0x0009: "middleware",
    0x000A: "firmware",
    0x000B: "BIOS or FCode",
    0x000C: "service pack",
    0x000D: "software bundle",
    0xFFFF: "downstream device",
}
_BIOS = 0x000B


def read_pldm(octets: Octets) -> Package:
    """Read a package of PLDM. One component makes one image, the whole package, which is what a BMC is given.

    With more, each component is an image of its own, without the header.

    Raises:
        PackageFormatError: it is damaged; the header's checksum is looked at before anything else.
    """
    header = parse_pldm(octets)
    checks = ["crc32 of the header"]
    if header.payload_sum is not None:
        payload = octets.part(header.size, octets.size - header.size, "payload")
        found = 0
        for chunk in payload.chunks():
            found = zlib.crc32(chunk, found)
        if found != header.payload_sum:
            raise octets.damaged("the CRC-32 of the payload is wrong", "payload checksum", header.size - 4)
        checks.append("crc32 of the payload")
    return Package(
        format="pldm",
        name=octets.file,
        images=tuple(_images(octets, header, tuple(checks))),
        version=header.version or None,
        release=Release(date=header.released.date().isoformat()) if header.released is not None else None,
        notes=tuple(_notes(octets, header)),
    )


def _images(octets: Octets, header: PldmHeader, checks: tuple[str, ...]) -> Iterator[Image]:
    for place, component in enumerate(header.components):
        name, part = octets.file, octets
        if len(header.components) > 1:
            name = f"{place:02d}-{component.identifier:04x}.bin"
            part = octets.part(component.offset, component.size, f"image of component {place}")
        is_bios = component.classification == _BIOS
        yield image_of(
            name,
            part.chunks,
            component=ComponentName("BIOS") if is_bios else None,
            version=component.version or None,
            kind=ElementKind.BIOS_IMAGE if is_bios else ElementKind.DEVICE_FIRMWARE,
            targets=tuple(str(device) for device in header.devices if place in device.components),
            checks=checks,
        )


def _notes(octets: Octets, header: PldmHeader) -> Iterator[str]:
    for place, component in enumerate(header.components):
        what = _CLASSES.get(component.classification, f"class {component.classification:04x}h")
        yield f"component {place}: {what}, identifier {component.identifier:04x}h, version {component.version or '?'}"
    if len(header.components) > 1:
        yield "each component is an image of its own here; for a BMC that takes the package as it is, say --whole"
    end = max((component.offset + component.size for component in header.components), default=header.size)
    if end < octets.size:
        yield f"{octets.size - end} bytes follow the images, such as a signature: not verified"


def write_pldm(
    file: BinaryIO,
    images: Iterable[tuple[Component, Image]],
    *,
    devices: tuple[Device, ...],
    version: str,
    revision: int = 1,
    released: datetime | None = None,
) -> None:
    """Write a package for *devices* to *file*; equal arguments give equal bytes.

    Each component takes its size and place from its image. Memory stays flat: for a package with a checksum over
    its images (revision 4) they are read twice instead.

    Raises:
        UsageError: it does not fit into such a header, holds no component, or a device names one that is not there.
        DigestMismatchError: an image was changed meanwhile; what *file* holds by then is of no use.
        OSError: it cannot be written.
    """
    parts = [(evolve(component, size=image.size), image) for component, image in images]
    if not parts:
        raise UsageError("a PLDM package without a component is none", advice="Give at least one image.")
    header = PldmHeader(revision, version, devices, tuple(component for component, _ in parts), released)
    found = 0
    for _, image in parts if revision >= 4 else ():
        for chunk in image.source():
            found = zlib.crc32(chunk, found)
    file.write(pldm_header(header, payload_sum=found))
    for _, image in parts:
        image.copy_to(file)
