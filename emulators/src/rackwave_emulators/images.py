"""Firmware images as the lab's BMCs know them: made, read and refused.

Two kinds are understood:

* **Lab images**, which need no network. A magic line, one line of JSON (``component``, ``version``,
  ``size``), filler of any size, and at the end the 32 bytes of the sha256 over everything before.
  That sum stands for the signature of a real image: one flipped byte and the image is refused.
  Instead of filler there may be a *payload*, told in the JSON as its length: a real firmware file, for
  machines that really boot it. A BMC verifies the sum and looks no further, so a payload that does
  not boot is installed as happily as one that does.
* **OVMF** builds, the UEFI firmware that qemu boots (Debian package ``ovmf``). Their firmware volumes
  are walked and their headers verified (PI specification, volume 3, 3.2.1), but the builds carry
  no version: the images of 2022.11-6+deb12u1 and +deb12u2 differ in code bytes only, and the BIOS
  version that both tell over SMBIOS is the literal ``0.0.0`` of 02/06/2015. They carry no signature and
  no checksum over their contents either. So a build is known by its digest, from ``known_images.toml``,
  which thereby does both jobs: it names the version, and it refuses what is not bit for bit that build.
"""

from __future__ import annotations

import hashlib
import json
import struct
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from io import BufferedReader
from pathlib import Path

from attrs import frozen

from rackwave.core.identity import ComponentName, Digest
from rackwave.errors import RackwaveError, UsageError

MAGIC = b"RACKWAVE LAB IMAGE 1\n"
_SEAL = 32  # bytes of sha256 at the end
_CHUNK = 1 << 18
_LONGEST_FACTS = 4096
_VOLUME_SIGNATURE = b"_FVH"
_VOLUME_SIGNATURE_AT = 40
_VOLUME_HEADER = struct.Struct("<16x16sQ4sIHH")  # zero vector, file system, length, signature, attributes, header, sum


class ImageError(RackwaveError):
    """An image is not what it says it is; a BMC refuses it and writes nothing."""


@frozen
class ImageFacts:
    """What an image that verified says about itself."""

    component: ComponentName
    version: str
    digest: Digest
    size: int


@frozen
class KnownBuild:
    """A real image that is known by its digest because it does not tell its version itself."""

    component: ComponentName
    version: str


def make_image(path: Path, *, component: str, version: str, size: int = 1 << 16, seed: int = 0) -> ImageFacts:
    """Write a lab image of exactly *size* bytes; equal arguments give equal bytes, on any machine.

    Raises:
        UsageError: *size* is too small for the facts and the seal.
    """
    facts = {"component": ComponentName(component), "seed": seed, "size": size, "version": version}
    head = MAGIC + json.dumps(facts, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    left = size - len(head) - _SEAL
    if left < 0:
        raise UsageError(f"an image of {size} bytes has no room for its own facts", advice="Make it 1024 or larger.")
    seal, digest = hashlib.sha256(head), hashlib.sha256(head)
    with path.open("wb") as out:
        out.write(head)
        block = 0
        while left:
            # SHAKE is specified (FIPS 202), so the filler never changes with a library's version.
            filler = hashlib.shake_128(head + block.to_bytes(8, "big")).digest(min(left, _CHUNK))
            for sink in (seal.update, digest.update, out.write):
                sink(filler)
            left -= len(filler)
            block += 1
        out.write(seal.digest())
    digest.update(seal.digest())
    return ImageFacts(ComponentName(component), version, Digest(f"sha256:{digest.hexdigest()}"), size)


def wrap_image(path: Path, *, component: str, version: str, payload: bytes) -> ImageFacts:
    """Write a lab image around *payload*; equal arguments give equal bytes."""
    facts: dict[str, object] = {"component": ComponentName(component), "payload": len(payload), "version": version}
    length, head = -1, b""
    while length != len(head):  # the size is told within what it counts, so it takes some turns to come out right
        length = len(head)
        size = length + len(payload) + _SEAL
        told = json.dumps(facts | {"size": size}, sort_keys=True, separators=(",", ":"))
        head = MAGIC + told.encode() + b"\n"
    sealed = head + payload + hashlib.sha256(head + payload).digest()
    path.write_bytes(sealed)
    return ImageFacts(ComponentName(component), version, Digest(f"sha256:{hashlib.sha256(sealed).hexdigest()}"), size)


def unwrap_image(path: Path) -> bytes:
    """Return what of the image at *path* goes into the flash: a lab image's payload, of any other the whole file.

    The image is taken to have been verified by ``read_image``.
    """
    with path.open("rb") as file:
        if file.read(len(MAGIC)) == MAGIC:
            payload = json.loads(file.readline(_LONGEST_FACTS)).get("payload")
            if isinstance(payload, int):
                return file.read(payload)
        file.seek(0)
        return file.read()


def read_image(path: Path, *, known: Mapping[Digest, KnownBuild] | None = None) -> ImageFacts:
    """Verify the image at *path* and say what it is. Reads it once, in pieces.

    *known* replaces the catalogue of real builds that the lab ships with.

    Raises:
        ImageError: it is damaged, cut short, or nothing that the lab's BMCs could verify.
    """
    with path.open("rb") as file:
        start = file.read(_VOLUME_SIGNATURE_AT + 4)
        file.seek(0)
        if start.startswith(MAGIC):
            return _read_lab_image(file)
        if start[_VOLUME_SIGNATURE_AT:] == _VOLUME_SIGNATURE:
            return _read_firmware_volumes(file, known_builds() if known is None else known)
    raise ImageError(
        "this is neither a lab image nor a UEFI firmware volume",
        advice="Make lab images with 'make_image', or use OVMF_CODE*.fd from Debian's package ovmf.",
    )


@cache
def known_builds() -> Mapping[Digest, KnownBuild]:
    """The real builds that the lab knows, from ``known_images.toml``."""
    table = tomllib.loads(resources.files(__package__).joinpath("known_images.toml").read_text("utf-8"))
    return {
        Digest(f"sha256:{entry['sha256']}"): KnownBuild(ComponentName(entry["component"]), entry["version"])
        for entry in table["image"]
    }


def _read_lab_image(file: BufferedReader) -> ImageFacts:
    line = file.read(len(MAGIC)) and file.readline(_LONGEST_FACTS)
    try:
        told = json.loads(line)
        component, version, size = ComponentName(told["component"]), told["version"], told["size"]
    except (ValueError, KeyError, TypeError, UsageError) as error:
        raise ImageError("the image's line of facts cannot be read") from error
    if not isinstance(version, str) or not isinstance(size, int):
        raise ImageError("the image's line of facts has a wrong type")
    seal, digest, held, length = hashlib.sha256(), hashlib.sha256(), b"", 0
    file.seek(0)
    while piece := file.read(_CHUNK):
        digest.update(piece)
        length += len(piece)
        held += piece
        seal.update(held[:-_SEAL])
        held = held[-_SEAL:]
    if length != size:
        raise ImageError(f"the image should have {size} bytes and has {length}")
    if held != seal.digest():
        raise ImageError("the image's checksum does not match its contents")
    return ImageFacts(component, version, Digest(f"sha256:{digest.hexdigest()}"), length)


def _read_firmware_volumes(file: BufferedReader, known: Mapping[Digest, KnownBuild]) -> ImageFacts:
    size = file.seek(0, 2)
    at = 0
    while at < size:
        file.seek(at)
        at += _volume_length(file, room=size - at)
    file.seek(0)
    digest = Digest(f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}")
    build = known.get(digest)
    if build is None:
        raise ImageError(
            f"its firmware volumes are sound, but {digest} is no build that the lab knows",
            advice="UEFI images carry no signature to verify; name trusted builds in known_images.toml.",
        )
    return ImageFacts(build.component, build.version, digest, size)


def _volume_length(file: BufferedReader, *, room: int) -> int:
    """Verify the firmware volume header at the file's position and return the volume's length."""
    fixed = file.read(_VOLUME_HEADER.size)
    if len(fixed) < _VOLUME_HEADER.size:
        raise ImageError("the image ends inside a firmware volume's header")
    _, length, signature, _, header_length, _ = _VOLUME_HEADER.unpack(fixed)
    if signature != _VOLUME_SIGNATURE:
        raise ImageError("there is no firmware volume where the one before it ends")
    if header_length < _VOLUME_HEADER.size or header_length % 2 or length < header_length:
        raise ImageError("a firmware volume's header is malformed")
    header = fixed + file.read(header_length - len(fixed))
    if len(header) < header_length or sum(struct.unpack(f"<{header_length // 2}H", header)) & 0xFFFF:
        raise ImageError("a firmware volume's header checksum is wrong")
    if length > room:
        raise ImageError(f"a firmware volume of {length} bytes is cut short to {room}")
    return int(length)
