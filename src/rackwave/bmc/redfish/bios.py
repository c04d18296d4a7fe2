"""BIOS attributes: what is set, what is staged, and staging more, checked before anything is sent.

Rules:

- The settings resource is the one that the Bios resource names (``@Redfish.Settings``); without one
  nothing is staged, since a PATCH of Bios itself would not wait for a reset.
- The PATCH carries the ETag just read (patch.py). It is never sent unconditionally. On 412 the resource
  is read again: if it changed, somebody else is at work and the act is refused; if it did not, the service
  compares ETags in a way of its own (P28), and another form is tried. A 412 is a request that was not
  carried out, so this repeats no act.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen

from ...core.bundle import AttributeValue, frozen_map
from ...core.receipt import Accepted, Ground, Receipt, Refused
from ...core.settings_check import SettingsCheck
from ...errors import BmcAnswerError, BmcRefusedError
from ...ports import Clock
from . import receipts
from .attribute_registry import Excerpt, check, excerpt
from .document import Document, attributes, items, link, strings, text, uri_path
from .inventory import last
from .patch import Patcher
from .resources import Service
from .session import Session

WAY = "Settings"


@frozen
class Settings:
    """The attributes in force, and those that differ from them and wait for a reset."""

    current: Mapping[str, AttributeValue]
    staged: Mapping[str, AttributeValue]


class Bios:
    """The BIOS settings of one node. The attribute registry is read once for a set of attributes."""

    def __init__(self, session: Session, service: Service, clock: Clock, patcher: Patcher) -> None:
        self._session = session
        self._patcher = patcher
        self._service = service
        self._clock = clock
        self._uri: str | None = None
        self._excerpt: tuple[str, frozenset[str], Excerpt] | None = None

    async def read(self) -> Settings:
        """Read both."""
        bios = await self._bios()
        current = attributes(bios.get("Attributes"))
        uri = settings_uri(bios)
        if uri is None:
            return Settings(frozen_map(current), frozen_map({}))
        pending = attributes((await self._service.get(uri)).document.get("Attributes"))
        # Some services show only what is staged, others everything with what is staged in its place.
        staged = {name: value for name, value in pending.items() if name not in current or current[name] != value}
        return Settings(frozen_map(current), frozen_map(staged))

    async def stage(self, wanted: Mapping[str, AttributeValue]) -> Receipt:
        """Stage *wanted* for the next reset.

        Raises:
            NodeError: as `Session.act`, or something could not be read; then nothing was sent.
        """
        if not wanted:
            return Accepted(way=WAY)
        bios = await self._bios()
        uri = settings_uri(bios)
        if uri is None:
            return Refused("the BIOS names no settings resource, so nothing can be staged", ground=Ground.UNABLE)
        current = attributes(bios.get("Attributes"))
        verdict = check(wanted, current, await self._registry(bios, wanted))
        if verdict.problems:
            return Refused("; ".join(verdict.problems))
        staged = await self._service.get(uri)
        pending = attributes(staged.document.get("Attributes"))
        changes = {n: v for n, v in wanted.items() if n not in current or current[n] != v or pending.get(n, v) != v}
        if not changes:
            return Accepted(way=WAY)
        body: dict[str, object] = {"Attributes": changes}
        if "OnReset" in strings(bios, "@Redfish.Settings", "SupportedApplyTimes"):
            body["@Redfish.SettingsApplyTime"] = {"ApplyTime": "OnReset"}  # iDRAC makes no job without it
        return await self._patcher.guarded(uri, body, staged.etag, way=WAY)

    async def check(self, wanted: Mapping[str, AttributeValue]) -> SettingsCheck:
        """Say what speaks against staging *wanted*, without touching anything.

        Raises:
            NodeError: the BIOS settings cannot be read.
        """
        bios = await self._bios()
        if settings_uri(bios) is None:
            return SettingsCheck(("the BIOS names no settings resource, so nothing can be staged",))
        return check(wanted, attributes(bios.get("Attributes")), await self._registry(bios, wanted))

    async def reset_to_defaults(self) -> Receipt:
        """Have the BIOS go back to its defaults at the next reset (Bios.ResetBios), once.

        Raises:
            NodeError: as `Session.act`, or something could not be read; then nothing was sent.
        """
        action = await self._service.action(await self._bios(), "#Bios.ResetBios", "ResetType")
        if action is None:
            return Refused("the BIOS has no ResetBios", ground=Ground.UNABLE)
        answer = await self._session.act("POST", action[0], {})
        return receipts.of_answer(answer, way="Bios.ResetBios", now=self._clock.now())

    async def _bios(self) -> Document:
        if self._uri is None:
            system = await self._service.system()
            self._uri = link(system, "Bios")
            if self._uri is None:
                raise BmcAnswerError(f"{self._session.node}: the system has no BIOS settings", node=self._session.node)
        return (await self._service.get(self._uri)).document

    async def _registry(self, bios: Document, wanted: Iterable[str]) -> Excerpt | None:
        """What the registry that *bios* names says of *wanted*; None where the service has none to read."""
        name = text(bios, "AttributeRegistry")
        if name is None:
            return None
        names = frozenset(wanted)
        if self._excerpt is None or self._excerpt[0] != name or not names <= self._excerpt[1]:
            try:
                registry = await self._read_registry(name)
            except (BmcRefusedError, BmcAnswerError):
                return None  # an aid, not a condition: the BMC judges the attributes itself
            if registry is None:
                return None
            # Kept is what was asked for: a whole registry costs some megabytes a node.
            self._excerpt = (name, names, excerpt(registry, names))
        return self._excerpt[2]

    async def _read_registry(self, name: str) -> Document | None:
        collection = link(await self._service.root(), "Registries")
        if collection is None:
            return None
        members = await self._service.members(collection)
        member = _registry_member(name, members)
        if member is None:
            return None
        places = items((await self._service.get(member)).document, "Location")
        english = [place for place in places if (text(place, "Language") or "en").startswith("en")]
        uri = next((uri for place in (*english, *places) if (uri := uri_path(text(place, "Uri")))), None)
        return None if uri is None else (await self._service.get(uri)).document


def _registry_member(name: str, members: tuple[str, ...]) -> str | None:
    """The registry file called *name*: so, without its version, or with another where there is only one of that name.

    The recorded iDRAC names v1_0_3 and lists v1_0_0, which it is.
    """
    bare = name.partition(".")[0]
    exact = [uri for word in (name, bare) for uri in members if last(uri) == word]
    kin = [uri for uri in members if last(uri).partition(".")[0] == bare]
    return exact[0] if exact else kin[0] if len(kin) == 1 else None


def settings_uri(bios: Document) -> str | None:
    """Where attributes are staged."""
    return link(bios, "@Redfish.Settings", "SettingsObject")
