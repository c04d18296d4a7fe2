"""A BMC's resources by path, rendered once per change.

Each resource has a stamp, a value that differs whenever the resource may: what was rendered is served
until the stamp is another. That is what makes a GET cost a tenth of a millisecond.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, TypeAlias
from urllib.parse import parse_qs

import attrs

from ..personality import Oem
from ..updates import MachineTask
from . import account_service, chassis, events, headers, inventory, log_service, odata, oem, paths, resources, tasks
from .accounts import ROLES
from .answers import Answer, RefusalError, encode
from .sessions import Sessions
from .unit import Unit

View: TypeAlias = Callable[[], Mapping[str, Any]]

_PAGED = frozenset({paths.INVENTORY, paths.TASKS, paths.SESSIONS})
# What is asked of sushy-tools and of the server, and therefore is on no shelf.
_STOCK = (
    paths.SIMPLE_UPDATE,
    paths.START_UPDATE,
    paths.SESSION_MEMBERS,
    paths.MONITORS,
    paths.CHASSIS,
    paths.CERTIFICATES,
    "Actions/ComputerSystem.Reset",
    "Actions/Manager.Reset",
    "Actions/Bios.ResetBios",
    "EthernetInterfaces/SecureBoot/Storage/VirtualMedia/Cd/Floppy/Thermal/Power",
    "Actions/VirtualMedia.InsertMedia",
    "Actions/VirtualMedia.EjectMedia",
    "Actions/LogService.ClearLog",
    "Actions/SecureBoot.ResetKeys",
)
_METADATA = Answer(HTTPStatus.OK, odata.metadata(), {"Content-Type": odata.METADATA_TYPE, "Allow": headers.READ_ONLY})
_RETRY_AFTER = {"Retry-After": "1"}


class Shelf:
    """The resources of *unit* and *sessions*. Its caller holds whatever lock the unit's machine needs."""

    def __init__(self, unit: Unit, sessions: Sessions) -> None:
        self._unit = unit
        self._sessions = sessions
        self._touched = 0
        self._kept: dict[str, tuple[object, Answer]] = {}
        self._spelling: dict[str, str] | None = None
        self._constant = self._constant_views()
        self._changing = self._changing_views()
        self._jobs = f"{oem.jobs_path(unit)}/" if unit.machine.personality.rules.oem is Oem.DELL else None
        self._entries = f"{log_service.log_path(unit)}/Entries"
        self._paged = _PAGED | {self._entries}
        self._dated = frozenset(
            {resources.manager_path(unit), paths.TASK_SERVICE, log_service.log_path(unit)}
            | {f"{chassis.path_of(unit)}/{name}" for name in ("Thermal", "Power")}
            | set(chassis.sensor_paths(unit))
        )

    def touch(self) -> None:
        """Note that something outside the machine may have changed, so that nothing rendered is served again."""
        self._touched += 1

    def read(self, path: str, query: str) -> Answer | None:
        """Return the resource at *path*; None: there is none on this shelf.

        Raises:
            RefusalError: there is no such task (404), or *query* makes no sense (400).
        """
        if path.startswith((paths.TASKS + "/", paths.MONITORS + "/")):
            return self._task(path)
        if self._jobs is not None and path.startswith(self._jobs):
            return self._job(path)
        if (view := self._constant.get(path)) is not None:
            return self._rendered(path, None, view)
        if (view := self._changing.get(path)) is not None:
            answer = self._rendered(path, self._stamp(path), view)
            return answer if path not in self._paged else self._page(path, query, answer, view)
        if path.startswith(paths.INVENTORY + "/"):
            return self._inventory_member(path)
        if path.startswith(self._entries + "/"):
            return self._log_entry(path)
        if path.startswith(paths.ACCOUNTS + "/"):
            return self._account(path)
        if path.startswith(paths.SUBSCRIPTIONS + "/"):
            told = self._unit.events.destination(path.rpartition("/")[2])
            return None if told is None else self._described(path, told)
        if path == paths.METADATA:
            return _METADATA
        return self._session(path)

    def canonical(self, path: str) -> str:
        """Spell each part of *path* as the resources do, whatever its case; unknown parts stay as they are."""
        if self._spelling is None:
            known = [*self._constant, *self._changing, *_STOCK]
            self._spelling = {part.lower(): part for told in known for part in told.split("/")}
        return "/".join(self._spelling.get(part.lower(), part) for part in path.split("/"))

    def _constant_views(self) -> dict[str, View]:
        unit = self._unit
        views: dict[str, View] = {
            paths.VERSIONS: resources.versions,
            paths.ROOT: partial(resources.root, unit),
            paths.SYSTEMS: partial(
                resources.collection, paths.SYSTEMS, "ComputerSystem", [resources.system_path(unit)]
            ),
            paths.MANAGERS: partial(resources.collection, paths.MANAGERS, "Manager", [resources.manager_path(unit)]),
            paths.SESSION_SERVICE: partial(resources.session_service, self._sessions.timeout),
            paths.ODATA: lambda: odata.service_document(resources.root(unit)),
            paths.ACCOUNT_SERVICE: account_service.service,
            paths.EVENT_SERVICE: partial(events.service, unit),
            f"{paths.CERTIFICATES}/ReplaceCertificateActionInfo": resources.certificate_action_info,
            paths.ROLES: partial(
                resources.collection, paths.ROLES, "Role", [f"{paths.ROLES}/{name}" for name in ROLES]
            ),
            **{f"{paths.ROLES}/{name}": partial(account_service.role, name) for name in ROLES},
        }
        rules = unit.machine.personality.rules
        if rules.reset_action_info:
            for path, resets in (
                (resources.system_path(unit), rules.system_resets),
                (resources.manager_path(unit), rules.manager_resets),
            ):
                views[f"{path}/ResetActionInfo"] = partial(resources.reset_action_info, path, resets)
        if rules.oem is Oem.DELL:
            views[oem.lifecycle_service_path(unit)] = partial(oem.lifecycle_service, unit)
        if unit.machine.personality.rules.bios_attributes:
            file = f"{paths.REGISTRIES}/{resources.REGISTRY_ID}"
            files = [file, f"{paths.REGISTRIES}/Messages"]
            views |= {
                paths.REGISTRIES: partial(resources.collection, paths.REGISTRIES, "MessageRegistryFile", files),
                file: resources.registry_file,
                f"{file}/Registry": partial(resources.attribute_registry, unit.machine.bios_registry.values()),
            }
        return views

    def _changing_views(self) -> dict[str, View]:
        unit, collection = self._unit, resources.collection
        system = resources.system_path(unit)
        views: dict[str, View] = {
            system: partial(resources.system, unit),
            resources.manager_path(unit): partial(resources.manager, unit),
            f"{system}/Bios": partial(resources.bios, unit),
            paths.UPDATE_SERVICE: partial(resources.update_service, unit),
            paths.INVENTORY: lambda: collection(
                paths.INVENTORY,
                "SoftwareInventory",
                [member["@odata.id"] for member in inventory.members(unit).values()],
            ),
            paths.TASK_SERVICE: partial(tasks.task_service, unit),
            paths.TASKS: lambda: collection(
                paths.TASKS, "Task", [f"{paths.TASKS}/{task.id}" for task in self._tasks()]
            ),
            paths.SESSIONS: lambda: collection(paths.SESSIONS, "Session", [session.uri for session in self._sessions]),
            paths.SUBSCRIPTIONS: lambda: collection(paths.SUBSCRIPTIONS, "EventDestination", unit.events.uris),
            paths.ACCOUNTS: lambda: collection(
                paths.ACCOUNTS, "ManagerAccount", [f"{paths.ACCOUNTS}/{of.id}" for of in self._sessions.accounts]
            ),
        }
        log, case = log_service.log_path(unit), chassis.path_of(unit)
        services = log_service.services_path(unit)
        views |= {
            f"{system}/SecureBoot": partial(resources.secure_boot, unit),
            services: lambda: collection(services, "LogService", [log]),
            log: partial(log_service.service, unit),
            f"{log}/Entries": partial(log_service.entries, unit, unit.witness.log),
            case: partial(chassis.chassis, unit),
            f"{case}/Thermal": partial(chassis.thermal, unit),
            f"{case}/Power": partial(chassis.power, unit),
            f"{case}/Sensors": partial(chassis.sensors, unit),
            **{path: partial(chassis.sensor, unit, path, of) for path, of in chassis.sensor_paths(unit).items()},
        }
        if unit.machine.personality.rules.bios_attributes:
            views[resources.settings_path(unit)] = partial(resources.bios_settings, unit)
        if unit.machine.personality.rules.oem is Oem.DELL:
            jobs = oem.jobs_path(unit)
            views[jobs] = lambda: collection(jobs, "DellJob", [f"{jobs}/{task.id}" for task in self._tasks()])
        return views

    def _tasks(self) -> tuple[MachineTask, ...]:
        return self._unit.machine.tasks if self._unit.machine.personality.rules.tasks else ()

    def _stamp(self, path: str) -> object:
        machine = self._unit.machine
        machine.advance()
        stamp = (machine.revision, self._touched)
        if path in self._dated:
            return (stamp, int(machine.time))
        if path == self._entries:
            self._unit.witness.catch_up()
            return self._unit.witness.log.revision
        if path == paths.ACCOUNTS:
            return (stamp, self._sessions.accounts.revision)
        if path == paths.SUBSCRIPTIONS:
            return (stamp, self._unit.events.revision)
        if path == paths.SESSIONS:
            return (stamp, [session.id for session in self._sessions])
        return stamp

    def _rendered(self, path: str, stamp: object, view: View) -> Answer:
        kept = self._kept.get(path)
        if kept is not None and kept[0] == stamp:
            return kept[1]
        body = view()
        raw = encode(body)
        answer = Answer(HTTPStatus.OK, raw, headers.of_resource(path, body, raw))
        self._kept[path] = (stamp, answer)
        return answer

    def _inventory_member(self, path: str) -> Answer | None:
        stamp = self._stamp(path)
        kept = self._kept.get(path)
        if kept is not None and kept[0] == stamp:
            return kept[1]
        member = inventory.members(self._unit).get(path)
        if member is None:
            self._kept.pop(path, None)  # a staged image that has become what runs
            return None
        return self._rendered(path, stamp, lambda: member)

    def _task(self, path: str) -> Answer:
        machine = self._unit.machine
        task = machine.task(path.rpartition("/")[2])
        if task is None or not machine.personality.rules.tasks:
            raise RefusalError(404, f"There is no resource at {path}.")
        stamp = (task.record, task.state, task.percent, machine.revision, self._touched)
        answer = self._rendered(path, stamp, partial(tasks.task_body, self._unit, task))
        if task.ended:
            return answer
        if path.startswith(paths.MONITORS):
            where = {**answer.headers, **_RETRY_AFTER, "Location": path}
            return attrs.evolve(answer, status=HTTPStatus.ACCEPTED, headers=where)
        return attrs.evolve(answer, headers={**answer.headers, **_RETRY_AFTER})

    def _job(self, path: str) -> Answer:
        task = self._unit.machine.task(path.rpartition("/")[2])
        if task is None:
            raise RefusalError(404, f"There is no resource at {path}.")
        return self._described(path, oem.job(self._unit, task))

    def _log_entry(self, path: str) -> Answer | None:
        self._unit.witness.catch_up()
        number = path.rpartition("/")[2]
        found = self._unit.witness.log.find(int(number)) if number.isascii() and number.isdigit() else None
        return None if found is None else self._described(path, log_service.entry(self._entries, found[1]))

    def _session(self, path: str) -> Answer | None:
        if not path.startswith(paths.SESSIONS + "/"):
            return None
        session = self._sessions.get(path.rpartition("/")[2])
        return None if session is None else self._described(path, resources.session(session))

    def _account(self, path: str) -> Answer | None:
        account = self._sessions.accounts.get(path.rpartition("/")[2])
        return None if account is None else self._described(path, account_service.account(account))

    def _described(self, path: str, body: Mapping[str, Any]) -> Answer:
        raw = encode(body)
        return Answer(HTTPStatus.OK, raw, headers.of_resource(path, body, raw))

    def _page(self, path: str, query: str, whole: Answer, view: View) -> Answer:
        """Cut a collection down to ``$skip`` and ``$top``, and to what this make sends at once (P47)."""
        size = self._unit.machine.personality.rules.page_size
        if not size and "$" not in query:
            return whole
        asked = parse_qs(query, keep_blank_values=True)
        skip = _whole_number(asked, "$skip") or 0
        top = _whole_number(asked, "$top")
        body = dict(view())
        members = body["Members"]
        wanted = members[skip:] if top is None else members[skip : skip + top]
        body["Members"] = wanted[:size] if size else wanted
        if len(body["Members"]) < len(wanted):
            left = "" if top is None else f"&$top={top - size}"
            body["Members@odata.nextLink"] = f"{path}?$skip={skip + size}{left}"
        return self._described(path, body)


def _whole_number(asked: Mapping[str, list[str]], name: str) -> int | None:
    if name not in asked:
        return None
    text = asked[name][0]
    if not (text.isascii() and text.isdigit()) or len(text) > len("999999999"):
        raise RefusalError(400, f"{name} must be a whole number.", message_id="QueryParameterValueTypeError")
    return int(text)
