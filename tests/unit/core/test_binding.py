"""What a bundle means on one machine."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwave.core.binding import Binding, bind, bound, needs_binding, why_not
from rackwave.core.bundle import AppliesTo
from rackwave.core.identity import ComponentName, ComponentPattern, NodeName
from rackwave.core.node import Node
from values import BIOS, NIC, bundle, image

NODE = Node(NodeName("n1"), "Contoso", "R100")
NICS = evolve(image(NIC, "2"), name="nics", component=None, selector=ComponentPattern("NIC.*"))
ONE, TWO = ComponentName("NIC.1"), ComponentName("NIC.2")


def test_a_pattern_becomes_the_parts_that_it_fits_in_their_order() -> None:
    """Each part is an element of its own, with the payload, and what waited for the pattern waits for all of them."""
    bios = evolve(image(BIOS, "2"), after=("nics",))
    a2 = bundle("A.2", NICS, bios)
    binding = bind(a2, NODE, [TWO, ComponentName("BIOS"), ONE])
    meant = bound(a2, binding)

    assert ["nics@NIC.1", "nics@NIC.2", bios.name] == [each.name for each in meant.manifest.elements]
    assert [ONE, TWO, BIOS] == [each.component for each in meant.manifest.elements]
    assert ("nics@NIC.1", "nics@NIC.2") == meant.manifest.elements[2].after
    assert a2.digest == meant.digest
    assert why_not(a2, binding) is None


def test_an_element_for_other_machines_is_left_out_and_waited_for_by_nobody() -> None:
    """The rest of the bundle is for the machine; a bundle of which nothing is, is not."""
    theirs = evolve(image(NIC, "2"), applies_to=AppliesTo("Fabrikam"))
    a2 = bundle("A.2", theirs, evolve(image(BIOS, "2"), after=(theirs.name,)))
    binding = bind(a2, NODE, [])

    assert (theirs.name,) == binding.left_out
    assert [()] == [each.after for each in bound(a2, binding).manifest.elements]
    assert "no element of A.2" in str(why_not(bundle("A.2", theirs), bind(bundle("A.2", theirs), NODE, [])))


def test_two_elements_for_one_part_are_refused_by_name() -> None:
    """Whichever came last would win, and nobody could say which."""
    a2 = bundle("A.2", NICS, evolve(image(NIC, "3"), name="first", component=ONE))

    assert "nics and first of A.2 are both for NIC.1" == why_not(a2, bind(a2, NODE, [ONE, TWO]))
    assert why_not(a2, bind(a2, NODE, [TWO])) is None


def test_a_plain_bundle_means_the_same_everywhere() -> None:
    """Nothing is asked of a BMC for it, and nothing is changed."""
    a2 = bundle("A.2", image(BIOS, "2"))

    assert not needs_binding(a2)
    assert a2 == bound(a2, None) == bound(a2, Binding())


@settings(deadline=None)
@given(st.sets(st.sampled_from(["NIC.1", "NIC.2", "NIC.A.3", "BIOS", "nic.4", "NIC"])))
def test_no_part_is_bound_that_the_pattern_does_not_fit_and_none_twice(listed: set[str]) -> None:
    """Exactly the parts that a shell would match, each once; names are told apart by case."""
    a2 = bundle("A.2", NICS)
    meant = bound(a2, bind(a2, NODE, [ComponentName(name) for name in listed]))
    parts = [str(each.component) for each in meant.manifest.elements]

    assert sorted(name for name in listed if name.startswith("NIC.")) == parts
    assert len({each.name for each in meant.manifest.elements}) == len(parts)
