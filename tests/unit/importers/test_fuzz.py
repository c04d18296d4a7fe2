"""Whatever bytes a package is made of, it is read, or refused with one of our errors, in little memory and time."""

from __future__ import annotations

import hashlib
import io
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from boxes import cabinet, capsule, fwpkg, metainfo, pldm
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rackwave.core.hpm_image import Device
from rackwave.core.pldm import Component, Descriptor
from rackwave.core.pldm import Device as PldmDevice
from rackwave.errors import PackageFormatError
from rackwave.importers import Package, read, write_hpm1, write_pldm
from rackwave.importers.files import image_of

FIRMWARE = bytes(range(200)) * 10
BUDGET = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
MOST_MEMORY = 24 << 20


def written(write: Callable[[io.BytesIO], None]) -> bytes:
    """What *write* writes."""
    out = io.BytesIO()
    write(out)
    return out.getvalue()


def newest_pldm(file: io.BytesIO) -> None:
    """Write a package of revision 4 with everything in it."""
    device = PldmDevice((Descriptor(2, bytes(16)), Descriptor(0xFFFF, b"\x01\x01Nx")), (0,), "set", 0, b"data", b"man")
    behind = PldmDevice((Descriptor(0, b"\xb3\x15"),), (0,), "1.0", downstream=True, stamp=7)
    part = Component(10, 1, "1.0", 0, opaque=b"opaque"), image_of("x", lambda: iter([FIRMWARE]))
    write_pldm(file, [part], devices=(device, behind), version="1", revision=4)


def an_hpm(file: io.BytesIO) -> None:
    """Write an upgrade image."""
    image = image_of("x", lambda: iter([FIRMWARE]))
    write_hpm1(file, image, component=1, version="2.1.7", device=Device(0x20, 674, 7))


GOOD = {
    "stored cab": cabinet({"fw.metainfo.xml": metainfo(FIRMWARE), "bios.bin": FIRMWARE}, way=0),
    "deflated cab": cabinet({"fw.metainfo.xml": metainfo(FIRMWARE), "bios.bin": FIRMWARE}),
    "capsule": capsule(FIRMWARE),
    "old pldm": pldm([(10, "1.0", FIRMWARE), (11, "2", b"x")]),
    "new pldm": written(newest_pldm),
    "hpm1": written(an_hpm),
    "fwpkg": fwpkg({"a.flash": FIRMWARE}),
}
STARTS = (b"MSCF", b"PICMGFWU", b"PK\x03\x04", GOOD["old pldm"][:16], GOOD["new pldm"][:16], GOOD["capsule"][:16], b"")


def tried(path: Path, data: bytes) -> Package | PackageFormatError:
    """What becomes of *data*: a package, whose images are what they are said to be, or the refusal."""
    path.write_bytes(data)
    tracemalloc.start()
    try:
        package = read(path)
        for image in package.images:
            image.copy_to(io.BytesIO())
    except PackageFormatError as error:
        return error
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert MOST_MEMORY > peak
    return package


@BUDGET
@given(start=st.sampled_from(STARTS), rest=st.binary(max_size=400))
def test_no_bytes_break_a_reader(tmp_path: Path, start: bytes, rest: bytes) -> None:
    """Random bytes behind any signature."""
    tried(tmp_path / "download", start + rest)


@pytest.mark.parametrize("name", sorted(GOOD))
def test_the_good_files_are_good(tmp_path: Path, name: str) -> None:
    """What is changed below is read as long as nobody changes it."""
    assert isinstance(tried(tmp_path / "download", GOOD[name]), Package)


@pytest.mark.parametrize("name", sorted(GOOD))
@BUDGET
@given(data=st.data())
def test_good_files_gone_wrong(tmp_path: Path, name: str, data: st.DataObject) -> None:
    """A few changed bytes, a cut, a piece twice: read or refused."""
    octets = bytearray(GOOD[name])
    places = st.one_of(st.integers(0, min(300, len(octets) - 1)), st.integers(0, len(octets) - 1))
    for place, octet in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=6)):
        octets[place] = octet
    end = data.draw(st.one_of(st.just(len(octets)), places))
    begin, length = data.draw(places), data.draw(st.integers(0, 40))

    tried(tmp_path / "download", bytes(octets[:end] + octets[begin : begin + length]))


@pytest.mark.parametrize("name", ["old pldm", "new pldm", "hpm1"])
@BUDGET
@given(data=st.data())
def test_headers_whose_checksums_were_made_right(tmp_path: Path, name: str, data: st.DataObject) -> None:
    """A change that its author sealed again gets past the checksum, and no further than it may."""
    octets = bytearray(GOOD[name])
    size = len(octets) - 16 if name == "hpm1" else int.from_bytes(octets[17:19], "little")
    for place, octet in data.draw(
        st.lists(st.tuples(st.integers(19, min(size, 200)), st.integers(0, 255)), max_size=4)
    ):
        octets[place] = octet
    tried(tmp_path / "download", sealed(name, octets, size))


def sealed(name: str, octets: bytearray, size: int) -> bytes:
    """The file with the checksums of its header made right."""
    if name == "hpm1":
        octets[34] = -sum(octets[:34]) & 0xFF
        return bytes(octets[:-16]) + hashlib.md5(octets[:-16], usedforsecurity=False).digest()
    end = size - (8 if name == "new pldm" else 4)
    octets[end : end + 4] = zlib.crc32(octets[:end]).to_bytes(4, "little")
    return bytes(octets)


@BUDGET
@given(text=st.text(max_size=200), where=st.sampled_from(["fw.metainfo.xml", "payload.json", "sidecar"]))
def test_no_text_breaks_a_description(tmp_path: Path, text: str, where: str) -> None:
    """Metainfo, payload.json and sidecars of anything."""
    octets = text.encode("utf-8", "replace")
    path = tmp_path / "download"
    side = tmp_path / "download.toml"
    side.unlink(missing_ok=True)
    if where == "sidecar":
        side.write_bytes(octets or b"x")
        data = b"some firmware"
    elif where == "payload.json":
        data = fwpkg({"a": b"x"}, text)
    else:
        data = cabinet({where: octets or b"x", "bios.bin": FIRMWARE})
    tried(path, data)
