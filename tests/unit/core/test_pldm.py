"""PLDM packages: what is written is read, and what is read is bounded by what the header says."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwave.core.octets import Octets
from rackwave.core.pldm import IDENTIFIERS, Component, Descriptor, Device, PldmHeader, parse_pldm, pldm_header
from rackwave.errors import PackageFormatError, UsageError

texts = st.text(alphabet="abc XYZ019.äß", max_size=20)
data = st.binary(max_size=20)
half, word = st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
moments = st.datetimes(
    min_value=datetime(1970, 1, 1),
    timezones=st.sampled_from([UTC, timezone(timedelta(minutes=-570))]),
)
components = st.lists(
    st.builds(
        Component,
        half,
        half,
        texts,
        st.integers(0, 50),
        st.just(0),
        half,
        half,
        word,
        st.just(b""),
    ),
    max_size=10,
)


@st.composite
def headers(draw: st.DrawFn) -> PldmHeader:
    """A header that can be written; what a revision has no room for is left out."""
    revision = draw(st.sampled_from(sorted(IDENTIFIERS)))
    parts = tuple(draw(components))
    if revision >= 3:
        parts = tuple(evolve(part, opaque=draw(data)) for part in parts)
    devices = []
    for downstream in (False, True) if revision >= 2 else (False,):
        for _ in range(draw(st.integers(0, 3))):
            applies = draw(st.sets(st.integers(0, len(parts) - 1))) if parts else set()
            stamp = draw(st.none() | word) if downstream else None
            flags = draw(word) & ~1 | (stamp is not None)
            marks = tuple(draw(st.lists(st.builds(Descriptor, half, data), max_size=3)))
            manifest = draw(data) if revision >= 4 else b""
            devices.append(
                Device(marks, tuple(sorted(applies)), draw(texts), flags, draw(data), manifest, downstream, stamp)
            )
    return PldmHeader(revision, draw(texts), tuple(devices), parts, draw(st.none() | moments))


def whole(header: PldmHeader) -> bytes:
    """The package, its images zeros."""
    return pldm_header(header) + bytes(sum(part.size for part in header.components))


@settings(max_examples=150, deadline=None)
@given(headers())
def test_what_is_written_is_read(header: PldmHeader) -> None:
    """Every field comes back, the images stand one behind the other after the header, and it is the same twice."""
    octets = whole(header)
    found = parse_pldm(Octets.of("x", octets))
    at = found.size

    for part in found.components:
        assert at == part.offset
        at += part.size
    assert header.components == tuple(evolve(part, offset=0) for part in found.components)
    assert (header.devices, header.version, header.released) == (found.devices, found.version, found.released)
    assert octets == whole(header)


@settings(max_examples=150, deadline=None)
@given(header=headers(), at=st.integers(min_value=0), bit=st.integers(0, 7))
def test_one_flipped_bit_of_a_header_is_found(header: PldmHeader, at: int, bit: int) -> None:
    """A header with any bit flipped is refused; the payload's checksum, which stands behind it, is another matter."""
    octets = bytearray(whole(header))
    size = len(octets) - sum(part.size for part in header.components)
    octets[at % (size - (4 if header.revision == 4 else 0))] ^= 1 << bit

    with pytest.raises(PackageFormatError):
        parse_pldm(Octets.of("x", bytes(octets)))


def test_images_that_overlap_are_refused() -> None:
    """Two components that share bytes, or one that lies in the header, are an attack or a mistake."""
    header = PldmHeader(1, "1", (), (Component(10, 1, "1", 8), Component(10, 2, "2", 8)))
    octets = bytearray(whole(header))
    first = octets.index(b"\x0a\x00\x01\x00")
    octets[first + 12 : first + 16] = bytes(4)
    size = int.from_bytes(octets[17:19], "little")
    octets[size - 4 : size] = zlib.crc32(octets[: size - 4]).to_bytes(4, "little")

    with pytest.raises(PackageFormatError, match="overlaps"):
        parse_pldm(Octets.of("x", bytes(octets)))


@pytest.mark.parametrize(
    "header",
    [
        PldmHeader(5, "1", (), ()),
        PldmHeader(1, "x" * 300, (), ()),
        PldmHeader(1, "1", (Device((), (1,)),), ()),
        PldmHeader(1, "1", (Device((Descriptor(1 << 16, b""),), ()),), ()),
        PldmHeader(1, "1", (Device((), ()),) * 300, ()),
        PldmHeader(3, "1", (), (Component(1, 1, "1", 1, opaque=bytes(1 << 16)),)),
    ],
)
def test_what_does_not_fit_is_refused(header: PldmHeader) -> None:
    """A header that would be wrong is not written."""
    with pytest.raises(UsageError):
        pldm_header(header)
