"""SeaBIOS builds that a guest tells apart: Debian's, with another version in the place of its own.

SeaBIOS tells the version string it was built with over SMBIOS (type 0), which Linux shows as
``/sys/class/dmi/id/bios_version``. The string stands once in the image, ended by a zero byte, right after
the one that names the compiler; the image has no checksum. A new version takes exactly the old
one's bytes, a shorter one being filled up with zeros, so that no other byte of the image moves. Tried
with Debian's 1.16.2-1 on q35, whose SMBIOS code copies the string up to its zero.
"""

from __future__ import annotations

import re
from pathlib import Path

from rackwave.errors import UsageError

from ..images import ImageFacts, wrap_image

_VERSION = re.compile(rb"gcc: [ -~]+\x00([!-~]+)\x00+")


def version_of(image: bytes) -> str:
    """Return the version that *image* will tell.

    Raises:
        UsageError: it is no SeaBIOS as Debian builds it.
    """
    return _found(image)[1].decode("ascii")


def with_version(image: bytes, version: str) -> bytes:
    """Return *image* telling *version* instead of its own, and otherwise the same.

    Raises:
        UsageError: it is no SeaBIOS, or *version* is longer than its own, or no plain word.
    """
    found = _found(image)
    old, new = found[1], version.encode()
    if not re.fullmatch(rb"[!-~]+", new) or len(new) > len(old):
        raise UsageError(
            f"the version {version!r} does not fit into this image",
            advice=f"Give 1 to {len(old)} printable ASCII characters without a space.",
        )
    return image[: found.start(1)] + new.ljust(len(old), b"\0") + image[found.end(1) :]


def write_image(path: Path, seabios: Path, *, version: str | None = None) -> ImageFacts:
    """Write a lab image of the build in *seabios*, telling *version*; None: its own.

    Raises:
        UsageError: it is no SeaBIOS, or *version* does not fit.
    """
    build = seabios.read_bytes()
    told = version_of(build) if version is None else version
    return wrap_image(path, component="BIOS", version=told, payload=with_version(build, told))


def _found(image: bytes) -> re.Match[bytes]:
    places = list(_VERSION.finditer(image))
    if len(places) != 1:
        raise UsageError(
            f"this is no SeaBIOS image whose version can be told ({len(places)} places look like one)",
            advice="Use bios-256k.bin from Debian's package seabios.",
        )
    return places[0]
