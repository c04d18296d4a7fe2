"""Packages that other people's tools made are read here, and what is written here they read."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import uuid
from pathlib import Path

import pytest
from pyipmi.hpm import UpgradeImage

from rackwave.core.bundle import ElementKind
from rackwave.core.feed import Feed, FeedKind
from rackwave.core.hpm_image import BackUp, Device, HpmImage, Prepare, Upload, hpm_pieces
from rackwave.core.identity import Lineage
from rackwave.feeds.lvfs import read_lvfs
from rackwave.importers import Package, read, write_hpm1
from rackwave.importers.files import image_of

FIRMWARE = b"".join(hashlib.sha256(bytes([n % 256, n // 256])).digest() for n in range(6000)) + bytes(100_001)

METAINFO = f"""<?xml version="1.0"?>
<component type="firmware"><id>x.firmware</id><name>Peer</name>
<provides><firmware type="flashed">84f40464-9272-4ef7-9399-cd95f12da696</firmware></provides>
<categories><category>X-System</category></categories>
<releases><release version="1.2.3">
<checksum type="sha256" filename="firmware.bin" target="content">{hashlib.sha256(FIRMWARE).hexdigest()}</checksum>
</release></releases></component>"""

_APT = ("-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=20", "-o", "Acquire::https::Timeout=20")
_CABS = {
    "fakedevice123.cab": ("1.2.3", "triplet", "d8904fe3bc21e867097df4e32be648399fac8e7ee5cfd65ab8546c0776def4b6"),
    "fakedevice124.cab": ("1.2.4", "triplet", "77f3e17bad9d510786133804fc1e050488f628257ce00c7e23938f7b31c4cac2"),
    "tests/colorhug/colorhug-als-3.0.2.cab": (
        "3.0.2",
        None,
        "a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb85d299a192a447",
    ),
}


def needs(tool: str, package: str) -> pytest.MarkDecorator:
    """Skip a test where Debian's *package* is not installed."""
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed: apt-get install {package}")


def run(*command: str, folder: Path) -> str:
    """Run a tool; return what it prints."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)

    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the parts of a package of LVFS."""
    (tmp_path / "firmware.bin").write_bytes(FIRMWARE)
    (tmp_path / "firmware.metainfo.xml").write_text(METAINFO, "utf-8")
    return tmp_path


@pytest.fixture(scope="session")
def fwupd_tests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The samples that Debian ships with fwupd's tests."""
    target = tmp_path_factory.mktemp("fwupd-tests")
    try:
        subprocess.run(
            ["apt-get", *_APT, "download", "fwupd-tests"], cwd=target, capture_output=True, check=True, timeout=90
        )
        (archive,) = target.glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", str(archive), "x"], cwd=target, capture_output=True, check=True, timeout=90)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        pytest.skip(f"apt does not serve fwupd-tests here: {type(error).__name__}")
    return target / "x/usr/share/installed-tests/fwupd"


@pytest.mark.parametrize("name", _CABS)
def test_cabs_of_debian_are_read(fwupd_tests: Path, name: str) -> None:
    """The three CABs of fwupd's own tests: version, scheme, and the very bytes."""
    package = read(fwupd_tests / name)
    (image,) = package.images

    assert _CABS[name] == (image.version, image.version_scheme, image.digest.hex)
    assert ElementKind.DEVICE_FIRMWARE is image.kind
    assert image.targets


@needs("gcab", "gcab")
@pytest.mark.parametrize("option", ["-c", "-cz"])
def test_a_cab_of_gcab_is_read(folder: Path, option: str) -> None:
    """Stored and deflated, over several blocks; every block's checksum is right."""
    run("gcab", option, "peer.cab", "firmware.metainfo.xml", "firmware.bin", folder=folder)
    (image,) = read(folder / "peer.cab").images

    assert ("firmware.bin", "1.2.3", ("sha256 of the metainfo",)) == (image.name, image.version, image.checks)
    assert FIRMWARE == image.open().read()


@needs("gcab", "gcab")
@pytest.mark.parametrize("tool", ["cabextract", "7z"])
def test_other_tools_take_the_same_out_of_a_cab(folder: Path, tool: str) -> None:
    """7-Zip and cabextract, which share no code with gcab, find the bytes that we find."""
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed: apt-get install cabextract p7zip-full")
    run("gcab", "-cz", "peer.cab", "firmware.metainfo.xml", "firmware.bin", folder=folder)
    out = folder / "out"
    out.mkdir()
    command = ("cabextract", "-q", "-d", str(out)) if tool == "cabextract" else ("7z", "x", "-bd", f"-o{out}")
    run(*command, str(folder / "peer.cab"), folder=folder)
    (image,) = read(folder / "peer.cab").images

    assert (out / image.name).read_bytes() == image.open().read()


@needs("7z", "p7zip-full")
def test_a_zip_of_7_zip_is_read(folder: Path) -> None:
    """A package of HPE that another packer made."""
    (folder / "payload.json").write_text(
        '{"Devices": {"Device": [{"Version": "7", "FirmwareImages": [{"FileName": "firmware.bin"}]}]}}', "utf-8"
    )
    run("7z", "a", "-bd", "peer.zip", "firmware.bin", "payload.json", folder=folder)
    (image,) = read(folder / "peer.zip").images

    assert ("7", FIRMWARE) == (image.version, image.open().read())


def test_the_catalogue_of_debian_is_read_and_names_no_sha256(fwupd_tests: Path) -> None:
    """LVFS's format as fwupd's own tests have it; its SHA-1 is not enough for us, and with a sha256 it is taken."""
    guid = "b585990a-003e-5270-89d5-3705a17f9a43"
    feed = Feed("debian", FeedKind.LVFS, "x", Lineage("A"), guids=(guid,))
    data = (fwupd_tests / "fwupd-tests.xml").read_bytes()
    sha256 = hashlib.sha256((fwupd_tests / "fakedevice124.cab").read_bytes()).hexdigest()

    told = read_lvfs(feed, data)
    mended = read_lvfs(feed, re.sub(rb'type="sha1">[0-9a-f]{40}', f'type="sha256">{sha256}'.encode(), data))

    assert ((), 2) == (told.announced, len(told.problems))
    assert ["1.2.4", "1.2.3"] == [release.version for release in mended.announced]
    assert ("medium", "./fakedevice124.cab", 1163) == (
        mended.announced[0].severity,
        mended.announced[0].file,
        mended.announced[0].size,
    )


@needs("fwupdtool", "fwupd")
def test_fwupd_reads_the_same_metainfo(fwupd_tests: Path) -> None:
    """What fwupd says of its CABs is what we say of them."""
    for name in ("fakedevice123.cab", "fakedevice124.cab"):  # one after the other: fwupdtool locks the machine
        package = read(fwupd_tests / name)
        told = run("fwupdtool", "get-details", name, folder=fwupd_tests)

        assert package.release is not None
        assert re.search(rf"GUID: +{package.images[0].targets[0]}\n", told)
        assert re.search(rf"New version: +{package.version}\n", told)
        assert re.search(rf"Urgency: +{package.release.severity.title()}\n", told)
        assert package.release.summary in told


@pytest.mark.filterwarnings("ignore::DeprecationWarning:edk2toollib")  # it calls its own deprecated names
def test_a_capsule_of_edk2_is_read(folder: Path) -> None:
    """What TianoCore's own library writes: GUID, versions, and the signature that is there."""
    pytest.importorskip("edk2toollib", reason="edk2-pytool-library is not installed")
    from edk2toollib.uefi.edk2.fmp_payload_header import FmpPayloadHeaderClass
    from edk2toollib.uefi.fmp_auth_header import FmpAuthHeaderClass
    from edk2toollib.uefi.fmp_capsule_header import FmpCapsuleHeaderClass, FmpCapsuleImageHeaderClass
    from edk2toollib.uefi.uefi_capsule_header import UefiCapsuleHeaderClass

    guid = uuid.UUID("84f40464-9272-4ef7-9399-cd95f12da696")
    payload = FmpPayloadHeaderClass()
    payload.FwVersion, payload.LowestSupportedVersion, payload.Payload = 0x00020001, 0x00010000, FIRMWARE
    signed = FmpAuthHeaderClass()
    signed.FmpPayloadHeader = payload
    signed.AuthInfo.cert_data = b"a signature"
    item = FmpCapsuleImageHeaderClass()
    item.UpdateImageTypeId, item.UpdateImageIndex, item.FmpAuthHeader = guid, 1, signed
    items = FmpCapsuleHeaderClass()
    items.AddEmbeddedDriver(b"a driver")
    items.AddFmpCapsuleImageHeader(item)
    whole = UefiCapsuleHeaderClass()
    whole.FmpCapsuleHeader, whole.PersistAcrossReset = items, True
    (folder / "peer.cap").write_bytes(whole.Encode())
    package = read(folder / "peer.cap")
    (image,) = package.images

    assert ("uefi-capsule", (str(guid),), str(0x00020001)) == (package.format, image.targets, image.version)
    assert "signature present, not verified" in image.checks
    assert "replaces 65536 or later" in package.notes[0]


def upgrade_image(folder: Path) -> tuple[Path, Package]:
    """Write an HPM.1 upgrade image of ours; return where, and as what it is read."""
    path = folder / "ours.hpm"
    image = image_of("firmware.bin", lambda: iter([FIRMWARE]))
    with path.open("wb") as file:
        write_hpm1(
            file, image, component=1, version="2.5.7", device=Device(0x20, 674, 7), description="BMC", built_at=9
        )
    return path, read(path)


def test_python_ipmi_reads_our_upgrade_image(folder: Path) -> None:
    """Header, actions, version and firmware are for python-ipmi what they are for us."""
    path, package = upgrade_image(folder)
    theirs = UpgradeImage(str(path))
    prepare, upload = theirs.actions

    assert (0x20, 674, 7) == (theirs.header.device_id, theirs.header.manufacturer_id, theirs.header.product_id)
    assert (2, 2) == (prepare.components, upload.components)
    assert ("BMC", FIRMWARE) == (upload.firmware_description_string, upload.firmware_image_data)
    assert (2, 5) == (upload.firmware_version.major, upload.firmware_version.minor)
    assert "2.5.7" == package.images[0].version


def test_python_ipmi_reads_what_we_cut_up(folder: Path) -> None:
    """An upgrade image for two components becomes two, each whole for python-ipmi and for its own component."""
    told = bytes.fromhex("020500070000")
    firmware = [b"first", FIRMWARE]
    uploads = [Upload(component, 0, len(data), told, "part") for component, data in enumerate(firmware)]
    pieces = iter(firmware)
    whole = HpmImage((BackUp(3), Prepare(3), *uploads), Device(0x20, 674, 7), told)
    (folder / "two.hpm").write_bytes(b"".join(hpm_pieces(whole, lambda _: iter([next(pieces)]))))
    for number, image in enumerate(read(folder / "two.hpm").images):
        with (folder / image.name).open("wb") as file:
            image.copy_to(file)
        theirs = UpgradeImage(str(folder / image.name))

        assert [1 << number] * 3 == [action.components for action in theirs.actions]
        assert firmware[number] == theirs.actions[-1].firmware_image_data
        assert [number] == theirs.header.components
