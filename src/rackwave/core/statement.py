"""Signed statements about a bundle (in-toto): on which machines it was proven, by whom and when.

https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .bundle import Bundle
from .event import NodeResult
from .identity import BundleId, Digest, NodeName
from .node import Node
from .rollout import RolloutState

STATEMENT = "https://in-toto.io/Statement/v1"
VALIDATED = "urn:rackwave:validated-on:1"
PROVENANCE = "https://slsa.dev/provenance/v1"


def proven_on(bundle: Bundle, rollouts: Iterable[RolloutState]) -> tuple[NodeName, ...]:
    """Return the nodes on which a rollout of exactly this content ended on the new bundle."""
    return tuple(
        sorted(
            {
                node
                for rollout in rollouts
                if (rollout.bundle, rollout.digest) == (bundle.id, bundle.digest)
                for node, finished in rollout.results.items()
                if finished.result is NodeResult.ON_NEW
            }
        )
    )


def validated_on(bundle: Bundle, nodes: Iterable[Node], *, by: str, at: str) -> dict[str, Any]:
    """Return the statement that *bundle* was proven on *nodes*; *at* is RFC 3339."""
    found = list(nodes)
    models = sorted({(node.vendor, node.model) for node in found})
    return {
        "_type": STATEMENT,
        "subject": [{"name": str(bundle.id), "digest": {"sha256": bundle.digest.hex}}],
        "predicateType": VALIDATED,
        "predicate": {
            "by": by,
            "at": at,
            "models": [{"vendor": vendor, "model": model} for vendor, model in models],
            "nodes": [str(node.name) for node in found],
        },
    }


def unproven(statement: object, node: Node) -> str | None:
    """Say why *statement* does not cover *node*'s make and model; None where it does.

    *statement* is what ``validated_on`` made, or None where nobody stated anything. A node whose model the
    inventory does not say is covered by none.
    """
    name = " ".join(filter(None, (node.vendor, node.model)))
    if not node.model:
        return "the inventory does not say its model, so that no signed record can cover it"
    match statement:
        case {"predicateType": kind, "predicate": {"models": list(models)}} if kind == VALIDATED:
            if {"vendor": node.vendor, "model": node.model} in models:
                return None
            return f"no signed record says that it was proven on {name}"
        case _:
            return f"no signed record says on which models it was proven; this is {name}"


def provenance(bundle: BundleId, digest: Digest, layers: Iterable[tuple[str, str]], *, at: str) -> dict[str, Any]:
    """Return the statement (SLSA v1) from what *bundle* was made, and when it was published.

    *layers* are names and digests of its payloads; *at* is RFC 3339. Who published it is said by the signature.
    """
    return {
        "_type": STATEMENT,
        "subject": [{"name": str(bundle), "digest": {"sha256": digest.hex}}],
        "predicateType": PROVENANCE,
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:rackwave:bundle-build:1",
                "externalParameters": {"lineage": str(bundle.lineage), "seq": bundle.seq},
                "resolvedDependencies": [
                    {"name": name, "digest": {"sha256": hexadecimal}} for name, hexadecimal in layers
                ],
            },
            "runDetails": {"builder": {"id": "urn:rackwave:bundle-publish"}, "metadata": {"finishedOn": at}},
        },
    }
