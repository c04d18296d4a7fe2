"""The published schemas and the readers agree: what one refuses, the other refuses."""

from __future__ import annotations

import copy
import json
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests import JSON, document, documents
from rackwave.core.canonical import canonical_json
from rackwave.core.manifest import manifest_from_document, manifest_to_document
from rackwave.errors import ManifestError
from rackwave.repository.examples import examples_directory


def validator(name: str) -> jsonschema.Draft202012Validator:
    """The published schema called *name*."""
    return jsonschema.Draft202012Validator(
        json.loads((files("rackwave.schemas") / f"{name}.schema.json").read_text("utf-8"))
    )


MANIFEST, SOURCE = validator("manifest"), validator("source")


@given(documents())
@settings(max_examples=60, deadline=None)
def test_what_we_write_validates(made: dict[str, Any]) -> None:
    """Every manifest that we write is what the schema describes, fields of a newer rackwave included."""
    written = manifest_to_document(manifest_from_document(json.loads(canonical_json(made))))

    assert [] == [error.message for error in MANIFEST.iter_errors(written)]


@given(st.data(), JSON)
@settings(max_examples=200, deadline=None)
def test_what_the_schema_refuses_our_reader_refuses(data: st.DataObject, garbage: Any) -> None:
    """Garbage in any one place: what the schema does not take is refused with a sentence that names a field."""
    made = copy.deepcopy(document())
    place: Any = made
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
            place = place[key]
        else:
            break
    if data.draw(st.booleans()):
        place[key] = garbage
    else:
        del place[key]
    if not MANIFEST.is_valid(made):
        with pytest.raises(ManifestError, match=r"^[a-z_]+.*: "):
            manifest_from_document(made)


@pytest.mark.parametrize("path", sorted(examples_directory().glob("*/*/bundle.toml")), ids=lambda p: p.parent.name)
def test_every_example_is_a_source(path: Path) -> None:
    """Each example's bundle.toml is what the schema describes."""
    assert [] == [error.message for error in SOURCE.iter_errors(tomllib.loads(path.read_text("utf-8")))]


@pytest.mark.parametrize(
    "more", [{"colour": 1}, {"payloads": [{"name": "x"}]}, {"applies_to": {"make": "x"}}, {"elements": [{"name": "y"}]}]
)
def test_a_source_that_is_none(more: dict[str, Any]) -> None:
    """A field that nobody knows, and one that is missing, are no source."""
    text = (examples_directory() / "lab-bios" / "A.1" / "bundle.toml").read_text("utf-8")

    assert not SOURCE.is_valid({**tomllib.loads(text), **more})
