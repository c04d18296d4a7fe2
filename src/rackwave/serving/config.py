"""How the image server is to be reached, as the inventory's ``[serving]`` table says it."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

from attrs import frozen

from ..errors import InventoryError

_ADVERTISED = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?")


@frozen
class ServingConfig:
    """Where the image server listens and how BMCs are told to reach it.

    Attributes:
        listen: ``address:port``, numeric; port 0 takes a free one. Empty: loopback where every BMC is
            on loopback, else every address, and a free port.
        advertise: ``host`` or ``host:port`` that BMCs are given. Empty: the local address from which
            the node's BMC is reached.
        cert: PEM certificate chain. None: one is made and signed by ourselves.
        key: PEM private key of *cert*.
        plain_http: Serve without TLS: images are then neither secret nor proven in transit.
        lifetime: How long a URL may be used to begin a fetch, in seconds. BMCs have queued pulls
            for half a minute and take several tries; two hours cover the longest write.
        events: BMCs that offer no event stream may tell of news here. They have to reach us for that, and are
            written to; polling alone is as quick for updates of minutes.
    """

    listen: str = ""
    advertise: str = ""
    cert: Path | None = None
    key: Path | None = None
    plain_http: bool = False
    lifetime: float = 7200.0
    events: bool = False

    def __attrs_post_init__(self) -> None:
        if self.listen:
            split_address(self.listen)
        if self.advertise and not _ADVERTISED.fullmatch(self.advertise):
            raise InventoryError(
                f"[serving] advertise is {self.advertise!r}.", advice="Write host, host:port, [IPv6] or [IPv6]:port."
            )
        if (self.cert is None) != (self.key is None):
            raise InventoryError("[serving] needs both 'cert' and 'key', or neither.")
        if self.plain_http and self.cert is not None:
            raise InventoryError("[serving] has both 'plain_http' and a certificate.", advice="Choose one of them.")

    def advertised(self) -> tuple[str, int | None]:
        """The host (without brackets) and port of *advertise*; empty and None where it does not say."""
        found = _ADVERTISED.fullmatch(self.advertise)
        if found is None:
            return "", None
        return found["v6"] or found["host"], int(found["port"]) if found["port"] else None


def split_address(text: str) -> tuple[str, int]:
    """Read ``127.0.0.1:8443`` or ``[::1]:8443``; addresses are numeric.

    Raises:
        InventoryError: it is not an address and a port.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise InventoryError(f"[serving] listen is {text!r}.", advice="Write address:port, for example 0.0.0.0:8443.")
    host = host.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(host)
    except ValueError as error:
        raise InventoryError(
            f"[serving] listen names {host!r}, which is not an IP address.",
            advice="Write the address of a local interface, 0.0.0.0 for all of IPv4 or [::] for all of IPv6.",
        ) from error
    return host, int(port)
