"""Firmware images: made, read and refused."""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwave.core.identity import ComponentName, Digest
from rackwave.errors import UsageError
from rackwave_emulators.images import ImageError, KnownBuild, known_builds, make_image, read_image


def test_an_image_tells_what_it_is(tmp_path: Path) -> None:
    """What was made is what is read, digest and size included."""
    path = tmp_path / "bios.img"
    made = make_image(path, component="BIOS", version="2.1", size=300_000, seed=7)

    assert made == read_image(path)
    assert (ComponentName("BIOS"), "2.1", 300_000) == (made.component, made.version, made.size)
    assert path.stat().st_size == 300_000
    assert f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" == made.digest


@pytest.mark.parametrize("size", [200, 4096, (1 << 18) - 1, (1 << 18) + 33, 1 << 19])
def test_every_size_round_trips(tmp_path: Path, size: int) -> None:
    """Sizes at and beside the pieces in which files are read make no difference."""
    path = tmp_path / "x.img"

    assert make_image(path, component="NIC", version="1", size=size) == read_image(path)


def test_equal_arguments_give_equal_bytes(tmp_path: Path) -> None:
    """Images are reproducible, and differ by seed and by version."""
    one, two, seeded, newer = (tmp_path / name for name in ("1", "2", "3", "4"))
    make_image(one, component="BIOS", version="1", seed=1)
    make_image(two, component="BIOS", version="1", seed=1)
    make_image(seeded, component="BIOS", version="1", seed=2)
    make_image(newer, component="BIOS", version="2", seed=1)

    assert one.read_bytes() == two.read_bytes()
    assert len({path.read_bytes() for path in (one, seeded, newer)}) == 3


def test_the_format_never_changes_by_accident(tmp_path: Path) -> None:
    """The bytes of one image are pinned, so that digests in bundles stay true from release to release."""
    facts = make_image(tmp_path / "x", component="BIOS", version="1.0.0", size=1024, seed=0)

    assert facts.digest == "sha256:3cd418405da9af4e45c3558ad62e39b6fef3c007bbfab8e9f1c97a39952c76d6"


@settings(max_examples=80)
@given(place=st.integers(0, 1023), bit=st.integers(0, 7))
def test_one_flipped_bit_is_refused(tmp_path_factory: pytest.TempPathFactory, place: int, bit: int) -> None:
    """Wherever one bit of an image is flipped, it no longer verifies."""
    path = tmp_path_factory.mktemp("flip") / "x.img"
    make_image(path, component="BIOS", version="1", size=1024)
    damaged = bytearray(path.read_bytes())
    damaged[place] ^= 1 << bit
    path.write_bytes(damaged)

    with pytest.raises(ImageError):
        read_image(path)


@given(length=st.integers(0, 1023))
def test_an_image_cut_short_is_refused(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    """No beginning of an image verifies."""
    path = tmp_path_factory.mktemp("cut") / "x.img"
    make_image(path, component="BIOS", version="1", size=1024)
    os.truncate(path, length)

    with pytest.raises(ImageError):
        read_image(path)


def test_bytes_behind_the_end_are_refused(tmp_path: Path) -> None:
    """An image with something appended does not verify."""
    path = tmp_path / "x.img"
    make_image(path, component="BIOS", version="1", size=1024)
    path.write_bytes(path.read_bytes() + b"\0")

    with pytest.raises(ImageError, match="should have 1024 bytes and has 1025"):
        read_image(path)


@pytest.mark.parametrize(
    "facts",
    [
        b"{}",
        b"[]",
        b"nonsense",
        b'{"component":"BIOS","version":1,"size":9}',
        b'{"component":"BIOS","version":"1","size":"9"}',
        b'{"component":"","version":"1","size":9}',
    ],
)
def test_nonsense_facts_are_refused_by_a_typed_error(tmp_path: Path, facts: bytes) -> None:
    """A line of facts that is not what it should be never escapes as another error."""
    path = tmp_path / "x.img"
    path.write_bytes(b"RACKWAVE LAB IMAGE 1\n" + facts + b"\n" + bytes(64))

    with pytest.raises(ImageError):
        read_image(path)


def test_an_image_without_room_is_refused(tmp_path: Path) -> None:
    """A size too small for the facts is a usage error, not a broken file."""
    with pytest.raises(UsageError):
        make_image(tmp_path / "x", component="BIOS", version="1", size=64)


def firmware_volume(body: bytes) -> bytes:
    """Return a firmware volume as the PI specification lays it out, around *body*."""
    length = 72 + len(body)
    header = bytearray(struct.pack("<16x16sQ4sIHHHBB", b"G" * 16, length, b"_FVH", 0, 72, 0, 0, 0, 2) + bytes(16))
    struct.pack_into("<H", header, 50, -sum(struct.unpack("<36H", header)) & 0xFFFF)
    return bytes(header) + body


def known(image: bytes) -> dict[Digest, KnownBuild]:
    """Return a catalogue that knows *image* alone."""
    return {Digest(f"sha256:{hashlib.sha256(image).hexdigest()}"): KnownBuild(ComponentName("BIOS"), "2022.11-6")}


def test_a_known_uefi_build_tells_the_version_of_the_catalogue(tmp_path: Path) -> None:
    """Sound firmware volumes with a known digest have the version that the catalogue gives them."""
    image = firmware_volume(b"\xff" * 512) + firmware_volume(b"code" * 50)
    path = tmp_path / "OVMF_CODE.fd"
    path.write_bytes(image)
    facts = read_image(path, known=known(image))

    assert (ComponentName("BIOS"), "2022.11-6", len(image)) == (facts.component, facts.version, facts.size)


def test_an_unknown_uefi_build_is_refused(tmp_path: Path) -> None:
    """A build that is not in the catalogue is refused, however sound: nothing vouches for it."""
    path = tmp_path / "OVMF_CODE.fd"
    path.write_bytes(firmware_volume(b"\xff" * 512))

    with pytest.raises(ImageError, match="is no build that the lab knows"):
        read_image(path)


def _header_damaged(image: bytes) -> bytes:
    return image[:20] + b"\0" + image[21:]


def _cut(image: bytes) -> bytes:
    return image[:-1]


def _appended(image: bytes) -> bytes:
    return image + b"\0"


@pytest.mark.parametrize(
    ("damage", "told"),
    [(_header_damaged, "header checksum is wrong"), (_cut, "is cut short"), (_appended, "ends inside")],
)
def test_damaged_firmware_volumes_are_refused_for_what_is_wrong(tmp_path: Path, damage: object, told: str) -> None:
    """The volume headers are verified before the digest, so that the operator is told what is wrong."""
    assert callable(damage)
    image = damage(firmware_volume(b"\xff" * 512))
    path = tmp_path / "OVMF_CODE.fd"
    path.write_bytes(image)

    with pytest.raises(ImageError, match=told):
        read_image(path, known=known(image))


def test_the_catalogue_names_both_debian_builds() -> None:
    """The shipped catalogue can be read and knows the two OVMF versions that Debian serves."""
    versions = {build.version for build in known_builds().values()}

    assert {"2022.11-6+deb12u1", "2022.11-6+deb12u2"} == versions


def test_anything_else_is_refused(tmp_path: Path) -> None:
    """A file that is no image at all is refused, an empty one too."""
    path = tmp_path / "x"
    for content in (b"", b"#!/bin/sh\n", bytes(4096)):
        path.write_bytes(content)

        with pytest.raises(ImageError, match="neither a lab image nor"):
            read_image(path)
