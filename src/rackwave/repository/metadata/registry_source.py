"""Signed metadata in a registry, beside the bundles: put there, and read as a ``MetadataSource``.

::

    tag "metadata" -> index ─┬─ manifest "metadata": every role's file, and the channels
                             └─ manifest "targets" 0 of n, 1 of n, …: the other targets, by the hash of their paths

Each layer is one file, its title the file's path. None of this is signed and none of it is believed: what the
layers hold is verified from the pinned root on, as if it came from a disk. The tag is moved last, so that a push
that is killed leaves the state before it.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import frozen
from tuf.api.metadata import Root

from ...core.canonical import canonical_json, parse_json
from ...errors import (
    BundleNotFoundError,
    DigestMismatchError,
    ManifestError,
    RegistryError,
    SecretError,
    UsageError,
)
from ..depot import MAX_DOCUMENT
from ..layout import EMPTY_TYPE, INDEX_TYPE, MANIFEST_TYPE, TITLE, Descriptor
from ..registry import Registry
from ..store import BlobFolder, replace_file, writing_to
from .shelf import METADATA, TARGETS, Shelf
from .trust import MetadataTrust

TAG = "metadata"
FILE_TYPE = "application/vnd.rackwave.metadata.v1+json"
_SHELF = "vnd.rackwave.metadata.files"
_CHANNELS = f"{TARGETS}/channels/"
_SHARD = 256
"""Files of one manifest: 60 KB of it, which is what a new bundle has sent again."""


def push_metadata(trust: MetadataTrust, registry: Registry) -> int:
    """Put the metadata of *trust* into *registry*; what is there already is not sent again. Return how much was sent.

    Raises:
        TrustError: no keys are kept on this machine, or what lies here does not verify.
        RegistryError: the registry cannot be asked, or does not take it.
    """
    with trust.author.locked():
        files = dict(_files(trust.author.shelf()))
    try:
        there = _Listing.read(registry)
        known = {layer.digest for name in there.manifests for layer in there.layers(registry, name).values()}
    except (BundleNotFoundError, ManifestError):
        known = set()
    with TemporaryDirectory(prefix="rackwave-") as name:
        blobs = BlobFolder(Path(name))
        empty = Descriptor(EMPTY_TYPE, *blobs.add_bytes(b"{}"))
        registry.put(empty, blobs)
        layers, sent = {}, 0
        for path, data in files.items():
            digest = "sha256:" + hashlib.sha256(data).hexdigest()
            if digest not in known:
                registry.put(Descriptor(FILE_TYPE, *blobs.add_bytes(data)), blobs)
                sent += 1
            layers[path] = {
                "mediaType": FILE_TYPE,
                "digest": digest,
                "size": len(data),
                "annotations": {TITLE: path},
            }
        manifests = []
        for shard, paths in _shards(sorted(layers)).items():
            document = {
                "schemaVersion": 2,
                "mediaType": MANIFEST_TYPE,
                "artifactType": FILE_TYPE,
                "config": empty.document(),
                "layers": [layers[path] for path in paths],
            }
            manifest = Descriptor(MANIFEST_TYPE, *blobs.add_bytes(canonical_json(document)))
            registry.put(manifest, blobs)
            manifests.append({**manifest.document(), "annotations": {_SHELF: shard}})
        index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests}
        registry.tag(TAG, Descriptor(INDEX_TYPE, *blobs.add_bytes(canonical_json(index))), blobs)
    return sent


class RegistrySource:
    """Implements ``MetadataSource``: the registry's files, copied to *folder* as they are asked for.

    A file that is there already, with the digest that the registry lists, is not fetched. *opened* is called once.
    """

    def __init__(self, opened: Callable[[], Registry], folder: Path) -> None:
        self._opened = opened
        self._folder = folder
        self._registry: Registry | None = None
        self._listing: _Listing | None = None
        self._alone = threading.Lock()

    def fetch(self, path: str, max_length: int) -> Iterator[bytes]:
        """See ``MetadataSource``. A newer root is what each refresh asks for first: then the list is read anew."""
        try:
            with self._alone:
                if self._registry is None:
                    self._registry = self._opened()
                if path.endswith(f"{Root.type}.json") or self._listing is None:
                    self._listing = _Listing.read(self._registry)
                    self._copy_all(self._registry, self._listing)
                layer = self._listing.find(self._registry, path)
                if layer is None:
                    raise FileNotFoundError(path)
                too_large = layer.size > max_length
                data = bytes(max_length + 1) if too_large else self._copied(self._registry, path, layer)
        except BundleNotFoundError as error:
            raise FileNotFoundError(path) from error
        except (RegistryError, ManifestError, DigestMismatchError, UsageError, SecretError) as error:
            raise OSError(error.whole) from error
        yield data

    def _copy_all(self, registry: Registry, listing: _Listing) -> None:
        """Bring every role's file and the channels here, so that what is trusted can be shown without a network."""
        for path, layer in listing.layers(registry, METADATA).items():
            if layer.size <= MAX_DOCUMENT:
                self._copied(registry, path, layer)

    def _copied(self, registry: Registry, path: str, layer: Descriptor) -> bytes:
        place = self._folder / path
        if not _is_plain(path):
            raise ManifestError(f"{registry.address} lists a file under {path[:80]!r}")
        try:
            data = place.read_bytes()
            if "sha256:" + hashlib.sha256(data).hexdigest() == layer.digest:
                return data
        except FileNotFoundError:
            pass
        data = registry.read(layer, MAX_DOCUMENT)
        with writing_to(self._folder):
            place.parent.mkdir(parents=True, exist_ok=True)
            replace_file(place, data, mode=0o644)
        return data


@frozen
class _Listing:
    """What the index names, and the manifests that were read of it."""

    manifests: Mapping[str, Descriptor]
    _read: dict[str, Mapping[str, Descriptor]]

    @classmethod
    def read(cls, registry: Registry) -> _Listing:
        """Read the index that the tag names."""
        index = registry.resolve(TAG)
        document = parse_json(registry.read(index, MAX_DOCUMENT), what="the list of metadata")
        entries = document.get("manifests") if isinstance(document, dict) else None
        if not isinstance(entries, list):
            raise ManifestError(f"the tag {TAG} of {registry.address} is no list of metadata")
        found = [Descriptor.from_document(entry, "the list of metadata") for entry in entries]
        return cls({each.annotations.get(_SHELF, ""): each for each in found}, {})

    def find(self, registry: Registry, path: str) -> Descriptor | None:
        """Return the file at *path*, None where there is none."""
        if path.startswith((f"{METADATA}/", _CHANNELS)):
            return self.layers(registry, METADATA).get(path)
        count = sum(name.startswith(f"{TARGETS} ") for name in self.manifests)
        return self.layers(registry, _shard(path, count)).get(path) if count else None

    def layers(self, registry: Registry, name: str) -> Mapping[str, Descriptor]:
        """Return the files of one manifest by their paths."""
        if name not in self._read:
            manifest = self.manifests.get(name)
            if manifest is None:
                return {}
            document = parse_json(registry.read(manifest, MAX_DOCUMENT), what="a list of metadata")
            layers = document.get("layers") if isinstance(document, dict) else None
            if not isinstance(layers, list):
                raise ManifestError(f"{registry.address}: a list of metadata has no layers")
            found = [Descriptor.from_document(layer, "a list of metadata") for layer in layers]
            self._read[name] = {layer.annotations.get(TITLE, ""): layer for layer in found}
        return self._read[name]


def _files(shelf: Shelf) -> Iterator[tuple[str, bytes]]:
    """Yield path and bytes of all that *shelf* leads to and no bundle carries, and of every root that leads there."""
    names = ["timestamp.json", f"{shelf.timestamp.signed.snapshot_meta.version}.snapshot.json"]
    names += [f"{version}.root.json" for version in range(1, shelf.root.signed.version + 1)]
    for name, meta in shelf.snapshot.signed.meta.items():
        names.append(f"{meta.version}.{name}")
    for name in names:
        path = shelf.folder / METADATA / name
        if path.exists() or not name.endswith(f"{Root.type}.json"):  # older roots may have been put aside
            yield f"{METADATA}/{name}", path.read_bytes()
    for name in shelf.snapshot.signed.meta:
        for target in shelf.role(name.removesuffix(".json")).signed.targets.values():
            if target.path.startswith("bundles/"):
                continue  # the payload manifest of a bundle, which lies with the bundle
            yield f"{TARGETS}/{shelf.stored(target)}", shelf.read_target(target)


def _shards(paths: list[str]) -> dict[str, list[str]]:
    top = [path for path in paths if path.startswith((f"{METADATA}/", _CHANNELS))]
    others = [path for path in paths if path not in set(top)]
    count = 1
    while count * _SHARD < len(others):
        count *= 2
    shards: dict[str, list[str]] = {METADATA: top}
    for path in others:
        shards.setdefault(_shard(path, count), []).append(path)
    for number in range(count):
        shards.setdefault(f"{TARGETS} {number}", [])
    return shards


def _shard(path: str, count: int) -> str:
    return f"{TARGETS} {int.from_bytes(hashlib.sha256(path.encode()).digest()[:4]) % count}"


def _is_plain(path: str) -> bool:
    """Whether *path* is one of ours and leads nowhere else."""
    parts = path.split("/")
    return (
        parts[0] in (METADATA, TARGETS)
        and all(part and not part.startswith(".") for part in parts)
        and ("\0" not in path and "\\" not in path)
    )
