"""Events that a BMC sends to us (DSP0266, EventDestination), where it offers no stream to be listened to.

Rules, beside those of ``events.py``:

- One subscription a BMC, made when a long wait begins and deleted with the adapter. Its Context names our
  installation and the node; one that an earlier run of ours left is deleted first. Those of others are never touched.
- Where our session had to be made anew the BMC may have restarted, and some forget subscriptions then: it is looked
  whether ours still stands.
- A BMC that refuses it, or has no room, is not asked again; polling goes on as without.
"""

from __future__ import annotations

from contextlib import suppress

from ...core.identity import NodeName
from ...errors import BmcAmbiguousError, BmcRefusedError, NodeError, SecretError, StateError
from ...ports import EventDoors, Knocked
from .document import Document, items, link, strings, text, uri_path
from .session import Session

CONTEXT = "rackwave"
_MOST_LOOKED_AT = 16
"""Subscriptions that are looked through for one of ours: services list 0 to 16 at most (recorded trees)."""


class Subscription:
    """Has one BMC send its events to a door of ours. Usable from one event loop."""

    def __init__(self, session: Session, doors: EventDoors) -> None:
        self._session = session
        self._node = NodeName(session.node)
        self._doors = doors
        self._members: str | None = None
        """Where it was asked for; None: it was not, or is ended."""
        self._uri: str | None = None
        """Where it is; None: nobody told."""
        self._token: object = None
        """The session's token when it was last known to stand."""

    async def subscribe(self, service: Document, knocked: Knocked) -> bool:
        """Subscribe at the EventService *service*, once; whether the BMC took it, or may have. No failure is raised."""
        members = link(service, "Subscriptions")
        if members is None or (self._members is not None and await self._stands()):
            return members is not None
        self._token = self._session.held
        try:
            await self._delete_ours(members)
            destination = await self._doors.open_door(self._node, knocked)
            self._members = members
            answer = await self._session.act("POST", members, self._asked(service, destination))
        except BmcAmbiguousError:
            return True  # it may stand: the door stays open, and it is ended like any other
        except (NodeError, SecretError, StateError):
            await self._give_up()
            return False
        if not answer.ok:
            await self._give_up()
            return False
        self._uri = uri_path(answer.headers.get("Location")) or uri_path(answer.document_or_empty.get("@odata.id"))
        return True

    async def _stands(self) -> bool:
        """Whether the subscription is still there; asked where a new session says that the BMC may have restarted."""
        if self._uri is None or self._token == self._session.held:
            return True
        try:
            found = text((await self._session.get(self._uri)).document, "Context") == self._context
        except BmcRefusedError:
            found = False
        except (NodeError, SecretError):
            return True  # unread is not gone: asked again at the next long wait
        self._token = self._session.held
        return found

    async def close(self) -> None:
        """Delete the subscription, as far as the BMC lets us, and shut the door."""
        members, uri = self._members, self._uri
        await self._give_up()
        if members is None or self._session.held is None:
            return
        with suppress(NodeError, SecretError):  # what stays is found by its Context the next time
            if uri is not None:
                await self._session.act("DELETE", uri)
            else:
                await self._delete_ours(members)

    @property
    def _context(self) -> str:
        return f"{CONTEXT} {self._doors.installation} {self._node}"

    async def _give_up(self) -> None:
        self._members = self._uri = None
        await self._doors.shut_door(self._node)

    def _asked(self, service: Document, destination: str) -> dict[str, object]:
        asked: dict[str, object] = {
            "Destination": destination,
            "Protocol": "Redfish",
            "Context": self._context,
        }
        kinds = [kind for kind in strings(service, "EventTypesForSubscription") if kind != "MetricReport"]
        if kinds and not strings(service, "RegistryPrefixes"):
            asked["EventTypes"] = kinds  # deprecated, and asked for by services from before RegistryPrefixes
        return asked

    async def _delete_ours(self, members: str) -> None:
        listed = (await self._session.get(members)).document
        for member in items(listed, "Members")[:_MOST_LOOKED_AT]:
            uri = link({"": member}, "")
            if uri is not None and text((await self._session.get(uri)).document, "Context") == self._context:
                await self._session.act("DELETE", uri)
