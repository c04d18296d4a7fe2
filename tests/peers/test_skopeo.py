"""skopeo, which shares no code with us, reads our layouts and copies them without changing a digest."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rackwave.core.identity import BundleId
from rackwave.errors import BundleError
from rackwave.repository.examples import prepare_example
from rackwave.repository.keys import BundleSigner, generate_key
from rackwave.repository.repository import BundleRepository
from rackwave.repository.source import build
from rackwave.repository.trust import KeyringTrust

SKOPEO = shutil.which("skopeo")
pytestmark = pytest.mark.skipif(SKOPEO is None, reason="skopeo is not installed (Debian: apt-get install skopeo)")


def skopeo(*arguments: str) -> str:
    """Run skopeo; its policy of signatures is not ours, so none is asked for."""
    done = subprocess.run(
        [SKOPEO or "", "--insecure-policy", *arguments], capture_output=True, text=True, check=False, timeout=60
    )

    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout


@pytest.fixture
def signer(tmp_path: Path) -> BundleSigner:
    """A key."""
    return generate_key(tmp_path / "key.pem")


@pytest.fixture
def trust(signer: BundleSigner) -> KeyringTrust:
    """A trust in that key."""
    return KeyringTrust(()).with_key(signer.public_key, lineages=("*",))


@pytest.fixture
def repository(tmp_path: Path, signer: BundleSigner, trust: KeyringTrust) -> BundleRepository:
    """A repository with A.1 and A.2 (one image each), S.1 and S.2 (no payload)."""
    repository = BundleRepository(tmp_path / "repository", trust)
    for name in ("lab-bios", "bios-settings"):
        for source in prepare_example(name, tmp_path / name):
            repository.publish(build(source, tmp_path / "out" / source.name, signer).directory)
    return repository


def index_digest(layout: Path, ref: str) -> str:
    """The digest that a layout's index.json has under *ref*."""
    document: dict[str, Any] = json.loads((layout / "index.json").read_bytes())
    for entry in document["manifests"]:
        if entry["annotations"]["org.opencontainers.image.ref.name"] == ref:
            return str(entry["digest"])
    raise AssertionError(ref)


@pytest.mark.parametrize("ref", ["A.1", "A.2", "S.2"])
def test_copies_keep_every_digest(repository: BundleRepository, tmp_path: Path, ref: str) -> None:
    """A whole bundle, current or archived, is copied to a folder with every digest as it was."""
    skopeo("copy", "--all", "--preserve-digests", f"oci:{repository.directory}:{ref}", f"dir:{tmp_path / 'copy'}")
    index = (tmp_path / "copy" / "manifest.json").read_bytes()

    assert index_digest(repository.directory, ref) == "sha256:" + hashlib.sha256(index).hexdigest()
    for path in (tmp_path / "copy").iterdir():
        name = path.name.removesuffix(".manifest.json")
        if len(name) == 64:
            assert name == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_runnable_image_is_copied_with_its_bundle(signer: BundleSigner, trust: KeyringTrust, tmp_path: Path) -> None:
    """A bundle that carries a container image keeps every digest, and is whole where it arrives."""
    try:
        (source,) = prepare_example("application", tmp_path / "application")
    except BundleError as error:
        pytest.skip(f"what Debian carries cannot be had here: {error}")
    built = build(source, tmp_path / "built", signer)
    skopeo("copy", "--all", "--preserve-digests", f"oci:{built.directory}:P.1", f"oci:{tmp_path / 'carried'}:P.1")
    elsewhere = BundleRepository(tmp_path / "elsewhere", trust)
    elsewhere.publish(tmp_path / "carried")

    assert index_digest(built.directory, "P.1") == index_digest(elsewhere.directory, "P.1")
    assert all(check.is_sound for check in elsewhere.verify())


def test_a_copied_layout_can_be_published(repository: BundleRepository, trust: KeyringTrust, tmp_path: Path) -> None:
    """A bundle that skopeo carried into another layout is still signed, whole and fit to be published."""
    skopeo("copy", "--all", f"oci:{repository.directory}:A.2", f"oci:{tmp_path / 'carried'}:A.2")
    elsewhere = BundleRepository(tmp_path / "elsewhere", trust)
    published = elsewhere.publish(tmp_path / "carried")

    assert repository.get(BundleId("A", 2)) == elsewhere.get(BundleId("A", 2))
    assert index_digest(repository.directory, "A.2") == index_digest(elsewhere.directory, "A.2")
    assert "BIOS 2.0.0 for the lab's machines" == published.entry.purpose
    assert all(check.is_sound for check in elsewhere.verify())


def test_inspect_sees_the_payload_manifest(repository: BundleRepository) -> None:
    """The bundle's digest is that of the manifest that skopeo shows."""
    entry = next(entry for entry in repository.list() if str(entry.id) == "A.2")
    raw = skopeo("inspect", "--raw", f"oci:{repository.directory}:A.2")
    parts = json.loads(raw)["manifests"]

    assert [str(entry.digest)] == [
        part["digest"] for part in parts if part["annotations"]["vnd.rackwave.part"] == "bundle"
    ]


def test_an_exported_file_is_read(repository: BundleRepository, tmp_path: Path) -> None:
    """Skopeo reads the file that a bundle is exported into, and copies it with every digest as it was."""
    repository.export(BundleId("A", 2), tmp_path / "A.2.tar")
    skopeo(
        "copy", "--all", "--preserve-digests", f"oci-archive:{tmp_path / 'A.2.tar'}:A.2", f"oci:{tmp_path / 'x'}:A.2"
    )

    assert index_digest(repository.directory, "A.2") == index_digest(tmp_path / "x", "A.2")


def test_a_file_that_skopeo_wrote_is_published(
    repository: BundleRepository, trust: KeyringTrust, tmp_path: Path
) -> None:
    """A bundle in a file of skopeo's is still signed, whole and fit to be published."""
    skopeo("copy", "--all", f"oci:{repository.directory}:A.2", f"oci-archive:{tmp_path / 'A.2.tar'}:A.2")
    elsewhere = BundleRepository(tmp_path / "elsewhere", trust)
    elsewhere.publish(tmp_path / "A.2.tar")

    assert repository.get(BundleId("A", 2)) == elsewhere.get(BundleId("A", 2))
