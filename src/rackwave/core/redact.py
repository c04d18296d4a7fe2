"""Take secrets out of what is handed on: by the names of properties, then by the secrets themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

REMOVED = "[removed]"

_SECRET = re.compile(
    r"passw|passphrase|secret|token|credential|community|privatekey|apikey|licen[sc]ekey|authkey|cookie|encryptionkey"
    r"|(?<!public)key$",
    re.IGNORECASE,
)
"""Names of properties whose texts are removed. ``…Key`` but for public ones: Redfish has license keys and SNMP keys."""

_GRANT = re.compile(r"(?<=://)[^/@\s]+@")
"""User and password in a URL."""


_TOKEN = re.compile(r"(?:(?<=/images/)|(?<=/events/))(?:[0-9a-f]{1,12}-)?[0-9a-f]{32}")
"""What grants access in a URL of our image server."""


def redacted(value: Any, secrets: Iterable[str] = ()) -> Any:
    """Return *value* without the texts of secret properties, and without any of *secrets* in what is left.

    *value* is made of JSON values and is not changed.
    """
    known = tuple(sorted((secret for secret in secrets if secret), key=len, reverse=True))
    return _redacted(value, known)


def _redacted(value: Any, secrets: tuple[str, ...]) -> Any:
    match value:
        case dict():
            return {
                _text(str(name), secrets): REMOVED if _is_secret(str(name), inner) else _redacted(inner, secrets)
                for name, inner in value.items()
            }
        case list() | tuple():
            return [_redacted(inner, secrets) for inner in value]
        case str():
            return _text(value, secrets)
        case _:
            return value


def _text(value: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        value = value.replace(secret, REMOVED)
    return _TOKEN.sub(REMOVED, _GRANT.sub(f"{REMOVED}@", value))


def _is_secret(name: str, value: Any) -> bool:
    """Whether this property's value is to go: a text, a number or a list of them under a telling name.

    Objects and links under such a name are looked into instead (``Tokens``: {``@odata.id``: …}).
    """
    if _SECRET.search(name.replace("_", "").replace("-", "")) is None:
        return False
    return (isinstance(value, str | int | float) and not isinstance(value, bool)) or isinstance(value, list)
