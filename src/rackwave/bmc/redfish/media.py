"""Virtual media: images over the network in the place of a disc or a stick.

A slot takes an image by its InsertMedia action or, where it has none, by PATCH of the slot itself (XCC as
recorded; the way of VirtualMedia before v1_3). Supermicro shows EjectMedia only while something is in.
"""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen

from ...core.receipt import Ground, Receipt, Refused
from ...errors import NodeError
from ...ports import Clock
from . import receipts
from .document import Document, dig, link, strings, text, uri_path
from .inventory import last
from .patch import Patcher
from .resources import Service
from .session import Session

WAY = "VirtualMedia"


class MediaKind(StrEnum):
    """What the host sees."""

    CD = "cd"
    USB = "usb"


_TYPES = {MediaKind.CD: {"CD", "DVD"}, MediaKind.USB: {"USBStick", "Floppy"}}


@frozen
class Slot:
    """A virtual media slot. *image* is what is inserted; None: it is free.

    *insert* and *eject* are the targets of its actions; None: it is patched instead. *is_protected*: the
    host cannot write to what is inserted; None where the service does not tell.
    """

    uri: str
    image: str | None
    insert: str | None
    eject: str | None
    kinds: frozenset[MediaKind] = frozenset()
    is_protected: bool | None = None

    @property
    def name(self) -> str:
        """What the BMC calls it."""
        return last(self.uri)

    @property
    def is_free(self) -> bool:
        """Whether nothing is inserted."""
        return self.image is None

    @property
    def can_eject(self) -> bool:
        """Whether what is inserted can be taken out again."""
        return self.eject is not None or self.insert is None


class VirtualMedia:
    """The virtual media of one BMC. What cannot be read raises, as in `Inspection`."""

    def __init__(self, session: Session, service: Service, clock: Clock, patcher: Patcher) -> None:
        self._session = session
        self._service = service
        self._clock = clock
        self._patcher = patcher

    async def slots(self) -> tuple[Slot, ...]:
        """Return the virtual media slots that can take an image over the network.

        Raises:
            NodeError: they cannot be read.
        """
        found = []
        for document in (await self._service.manager(), await self._service.system()):
            collection = link(document, "VirtualMedia")
            if collection is None:
                continue
            for uri in await self._service.members(collection):
                slot = slot_of(uri, (await self._service.get(uri)).document)
                if slot is not None:
                    found.append(slot)
            if found:
                break  # newer services show the same slots under the system as well
        return tuple(found)

    async def free_slot(self, kind: MediaKind) -> Slot | None:
        """Return a free slot that shows itself as *kind*, the one that does nothing else first.

        Raises:
            NodeError: they cannot be read.
        """
        fitting = [slot for slot in await self.slots() if slot.is_free and kind in slot.kinds]
        return min(fitting, key=lambda slot: len(slot.kinds), default=None)

    async def insert(self, slot: Slot, url: str, *, write_protected: bool = True) -> Receipt:
        """Have the BMC fetch *url* into *slot*, once; refused where somebody uses it."""
        if not slot.is_free:
            return Refused(f"{slot.uri} is in use")
        body = {"Image": url, "Inserted": True, "WriteProtected": write_protected}
        return await self._act(slot, slot.insert, body)

    async def eject(self, slot: Slot) -> Receipt:
        """Empty *slot*, once."""
        if not slot.can_eject:
            return Refused(f"{slot.uri} has no EjectMedia", ground=Ground.UNABLE)
        return await self._act(slot, slot.eject, {} if slot.eject is not None else {"Image": None, "Inserted": False})

    async def _act(self, slot: Slot, target: str | None, body: dict[str, object]) -> Receipt:
        try:
            if target is None:
                return await self._patcher.plain(slot.uri, body, way=WAY)
            answer = await self._session.act("POST", target, body)
        except NodeError as error:
            return receipts.of_error(error)
        return receipts.of_answer(answer, way=WAY, now=self._clock.now())


def slot_of(uri: str, document: Document) -> Slot | None:
    """Read a VirtualMedia resource; None for one that takes nothing over the network."""
    insert = uri_path(dig(document, "Actions", "#VirtualMedia.InsertMedia", "target"))
    types = set(strings(document, "MediaTypes"))
    if insert is None and not ("Inserted" in document and "Image" in document and types):
        return None
    image = text(document, "Image") or text(document, "ImageName")
    if dig(document, "Inserted") is True and image is None:
        image = "(not told)"
    eject = uri_path(dig(document, "Actions", "#VirtualMedia.EjectMedia", "target"))
    kinds = frozenset(kind for kind, names in _TYPES.items() if types & names)
    protected = dig(document, "WriteProtected")
    return Slot(uri, image, insert, eject, kinds, protected if isinstance(protected, bool) else None)
