"""HPE's firmware packages: a ZIP with images and a ``payload.json`` that says what they are.

Some are PLDM packages under the same suffix; those are told by their contents. A directory of files is read only
as far as it can be bounded: many small entries that claim gigabytes are refused before anything is inflated.
"""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from functools import partial
from io import SEEK_CUR, SEEK_END, SEEK_SET, RawIOBase
from typing import Any

from ..core.bundle import ElementKind
from ..core.identity import ComponentName
from ..core.octets import CHUNK, Octets
from ..errors import PackageFormatError
from .files import check_inflation, image_of
from .package import Image, Package, Release, safe_name

SIGNATURE = b"PK\x03\x04"
PAYLOAD = "payload.json"
MOST_FILES = 256
MAX_PAYLOAD = 1 << 20
_MAX_DIRECTORY = 1 << 20
_END = struct.Struct("<4s4H2IH")
_END_SIGNATURE = b"PK\x05\x06"
_FARTHEST_END = _END.size + 0xFFFF  # a comment may follow
_WAYS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OverflowError,
    struct.error, LookupError, UnicodeError,
)  # fmt: skip
_SIGNATURES = (".compsig", ".sig", ".p7b")


def is_fwpkg(start: bytes, _: int) -> bool:
    """Whether a file that begins with *start* is a ZIP."""
    return start.startswith(SIGNATURE)


def read_fwpkg(octets: Octets) -> Package:
    """Read the package; each image that ``payload.json`` names is one.

    Raises:
        PackageFormatError: it is damaged, a bomb, or no firmware package.
    """
    entries = _entries(octets)
    if PAYLOAD not in entries:
        raise octets.damaged(f"holds no {PAYLOAD}, which every firmware package has", "ZIP")
    payload = _payload(octets, entries[PAYLOAD])
    told = _Told(octets, payload)
    images: dict[str, Image] = {}
    for device in told.devices():
        version = told.text(device, "Version")
        for image in told.tables(device, "FirmwareImages"):
            name = safe_name(told.text(image, "FileName"))
            if name not in entries:
                raise octets.damaged(f"names a file {name} that the package does not hold", PAYLOAD)
            if name in images:
                raise octets.damaged(f"names {name} twice", PAYLOAD)
            images[name] = _image(octets, entries[name], version, told.text(device, "Target"), payload)
    if not images:
        raise octets.damaged("names no image", PAYLOAD)
    package = payload.get("package")
    about = package if isinstance(package, dict) else {}
    versions = {image.version for image in images.values()}
    return Package(
        format="fwpkg",
        name=_phrase(about.get("name")) or octets.file,
        images=tuple(images.values()),
        version=versions.pop() if len(versions) == 1 else None,
        vendor=_phrase(about.get("manufacturer_name")) or "HPE",
        release=_release(about),
        notes=tuple(_notes(entries, payload)),
    )


def _image(octets: Octets, entry: zipfile.ZipInfo, version: str, target: str, payload: Mapping[str, Any]) -> Image:
    kind = component = None
    words = json.dumps(payload.get("package", ""))[:MAX_PAYLOAD]
    if "System ROM" in words:
        component, kind = ComponentName("BIOS"), ElementKind.BIOS_IMAGE
    elif "Integrated Lights-Out" in words:
        component, kind = ComponentName("BMC"), ElementKind.BMC_FIRMWARE
    return image_of(
        safe_name(entry.filename),
        partial(_inflate, octets, entry),
        component=component,
        version=version or None,
        kind=kind or ElementKind.DEVICE_FIRMWARE,
        targets=(target,) if target else (),
        checks=("crc32 of the ZIP",),
    )


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
    """Return the English of one of HPE's translated texts, whichever of their forms it has."""
    for _ in range(4):
        if isinstance(value, dict):
            value = value.get("translation", value.get("en", value.get("value")))
        elif isinstance(value, list):
            value = value[0] if value else None
    return " ".join(value.split())[:400] if isinstance(value, str) else ""


def _release(about: Mapping[str, Any]) -> Release | None:
    date = about.get("release_date")
    day = ""
    if isinstance(date, dict):
        parts = [str(date.get(key, "")) for key in ("year", "month", "day")]
        day = "-".join(part.zfill(2) for part in parts) if all(part.isdigit() for part in parts) else ""
    summary = _phrase(about.get("description"))
    return Release(summary=summary, date=day) if summary or day else None


def _notes(entries: Mapping[str, zipfile.ZipInfo], payload: Mapping[str, Any]) -> Iterator[str]:
    by = payload.get("UpdatableBy")
    if isinstance(by, list):
        yield f"it can be installed by {', '.join(str(item) for item in by[:8])}"
    signatures = [name for name in entries if name.endswith(_SIGNATURES)]
    if signatures:
        yield f"signature present, not verified: {', '.join(signatures)}"


# -- the archive ----------------------------------------------------------------------------


def _entries(octets: Octets) -> dict[str, zipfile.ZipInfo]:
    _check_end(octets)
    try:
        with zipfile.ZipFile(_File(octets)) as archive:
            infos = archive.infolist()
    except _DAMAGE as error:
        raise octets.damaged(f"cannot be read: {error}", "ZIP directory") from error
    entries: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        if info.is_dir():
            continue
        name = safe_name(info.filename)
        if name in entries:
            raise octets.damaged(f"two files are called {name}, once folders are taken off", "ZIP directory")
        if info.compress_type not in _WAYS or info.flag_bits & _ENCRYPTED:
            raise octets.damaged(f"{name} is encrypted, or packed in a way that is not supported", "ZIP directory")
        entries[name] = info
    check_inflation(octets.size, sum(info.file_size for info in entries.values()), file=octets.file, what="ZIP")
    return entries


def _check_end(octets: Octets) -> None:
    """Look at how large the directory is before a library reads it as a whole."""
    start = max(octets.size - _FARTHEST_END, 0)
    tail = octets.take(start, octets.size - start, "end of the ZIP")
    at = tail.rfind(_END_SIGNATURE)
    if at < 0 or len(tail) - at < _END.size:
        raise octets.damaged("has no end record: it is cut short, or no ZIP", "end of the ZIP")
    _, _, _, _, count, size, _, _ = _END.unpack_from(tail, at)
    if count > MOST_FILES or size > _MAX_DIRECTORY:
        raise octets.damaged(f"lists {count} files; {MOST_FILES} are the most", "ZIP directory", start + at)


def _payload(octets: Octets, entry: zipfile.ZipInfo) -> Mapping[str, Any]:
    if entry.file_size > MAX_PAYLOAD:
        raise octets.damaged(f"is {entry.file_size} bytes long; {MAX_PAYLOAD} are the most", PAYLOAD)
    try:
        payload = json.loads(b"".join(_inflate(octets, entry)))
    except (ValueError, RecursionError) as error:
        raise octets.damaged(f"is no JSON: {error}", PAYLOAD) from error
    if not isinstance(payload, dict):
        raise octets.damaged("must be a table", PAYLOAD)
    return payload


def _inflate(octets: Octets, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the bytes of *entry*, never more than its size; the library checks the CRC-32 at their end."""
    try:
        with zipfile.ZipFile(_File(octets)) as archive, archive.open(entry) as file:
            left = entry.file_size
            while left and (chunk := file.read(min(CHUNK, left))):
                left -= len(chunk)
                yield chunk
            if left or file.read(1):
                raise octets.damaged(f"has not the {entry.file_size} bytes that are told of", entry.filename)
    except PackageFormatError:
        raise
    except _DAMAGE as error:
        raise octets.damaged(f"cannot be unpacked: {error}", entry.filename) from error


class _File(RawIOBase):
    """Octets as the file that `zipfile` wants."""

    def __init__(self, octets: Octets) -> None:
        super().__init__()
        self._octets = octets
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = SEEK_SET, /) -> int:
        start = {SEEK_SET: 0, SEEK_CUR: self._at, SEEK_END: self._octets.size}[whence]
        if start + offset < 0:
            raise ValueError("before the beginning of the file")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        length = min(len(buffer), max(self._octets.size - self._at, 0), CHUNK)
        buffer[:length] = self._octets.take(self._at, length, "ZIP")
        self._at += length
        return length
