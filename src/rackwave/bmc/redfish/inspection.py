"""Questions that ``rackwave doctor`` asks a BMC: its clock, its sessions, and whether it can fetch from us."""

from __future__ import annotations

from ...core.receipt import Accepted, Ambiguous, Receipt, Refused
from ...errors import BmcAnswerError
from ...ports import Clock
from .answer import epoch
from .document import text
from .media import VirtualMedia
from .resources import Service
from .session import Session


class Inspection:
    """Looks at one BMC. Unlike `RedfishBmc.observe`, what cannot be read raises: doctor tells why."""

    def __init__(self, session: Session, service: Service, clock: Clock, media: VirtualMedia) -> None:
        self._session = session
        self._media = media
        self._service = service
        self._clock = clock

    async def clock_ahead(self) -> float:
        """Return by how many seconds the BMC's clock is ahead of ours (P33); negative: it is behind.

        Raises:
            NodeError: it cannot be read; BmcAnswerError: the manager tells no time.
        """
        date = text(await self._service.manager(), "DateTime")
        told = epoch(date)
        if told is None:
            raise BmcAnswerError(f"{self._session.node}: the manager tells no DateTime", node=self._session.node)
        return told - self._clock.now()

    async def open_sessions(self) -> int:
        """Return how many sessions are open on the BMC, ours included (P26)."""
        await self._service.root()
        return len(await self._service.members(self._session.collection))

    async def can_fetch(self, url: str) -> Receipt:
        """Try whether the BMC can fetch *url*: insert it as virtual media, and eject it again.

        Nothing is flashed and nothing boots from it. Accepted: it says that it could; the image
        server's log knows better, since some services answer before they fetch.

        Raises:
            NodeError: the slots cannot be read.
        """
        slot = next((slot for slot in await self._media.slots() if slot.is_free and slot.can_eject), None)
        if slot is None:
            return Refused("the BMC has no free virtual media slot to try it with")
        receipt = await self._media.insert(slot, url)
        if isinstance(receipt, Accepted | Ambiguous):
            ejected = await self._media.eject(slot)
            if not isinstance(ejected, Accepted):
                return Ambiguous(f"the probe image may still be inserted in {slot.uri}: {ejected.reason}")
        return receipt
