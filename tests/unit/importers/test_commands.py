"""``rackwave bundle identify`` and ``import``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from boxes import cabinet, fwpkg, metainfo
from click.testing import CliRunner, Result

from rackwave.cli.app import cli
from rackwave.errors import RackwaveError, UsageError
from rackwave.repository.source import read_source

FIRMWARE = b"firmware" * 100


@pytest.fixture
def cab(tmp_path: Path) -> Path:
    """A package of LVFS."""
    path = tmp_path / "download.cab"
    path.write_bytes(cabinet({"fw.metainfo.xml": metainfo(FIRMWARE), "bios.bin": FIRMWARE}))
    return path


def rackwave(*words: object) -> Result:
    """Run a command on bundles."""
    return CliRunner().invoke(cli, ["bundle", *map(str, words)], standalone_mode=False)


def test_a_package_is_shown(cab: Path) -> None:
    """Name, release, images and what was verified of them."""
    shown = rackwave("identify", cab).stdout

    assert shown.startswith("R1 System Update 2.1.0, from Contoso (cab)\n2026-11-20; severity high; CVE-2026-1234")
    assert "sha256 of the metainfo" in shown
    assert "note: it may follow firmware ge 1.9.0" in shown


def test_a_source_is_written_from_what_the_file_says(cab: Path, tmp_path: Path) -> None:
    """Nothing has to be said of a package of LVFS for a system; what is said on the command line comes first."""
    out = tmp_path / "A.3"
    done = rackwave(
        "import", cab, "--lineage", "A", "--seq", 3, "--out", out, "--version", "2.1.0-x", "--model", "R1*", "--json"
    )
    source = read_source(out)
    (element,) = source.document["elements"]

    assert ("A.3", str(out)) == (json.loads(done.stdout)["bundle"], json.loads(done.stdout)["source"])
    assert ("BIOS", "2.1.0-x", "bios-image") == (element["component"], element["version"], element["kind"])
    assert {"vendor": "*", "model": "R1*"} == source.document["applies_to"]
    assert "CVE-2026-1234" in source.document["purpose"]


def test_one_of_several_images_is_named(tmp_path: Path) -> None:
    """IMAGE=VALUE says which one is meant; without it the answer is ambiguous."""
    path = tmp_path / "x.fwpkg"
    path.write_bytes(fwpkg({"a.flash": b"one", "b.flash": b"two"}))
    words = ("import", path, "--lineage", "A", "--seq", 3, "--out", tmp_path / "A.3")
    unclear = rackwave(*words, "--component", "BMC").exception
    done = rackwave(*words, "--component", "a.flash=NIC 1", "--kind", "a.flash=device-firmware")

    assert isinstance(unclear, UsageError)
    assert "a.flash, b.flash" in unclear.advice
    assert None is done.exception
    assert ["NIC 1", "BIOS"] == [each["component"] for each in read_source(tmp_path / "A.3").document["elements"]]


@pytest.mark.parametrize(
    "words",
    [("--kind", "container"), ("--component", "../x"), ("--lineage", "9"), ("--only", "none")],
)
def test_wrong_words_end_in_a_sentence(cab: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    """Nothing is written, and the error is one of ours."""
    done = rackwave("import", cab, "--lineage", "A", "--seq", 3, "--out", tmp_path / "A.3", *words)

    assert isinstance(done.exception, RackwaveError)
    assert not (tmp_path / "A.3").exists()
