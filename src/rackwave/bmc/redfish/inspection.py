"""Questions that ``rackwave doctor`` asks a BMC: its clock, its sessions, and whether it can fetch from us."""

from __future__ import annotations

from attrs import frozen

from ...core.receipt import Accepted, Ambiguous, Receipt, Refused
from ...errors import BmcAnswerError, NodeError
from ...ports import Clock
from . import receipts
from .answer import epoch
from .document import dig, link, text, uri_path
from .resources import Service
from .session import Session

WAY = "VirtualMedia"


@frozen
class Slot:
    """A virtual media slot. *image* is what is inserted; None: it is free."""

    uri: str
    image: str | None
    insert: str
    eject: str | None

    @property
    def is_free(self) -> bool:
        """Whether nothing is inserted."""
        return self.image is None


class Inspection:
    """Looks at one BMC. Unlike `RedfishBmc.observe`, what cannot be read raises: doctor tells why."""

    def __init__(self, session: Session, service: Service, clock: Clock) -> None:
        self._session = session
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

    async def slots(self) -> tuple[Slot, ...]:
        """Return the virtual media slots that can take an image over the network."""
        found = []
        for document in (await self._service.manager(), await self._service.system()):
            collection = link(document, "VirtualMedia")
            if collection is None:
                continue
            for uri in await self._service.members(collection):
                slot = _slot(uri, (await self._service.get(uri)).document)
                if slot is not None:
                    found.append(slot)
            if found:
                break  # newer services show the same slots under the system as well
        return tuple(found)

    async def insert_media(self, slot: Slot, url: str) -> Receipt:
        """Have the BMC fetch *url* into *slot*; refused where somebody uses it."""
        if not slot.is_free:
            return Refused(f"{slot.uri} is in use")
        body = {"Image": url, "Inserted": True, "WriteProtected": True}
        return await self._act(slot.insert, body)

    async def eject_media(self, slot: Slot) -> Receipt:
        """Empty *slot*."""
        if slot.eject is None:
            return Refused(f"{slot.uri} has no EjectMedia")
        return await self._act(slot.eject, {})

    async def can_fetch(self, url: str) -> Receipt:
        """Try whether the BMC can fetch *url*: insert it as virtual media, and eject it again.

        Nothing is flashed and nothing boots from it. Accepted: it says that it could; the image
        server's log knows better, since some services answer before they fetch.

        Raises:
            NodeError: the slots cannot be read.
        """
        slot = next((slot for slot in await self.slots() if slot.is_free and slot.eject is not None), None)
        if slot is None:
            return Refused("the BMC has no free virtual media slot to try it with")
        receipt = await self.insert_media(slot, url)
        if isinstance(receipt, Accepted | Ambiguous):
            ejected = await self.eject_media(slot)
            if not isinstance(ejected, Accepted):
                return Ambiguous(f"the probe image may still be inserted in {slot.uri}: {ejected.reason}")
        return receipt

    async def _act(self, target: str, body: dict[str, object]) -> Receipt:
        try:
            answer = await self._session.act("POST", target, body)
        except NodeError as error:
            return receipts.of_error(error)
        return receipts.of_answer(answer, way=WAY, now=self._clock.now())


def _slot(uri: str, document: object) -> Slot | None:
    insert = uri_path(dig(document, "Actions", "#VirtualMedia.InsertMedia", "target"))
    if insert is None:
        return None
    image = text(document, "Image") or text(document, "ImageName")
    if dig(document, "Inserted") is True and image is None:
        image = "(not told)"
    eject = uri_path(dig(document, "Actions", "#VirtualMedia.EjectMedia", "target"))
    return Slot(uri, image, insert, eject)
