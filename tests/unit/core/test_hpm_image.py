"""HPM.1 files are written as the specification has them, and read back."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwave.core.hpm_image import BackUp, Device, HpmImage, Prepare, Upload, hpm_pieces, parse_hpm
from rackwave.core.hpm_version import version_octets, version_text
from rackwave.core.octets import Octets
from rackwave.errors import PackageFormatError, UsageError

octet = st.integers(0, 255)
uploads = st.binary(max_size=300).flatmap(
    lambda firmware: st.tuples(
        st.builds(
            Upload,
            st.integers(0, 7),
            st.just(0),
            st.just(len(firmware)),
            st.binary(min_size=6, max_size=6),
            st.text(alphabet="abcXYZ09-", max_size=20),
        ),
        st.just(firmware),
    )
)
devices = st.builds(
    Device, octet, st.integers(0, (1 << 24) - 1), st.integers(0, 0xFFFF), st.tuples(st.integers(0, 127), octet)
)
headers = st.builds(
    HpmImage,
    actions=st.just(()),
    device=devices,
    told=st.binary(min_size=6, max_size=6),
    built_at=st.integers(0, (1 << 32) - 1),
    capabilities=octet,
    self_test=octet,
    rollback=octet,
    inaccessible=octet,
    oem=st.binary(max_size=40),
)
actions = st.lists(st.one_of(st.builds(BackUp, octet), st.builds(Prepare, octet), uploads), max_size=4)


@st.composite
def files(draw: st.DrawFn) -> tuple[HpmImage, list[bytes], bytes]:
    """An image, the firmware of its uploads, and its file."""
    drawn = draw(actions)
    image = HpmImage(
        **{
            **{name: getattr(draw(headers), name) for name in ("device", "told", "built_at", "oem", "self_test")},
            "actions": tuple(each[0] if isinstance(each, tuple) else each for each in drawn),
        }
    )
    firmware = [each[1] for each in drawn if isinstance(each, tuple)]
    pieces = iter(firmware)
    return image, firmware, b"".join(hpm_pieces(image, lambda _: iter([next(pieces)])))


@settings(max_examples=100, deadline=None)
@given(files())
def test_what_is_written_is_read(file: tuple[HpmImage, list[bytes], bytes]) -> None:
    """Any image comes back as it was, with its firmware where it says."""
    image, firmware, octets = file
    found = parse_hpm(Octets.of("x", octets))

    assert image == found
    assert firmware == [octets[upload.offset : upload.offset + upload.length] for upload in found.uploads]


@settings(max_examples=150, deadline=None)
@given(file=files(), at=st.integers(min_value=0), bit=st.integers(0, 7))
def test_one_flipped_bit_is_found(file: tuple[HpmImage, list[bytes], bytes], at: int, bit: int) -> None:
    """A file with any bit flipped is refused."""
    octets = bytearray(file[2])
    octets[at % len(octets)] ^= 1 << bit

    with pytest.raises(PackageFormatError):
        parse_hpm(Octets.of("x", bytes(octets)))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(rest: bytes) -> None:
    """Whatever follows the signature, even under a right MD5, is an image or refused."""
    whole = b"PICMGFWU" + rest
    sealed = whole + hashlib.md5(whole, usedforsecurity=False).digest()
    try:
        found = parse_hpm(Octets.of("x", sealed))
    except PackageFormatError:
        return

    assert isinstance(found, HpmImage)


def test_the_bytes_are_the_specifications() -> None:
    """Signature, header of 34 bytes and its checksum, records with theirs, MD5 at the end."""
    told = bytes.fromhex("020500070000")
    image = HpmImage((Prepare(2), Upload(1, 0, 8, told, "new")), Device(0x20, 0x2A7C, 1), told)
    octets = b"".join(hpm_pieces(image, lambda _: iter([b"firmware"])))

    assert b"PICMGFWU\x00\x20\x7c\x2a\x00\x01\x00" == octets[:15]
    assert 0x02 == octets[20]
    assert 0 == sum(octets[:35]) & 0xFF
    assert b"\x01\x02\xfd" == octets[35:38]
    assert b"\x02\x02\xfc" + told + b"new".ljust(21, b"\x00") == octets[38:68]
    assert b"\x08\x00\x00\x00firmware" == octets[68:80]
    assert hashlib.md5(octets[:-16], usedforsecurity=False).digest() == octets[80:]


def test_what_does_not_fit_is_refused() -> None:
    """Firmware of another length, a description that is too long, a product that is none: nothing wrong is written."""
    for image in (
        HpmImage((Upload(0, 0, 9),)),
        HpmImage((Upload(0, 0, 8, description="x" * 21),)),
        HpmImage((), Device(product=1 << 16)),
    ):
        with pytest.raises(UsageError):
            list(hpm_pieces(image, lambda _: iter([b"firmware"])))


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=6, max_size=6))
def test_versions_come_back(octets: bytes) -> None:
    """What reads as a version is written as six bytes that read as the same."""
    text = version_text(octets)
    if isinstance(text, str):
        told = version_octets(text)

        assert told is not None
        assert text == version_text(told)
