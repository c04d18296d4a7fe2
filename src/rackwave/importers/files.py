"""Files as octets, images cut out of them, and how large anything may be."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from attrs import evolve

from ..core.identity import Digest
from ..core.octets import Octets
from ..errors import PackageFormatError
from .package import Image, Package, safe_name

MOST_BYTES = 16 << 30
"""A package may be this large. The largest known are some GiB: one file for a whole chassis."""
MOST_INFLATED = 4 << 30
_FREE_INFLATION = 64 << 20
_MOST_RATIO = 100
"""Times that contents may be larger than their file: padded firmware comes to 20, the bombs that were tried to 580."""


def octets_of(path: Path) -> Octets:
    """Return the file at *path* as octets; it is opened for each read, so that nothing is left open.

    Raises:
        PackageFormatError: it is empty or larger than any package.
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    octets = Octets(path.name, size, partial(_read, path))
    if not path.is_file():
        raise octets.damaged("is not a plain file", "file")
    if not size:
        raise octets.damaged("is empty", "file")
    if size > MOST_BYTES:
        raise octets.damaged(f"is {size} bytes long; {MOST_BYTES} are the most", "file")
    return octets


def _read(path: Path, offset: int, length: int) -> bytes:
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(offset)
            found = b""
            while len(found) < length and (more := file.read(length - len(found))):
                found += more
    except OSError as error:  # told here, for whoever reads an image writes one as well
        problem = f"cannot be read: {error.strerror or error}"
        raise PackageFormatError(problem, file=path.name, field="file") from error
    return found


def image_of(name: str, source: Callable[[], Iterator[bytes]], **told: Any) -> Image:
    """Return the image that *source* streams, hashed; *told* are further fields of it."""
    digest, size = hashlib.sha256(), 0
    for chunk in source():
        digest.update(chunk)
        size += len(chunk)
    return Image(safe_name(name), size, Digest(f"sha256:{digest.hexdigest()}"), source, **told)


def as_one_image(path: Path, octets: Octets, package: Package) -> Package:
    """Return *package* with its file as the one image; what all its images have in common holds of it."""
    images = package.images
    own = images[0] if len(images) == 1 else None
    image = image_of(
        path.name,
        octets.chunks,
        component=own.component if own is not None else None,
        version=own.version if own is not None else package.version,
        version_scheme=own.version_scheme if own is not None else None,
        kind=own.kind if own is not None else None,
        targets=tuple(dict.fromkeys(target for image in images for target in image.targets)),
        checks=images[0].checks if images else (),
    )
    return evolve(package, images=(image,))


def check_inflation(packed: int, inflated: int, *, file: str, what: str) -> None:
    """Refuse what would become far too much, before any of it is inflated.

    Raises:
        PackageFormatError: *inflated* bytes are more than may come of *packed* ones.
    """
    if inflated > MOST_INFLATED or inflated > max(_FREE_INFLATION, packed * _MOST_RATIO):
        problem = f"{packed} bytes would become {inflated}, as in a file that is made to fill disks"
        advice = "If it is genuine, unpack it with another tool and import the image with a sidecar."
        raise PackageFormatError(problem, file=file, field=what, advice=advice)
