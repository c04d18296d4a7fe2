"""BIOS attributes: what is set, what is staged, and staging more, checked before anything is sent.

Rules:

- The settings resource is the one that the Bios resource names (``@Redfish.Settings``); without one
  nothing is staged, since a PATCH of Bios itself would not wait for a reset.
- The PATCH carries the ETag just read. It is never sent unconditionally. On 412 the resource is read
  again: if it changed, somebody else is at work and the act is refused; if it did not, the service
  compares ETags in a way of its own (P28), and the next form in `ETAG_FORMS` is tried. A 412 is a
  request that was not carried out, so this repeats no act.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import frozen

from ...core.bundle import AttributeValue, frozen_map
from ...core.receipt import Accepted, Ground, Receipt, Refused
from ...errors import BmcAnswerError, BmcRefusedError
from ...ports import Clock
from . import receipts
from .document import Document, attributes, dig, items, link, strings, text, uri_path
from .resources import Service, last
from .session import Session

WAY = "Settings"

ETAG_FORMS: tuple[Callable[[str], str], ...] = (
    lambda etag: etag,
    lambda etag: etag.removeprefix("W/"),  # weak on reading, compared strongly
    lambda etag: etag.removeprefix("W/").strip('"'),  # quoted on reading, compared bare
    lambda etag: '"' + etag.removeprefix("W/").strip('"') + '"',  # the reverse
    lambda etag: etag.replace("-gzip", ""),  # a front end's suffix that the service does not know
)


@frozen
class Settings:
    """The attributes in force, and those that differ from them and wait for a reset."""

    current: Mapping[str, AttributeValue]
    staged: Mapping[str, AttributeValue]


class Bios:
    """The BIOS settings of one node. The attribute registry is read once."""

    def __init__(self, session: Session, service: Service, clock: Clock) -> None:
        self._session = session
        self._service = service
        self._clock = clock
        self._uri: str | None = None
        self._registries: dict[str, Mapping[str, Document]] = {}
        self._form = 0

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
        if problems := problems_of(wanted, attributes(bios.get("Attributes")), await self._registry(bios)):
            return Refused("; ".join(problems))
        body: dict[str, object] = {"Attributes": dict(wanted)}
        if "OnReset" in strings(bios, "@Redfish.Settings", "SupportedApplyTimes"):
            body["@Redfish.SettingsApplyTime"] = {"ApplyTime": "OnReset"}  # iDRAC makes no job without it
        return await self._patch(uri, body)

    async def _patch(self, uri: str, body: Mapping[str, object]) -> Receipt:
        etag = (await self._service.get(uri)).etag
        forms = _forms(etag, self._form) if etag else [(0, None)]
        for number, form in forms:
            answer = await self._session.act("PATCH", uri, body, headers={"If-Match": form} if form else None)
            if answer.status != 412:
                if answer.ok:
                    self._form = number
                return receipts.of_answer(answer, way=WAY, now=self._clock.now())
            if (await self._service.get(uri)).etag != etag:
                return Refused("the settings were changed by somebody else in between", retry_after=0.0)
        return Refused("the BMC matches its settings' ETag in no form that we know (HTTP 412)")

    async def _bios(self) -> Document:
        if self._uri is None:
            system = await self._service.system()
            self._uri = link(system, "Bios")
            if self._uri is None:
                raise BmcAnswerError(f"{self._session.node}: the system has no BIOS settings", node=self._session.node)
        return (await self._service.get(self._uri)).document

    async def _registry(self, bios: Document) -> Mapping[str, Document] | None:
        """The attribute registry that *bios* names, by attribute; None where the service has none to read."""
        name = text(bios, "AttributeRegistry")
        if name is None:
            return None
        if name not in self._registries:
            try:
                found = await self._read_registry(name)
            except (BmcRefusedError, BmcAnswerError):
                return None  # an aid, not a condition: the BMC judges the attributes itself
            if found is None:
                return None
            self._registries[name] = found
        return self._registries[name]

    async def _read_registry(self, name: str) -> Mapping[str, Document] | None:
        collection = link(await self._service.root(), "Registries")
        if collection is None:
            return None
        members = await self._service.members(collection)
        # Members are called with the version or without it.
        member = next((uri for uri in members if last(uri) in (name, name.partition(".")[0])), None)
        if member is None:
            return None
        places = items((await self._service.get(member)).document, "Location")
        english = [place for place in places if (text(place, "Language") or "en").startswith("en")]
        uri = next((uri for place in (*english, *places) if (uri := uri_path(text(place, "Uri")))), None)
        return None if uri is None else entries((await self._service.get(uri)).document)


def settings_uri(bios: Document) -> str | None:
    """Where attributes are staged."""
    return link(bios, "@Redfish.Settings", "SettingsObject")


def entries(registry: Document) -> Mapping[str, Document]:
    """An attribute registry's entries by attribute name."""
    found: dict[str, Document] = {}
    for entry in items(registry, "RegistryEntries", "Attributes"):
        name = text(entry, "AttributeName")
        if name is not None and isinstance(entry, dict):
            found[name] = entry
    return frozen_map(found)


def problems_of(
    wanted: Mapping[str, AttributeValue],
    current: Mapping[str, AttributeValue],
    registry: Mapping[str, Document] | None,
) -> tuple[str, ...]:
    """What speaks against staging *wanted*, a sentence for each attribute; nothing where nothing does."""
    found = []
    for name, value in sorted(wanted.items()):
        entry = registry.get(name) if registry else None
        if entry is not None:
            problem = _problem(entry, value)
        elif name not in current:
            problem = "is not an attribute of this BIOS"
        elif registry is None and current[name] is not None and type(value) is not type(current[name]):
            problem = f"is of type {type(current[name]).__name__}, not {type(value).__name__}"
        else:
            problem = None
        if problem:
            found.append(f"{name} {problem}")
    return tuple(found)


def _problem(entry: Document, value: AttributeValue) -> str | None:
    if entry.get("ReadOnly") is True or entry.get("Immutable") is True:
        return "is read-only"
    match text(entry, "Type"):
        case "Enumeration":
            allowed = [text(item, "ValueName") for item in items(entry, "Value")]
            return None if value in allowed else f"cannot be {value!r}, only {', '.join(filter(None, allowed))}"
        case "Integer":
            return _integer_problem(entry, value)
        case "Boolean":
            return None if isinstance(value, bool) else f"must be true or false, not {value!r}"
        case "String" | "Password" as kind:
            return _string_problem(entry, value, secret=kind == "Password")
        case _:  # Date, or a word of a later registry: the BMC judges it
            return None


def _integer_problem(entry: Document, value: AttributeValue) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return f"must be a whole number, not {value!r}"
    low, high, step = (dig(entry, key) for key in ("LowerBound", "UpperBound", "ScalarIncrement"))
    if isinstance(low, int | float) and value < low:
        return f"must be at least {low}, not {value}"
    if isinstance(high, int | float) and value > high:
        return f"must be at most {high}, not {value}"
    if (
        isinstance(step, int)
        and not isinstance(step, bool)
        and step > 0
        and isinstance(low, int)
        and (value - low) % step
    ):
        return f"goes in steps of {step} from {low}; {value} is none"
    return None


def _string_problem(entry: Document, value: AttributeValue, *, secret: bool) -> str | None:
    if not isinstance(value, str):
        return "must be a string"
    shortest, longest = dig(entry, "MinLength"), dig(entry, "MaxLength")
    shown = "" if secret else f", not {value!r}"
    if isinstance(shortest, int) and len(value) < shortest:
        return f"must have at least {shortest} characters{shown}"
    if isinstance(longest, int) and len(value) > longest:
        return f"must have at most {longest} characters{shown}"
    return None


def _forms(etag: str, first: int) -> list[tuple[int, str | None]]:
    """The distinct forms of *etag*, numbered, beginning with the one that this service took last time."""
    order = [first, *(number for number in range(len(ETAG_FORMS)) if number != first)]
    found: dict[str, int] = {}
    for number in order:
        found.setdefault(ETAG_FORMS[number](etag), number)
    return [(number, form) for form, number in found.items()]
