"""Cabinets of LVFS."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from boxes import GUID, cabinet, metainfo

from rackwave.core.bundle import ElementKind
from rackwave.core.identity import ComponentName
from rackwave.errors import PackageFormatError
from rackwave.importers import Package, Release, read

FIRMWARE = bytes(range(256)) * 1000


def package(tmp_path: Path, data: bytes) -> Package:
    """Read *data* as a file without a telling name."""
    path = tmp_path / "download"
    path.write_bytes(data)
    return read(path)


@pytest.mark.parametrize("way", [0, 1])
def test_metainfo_says_what_it_is(tmp_path: Path, way: int) -> None:
    """Version, scheme, component, GUIDs and release come from the metainfo, the bytes from the folder."""
    found = package(tmp_path, cabinet({"fw.metainfo.xml": metainfo(FIRMWARE), "bios.bin": FIRMWARE}, way=way))
    (image,) = found.images

    assert ("cab", "R1 System Update", "Contoso", "2.1.0") == (found.format, found.name, found.vendor, found.version)
    assert (ComponentName("BIOS"), ElementKind.BIOS_IMAGE, "triplet") == (
        image.component,
        image.kind,
        image.version_scheme,
    )
    assert ((GUID,), ("sha256 of the metainfo",)) == (image.targets, image.checks)
    assert FIRMWARE == image.open().read()
    assert (
        Release(
            "high",
            ("CVE-2026-1234", "CVE-2026-99999"),
            "Fixes the fan curve, and CVE-2026-99999.",
            "2026-11-20",
            "https://example.com/notes",
        )
        == found.release
    )
    assert ("it may follow firmware ge 1.9.0",) == found.notes


def test_names_lose_their_folders(tmp_path: Path) -> None:
    """A name that leads elsewhere becomes a bare one; two that become the same are refused."""
    told = metainfo(FIRMWARE, name="..\\..\\etc\\bios.bin")
    found = package(tmp_path, cabinet({"x\\fw.metainfo.xml": told, "..\\..\\etc\\bios.bin": FIRMWARE}))

    assert ["bios.bin"] == [image.name for image in found.images]
    with pytest.raises(PackageFormatError, match="two files"):
        package(tmp_path, cabinet({"a\\bios.bin": FIRMWARE, "b/bios.bin": FIRMWARE}))


def test_without_metainfo_nothing_is_guessed(tmp_path: Path) -> None:
    """The images are there, of no component and no version, and a note says why."""
    found = package(tmp_path, cabinet({"bios.bin": FIRMWARE, "bios.inf": b"[Version]", "bios.cat": b"x"}))

    assert [("bios.bin", None, None)] == [(image.name, image.component, image.version) for image in found.images]
    assert "no metainfo" in found.notes[0]
    assert "not verified: bios.cat" in found.notes[1]


def test_a_bomb_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    """Three hundred MiB of nothing in half a MiB end at a look at their sizes."""
    data = cabinet({"fw.metainfo.xml": metainfo(b""), "bios.bin": bytes(300 << 20)})
    tracemalloc.start()
    with pytest.raises(PackageFormatError, match="fill disks"):
        package(tmp_path, data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert 2_000_000 > peak


def test_more_than_was_told_is_not_inflated(tmp_path: Path) -> None:
    """A block that inflates to more than its header says is damaged."""
    data = bytearray(cabinet({"bios.bin": b"\0" * 1000}))
    at = data.index(b"CK") - 8
    data[at : at + 4] = bytes(4)  # no checksum
    data[at + 6 : at + 8] = (100).to_bytes(2, "little")

    with pytest.raises(PackageFormatError, match="does not inflate"):
        package(tmp_path, bytes(data))


@pytest.mark.parametrize(
    ("told", "match"),
    [
        (metainfo(FIRMWARE[:-1]), "another sha256"),
        (metainfo(FIRMWARE, name="other.bin"), "does not hold"),
        (metainfo(FIRMWARE, head='<!DOCTYPE x [<!ENTITY a "aaaa">]>'), "document type"),
        (metainfo(FIRMWARE, head='<!DOCTYPE x SYSTEM "file:///etc/passwd">'), "document type"),
        (metainfo(FIRMWARE, more="<a>" * 100 + "</a>" * 100), "nested"),
        (metainfo(FIRMWARE)[:-3], "cannot be read"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b'<?xml version="1.0" encoding="x-none"?><component/>', "cannot be read"),
        (b"<component type='desktop'/>", "no firmware"),
        (b"<component type='firmware'><releases><release/></releases></component>", "no version"),
        (b"<component>" + b" " * (1 << 20) + b"</component>", "are the most"),
    ],
)
def test_wrong_metainfo_is_named(tmp_path: Path, told: bytes, match: str) -> None:
    """What the metainfo may not be, or says wrongly, is refused in a sentence."""
    with pytest.raises(PackageFormatError, match=match):
        package(tmp_path, cabinet({"fw.metainfo.xml": told, "bios.bin": FIRMWARE}))


@pytest.mark.parametrize(
    ("at", "octets", "match"),
    [
        (24, b"\x04", "only 1.3"),
        (30, b"\x01", "set of cabinets"),
        (28, b"\xff\xff", "are the most"),
        (26, b"\x00\x00", "are the most"),
        (8, b"\xff\xff\xff\x7f", "cut short"),
        (42, b"\x03", "LZX"),
        (36, b"\xff\xff\xff\x7f", "cut short"),
        (52, b"\x07", "folder 7"),
        (-5, b"\x00", "checksum is wrong"),
    ],
)
def test_a_damaged_cabinet_is_told(tmp_path: Path, at: int, octets: bytes, match: str) -> None:
    """Each field that is wrong has its sentence."""
    data = bytearray(cabinet({"bios.bin": FIRMWARE}))
    data[at : at + len(octets) if at >= 0 else at + 1] = octets

    with pytest.raises(PackageFormatError, match=match):
        package(tmp_path, bytes(data))


def test_a_name_in_no_encoding_is_still_a_name(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 in a name end in no traceback."""
    data = cabinet({"bios.bin": FIRMWARE}).replace(b"bios.bin", b"bi\xffs.bin")

    assert ["bi_s.bin"] == [image.name for image in package(tmp_path, data).images]


def test_many_files_far_behind_in_a_folder_are_refused(tmp_path: Path) -> None:
    """Two hundred files that each need the whole folder inflated first would take hours; overlapping ones, disks."""
    data = bytearray(cabinet({f"{number:03d}.bin": b"x" for number in range(200)}))
    for number in range(200):
        at = data.index(f"{number:03d}.bin".encode()) - 16
        data[at + 4 : at + 8] = (0x7FFF_0000).to_bytes(4, "little")

    with pytest.raises(PackageFormatError, match="take hours"):
        package(tmp_path, bytes(data))
    with pytest.raises(PackageFormatError, match="fill disks"):
        package(tmp_path, cabinet({f"{number:03d}.bin": b"x" for number in range(200)}, claim=1 << 20))
