"""Completion codes, privileges, and what a command is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import TypeAlias

from attrs import frozen

from ..refusal import LabRefusal


class Code(IntEnum):
    """Completion codes (5.2) that the lab's BMCs answer; those of single commands stand with the command."""

    OK = 0x00
    BUSY = 0xC0
    INVALID_COMMAND = 0xC1
    INVALID_FOR_LUN = 0xC2
    RESERVATION_CANCELLED = 0xC5
    LENGTH = 0xC7
    OUT_OF_RANGE = 0xC9
    TOO_MANY_BYTES = 0xCA
    NOT_PRESENT = 0xCB
    INVALID_DATA = 0xCC
    PRIVILEGE = 0xD4
    STATE = 0xD5
    UNSPECIFIED = 0xFF


class Privilege(IntEnum):
    """Privilege levels (6.8)."""

    NONE = 0
    CALLBACK = 1
    USER = 2
    OPERATOR = 3
    ADMINISTRATOR = 4


class CompletionError(Exception):
    """A command ends with a code other than 00h; *data* may still come with it."""

    def __init__(self, code: int, data: bytes = b"") -> None:
        super().__init__(f"completion code {code:02X}h")
        self.code = int(code)
        self.data = data


@frozen
class Caller:
    """Who asks: the session's id (0: outside of any), its present privilege and what it may rise to."""

    session: int = 0
    handle: int = 0
    privilege: Privilege = Privilege.NONE
    limit: Privilege = Privilege.NONE


Act: TypeAlias = Callable[[bytes, Caller], bytes]


@frozen
class Command:
    """What a BMC does on one command: *act* gets the request's data, of which there must be *least* bytes.

    *act* returns the answer's data or raises ``CompletionError``; *privilege* NONE: outside of sessions too.
    """

    act: Act
    privilege: Privilege = Privilege.USER
    least: int = 0


Commands: TypeAlias = Mapping[tuple[int, int], Command]
"""Commands by network function and number."""


def refusal_code(refusal: LabRefusal) -> int:
    """Say what the machine's refusal is in IPMI."""
    match refusal.status:
        case 409:
            return Code.STATE
        case 503 | 423 | 429:
            return Code.BUSY
        case 404:
            return Code.NOT_PRESENT
        case _:
            return Code.INVALID_DATA
