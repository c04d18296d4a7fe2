"""The FRU inventory of a lab machine (Platform Management FRU Information Storage Definition 1.0)."""

from __future__ import annotations

_BLOCK = 8
_ENGLISH = 25
_RACK_MOUNT = 0x17
_END = 0xC1
_LONGEST = 0x3F


def fru_inventory(*, manufacturer: str, model: str, serial: str, uuid: str, name: str) -> bytes:
    """Return the bytes of FRU 0: common header, chassis, board and product areas."""
    part = f"RW-{model}".upper().replace(" ", "-")
    chassis = _area(bytes([_RACK_MOUNT]), part, serial)
    board = _area(bytes([_ENGLISH, 0, 0, 0]), manufacturer, model, serial, part, "")
    product = _area(bytes([_ENGLISH]), manufacturer, model, part, "", serial, name, uuid)
    offsets = []
    at = _BLOCK
    for area in (chassis, board, product):
        offsets.append(at // _BLOCK)
        at += len(area)
    header = bytes([0x01, 0x00, *offsets, 0x00, 0x00])
    return header + _checksum(header) + chassis + board + product


def _area(fixed: bytes, *fields: str) -> bytes:
    body = fixed + b"".join(_field(text) for text in fields) + bytes([_END])
    length = -(-(len(body) + 3) // _BLOCK)
    area = (bytes([0x01, length]) + body).ljust(length * _BLOCK - 1, b"\x00")
    return area + _checksum(area)


def _field(text: str) -> bytes:
    # A field of one character would be taken for the end of the fields, so it gets a blank.
    octets = text.encode("latin-1", "replace")[:_LONGEST]
    octets = octets + b" " if len(octets) == 1 else octets
    return bytes([0xC0 | len(octets)]) + octets


def _checksum(octets: bytes) -> bytes:
    return bytes([-sum(octets) & 0xFF])
