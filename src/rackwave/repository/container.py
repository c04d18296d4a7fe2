"""The runnable image beside a bundle's payloads: taken in from a local OCI layout, and verified, never looked into.

https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

from ..core.bundle import RunnableImage
from ..core.canonical import parse_json
from ..errors import BundleError, DigestMismatchError, ManifestError
from .depot import MAX_DOCUMENT, Readable
from .layout import MANIFEST_TYPE, Descriptor, ImageLayout

_MOST_LAYERS = 1024
_ONE = "Name one image of one platform: skopeo copy docker://… oci:FOLDER, or oci-archive:FILE."


def take_image(path: Path, into: ImageLayout) -> RunnableImage:
    """Copy the one image of the OCI layout (or ``oci-archive``) at *path* to *into*, all of it verified.

    Raises:
        BundleError: it is neither, or holds none, several, or one for several platforms.
        DigestMismatchError: its bytes are damaged.
        StateError: the layout is no layout.
    """
    if path.is_dir():
        return _take(ImageLayout(path), path, into)
    with tempfile.TemporaryDirectory(prefix="rackwave-") as name:
        try:
            with tarfile.open(path) as archive:
                _unpack(archive, Path(name))
        except (tarfile.TarError, OSError, EOFError) as error:
            raise BundleError(f"{path.name} is no oci-archive: {error}", advice=_ONE) from error
        return _take(ImageLayout(Path(name)), path, into)


def _unpack(archive: tarfile.TarFile, into: Path) -> None:
    """Write the folders and files of *archive* below *into*; a layout has nothing else.

    ``extractall`` has no filter before Python 3.11.4, and without one it writes wherever a name leads.

    Raises:
        TarError: it holds something else, or a name that leads out of *into*.
    """
    for member in archive:
        parts = PurePosixPath(member.name).parts
        if member.name.startswith("/") or ".." in parts or not (member.isdir() or member.isfile()):
            raise tarfile.TarError(f"it holds {member.name!r}, which is no file or folder of a layout")
        place = into.joinpath(*parts)
        if member.isdir():
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        content = archive.extractfile(member)
        if content is not None:
            with content, place.open("xb") as out:
                shutil.copyfileobj(content, out)


def image_blobs(depot: Readable, image: Descriptor) -> tuple[Descriptor, ...]:
    """Return all that *image* consists of, its manifest first; sizes are compared, contents are not read.

    Raises:
        ManifestError: it is no OCI image manifest.
        DigestMismatchError: a part has another size than is told.
        BundleNotFoundError: a part is missing.
    """
    document = parse_json(depot.read(image, MAX_DOCUMENT), what="the runnable image's manifest")
    match document:
        case {"config": config, "layers": list(layers)} if len(layers) <= _MOST_LAYERS:
            parts = tuple(Descriptor.from_document(part, "the runnable image") for part in (config, *layers))
        case _:
            raise ManifestError("the runnable image is no OCI image manifest", advice=_ONE)
    for part in parts:
        size = depot.size(part)
        if size != part.size:
            raise DigestMismatchError(
                f"a part of the runnable image has {size} bytes instead of {part.size}",
                expected=str(part.size),
                found=str(size),
            )
    return (image, *parts)


def _take(source: ImageLayout, path: Path, into: ImageLayout) -> RunnableImage:
    entries = source.index().entries
    if len(entries) != 1 or entries[0].media_type != MANIFEST_TYPE:
        found = f"{len(entries)} images" if len(entries) != 1 else f"a {entries[0].media_type}"
        raise BundleError(f"{path.name} holds {found}, not one image", advice=_ONE)
    for blob in image_blobs(source, entries[0]):
        source.fetch(blob, into.blobs)
    return RunnableImage(entries[0].digest, entries[0].size)
