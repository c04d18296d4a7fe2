"""Where a registry is, as an operator writes it: ``oci://registry.example:5000/racks/bundles``."""

from __future__ import annotations

import ipaddress
import re
from typing import Self

from attrs import field, frozen

from ..errors import UsageError

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_PART}(?:/{_PART})*")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::[0-9]{1,5})?")
_LONGEST = 255
_ADVICE = "Write oci://host:port/name, for example oci://registry.example:5000/racks/bundles."


@frozen
class RegistryAddress:
    """One repository of one registry. *plain* is HTTP without TLS: for a registry on this machine, or a lab.

    The name is checked by the rule of the Distribution specification, v1.1, "Pulling manifests".
    """

    host: str
    name: str
    plain: bool = field(default=False, kw_only=True)

    @classmethod
    def parse(cls, text: str, *, plain: bool = False) -> Self:
        """Read ``oci://host:port/name``.

        Raises:
            UsageError: it is none. What may be a password is not shown.
        """
        scheme, there, rest = text.partition("://")
        host, _, name = rest.partition("/")
        if "@" in rest:
            raise UsageError(
                "the registry's address has something before an '@' (it is not shown, since it may be a password)",
                advice="Name credentials with --credentials env:PREFIX or file:/path/credentials.toml.",
            )
        if not there or scheme != "oci":
            raise UsageError(f"{text!r} is not the address of a registry", advice=_ADVICE)
        if not _HOST.fullmatch(host):
            raise UsageError(f"{host!r} is not a host of a registry", advice=_ADVICE)
        if not _NAME.fullmatch(name) or len(name) > _LONGEST:
            raise UsageError(
                f"{name!r} is not a name in a registry",
                advice="Write lower-case letters, digits, '.', '_', '-' and '/', without a tag.",
            )
        return cls(host, name, plain=plain)

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{'http' if self.plain else 'https'}://{self.host}"

    @property
    def base(self) -> str:
        """Where the Distribution API has this repository."""
        return f"{self.origin}/v2/{self.name}"

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine, so that what is sent in the clear meets no wire."""
        name = re.sub(r":[0-9]+$", "", self.host).strip("[]")
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return name == "localhost"

    def __str__(self) -> str:
        return f"oci://{self.host}/{self.name}"
