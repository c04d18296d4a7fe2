"""The pins of a fleet's BMCs, kept in the journal."""

from __future__ import annotations

from ..core.event import Pinned
from ..core.identity import Digest, NodeName
from ..core.pin import Pin, PinGround
from ..core.repin import Repin, why_not_repin
from ..ports import Clock
from .logbook import Logbook


class JournalledKeys:
    """By which key one node's BMC is believed: a `ports.KeyBook`."""

    def __init__(self, node: NodeName, logbook: Logbook, clock: Clock, repin: Repin) -> None:
        self._node = node
        self._logbook = logbook
        self._clock = clock
        self._repin: Repin = repin

    @property
    def pin(self) -> Pin | None:
        """What the journal has."""
        return self._logbook.node(self._node).pin

    @property
    def serial(self) -> str:
        """The serial number that was recorded when the node was first met."""
        identity = self._logbook.node(self._node).identity
        return identity.serial if identity is not None else ""

    def why_not(self, key: Digest, uuid: str) -> str | None:
        """Return why *key* cannot take the pin's place by itself (core/repin.py)."""
        others = any(
            history.pin is not None and history.pin.key == key
            for node, history in self._logbook.ledger.nodes.items()
            if node != self._node
        )
        history = self._logbook.node(self._node)
        return why_not_repin(history, uuid, repin=self._repin, now=self._clock.now(), others=others)

    async def record(self, key: Digest, ground: PinGround, uuid: str) -> None:
        """Journal the new pin."""
        await self._logbook.record(Pinned(self._node, key, ground, uuid))
