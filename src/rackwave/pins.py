"""The pins of a rack: by which key each BMC is believed that shows no certificate of a known authority.

A pin is set at the first meeting (``tls = "pin"`` in the inventory) and changed by nobody but a person, or by
an update of ours that is known to make a new key (docs/security.md).
"""

from __future__ import annotations

from .core.event import PinForgotten, Pinned
from .core.identity import NodeName
from .core.pin import PinGround, PinStatus, Trust, fingerprint
from .engine.logbook import Logbook
from .errors import UsageError
from .fleet import Fleet


class Pins:
    """What the journal says of pins, and the ways in which a person changes it; *by* is who asks."""

    def __init__(self, logbook: Logbook, fleet: Fleet, *, by: str) -> None:
        self._logbook = logbook
        self._fleet = fleet
        self._by = by

    def status(self, nodes: str | None = None) -> tuple[PinStatus, ...]:
        """Return how each node's BMC is believed, and by which key where it is pinned."""
        self._logbook.refresh()
        known = {node: history.pin for node, history in self._logbook.ledger.nodes.items() if history.pin is not None}
        found = []
        for node in self._fleet.select(nodes):
            pin = known.get(node.name)
            shared = sorted(other for other, its in known.items() if pin and its.key == pin.key and other != node.name)
            found.append(PinStatus(node.name, self._fleet.managed(node.name).trust, pin, tuple(shared)))
        return tuple(found)

    async def accept(self, node: str, key: str) -> tuple[PinStatus, ...]:
        """Believe the BMC of *node* by *key* from now on.

        Raises:
            UsageError: *node* is not one node that is pinned, or *key* is no fingerprint.
        """
        wanted, pinned = fingerprint(key), self._pinned(node)
        if len(pinned) != 1:
            raise UsageError(
                f"{node} stands for {len(pinned)} nodes", advice="Each BMC has a key of its own: name one."
            )
        before = self._logbook.node(pinned[0]).pin
        uuid = before.uuid if before is not None else ""
        await self._logbook.record(Pinned(pinned[0], wanted, PinGround.ACCEPTED, uuid, self._by))
        return self.status(node)

    async def forget(self, nodes: str) -> tuple[PinStatus, ...]:
        """Meet the BMCs of *nodes* as for the first time.

        Raises:
            UsageError: one of them is not pinned.
        """
        names = [name for name in self._pinned(nodes) if self._logbook.node(name).pin is not None]
        await self._logbook.record(*(PinForgotten(name, self._by) for name in names))
        return self.status(nodes)

    def _pinned(self, nodes: str) -> tuple[NodeName, ...]:
        self._logbook.refresh()
        names = tuple(node.name for node in self._fleet.select(nodes))
        for name in names:
            if self._fleet.managed(name).trust is not Trust.PIN:
                raise UsageError(f"{name} is not pinned", advice='The inventory says otherwise: set tls = "pin" there.')
        return names
