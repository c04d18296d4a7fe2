from __future__ import annotations

import json

from attrs import evolve
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given, settings

from manifests import documents
from rackwave.core.binding import SetBack
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
from rackwave.core.event import NodeFinished, NodeResult
from rackwave.core.identity import BundleId, ComponentName, Digest, NodeName, RolloutId
from rackwave.core.manifest import manifest_from_document
from rackwave.core.node import Node
from rackwave.core.policy import Policy
from rackwave.core.rollout import RolloutState
from rackwave.core.sbom import bundle_sbom, rack_sbom
from rackwave.core.statement import proven_on, validated_on

A2 = BundleId("A", 2)
IMAGE, NOTES, WHOLE = (Digest(f"sha256:{digit * 64}") for digit in "123")
BUNDLE = Bundle(
    Manifest(
        A2,
        "fixes it",
        (
            Element(
                "bios",
                ElementKind.BIOS_IMAGE,
                Activation.HOST_RESET,
                Reversibility.REFLASH,
                component=ComponentName("BIOS"),
                version="2.0.0",
                payload="bios.bin",
            ),
            Element(
                "settings",
                ElementKind.BIOS_SETTINGS,
                Activation.HOST_RESET,
                Reversibility.REFLASH,
                attributes={"SysProfile": "Perf"},
            ),
        ),
        (Payload("bios.bin", PayloadRole.DATA, IMAGE, 5), Payload("notes.txt", PayloadRole.METADATA, NOTES, 7)),
    ),
    WHOLE,
)
N1, N2 = (Node(NodeName(name), "Contoso", "R1") for name in ("r1n01", "r1n02"))


def test_a_bundle_is_told_whole() -> None:
    """Each element is a component with its version and the hash of its bytes; payloads of no element are files."""
    told = bundle_sbom(BUNDLE)

    assert ("CycloneDX", "1.6") == (told["bomFormat"], told["specVersion"])
    assert ["firmware", "data", "file"] == [each["type"] for each in told["components"]]
    assert ("BIOS", "2.0.0", IMAGE.hex) == (
        told["components"][0]["name"],
        told["components"][0]["version"],
        told["components"][0]["hashes"][0]["content"],
    )
    assert {"name": "rackwave:attribute:SysProfile", "value": "Perf"} in told["components"][1]["properties"]
    assert told == bundle_sbom(BUNDLE)


def test_a_rack_names_each_bundle_once() -> None:
    """Every node depends on what was committed on it; what that consists of stands in the document once."""
    told = rack_sbom([(N1, (A2,)), (N2, (A2,))], {A2: BUNDLE}, "2026-11-26T08:00:00.000Z")
    refs = [each["bom-ref"] for each in told["components"]]

    assert ["node:r1n01", "node:r1n02", "bundle:A.2"] == refs
    assert {"ref": "node:r1n02", "dependsOn": ["bundle:A.2"]} in told["dependencies"]


def test_proven_is_what_ended_on_the_new_bundle() -> None:
    """A node that was rolled back proves nothing, nor does a rollout of other content under the same id."""

    def rollout(name: str, digest: Digest, result: NodeResult, node: NodeName) -> RolloutState:
        finished = {node: NodeFinished(RolloutId(name), node, result)}
        return RolloutState(RolloutId(name), A2, digest, ((node,),), Policy(), "me", 1.0, results=finished)

    rollouts = [
        rollout("aaaa", WHOLE, NodeResult.ON_NEW, N1.name),
        rollout("bbbb", WHOLE, NodeResult.ROLLED_BACK, N2.name),
        rollout("cccc", IMAGE, NodeResult.ON_NEW, N2.name),
    ]

    assert (N1.name,) == proven_on(BUNDLE, rollouts)
    assert [{"vendor": "Contoso", "model": "R1"}] == validated_on(BUNDLE, [N1, N2], by="me", at="")["predicate"][
        "models"
    ]


@settings(deadline=None, max_examples=40)
@given(documents())
def test_a_bill_of_materials_is_one_by_its_own_schema(document: dict[str, object]) -> None:
    """Whatever a bundle holds, its bill, and that of a rack that carries it, are valid CycloneDX 1.6."""
    bundle = Bundle(manifest_from_document(document), WHOLE)
    rack = rack_sbom([(N1, (bundle.id,)), (N2, ())], {bundle.id: bundle}, "2026-11-26T08:00:00.000Z")

    for told in (bundle_sbom(bundle), rack):
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(told)) is None


def test_a_node_with_a_component_set_back_depends_on_what_it_really_has() -> None:
    """The other bundle's image in the place of its own, element by element; a node without one, on the bundle."""
    bios = BUNDLE.manifest.elements[0]
    old = Bundle(
        Manifest(BundleId("A", 1), "before", (evolve(bios, version="1.0.0"),), BUNDLE.manifest.payloads[:1]), NOTES
    )
    back = SetBack(ComponentName("BIOS"), "1.0.0", old.id, old.digest, "hangs", "ann")
    told = rack_sbom(
        [(N1, (A2,)), (N2, (A2,))], {A2: BUNDLE, old.id: old}, "2026-11-26T08:00:00.000Z", {N1.name: (back,)}
    )
    needs = {each["ref"]: each["dependsOn"] for each in told["dependencies"]}

    assert ["bundle:A.2/element:settings", "bundle:A.1/element:bios"] == needs["node:r1n01"]
    assert ["bundle:A.2"] == needs["node:r1n02"]
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(told)) is None
