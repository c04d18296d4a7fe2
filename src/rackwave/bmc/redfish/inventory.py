"""Which member of the FirmwareInventory is a component, whatever its make calls it (P44).

Rules:

- A member whose Id is the component's name is the component, on every make; or Installed- and its name.
- Otherwise a quirk's `Naming` finds it by patterns, read from what the members say of themselves.
- Of members Current-, Installed- and Previous- the installed one counts: it is what runs. A pattern may mean
  the Id with such a word before it, or without.
- Two members that fit leave it Unknown, with both named: which of two is meant is nobody's to guess.
- What was found is kept and proved again at each reading. A member that is gone, or says that it is
  something else now, is looked for anew: iDRAC's URIs hold the version and move with each update, iLO's
  are numbers that move when a device comes or goes.

Example: for ``BIOS`` an iDRAC has ``Installed-159-1.8.2__BIOS.Setup.1-1``, an iLO the member ``2`` with the
Name "System ROM", an XCC ``UEFI`` and, for what waits for a reset, ``UEFI-Pending``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Protocol
from urllib.parse import unquote

from attrs import frozen

from ...core.identity import ComponentName
from ...core.observation import NOT_ASKED, Component, Lack, Unknown
from ...errors import UsageError
from ..quirks import Naming, Quirks
from .document import Document, segments, text
from .session import Session

_PENDING = ("{name}-Pending", "{name}_Pending", "{name}-Staged", "{name}_Staged")
"""What services call the SoftwareInventory member that shows the version that waits for a reset, where no
quirk says otherwise; others list such a member only while something waits. Supermicro's ``Staging_BIOS``
is none of these: it holds the last upload for ever, applied or not."""

_PENDING_STATES = ("StandbySpare", "StandbyOffline", "Updating", "Enabled")
"""Status.State of a pending member that holds something; XCC says Disabled while it is empty."""

_CURRENT, _INSTALLED, _PREVIOUS = "Current-", "Installed-", "Previous-"
"""How Ids begin that tell a status before the part: iDRAC's, and those of services that took after it."""

Listing = Callable[[], Awaitable[tuple[str, ...]]]
Names = Callable[[], Awaitable[Quirks]]


@frozen
class Label:
    """What a member says that it is."""

    id: str
    title: str | None
    software_id: str | None
    description: str | None

    def is_meant(self, naming: Naming, name: str) -> bool:
        """Whether everything that *naming* tells of *name* is true of it."""
        told = (
            (naming.title, self.title),
            (naming.software_id, self.software_id),
            (naming.description, self.description),
        )
        given = [(patterns, word) for patterns, word in told if patterns]
        if naming.id and not _means(self.id, naming.id, name):
            return False
        is_told = bool(naming.id or given)
        return is_told and all(word is not None and _like(word, patterns, name) for patterns, word in given)


class ShowsStaged(Protocol):
    """Whether the make shows what waits in a component; None: not known yet."""

    def __call__(self, name: ComponentName, *, shown: bool | None = None) -> bool | None:
        """Note what was *shown*, where it is given, and say what is known."""
        ...


class FirmwareInventory:
    """The components of one BMC.

    Args:
        session: reads the members.
        listing: lists their URIs, from the BMC.
        known: how this make calls components, as far as that is known without asking.
        names: the same for certain, which may cost requests; called only where a name is nobody's Id.
        shows_staged: told whether this make shows what waits in a component, and says what was told last.
    """

    def __init__(
        self,
        session: Session,
        *,
        listing: Listing,
        known: Callable[[], Quirks],
        names: Names,
        shows_staged: ShowsStaged,
    ) -> None:
        self._session = session
        self._listing = listing
        self._known = known
        self._names = names
        self._uris: tuple[str, ...] | None = None
        self._found: dict[ComponentName, tuple[str, Naming | None]] = {}
        self._labels: dict[str, Label] = {}
        self._shows_staged = shows_staged

    async def member(self, name: ComponentName) -> tuple[str, Document] | Unknown:
        """Find the member that is *name*, and read it."""
        known = self._found.get(name)
        if known is not None:
            uri, naming = known
            document = await self._read(uri)
            if document is not None and (naming is None or _label(document, uri).is_meant(naming, name)):
                return uri, document
            del self._found[name]
            self._uris = None
        found = await self._find(name)
        if isinstance(found, Unknown):
            self._uris = None  # it may be listed later: NICs come with the host (P45)
        return found

    async def uri(self, name: ComponentName) -> str | Unknown:
        """Find where *name* is to be written: as `member`, but one whose Id is the name needs no proof."""
        known = self._found.get(name)
        if known is not None and known[1] is None:
            return known[0]
        found = await self.member(name)
        return found if isinstance(found, Unknown) else found[0]

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
        waits" only on a make that has shown one before.
        """
        naming = self._known().naming(name)
        patterns = naming.staged if naming is not None and naming.staged else _PENDING
        self._uris = await self._listing()
        uris = [uri for uri in self._uris if _like(last(uri), patterns, name)]
        if len(uris) > 1:
            return _ambiguous(f"show what waits of {name}", uris)
        document = await self._read(uris[0]) if uris else None
        if document is None:
            return None if self._shows_staged(name) else NOT_ASKED
        self._shows_staged(name, shown=True)
        if text(document, "Status", "State") not in _PENDING_STATES:
            return None
        return text(document, "Version")

    async def spare(self, name: ComponentName) -> tuple[str, str] | Unknown | None:
        """Find what the other bank of *name* has: the member's URI, and the version; None: it has nothing.

        The URI of such a member holds its version and comes and goes with it, so the inventory is listed anew.
        """
        naming = (await self._names()).naming(name)
        if naming is None or not naming.previous:
            return Unknown(f"of this make it is not known how to tell what else {name} has", Lack.ABSENT)
        self._uris = await self._listing()
        uris = [uri for uri in self._uris if _like(last(uri), naming.previous, name)]
        if len(uris) > 1:
            return _ambiguous(f"show what else {name} has", uris)
        document = await self._read(uris[0]) if uris else None
        version = text(document, "Version") if document is not None else None
        return None if version is None else (uris[0], version)

    async def learn_staged(self, name: ComponentName) -> None:
        """Find out, while an image waits in *name*, whether this make shows that; only where nobody knows yet."""
        if self._shows_staged(name) is None and await self.staged(name) is NOT_ASKED:
            self._shows_staged(name, shown=False)

    async def names(self) -> frozenset[ComponentName]:
        """List the components anew, by the ends of their URIs; not what waits or what ran before.

        Raises:
            NodeError: they cannot be listed.
        """
        self._uris = await self._listing()
        installed = {last(uri).removeprefix(_INSTALLED) for uri in self._uris}
        waiting = {pattern.replace("{name}", "*") for pattern in _PENDING}
        found = set()
        for end in installed:
            is_twin = end.startswith((_CURRENT, _PREVIOUS)) or any(fnmatchcase(end, pattern) for pattern in waiting)
            if not is_twin:
                with suppress(UsageError):  # a name that no bundle could name either
                    found.add(ComponentName(end))
        return frozenset(found)

    async def _find(self, name: ComponentName) -> tuple[str, Document] | Unknown:
        uris = await self._list()
        # A member's URI ends in its Id nearly everywhere, which saves reading all of them.
        for uri in sorted(uris, key=lambda uri: last(uri) != name):
            if last(uri) not in (name, _INSTALLED + name):
                continue
            document = await self._read(uri)
            if document is not None and _id(document, uri) == last(uri):
                self._found[name] = (uri, None)
                return uri, document
        naming = (await self._names()).naming(name)
        likely = [uri for uri in uris if self._may_fit(uri, name, naming)]
        # What they said when they were last read speaks against these; numbers may have moved since.
        unlikely = [uri for uri in uris if uri in self._labels and uri not in likely]
        fits = await self._fitting(name, naming, likely) or await self._fitting(name, naming, unlikely)
        fits = _of_status(fits)
        exact = [(uri, document) for uri, document in fits if _id(document, uri) == name]
        if exact or len(fits) == 1:
            found = (exact or fits)[0]
            self._found[name] = (found[0], None if exact else naming)
            return found
        if not fits:
            return Unknown(f"the BMC lists no component {name}", Lack.ABSENT)
        return _ambiguous(f"may be {name}", [uri for uri, _ in fits])

    async def _fitting(self, name: str, naming: Naming | None, uris: list[str]) -> list[tuple[str, Document]]:
        """Read *uris* and return those that are called *name*, or that *naming* means by it."""
        fits = []
        for uri in uris:
            document = await self._read(uri)
            if document is None:
                continue
            label = self._labels[uri] = _label(document, uri)
            if label.id == name or (naming is not None and label.is_meant(naming, name)):
                fits.append((uri, document))
        return fits

    def _may_fit(self, uri: str, name: str, naming: Naming | None) -> bool:
        """Whether *uri* must be read to know whether it is *name*: by its own end, and what it said before."""
        label = self._labels.get(uri)
        if label is not None:
            return label.id == name or (naming is not None and label.is_meant(naming, name))
        return naming is None or not naming.id or _means(last(uri), naming.id, name)

    async def _list(self) -> tuple[str, ...]:
        if self._uris is None:
            self._uris = await self._listing()
        return self._uris

    async def _read(self, uri: str) -> Document | None:
        """Read a member; None where it is gone."""
        answer = await self._session.get(uri, gone_is_news=True)
        return None if answer.status in (404, 410) else answer.document


def _label(document: Document, uri: str) -> Label:
    return Label(
        _id(document, uri), text(document, "Name"), text(document, "SoftwareId"), text(document, "Description")
    )


def _of_status(fits: list[tuple[str, Document]]) -> list[tuple[str, Document]]:
    """Leave out what ran before, and Current- where Installed- says the same."""
    ids = {_id(document, uri) for uri, document in fits}
    doubled = {_CURRENT + known.removeprefix(_INSTALLED) for known in ids if known.startswith(_INSTALLED)}
    return [
        (uri, document)
        for uri, document in fits
        if not _id(document, uri).startswith(_PREVIOUS) and _id(document, uri) not in doubled
    ]


def _means(identity: str, patterns: tuple[str, ...], name: str) -> bool:
    """Whether *identity* is one of *patterns*, with the status that it may begin with, or without."""
    status = next((status for status in (_CURRENT, _INSTALLED, _PREVIOUS) if identity.startswith(status)), "")
    return _like(identity, patterns, name) or (bool(status) and _like(identity.removeprefix(status), patterns, name))


def _like(word: str, patterns: tuple[str, ...], name: str) -> bool:
    return any(fnmatchcase(word, pattern.replace("{name}", name)) for pattern in patterns)


def _id(document: Document, uri: str) -> str:
    return text(document, "Id") or last(uri)


def _ambiguous(what: str, uris: list[str]) -> Unknown:
    named = ", ".join(sorted(last(uri) for uri in uris)[:6])
    more = f" and {len(uris) - 6} more" if len(uris) > 6 else ""
    return Unknown(f"{len(uris)} members {what}: {named}{more}; name the one that is meant")


def last(uri: str) -> str:
    """The last segment of *uri*, as a person would write it."""
    parts = segments(uri)
    return unquote(parts[-1]) if parts else ""
