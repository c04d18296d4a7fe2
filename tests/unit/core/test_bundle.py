from __future__ import annotations

import pytest

from rackwave.core.bundle import (
    Activation,
    Bundle,
    Element,
    ElementKind,
    Manifest,
    Payload,
    PayloadRole,
    Reversibility,
)
from rackwave.core.identity import BundleId, Digest

DIGEST = Digest("sha256:" + "a" * 64)
PAYLOAD = Payload("bios.bin", PayloadRole.DATA, DIGEST, 7)
ELEMENT = Element("bios", ElementKind.BIOS_IMAGE, Activation.HOST_RESET, Reversibility.REFLASH)
MANIFEST = Manifest(BundleId("A", 2), "why", (ELEMENT,), (PAYLOAD,))


def test_found_by_name() -> None:
    """Elements and payloads are found by their names."""
    assert ELEMENT == MANIFEST.element("bios")
    assert PAYLOAD == MANIFEST.payload("bios.bin")


def test_not_found_by_name() -> None:
    """A name that nothing bears is a KeyError."""
    with pytest.raises(KeyError):
        MANIFEST.element("bios.bin")
    with pytest.raises(KeyError):
        MANIFEST.payload("bios")


def test_bundle_has_its_manifests_id() -> None:
    """A bundle is called what its manifest is called."""
    assert BundleId("A", 2) == Bundle(MANIFEST, DIGEST).id


@pytest.mark.parametrize("kind", list(ElementKind))
def test_which_kinds_are_images(kind: ElementKind) -> None:
    """Firmware of the BIOS, the BMC and devices is an image; nothing else is."""
    images = {"bios-image", "bmc-firmware", "device-firmware"}

    assert (kind.value in images) == kind.is_image


def test_values_cannot_be_changed() -> None:
    """A mapping inside of a manifest is read-only and no longer the caller's."""
    mine = {"BootMode": "Uefi"}
    element = Element("s", ElementKind.BIOS_SETTINGS, Activation.HOST_RESET, Reversibility.REFLASH, attributes=mine)
    mine["BootMode"] = "Bios"
    with pytest.raises(TypeError):
        element.attributes["BootMode"] = "Bios"  # type: ignore[index] # what the test is about

    assert {"BootMode": "Uefi"} == dict(element.attributes)


def test_payloads_can_be_keys() -> None:
    """A payload is hashable, whatever unknown fields it carries."""
    assert {PAYLOAD: 1} == {Payload("bios.bin", PayloadRole.DATA, DIGEST, 7): 1}
    assert hash(PAYLOAD) == hash(Payload("bios.bin", PayloadRole.DATA, DIGEST, 7, extra={"x": [1]}))
