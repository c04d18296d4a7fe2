"""A file that a person describes: ``bios.bin`` and, beside it, ``bios.bin.toml``.

::

    vendor = "Contoso"                 # patterns of the inventory's vendor and model; may be left out
    model = "R1*"
    component = "BIOS"
    version = "2.1.0"                  # as the BMC reports it
    version_scheme = "dotted"          # may be left out, as may all below
    kind = "bios-image"
    sha256 = "9f86…"                   # 64 digits, from the vendor's page: the file must match it
    summary = "Fixes the fan curve."
    severity = "high"
    cves = ["CVE-2026-1234"]
    date = "2026-11-20"
    url = "https://example.com/notes"
"""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any

from attrs import evolve

from ..core.bundle import ElementKind
from ..core.identity import ComponentName
from ..core.octets import Octets
from ..errors import PackageFormatError, UsageError
from .files import as_one_image, octets_of
from .package import Package, Release

SUFFIX = ".toml"
MAX_SIDECAR = 64 * 1024
_TEXTS = (
    "vendor", "model", "component", "version", "version_scheme", "kind", "sha256", "summary", "severity", "date", "url",
)  # fmt: skip
_KNOWN = (*_TEXTS, "cves")


def sidecar_of(path: Path) -> Path:
    """Return where the sidecar of the file at *path* stands."""
    return path.with_name(path.name + SUFFIX)


def read_sidecar(path: Path, octets: Octets, package: Package | None) -> Package:
    """Read the file at *path*, which *octets* are, as its sidecar describes it: as one image, whole.

    *package* is what the file is by itself, if it is of a known format; what the sidecar leaves out is as there.

    Raises:
        PackageFormatError: the sidecar has an unknown or wrong field, or the file is not the one it describes.
        OSError: one of both cannot be read.
    """
    side = octets_of(sidecar_of(path))
    table = _table(side)
    texts = {key: _text(side, table, key) for key in _TEXTS}
    plain = package or Package(format="sidecar", name=path.name, images=())
    found = as_one_image(path, octets, plain)
    (own,) = found.images
    wanted = texts["sha256"]
    image = evolve(
        own,
        component=_component(side, texts["component"]) or own.component,
        version=texts["version"] or own.version,
        version_scheme=texts["version_scheme"] or own.version_scheme,
        kind=_kind(side, texts["kind"]) or own.kind,
        checks=(*own.checks, "sha256 of the sidecar") if wanted else own.checks,
    )
    if wanted and wanted.lower().removeprefix("sha256:") != image.digest.hex:
        raise side.damaged(f"{path.name} has the digest {image.digest.hex}, not {wanted}", "sha256")
    notes = () if wanted else (f"{side.file} names no sha256: nothing shows that {path.name} is what it should be",)
    of_machines = bool(texts["vendor"] or texts["model"])  # then both are patterns, and a package's maker is none
    return evolve(
        found,
        images=(image,),
        version=image.version,
        vendor=texts["vendor"] if of_machines else found.vendor,
        model=(texts["model"] or "*") if of_machines else None,
        release=_release(side, table, texts) or found.release,
        notes=(*found.notes, *notes),
    )


def _component(side: Octets, text: str | None) -> ComponentName | None:
    try:
        return ComponentName(text) if text is not None else None
    except UsageError as error:
        raise side.damaged(str(error), "component", advice=error.advice) from error


def _kind(side: Octets, text: str | None) -> ElementKind | None:
    known = {kind.value: kind for kind in ElementKind if kind.is_image}
    if text is not None and text not in known:
        raise side.damaged(f"{text!r} is not one of {', '.join(known)}", "kind")
    return known[text] if text is not None else None


def _release(side: Octets, table: dict[str, Any], texts: dict[str, str | None]) -> Release | None:
    cves = table.get("cves", [])
    if not isinstance(cves, list) or not all(isinstance(cve, str) and cve for cve in cves):
        raise side.damaged("must be a list of texts", "cves")
    release = Release(
        severity=texts["severity"] or "",
        cves=tuple(cves),
        summary=texts["summary"] or "",
        date=texts["date"] or "",
        url=texts["url"] or "",
    )
    return release if release != Release() else None


def _table(side: Octets) -> dict[str, Any]:
    if side.size > MAX_SIDECAR:
        raise side.damaged(f"is {side.size} bytes long; {MAX_SIDECAR} are the most", "file")
    try:
        table = tomllib.loads(side.take(0, side.size, "file").decode("utf-8"))
    except (ValueError, RecursionError) as error:  # as of numbers of thousands of digits
        raise side.damaged(f"is no TOML: {error}", "file") from error
    for key in table:
        if key not in _KNOWN:
            near = difflib.get_close_matches(key, _KNOWN, n=1)
            advice = f"Did you mean {near[0]!r}?" if near else f"Known here: {', '.join(_KNOWN)}."
            raise side.damaged("is not a field of a sidecar", key, advice=advice)
    return table


def _text(side: Octets, table: dict[str, Any], key: str) -> str | None:
    value = table.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise side.damaged("must be text", key)
    return value


def missing_sidecar(path: Path, octets: Octets) -> PackageFormatError:
    """Return the error for a file of no known format that nothing describes."""
    return octets.damaged(
        "is of no format that is known here (CAB, UEFI capsule, PLDM, HPM.1, fwpkg)",
        "file",
        advice=f"Describe it in {sidecar_of(path).name} beside it: component, version, kind, sha256.",
    )
