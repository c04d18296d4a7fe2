"""Who the machine is, from its FRU inventory (Platform Management FRU Information Storage Definition 1.0)."""

from __future__ import annotations

import struct

from attrs import frozen

from ...core.observation import Identity, Unknown
from ...errors import BmcAnswerError, BmcRefusedError
from . import completion
from .session import Command, Session

GET_AREA_INFO = Command(0x0A, 0x10, "Get FRU Inventory Area Info")
READ_DATA = Command(0x0A, 0x11, "Read FRU Data")

_BLOCK = 8
_SIZES = (64, 32, 16, 8)
_LARGEST = 4096
"""Bytes that are read of an inventory: areas lie in the first kilobyte, multi-records behind them."""
_END = 0xC1
_SIX_BIT = "".join(chr(0x20 + number) for number in range(64))
_BCD_PLUS = "0123456789 -.???"


@frozen
class Areas:
    """The fields of the three areas that name a machine, in their order; empty where there is no area."""

    chassis: tuple[str, ...] = ()
    board: tuple[str, ...] = ()
    product: tuple[str, ...] = ()


async def read_inventory(session: Session, device: int = 0) -> bytes:
    """Read the FRU inventory of *device*; 0 is the machine itself.

    Raises:
        NodeError: as `Session.ask`.
    """
    info = await session.ask(GET_AREA_INFO, bytes([device]), least=3)
    size, in_words = struct.unpack_from("<HB", info)
    unit = 2 if in_words & 1 else 1
    size = min(size * unit, _LARGEST)
    octets = b""
    piece = _SIZES[0]
    while len(octets) < size:
        wanted = max(min(piece, size - len(octets)) // unit, 1)
        request = struct.pack("<BHB", device, len(octets) // unit, wanted)
        try:
            answer = await session.ask(READ_DATA, request, least=1)
        except BmcRefusedError as error:
            smaller = [each for each in _SIZES if each < piece]
            if error.status not in completion.CUT_SHORT or not smaller:
                raise
            piece = smaller[0]
            continue
        found = answer[1 : 1 + answer[0] * unit]
        if not found:
            raise BmcAnswerError(f"{session.node}: {READ_DATA.name} was answered with no data", node=session.node)
        octets += found
    return octets


def areas_of(inventory: bytes) -> Areas:
    """Read the areas; one that is damaged or cut short has the fields that can be read."""
    if len(inventory) < _BLOCK or inventory[0] & 0x0F != 1:
        return Areas()
    chassis, board, product = (inventory[index] * _BLOCK for index in (2, 3, 4))
    return Areas(
        chassis=_fields(inventory, chassis, 3),
        board=_fields(inventory, board, 6),
        product=_fields(inventory, product, 3),
    )


def identity_of(areas: Areas) -> Identity:
    """Say who the machine is: by its product area, else by its chassis.

    A board's serial number is not the machine's: boards are replaced.
    """

    def field(*choices: tuple[tuple[str, ...], int], what: str) -> str | Unknown:
        found = (fields[index] for fields, index in choices if len(fields) > index and fields[index])
        return next(found, None) or Unknown(f"the FRU inventory has no {what}")

    return Identity(
        vendor=field((areas.product, 0), (areas.board, 0), what="manufacturer"),
        model=field((areas.product, 1), (areas.board, 1), what="product name"),
        serial=field((areas.product, 4), (areas.chassis, 1), what="serial number"),
    )


def _fields(inventory: bytes, start: int, head: int) -> tuple[str, ...]:
    if not start or start + head > len(inventory):
        return ()
    end = min(start + inventory[start + 1] * _BLOCK, len(inventory)) - 1  # its last byte is the checksum
    found = []
    at = start + head
    while at < end and inventory[at] != _END:
        kind, length = inventory[at] >> 6, inventory[at] & 0x3F
        if at + 1 + length > end:
            break
        found.append(_text(kind, inventory[at + 1 : at + 1 + length]))
        at += 1 + length
    return tuple(found)


def _text(kind: int, octets: bytes) -> str:
    match kind:
        case 0:
            text = octets.hex()
        case 1:
            text = "".join(_BCD_PLUS[octet >> 4] + _BCD_PLUS[octet & 0x0F] for octet in octets)
        case 2:
            bits = int.from_bytes(octets, "little")
            text = "".join(_SIX_BIT[bits >> 6 * index & 0x3F] for index in range(len(octets) * 8 // 6))
        case _:
            text = octets.decode("latin-1")
    return "".join(letter for letter in text if letter.isprintable()).strip()
