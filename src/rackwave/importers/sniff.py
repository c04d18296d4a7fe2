"""Reads a file of firmware, whatever it is: its contents say its format, its name never alone does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..core.octets import Octets
from ..core.pldm import is_pldm
from ..errors import PackageFormatError
from .cab import is_cab, read_cab
from .capsule import is_capsule, read_capsule
from .files import as_one_image, octets_of
from .fwpkg import is_fwpkg, read_fwpkg
from .hpm1 import is_hpm1, read_hpm1
from .package import Package
from .pldm import read_pldm
from .sidecar import missing_sidecar, read_sidecar, sidecar_of

_LONGEST_SIGNATURE = 64
_READERS: tuple[tuple[Callable[[bytes, int], bool], Callable[[Octets], Package | None]], ...] = (
    (is_cab, read_cab),
    (is_pldm, read_pldm),
    (is_hpm1, read_hpm1),
    (is_fwpkg, read_fwpkg),
    (is_capsule, read_capsule),  # last, for it has no signature
)


def read(path: Path, *, whole: bool = False, bare: bool = False) -> Package:
    """Read the package at *path* and verify what its format lets verify.

    With *whole* the file is its one image, as for a BMC that takes the package itself; a sidecar has it so anyway.
    With *bare* a file of no known format needs no sidecar, since somebody else describes it: it is its one image.

    Raises:
        PackageFormatError: it is damaged, of no known format without a sidecar, or cannot be read at all.
    """
    try:
        octets = octets_of(path)
        start = octets.take(0, min(octets.size, _LONGEST_SIGNATURE), "signature")
        package = next((reader(octets) for is_one, reader in _READERS if is_one(start, octets.size)), None)
        if sidecar_of(path).exists():
            return read_sidecar(path, octets, package)
        if package is None and bare:
            return as_one_image(path, octets, Package(format="bare", name=path.name, images=()))
        if package is None:
            raise missing_sidecar(path, octets)
        return as_one_image(path, octets, package) if whole else package
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}"
        raise PackageFormatError(problem, file=path.name, field="file") from error
