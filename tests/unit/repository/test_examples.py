from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from workshop import Workshop

from rackwave.core.bundle import ElementKind
from rackwave.core.lint import Level, lint
from rackwave.errors import BundleError
from rackwave.importers import read
from rackwave.repository.examples import examples_directory, prepare_example
from rackwave.repository.repository import BundleRepository
from rackwave.repository.source import build, read_source
from rackwave.repository.trust import KeyringTrust
from rackwave_emulators.bios import REGISTRY
from rackwave_emulators.images import ImageError, read_image


def test_lab_bios(workshop: Workshop) -> None:
    """The lab's A.1 and A.2 are made without a network and hold images that the lab's BMCs take."""
    for source in prepare_example("lab-bios", workshop.fresh("examples")):
        built = build(source, workshop.fresh("out"), workshop.signer)
        workshop.repository.publish(built.directory)
        element = built.bundle.manifest.element("bios")
        facts = read_image(workshop.repository.payload_path(built.bundle, element.payload or ""))

        assert (element.component, element.version) == (facts.component, facts.version)

    assert ["A.1", "A.2"] == [str(entry.id) for entry in workshop.repository.list()]


def test_examples_are_made_alike(workshop: Workshop) -> None:
    """An example that is made twice gives the same bundle, bit for bit."""
    digests = {
        build(prepare_example("lab-bios", workshop.fresh("examples"))[1], workshop.fresh("out"), workshop.signer).digest
        for _ in range(2)
    }

    assert 1 == len(digests)


def test_broken(workshop: Workshop) -> None:
    """The broken example is a sound bundle around an image that BMCs refuse."""
    (source,) = prepare_example("broken", workshop.fresh("examples"))
    built = build(source, workshop.fresh("out"), workshop.signer)
    workshop.repository.publish(built.directory)
    with pytest.raises(ImageError, match="checksum"):
        read_image(workshop.repository.payload_path(built.bundle, "bios-3.0.0.bin"))


def test_bios_settings(workshop: Workshop) -> None:
    """S.1 and S.2 set the same attributes of the lab's registry, to values it knows, so that S.1 undoes S.2."""
    known = {attribute.name: attribute for attribute in REGISTRY}
    first, second = (
        build(source, workshop.fresh("out"), workshop.signer).bundle.manifest.elements[0]
        for source in prepare_example("bios-settings", workshop.fresh("examples"))
    )

    assert ElementKind.BIOS_SETTINGS is first.kind
    assert set(first.attributes) == set(second.attributes)
    for element in (first, second):
        assert all(value in known[name].values for name, value in element.attributes.items())
    assert all(first.attributes[name] != second.attributes[name] for name in first.attributes)


def test_uefi_ovmf(workshop: Workshop) -> None:
    """A.1 and A.2 are built from two genuine builds of one UEFI that Debian serves."""
    try:
        sources = prepare_example("uefi-ovmf", workshop.fresh("examples"))
    except BundleError as error:
        pytest.skip(f"the real firmware cannot be had here: {error}")
    versions = []
    for source in sources:
        built = build(source, workshop.fresh("out"), workshop.signer)
        workshop.repository.publish(built.directory)
        facts = read_image(workshop.repository.payload_path(built.bundle, "OVMF_CODE_4M.fd"))
        versions.append(facts.version)

        assert facts.version == built.bundle.manifest.element("uefi").version

    assert ["2022.11-6+deb12u1", "2022.11-6+deb12u2"] == versions


@pytest.mark.parametrize(
    "name", sorted({path.parents[1].name for path in examples_directory().glob("*/*/bundle.toml")})
)
def test_every_example_is_built_and_published(workshop: Workshop, name: str) -> None:
    """Each set is made, has nothing that lint would warn of, is built, published and verified to the last byte."""
    try:
        sources = prepare_example(name, workshop.fresh("examples"))
    except BundleError as error:
        if "apt" not in str(error):
            raise
        pytest.skip(f"what Debian carries cannot be had here: {error}")
    trust = KeyringTrust(()).with_key(workshop.signer.public_key, lineages=("*",))
    repository = BundleRepository(workshop.fresh("repository"), trust)
    for source in sources:
        manifest = read_source(source).draft()
        repository.publish(build(source, workshop.fresh("out"), workshop.signer).directory)

        assert [] == [finding.id for finding in lint(manifest) if finding.level is not Level.NOTE]

    assert all(check.is_sound for check in repository.verify())


def test_nic_pldm(workshop: Workshop) -> None:
    """N.1 carries a PLDM package that our own reader takes, for the device that the recipe names."""
    source = prepare_example("nic-pldm", workshop.fresh("examples"))[0]
    package = read(source / "nic-1.0.0.pldm")

    assert ("pldm", "1.0.0") == (package.format, package.images[0].version)
    assert ("PCI vendor 1af4",) == package.images[0].targets


def test_uefi_capsule(workshop: Workshop) -> None:
    """C.2 carries a capsule that our own reader takes, for the firmware that the recipe names."""
    source = prepare_example("uefi-capsule", workshop.fresh("examples"))[1]
    package = read(source / "uefi-2.0.0.cap")

    assert ("uefi-capsule", "131072") == (package.format, package.version)
    assert ("7f3a4c1e-52d0-4d6b-9a0e-6f1f8b2f9c11",) == package.images[0].targets
    assert "replaces 65536 or later, not signed" in package.notes[0]


def test_unknown_example(workshop: Workshop) -> None:
    """An example that there is not is refused with the names of those there are."""
    with pytest.raises(BundleError) as caught:
        prepare_example("none", workshop.fresh("examples"))

    known = (
        "application, bios-settings, broken, fwupd-cab, lab-bios, lab-bmc, nic-pldm, seabios, uefi-capsule, uefi-ovmf"
    )

    assert f"There are: {known}." == caught.value.advice


def test_prepare_from_the_command_line(tmp_path: Path) -> None:
    """The script names each folder that it wrote."""
    done = subprocess.run(
        [sys.executable, str(examples_directory() / "prepare.py"), "bios-settings", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert [str(tmp_path / "S.1"), str(tmp_path / "S.2")] == done.stdout.split()
