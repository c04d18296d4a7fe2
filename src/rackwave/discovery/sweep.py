"""Ask a bounded range of addresses whether a Redfish service is there, without a login."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterable

from ..bmc.redfish.document import text
from ..bmc.redfish.session import ROOT
from ..bmc.redfish.transport import Timeouts, Transport
from ..bmc.redfish.trust import Unverified
from ..core.identity import NodeName
from ..errors import NodeError, UsageError
from ..inventory.ranges import expand
from .found import Found

MOST_ADDRESSES = 4096
"""A sweep is a knock on every door: a /20 is as much as one slip may cost."""

AT_ONCE = 64
"""Addresses asked side by side: few enough for a small router's table of connections."""

_FORMS = "Write a network (10.0.0.0/28), a range (10.0.[1-4].[1-16]), HOST or HOST:PORT; no https:// before it."

PATIENCE = Timeouts(connect=2.0, read=5.0)
"""Seconds. A BMC on the same site accepts in milliseconds; a loaded one takes seconds for its root."""


def addresses(expressions: Iterable[str]) -> tuple[str, ...]:
    """Expand networks (``10.0.0.0/28``) and ranges (``10.0.[1-4].[1-16]:8443``) into ``host[:port]``.

    Raises:
        UsageError: one is malformed, or all are more than `MOST_ADDRESSES`.
    """
    found: dict[str, None] = {}
    for expression in expressions:
        for address in _expanded(expression.strip()):
            found[address] = None
            if len(found) > MOST_ADDRESSES:
                raise UsageError(f"that is more than {MOST_ADDRESSES} addresses", advice="Ask for a part at a time.")
    return tuple(found)


def _expanded(expression: str) -> Iterable[str]:
    if "/" in expression and "[" not in expression:
        try:
            network = ipaddress.ip_network(expression, strict=False)
        except ValueError as error:
            raise UsageError(f"{expression!r} is no network", advice=_FORMS) from error
        if network.num_addresses > MOST_ADDRESSES:
            raise UsageError(
                f"{expression} is more than {MOST_ADDRESSES} addresses", advice="Ask for a part at a time."
            )
        return (f"[{host}]" if network.version == 6 else str(host) for host in network.hosts())
    return (each.text for each in expand(expression))


async def sweep(hosts: Iterable[str]) -> tuple[Found, ...]:
    """Ask each of *hosts* for its service root; those that have one, in the order given.

    Their certificates are not verified: no credentials are sent, and nothing that is said is believed further
    than a person will. Only addresses are asked that were named.
    """
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(host: str) -> Found | None:
        async with gate:
            return await _ask(host)

    return tuple(found for found in await asyncio.gather(*(one(host) for host in hosts)) if found is not None)


async def _ask(host: str) -> Found | None:
    transport = Transport(NodeName("discovery"), f"https://{host}", Unverified(), PATIENCE)
    try:
        root = (await transport.request("GET", ROOT)).document
    except NodeError:
        return None
    finally:
        await transport.park()
    version = text(root, "RedfishVersion")
    if version is None:
        return None
    return Found(
        f"https://{host}",
        vendor=text(root, "Vendor") or next(iter(_makers(root)), ""),
        product=text(root, "Product") or "",
        uuid=text(root, "UUID") or "",
        version=version,
        how="sweep",
    )


def _makers(root: object) -> list[str]:
    """Whose extensions the root has: iDRAC 9 and XCC tell their maker so."""
    oem = root.get("Oem") if isinstance(root, dict) else None
    return [str(name) for name in oem] if isinstance(oem, dict) else []
