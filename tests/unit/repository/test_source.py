from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from workshop import Workshop

from rackwave.core.bundle import PayloadRole
from rackwave.errors import BundleError, ManifestError, StateError
from rackwave.repository.keys import BundleSigner, generate_key
from rackwave.repository.source import build, read_source

HEAD = """\
lineage = "A"
seq = 2
purpose = "why"
"""
IMAGE = """
[[elements]]
name = "bios"
kind = "bios-image"
component = "BIOS"
version = "2.0.0"
payload = "images/bios.bin"
activation = "host-reset"
reversibility = "reflash"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A source's folder with an image in it, still without bundle.toml."""
    (tmp_path / "source" / "images").mkdir(parents=True)
    (tmp_path / "source" / "images" / "bios.bin").write_bytes(b"BIOS")
    (tmp_path / "outside.bin").write_bytes(b"outside")
    return tmp_path / "source"


def tree(directory: Path) -> dict[str, bytes]:
    """Every file below *directory* and what it holds."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_builds_are_alike(folder: Path, signer: BundleSigner, tmp_path: Path) -> None:
    """Two builds of one source with one key are bit-identical, in every file of the layout."""
    (folder / "bundle.toml").write_text(HEAD + IMAGE)
    first = build(folder, tmp_path / "first", signer)
    (folder / "images" / "bios.bin").touch()
    second = build(folder, tmp_path / "elsewhere" / "second", signer)

    assert tree(first.directory) == tree(second.directory)
    assert first.bundle == second.bundle
    assert "A.2" == str(first.id)


def test_digest_is_of_the_content(folder: Path, signer: BundleSigner, tmp_path: Path) -> None:
    """Another key gives another signature and the same bundle digest; other content gives another."""
    (folder / "bundle.toml").write_text(HEAD + IMAGE)
    first = build(folder, tmp_path / "first", signer)
    second = build(folder, tmp_path / "second", generate_key(tmp_path / "second.pem"))
    (folder / "images" / "bios.bin").write_bytes(b"SOIB")
    third = build(folder, tmp_path / "third", signer)

    assert first.digest == second.digest != third.digest


def test_payload_names_and_roles(folder: Path, signer: BundleSigner, tmp_path: Path) -> None:
    """A file is called by its bare name, unless [[payloads]] names it; one that no element uses is carried too."""
    (folder / "notes.md").write_text("read me")
    payloads = """
[[payloads]]
path = "images/bios.bin"
name = "renamed.bin"
role = "executable"

[[payloads]]
path = "notes.md"
role = "metadata"
"""
    (folder / "bundle.toml").write_text(HEAD + IMAGE + payloads)
    manifest = build(folder, tmp_path / "out", signer).bundle.manifest

    assert "renamed.bin" == manifest.element("bios").payload
    assert {"renamed.bin": PayloadRole.EXECUTABLE, "notes.md": PayloadRole.METADATA} == {
        payload.name: payload.role for payload in manifest.payloads
    }


def test_bundle_without_payloads(folder: Path, workshop: Workshop) -> None:
    """A bundle of settings alone carries no payload and is published like any other."""
    settings = """
[[elements]]
name = "settings"
kind = "bios-settings"
activation = "host-reset"
reversibility = "reflash"
attributes = { BootMode = "Uefi", Delay = 60, Quiet = true }
"""
    (folder / "bundle.toml").write_text(HEAD + settings)
    built = build(folder, workshop.fresh("out"), workshop.signer)
    workshop.repository.publish(built.directory)

    assert {"BootMode": "Uefi", "Delay": 60, "Quiet": True} == dict(
        workshop.repository.get(built.id).manifest.element("settings").attributes
    )


@pytest.mark.parametrize(
    ("text", "says", "advice"),
    [
        ("lineage = ", "bundle.toml: Invalid value", ""),
        ("", "bundle.toml: lineage: is missing", ""),
        (HEAD, "bundle.toml: elements: is missing", ""),
        (HEAD.replace('"why"', '" "') + IMAGE, "purpose: must say why", ""),
        (HEAD.replace("seq", "sek") + IMAGE, "bundle.toml: sek: is not a field", "Did you mean 'seq'?"),
        (HEAD + IMAGE.replace("version", "verison"), "elements[0].verison: is not a", "Did you mean 'version'?"),
        (HEAD + IMAGE.replace("bios-image", "bios"), "elements[0].kind: 'bios' is not one of", ""),
        (HEAD + IMAGE.replace("images/bios.bin", "bios.bin"), "elements[0].payload: there is no file", "prepare.py"),
        (HEAD + IMAGE.replace("images/bios.bin", "../outside.bin"), "leads out of the bundle's folder", "Copy"),
        (HEAD + IMAGE.replace("images/bios.bin", "/etc/passwd"), "leads out of the bundle's folder", "Copy"),
        (HEAD + IMAGE.replace("images/bios.bin", "link.bin"), "leads out of the bundle's folder", "Copy"),
        (HEAD + IMAGE.replace("images/bios.bin", "images"), "there is no file 'images'", ""),
        (HEAD + IMAGE.replace('"images/bios.bin"', "7"), "elements[0].payload: must be the path of a file", ""),
        (HEAD + IMAGE.replace("bios.bin", "a\\u0000b"), "elements[0].payload: must be the path of a file", ""),
        (HEAD + IMAGE + IMAGE, "elements[1].name: 'bios' is the name of elements[0]", ""),
        (HEAD + "elements = 3", "elements: is written as [[elements]]", ""),
        (HEAD + IMAGE + "[[payloads]]\nname = 'x'", "payloads[0].path: must be the path of a file", ""),
        (HEAD + IMAGE + "[[payloads]]\npath = 'bundle.toml'\nname = 3", "payloads[0].name: must be text", ""),
        (HEAD + IMAGE + "[[payloads]]\npath = 'bundle.toml'\nrole = 'x'", "payloads[0].role: 'x' is not one of", ""),
        (HEAD + IMAGE + "[[payloads]]\npath = 'bundle.toml'\nname = 'bios.bin'", "another file is called", "a name"),
        (HEAD + IMAGE + "[applies_to]\nvendors = 'x'", "applies_to.vendors: is not a field", "'vendor'"),
        (HEAD + IMAGE + "time_limit = 2024-01-01", "holds a date, which JSON does not have", ""),
    ],
)
def test_wrong_sources(folder: Path, tmp_path: Path, text: str, says: str, advice: str) -> None:
    """Each mistake in a source is refused with the file, the field, and where one can, what was meant."""
    (folder / "link.bin").symlink_to(tmp_path / "outside.bin")
    (folder / "bundle.toml").write_text(text)
    with pytest.raises(ManifestError) as caught:
        read_source(folder)

    assert str(caught.value).startswith(str(folder / "bundle.toml"))
    assert says in str(caught.value)
    assert advice in caught.value.advice


def test_no_source(tmp_path: Path) -> None:
    """A folder without bundle.toml is no source, and the error says what one is."""
    with pytest.raises(BundleError, match=r"bundle\.toml cannot be read") as caught:
        read_source(tmp_path)

    assert "a folder with a bundle.toml" in caught.value.advice


def other_bundle(workshop: Workshop) -> Path:
    """A layout with another bundle."""
    return workshop.build(1).directory


def repository(workshop: Workshop) -> Path:
    """A repository, with the very same bundle in it."""
    workshop.publish(2)
    return workshop.repository.directory


@pytest.mark.parametrize("make", [other_bundle, repository])
def test_build_never_writes_over_other_bundles(workshop: Workshop, make: Callable[[Workshop], Path]) -> None:
    """Building into a repository, or over another bundle, is refused and changes nothing there."""
    out = make(workshop)
    before = tree(out)
    with pytest.raises(BundleError, match="holds other bundles already"):
        build(workshop.source(2), out, workshop.signer)

    assert before == tree(out)


def test_build_never_writes_into_a_foreign_folder(workshop: Workshop, folder: Path) -> None:
    """Building into a folder that holds something else is refused."""
    with pytest.raises(StateError, match="is not an OCI image layout"):
        build(workshop.source(2), folder, workshop.signer)


def test_build_again_in_place(workshop: Workshop) -> None:
    """Building the same bundle again replaces the earlier build."""
    built = workshop.build(2)
    again = build(workshop.source(2, image=b"other"), built.directory, workshop.signer)
    workshop.repository.publish(built.directory)

    assert again.digest == workshop.repository.get(built.id).digest
