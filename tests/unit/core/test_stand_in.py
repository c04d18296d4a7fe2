"""What stands in for a node: its versions as far as they are known, and how long things take."""

from __future__ import annotations

from attrs import evolve

from rackwave.core.bundle import Activation, Bundle, Element, ElementKind, Manifest, Payload, PayloadRole, Reversibility
from rackwave.core.event import Identified
from rackwave.core.history import NodeHistory
from rackwave.core.identity import BundleId, ComponentName, ComponentPattern, Digest, NodeName
from rackwave.core.node import Node
from rackwave.core.stand_in import BMC_RESTART, FLASH, POST, Pace, StandIn, meant, named, sample, stand_in
from rackwave.core.step import Step, WriteImage

NODE = Node(NodeName("r1n01"), "Dell Inc.", "R760")
BIOS = ComponentName("BIOS")


def image(version: str, **changes: object) -> Element:
    """Return an element that writes the BIOS."""
    plain = Element(
        "bios",
        ElementKind.BIOS_IMAGE,
        Activation.HOST_RESET,
        Reversibility.REFLASH,
        component=BIOS,
        version=version,
        payload="bios.bin",
    )
    return evolve(plain, **changes)  # type: ignore[arg-type]


def bundle(name: str, *elements: Element) -> Bundle:
    """Return a bundle of *elements*, with one payload."""
    payload = Payload("bios.bin", PayloadRole.DATA, Digest("sha256:" + "a" * 64), 1)
    return Bundle(Manifest(BundleId.parse(name), "", elements, (payload,)), Digest("sha256:" + "b" * 64))


def stranger(new: Bundle, *held: Bundle, took: float | None = None, pace: Pace | None = None) -> StandIn:
    """Return what stands in for the node where every step took *took* before."""
    return stand_in(NODE, new, held, lambda _: took, pace or Pace())


def test_a_part_has_the_version_that_is_assigned() -> None:
    """The assigned bundle's; of a part that it says nothing of, that of the one before."""
    nic = image("3.0", name="nic", component=ComponentName("NIC"), kind=ElementKind.DEVICE_FIRMWARE)

    found = stranger(bundle("A.3", image("2.0.0")), bundle("A.2", image("1.0.0")), bundle("A.1", nic, image("0.9.0")))

    assert {"BIOS": "1.0.0", "NIC": "3.0"} == {part.component: part.version for part in found.parts}
    assert {BIOS: "2.0.0"} == found.comes


def test_a_part_of_which_nothing_is_known_has_another_version_that_may_be_written_over() -> None:
    """A stepping stone where there is one, else what the bundle accepts, else any other."""
    assert "before 2.0.0" == stranger(bundle("A.2", image("2.0.0"))).parts[0].version
    assert "1.5.0" == stranger(bundle("A.2", image("2.0.0", via=("bundle:A.1", "1.5.0")))).parts[0].version
    assert "1.0" == stranger(bundle("A.2", image("2.0.0", accepts=("1.*",)))).parts[0].version


def test_what_is_there_already_does_not_come() -> None:
    """A node that is level has nothing that could disagree with it."""
    assert {} == stranger(bundle("A.2", image("2.0.0")), bundle("A.1", image("2.0.0"))).comes


def test_things_take_what_they_took_and_else_what_is_assumed() -> None:
    """What nobody knows is named, what somebody says goes before all."""
    new = bundle("A.2", image("2.0.0"))
    known, guessed, told = stranger(new, took=77.0), stranger(new), stranger(new, pace=Pace(flash=5.0, post=6.0))

    assert (77.0, 77.0, frozenset()) == (known.parts[0].seconds, known.post, known.assumed)
    assert (FLASH[ElementKind.BIOS_IMAGE], POST) == (guessed.parts[0].seconds, guessed.post)
    assert {"a flash", "POST"} == guessed.assumed
    assert (5.0, 6.0, frozenset()) == (told.parts[0].seconds, told.post, told.assumed)
    assert BMC_RESTART == told.bmc_restart


def test_each_step_is_asked_for_by_itself() -> None:
    """A flash that is known and a POST that is not are told apart."""

    def took(step: Step) -> float | None:
        return 40.0 if isinstance(step, WriteImage) else None

    found = stand_in(NODE, bundle("A.2", image("2.0.0")), (), took, Pace())

    assert (40.0, POST, {"POST"}) == (found.parts[0].seconds, found.post, found.assumed)


def test_settings_are_what_was_assigned_or_something_else() -> None:
    """Each attribute that a bundle names is there, and what nobody knows is not what the bundle wants."""
    settings = Element("s", ElementKind.BIOS_SETTINGS, Activation.HOST_RESET, Reversibility.REFLASH)
    old = evolve(settings, attributes={"Mode": "Uefi"})
    new = evolve(settings, attributes={"Mode": "Legacy", "Delay": 5, "Quiet": True, "Tag": "x"})

    found = stranger(bundle("A.2", new), bundle("A.1", old))

    assert {"Mode": "Uefi", "Delay": 6, "Quiet": False, "Tag": "not x"} == dict(found.settings)
    assert () == found.parts


def test_every_machine_is_of_some_make() -> None:
    """The inventory's, or what it said itself, or one make for all that said nothing."""
    silent = NodeHistory(NODE.name)
    spoken = evolve(silent, identity=Identified(NODE.name, "HPE", "DL380"))
    bare = Node(NODE.name)

    assert ("Dell Inc.", "R760") == (named(NODE, spoken).vendor, named(NODE, spoken).model)
    assert ("HPE", "DL380") == (named(bare, spoken).vendor, named(bare, spoken).model)
    assert ("unknown", "unknown") == (named(bare, silent).vendor, named(bare, silent).model)


def test_a_pattern_counts_as_one_part() -> None:
    """Until a rollout binds it to the node's own."""
    pattern = image("2.0.0", component=None, selector=ComponentPattern("NIC.Slot.?-*"))

    bound = meant(bundle("A.2", pattern), NODE, NodeHistory(NODE.name), {}.__getitem__)

    assert "NIC.Slot.1-1" == sample(pattern)
    assert ["NIC.Slot.1-1"] == [element.component for element in bound.manifest.elements]


def test_a_machine_that_is_brought_back_by_itself_keeps_what_it_runs() -> None:
    """Its bundle has no image of it: the forecast of a roll-back must not miss one."""
    kept = image("1.0.0", payload=None, reversibility=Reversibility.BANK_SWITCH)

    assert [True] == [part.keeps for part in stranger(bundle("A.1", image("2.0.0")), bundle("A.0", kept)).parts]
    assert [False] == [
        part.keeps for part in stranger(bundle("A.1", image("2.0.0")), bundle("A.0", image("1.0.0"))).parts
    ]
