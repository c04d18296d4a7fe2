"""Looks over one Redfish service for a person: what it can do, and which way an update would go. GETs alone.

Each thing is read for itself, so that what one service lacks, or answers with nonsense, leaves the rest.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ...core.bundle import Activation
from ...core.capability import Capability, ComponentSurvey, Survey
from ...core.identity import ComponentName
from ...core.observation import Unknown
from ...errors import BmcCertificateError, BmcLoginError, NodeError, UsageError
from ..quirks import ApplyTime
from .bios import Bios
from .document import dig, link, strings, text, uri_path
from .event_log import EventLog
from .inventory import last
from .media import VirtualMedia
from .resources import Service
from .update import HttpPush, NoWay, Pull, Push, Way
from .updater import Updater

_MEMBERS = 256
"""Members of the inventory that are looked at: an HGX has some eighty."""


class Surveyor:
    """Reads what one service can do."""

    def __init__(self, service: Service, *, updater: Updater, bios: Bios, media: VirtualMedia) -> None:
        self._service = service
        self._updater = updater
        self._bios = bios
        self._media = media
        self._log = EventLog(service)

    async def survey(self) -> Survey:
        """Look at everything.

        Raises:
            BmcLoginError: the BMC refused the login.
            BmcCertificateError: its certificate is not trusted.
            NodeError: it cannot be reached at all.
        """
        await self._service.root()
        questions: tuple[tuple[str, Callable[[], Awaitable[str]]], ...] = (
            ("make", self._make),
            ("redfish", self._redfish),
            ("bmc-firmware", self._firmware),
            ("quirks", self._quirks),
            ("resets", self._resets),
            ("boot-progress", self._boot_progress),
            ("update-ways", self._ways),
            ("apply-times", self._apply_times),
            ("tasks", self._tasks),
            ("bios-settings", self._settings),
            ("boot-override", self._boot_override),
            ("virtual-media", self._slots),
            ("event-log", self._event_log),
            ("events", self._events),
            ("bmc-reset", self._bmc_resets),
        )
        found = [Capability(name, await _asked(question)) for name, question in questions]
        return Survey(tuple(found), await self._components())

    async def _make(self) -> str:
        root, system = await self._service.root(), await self._service.system()
        vendor = text(system, "Manufacturer") or text(root, "Vendor")
        words = (vendor, text(system, "Model"), text(root, "Product"))
        return _told(", ".join(dict.fromkeys(word for word in words if word)), "the BMC names no maker and no model")

    async def _redfish(self) -> str:
        return _told(text(await self._service.root(), "RedfishVersion"), "the service root has no RedfishVersion")

    async def _firmware(self) -> str:
        manager = await self._service.manager()
        words = (text(manager, "Model"), text(manager, "FirmwareVersion"))
        return _told(" ".join(word for word in words if word), "the manager has no Model and no FirmwareVersion")

    async def _quirks(self) -> str:
        await self._service.quirks()
        return ", ".join(record.id for record in self._service.make.selection.records) or "none"

    async def _resets(self) -> str:
        return _allowed(await self._service.reset_action())

    async def _bmc_resets(self) -> str:
        return _allowed(await self._service.action(await self._service.manager(), "#Manager.Reset", "ResetType"))

    async def _boot_progress(self) -> str:
        state = text(await self._service.system(), "BootProgress", "LastState")
        quirks = await self._service.quirks("post")
        if state is None and quirks.post is not None:
            return f"told by {quirks.post.property}"
        return "none" if state is None else f"BootProgress, now {state}"

    async def _ways(self) -> str:
        service = await self._service.update_service()
        ways = {
            "SimpleUpdate": dig(service, "Actions", "#UpdateService.SimpleUpdate", "target"),
            "MultipartHttpPush": service.get("MultipartHttpPushUri"),
            "HttpPush": service.get("HttpPushUri"),
            "StartUpdate": dig(service, "Actions", "#UpdateService.StartUpdate", "target"),
        }
        enabled = "" if service.get("ServiceEnabled") is not False else " (the service is disabled)"
        return (", ".join(name for name, uri in ways.items() if uri_path(uri) is not None) or "none") + enabled

    async def _apply_times(self) -> str:
        service = await self._service.update_service()
        action = dig(service, "Actions", "#UpdateService.SimpleUpdate")
        pull = strings(action, "@Redfish.OperationApplyTimeSupport", "SupportedValues")
        push = strings(service, "MultipartHttpPushUri@Redfish.OperationApplyTimeSupport", "SupportedValues")
        told = [f"{name}: {', '.join(words)}" for name, words in (("pull", pull), ("push", push)) if words]
        return "; ".join(told) or "none to choose from"

    async def _tasks(self) -> str:
        uri = await self._service.tasks_uri()
        return "no TaskService" if uri is None else f"{len(await self._service.members(uri))} known"

    async def _settings(self) -> str:
        settings = await self._bios.read()
        waiting = f", {len(settings.staged)} waiting for a reset" if settings.staged else ""
        return f"{len(settings.current)} attributes{waiting}"

    async def _boot_override(self) -> str:
        boot = (await self._service.system()).get("Boot")
        targets = strings(boot, "BootSourceOverrideTarget@Redfish.AllowableValues")
        if not isinstance(boot, dict):
            return "none"
        return _told(", ".join(targets), "the BMC does not say from what it may be made to boot")

    async def _slots(self) -> str:
        slots = await self._media.slots()
        return f"{sum(slot.is_free for slot in slots)} of {len(slots)} slots free"

    async def _event_log(self) -> str:
        mark = await self._log.mark()
        return f"{last(mark.log)}, newest entry {mark.last}" if mark.last else f"{last(mark.log)}, empty"

    async def _events(self) -> str:
        uri = link(await self._service.root(), "EventService")
        if uri is None:
            return "none: it is polled"
        service = (await self._service.get(uri)).document
        stream = uri_path(service.get("ServerSentEventUri"))
        ways = [f"server-sent events at {stream}"] if stream else []
        ways += ["subscriptions"] if link(service, "Subscriptions") else []
        disabled = " (the service is disabled)" if service.get("ServiceEnabled") is False else ""
        return (", ".join(ways) or "none: it is polled") + disabled

    async def _components(self) -> tuple[ComponentSurvey, ...] | Unknown:
        try:
            collection = link(await self._service.update_service(), "FirmwareInventory")
            if collection is None:
                return Unknown("the BMC has no firmware inventory")
            uris = await self._service.members(collection)
        except (BmcLoginError, BmcCertificateError):
            raise
        except NodeError as error:
            return Unknown(str(error))
        return tuple([await self._component(uri) for uri in uris[:_MEMBERS]])

    async def _component(self, uri: str) -> ComponentSurvey:
        try:
            document = (await self._service.get(uri)).document
        except (BmcLoginError, BmcCertificateError):
            raise
        except NodeError as error:
            why = Unknown(str(error))
            return ComponentSurvey(last(uri), "", why, why)
        name = text(document, "Id") or last(uri)
        version = text(document, "Version") or Unknown("it has no Version")
        way: str | Unknown
        if document.get("Updateable") is False:
            way = Unknown("it is not updateable")
        else:
            way = await _asked(lambda: self._way(name))
        return ComponentSurvey(name, text(document, "Name") or "", version, way)

    async def _way(self, name: str) -> str:
        """Say which way a file for *name* would go; no file is there, and none is sent."""
        try:
            component = ComponentName(name)
        except UsageError as error:
            raise _UntoldError(str(error)) from error
        way = await self._updater.way_of(component, Activation.HOST_RESET)
        if isinstance(way, NoWay):
            raise _UntoldError(way.reason)
        return describe(way)


class _UntoldError(Exception):
    """The BMC does not tell it, or there is no such way, for this reason."""


def describe(way: Way) -> str:
    """Say a way in words: its name, when the image would be applied, what it would be aimed at."""
    match way:
        case Pull() | Push():
            target = f", target {', '.join(last(uri) for uri in way.targets)}" if way.targets else ", no target"
        case HttpPush():
            target = f", target {', '.join(last(uri) for uri in way.targets)}" if way.targets else ""
    when = f", applied {way.when.value}" if way.when is not None else ""
    held = ", then StartUpdate" if way.when is ApplyTime.ON_START else ""
    return f"{way.name}{when}{target}{held}"


async def _asked(question: Callable[[], Awaitable[str]]) -> str | Unknown:
    try:
        return await question()
    except (BmcLoginError, BmcCertificateError):
        raise
    except _UntoldError as why:
        return Unknown(str(why))
    except NodeError as error:
        return Unknown(str(error))


def _allowed(action: tuple[str, tuple[str, ...] | None] | None) -> str:
    if action is None:
        return "none"
    return _told(", ".join(action[1] or ()), "there is a reset, and the BMC does not say which kinds of it")


def _told(words: str | None, otherwise: str) -> str:
    if not words:
        raise _UntoldError(otherwise)
    return words
