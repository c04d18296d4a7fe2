"""Which member of the FirmwareInventory is a component, whatever its make calls it (P44).

Rules:

- A member whose Id is the component's name is the component, on every make.
- Otherwise a quirk's `Naming` finds it by patterns, read from what the members say of themselves.
- Two members that fit leave it Unknown, with both named: which of two is meant is nobody's to guess.
- What was found is kept and proved again at each reading. A member that is gone, or says that it is
  something else now, is looked for anew: iDRAC's URIs hold the version and move with each update, iLO's
  are numbers that move when a device comes or goes.

Example: for ``BIOS`` an iDRAC has ``Installed-159-1.8.2__BIOS.Setup.1-1``, an iLO the member ``2`` with the
Name "System ROM", an XCC ``UEFI`` and, for what waits for a reset, ``UEFI-Pending``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from urllib.parse import unquote

from ...core.identity import ComponentName
from ...core.observation import NOT_ASKED, Component, Lack, Unknown
from ..quirks import Naming, Quirks
from .document import Document, segments, text
from .session import Session

_PENDING = ("{name}-Pending", "{name}_Pending", "{name}-Staged", "{name}_Staged")
"""What services call the SoftwareInventory member that shows the version that waits for a reset, where no
quirk says otherwise; others list such a member only while something waits. Supermicro's ``Staging_BIOS``
is none of these: it holds the last upload for ever, applied or not."""

_PENDING_STATES = ("StandbySpare", "StandbyOffline", "Updating", "Enabled")
"""Status.State of a pending member that holds something; XCC says Disabled while it is empty."""

Listing = Callable[[], Awaitable[tuple[str, ...]]]
Names = Callable[[], Awaitable[Quirks]]


class FirmwareInventory:
    """The components of one BMC.

    Args:
        session: reads the members.
        listing: lists their URIs, from the BMC.
        known: how this make calls components, as far as that is known without asking.
        names: the same for certain, which may cost requests; called only where a name is nobody's Id.
    """

    def __init__(self, session: Session, *, listing: Listing, known: Callable[[], Quirks], names: Names) -> None:
        self._session = session
        self._listing = listing
        self._known = known
        self._names = names
        self._uris: tuple[str, ...] | None = None
        self._found: dict[ComponentName, tuple[str, Naming | None]] = {}
        self._shows_staged = False

    async def member(self, name: ComponentName) -> tuple[str, Document] | Unknown:
        """Find the member that is *name*, and read it."""
        known = self._found.get(name)
        if known is not None:
            uri, naming = known
            document = await self._read(uri)
            if document is not None and (naming is None or _is(document, uri, naming, name)):
                return uri, document
            del self._found[name]
            self._uris = None
        found = await self._find(name)
        if isinstance(found, Unknown):
            self._uris = None  # it may be listed later: NICs come with the host (P45)
        return found

    async def component(self, name: ComponentName) -> Component:
        """Read what is installed of *name*."""
        found = await self.member(name)
        if isinstance(found, Unknown):
            return Component(name, found)
        installed = text(found[1], "Version")  # null for a NIC while the host is off (P45)
        return Component(name, installed or Unknown(f"{name} has no Version"))

    async def staged(self, name: ComponentName) -> str | Unknown | None:
        """Read which version of *name* waits for a reset; NOT_ASKED where the service has no place to show it.

        Such a member comes and goes, so the inventory is listed anew. That it is missing means "none
        waits" only on a service that has shown one before.
        """
        naming = self._known().naming(name)
        patterns = naming.staged if naming is not None and naming.staged else _PENDING
        self._uris = await self._listing()
        uris = [uri for uri in self._uris if _like(last(uri), patterns, name)]
        if len(uris) > 1:
            return _ambiguous(f"show what waits of {name}", uris)
        document = await self._read(uris[0]) if uris else None
        if document is None:
            return None if self._shows_staged else NOT_ASKED
        self._shows_staged = True
        if text(document, "Status", "State") not in _PENDING_STATES:
            return None
        return text(document, "Version")

    async def _find(self, name: ComponentName) -> tuple[str, Document] | Unknown:
        uris = await self._list()
        # A member's URI ends in its Id nearly everywhere, which saves reading all of them.
        for uri in uris:
            if last(uri) == name and (document := await self._read(uri)) is not None and _id(document, uri) == name:
                self._found[name] = (uri, None)
                return uri, document
        naming = (await self._names()).naming(name)
        fits: list[tuple[str, Document]] = []
        for uri in uris:
            if naming is not None and naming.id and not _like(last(uri), naming.id, name):
                continue
            document = await self._read(uri)
            if document is None:
                continue
            if _id(document, uri) == name:
                self._found[name] = (uri, None)
                return uri, document
            if naming is not None and _is(document, uri, naming, name):
                fits.append((uri, document))
        if len(fits) > 1:
            return _ambiguous(f"may be {name}", [uri for uri, _ in fits])
        if not fits:
            return Unknown(f"the BMC lists no component {name}", Lack.ABSENT)
        self._found[name] = (fits[0][0], naming)
        return fits[0]

    async def _list(self) -> tuple[str, ...]:
        if self._uris is None:
            self._uris = await self._listing()
        return self._uris

    async def _read(self, uri: str) -> Document | None:
        """Read a member; None where it is gone."""
        answer = await self._session.get(uri, gone_is_news=True)
        return None if answer.status in (404, 410) else answer.document


def _is(document: Document, uri: str, naming: Naming, name: str) -> bool:
    """Whether everything that *naming* tells of *name* is true of this member."""
    told = (
        (naming.id, _id(document, uri)),
        (naming.title, text(document, "Name")),
        (naming.software_id, text(document, "SoftwareId")),
        (naming.description, text(document, "Description")),
    )
    given = [(patterns, word) for patterns, word in told if patterns]
    return bool(given) and all(word is not None and _like(word, patterns, name) for patterns, word in given)


def _like(word: str, patterns: tuple[str, ...], name: str) -> bool:
    return any(fnmatchcase(word, pattern.replace("{name}", name)) for pattern in patterns)


def _id(document: Document, uri: str) -> str:
    return text(document, "Id") or last(uri)


def _ambiguous(what: str, uris: list[str]) -> Unknown:
    named = ", ".join(sorted(last(uri) for uri in uris)[:6])
    more = f" and {len(uris) - 6} more" if len(uris) > 6 else ""
    return Unknown(f"{len(uris)} members {what}: {named}{more}; name one of them by its Id")


def last(uri: str) -> str:
    """The last segment of *uri*, as a person would write it."""
    parts = segments(uri)
    return unquote(parts[-1]) if parts else ""
