"""Puts a bundle together from new files and from what the repository holds already."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..core.bundle import Manifest
from ..errors import BundleError
from .artifact import write_bundle
from .container import image_blobs
from .entry import offer
from .keys import BundleSigner
from .layout import MANIFEST_TYPE, Descriptor, ImageLayout, LayoutIndex
from .source import BuiltBundle


def assemble(
    manifest: Manifest, fresh: Mapping[str, Path], out: Path, signer: BundleSigner, *, stored: ImageLayout
) -> BuiltBundle:
    """Write the bundle of *manifest* into *out*, signed; two are bit-identical.

    Args:
        manifest: With the digests of all its payloads.
        fresh: Where the payloads lie that are new, by name.
        out: An empty folder, or one that is not there.
        signer: Who signs it.
        stored: Where the other payloads and the runnable image are.

    Raises:
        DigestMismatchError: a file is not the one that *manifest* names.
        BundleNotFoundError: *stored* does not hold a payload.
        BundleError: a file cannot be read, or *out* holds something.
    """
    layout = ImageLayout(out)
    if layout.index().entries:
        raise BundleError(f"{out} holds a bundle already", advice="Name an empty folder.")
    for payload in manifest.payloads:
        if payload.name in fresh:
            layout.blobs.add_expected(fresh[payload.name], digest=payload.digest, size=payload.size)
        else:
            layout.blobs.add_expected(stored.blobs.path(payload.digest), digest=payload.digest, size=payload.size)
    if manifest.image is not None:
        for blob in image_blobs(stored, Descriptor(MANIFEST_TYPE, manifest.image.digest, manifest.image.size)):
            stored.fetch(blob, layout.blobs)
    bundle, index = write_bundle(layout, manifest, signer)
    with layout.locked():
        layout.swap(LayoutIndex((offer(index, bundle),)))
    return BuiltBundle(bundle, out)
