"""Where people are told of what happens, as it stands in the inventory.

[[webhooks]]
name = "chat"                                   # what the log calls it; default: the URL's host
url = "https://chat.example/hooks/rack"         # https, or http to this machine itself
on = ["stopped", "quarantined", "approval"]     # default; there are also "done" and "aborted"
secret = "env:RACK_HOOK"                        # or "file:hook.secret": signs what is sent
ca = "company-ca.pem"                           # where the system does not trust the host's certificate
insecure_http = false                           # true: plain http to another machine, readable on the way
timeout = 10                                    # seconds for one try
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ..core.notice import Occasion
from ..errors import InventoryError, SecretError
from ..secrets import absolute_reference
from .values import Webhook

_KEYS = ("name", "url", "on", "secret", "ca", "insecure_http", "timeout")
_DEFAULT = (Occasion.STOPPED, Occasion.QUARANTINED, Occasion.APPROVAL)
_LONGEST = 120.0


def read_webhooks(document: Mapping[str, Any], path: Path) -> tuple[Webhook, ...]:
    """Check the tables ``[[webhooks]]`` of the inventory at *path*.

    Raises:
        InventoryError: one cannot be used. No message shows a URL.
    """
    tables = document.get("webhooks", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise InventoryError(f"{path}: 'webhooks' is no list of tables.", advice="Write [[webhooks]] before each.")
    found: list[Webhook] = []
    for number, table in enumerate(tables, 1):
        hook = _read(table, path, f"[[webhooks]] number {number}")
        if any(other.name == hook.name for other in found):
            raise InventoryError(
                f"{path}: two webhooks are called {hook.name!r}.", advice="Give each a 'name' of its own."
            )
        found.append(hook)
    return tuple(found)


def _read(table: Mapping[str, Any], path: Path, where: str) -> Webhook:
    def wrong(what: str, advice: str) -> InventoryError:
        return InventoryError(f"{path}, {where}: {what}.", advice=advice)

    for key in table:
        if key not in _KEYS:
            raise wrong(f"unknown key {key!r}", f"Known keys are {', '.join(_KEYS)}.")
    for key in ("name", "url", "secret", "ca"):
        if not isinstance(table.get(key, ""), str) or "\0" in table.get(key, ""):
            raise wrong(f"{key!r} is no text", "It takes a text in quotation marks.")
    insecure, timeout = table.get("insecure_http", False), table.get("timeout", 10)
    if not isinstance(insecure, bool):
        raise wrong("'insecure_http' is neither true nor false", "Leave it out.")
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= _LONGEST:
        raise wrong("'timeout' is no number of seconds", f"It takes more than 0 and at most {_LONGEST:.0f}.")
    parts = _url(table.get("url", ""))
    if parts is None:
        raise wrong("'url' is no https:// address", "Write https://host/path; user and password do not belong in it.")
    if parts.scheme == "http" and not insecure and not _is_here(parts.hostname or ""):
        raise wrong("'url' is without TLS", "Write https://, or allow it by insecure_http = true.")
    secret = table.get("secret", "")
    try:
        reference = absolute_reference(secret, path.parent) if secret else ""
    except SecretError as error:
        raise wrong("'secret' is no reference", 'Write "env:NAME" or "file:/path"; it is not shown.') from error
    ca = path.parent / table["ca"] if table.get("ca") else None
    name = table.get("name") or parts.hostname or ""
    return Webhook(name, table["url"], _occasions(table, wrong), reference, ca, float(timeout))


def _url(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
        (host or "").encode("idna")
    except ValueError:
        return None
    is_odd = parts.scheme not in ("http", "https") or not host or "@" in parts.netloc
    return None if is_odd or any(c.isspace() or not c.isprintable() for c in url) else parts


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _occasions(table: Mapping[str, Any], wrong: Any) -> frozenset[Occasion]:
    given = table.get("on", list(_DEFAULT))
    known = ", ".join(Occasion)
    if not isinstance(given, list) or not given:
        raise wrong("'on' is no list of occasions", f"There are {known}.")
    try:
        return frozenset(Occasion(each) for each in given)
    except ValueError as error:
        raise wrong(f"'on' names what is no occasion: {error}", f"There are {known}.") from error
