"""Where a BMC listens for IPMI."""

from __future__ import annotations

import ipaddress

from attrs import field, frozen, validators

from ...errors import UsageError

PORT = 623
"""RMCP's primary port (IPMI 2.0, 13.1.2)."""


@frozen
class Endpoint:
    """A host, by name or address, and its UDP port."""

    host: str = field(validator=validators.min_len(1))
    port: int = field(default=PORT, validator=[validators.ge(1), validators.le(65535)])

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Read ``HOST``, ``HOST:PORT``, ``[V6]`` or ``[V6]:PORT``; a bare IPv6 address has no port.

        Raises:
            UsageError: it is none of these.
        """
        host, port = text, ""
        if text.startswith("["):
            host, closed, rest = text[1:].partition("]")
            port = rest[1:] if rest.startswith(":") else rest
            if not closed or (rest and not rest.startswith(":")):
                host = ""
        elif text.count(":") == 1:
            host, _, port = text.partition(":")
        try:
            host.encode("idna")  # as the resolver does
            return cls(host, int(port) if port else PORT)
        except ValueError as error:
            raise UsageError(f"{text!r} is no IPMI endpoint", advice="Write HOST, HOST:PORT or [IPV6]:PORT.") from error

    @property
    def is_literal(self) -> bool:
        """Whether the host is an address, so that no name has to be looked up."""
        try:
            ipaddress.ip_address(self.host.partition("%")[0])
        except ValueError:
            return False
        return True

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
