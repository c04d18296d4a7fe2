"""Sends what happens at a BMC to those who subscribed to it (DSP0266, "Push style eventing")."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable

import aiohttp
from yarl import URL

from .redfish.station import Station

_GLANCE = 0.5  # seconds between two looks at the machine
_ATTEMPTS, _INTERVAL = 3, 30.0  # what the EventService says of itself
_PATIENCE = aiohttp.ClientTimeout(total=5.0)


class Delivery:
    """The deliveries of one BMC. Belongs to one event loop.

    It knocks on loopback and at whoever subscribed, nowhere else. Certificates are not verified: that is
    EventDestination.VerifyCertificate, which is false where a client does not ask for it.
    """

    def __init__(self, station: Station, is_up: Callable[[], bool]) -> None:
        self._station = station
        self._is_up = is_up
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, ident: str, subscriber: str) -> None:
        """Deliver to the destination with this Id, which *subscriber* (an address) asked for, until it is deleted."""
        told = self._station.events.destination(ident)
        url = URL(told["Destination"]) if told is not None else URL()
        if url.host is not None and (url.host == subscriber or _is_loopback(url.host)):
            task = asyncio.ensure_future(self._run(ident, url))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Deliver nothing any more."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, ident: str, url: URL) -> None:
        sent = self._station.events.number
        async with aiohttp.ClientSession(timeout=_PATIENCE) as client:
            while True:
                await asyncio.sleep(_GLANCE)
                with self._station.exclusive():
                    if self._station.events.destination(ident) is None:
                        return
                    happened = self._station.events.after(sent) if self._is_up() else []
                for number, body in happened:
                    sent = number
                    await self._deliver(client, url, body)

    async def _deliver(self, client: aiohttp.ClientSession, url: URL, body: bytes) -> None:
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(_INTERVAL)
            if await self._post(client, url, body):
                return

    async def _post(self, client: aiohttp.ClientSession, url: URL, body: bytes) -> bool:
        headers = {"Content-Type": "application/json"}
        try:
            async with client.post(url, data=body, headers=headers, ssl=False, allow_redirects=False) as answer:
                return answer.status < 300
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
