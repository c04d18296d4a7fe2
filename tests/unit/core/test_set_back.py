"""One component set back: what the assigned bundle means then, and why it may not be."""

from __future__ import annotations

from attrs import evolve

from rackwave.core import event as ev
from rackwave.core.binding import SetBack, meant
from rackwave.core.bundle import Bundle, Reversibility
from rackwave.core.history import NodeHistory, apply_to_node
from rackwave.core.identity import AttemptId, BundleId, ComponentName, Lineage
from rackwave.core.planner import plan_node
from rackwave.core.retention import needs
from rackwave.core.set_back import WhyNot, bring_forward, set_back
from values import BIOS, BMC, NIC, NODE, bundle, goal, image, well

A1 = bundle("A.1", image(BIOS, "1"), image(BMC, "1"), image(NIC, "1"))
A2 = bundle("A.2", image(BIOS, "2"), evolve(image(BMC, "2"), after=("bios",)))
A3 = bundle("A.3", image(BIOS, "3"), evolve(image(BMC, "3"), reversibility=Reversibility.ONE_WAY))
SHELF = {each.id: each for each in (A1, A2, A3)}
LINEAGE = Lineage("A")


def carrying(*bundles: Bundle) -> NodeHistory:
    """A node on which these were committed, one after the other."""
    return after(NodeHistory(NODE), *(ev.Assigned(NODE, b.id, b.digest, AttemptId("earlier")) for b in bundles))


def after(history: NodeHistory, *events: ev.NodeEvent) -> NodeHistory:
    """*history* with more events."""
    for event in events:
        history = apply_to_node(history, event, 0.0)
    return history


def back(history: NodeHistory, component: ComponentName = BIOS) -> ev.Bound | WhyNot:
    """Ann sets a component back."""
    return set_back(history, LINEAGE, component, load=SHELF.__getitem__, reason="hangs", by="ann")


def set_on(history: NodeHistory, component: ComponentName = BIOS) -> NodeHistory:
    """*history* with the component set back."""
    bound = back(history, component)
    assert isinstance(bound, ev.Bound)
    return after(history, bound)


def versions(history: NodeHistory, of: Bundle) -> dict[str, str | None]:
    """What a bundle writes on the node."""
    return {e.name: e.version for e in meant(of, history.bindings, SHELF.__getitem__).manifest.elements}


def test_the_assigned_bundle_means_the_earlier_image_for_that_component_alone() -> None:
    """The bundle's id, digest and other elements stay; the image comes with its own bytes, in the old order."""
    found = meant(A2, set_on(carrying(A1, A2)).bindings, SHELF.__getitem__)
    bios, bmc = found.manifest.elements

    assert (A2.id, A2.digest) == (found.id, found.digest)
    assert [("bios", "1"), ("bmc", "2")] == [(bios.name, bios.version), (bmc.name, bmc.version)]
    assert A1.manifest.payload("bios-1.img").digest == found.manifest.payload(bios.payload or "").digest
    assert ("bios",) == bmc.after


def test_a_node_that_has_it_so_is_level_and_has_not_drifted() -> None:
    """Planned as it is meant, nothing is to be done; planned as published, the BIOS would be written."""
    history = set_on(carrying(A1, A2))
    seen = well({BIOS: "1", BMC: "2"})

    assert plan_node(NODE, goal(A2), meant(A2, history.bindings, SHELF.__getitem__), seen).is_level
    assert not plan_node(NODE, goal(A2), A2, seen).is_level


def test_it_tells_who_wanted_it_and_why() -> None:
    """The history has it for status and plans."""
    (told,) = set_on(carrying(A1, A2)).set_back

    assert SetBack(BIOS, "1", A1.id, A1.digest, "hangs", "ann") == told
    assert "BIOS is set back to 1 of A.1 by ann: hangs" == str(told)


def test_what_cannot_be_set_back_is_said() -> None:
    """No prior bundle, no image on either side, one way, nothing that differs."""
    same = set_on(carrying(A1, A2))

    assert WhyNot("it carries no bundle of lineage A") == back(carrying())
    assert WhyNot("it has no prior bundle") == back(carrying(A1))
    assert WhyNot("A.2 has no image for NIC") == back(carrying(A1, A2), NIC)
    assert WhyNot("A.2, which it had before, has no image for NIC") == back(carrying(A2, A1), NIC)
    assert WhyNot("bmc of A.3 is one-way: there is no way back from it") == back(carrying(A1, A3), BMC)
    assert WhyNot("BIOS has what A.1 has for it: 1") == back(same)


def test_bringing_it_forward_ends_it_for_that_component_alone() -> None:
    """The other one that was set back stays so."""
    history = set_on(set_on(carrying(A1, A2)), BMC)
    forward = bring_forward(history, LINEAGE, BIOS)
    assert isinstance(forward, ev.Bound)
    ended = after(history, forward)

    assert {"bios": "2", "bmc": "1"} == versions(ended, A2)
    assert WhyNot("its BIOS is not set back") == bring_forward(ended, LINEAGE, BIOS)


def test_the_next_bundle_ends_it_and_a_roll_back_to_this_one_has_it_again() -> None:
    """What the node had before is what it goes back to; two bundles later nobody remembers."""
    moved = after(set_on(carrying(A1, A2)), ev.Assigned(NODE, A3.id, A3.digest, AttemptId("latera")))
    returned = after(moved, ev.Assigned(NODE, A2.id, A2.digest, AttemptId("laterb")))
    forgotten = after(moved, *(ev.Assigned(NODE, b.id, b.digest, AttemptId("laterc")) for b in (A1, A3)))

    assert () == moved.set_back
    assert {"bios": "1", "bmc": "2"} == versions(returned, A2)
    assert {"bios": "2", "bmc": "2"} == versions(forgotten, A2)


def test_an_exception_never_leads_to_an_exception() -> None:
    """Set back on A.2 to A.1 and then on A.3 to A.2, the BIOS is A.1's, which is named as its source."""
    moved = after(set_on(carrying(A1, A2)), ev.Assigned(NODE, A3.id, A3.digest, AttemptId("latera")))
    (told,) = set_on(moved).set_back

    assert (BundleId.parse("A.1"), "1") == (told.bundle, told.version)


def test_the_bundle_that_an_image_comes_from_stays_in_the_archive() -> None:
    """Also where it is neither assigned to the node nor its prior one any more."""
    history = after(
        set_on(carrying(A1, A2)),
        ev.Assigned(NODE, A3.id, A3.digest, AttemptId("latera")),
    )

    assert "BIOS is set back to it on r1n01" in {need.why for need in needs([history], []) if need.bundle == A1.id}
