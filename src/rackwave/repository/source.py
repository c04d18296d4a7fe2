"""A bundle's source: a folder with ``bundle.toml`` and the files that it names; built into an OCI layout.

::

    lineage = "A"
    seq = 2
    purpose = "BIOS 2.0.0: fixes CVE-2024-0001"

    [[elements]]
    name = "bios"
    kind = "bios-image"
    component = "BIOS"
    version = "2.0.0"
    payload = "images/bios-2.0.0.bin"    # a path in this folder
    activation = "host-reset"
    reversibility = "reflash"

    [[payloads]]                         # only where a file needs another name or role
    path = "images/bios-2.0.0.bin"
    name = "bios.bin"
    role = "data"

A source is written by a person, so a field that is not known is a typing error and refused, unlike
in a manifest.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from ..core.bundle import Bundle, Manifest, PayloadRole, RunnableImage, frozen_map
from ..core.identity import BundleId, Digest
from ..core.manifest import manifest_from_document
from ..errors import BundleError, ManifestError
from .artifact import write_bundle
from .container import take_image
from .entry import STATE, offer, offered_id
from .keys import BundleSigner
from .layout import ImageLayout, LayoutIndex

SOURCE_NAME = "bundle.toml"
MAX_SOURCE = 1024 * 1024

_TOP = ("lineage", "seq", "purpose", "enforce_by", "applies_to", "elements", "payloads", "image")
_APPLIES_TO = ("vendor", "model")
_ELEMENT = (
    "name",
    "kind",
    "component",
    "version",
    "scheme",
    "payload",
    "activation",
    "reversibility",
    "applies_to",
    "accepts",
    "via",
    "after",
    "time_limit",
    "checks",
    "executor",
    "attributes",
)
_PAYLOAD = ("path", "name", "role")
_UNREAD = Digest("sha256:" + "0" * 64)


@frozen
class BundleSource:
    """A source that was read and makes sense. *files* says where each payload's bytes are, still unread."""

    document: Mapping[str, Any] = field(converter=frozen_map)
    files: Mapping[str, Path] = field(converter=frozen_map)
    image: Path | None = None

    def manifest(self, digests: Mapping[str, tuple[Digest, int]], image: RunnableImage | None = None) -> Manifest:
        """Return the manifest with the payloads' digests and sizes filled in, and with the runnable *image*."""
        payloads = [
            {**payload, "digest": str(digests[payload["name"]][0]), "size": digests[payload["name"]][1]}
            for payload in self.document["payloads"]
        ]
        return evolve(manifest_from_document({**self.document, "payloads": payloads}), image=image)

    def draft(self) -> Manifest:
        """Return the manifest without reading the payloads: their sizes are right, their digests are not."""
        return self.manifest({name: (_UNREAD, file.stat().st_size) for name, file in self.files.items()})


@frozen
class BuiltBundle:
    """A signed bundle in an image layout of its own."""

    bundle: Bundle
    directory: Path

    @property
    def id(self) -> BundleId:
        """The bundle's id."""
        return self.bundle.id

    @property
    def digest(self) -> Digest:
        """The bundle's digest."""
        return self.bundle.digest


def build(source: Path, out: Path, signer: BundleSigner) -> BuiltBundle:
    """Build the bundle that *source* describes into *out*, signed; two builds are bit-identical.

    *out* is made, or must be empty, or hold an earlier build of the same bundle, which is replaced.

    Raises:
        ManifestError: the source is not right; the message names the field.
        BundleError: a payload cannot be read, or *out* holds something else.
    """
    read = read_source(source)
    layout = ImageLayout(out)
    _check_out(layout, read)
    digests = {name: layout.blobs.add_file(path) for name, path in read.files.items()}
    image = take_image(read.image, layout) if read.image is not None else None
    bundle, index = write_bundle(layout, read.manifest(digests, image), signer)
    with layout.locked():
        layout.swap(LayoutIndex((offer(index, bundle),)))
    return BuiltBundle(bundle, out)


def read_source(directory: Path) -> BundleSource:
    """Read and check a source; the payloads are looked at, but not read.

    Raises:
        ManifestError: a field is missing, unknown or wrong; the message names it.
        BundleError: ``bundle.toml`` or a payload is not there.
    """
    path = directory / SOURCE_NAME
    try:
        with path.open("rb") as file:
            text = file.read(MAX_SOURCE + 1)
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read: {error.strerror}", advice="A bundle's source is a folder with a bundle.toml."
        ) from error
    try:
        if len(text) > MAX_SOURCE:
            raise ManifestError(f"is larger than {MAX_SOURCE} bytes")  # noqa: TRY301 - told like the rest
        source = _source(directory, tomllib.loads(text.decode("utf-8")))
        sizes = {name: (_UNREAD, file.stat().st_size) for name, file in source.files.items()}
        if not source.manifest(sizes).purpose.strip():  # all this is said before gigabytes are copied
            raise ManifestError("purpose: must say why the bundle is made")  # noqa: TRY301
    except (ManifestError, ValueError, RecursionError) as error:  # TOML and UTF-8 that are none are ValueErrors
        raise ManifestError(f"{path}: {error}", advice=getattr(error, "advice", "")) from error
    return source


def _source(directory: Path, table: dict[str, Any]) -> BundleSource:
    """Turn the table into a manifest document; whatever has a wrong type is left for its reader to refuse."""
    _check_known(table, _TOP, "")
    _check_known(table.get("applies_to"), _APPLIES_TO, "applies_to")
    names: dict[Path, str] = {}
    payloads: list[Any] = []
    for where, payload in _items(table, "payloads"):
        _check_known(payload, _PAYLOAD, where)
        path = _file(directory, payload.get("path"), f"{where}.path")
        name = payload.get("name", path.name)
        _enter(names, path, name, where)
        payloads.append({"name": name, "role": payload.get("role", PayloadRole.DATA.value)})
    elements: list[Any] = []
    for where, element in _items(table, "elements"):
        _check_known(element, _ELEMENT, where)
        _check_known(element.get("applies_to"), _APPLIES_TO, f"{where}.applies_to")
        if "payload" not in element:
            elements.append(element)
            continue
        path = _file(directory, element["payload"], f"{where}.payload")
        if path not in names:
            _enter(names, path, path.name, where)
            payloads.append({"name": path.name, "role": PayloadRole.DATA.value})
        elements.append({**element, "payload": names[path]})
    document = {**table, "payloads": payloads}
    image = _file(directory, document.pop("image"), "image", may_be_folder=True) if "image" in table else None
    if elements:
        document["elements"] = elements
    return BundleSource(document, {name: path for path, name in names.items()}, image)


def _items(table: dict[str, Any], key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    items = table.get(key, [])
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ManifestError(f"{key}: is written as [[{key}]] with fields below it")
    for place, item in enumerate(items):
        yield f"{key}[{place}]", item


def _enter(names: dict[Path, str], path: Path, name: object, where: str) -> None:
    if not isinstance(name, str):
        raise ManifestError(f"{where}.name: must be text")
    if path in names:
        raise ManifestError(f"{where}.path: {path.name} stands in another payload already")
    if name in names.values():
        raise ManifestError(
            f"{where}: another file is called {name!r} already", advice="Give one of them a name under [[payloads]]."
        )
    names[path] = name


def _file(directory: Path, value: object, where: str, *, may_be_folder: bool = False) -> Path:
    """Return the file that *value* names, which must be a plain one inside of the source's folder."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ManifestError(f"{where}: must be the path of a file in the bundle's folder")
    path = (directory / value).resolve()
    if not path.is_relative_to(directory.resolve()):
        raise ManifestError(f"{where}: {value!r} leads out of the bundle's folder", advice="Copy the file into it.")
    if not path.is_file() and not (may_be_folder and path.is_dir()):
        raise ManifestError(
            f"{where}: there is no file {value!r}", advice="If a script makes it (such as prepare.py), run that first."
        )
    return path


def _check_known(table: object, known: tuple[str, ...], where: str) -> None:
    if not isinstance(table, dict):
        return
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            advice = f"Did you mean {near[0]!r}?" if near else f"Known here: {', '.join(known)}."
            raise ManifestError(f"{where}{'.' if where else ''}{key}: is not a field of a source", advice=advice)


def _check_out(layout: ImageLayout, source: BundleSource) -> None:
    mine = str(source.document["lineage"]), source.document["seq"]
    for entry in layout.index().entries:
        there = offered_id(entry)
        if STATE in entry.annotations or there is None or (str(there.lineage), there.seq) != mine:
            raise BundleError(
                f"{layout.directory} holds other bundles already", advice="Build into an empty folder, then publish it."
            )
