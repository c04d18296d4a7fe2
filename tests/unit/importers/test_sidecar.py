"""A plain file with a sidecar becomes a bundle's source."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
from boxes import cabinet, metainfo

from rackwave.core.bundle import ElementKind
from rackwave.core.identity import ComponentName, Digest, Lineage
from rackwave.errors import BundleError, DigestMismatchError, ManifestError, PackageFormatError, UsageError
from rackwave.importers import Release, read, write_source
from rackwave.repository.source import read_source

FIRMWARE = b"not any known format" * 1000
A = Lineage("A")

SIDECAR = f"""
vendor = "Contoso"
model = "R1*"
component = "BIOS"
version = "2.1.0"
version_scheme = "dotted"
kind = "bios-image"
sha256 = "{hashlib.sha256(FIRMWARE).hexdigest()}"
summary = "Fixes the fan curve"
severity = "high"
cves = ["CVE-2026-1234"]
"""


@pytest.fixture
def firmware(tmp_path: Path) -> Path:
    """A plain file with a sidecar."""
    path = tmp_path / "bios 2.1.bin"
    path.write_bytes(FIRMWARE)
    path.with_name(f"{path.name}.toml").write_text(SIDECAR, "utf-8")
    return path


def described(firmware: Path, text: str) -> Path:
    """Have *text* describe *firmware*."""
    firmware.with_name(f"{firmware.name}.toml").write_text(text, "utf-8")
    return firmware


def test_the_sidecar_says_what_the_file_does_not(firmware: Path) -> None:
    """Component, version, scheme, kind and release come from the sidecar; the name is made safe."""
    package = read(firmware)
    (image,) = package.images

    assert ("sidecar", "Contoso", "R1*", "2.1.0") == (package.format, package.vendor, package.model, package.version)
    assert ("bios_2.1.bin", len(FIRMWARE)) == (image.name, image.size)
    assert Digest("sha256:" + hashlib.sha256(FIRMWARE).hexdigest()) == image.digest
    assert (ComponentName("BIOS"), ElementKind.BIOS_IMAGE, "dotted") == (
        image.component,
        image.kind,
        image.version_scheme,
    )
    assert Release("high", ("CVE-2026-1234",), "Fixes the fan curve") == package.release
    assert FIRMWARE == image.open().read()


def test_what_is_written_is_a_source_that_builds(firmware: Path, tmp_path: Path) -> None:
    """The folder is what 'bundle build' takes, with the purpose, machines and activation that follow from the file."""
    written = write_source(read(firmware), tmp_path / "out" / "A.3", lineage=A, seq=3)
    source = read_source(written)

    assert ("A", 3) == (source.document["lineage"], source.document["seq"])
    assert "BIOS 2.1.0: fixes CVE-2026-1234; severity high; Fixes the fan curve" == source.document["purpose"]
    assert {"vendor": "Contoso", "model": "R1*"} == source.document["applies_to"]
    assert ["host-reset"] == [element["activation"] for element in source.document["elements"]]
    assert FIRMWARE == source.files["bios_2.1.bin"].read_bytes()
    assert ["A.3"] == [path.name for path in written.parent.iterdir()]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("versoin = '1'", "versoin"),
        ("version = 1", "version"),
        ("component = '../x'", "component"),
        ("kind = 'container'", "kind"),
        ("sha256 = '00'", "sha256"),
        ("cves = 'CVE'", "cves"),
        ("x = [", "file"),
        (f"x = {'9' * 5000}", "file"),
        ("\udcff", "file"),
        ("x = 1\n" * 20000, "file"),
    ],
)
def test_a_wrong_sidecar_is_named(firmware: Path, text: str, field: str) -> None:
    """The error names the sidecar and the field."""
    side = firmware.with_name(f"{firmware.name}.toml")
    side.write_bytes(text.encode("utf-8", "surrogateescape"))

    with pytest.raises(PackageFormatError) as caught:
        read(firmware)
    assert (side.name, field) == (caught.value.file, caught.value.field)


def test_an_unknown_file_asks_for_a_sidecar(tmp_path: Path) -> None:
    """What is of no known format, and described by nobody, is refused with what to do."""
    (tmp_path / "x.cab").write_bytes(b"no cabinet")
    with pytest.raises(PackageFormatError) as caught:
        read(tmp_path / "x.cab")

    assert "x.cab.toml" in caught.value.advice


def test_a_missing_or_empty_file_is_refused(tmp_path: Path) -> None:
    """An operator's wrong path ends in one sentence."""
    (tmp_path / "empty").touch()
    for name in ("none", "empty", "."):
        with pytest.raises(PackageFormatError):
            read(tmp_path / name)


def test_what_is_not_told_is_asked_for(firmware: Path, tmp_path: Path) -> None:
    """Without component or version nothing is written, and the advice names the option; told, it goes on."""
    package = read(described(firmware, "severity = 'low'"))
    with pytest.raises(UsageError) as no_component:
        write_source(package, tmp_path / "A.3", lineage=A, seq=3)
    package = package.told("bios_2.1.bin", component=ComponentName("NIC.Slot.5-1"))
    with pytest.raises(UsageError) as no_version:
        write_source(package, tmp_path / "A.3", lineage=A, seq=3)
    written = write_source(package.told("bios_2.1.bin", version="7"), tmp_path / "A.3", lineage=A, seq=3)

    assert "--component bios_2.1.bin=" in no_component.value.advice
    assert "--version bios_2.1.bin=" in no_version.value.advice
    assert ["device-firmware"] == [element["kind"] for element in read_source(written).document["elements"]]


@pytest.mark.parametrize(
    ("text", "machines"),
    [
        ("vendor = 'Contoso'", {"vendor": "Contoso", "model": "*"}),
        ("model = 'R1*'", {"vendor": "*", "model": "R1*"}),
        ("severity = 'low'", None),
    ],
)
def test_the_machines_are_the_sidecars(tmp_path: Path, text: str, machines: dict[str, str] | None) -> None:
    """Patterns of machines come from a sidecar alone: who published a package is another matter."""
    path = tmp_path / "x.cab"
    path.write_bytes(cabinet({"fw.metainfo.xml": metainfo(FIRMWARE), "bios.bin": FIRMWARE}))
    source = read_source(write_source(read(described(path, text)), tmp_path / "A.3", lineage=A, seq=3))

    assert machines == source.document.get("applies_to")


def test_nothing_half_written_is_left(firmware: Path, tmp_path: Path) -> None:
    """A file that was changed meanwhile, a version that is none, a folder that is full: no trace is left."""
    package = read(firmware)
    out = tmp_path / "out"
    with pytest.raises(ManifestError):
        write_source(package.told("bios_2.1.bin", version="1" * 200), out / "A.3", lineage=A, seq=3)
    firmware.write_bytes(FIRMWARE[:-1] + b"!")
    with pytest.raises(DigestMismatchError):
        write_source(package, out / "A.3", lineage=A, seq=3)

    assert [] == list(out.iterdir())

    (out / "A.3").mkdir()
    (out / "A.3" / "mine").touch()
    with pytest.raises(BundleError):
        write_source(package, out / "A.3", lineage=A, seq=3)

    assert [out / "A.3"] == list(out.iterdir())


def test_a_file_cut_short_meanwhile_is_told(firmware: Path) -> None:
    """A stream of what is not there any more is an error, and never fewer bytes."""
    (image,) = read(firmware).images
    firmware.write_bytes(FIRMWARE[:100])

    with pytest.raises(PackageFormatError):
        image.copy_to(io.BytesIO())


def test_a_file_that_went_away_is_not_the_folders_fault(firmware: Path, tmp_path: Path) -> None:
    """What cannot be read any more is said of the package, and not of where it would be written."""
    package = read(firmware)
    firmware.unlink()

    with pytest.raises(PackageFormatError) as caught:
        write_source(package, tmp_path / "A.3", lineage=A, seq=3)
    assert firmware.name == caught.value.file
    assert not (tmp_path / "A.3").exists()
