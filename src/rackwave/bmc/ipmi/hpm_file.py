"""A file that is to go over by HPM.1: an upgrade image, or bytes that are the firmware itself."""

from __future__ import annotations

from pathlib import Path

from ...core.hpm_image import SIGNATURE, HpmImage, bare_firmware, parse_hpm
from ...core.octets import Octets


def read_hpm_file(path: Path, *, component: int) -> HpmImage:
    """Read the file at *path*; bytes that are no HPM.1 file are firmware for *component*.

    Raises:
        PackageFormatError: it is an HPM.1 file, and damaged.
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:

        def read(offset: int, length: int) -> bytes:
            file.seek(offset)
            return file.read(length)

        if read(0, len(SIGNATURE)) != SIGNATURE:
            return bare_firmware(size, component)
        return parse_hpm(Octets(path.name, size, read))
