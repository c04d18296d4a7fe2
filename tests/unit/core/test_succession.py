"""The bundle that takes the current one's place."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests import documents
from rackwave.core.bundle import Activation, Element, ElementKind, Manifest, Payload, PayloadRole, Reversibility
from rackwave.core.identity import BundleId, ComponentName, Digest, Lineage
from rackwave.core.manifest import manifest_from_document, manifest_to_document
from rackwave.core.succession import next_id, succeed

A = Lineage("A")
ONE, TWO, THREE = (Digest("sha256:" + letter * 64) for letter in "123")


def image(name: str, component: str, version: str, payload: str, **more: object) -> Element:
    """An element that writes *payload* to *component*."""
    plain = Element(
        name,
        ElementKind.DEVICE_FIRMWARE,
        Activation.HOST_RESET,
        Reversibility.REFLASH,
        component=ComponentName(component),
        version=version,
        payload=payload,
    )
    return evolve(plain, **more)  # type: ignore[arg-type]  # fields by name


def bundle(seq: int, *parts: tuple[Element, Digest]) -> Manifest:
    """A bundle of images, each with its payload."""
    payloads = {
        element.payload: Payload(element.payload or "", PayloadRole.DATA, digest, 5) for element, digest in parts
    }
    return Manifest(BundleId(A, seq), "x", tuple(element for element, _ in parts), tuple(payloads.values()))


def test_what_the_release_does_not_touch_stays_bytes_and_all() -> None:
    """A new NIC image leaves the BIOS as it is: its element, and the bytes that lie in the repository."""
    current = bundle(1, (image("bios", "BIOS", "1", "bios.bin"), ONE), (image("nic", "NIC", "1", "nic.bin"), TWO))
    release = bundle(2, (image("nic-x", "NIC", "2", "nic-2.bin"), THREE))

    new = succeed(current, release)

    assert BundleId(A, 2) == new.manifest.id
    assert current.elements[0] == new.manifest.elements[0]
    assert {"nic-2.bin": "nic-2.bin"} == dict(new.fresh)
    assert [("bios.bin", ONE)] == [(payload.name, payload.digest) for payload in new.carried]
    assert new.is_new


def test_an_element_keeps_how_it_is_written_and_takes_version_and_image() -> None:
    """Name, order, limits and checks are its author's; versions that one may come from grow by its own."""
    old = image("nic", "NIC", "1", "nic.bin", accepts=("0.*",), time_limit=60.0, scheme="dotted")
    new = succeed(bundle(1, (old, ONE)), bundle(2, (image("other", "NIC", "2", "n.bin"), TWO))).manifest.elements

    assert (evolve(old, version="2", payload="n.bin", accepts=("0.*", "1")),) == new


def test_a_file_of_the_same_name_gets_another_one() -> None:
    """Two payloads cannot have one name; the same bytes are one payload."""
    current = bundle(1, (image("bios", "BIOS", "1", "fw.bin"), ONE), (image("nic", "NIC", "1", "nic.bin"), TWO))
    new = succeed(current, bundle(2, (image("nic", "NIC", "2", "fw.bin"), THREE)))

    (name,) = new.fresh
    assert "fw.bin" != name
    assert "fw.bin" == new.fresh[name]
    assert name == new.manifest.element("nic").payload


def test_the_same_again_is_not_new() -> None:
    """The same image under another file's name brings nothing."""
    current = bundle(1, (image("bios", "BIOS", "1", "bios.bin"), ONE))

    assert not succeed(current, bundle(2, (image("b", "BIOS", "1", "renamed.bin"), ONE))).is_new


def test_a_seq_is_never_given_twice() -> None:
    """Not where it was withdrawn, pruned, or is of a bundle that nodes carry alone."""
    assert BundleId(A, 8) == next_id(A, [BundleId(A, 3), BundleId(A, 7), BundleId(Lineage("B"), 90)])
    assert BundleId(A, 1) == next_id(A, [])


@settings(deadline=None)
@given(documents(), st.integers(0, 3))
def test_every_succession_is_a_manifest_that_readers_take(document: dict[str, object], place: int) -> None:
    """Whatever the current bundle is, its successor reads back as itself, and only what was brought differs."""
    current = manifest_from_document(document)
    there = [element for element in current.elements if element.component is not None]
    component = there[place % len(there)].component if there else ComponentName("NEW")
    seq = current.id.seq + 1
    brought = evolve(image("brought", str(component), "9.9", "brought.bin"))
    release = Manifest(
        BundleId(current.id.lineage, seq), "y", (brought,), (Payload("brought.bin", PayloadRole.DATA, ONE, 5),)
    )

    new = succeed(current, release).manifest

    assert new == manifest_from_document(manifest_to_document(new))
    assert "9.9" in [element.version for element in new.elements if element.component == component]
    kept = [element for element in current.elements if element.component != component or component is None]
    assert kept == [element for element in new.elements if element in kept]
