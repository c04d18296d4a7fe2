"""Is a BMC there? Asked on the loop, so that a dead one costs neither a thread nor a login."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from .endpoint import Endpoint

WAITS = (0.5, 1.0, 1.5)
"""Seconds to wait for an answer to each try, in real time."""

Presence: TypeAlias = Callable[[Endpoint], Awaitable[bool]]

# Get Channel Authentication Capabilities (22.13) for the present channel, in an IPMI 1.5 packet outside of
# any session: what every IPMI BMC must answer to strangers. The ASF ping would do, but some leave it out.
_HEADER = bytes([0x06, 0x00, 0xFF, 0x07]) + bytes(9)
_REQUEST = bytes([0x20, 0x18, 0xC8, 0x81, 0x00, 0x38, 0x8E, 0x04])
QUESTION = _HEADER + bytes([len(_REQUEST) + 1]) + _REQUEST + bytes([-sum(_REQUEST[3:]) & 0xFF])


class _Listener(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.heard: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002 - asyncio's signature
        if not self.heard.done():
            self.heard.set_result(True)

    def error_received(self, exc: Exception) -> None:  # noqa: ARG002 - asyncio's signature
        if not self.heard.done():
            self.heard.set_result(False)  # nobody listens on this port


async def answers(endpoint: Endpoint) -> bool:
    """Whether anything answers at *endpoint*, whose host is an address; asked a few times."""
    loop = asyncio.get_running_loop()
    try:
        transport, listener = await loop.create_datagram_endpoint(_Listener, remote_addr=(endpoint.host, endpoint.port))
    except OSError:  # no route
        return False
    try:
        for wait in WAITS:
            transport.sendto(QUESTION)
            done, _ = await asyncio.wait([listener.heard], timeout=wait)
            if done:
                return listener.heard.result()
        return False
    finally:
        transport.close()
