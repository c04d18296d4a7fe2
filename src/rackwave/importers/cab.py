"""Firmware as LVFS distributes it: a cabinet with images and one ``*.metainfo.xml`` for each firmware."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from ..core.octets import Octets
from .cabinet import SIGNATURE, CabinetFile, read_cabinet
from .files import image_of
from .metainfo import MAX_METAINFO, Metainfo, parse_metainfo
from .package import Image, Package, safe_name

_METAINFO = ".metainfo.xml"
_NO_IMAGES = (".xml", ".jcat", ".asc", ".p7b", ".p7c", ".pem", ".inf", ".cat", ".sha256", ".pdf", ".md", ".html")
_SIGNATURES = (".jcat", ".asc", ".p7b", ".p7c", ".cat")
_SUMS = ("sha256", "sha512", "sha1")
"""Checksums that count, the best first; sha1 shows damage and no more."""
_NUMERIC = ("plain", "number", "hex")


def is_cab(start: bytes, _: int) -> bool:
    """Whether a file that begins with *start* is a cabinet."""
    return start.startswith(SIGNATURE)


def read_cab(octets: Octets) -> Package:
    """Read the firmware that the cabinet holds; its metainfo says what it is.

    Raises:
        PackageFormatError: it is damaged, a bomb, or not what its metainfo says.
    """
    files = {}
    for file in read_cabinet(octets):
        name = safe_name(file.name)
        if name in files:
            raise octets.damaged(f"two files are called {name}, once folders are taken off", "files")
        files[name] = file
    told = [_metainfo(octets, file) for name, file in files.items() if name.endswith(_METAINFO)]
    images: dict[str, Image] = {}
    for metainfo in told:
        for name in _names(octets, metainfo, files):
            if name in images:
                raise octets.damaged(f"{name} is described twice", "metainfo")
            images[name] = _image(octets, name, files[name], metainfo)
    if not told:
        images = {name: image_of(name, files[name].chunks) for name in files if _is_image(name)}
    first = told[0] if told else None
    return Package(
        format="cab",
        name=first.name or octets.file if first is not None else octets.file,
        images=tuple(images.values()),
        version=first.version if first is not None else None,
        vendor=first.vendor or None if first is not None else None,
        release=first.release if first is not None else None,
        notes=tuple(_notes(told, files, images)),
    )


def _metainfo(octets: Octets, file: CabinetFile) -> Metainfo:
    if file.size > MAX_METAINFO:
        raise octets.damaged(f"is {file.size} bytes long; {MAX_METAINFO} are the most", f"file {file.name!r}")
    return parse_metainfo(Octets.of(f"{octets.file}/{safe_name(file.name)}", b"".join(file.chunks())))


def _names(octets: Octets, metainfo: Metainfo, files: dict[str, CabinetFile]) -> list[str]:
    """Return the images that *metainfo* names; where it names none, the only file that can be one."""
    names = [safe_name(name) for name in metainfo.sums]
    missing = [name for name in names if name not in files]
    if missing:
        raise octets.damaged(f"names a file {missing[0]} that the cabinet does not hold", "metainfo")
    if names:
        return names
    candidates = [name for name in files if _is_image(name)]
    if len(candidates) != 1:
        raise octets.damaged(f"names no file, and {len(candidates)} could be meant", "metainfo")
    return candidates


def _is_image(name: str) -> bool:
    return not name.lower().endswith(_NO_IMAGES)


def _image(octets: Octets, name: str, file: CabinetFile, metainfo: Metainfo) -> Image:
    sums = next((sums for told, sums in metainfo.sums.items() if safe_name(told) == name), {})
    way = next((way for way in _SUMS if way in sums), None)
    if way is not None:
        digest = hashlib.new(way, usedforsecurity=False)
        for chunk in file.chunks():
            digest.update(chunk)
        if digest.hexdigest() != sums[way]:
            raise octets.damaged(f"has another {way} than its metainfo says", f"file {file.name!r}")
    return image_of(
        name,
        file.chunks,
        component=metainfo.component,
        version=metainfo.version,
        version_scheme=metainfo.scheme,
        kind=metainfo.kind,
        targets=metainfo.targets,
        checks=(f"{way} of the metainfo",) if way is not None else (),
    )


def _notes(told: list[Metainfo], files: dict[str, CabinetFile], images: dict[str, Image]) -> Iterator[str]:
    if not told:
        yield "it has no metainfo: nothing says what its files are for"
    for metainfo in told:
        yield from metainfo.accepts
        if metainfo.version.isdigit() and metainfo.scheme not in (None, *_NUMERIC):
            yield f"its version {metainfo.version} is a number that devices show as a {metainfo.scheme}: say it so"
    for image in images.values():
        if told and not image.checks:
            yield f"{image.name} has no checksum in its metainfo"
    signatures = [name for name in files if name.lower().endswith(_SIGNATURES)]
    if signatures:
        yield f"signature present, not verified: {', '.join(signatures)}"
