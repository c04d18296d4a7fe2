from __future__ import annotations

import copy
import json
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests import DIGEST, JSON, document, documents
from rackwave.core.canonical import MAX_DEPTH, canonical_json, parse_json
from rackwave.core.manifest import manifest_from_document, manifest_to_document
from rackwave.errors import ManifestError


@given(documents())
@settings(max_examples=60, deadline=None)
def test_round_trip(made: dict[str, Any]) -> None:
    """Reading and writing a manifest gives the same document, unknown fields included, byte for byte."""
    manifest = manifest_from_document(json.loads(canonical_json(made)))

    assert canonical_json(made) == canonical_json(manifest_to_document(manifest))
    assert manifest == manifest_from_document(manifest_to_document(manifest))


@given(JSON)
@settings(max_examples=100, deadline=None)
def test_garbage_gives_only_manifest_errors(garbage: Any) -> None:
    """Whatever JSON is offered as a manifest is refused with a ManifestError and nothing else."""
    with pytest.raises(ManifestError):
        manifest_from_document(garbage)


@given(st.data(), JSON)
@settings(max_examples=200, deadline=None)
def test_one_garbage_field_gives_only_manifest_errors(data: st.DataObject, garbage: Any) -> None:
    """Garbage in any one place of a good manifest is either harmless or a ManifestError."""
    made = document()
    place: Any = made
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
            place = place[key]
        else:
            break
    place[key] = garbage
    try:
        manifest = manifest_from_document(made)
    except ManifestError:
        return

    assert manifest == manifest_from_document(manifest_to_document(manifest))


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
@settings(max_examples=100, deadline=None)
def test_parse_json_gives_only_manifest_errors(data: bytes) -> None:
    """Bytes that are not JSON are refused with a ManifestError and nothing else."""
    try:
        value = parse_json(data, what="it")
    except ManifestError:
        return

    assert value == json.loads(canonical_json(value))


def test_canonical_form() -> None:
    """The canonical form sorts keys, has no blanks and writes UTF-8 as it is."""
    assert '{"a":[1,2.5,null,true],"ä":"ö"}'.encode() == canonical_json({"ä": "ö", "a": [1, 2.5, None, True]})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1: 2, "a": 3}, {"a": b""}, "\ud800", {"a": object()}])
def test_what_has_no_canonical_form(value: Any) -> None:
    """A value that JSON does not have is refused, not approximated."""
    with pytest.raises(ManifestError):
        canonical_json(value)


def test_circle_has_no_canonical_form() -> None:
    """A value that holds itself is refused."""
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(ManifestError):
        canonical_json(circle)
    with pytest.raises(ManifestError):
        manifest_from_document(circle)


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b"[" * 100_000,
        b'"\xff"',
        b"[" + b"1," * 100_001 + b"1]",
        b"1" * 5000,
        b'"\\ud800"',
        b"9223372036854775808",
        b'"' + b"x" * 70_000 + b'"',
        b"[" * (MAX_DEPTH + 2) + b"]" * (MAX_DEPTH + 2),
    ],
)
def test_json_that_is_refused(data: bytes) -> None:
    """What two readers might take differently, and what is too deep or large, is refused."""
    with pytest.raises(ManifestError):
        parse_json(data, what="it")


def test_every_field_is_read() -> None:
    """Each field of a document arrives in the manifest."""
    manifest = manifest_from_document(document())
    bios, settings_ = manifest.elements

    assert "A.2" == str(manifest.id)
    assert ("Lab*", "*") == (manifest.applies_to.vendor, manifest.applies_to.model)
    assert ("BIOS", "2.0.0", "bios.bin", ("1.*",), 900.0) == (
        bios.component,
        bios.version,
        bios.payload,
        bios.accepts,
        bios.time_limit,
    )
    assert {"BootMode": "Uefi", "AcPwrRcvryDelay": 60, "QuietBoot": True} == dict(settings_.attributes)
    assert ("bios",) == settings_.after
    assert (DIGEST, 7) == (manifest.payload("bios.bin").digest, manifest.payload("bios.bin").size)
    assert document() == manifest_to_document(manifest)


ANOTHER_IMAGE = {**document()["elements"][0], "name": "bios2"}
ANOTHER_SETTING = {**document()["elements"][1], "name": "settings2"}


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("seq",), None, "seq: is missing"),
        (("seq",), -1, "seq: must be from 0"),
        (("seq",), True, "seq: must be a whole number, not True"),
        (("seq",), 2.0, "seq: must be a whole number"),
        (("lineage",), "1", "lineage: '1' is not a lineage"),
        (("purpose",), 1, "purpose: must be text, not 1"),
        (("enforce_by",), "", "enforce_by: must not be empty"),
        (("enforce_by",), "tomorrow", "enforce_by: 'tomorrow' is no date and time with a zone"),
        (("enforce_by",), "2026-12-01T06:00", "enforce_by: '2026-12-01T06:00' is no date and time with a zone"),
        (("applies_to",), [], "applies_to: must be a table"),
        (("applies_to", "vendor"), "", "applies_to.vendor: must not be empty"),
        (("elements",), None, "elements: is missing"),
        (("elements",), [], "elements: must hold at least one"),
        (("elements",), {}, "elements: must be a list"),
        (("elements",), ["bios"], "elements[0]: must be a table"),
        (("elements", 0, "kind"), "bios", "elements[0].kind: 'bios' is not one of bios-image, bios-settings,"),
        (("elements", 0, "activation"), None, "elements[0].activation: is missing"),
        (("elements", 0, "reversibility"), 3, "elements[0].reversibility: must be text, not 3"),
        (("elements", 0, "name"), "../x", "elements[0].name: '../x' is not an element's name"),
        (("elements", 0, "component"), None, "elements[0].component: is missing: an element of kind bios-image"),
        (("elements", 0, "component"), "", "elements[0].component: must not be empty"),
        (("elements", 0, "version"), None, "elements[0].version: is missing"),
        (("elements", 0, "version"), "2.0 ", "elements[0].version: '2.0 ' is not a version"),
        (("elements", 0, "payload"), None, "elements[0].payload: is missing"),
        (("elements", 0, "payload"), "none.bin", "elements[0].payload: there is no payload 'none.bin'"),
        (("elements", 0, "payload"), "../bios.bin", "elements[0].payload: '../bios.bin' is not a bare file name"),
        (("elements", 0, "attributes"), {"A": 1}, "elements[0].attributes: an element of kind bios-image has no"),
        (("elements", 0, "time_limit"), 0, "elements[0].time_limit: must be more than 0"),
        (("elements", 0, "time_limit"), "900", "elements[0].time_limit: must be a number of seconds, not '900'"),
        (("elements", 0, "accepts"), "1.*", "elements[0].accepts: must be a list of texts, not '1.*'"),
        (("elements", 0, "accepts"), [1], "elements[0].accepts[0]: must be text, not 1"),
        (("elements", 0, "component"), "*BIOS!", "elements[0].component: '*BIOS!' is not a component pattern"),
        (("elements", 0, "scheme"), "roman", "elements[0].scheme: 'roman' is not a version scheme: opaque, dotted"),
        (("elements", 0, "applies_to"), "Lab", "elements[0].applies_to: must be a table"),
        (("elements", 0, "applies_to", "model"), 7, "elements[0].applies_to.model: must be text, not 7"),
        (("elements", 0, "via"), ["bundle:A"], "elements[0].via[0]: 'A' is not a bundle id"),
        (("elements", 0, "checks"), ["smell"], "elements[0].checks[0]: 'smell' is not one of installed-version, post"),
        (("elements", 0, "executor"), "/bin/sh", "elements[0].executor: '/bin/sh' is not an executor's name"),
        (("elements", 1, "scheme"), "dotted", "elements[1].scheme: an element of kind bios-settings has no scheme"),
        (("elements", 0, "after"), ["settings"], "elements: they wait for one another in a circle: "),
        (("elements", 0, "after"), ["bios"], "elements: they wait for one another in a circle: 'bios' after 'bios'"),
        (("elements", 1, "after"), ["none"], "elements[1].after[0]: there is no element 'none'"),
        (("elements", 1, "after"), ["bios", "bios"], "elements[1].after: names the same thing twice"),
        (("elements", 1, "attributes"), None, "elements[1].attributes: is missing"),
        (("elements", 1, "attributes"), {}, "elements[1].attributes: is missing"),
        (("elements", 1, "attributes"), {"": 1}, "elements[1].attributes: '' is not an attribute's name"),
        (("elements", 1, "attributes", "BootMode"), 1.5, "elements[1].attributes.BootMode: must be text, a whole"),
        (("elements", 1, "version"), "1", "elements[1].version: an element of kind bios-settings has no version"),
        (("elements", 1, "name"), "bios", "elements[1].name: 'bios' is the name of elements[0] already"),
        (("elements", 2), ANOTHER_IMAGE, "elements[2].component: BIOS is written by 'bios' already"),
        (("elements", 2), ANOTHER_SETTING, "elements[2].attributes.BootMode: is set by 'settings' already"),
        (("payloads",), None, "elements[0].payload: there is no payload 'bios.bin'"),
        (("payloads", 0, "name"), "a/b", "payloads[0].name: 'a/b' is not a bare file name"),
        (("payloads", 0, "name"), "..", "payloads[0].name: '..' is not a bare file name"),
        (("payloads", 0, "name"), "-rf", "payloads[0].name: '-rf' is not a bare file name"),
        (("payloads", 0, "digest"), "sha256:AB", "payloads[0].digest: 'sha256:AB' is not a digest"),
        (("payloads", 0, "size"), -1, "payloads[0].size: must be from 0"),
        (("payloads", 0, "size"), 0, "elements[0].payload: the image 'bios.bin' is empty"),
        (("payloads", 0, "role"), "image", "payloads[0].role: 'image' is not one of executable, data, metadata"),
        (("payloads", 1), document()["payloads"][0], "payloads[1].name: 'bios.bin' is the name of payloads[0]"),
    ],
)
def test_refusals_name_the_field(path: tuple[str | int, ...], value: Any, says: str) -> None:
    """Each contradiction and wrong type is refused with a sentence that begins with the path of its field."""
    made = document()
    place: Any = made
    for key in path[:-1]:
        place = place[key]
    key = path[-1]
    if value is None:
        del place[key]
    elif isinstance(place, list) and key == len(place):
        place.append(copy.deepcopy(value))
    else:
        place[key] = value
    with pytest.raises(ManifestError) as caught:
        manifest_from_document(made)

    assert str(caught.value).startswith(says)


def test_extra_may_not_shadow_a_field() -> None:
    """What stands in extra cannot overwrite a field that has a meaning."""
    manifest = attrs.evolve(manifest_from_document(document()), extra={"seq": 9})
    with pytest.raises(ManifestError, match="seq: stands in 'extra'"):
        manifest_to_document(manifest)
