"""The runnable image beside a bundle's payloads: carried whole, verified, never looked into."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from workshop import Forgery, Workshop

from rackwave.core.canonical import canonical_json
from rackwave.core.identity import BundleId
from rackwave.errors import BundleError, DigestMismatchError, ManifestError
from rackwave.repository.address import RegistryAddress
from rackwave.repository.layout import MANIFEST_TYPE, Descriptor, ImageLayout, LayoutIndex
from rackwave.repository.registry import Registry
from rackwave.repository.repository import BundleRepository
from rackwave.repository.source import build, read_source
from rackwave.repository.trust import KeyringTrust
from registry_server import NAME, serving


def image(folder: Path, *, media_type: str = MANIFEST_TYPE, times: int = 1) -> ImageLayout:
    """Write an OCI layout with one small image, entered *times* times as a *media_type*."""
    layout = ImageLayout(folder)
    config = Descriptor("application/vnd.oci.image.config.v1+json", *layout.blobs.add_bytes(b"{}"))
    layer = Descriptor("application/vnd.oci.image.layer.v1.tar", *layout.blobs.add_bytes(b"a layer" * 99))
    document = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config.document()}
    manifest = layout.blobs.add_bytes(canonical_json({**document, "layers": [layer.document()]}))
    with layout.locked():
        layout.swap(LayoutIndex((Descriptor(media_type, *manifest),) * times))
    return layout


def source(workshop: Workshop, seq: int = 1) -> Path:
    """A source that names an image; the image is not there yet."""
    folder = workshop.source(seq)
    text = (folder / "bundle.toml").read_text()
    (folder / "bundle.toml").write_text(f'image = "image"\n{text}')
    return folder


def test_an_image_is_carried(workshop: Workshop) -> None:
    """It is in the signed manifest, published with the bundle, and its bytes are verified with all others."""
    folder = source(workshop)
    entry = image(folder / "image").index().entries[0]
    built = build(folder, workshop.fresh("out"), workshop.signer)
    workshop.repository.publish(built.directory)
    found = workshop.repository.get(BundleId("A", 1)).manifest.image

    assert found is not None
    assert (entry.digest, entry.size) == (found.digest, found.size)
    assert [True] == [check.is_sound for check in workshop.repository.verify()]

    kept = ImageLayout(workshop.repository.directory).blobs
    layer = next(path for path in kept.folder.iterdir() if path.read_bytes().startswith(b"a layer"))
    layer.chmod(0o600)
    layer.write_bytes(b"b layer" * 99)

    assert [False] == [check.is_sound for check in workshop.repository.verify()]


def test_an_image_goes_through_a_registry(workshop: Workshop, trust_file: Path) -> None:
    """What was pushed with its image is pulled with it, to the last byte, by who trusts the publisher."""
    folder = source(workshop)
    image(folder / "image")
    workshop.repository.publish(build(folder, workshop.fresh("built"), workshop.signer).directory)
    elsewhere = BundleRepository(workshop.directory / "elsewhere", KeyringTrust.load(trust_file))
    with serving() as shelf:
        address = RegistryAddress.parse(f"{shelf.url.replace('http', 'oci')}/{NAME}", plain=True)
        with Registry(address) as registry:
            workshop.repository.push(BundleId("A", 1), registry)
            elsewhere.pull(BundleId("A", 1), registry)
    (check,) = elsewhere.verify()

    assert check.is_sound
    assert workshop.repository.get(BundleId("A", 1)).manifest.image == elsewhere.get(BundleId("A", 1)).manifest.image
    assert b"a layer" * 99 in [path.read_bytes() for path in elsewhere.directory.rglob("*") if path.is_file()]


def test_an_archive_does_as_well(workshop: Workshop) -> None:
    """An oci-archive and the folder that it was made of give the same bundle."""
    folder, packed = source(workshop), source(workshop)
    image(folder / "image")
    with tarfile.open(packed / "image", "w") as archive:
        archive.add(folder / "image", ".")

    assert (
        build(folder, workshop.fresh("out"), workshop.signer).digest
        == build(packed, workshop.fresh("out"), workshop.signer).digest
    )


@pytest.mark.parametrize(
    ("name", "kind"), [("../outside", tarfile.REGTYPE), ("/outside", tarfile.REGTYPE), ("a", tarfile.SYMTYPE)]
)
def test_an_archive_writes_nowhere_else(workshop: Workshop, name: str, kind: bytes) -> None:
    """A name that leads out, or a link that might, is refused."""
    folder = source(workshop)
    with tarfile.open(folder / "image", "w") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member, io.BytesIO())
    with pytest.raises(BundleError, match="no file or folder of a layout"):
        build(folder, workshop.fresh("out"), workshop.signer)


def test_what_is_no_image(workshop: Workshop) -> None:
    """No file, a file that is none, several images, and one for several platforms are refused with what to do."""
    for make, says in (
        (lambda path: None, "there is no file 'image'"),
        (lambda path: path.write_bytes(b"x" * 5000), "is no oci-archive"),
        (lambda path: image(path, times=2), "holds 2 images, not one"),
        (lambda path: image(path, media_type="application/vnd.oci.image.index.v1+json"), "image.index.v1"),
        (lambda path: path.mkdir(), "holds 0 images"),
    ):
        folder = source(workshop)
        make(folder / "image")
        with pytest.raises(BundleError, match=says) as caught:
            build(folder, workshop.fresh("out"), workshop.signer)

        assert caught.value.advice


def test_a_damaged_image_is_not_taken_in(workshop: Workshop) -> None:
    """A layer with other bytes, or another size, than its manifest says is refused at building."""
    for content in (b"A layer" * 99, b"short"):
        folder = source(workshop)
        layout = image(folder / "image")
        layer = next(p for p in layout.blobs.folder.iterdir() if p.read_bytes().startswith(b"a layer"))
        layer.chmod(0o600)
        layer.write_bytes(content)
        with pytest.raises(DigestMismatchError):
            build(folder, workshop.fresh("out"), workshop.signer)


def test_another_image_than_was_signed_is_refused(workshop: Workshop) -> None:
    """Who takes the image out of the index, which is not signed, is found out."""
    folder = source(workshop)
    image(folder / "image")
    built = build(folder, workshop.fresh("out"), workshop.signer)
    forgery = Forgery.of(built.directory)
    del forgery.index["manifests"][2]
    forgery.write(built.directory)
    with pytest.raises(ManifestError, match="is not the one that the bundle carries"):
        workshop.repository.publish(built.directory)


def test_a_draft_needs_no_image_to_be_read(workshop: Workshop) -> None:
    """Lint reads a source without the image's bytes."""
    folder = source(workshop)
    image(folder / "image")

    assert read_source(folder).draft().image is None
