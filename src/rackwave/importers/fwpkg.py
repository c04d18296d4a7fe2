"""HPE's firmware packages: a ZIP with images and a ``payload.json`` that says what they are.

Some files of that suffix are PLDM packages; contents tell them apart.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from ..core.bundle import ElementKind
from ..core.identity import ComponentName
from ..core.octets import Octets
from .archive import MOST_FILES, SIGNATURE, inflated, read_entries
from .files import image_of
from .package import Package, Release, safe_name

PAYLOAD = "payload.json"
MAX_PAYLOAD = 1 << 20
_LONGEST_PHRASE = 400
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_SIGNATURES = (".compsig", ".sig", ".p7b")


def is_fwpkg(start: bytes, _: int) -> bool:
    """Whether a file that begins with *start* is a ZIP."""
    return start.startswith(SIGNATURE)


def read_fwpkg(octets: Octets) -> Package | None:
    """Read the package; each image that ``payload.json`` names is one. None: it is a ZIP of another kind.

    Raises:
        PackageFormatError: it is damaged, or a bomb.
    """
    entries = read_entries(octets)
    if PAYLOAD not in entries:
        return None
    payload = _payload(octets, entries[PAYLOAD])
    told = _Told(octets, payload)
    found: dict[str, tuple[set[str], list[str]]] = {}  # versions and targets by file: many devices may share one
    for device in told.devices():
        version, target = told.text(device, "Version"), told.text(device, "Target")
        for image in told.tables(device, "FirmwareImages"):
            name = safe_name(told.text(image, "FileName"))
            if name not in entries:
                raise octets.damaged(f"names a file {name} that the package does not hold", PAYLOAD)
            versions, targets = found.setdefault(name, (set(), []))
            versions.add(version)
            targets.append(target)
    if not found:
        raise octets.damaged("names no image", PAYLOAD)
    package = payload.get("package")
    about = package if isinstance(package, dict) else {}
    component, kind = _component(about)
    images = tuple(
        image_of(
            name,
            partial(inflated, octets, entries[name]),
            component=component,
            version=next(iter(versions)) or None if len(versions) == 1 else None,
            kind=kind,
            targets=tuple(dict.fromkeys(target for target in targets if target)),
            checks=("crc32 of the ZIP",),
        )
        for name, (versions, targets) in found.items()
    )
    told_versions = {image.version for image in images}
    return Package(
        format="fwpkg",
        name=_phrase(about.get("name")) or octets.file,
        images=images,
        version=told_versions.pop() if len(told_versions) == 1 else None,
        vendor=_phrase(about.get("manufacturer_name")) or "HPE",
        release=_release(about),
        notes=tuple(_notes(entries, payload, told)),
    )


def _component(about: Mapping[str, Any]) -> tuple[ComponentName | None, ElementKind]:
    """Suggest what it is for after its category alone: release notes of a NIC may speak of the System ROM as well."""
    categories = about.get("category")
    for category in categories if isinstance(categories, list) else [categories]:
        words = _phrase(category.get("languages")) if isinstance(category, dict) else _phrase(category)
        if "System ROM" in words:
            return ComponentName("BIOS"), ElementKind.BIOS_IMAGE
        if "Lights-Out" in words:
            return ComponentName("BMC"), ElementKind.BMC_FIRMWARE
    return None, ElementKind.DEVICE_FIRMWARE


class _Told:
    """Takes ``payload.json`` apart."""

    def __init__(self, octets: Octets, payload: Mapping[str, Any]) -> None:
        self._octets = octets
        self._payload = payload

    def devices(self) -> list[dict[str, Any]]:
        devices = self._payload.get("Devices")
        if not isinstance(devices, dict):
            raise self._octets.damaged("must be a table", f"{PAYLOAD}: Devices")
        return self.tables(devices, "Device")

    def tables(self, table: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
        found = table.get(key)
        if not isinstance(found, list) or len(found) > MOST_FILES or not all(isinstance(item, dict) for item in found):
            raise self._octets.damaged("must be a list of tables", f"{PAYLOAD}: {key}")
        return found

    def text(self, table: Mapping[str, Any], key: str) -> str:
        found = table.get(key, "")
        if not isinstance(found, str):
            raise self._octets.damaged("must be text", f"{PAYLOAD}: {key}")
        return found.strip()


def _phrase(value: Any) -> str:
    """Return one of HPE's translated texts, ``[{"lang": "en", "x_late": …}, …]``: the English one, or the first."""
    texts = value if isinstance(value, list) else [value]
    english = [text for text in texts if isinstance(text, dict) and text.get("lang") == "en"]
    for text in (*english, *texts):
        told = text.get("x_late") if isinstance(text, dict) else text
        if isinstance(told, str) and told.strip():
            return " ".join(told.split())[:_LONGEST_PHRASE]
    return ""


def _release(about: Mapping[str, Any]) -> Release | None:
    date = about.get("release_date")
    day = date[:10] if isinstance(date, str) and _DAY.match(date) else ""
    summary = _phrase(about.get("description"))
    return Release(summary=summary, date=day) if summary or day else None


def _notes(entries: Mapping[str, zipfile.ZipInfo], payload: Mapping[str, Any], told: _Told) -> Iterator[str]:
    by = payload.get("UpdatableBy")
    if isinstance(by, list):
        yield f"it can be installed by {', '.join(str(item)[:40] for item in by[:8])}"
    least = payload.get("MinimumActiveVersion")
    if isinstance(least, str) and least.strip():
        yield f"it may follow {least.strip()[:80]} or later"
    images = [image for device in told.devices() for image in told.tables(device, "FirmwareImages")]
    for key, words in (("ResetRequired", "a reset"), ("ServerPowerOff", "the server to be off")):
        if any(image.get(key) is True for image in images):
            yield f"it needs {words}"
    signatures = [name for name in entries if name.endswith(_SIGNATURES)]
    if signatures:
        yield f"signature present, not verified: {', '.join(signatures)}"


def _payload(octets: Octets, entry: zipfile.ZipInfo) -> Mapping[str, Any]:
    if entry.file_size > MAX_PAYLOAD:
        raise octets.damaged(f"is {entry.file_size} bytes long; {MAX_PAYLOAD} are the most", PAYLOAD)
    try:
        payload = json.loads(b"".join(inflated(octets, entry)))
    except (ValueError, RecursionError) as error:
        raise octets.damaged(f"is no JSON: {error}", PAYLOAD) from error
    if not isinstance(payload, dict):
        raise octets.damaged("must be a table", PAYLOAD)
    return payload
