"""What a rack is taken in as: each machine's own versions, and nothing that it does not have."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwave.core.adoption import Found, KnownImage, draft, take_in
from rackwave.core.binding import bound, why_not
from rackwave.core.bundle import Bundle
from rackwave.core.identity import ComponentName, Digest, Lineage, NodeName
from rackwave.core.manifest import check_manifest, manifest_from_document, manifest_to_document
from rackwave.core.observation import Unknown

BIOS, BMC = ComponentName("BIOS"), ComponentName("BMC")
LINE = Lineage("A")
AWAY = Unknown("the BMC does not answer")


def image(component: ComponentName, version: str) -> KnownImage:
    """An image of a version."""
    return KnownImage(component, version, Digest("sha256:" + f"{abs(hash((component, version))):064x}"[-64:]), 4096)


versions = st.sampled_from(["1.0", "1.1", "2.0", AWAY])
machines = st.lists(
    st.builds(lambda bios, bmc, turbo: ({BIOS: bios, BMC: bmc}, {"Turbo": turbo}), versions, versions, st.booleans()),
    min_size=1,
    max_size=6,
)
known = st.lists(st.builds(image, st.sampled_from([BIOS, BMC]), st.sampled_from(["1.0", "1.1", "2.0"])), unique=True)


@given(machines=machines, images=known, keeps=st.lists(st.frozensets(st.sampled_from([BIOS, BMC])), min_size=6))
@settings(max_examples=200, deadline=None)
def test_each_machine_is_bound_to_what_it_runs(
    machines: list[tuple[dict[ComponentName, str | Unknown], dict[str, bool]]],
    images: list[KnownImage],
    keeps: list[frozenset[ComponentName]],
) -> None:
    """What it is bound to is exactly what it has; whatever else it has is told as missing; the manifest is sound.

    What there is no image of is in it only for machines that keep it.
    """
    found = [Found(NodeName(f"n{k}"), "", "", had, sets, keeps[k]) for k, (had, sets) in enumerate(machines)]
    made = draft(LINE, found, images, {})
    if made is not None:
        check_manifest(made.manifest)
        assert made.manifest == manifest_from_document(manifest_to_document(made.manifest))
    for each in found:
        taken = take_in(each, made.manifest if made is not None else None)
        told = {lack.what for lack in taken.missing}
        if taken.binding is None or made is None:
            assert told == {*map(str, each.installed), *each.settings}
            continue
        bundle = Bundle(made.manifest, Digest("sha256:" + "0" * 64))
        assert why_not(bundle, taken.binding) is None
        own = bound(bundle, taken.binding).manifest
        has = {element.component: element.version for element in own.elements if element.kind.is_image}
        assert {kept.component for kept in taken.kept} <= each.keeps
        assert {(kept.component, kept.version) for kept in taken.kept} == {
            (element.component, element.version)
            for element in own.elements
            if element.kind.is_image and not element.payload
        }
        sets = {name: value for element in own.elements for name, value in element.attributes.items()}
        assert all(each.installed[component] == version for component, version in has.items() if component is not None)
        assert sets.items() <= each.settings.items()
        assert told == {*map(str, each.installed), *each.settings} - {*map(str, has), *sets}


def test_nothing_that_could_go_into_it_makes_no_bundle() -> None:
    """No image, no setting that all have alike."""
    found = [Found(NodeName("n1"), "Lab", "R1", {BIOS: "1.0"}, {}), Found(NodeName("n2"), "", "", {BIOS: AWAY}, {})]
    made = draft(LINE, found, [image(BIOS, "2.0")], {})

    assert made is None
    assert ["BIOS 1.0: no image of BIOS 1.0 for Lab R1 is known: put one where --from looks"] == [
        str(lack) for lack in take_in(found[0], None).missing
    ]
    assert ["BIOS ?: its version is unknown (the BMC does not answer)"] == [
        str(lack) for lack in take_in(found[1], None).missing
    ]


def test_an_earlier_adoption_is_bound_to_where_it_fits() -> None:
    """A machine that comes later is taken in as the bundle that is there, as far as it is its own."""
    made = draft(LINE, [Found(NodeName("n1"), "", "", {BIOS: "1.0", BMC: "1.1"}, {})], [image(BIOS, "1.0")], {})
    assert made is not None
    later = take_in(Found(NodeName("n2"), "", "", {BIOS: "1.0", BMC: "2.0"}, {}), made.manifest)
    other = take_in(Found(NodeName("n3"), "", "", {BIOS: "9.9"}, {}), made.manifest)

    assert later.binding is not None
    assert ["BMC"] == [lack.what for lack in later.missing]
    assert other.binding is None


@pytest.mark.parametrize("component", ["NIC.Slot.1-1", "B", "Power Supply/1"])
def test_odd_names_of_components_make_names_of_elements(component: str) -> None:
    """Whatever a BMC calls its parts, the manifest can be read again."""
    name = ComponentName(component)
    found = [Found(NodeName(f"n{k}"), "", "", {name: version}, {}) for k, version in enumerate(("a b/c", "d+e"))]
    made = draft(LINE, found, [image(name, "a b/c"), image(name, "d+e")], {})
    assert made is not None

    assert made.manifest == manifest_from_document(manifest_to_document(made.manifest))
    assert all(take_in(each, made.manifest).missing == () for each in found)
