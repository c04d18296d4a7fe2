"""Upgrade images of HPM.1, read and written; the format itself is in `core.hpm_image`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import BinaryIO

from attrs import evolve

from ..core.bundle import ElementKind
from ..core.hpm_image import (
    LONGEST_DESCRIPTION,
    SIGNATURE,
    BackUp,
    Device,
    HpmImage,
    Prepare,
    Upload,
    hpm_pieces,
    parse_hpm,
)
from ..core.hpm_version import version_octets
from ..core.identity import ComponentName
from ..core.octets import Octets
from ..errors import UsageError
from .files import image_of
from .package import Image, Package, Release

_KINDS = {"BIOS": ElementKind.BIOS_IMAGE, "BMC": ElementKind.BMC_FIRMWARE}


def is_hpm1(start: bytes, _: int) -> bool:
    """Whether a file that begins with *start* says that it is an HPM.1 upgrade image."""
    return start.startswith(SIGNATURE)


def read_hpm1(octets: Octets) -> Package:
    """Read an upgrade image. With one upload it makes one image, the whole file, which checks its own device.

    With more, each upload becomes an upgrade image of its own, under the same header: a bundle's element is for
    one component, and so is what a BMC is given.

    Raises:
        PackageFormatError: it is damaged.
    """
    whole = parse_hpm(octets)
    device = whole.device or Device()
    target = f"device {device.device:02x}h, manufacturer {device.manufacturer}, product {device.product:04x}h"
    images = []
    for upload in whole.uploads:
        name, source = octets.file, octets.chunks
        if len(whole.uploads) > 1:
            name = f"component-{upload.component}.hpm"
            source = partial(_alone, octets, whole, upload)
        images.append(_image(name, source, upload, target))
    version = images[0].version if len(images) == 1 else None
    return Package(
        format="hpm1",
        name=octets.file,
        images=tuple(images),
        version=version,
        release=Release(date=datetime.fromtimestamp(whole.built_at, UTC).date().isoformat())
        if whole.built_at
        else None,
        notes=tuple(_notes(whole, device)),
    )


def _image(name: str, source: Callable[[], Iterator[bytes]], upload: Upload, target: str) -> Image:
    suggested = upload.description if upload.description in _KINDS else None
    return image_of(
        name,
        source,
        component=ComponentName(suggested) if suggested is not None else None,
        version=upload.version if isinstance(upload.version, str) else None,
        kind=_KINDS.get(suggested) if suggested is not None else None,
        targets=(f"component {upload.component}", target),
        checks=("checksum of the header", "md5 of the file"),
    )


def _alone(octets: Octets, whole: HpmImage, upload: Upload) -> Iterator[bytes]:
    """Yield an upgrade image of *upload* alone, with what the file has done to its component before."""

    def firmware(_: Upload) -> Iterator[bytes]:
        return octets.part(upload.offset, upload.length, "firmware").chunks()

    before: list[BackUp | Prepare] = [
        evolve(action, mask=upload.mask)
        for action in whole.actions
        if not isinstance(action, Upload) and action.mask & upload.mask
    ]
    return hpm_pieces(evolve(whole, actions=(*before, upload)), firmware)


def _notes(whole: HpmImage, device: Device) -> Iterator[str]:
    for upload in whole.uploads:
        version = upload.version if isinstance(upload.version, str) else "not told as one"
        yield f"component {upload.component}: {upload.description or 'no description'}, version {version}"
    if device.earliest != (0, 0):
        yield "it may follow version {}.{:02x} or later".format(*device.earliest)
    if len(whole.uploads) > 1:
        yield "each component is an upgrade image of its own here, under the same header"


def write_hpm1(
    file: BinaryIO,
    image: Image,
    *,
    component: int,
    version: str,
    device: Device,
    description: str = "",
    built_at: int = 0,
) -> None:
    """Write *image*, bare firmware, as an upgrade image for one *component*; equal arguments give equal bytes.

    Raises:
        UsageError: HPM.1 has no room for that version, description or component.
        DigestMismatchError: the image was changed meanwhile; what *file* holds by then is of no use.
        OSError: it cannot be written.
    """
    told = version_octets(version)
    if told is None:
        advice = "It holds versions such as 2.1.7: numbers up to 126, 99 and 65535."
        raise UsageError(f"HPM.1 has no room for version {version}", advice=advice)
    if not 0 <= component < 8 or len(description) > LONGEST_DESCRIPTION:
        problem = f"HPM.1 has no component {component}, or no room for {description!r}"
        raise UsageError(problem, advice=f"There are 0 to 7, described in {LONGEST_DESCRIPTION} letters.")
    upload = Upload(component, 0, image.size, told, description)
    whole = HpmImage((Prepare(upload.mask), upload), device, told, built_at)
    for piece in hpm_pieces(whole, lambda _: image.verified()):
        file.write(piece)
