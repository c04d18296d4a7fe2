"""Makes packages byte by byte, as their specifications have them, without a line of the code that reads them."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import uuid
import zipfile
import zlib
from typing import Any

GUID = "84f40464-9272-4ef7-9399-cd95f12da696"
FMP = uuid.UUID("6dcbd5ed-e82d-4c44-bda1-7194199ad92a").bytes_le
PKCS7 = uuid.UUID("4aafd29d-68df-49ee-8aa9-347d375665a7").bytes_le
PLDM_10 = bytes.fromhex("f018878ccb7d49439800a02f059aca02")


def metainfo(firmware: bytes, *, name: str = "bios.bin", more: str = "", sums: str = "", head: str = "") -> bytes:
    """A metainfo file of LVFS for *firmware*."""
    sums = sums or f'<checksum type="sha256" filename="{name}" target="content">{sha256(firmware)}</checksum>'
    return f"""<?xml version="1.0" encoding="UTF-8"?>{head}
<component type="firmware">
  <id>com.contoso.R1.firmware</id><name>R1 System Update</name><summary>BIOS of the R1</summary>
  <provides><firmware type="flashed">{GUID.upper()}</firmware></provides>
  <developer_name>Contoso</developer_name>
  <categories><category>X-System</category></categories>
  <custom><value key="LVFS::VersionFormat">triplet</value></custom>
  <requires><firmware compare="ge" version="1.9.0"/></requires>
  <releases><release version="2.1.0" date="2026-11-20" urgency="high">
    {sums}
    <issues><issue type="cve">CVE-2026-1234</issue></issues>
    <description><p>Fixes the fan curve, and CVE-2026-99999.</p></description>
    <url type="details">https://example.com/notes</url>
  </release></releases>{more}
</component>""".encode()


def sha256(data: bytes) -> str:
    """The digest as metainfo has it."""
    return hashlib.sha256(data).hexdigest()


def cabinet(files: dict[str, bytes], *, way: int = 1, claim: int | None = None) -> bytes:
    """A cabinet of one folder; *way* 0 stores, 1 deflates. *claim* is what each file says that its size is."""
    whole = b"".join(files.values())
    blocks = [whole[at : at + 0x8000] for at in range(0, len(whole), 0x8000)] or [b""]
    names = b""
    at = 0
    for name, data in files.items():
        size = len(data) if claim is None else claim
        names += struct.pack("<IIHHHH", size, at, 0, 0, 0, 0x20) + name.encode() + b"\0"
        at += len(data)
    start = 36 + 8 + len(names)
    out, window = [], b""
    for block in blocks:
        data = block
        if way:
            deflate = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, window)
            data = b"CK" + deflate.compress(block) + deflate.flush()
            window = block
        sizes = struct.pack("<HH", len(data), len(block))
        out.append(struct.pack("<I", cab_sum(sizes, cab_sum(data, 0))) + sizes + data)
    body = b"".join(out)
    header = struct.pack("<4sIIIIIBBHHHHH", b"MSCF", 0, start + len(body), 0, 44, 0, 3, 1, 1, len(files), 0, 0x1234, 0)
    return header + struct.pack("<IHH", start, len(blocks), way) + names + body


def cab_sum(data: bytes, value: int) -> int:
    """The checksum of [MS-CAB], as its specification writes it down."""
    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        value ^= int.from_bytes(data[at : at + 4], "little")
    return value ^ int.from_bytes(data[whole:], "big")


def capsule(firmware: bytes, *, version: int | None = 0x00020001, signed: bool = True, header: int = 3) -> bytes:
    """A capsule with one item for a firmware management protocol."""
    payload = struct.pack("<4sIII", b"MSS1", 16, version, 0x00010000) if version is not None else b""
    image = payload + firmware
    if signed:
        certificate = b"a signature"
        told = struct.pack("<IHH16s", 24 + len(certificate), 0x0200, 0x0EF1, PKCS7) + certificate
        image = struct.pack("<Q", 7) + told + image
    item = struct.pack("<I16sB3xII", header, uuid.UUID(GUID).bytes_le, 1, len(image), 0)
    item += bytes(8) * (header - 1) + image
    body = struct.pack("<IHHQ", 1, 0, 1, 16) + item
    return struct.pack("<16sIII", FMP, 32, 0x00050000, 32 + len(body)) + bytes(4) + body


def pldm(images: list[tuple[int, str, bytes]], *, tail: bytes = b"") -> bytes:
    """A package of revision 1 for a device of PCI vendor 15b3, with classification, version and bytes of each image."""
    bits = -(-len(images) // 8)
    version = b"pack-1"
    records = b""
    descriptors = struct.pack("<HHH", 0, 2, 0x15B3) + struct.pack("<HHH", 0x0100, 2, 0x1021)
    applies = ((1 << len(images)) - 1).to_bytes(bits, "little")
    record = struct.pack("<BIBBH", 2, 1, 1, 3, 0) + applies + b"set" + descriptors
    records += struct.pack("<H", len(record) + 2) + record
    table_size = sum(22 + len(told) for _, told, _ in images)
    size = 36 + len(version) + 1 + len(records) + 2 + table_size + 4
    date = struct.pack("<h3sBBBBBHB", 0, b"\0\0\0", 22, 9, 5, 17, 5, 2026, 0)
    header = PLDM_10 + struct.pack("<BH13sHBB", 1, size, date, bits * 8, 1, len(version)) + version
    header += b"\x01" + records + struct.pack("<H", len(images))
    at = size
    for place, (kind, told, data) in enumerate(images):
        header += (
            struct.pack("<HHIHHIIBB", kind, place + 1, 0xFFFFFFFF, 0, 1, at, len(data), 1, len(told)) + told.encode()
        )
        at += len(data)
    return header + struct.pack("<I", zlib.crc32(header)) + b"".join(data for _, _, data in images) + tail


def fwpkg(files: dict[str, bytes], payload: Any | None = None, *, way: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A package of HPE with *files*; *payload* is its payload.json, made up where it is not given."""
    if payload is None:
        images = [{"FileName": name, "DirectFlashOk": True, "ResetRequired": True} for name in files]
        payload = {
            "UpdatableBy": ["Bmc"],
            "PackageFormat": "FWPKG-v2",
            "Devices": {"Device": [{"Target": GUID, "Version": "2.72", "FirmwareImages": images}]},
            "package": {
                "name": [{"lang": "ja", "x_late": "ROM"}, {"lang": "en", "x_late": "ROM Flash - U46"}],
                "category": [{"key": "k", "languages": [{"lang": "en", "x_late": "BIOS - System ROM"}]}],
                "description": [{"lang": "en", "x_late": "For the System ROM\n of a DL380."}],
                "release_date": "2026-09-01T12:30:00",
            },
        }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", way) as archive:
        for name, data in {"payload.json": json.dumps(payload).encode(), **files}.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 9, 1, 0, 0, 0)), data, compress_type=way)
    return out.getvalue()
