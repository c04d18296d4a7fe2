"""One BMC adapter a node, made when it is first needed and closed when nobody needs it any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from ..core.identity import NodeName
from ..errors import NodeError
from .redfish.bmc import RedfishBmc

Connect = Callable[[NodeName], RedfishBmc]
Leftovers = Callable[[NodeName], Iterable[str]]
Closed = Callable[[NodeName, str], Awaitable[None]]


class RedfishPool:
    """Hands out the adapter of each node.

    Before a node is first used, the sessions that a killed run left open on its BMC are closed: BMCs
    allow few at a time, and keep each for half an hour (P26).
    """

    def __init__(self, connect: Connect, *, leftovers: Leftovers, closed: Closed) -> None:
        self._connect = connect
        self._leftovers = leftovers
        self._closed = closed
        self._bmcs: dict[NodeName, RedfishBmc] = {}

    async def get(self, node: NodeName) -> RedfishBmc:
        """Return the adapter of *node*, the same one until it is released."""
        bmc = self._bmcs.get(node)
        if bmc is not None:
            return bmc
        bmc = self._bmcs[node] = self._connect(node)
        for uri in tuple(self._leftovers(node)):
            try:
                gone = await bmc.close_leftover(uri)
            except NodeError:
                continue  # it cannot be reached now; the next run finds it in the journal again
            if gone:
                await self._closed(node, uri)
        return bmc

    async def release(self, node: NodeName) -> None:
        """Close the adapter of *node* and the session it holds."""
        bmc = self._bmcs.pop(node, None)
        if bmc is not None:
            await bmc.close()

    async def close(self) -> None:
        """Close every adapter."""
        await asyncio.gather(*(self.release(node) for node in tuple(self._bmcs)), return_exceptions=True)
