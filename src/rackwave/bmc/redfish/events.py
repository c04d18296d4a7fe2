"""What a BMC tells by itself, over a server-sent event stream (DSP0266, 13.5) or to a door of ours: news.

Rules:

- An event decides nothing. It only says that a look is worth its requests; the look then sees for
  itself. A lost event costs the time until the next look, a forged one costs a look.
- A stream is a connection more, and on some BMCs a subscription: there is one at most, opened where
  the service offers it, closed with the adapter, and never worth an error to anybody.
- News comes at most once in `GAP` seconds: a fan that flaps must not make us poll faster than without.
- A stream that breaks is opened again after what the service's ``retry`` asks for, ever later, naming
  the last event that came. One that is refused is not asked for again. None is worth a login: where the
  session has expired, looks make a new one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress

import aiohttp

from ...errors import BmcAnswerError, BmcRefusedError, NodeError, SecretError
from ...ports import Clock, EventDoors
from .document import Document, dig, items, link, message_id, text, uri_path
from .resources import Service
from .session import Session
from .sse import Parser, StreamTooLongError
from .subscription import Subscription

GAP = 5.0
"""Seconds between two pieces of news that are passed on: the pace of looks at something that is young."""

_RETRY, _RETRY_MOST = 5.0, 300.0
"""Seconds before a stream that broke is opened again, doubled each time that it brought nothing."""

_SILENCE = 600.0
"""Seconds without a byte, a comment included, after which a stream counts as dead: a connection through
a firewall that forgot it looks like one on which nothing happens."""

_NO_NEWS = frozenset({"TaskStarted", "TaskProgressChanged"})
"""Messages (their key alone) after which nothing can be done that could not before (DSP8011, TaskEvent)."""


class EventStream:
    """Listens to one BMC while somebody wants to be woken. Usable from one event loop."""

    def __init__(self, session: Session, service: Service, clock: Clock, doors: EventDoors | None = None) -> None:
        self._session = session
        self._service = service
        self._clock = clock
        self._listening: asyncio.Task[None] | None = None
        self._uri: str | None = None
        self._refused = False
        self._last_id = ""
        self._told_at: float | None = None
        self._later: asyncio.Task[None] | None = None
        self._subscription = Subscription(session, doors) if doors is not None else None
        self._subscribed: Document | None = None
        """The EventService that took our subscription."""

    async def listen(self, wake: Callable[[], None]) -> None:
        """Call *wake* when there is news, from now on; no effect where that is so already, or is not offered.

        Finds out once whether it is, which is one request; the stream itself is opened beside.
        """
        if not self._session.transport.budget.keeps_session:
            return  # it has so few that ours ends with each rest, and a stream with it
        if self._subscription is not None and self._subscribed is not None:
            await self._subscription.subscribe(self._subscribed, lambda told: self._hear(told, wake))
        if self._refused or (self._listening is not None and not self._listening.done()):
            return
        if self._uri is None:
            try:
                offered = await self._offered()
            except (NodeError, SecretError):
                return  # it could not be found out; whoever next wants to listen asks again
            self._uri = uri_path(text(offered, "ServerSentEventUri"))
            if self._uri is None:
                self._refused = True  # it is subscribed to, or it is not; either way it is not asked again
                if self._subscription is not None and offered:
                    taken = await self._subscription.subscribe(offered, lambda told: self._hear(told, wake))
                    self._subscribed = offered if taken else None
        if self._uri is not None:
            self._listening = asyncio.ensure_future(self._run(self._uri, wake))

    async def close(self) -> None:
        """Hang up, and end what was subscribed to."""
        tasks = [task for task in (self._listening, self._later) if task is not None]
        self._listening = self._later = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._subscription is not None:
            await self._subscription.close()

    async def _run(self, uri: str, wake: Callable[[], None]) -> None:
        wait = _RETRY
        while True:
            before, retry = self._last_id, None
            try:
                retry = await self._read(uri, wake)
            except BmcRefusedError as error:
                if error.status == 401:
                    return  # the session has expired; the next look makes one, and whoever rests then asks again
                if error.status not in (429, 503):
                    self._refused = True
                    return
            except (NodeError, aiohttp.ClientError, TimeoutError, StreamTooLongError):
                pass  # polling goes on, and meets whatever is wrong with the BMC
            wait = _RETRY if self._last_id != before else min(2 * wait, _RETRY_MOST)
            await self._clock.sleep(max(wait, min(retry or 0.0, _RETRY_MOST)))

    async def _offered(self) -> Document:
        """Return the EventService; empty: there is none, or it is switched off."""
        uri = link(await self._service.root(), "EventService")
        if uri is None:
            return {}
        try:
            document = (await self._session.get(uri)).document
        except BmcRefusedError:
            return {}
        if document.get("ServiceEnabled") is False:
            return {}  # iDRAC as it is delivered; what an administrator has switched off stays off
        return document

    async def _read(self, uri: str, wake: Callable[[], None]) -> float | None:
        """Read one stream to its end and return the wait that it asked for.

        Raises:
            BmcRefusedError: the service does not open it.
            BmcAnswerError: what it opens is no event stream.
        """
        token = self._session.held
        if token is None:
            raise BmcRefusedError(f"{self._session.node}: no session", node=self._session.node, status=401)
        headers = {"X-Auth-Token": token.key, "Accept": "text/event-stream"}
        if self._last_id:
            headers["Last-Event-ID"] = self._last_id
        node, parser = self._session.node, Parser()
        parser.last_id = self._last_id
        async with self._session.transport.stream(uri, headers, silence=_SILENCE) as response:
            if response.status != 200:
                raise BmcRefusedError(f"{node}: no events: HTTP {response.status}", node=node, status=response.status)
            if response.content_type != "text/event-stream":
                raise BmcAnswerError(f"{node}: {uri} is {response.content_type}, no event stream", node=node)
            async for chunk in response.content.iter_any():
                for event in parser.feed(chunk):
                    self._last_id = event.id
                    if is_news(event.data):
                        self._tell(wake)
        return parser.retry

    def _hear(self, told: str, wake: Callable[[], None]) -> None:
        if is_news(told):
            self._tell(wake)

    def _tell(self, wake: Callable[[], None]) -> None:
        """Pass news on, now or as soon as the last are old enough."""
        if self._later is not None and not self._later.done():
            return
        now = self._clock.monotonic()
        due = now if self._told_at is None else max(now, self._told_at + GAP)
        if due <= now:
            self._told_at = now
            wake()
        else:
            self._later = asyncio.ensure_future(self._tell_later(due - now, wake))

    async def _tell_later(self, seconds: float, wake: Callable[[], None]) -> None:
        await self._clock.sleep(seconds)
        self._told_at = self._clock.monotonic()
        wake()


def is_news(data: str) -> bool:
    """Whether an event may mean that something has come to its end; what cannot be read may."""
    document: object = None
    with suppress(ValueError, RecursionError):
        document = json.loads(data)
    events = items(document, "Events")
    if not events:
        return dig(document, "MetricValues") is None  # a report of sensors is none
    return any(message_id(event).rpartition(".")[2] not in _NO_NEWS for event in events)
