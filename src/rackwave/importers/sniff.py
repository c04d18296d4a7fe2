"""Reads a file of firmware, whatever it is: its contents say its format, its name never alone does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..core.octets import Octets
from ..errors import PackageFormatError
from .files import octets_of
from .package import Package
from .sidecar import missing_sidecar, read_sidecar, sidecar_of

_LONGEST_SIGNATURE = 64
_READERS: tuple[tuple[Callable[[bytes], bool], Callable[[Octets], Package]], ...] = ()


def read(path: Path) -> Package:
    """Read the package at *path* and verify what its format lets verify.

    Raises:
        PackageFormatError: it is damaged, of no known format without a sidecar, or cannot be read at all.
    """
    try:
        octets = octets_of(path)
        start = octets.take(0, min(octets.size, _LONGEST_SIGNATURE), "signature")
        for is_one, reader in _READERS:
            if is_one(start):
                return reader(octets)
        if sidecar_of(path).exists():
            return read_sidecar(path, octets)
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}"
        raise PackageFormatError(problem, file=path.name, field="file") from error
    raise missing_sidecar(path, octets)
