"""One bundle as OCI artifacts: written, and opened again without believing any of it.

::

    index ─┬─ payload manifest   config = the rackwave manifest document, layers = the payloads
           └─ signature manifest subject = the payload manifest, layer = a DSSE envelope around
                                 the payload manifest's raw bytes

A bundle's digest is that of its payload manifest: it covers all that the bundle is, and stays the
same when another key signs it. Dates are fixed and JSON is canonical, so two builds are bit-identical.
https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md#guidelines-for-artifact-usage
"""

from __future__ import annotations

from typing import Any

from attrs import evolve, frozen

from ..core.bundle import Bundle, Manifest, Payload
from ..core.canonical import canonical_json, parse_json
from ..core.identity import BundleId
from ..core.manifest import manifest_from_document, manifest_to_document
from ..errors import DigestMismatchError, ManifestError, TrustError
from .container import image_blobs
from .depot import MAX_DOCUMENT, Readable
from .keys import ENVELOPE_TYPE, BundleSigner
from .layout import CREATED, EMPTY_TYPE, INDEX_TYPE, MANIFEST_TYPE, TITLE, Descriptor, ImageLayout
from .trust import MAX_ENVELOPE, MOVED, Trust, check_signed, unsigned

BUNDLE_TYPE = "application/vnd.rackwave.bundle.v1"
DOCUMENT_TYPE = "application/vnd.rackwave.bundle.manifest.v1+json"
# Which part of the bundle a manifest is. It is no artifactType in the index's descriptors, since skopeo
# 1.9.3 (Debian 12) rewrites an index that has one, and a copy must keep its digest.
PART = "vnd.rackwave.part"
_BUNDLE = "bundle"
_SIGNATURE = "signature"
_IMAGE = "image"
PAYLOAD_TYPE = "application/octet-stream"

_FIXED_DATE = {CREATED: "1970-01-01T00:00:00Z"}


@frozen
class OpenedBundle:
    """A bundle whose signature, documents and sizes were verified; *blobs* is all that it consists of.

    *payload* is its payload manifest, the bytes that are signed.
    """

    bundle: Bundle
    index: Descriptor
    blobs: tuple[Descriptor, ...]
    payload: bytes


def write_bundle(layout: ImageLayout, manifest: Manifest, signer: BundleSigner) -> tuple[Bundle, Descriptor]:
    """Write all but the payloads and the runnable image, which are there already; return the bundle and its index.

    ``index.json`` is left alone: the caller enters the index there.
    """
    config = _add(layout, DOCUMENT_TYPE, canonical_json(manifest_to_document(manifest)))
    empty = _add(layout, EMPTY_TYPE, b"{}")
    layers = [_layer(payload) for payload in manifest.payloads]
    payload_bytes = canonical_json(_image_manifest(BUNDLE_TYPE, config, layers or [empty]))
    payload = _add(layout, MANIFEST_TYPE, payload_bytes)
    envelope = _add(layout, ENVELOPE_TYPE, signer.sign(payload_bytes, payload_type=MANIFEST_TYPE))
    signature_document = _image_manifest(ENVELOPE_TYPE, empty, [envelope])
    signature_document["subject"] = payload.document()
    signature = _add(layout, MANIFEST_TYPE, canonical_json(signature_document))
    parts = [(_BUNDLE, payload), (_SIGNATURE, signature)]
    if manifest.image is not None:
        parts.append((_IMAGE, Descriptor(MANIFEST_TYPE, manifest.image.digest, manifest.image.size)))
    document = {
        "schemaVersion": 2,
        "mediaType": INDEX_TYPE,
        "artifactType": BUNDLE_TYPE,
        "manifests": [evolve(part, annotations={PART: name}).document() for name, part in parts],
        "annotations": _FIXED_DATE,
    }
    index = _add(layout, INDEX_TYPE, canonical_json(document))
    return Bundle(manifest, payload.digest), index


def open_bundle(
    depot: Readable, index: Descriptor, trust: Trust, *, bundle_id: BundleId, offered: bool = False
) -> OpenedBundle:
    """Open what is stored as *bundle_id*, verifying the signature and every document on the way.

    With *offered* it is not published yet: then its own signature must be by somebody who may.

    Payloads are only looked at for their size, so that opening a bundle does not read gigabytes;
    whoever hands their bytes out verifies them (``BlobFolder.path``).

    Raises:
        TrustError: unsigned, altered, signed by the wrong key, or another bundle than *bundle_id*.
        DigestMismatchError: a blob holds other bytes than its digest says.
        BundleNotFoundError: a blob is missing.
        ManifestError: the documents contradict one another.
    """
    payload, signature, image = _parts(_read(depot, index, "the bundle's index"))
    payload_bytes = _bytes(depot, payload, MAX_DOCUMENT)
    if signature is None:
        raise unsigned()
    signature_document = _read(depot, signature, "the bundle's signature manifest")
    subject = Descriptor.from_document(signature_document.get("subject"), "the bundle's signature manifest: subject")
    envelope = _single_layer(signature_document)
    envelope_bytes = _bytes(depot, envelope, MAX_ENVELOPE)
    if offered:
        check_signed(trust, bundle_id.lineage, payload_bytes, envelope_bytes)
    else:
        trust.verify(bundle_id, payload_bytes, envelope_bytes)
    if subject.digest != payload.digest:
        raise TrustError("the signature beside the bundle was made for another bundle", advice=MOVED)
    document = _object(payload_bytes, "the bundle's payload manifest")
    config = Descriptor.from_document(document.get("config"), "the bundle's payload manifest: config")
    if config.media_type != DOCUMENT_TYPE:
        raise ManifestError(f"this is no bundle that this rackwave knows, but {config.media_type!r}")
    manifest = manifest_from_document(_read(depot, config, "the bundle's manifest"))
    if manifest.id != bundle_id:
        raise TrustError(f"what is offered as {bundle_id} was signed as {manifest.id}", advice=MOVED)
    layers = _layers(document)
    _check_layers(manifest, layers)
    _check_sizes(depot, layers)
    _check_image(manifest, image)
    carried = image_blobs(depot, image) if image is not None else ()
    blobs = (index, payload, signature, config, envelope, *layers, *_empty_config(signature_document), *carried)
    return OpenedBundle(
        Bundle(manifest, payload.digest), index, tuple({blob.digest: blob for blob in blobs}.values()), payload_bytes
    )


def _add(layout: ImageLayout, media_type: str, data: bytes) -> Descriptor:
    digest, size = layout.blobs.add_bytes(data)
    return Descriptor(media_type, digest, size)


def _layer(payload: Payload) -> Descriptor:
    return Descriptor(PAYLOAD_TYPE, payload.digest, payload.size, annotations={TITLE: payload.name})


def _image_manifest(artifact_type: str, config: Descriptor, layers: list[Descriptor]) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": artifact_type,
        "config": config.document(),
        "layers": [layer.document() for layer in layers],
        "annotations": _FIXED_DATE,
    }


def _read(depot: Readable, descriptor: Descriptor, what: str) -> dict[str, Any]:
    return _object(_bytes(depot, descriptor, MAX_DOCUMENT), what)


def _bytes(depot: Readable, descriptor: Descriptor, limit: int) -> bytes:
    data = depot.read(descriptor, limit)
    if len(data) != descriptor.size:
        raise ManifestError(f"{descriptor.digest} has {len(data)} bytes, not the {descriptor.size} that are told of it")
    return data


def _object(data: bytes, what: str) -> dict[str, Any]:
    document = parse_json(data, what=what)
    if not isinstance(document, dict):
        raise ManifestError(f"{what} is not a JSON object")
    return document


def _descriptors(document: dict[str, Any], key: str, what: str) -> list[Descriptor]:
    values = document.get(key)
    if not isinstance(values, list):
        raise ManifestError(f"{what} has no list of {key}")
    return [Descriptor.from_document(value, f"{what}: {key}[{place}]") for place, value in enumerate(values)]


def _check_image(manifest: Manifest, image: Descriptor | None) -> None:
    """What stands beside the payload manifest is what that one, which is signed, says."""
    told = None if manifest.image is None else (MANIFEST_TYPE, manifest.image.digest, manifest.image.size)
    if told != (None if image is None else (image.media_type, image.digest, image.size)):
        raise ManifestError("the runnable image that the manifest names is not the one that the bundle carries")


def _parts(index: dict[str, Any]) -> tuple[Descriptor, Descriptor | None, Descriptor | None]:
    """Return payload manifest, signature and runnable image, as far as they are there, and nothing else may be."""
    parts = _descriptors(index, "manifests", "the bundle's index")
    payloads = [part for part in parts if part.annotations.get(PART) == _BUNDLE]
    signatures = [part for part in parts if part.annotations.get(PART) == _SIGNATURE]
    images = [part for part in parts if part.annotations.get(PART) == _IMAGE]
    others = len(parts) - len(payloads) - len(signatures) - len(images)
    if len(payloads) != 1 or len(signatures) > 1 or len(images) > 1 or others:
        found = f"{len(parts)} parts, {len(payloads)} of them bundles and {len(signatures)} signatures"
        raise ManifestError(f"the bundle's index names {found}; one of each is expected, and no more")
    return payloads[0], signatures[0] if signatures else None, images[0] if images else None


def _single_layer(document: dict[str, Any]) -> Descriptor:
    layers = _descriptors(document, "layers", "the bundle's signature manifest")
    if len(layers) != 1 or layers[0].media_type != ENVELOPE_TYPE:
        raise unsigned()
    return layers[0]


def _empty_config(document: dict[str, Any]) -> list[Descriptor]:
    what = "the bundle's signature manifest: config"
    config = Descriptor.from_document(document.get("config"), what)
    if config.size > MAX_DOCUMENT:  # nobody signed this one
        raise ManifestError(f"{what}: is told to have {config.size} bytes; at most {MAX_DOCUMENT} are taken")
    return [config]


def _layers(document: dict[str, Any]) -> list[Descriptor]:
    return _descriptors(document, "layers", "the bundle's payload manifest")


def _check_layers(manifest: Manifest, layers: list[Descriptor]) -> None:
    named = sorted((payload.name, payload.digest, payload.size) for payload in manifest.payloads)
    carried = sorted(
        (layer.annotations.get(TITLE, ""), layer.digest, layer.size)
        for layer in layers
        if layer.media_type != EMPTY_TYPE
    )
    if named != carried:
        raise ManifestError("the payloads that the manifest names are not the ones that the bundle carries")


def _check_sizes(depot: Readable, layers: list[Descriptor]) -> None:
    for layer in layers:
        size = depot.size(layer)
        if size != layer.size:
            raise DigestMismatchError(
                f"the payload {layer.annotations.get(TITLE, layer.digest)!r} has {size} bytes instead of {layer.size}",
                expected=str(layer.size),
                found=str(size),
            )
