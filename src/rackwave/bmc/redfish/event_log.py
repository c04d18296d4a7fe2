"""The machine's own event log: which of the service's logs that is, and its newest entries, in few requests.

Rules:

- The system's logs come before the manager's. Of several the one named as a machine's log is taken
  (`_NAMES`, from recorded services); audits, journals, POST codes and dumps are none.
- A log of several pages that runs upward is read from its end: the ``$skip`` of its own nextLink is set, so
  that a log of 4,096 entries costs two requests and not eighty. Where that is not possible, page by page.
- Entries that are only linked are read one by one, the newest first, `_LINKED` at most.
- A deasserted event is no evil, whatever severity it carries: it says that one has ended.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ...core.log import LogEntry, LogMark, LogNews, Severity, date_of, in_order, news
from ...errors import BmcAnswerError, BmcRefusedError
from .document import Document, items, link, text, uri_path, without_grants
from .inventory import last
from .resources import Service

_NAMES = ("sel", "iml", "eventlog", "log1", "platformlog", "log", "standardlog", "systemlog")
"""What makes call a machine's log, the best first: iDRAC, XCC and OpenBMC SEL; iLO; bmcweb; Supermicro; XCC.
Supermicro's Log1 under the manager is its audit, so that its system's comes first."""

_PAGES = 24
_LINKED = 32
_SKIP = re.compile(r"(\$skip=)(\d+)")

_SEVERITIES = {
    "ok": Severity.OK,
    "informational": Severity.OK,
    "info": Severity.OK,
    "warning": Severity.WARNING,
    "caution": Severity.WARNING,
    "critical": Severity.CRITICAL,
    "fatal": Severity.CRITICAL,
}


class EventLog:
    """The event log of one machine. Where it is, is found once."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._entries: str | None = None
        self._log = ""

    async def read(self, since: LogMark | None, limit: int) -> LogNews:
        """Return the newest *limit* entries, or those since a mark.

        Raises:
            NodeError: they cannot be read; BmcAnswerError: the service has no such log.
        """
        uri = await self._entries_uri()
        told, more = await self._tail(uri, since, limit)
        entries = [entry_of(document, place) for place, document in told.items()]
        found = news(self._log, entries, since, more=more)
        if len(found.entries) <= limit:
            return found
        return LogNews(found.mark, found.entries[-limit:], found.cleared, more=True)

    async def mark(self) -> LogMark:
        """Return where the log stands.

        Raises:
            NodeError: as `read`.
        """
        return (await self.read(None, 1)).mark

    async def _entries_uri(self) -> str:
        if self._entries is not None:
            return self._entries
        # One after the other: the manager costs requests, and few keep the log there.
        for owner in (self._service.known_system, self._service.manager):
            collection = link(await owner(), "LogServices")
            if collection is None:
                continue
            named = {last(uri).lower(): uri for uri in await self._service.members(collection)}
            for name in _NAMES:
                if name in named and (uri := await self._entries_of(named[name])) is not None:
                    self._log, self._entries = named[name], uri
                    return uri
        node = self._service.node
        raise BmcAnswerError(f"{node}: the BMC shows no event log of the machine", node=node)

    async def _entries_of(self, uri: str) -> str | None:
        try:
            log = (await self._service.get(uri)).document
        except BmcRefusedError:
            return None  # listed and not there: the next best one
        return None if log.get("ServiceEnabled") is False else link(log, "Entries")

    async def _tail(self, uri: str, since: LogMark | None, limit: int) -> tuple[dict[str, Document], bool]:
        """The entries at the new end of the log by URI, and whether it has more than these."""
        first = (await self._service.get(uri)).document
        found = await self._members(first, limit)
        following = uri_path(first.get("Members@odata.nextLink"))
        count, size = first.get("Members@odata.count"), len(items(first, "Members"))
        if following is None:
            return found, isinstance(count, int) and count > size
        if _runs_upward(list(found.values())):
            if isinstance(count, int) and count > size > 0 and _SKIP.search(following):
                return await self._backward(following, since, limit, count=count, size=size)
            limit = _PAGES * max(size, 1)  # the new end is the last page: all of them are to be read
        return await self._forward(found, following, since, limit)

    async def _forward(
        self, found: dict[str, Document], following: str | None, since: LogMark | None, limit: int
    ) -> tuple[dict[str, Document], bool]:
        for _ in range(_PAGES):
            if following is None or _is_enough(found, since, limit):
                break
            page = (await self._service.get(following)).document
            found |= await self._members(page, limit)
            following = uri_path(page.get("Members@odata.nextLink"))
        return found, following is not None

    async def _backward(
        self, form: str, since: LogMark | None, limit: int, *, count: int, size: int
    ) -> tuple[dict[str, Document], bool]:
        found: dict[str, Document] = {}
        start = last_page = (count - 1) // size * size
        for _ in range(_PAGES):
            page = (await self._service.get(_SKIP.sub(rf"\g<1>{start}", form))).document
            found = await self._members(page, limit) | found
            following = uri_path(page.get("Members@odata.nextLink"))
            if following is not None and start == last_page:  # entries came since the count was told
                found |= await self._members((await self._service.get(following)).document, limit)
            if start == 0 or _is_enough(found, since, limit):
                break
            start -= size
        return found, start > 0

    async def _members(self, page: Document, limit: int) -> dict[str, Document]:
        members = [member for member in items(page, "Members") if isinstance(member, Mapping)]
        places = {place: member for member in members if (place := link(member)) is not None}
        linked = [place for place, member in places.items() if len(member) == 1]
        for place in _newest_first(linked)[: min(limit, _LINKED)]:
            places[place] = (await self._service.get(place)).document
        return {place: member for place, member in places.items() if len(member) > 1}


def entry_of(document: Document, place: str) -> LogEntry:
    """Read a LogEntry."""
    word = text(document, "Severity") or text(document, "MessageSeverity") or ""
    severity = _SEVERITIES.get(word.lower(), Severity.UNKNOWN)
    if (text(document, "EntryCode") or "").lower().startswith("deassert"):
        severity = Severity.OK
    message = text(document, "Message") or text(document, "MessageId") or text(document, "Name") or ""
    return LogEntry(
        id=text(document, "Id") or last(place),
        created=text(document, "Created") or text(document, "EventTimestamp") or "",
        severity=severity,
        message=without_grants(message),
        code=text(document, "MessageId") or "",
    )


def _runs_upward(documents: Sequence[Document]) -> bool:
    """Whether a page begins with the older entries; so it is taken to be where nothing tells."""
    entries = [entry_of(document, "") for document in documents]
    ordered = in_order(entries)
    return not entries or ordered[0] == entries[0] or date_of(entries[0].created) == date_of(entries[-1].created)


def _is_enough(found: Mapping[str, Document], since: LogMark | None, limit: int) -> bool:
    if len(found) >= limit:
        return True
    return since is not None and any(text(document, "Id") == since.last for document in found.values())


def _newest_first(places: Sequence[str]) -> list[str]:
    numbers = [last(place) for place in places]
    if all(number.isascii() and number.isdigit() for number in numbers):
        return sorted(places, key=lambda place: -int(last(place)))
    return list(reversed(places))
