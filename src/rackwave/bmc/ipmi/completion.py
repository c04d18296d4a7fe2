"""Completion codes (IPMI 2.0, 5.2): what they are called, and what they mean for an act."""

from __future__ import annotations

from ...core.receipt import Accepted, Ambiguous, Ground, Receipt, Refused
from ...errors import (
    BmcAmbiguousError,
    BmcCertificateError,
    BmcLoginError,
    BmcRefusedError,
    BmcUnreachableError,
    NodeError,
)

OK = 0x00
IN_PROGRESS = 0x80  # HPM.1
BUSY = 0xC0
INVALID_COMMAND = 0xC1
INVALID_FOR_LUN = 0xC2
TIMEOUT = 0xC3
OUT_OF_SPACE = 0xC4
RESERVATION_CANCELLED = 0xC5
TRUNCATED = 0xC6
LENGTH = 0xC7
FIELD_LENGTH = 0xC8
OUT_OF_RANGE = 0xC9
TOO_MANY_BYTES = 0xCA
NOT_PRESENT = 0xCB
INVALID_DATA = 0xCC
ILLEGAL = 0xCD
NO_RESPONSE = 0xCE
INITIALIZING = 0xD2
PRIVILEGE = 0xD4
STATE = 0xD5
DISABLED = 0xD6
UNSPECIFIED = 0xFF

_WORDS = {
    BUSY: "busy",
    INVALID_COMMAND: "it has no such command",
    INVALID_FOR_LUN: "it has no such command on this LUN",
    TIMEOUT: "it timed out",
    OUT_OF_SPACE: "out of space",
    RESERVATION_CANCELLED: "the reservation is gone",
    TRUNCATED: "the request was cut short",
    LENGTH: "a wrong length",
    FIELD_LENGTH: "a field is too long",
    OUT_OF_RANGE: "out of range",
    TOO_MANY_BYTES: "too many bytes asked for at a time",
    NOT_PRESENT: "there is no such thing",
    INVALID_DATA: "invalid data",
    ILLEGAL: "not for this sensor or record",
    NO_RESPONSE: "no response can be given",
    INITIALIZING: "the BMC is starting",
    PRIVILEGE: "the account may not do that",
    STATE: "not in the present state",
    DISABLED: "the command is disabled",
    UNSPECIFIED: "an unspecified error",
}

CANNOT = frozenset({INVALID_COMMAND, INVALID_FOR_LUN, DISABLED})
"""The BMC has no such function."""

_NOT_NOW = frozenset({BUSY, OUT_OF_SPACE, STATE})
_UNCLEAR = frozenset({TIMEOUT, NO_RESPONSE, INITIALIZING, UNSPECIFIED})
"""A response could not be given, or for no reason that is told: the command may have been carried out."""

NOT_NOW = 10.0
"""Seconds after which to ask again where the BMC is busy, away or in another state; as over Redfish."""

CUT_SHORT = frozenset({LENGTH, FIELD_LENGTH, OUT_OF_RANGE, TOO_MANY_BYTES, UNSPECIFIED})
"""How BMCs say that they cannot tell so many bytes at once: the specification says CAh, they say any of these."""


def words(code: int) -> str:
    """Say what *code* means; codes of single commands (80h to BEh) only have their number."""
    told = _WORDS.get(code)
    return f"{code:02X}h, {told}" if told else f"{code:02X}h"


def receipt_of(code: int, way: str) -> Receipt:
    """Judge an act by the completion code of its answer."""
    if code in (OK, IN_PROGRESS):
        return Accepted(way=way)
    reason = f"{way} was answered with {words(code)}"
    if code in _UNCLEAR:
        return Ambiguous(reason)
    if code in CANNOT:
        return Refused(reason, ground=Ground.UNABLE)
    return Refused(reason, NOT_NOW if code in _NOT_NOW else None)


def receipt_of_error(error: NodeError, way: str) -> Receipt:
    """What is known of an act that *error* ended. Call it only in an ``except`` block: it may re-raise.

    Raises:
        BmcLoginError: a person must act first.
        BmcCertificateError: as above.
    """
    match error:
        case BmcLoginError() | BmcCertificateError():
            raise error
        case BmcAmbiguousError():
            return Ambiguous(str(error), error.body_complete)
        case BmcUnreachableError():
            return Refused(str(error), NOT_NOW, Ground.AWAY)
        case BmcRefusedError(retry_after=wait) if error.status < 0x80 and wait is not None:
            return Refused(str(error), wait, Ground.AWAY)  # no session was to be had, so nothing was sent
        case BmcRefusedError():
            return receipt_of(error.status, way)
        case _:
            return Refused(str(error))
