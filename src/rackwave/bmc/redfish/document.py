"""JSON as a BMC sends it: bounded, parsed once, and read without ever trusting its shape."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias
from urllib.parse import urlsplit

from ...core.bundle import AttributeValue

Document: TypeAlias = Mapping[str, object]

MAX_BYTES = 8 * 1024 * 1024
"""The largest answer that is read. The largest recorded resource (a BIOS attribute registry) has 1.5 MiB."""

MAX_DEPTH = 64
"""The deepest answer that is read; recorded resources nest at most 12 levels."""

MAX_TEXT = 1024
"""The longest string that is taken for a name, a version or a message."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")


class MalformedError(Exception):
    """The bytes are not the JSON that was expected; the message says what is wrong with them."""


def parse(raw: bytes) -> object:
    """Parse *raw* within the bounds above.

    Raises:
        MalformedError: too large, too deep, not UTF-8 or not JSON.
    """
    if len(raw) > MAX_BYTES:
        raise MalformedError(f"more than {MAX_BYTES // (1024 * 1024)} MiB")
    try:
        value: object = json.loads(raw)
    except RecursionError:
        raise MalformedError(f"nested deeper than {MAX_DEPTH} levels") from None
    except ValueError:  # bad JSON, bad UTF-8, a number of more than 4,300 digits
        raise MalformedError("empty body" if not raw.strip() else f"no JSON, begins with {_begin(raw)}") from None
    # Few documents have that many brackets, so few are walked.
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH and _deeper_than(value, MAX_DEPTH):
        raise MalformedError(f"nested deeper than {MAX_DEPTH} levels")
    return value


def parse_object(raw: bytes) -> Document:
    """Parse *raw*, which must be a JSON object.

    Raises:
        MalformedError: as `parse`, or another JSON value than an object.
    """
    value = parse(raw)
    if not isinstance(value, dict):
        raise MalformedError(f"a JSON {type(value).__name__} where an object belongs")
    return value


def _begin(raw: bytes) -> str:
    return repr(raw[:24].decode("ascii", "replace"))


def _deeper_than(value: object, depth: int) -> bool:
    level: list[object] = [value]
    while level:
        if depth < 0:
            return True
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(child for child in item.values() if isinstance(child, dict | list))
            elif isinstance(item, list):
                below.extend(child for child in item if isinstance(child, dict | list))
        level, depth = below, depth - 1
    return False


def dig(value: object, *path: str) -> object:
    """Follow *path* through nested objects; None where it ends early."""
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def text(value: object, *path: str) -> str | None:
    """The string at *path*, stripped; None where there is none, an empty one, or one that cannot be written down."""
    found = dig(value, *path)
    if not isinstance(found, str):
        return None
    found = found.strip()
    if not found or len(found) > MAX_TEXT or not _writable(found):
        return None
    return found


def _writable(found: str) -> bool:
    """Whether *found* survives journal and terminal: a lone surrogate is legal JSON and illegal UTF-8."""
    return found.isascii() or not any("\ud800" <= character <= "\udfff" for character in found)


def items(value: object, *path: str) -> tuple[object, ...]:
    """The list at *path*; empty where there is none."""
    found = dig(value, *path)
    return tuple(found) if isinstance(found, list) else ()


def strings(value: object, *path: str) -> tuple[str, ...]:
    """The strings of the list at *path*."""
    return tuple(item for item in items(value, *path) if isinstance(item, str))


def link(value: object, *path: str) -> str | None:
    """The URI path of the ``@odata.id`` under *path*; None where there is no usable one."""
    return uri_path(dig(value, *path, "@odata.id"))


def uri_path(uri: object) -> str | None:
    """Reduce a URI to path and query, so that a request never leaves the BMC that it is for.

    A Location is relative or absolute, and an absolute one may carry the BMC's own idea of its
    name (P10). None for what is no path.
    """
    if not isinstance(uri, str) or not uri or len(uri) > 2048 or not uri.isprintable() or not _writable(uri):
        return None
    try:
        parts = urlsplit(uri.strip())
    except ValueError:
        return None
    if not parts.path.startswith("/") or parts.path == "/":
        return None
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def segments(uri: str) -> tuple[str, ...]:
    """The non-empty segments of a URI's path; none where it is no URI."""
    try:
        path = urlsplit(uri).path
    except ValueError:
        return ()
    return tuple(part for part in path.split("/") if part)


def messages(value: object) -> Iterator[Mapping[str, object]]:
    """Every Redfish message in *value*: of an error body, an annotation, or a Task's Messages."""
    for path in (("@Message.ExtendedInfo",), ("error", "@Message.ExtendedInfo"), ("Messages",)):
        for message in items(value, *path):
            if isinstance(message, Mapping):
                yield message


def message_id(message: object) -> str:
    """The message's key without registry version: ``Update.1.0.TransferFailed`` is ``Update.TransferFailed``."""
    parts = (text(message, "MessageId") or "").split(".")
    return f"{parts[0]}.{parts[-1]}" if len(parts) > 1 else parts[0]


def without_grants(words: str) -> str:
    """Cut every URL in *words* down to its last two segments.

    The URL of an image grants access to it, so no echo of it may reach a log or a journal; its end
    names the attempt and the file.
    """
    return _URL.sub(lambda found: "…/" + "/".join(segments(found[0])[-2:]), words) if "://" in words else words


def attributes(value: object) -> dict[str, AttributeValue]:
    """The BIOS attributes of an ``Attributes`` object: its scalars, whole floats as integers."""
    found: dict[str, AttributeValue] = {}
    if not isinstance(value, Mapping):
        return found
    for name, setting in value.items():
        if isinstance(setting, float) and setting.is_integer():
            setting = int(setting)
        if isinstance(name, str) and (setting is None or isinstance(setting, str | int | bool)):
            found[name] = setting
    return found
