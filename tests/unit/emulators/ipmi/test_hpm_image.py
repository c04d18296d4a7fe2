"""HPM.1 files are written as the specification has them, and read back."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwave.errors import UsageError
from rackwave_emulators.images import ImageError
from rackwave_emulators.ipmi.hpm_image import Backup, HpmImage, Prepare, Upload, read_hpm, wrap_hpm
from rackwave_emulators.ipmi.version import WireVersion, version_octets

masks = st.integers(min_value=0, max_value=255)
versions = st.builds(
    WireVersion,
    st.integers(min_value=0, max_value=126),
    st.integers(min_value=0, max_value=99),
    st.binary(min_size=4, max_size=4),
)
names = st.text(alphabet="abc XYZ09", max_size=20)
uploads = st.builds(Upload, st.integers(min_value=0, max_value=7), versions, names, st.binary(max_size=300))
actions = st.one_of(st.builds(Backup, masks), st.builds(Prepare, masks), uploads)
images = st.builds(
    HpmImage,
    actions=st.lists(actions, max_size=4).map(tuple),
    version=versions,
    device=st.integers(min_value=0, max_value=255),
    manufacturer=st.integers(min_value=0, max_value=(1 << 20) - 1),
    inaccessible_seconds=st.integers(min_value=0, max_value=255).map(lambda ticks: ticks * 5),
)


@settings(max_examples=100, deadline=None)
@given(images)
def test_what_is_written_is_read(image: HpmImage) -> None:
    """Any image comes back as it was."""
    assert image == read_hpm(image.encode())


@settings(max_examples=150, deadline=None)
@given(image=images, at=st.integers(min_value=0), bit=st.integers(min_value=0, max_value=7))
def test_one_flipped_bit_is_found(image: HpmImage, at: int, bit: int) -> None:
    """A file with any bit flipped is refused."""
    octets = bytearray(image.encode())
    octets[at % len(octets)] ^= 1 << bit

    with pytest.raises(ImageError):
        read_hpm(bytes(octets))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(rest: bytes) -> None:
    """Whatever follows the signature, even under a right MD5, is an image or refused."""
    whole = b"PICMGFWU" + rest
    sealed = whole + hashlib.md5(whole, usedforsecurity=False).digest()
    try:
        found = read_hpm(sealed)
    except ImageError:
        return

    assert isinstance(found, HpmImage)


def test_the_bytes_are_the_specifications() -> None:
    """Signature, header of 34 bytes and its checksum, records with theirs, MD5 at the end."""
    octets = wrap_hpm(b"firmware", component=1, version="2.5.7", description="new", manufacturer=0x2A7C).encode()

    assert b"PICMGFWU\x00\x20\x7c\x2a\x00\x01\x00" == octets[:15]
    assert 0x02 == octets[20]
    assert 0 == sum(octets[:35]) & 0xFF
    assert b"\x01\x02\xfd" == octets[35:38]
    assert b"\x02\x02\xfc" + b"\x02\x05\x00\x07\x00\x00" + b"new".ljust(21, b"\x00") == octets[38:68]
    assert b"\x08\x00\x00\x00firmware" == octets[68:80]
    assert hashlib.md5(octets[:-16], usedforsecurity=False).digest() == octets[80:]


def test_there_are_eight_components() -> None:
    """An image for component 8 cannot be made."""
    with pytest.raises(UsageError):
        wrap_hpm(b"", component=8, version="1.0")


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("1.2", "010200000000"),
        ("2.17.300", "0217012c0000"),
        ("126.99.1.2", "7e9900010002"),
        (None, "ffffffffffff"),
    ],
)
def test_versions_fit_into_six_bytes(text: str | None, octets: str) -> None:
    """A plain version is told in full, a missing one as such."""
    assert octets == version_octets(text).hex()


def test_odd_versions_stay_apart() -> None:
    """What does not fit is told by a checksum, so that different texts are different and equal ones equal (P43)."""
    old, new = (version_octets(f"2022.11-6+deb12u{release}") for release in (1, 2))

    assert old != new
    assert bytes(2) == old[:2]
