"""From what would be done one gets back, or somebody consents."""

from __future__ import annotations

import pytest
from attrs import evolve

from rackwave.core.bundle import Bundle, Reversibility
from rackwave.core.identity import ComponentName
from rackwave.core.planner import plan_node
from rackwave.core.way_back import lacking, unconsented
from values import BIOS, NIC, NODE, bios_settings, bundle, goal, image, well

A1 = bundle("A.1", image(BIOS, "1"))
A2 = bundle("A.2", image(BIOS, "2"), image(NIC, "2"))


KEPT = evolve(image(BIOS, "1"), payload=None, reversibility=Reversibility.BANK_SWITCH)
"""What nobody has an image of, and only the machine can bring back."""


def lacks(
    to: Bundle, back: Bundle | None, problem: str | None = None, keeps: tuple[ComponentName, ...] = ()
) -> dict[str, str]:
    """What has no way back on a node with version 1 of everything."""
    plan = plan_node(NODE, goal(to), to, well({BIOS: "1", NIC: "1"}, settings={"BootMode": "Bios"}))
    return {lack.element: lack.why for lack in lacking(plan, to, back, problem, keeps)}


def test_what_the_bundle_before_has_an_image_for_has_a_way_back() -> None:
    """And what it does not have one for is told by name."""
    found = lacks(A2, A1)

    assert [image(NIC, "2").name] == list(found)
    assert "A.1, which it would be brought back to, has no image for NIC" in found[image(NIC, "2").name]


def test_what_the_machine_keeps_has_a_way_back_where_it_runs_now() -> None:
    """What a bank has after the write is what runs before it; a machine that does not say so keeps nothing."""
    to, name = bundle("A.2", image(BIOS, "2")), image(BIOS, "2").name
    other = evolve(KEPT, version="0.9")

    assert {} == lacks(to, bundle("A.1", KEPT), keeps=(BIOS,))
    assert "does not say that it keeps" in lacks(to, bundle("A.1", KEPT), keeps=(NIC,))[name]
    assert "A.1 has no image for BIOS 0.9, and 1 would be kept" in lacks(to, bundle("A.1", other), keeps=(BIOS,))[name]


def test_without_a_bundle_before_or_with_one_that_cannot_be_sent_nothing_has_a_way_back() -> None:
    """The reason is the one that helps."""
    assert {"no bundle was ever committed on it"} == set(lacks(A2, None).values())
    assert {"A.1 is damaged"} == set(lacks(A2, None, "A.1 is damaged").values())


def test_settings_have_a_way_back_unless_they_are_one_way() -> None:
    """No image is lost by them; a one-way element has none by its nature, whatever is in the archive."""
    settings = bios_settings({"BootMode": "Uefi"})
    burnt = evolve(image(BIOS, "2"), reversibility=Reversibility.ONE_WAY)

    assert {} == lacks(bundle("A.2", settings), None)
    assert {settings.name: "it is one-way"} == lacks(
        bundle("A.2", evolve(settings, reversibility=Reversibility.ONE_WAY)), None
    )
    assert {burnt.name: "it is one-way"} == lacks(bundle("A.2", burnt), A1)


def test_what_is_level_needs_no_way_back() -> None:
    """Where nothing is written nothing is lost."""
    assert {} == lacks(bundle("A.2", image(BIOS, "1")), None)


@pytest.mark.parametrize(("consent", "left"), [((), 2), (("nic",), 1), (("bios", "nic"), 0), (True, 0), (("x",), 2)])
def test_consent_is_given_by_name(consent: tuple[str, ...] | bool, left: int) -> None:
    """To each element for itself, or to all; what is left is told with the words that consent to it."""
    named = evolve(A2, manifest=evolve(A2.manifest, elements=tuple(
        evolve(element, name=name) for element, name in zip(A2.manifest.elements, ("bios", "nic"), strict=True)
    )))  # fmt: skip
    plan = plan_node(NODE, goal(named), named, well({BIOS: "1", NIC: "1"}))

    told = unconsented(lacking(plan, named, None, None), consent)  # type: ignore[arg-type]  # True alone is a consent

    assert left == (told or "").count("--no-way-back")
