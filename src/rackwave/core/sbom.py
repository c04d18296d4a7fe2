"""What a bundle consists of, and what a rack carries, as a CycloneDX 1.6 bill of materials.

The same bundle gives the same document: no serial number, and a date only where a rack is told of.
https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any

from .binding import SetBack
from .bundle import Bundle, Element, Payload
from .identity import BundleId, NodeName
from .node import Node


def bundle_sbom(bundle: Bundle) -> dict[str, Any]:
    """Return the bill of materials of *bundle*: an element each, and the payloads that belong to none."""
    used = {element.payload for element in bundle.manifest.elements}
    files = [payload for payload in bundle.manifest.payloads if payload.name not in used]
    elements = [_element(bundle, element) for element in bundle.manifest.elements]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": _bundle(bundle)},
        "components": [*elements, *(_file(bundle, payload) for payload in files)],
        "dependencies": [
            {
                "ref": _ref(bundle.id),
                "dependsOn": [each["bom-ref"] for each in (*elements, *(_file(bundle, payload) for payload in files))],
            }
        ],
    }


def rack_sbom(
    carried: Iterable[tuple[Node, tuple[BundleId, ...]]],
    bundles: Mapping[BundleId, Bundle],
    at: str,
    set_back: Mapping[NodeName, tuple[SetBack, ...]] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the bill of materials of a rack at the time *at* (RFC 3339): its nodes, and what was committed on each.

    A node with components that were *set_back* depends on each element by itself, and on another bundle's for these.
    """
    nodes = list(carried)
    backs = {node.name: set_back.get(node.name, ()) for node, _ in nodes}
    named = {each for _, ids in nodes for each in ids} | {back.bundle for some in backs.values() for back in some}
    found = [bundles[each] for each in sorted(named)]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"timestamp": at, "component": {"type": "platform", "bom-ref": "rack", "name": "rack"}},
        "components": [
            *(_node(node) for node, _ in nodes),
            *({**_bundle(each), "components": bundle_sbom(each)["components"]} for each in found),
        ],
        "dependencies": [
            {"ref": "rack", "dependsOn": [_node(node)["bom-ref"] for node, _ in nodes]},
            *(
                {
                    "ref": _node(node)["bom-ref"],
                    "dependsOn": [ref for each in ids for ref in _refs(bundles[each], backs[node.name], bundles)],
                }
                for node, ids in nodes
            ),
            *(bundle_sbom(each)["dependencies"][0] for each in found),
        ],
    }


def _refs(bundle: Bundle, backs: tuple[SetBack, ...], bundles: Mapping[BundleId, Bundle]) -> list[str]:
    """Return what of *bundle* is on a node, and whatever else is there in the place of the rest."""
    other = [back for back in backs if any(_is_for(each, back) for each in bundle.manifest.elements)]
    if not other:
        return [_ref(bundle.id)]
    own = [each for each in bundle.manifest.elements if all(each.component != back.component for back in other)]
    brought = [
        (back.bundle, each) for back in other for each in bundles[back.bundle].manifest.elements if _is_for(each, back)
    ]
    return [_element_ref(of, each) for of, each in (*((bundle.id, each) for each in own), *brought)]


def _is_for(element: Element, back: SetBack) -> bool:
    if not element.kind.is_image:
        return False
    return element.component == back.component or (
        element.selector is not None and fnmatchcase(back.component, element.selector)
    )


def _element_ref(bundle: BundleId, element: Element) -> str:
    return f"{_ref(bundle)}/element:{element.name}"


def _ref(bundle: BundleId) -> str:
    return f"bundle:{bundle}"


def _bundle(bundle: Bundle) -> dict[str, Any]:
    return {
        "type": "firmware",
        "bom-ref": _ref(bundle.id),
        "name": str(bundle.id.lineage),
        "version": str(bundle.id.seq),
        "description": bundle.manifest.purpose,
        "hashes": [{"alg": "SHA-256", "content": bundle.digest.hex}],
    }


def _element(bundle: Bundle, element: Element) -> dict[str, Any]:
    payloads = [payload for payload in bundle.manifest.payloads if payload.name == element.payload]
    properties = [("rackwave:kind", str(element.kind)), ("rackwave:element", element.name)]
    properties += [(f"rackwave:attribute:{name}", str(value)) for name, value in sorted(element.attributes.items())]
    return {
        "type": "firmware" if element.kind.is_image else "data",
        "bom-ref": _element_ref(bundle.id, element),
        "name": str(element.component or element.name),
        **({"version": element.version} if element.version is not None else {}),
        **({"hashes": [_hash(payload) for payload in payloads]} if payloads else {}),
        "properties": [{"name": name, "value": value} for name, value in properties],
    }


def _file(bundle: Bundle, payload: Payload) -> dict[str, Any]:
    ref = f"{_ref(bundle.id)}/payload:{payload.name}"
    return {"type": "file", "bom-ref": ref, "name": payload.name, "hashes": [_hash(payload)]}


def _node(node: Node) -> dict[str, Any]:
    return {
        "type": "device",
        "bom-ref": f"node:{node.name}",
        "name": str(node.name),
        **({"manufacturer": {"name": node.vendor}} if node.vendor else {}),
        **({"description": node.model} if node.model else {}),
    }


def _hash(payload: Payload) -> dict[str, str]:
    return {"alg": "SHA-256", "content": payload.digest.hex}
