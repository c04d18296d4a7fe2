"""What guests are made of, as bytes: SeaBIOS of other versions, the initramfs, images with a payload."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwave.core.identity import ComponentName
from rackwave.errors import UsageError
from rackwave_emulators.images import ImageError, make_image, read_image, unwrap_image, wrap_image
from rackwave_emulators.qemu.initramfs import MARK, flash_words, make_initramfs
from rackwave_emulators.qemu.seabios import version_of, with_version

# The strings of Debian's build around its version, as they stand in bios-256k.bin.
TOOLS = b"gcc: (Debian 12.2.0-14) 12.2.0 binutils: (GNU Binutils for Debian) 2.40"
SEABIOS = b"\x01\x02SeaBIOS (version %s)\n\x00" + TOOLS + b"\x001.16.2-debian-1.16.2-1\x00\x90\x00\x00more"
WORDS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=22)


@given(version=WORDS)
def test_a_version_takes_the_place_of_the_old_one(version: str) -> None:
    """The new version is what is told, and no byte beside it changes or moves."""
    built = with_version(SEABIOS, version)
    at = SEABIOS.index(b"1.16.2-debian")

    assert version == version_of(built)
    assert SEABIOS[:at] == built[:at]
    assert SEABIOS[at + 22 :] == built[at + 22 :]


@pytest.mark.parametrize("version", ["", "x" * 23, "2.0 beta", "2.0\0", "zwei\u00e4"])
def test_a_version_that_does_not_fit_is_refused(version: str) -> None:
    """Too long, empty, or with characters that DMI would not show as they are."""
    with pytest.raises(UsageError, match="does not fit"):
        with_version(SEABIOS, version)


def test_what_is_no_seabios_is_refused() -> None:
    """Neither anything else nor two versions in one file."""
    for image in (b"", b"\xff" * 4096, SEABIOS + SEABIOS):
        with pytest.raises(UsageError, match="no SeaBIOS"):
            version_of(image)


@given(payload=st.binary(max_size=2000))
def test_a_payload_comes_out_of_its_image_as_it_went_in(
    payload: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """An image around a payload verifies, tells its size right at every length, and gives the payload back."""
    path = tmp_path_factory.getbasetemp() / "wrapped.img"
    made = wrap_image(path, component="BIOS", version="2.0.0", payload=payload)

    assert made == read_image(path)
    assert (ComponentName("BIOS"), "2.0.0", path.stat().st_size) == (made.component, made.version, made.size)
    assert payload == unwrap_image(path)


def test_a_payload_is_under_the_seal(tmp_path: Path) -> None:
    """One flipped byte of the payload and the image is refused."""
    path = tmp_path / "wrapped.img"
    wrap_image(path, component="BIOS", version="2.0.0", payload=b"firmware" * 100)
    spoilt = bytearray(path.read_bytes())
    spoilt[len(spoilt) // 2] ^= 1
    path.write_bytes(spoilt)

    with pytest.raises(ImageError, match="checksum"):
        read_image(path)


def test_an_image_without_payload_is_flashed_whole(tmp_path: Path) -> None:
    """Filler is what goes into the flash then; no machine boots it."""
    path = tmp_path / "filler.img"
    make_image(path, component="BIOS", version="1", size=4096)

    assert path.read_bytes() == unwrap_image(path)


def test_the_initramfs_is_reproducible_and_holds_an_init(tmp_path: Path) -> None:
    """Equal input gives equal bytes; every member is aligned, and the kernel finds init, busybox and a console."""
    busybox, one, two = (tmp_path / name for name in ("busybox", "1", "2"))
    busybox.write_bytes(b"\x7fELF and the rest")
    make_initramfs(busybox, one)
    make_initramfs(busybox, two)
    members = cpio_members(gzip.decompress(one.read_bytes()))

    assert one.read_bytes() == two.read_bytes()
    assert {"dev", "dev/console", "sys", "bin", "bin/busybox", "init", "TRAILER!!!"} == members.keys()
    assert busybox.read_bytes() == members["bin/busybox"]
    assert f"{MARK} ready".encode() in members["init"]


def test_flash_words_are_read_below_four_gigabytes() -> None:
    """Firmware ends at 4 GiB; what lies below the chip reads as zero."""
    quarter = bytes(range(256)) * 1024  # 256 KiB
    words = flash_words(quarter).split()

    assert "0x0706050403020100" == words[-2]
    assert "0xF7F6F5F4F3F2F1F0" == words[-1]
    assert {"0x0000000000000000"} == set(words[:-2])
    assert flash_words(quarter) != flash_words(b"\xff" * len(quarter))


def cpio_members(archive: bytes) -> dict[str, bytes]:
    """Read a "newc" archive as the kernel does."""
    members, at = {}, 0
    while at < len(archive):
        fields = [int(archive[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        size, name_size = fields[6], fields[11]
        name = archive[at + 110 : at + 110 + name_size - 1].decode()
        begin = (at + 110 + name_size + 3) & ~3
        assert b"070701" == archive[at : at + 6]
        members[name] = archive[begin : begin + size]
        at = (begin + size + 3) & ~3
    return members
