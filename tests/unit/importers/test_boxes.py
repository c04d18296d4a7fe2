"""UEFI capsules, PLDM packages, HPM.1 upgrade images and HPE's packages."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import pytest
from boxes import GUID, capsule, fwpkg, pldm

from rackwave.core.bundle import ElementKind
from rackwave.core.hpm_image import Device, HpmImage, Prepare, Upload, hpm_pieces, parse_hpm
from rackwave.core.identity import ComponentName, Lineage
from rackwave.core.octets import Octets
from rackwave.core.pldm import Component, Descriptor, parse_pldm
from rackwave.core.pldm import Device as PldmDevice
from rackwave.errors import PackageFormatError, UsageError
from rackwave.importers import Package, read, write_hpm1, write_pldm, write_source
from rackwave.importers.files import image_of
from rackwave.importers.package import Image

FIRMWARE = bytes(range(256)) * 40
BIOS = ComponentName("BIOS")


def package(tmp_path: Path, data: bytes, name: str = "download.bin") -> Package:
    """Read *data* as a file."""
    path = tmp_path / name
    path.write_bytes(data)
    return read(path)


def plain(data: bytes = FIRMWARE) -> Image:
    """An image in memory."""
    return image_of("plain.bin", lambda: iter([data]))


# -- UEFI capsules --------------------------------------------------------------------------


@pytest.mark.parametrize("header", [1, 2, 3])
def test_a_capsule_is_kept_whole(tmp_path: Path, header: int) -> None:
    """Its one image is the file; GUID, version and the presence of a signature are read."""
    data = capsule(FIRMWARE, header=header)
    found = package(tmp_path, data)
    (image,) = found.images

    assert ("uefi-capsule", (GUID,), str(0x00020001), "number") == (
        found.format,
        image.targets,
        image.version,
        image.version_scheme,
    )
    assert "signature present, not verified" in image.checks
    assert "replaces 65536 or later" in found.notes[0]
    assert data == image.open().read()


def test_a_capsule_of_another_kind_tells_its_guid(tmp_path: Path) -> None:
    """A capsule for firmware itself tells no version; it is told from plain bytes by its sizes."""
    data = bytes(range(16)) + struct.pack("<III", 28, 0x00010000, 28 + len(FIRMWARE)) + FIRMWARE
    (image,) = package(tmp_path, data).images

    assert ("03020100-0504-0706-0809-0a0b0c0d0e0f",) == image.targets
    assert None is image.version
    with pytest.raises(PackageFormatError, match="no format that is known"):
        package(tmp_path, data + b"more")


@pytest.mark.parametrize(
    ("at", "octets", "field"),
    [
        (16, b"\xff\xff", "capsule body"),
        (24, b"\xff", "capsule size"),
        (32, b"\x07", "FMP header"),
        (38, b"\xff\xff", "FMP header"),
        (40, b"\xff\xff", "item 0"),
        (48, b"\x09", "item 0"),
        (72, b"\xff\xff\xff\x7f", "image of item 0"),
        (76, b"\xff\xff\xff\x7f", "vendor code of item 0"),
        (104, b"\xff\xff\xff\xff", "payload of item 0"),
    ],
)
def test_a_damaged_capsule_is_told(tmp_path: Path, at: int, octets: bytes, field: str) -> None:
    """Sizes and offsets that lead out of the file are refused by the name of their field."""
    data = bytearray(capsule(FIRMWARE))
    data[at : at + len(octets)] = octets

    with pytest.raises(PackageFormatError) as caught:
        package(tmp_path, bytes(data))
    assert field == caught.value.field


# -- PLDM -----------------------------------------------------------------------------------


def test_a_package_of_one_component_is_kept_whole(tmp_path: Path) -> None:
    """A BMC is given the package; version, targets and date are read from the header."""
    data = pldm([(0x000B, "2.1.0", FIRMWARE)], tail=b"signature")
    found = package(tmp_path, data)
    (image,) = found.images

    assert ("pldm", "pack-1", "2.1.0", BIOS) == (found.format, found.version, image.version, image.component)
    assert ("PCI vendor 15b3, PCI device 1021",) == image.targets
    assert found.release is not None
    assert "2026-05-17" == found.release.date
    assert "9 bytes follow the images" in found.notes[-1]
    assert data == image.open().read()


def test_more_components_are_images_of_their_own(tmp_path: Path) -> None:
    """Each is cut out; the package can be taken whole, and with a sidecar it is."""
    data = pldm([(10, "1.0", b"first"), (10, "2.0", b"the second")])
    found = package(tmp_path, data)

    assert [(b"first", "1.0"), (b"the second", "2.0")] == [
        (image.open().read(), image.version) for image in found.images
    ]

    (whole,) = read(tmp_path / "download.bin", whole=True).images

    assert (data, None, "pack-1") == (whole.open().read(), whole.component, whole.version)
    assert found.images[0].targets == whole.targets

    (tmp_path / "download.bin.toml").write_text("component = 'HGX_FW'\nversion = '3'", "utf-8")
    (whole,) = package(tmp_path, data).images

    assert (data, "3", ComponentName("HGX_FW")) == (whole.open().read(), whole.version, whole.component)
    assert "crc32 of the header" in whole.checks


@pytest.mark.parametrize(
    ("at", "octets", "field"),
    [
        (16, b"\x02", "header revision"),
        (17, b"\x05", "header size"),
        (17, b"\xff\xff", "header size"),
        (40, b"!", "header checksum"),
    ],
)
def test_no_header_is_believed_before_its_checksum(tmp_path: Path, at: int, octets: bytes, field: str) -> None:
    """A changed byte is found before anything that it says is used."""
    data = bytearray(pldm([(10, "1.0", FIRMWARE)]))
    data[at : at + len(octets)] = octets

    with pytest.raises(PackageFormatError) as caught:
        package(tmp_path, bytes(data))
    assert field == caught.value.field


def test_an_image_that_is_not_all_there_is_told(tmp_path: Path) -> None:
    """The right header over a file that was cut short."""
    with pytest.raises(PackageFormatError) as caught:
        package(tmp_path, pldm([(10, "1.0", FIRMWARE)])[:-1])
    assert "image of component 0" == caught.value.field


@pytest.mark.parametrize("revision", [1, 2, 3, 4])
def test_what_we_write_we_read(tmp_path: Path, revision: int) -> None:
    """A package of any revision comes back, twice the same, and one bit of its images is found in revision 4."""
    device = PldmDevice((Descriptor(2, bytes(16)), Descriptor(0xFFFF, b"\x01\x04Nameabc")), (0, 1), "set")
    parts = [
        (Component(10, 1, "1.0", 0, activation=2), plain()),
        (Component(10, 2, "1.1", 0, opaque=b"x" if revision > 2 else b""), plain(b"second")),
    ]
    out = [io.BytesIO(), io.BytesIO()]
    for file in out:
        write_pldm(file, parts, devices=(device,), version="7", revision=revision)
    data = out[0].getvalue()
    found = package(tmp_path, data)

    assert data == out[1].getvalue()
    assert [FIRMWARE, b"second"] == [image.open().read() for image in found.images]
    assert (revision, (device,)) == (lambda header: (header.revision, header.devices))(parse_pldm(Octets.of("x", data)))
    assert "UUID 00000000000000000000000000000000, Name 616263" == found.images[0].targets[0]
    if revision == 4:
        with pytest.raises(PackageFormatError, match="payload"):
            package(tmp_path, data[:-1] + b"!")


def test_a_device_without_its_component_is_not_written() -> None:
    """A bitmap that points at nothing, or a package of nothing, is the caller's mistake."""
    for parts, device in (([(Component(10, 1, "1", 0), plain())], PldmDevice((), (1,))), ([], PldmDevice((), ()))):
        with pytest.raises(UsageError):
            write_pldm(io.BytesIO(), parts, devices=(device,), version="1")


# -- HPM.1 ----------------------------------------------------------------------------------


def hpm(*uploads: tuple[int, bytes]) -> bytes:
    """A file with these uploads, each after its preparation."""
    told = bytes.fromhex("020100000000")
    actions: list[Prepare | Upload] = [Prepare(sum(1 << component for component, _ in uploads))]
    actions += [Upload(component, 0, len(data), told, "BIOS") for component, data in uploads]
    pieces = iter([data for _, data in uploads])
    image = HpmImage(tuple(actions), Device(0x20, 674, 7), told, built_at=1_700_000_000)
    return b"".join(hpm_pieces(image, lambda _: iter([next(pieces)])))


def test_an_upgrade_image_is_kept_whole(tmp_path: Path) -> None:
    """With one upload the file itself is the image: it names the device that it is for."""
    data = hpm((1, FIRMWARE))
    found = package(tmp_path, data)
    (image,) = found.images

    assert ("hpm1", "2.1.0", BIOS, ElementKind.BIOS_IMAGE) == (
        found.format,
        image.version,
        image.component,
        image.kind,
    )
    assert ("component 1", "device 20h, manufacturer 674, product 0007h") == image.targets
    assert found.release is not None
    assert "2023-11-14" == found.release.date
    assert data == image.open().read()


def test_more_uploads_become_upgrade_images_of_their_own(tmp_path: Path) -> None:
    """Each is a file that verifies, under the same header, and prepares its own component alone."""
    found = package(tmp_path, hpm((0, b"first"), (2, b"third")))
    parts = [parse_hpm(Octets.of("x", image.open().read())) for image in found.images]

    assert ["component-0.hpm", "component-2.hpm"] == [image.name for image in found.images]
    assert [(Prepare(1), 0, 5), (Prepare(4), 2, 5)] == [
        (part.actions[0], part.uploads[0].component, part.uploads[0].length) for part in parts
    ]
    assert {Device(0x20, 674, 7)} == {part.device for part in parts}


def test_a_written_upgrade_image_is_read(tmp_path: Path) -> None:
    """What `write_hpm1` writes is read as what was meant, twice the same bytes; what has no room is refused."""
    out = [io.BytesIO(), io.BytesIO()]
    for file in out:
        write_hpm1(file, plain(), component=1, version="2.1.7", device=Device(0x20, 674, 7), description="BMC")
    (image,) = package(tmp_path, out[0].getvalue()).images

    assert out[0].getvalue() == out[1].getvalue()
    assert ("2.1.7", ComponentName("BMC")) == (image.version, image.component)
    for told in ({"version": "2022.11-6"}, {"component": 8}, {"description": "x" * 21}):
        with pytest.raises(UsageError):
            write_hpm1(io.BytesIO(), plain(), **{"component": 1, "version": "1.0.0", "device": Device(), **told})


# -- HPE ------------------------------------------------------------------------------------


def test_a_firmware_package_of_hpe(tmp_path: Path) -> None:
    """payload.json says version and target; the images come out as they are."""
    found = package(tmp_path, fwpkg({"U46_2.72.signed.flash": FIRMWARE}))
    (image,) = found.images

    assert ("fwpkg", "ROM Flash - U46", "HPE", "2.72") == (
        found.format,
        found.name,
        found.vendor,
        found.version,
    )
    assert (BIOS, (GUID,), ("crc32 of the ZIP",)) == (image.component, image.targets, image.checks)
    assert FIRMWARE == image.open().read()
    assert found.release is not None
    assert ("2026-09-01", "For the System ROM of a DL380.") == (found.release.date, found.release.summary)
    assert ("it can be installed by Bmc", "it needs a reset") == found.notes


def test_devices_may_share_an_image(tmp_path: Path) -> None:
    """One file for two adapters is one image for both; its version, if they tell two, is asked for."""
    for version, expected in (("1.0", "1.0"), ("1.1", None)):
        devices = [
            {"Target": target, "Version": told, "FirmwareImages": [{"FileName": "nic.bin"}]}
            for target, told in (("a", "1.0"), ("b", version))
        ]
        description = [{"lang": "en", "x_late": "Needs a System ROM of 2026."}]
        payload = {"Devices": {"Device": devices}, "package": {"description": description}}
        (image,) = package(tmp_path, fwpkg({"nic.bin": FIRMWARE}, payload)).images

        assert (expected, ("a", "b"), None) == (image.version, image.targets, image.component)


def test_a_bomb_of_hpe_is_refused(tmp_path: Path) -> None:
    """Sizes are looked at before anything is inflated; so is the number of files."""
    with pytest.raises(PackageFormatError, match="fill disks"):
        package(tmp_path, fwpkg({"x.flash": bytes(100 << 20)}))
    with pytest.raises(PackageFormatError, match="are the most"):
        package(tmp_path, fwpkg({f"{number}.flash": b"" for number in range(300)}))


def test_a_size_that_lies_is_found(tmp_path: Path) -> None:
    """An entry that says that it is smaller than it is yields no byte more, and is damaged."""
    data = fwpkg({"x.flash": FIRMWARE})
    size = struct.pack("<I", len(FIRMWARE))

    assert 2 == data.count(size)
    with pytest.raises(PackageFormatError):
        package(tmp_path, data.replace(size, struct.pack("<I", 100)))


@pytest.mark.parametrize(
    ("payload", "match"),
    [
        ([], "must be a table"),
        ({}, "Devices"),
        ({"Devices": {"Device": [1]}}, "list of tables"),
        ({"Devices": {"Device": [{"FirmwareImages": [{"FileName": 7}]}]}}, "must be text"),
        ({"Devices": {"Device": [{"FirmwareImages": [{"FileName": "none"}]}]}}, "does not hold"),
        ({"Devices": {"Device": []}}, "names no image"),
    ],
)
def test_a_wrong_payload_is_named(tmp_path: Path, payload: object, match: str) -> None:
    """Whatever payload.json says wrongly has its sentence."""
    with pytest.raises(PackageFormatError, match=match):
        package(tmp_path, fwpkg({"a": FIRMWARE}, payload))


def test_another_zip_is_no_firmware_package(tmp_path: Path) -> None:
    """Nor is an archive that was cut short, an encrypted one, or one packed in another way."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("readme", "x")
    encrypted = bytearray(fwpkg({"a": FIRMWARE}))
    encrypted[encrypted.index(b"PK\x01\x02") + 8] |= 1
    for data, match in (
        (out.getvalue(), "no format that is known"),
        (fwpkg({"a": FIRMWARE})[:-30], "end of the ZIP"),
        (bytes(encrypted), "encrypted"),
        (fwpkg({"a": FIRMWARE}, way=zipfile.ZIP_BZIP2), "not supported"),
    ):
        with pytest.raises(PackageFormatError, match=match):
            package(tmp_path, data)


def test_another_zip_can_be_described(tmp_path: Path) -> None:
    """A vendor's own ZIP with a sidecar is taken whole."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("BMC.bin", FIRMWARE)
    (tmp_path / "download.bin.toml").write_text("component = 'BMC'\nversion = '1.2'", "utf-8")
    (image,) = package(tmp_path, out.getvalue()).images

    assert (ComponentName("BMC"), out.getvalue()) == (image.component, image.open().read())


def test_what_a_file_says_cannot_move_the_cursor(tmp_path: Path) -> None:
    """Escapes in a version, a name or what is wrong with it come to no terminal."""
    found = package(tmp_path, pldm([(10, "1.0\x1b[2J", FIRMWARE)]))
    payload = {"Devices": {"Device": [{"FirmwareImages": [{"FileName": "a"}]}]}, "UpdatableBy": ["\x1b]0;x\x07"]}

    assert "1.0\ufffd[2J" == found.images[0].version
    assert all(note.isprintable() for note in (*found.notes, *package(tmp_path, fwpkg({"a": b"x"}, payload)).notes))
    with pytest.raises(PackageFormatError) as caught:
        package(tmp_path, fwpkg({"\x1b[2J.flash": FIRMWARE}).replace(struct.pack("<I", len(FIRMWARE)), bytes(4)))
    assert str(caught.value).isprintable()


# -- sources --------------------------------------------------------------------------------


def test_two_images_for_one_component_are_asked_about(tmp_path: Path) -> None:
    """A bundle writes a component once; which image is meant, a person says."""
    found = package(tmp_path, fwpkg({"a.flash": b"one", "b.flash": b"two"}))
    with pytest.raises(UsageError, match="two images"):
        write_source(found, tmp_path / "out", lineage=Lineage("A"), seq=1)

    write_source(found.only("b.flash"), tmp_path / "out", lineage=Lineage("A"), seq=1)

    assert ["b.flash"] == [path.name for path in (tmp_path / "out/images").iterdir()]
    with pytest.raises(UsageError, match="no image"):
        found.only("c.flash")
