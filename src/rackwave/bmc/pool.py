"""One BMC adapter a node, made when it is first needed and closed when nobody needs it any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from attrs import frozen

from ..core.identity import NodeName
from ..errors import NodeError, SecretError
from .failover import FailoverBmc
from .ipmi.bmc import IpmiBmc
from .redfish.bmc import RedfishBmc


@frozen
class Connected:
    """A node's BMC by every way that it has, and each way by itself, None where it has not that one."""

    bmc: FailoverBmc
    redfish: RedfishBmc | None = None
    ipmi: IpmiBmc | None = None


Connect = Callable[[NodeName], Connected]
Leftovers = Callable[[NodeName], Iterable[str]]
Closed = Callable[[NodeName, str], Awaitable[None]]


class BmcPool:
    """Hands out the adapter of each node.

    Before a node is first used, the sessions that a killed run left open on its BMC are closed: BMCs
    allow few at a time, and keep each for half an hour (P26).
    """

    def __init__(self, connect: Connect, *, leftovers: Leftovers, closed: Closed) -> None:
        self._connect = connect
        self._leftovers = leftovers
        self._closed = closed
        self._nodes: dict[NodeName, Connected] = {}

    async def get(self, node: NodeName) -> Connected:
        """Return the adapter of *node*, the same one until it is released."""
        known = self._nodes.get(node)
        if known is not None:
            return known
        made = self._nodes[node] = self._connect(node)
        if made.redfish is not None:
            await self._close_leftovers(node, made.redfish)
        return made

    async def _close_leftovers(self, node: NodeName, bmc: RedfishBmc) -> None:
        for uri in tuple(self._leftovers(node)):
            try:
                gone = await bmc.close_leftover(uri)
            except (NodeError, SecretError):
                continue  # it cannot be reached now; the next run finds it in the journal again
            if gone:
                await self._closed(node, uri)

    async def release(self, node: NodeName) -> None:
        """Close the adapter of *node* and the sessions it holds."""
        known = self._nodes.pop(node, None)
        if known is not None:
            await known.bmc.close()

    async def close(self) -> None:
        """Close every adapter."""
        await asyncio.gather(*(self.release(node) for node in tuple(self._nodes)), return_exceptions=True)
