"""The registry that stands behind the repository: where it is, and with what we log in.

``registry.toml`` in the state directory::

    registry = "oci://registry.example:5000/racks/bundles"
    credentials = "file:registry-login.toml"     # or env:PREFIX; absent: none are sent
    ca = "registry-ca.pem"                       # absent: the CAs of the operating system
    token_server = "https://auth.example/token"  # only where it is on another host than the registry

Paths are relative to the file.
"""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any, Self

from attrs import frozen

from .errors import UsageError
from .ports import Secrets
from .repository.address import RegistryAddress
from .repository.login import Login
from .repository.registry import Registry
from .repository.wire import Bounds
from .secrets import absolute_reference

_FIELDS = ("registry", "credentials", "ca", "token_server", "plain_http")
_MAX_FILE = 64 * 1024


@frozen
class Backing:
    """A registry, and a reference to credentials, which are looked up when it asks for them."""

    address: RegistryAddress
    credentials: str | None = None
    ca: Path | None = None
    token_server: str | None = None

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """Read ``registry.toml``; None where there is none.

        Raises:
            UsageError: it cannot be used; the message names the field.
            SecretError: what stands under ``credentials`` is no reference. It is not shown.
        """
        try:
            with path.open("rb") as file:
                data = file.read(_MAX_FILE + 1)
            if len(data) > _MAX_FILE:
                raise UsageError(f"{path} is larger than {_MAX_FILE // 1024} KiB", advice="It holds five fields.")
            table = tomllib.loads(data.decode())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:  # TOML and UTF-8 that are none are ValueErrors
            raise UsageError(f"{path} cannot be read: {error}") from None  # a parser's message is enough
        for key in table:
            if key not in _FIELDS:
                near = difflib.get_close_matches(key, _FIELDS, n=1)
                raise UsageError(
                    f"{path}: {key} is not a field here",
                    advice=f"Did you mean {near[0]!r}?" if near else f"Known here: {', '.join(_FIELDS)}.",
                )
        address, credentials, ca = (_text(table, key, path) for key in ("registry", "credentials", "ca"))
        if address is None:
            raise UsageError(f"{path} names no registry", advice='Write registry = "oci://host:port/name".')
        plain = table.get("plain_http", False)
        if not isinstance(plain, bool):
            raise UsageError(f"{path}: plain_http must be true or false")
        return cls(
            RegistryAddress.parse(address, plain=plain),
            absolute_reference(credentials, path.parent.absolute()) if credentials is not None else None,
            path.parent / ca if ca is not None else None,
            _text(table, "token_server", path),
        )

    def open(self, secrets: Secrets, *, bounds: Bounds | None = None) -> Registry:
        """Return the registry; nothing is sent yet. Close it after use. *bounds* says how long it may take.

        Raises:
            UsageError: the file with its CA is not there.
        """
        reference = self.credentials
        credentials = (lambda: secrets.resolve(reference)) if reference is not None else None
        return Registry(self.address, login=Login(credentials, self.token_server), ca=self.ca, bounds=bounds)


def _text(table: dict[str, Any], key: str, path: Path) -> str | None:
    value = table.get(key)
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{path}: {key} must be text")
    return value
