"""JSON that is signed and hashed: one way to write a value, and no surprises when reading one.

Rules:

- Keys are sorted by code point (RFC 8785 sorts by UTF-16 unit; the two differ only outside of the
  basic plane), no blanks, UTF-8 unescaped, no NaN or infinity. The same value gives the same bytes.
- What is read is bounded before it is believed: size, depth, number of values. A key that stands
  twice in one object is refused, since two readers might each take another one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from ..errors import ManifestError

MAX_DEPTH = 32  # a manifest of ours is 5 deep; CPython's own reader gives up near 1,000
MAX_VALUES = 100_000  # a BIOS has some 1,500 attributes (Dell R750: 1,139)
MAX_TEXT = 65_536  # characters in one string
_SHORT = 1000
MAX_INTEGER = 2**63 - 1  # what other readers of JSON can be trusted to keep


def canonical_json(value: Any) -> bytes:
    """Return the one byte string that stands for *value*.

    Raises:
        ManifestError: *value* has no JSON form: NaN, a lone surrogate, a type of its own, a circle.
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise ManifestError(f"this cannot be written as JSON: {error}") from error


def parse_json(data: bytes, *, what: str, most: int = MAX_VALUES) -> Any:
    """Read *data*, which the caller has bounded in size; *what* names it in errors.

    Raises:
        ManifestError: it is not JSON, or not JSON that two readers would take alike.
    """
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise ManifestError(f"{what} is not JSON that can be read: {error or 'nested too deeply'}") from error
    check_json(value, what=what, most=most)
    return value


def check_json(value: object, *, what: str, most: int = MAX_VALUES) -> None:
    """Refuse whatever is not plain, bounded JSON.

    Raises:
        ManifestError: it is nested too deeply, too large, or holds something that JSON cannot.
    """
    left = most
    pending: list[tuple[object, int]] = [((value,), 0)]
    while pending:
        box, depth = pending.pop()
        if depth > MAX_DEPTH + 1:
            raise ManifestError(f"{what}: is nested more than {MAX_DEPTH} deep")
        items: Iterable[object] = box  # type: ignore[assignment]
        if isinstance(box, dict):
            if set(map(type, box)) != {str} and not all(isinstance(key, str) for key in box):
                raise ManifestError(f"{what}: every name in an object must be text")
            items = (*box, *box.values())
        for item in items:
            left -= 1
            if type(item) is str and len(item) < _SHORT and item.isascii():
                continue  # nearly all values of a large index: the long way costs six times as much
            if isinstance(item, dict | list | tuple):
                pending.append((item, depth + 1))
            else:
                _check_scalar(item, what)
        if left < 0:
            raise ManifestError(f"{what}: holds more than {most} values")


def _check_scalar(item: object, what: str) -> None:
    match item:
        case None | bool():
            return
        case int():
            if abs(item) > MAX_INTEGER:
                raise ManifestError(f"{what}: holds a whole number outside of 64 bits")
        case float():
            if not math.isfinite(item):
                raise ManifestError(f"{what}: holds a number that is not finite")
        case str():
            if len(item) > MAX_TEXT:
                raise ManifestError(f"{what}: holds a text of more than {MAX_TEXT} characters")
            if not item.isascii() and any("\ud800" <= character <= "\udfff" for character in item):
                raise ManifestError(f"{what}: holds a text that is not valid Unicode")
        case _:
            raise ManifestError(f"{what}: holds a {type(item).__name__}, which JSON does not have")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
