"""What faults do to requests and answers of one BMC's Redfish service, around whatever makes the answers.

``before`` may answer or refuse in the service's stead, ``after`` changes what the service answered. A BMC
without a fault costs neither.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

import attrs

from ..faults import (
    ChunkedRefused,
    CollectionsPaged,
    CycleUnsupported,
    ErrorBody,
    Etags,
    EtagTrouble,
    Expand,
    ExpandLies,
    GarbledError,
    HiddenIn,
    IfMatchOnAction,
    Incomplete,
    InventoryDoubles,
    LocationHidden,
    LoginFails,
    MonitorConsumed,
    PushClaim,
    QueueStuck,
    VersionsNeedHost,
)
from ..machine import Machine
from . import inventory_doubles, oem, paths, resources
from .answers import Answer, RefusalError, json_object
from .station import Station

Body = Callable[[], Awaitable[bytes]]

_NAMED_TASK = re.compile(rf"(?:{paths.TASKS}|{paths.MONITORS})/([^/\"\s?]+)")
_CLEAR_QUEUE = "DellJobService.DeleteJobQueue"
_CLEAR_ALL = "JID_CLEARALL_FORCE"
_GARBLED = {
    ErrorBody.BUSY: (b'{"error":"busy"}', "application/json"),
    ErrorBody.LIST: (b"[]", "application/json"),
    ErrorBody.HTML: (b"<html><body><h1>Service Unavailable</h1></body></html>", "text/html"),
    ErrorBody.EMPTY: (b"", "application/json"),
    ErrorBody.TORN: (b'{"error": {"code": "Base.1.', "application/json"),
}
# What a service leaves out whose data sources are not there yet, by the kind of resource.
_MISSING = {
    "ComputerSystem": ("BiosVersion", "BootProgress", "LastResetTime", "Status"),
    "Manager": ("FirmwareVersion", "LastResetTime"),
    "SoftwareInventory": ("Version", "Status"),
    "Bios": ("Attributes",),
}


def garbled(fault: GarbledError) -> Answer:
    """Refuse as nobody can read it (P24)."""
    body, kind = _GARBLED[fault.body]
    return Answer(fault.status, body, {"Content-Type": kind})


class Disorder:
    """The faults of *station*, as its service's clients meet them."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._consumed: set[str] = set()
        self._claimed = False

    @property
    def reigns(self) -> bool:
        """Whether anything at all is out of order."""
        return self._station.machine.disordered

    def routed(self, path: str) -> str:
        """Return where the resource at *path* really is: a task's ``/Monitor`` is its monitor (P10)."""
        if path.endswith("/Monitor") and path.startswith(paths.TASKS + "/"):
            return f"{paths.MONITORS}/{path.removesuffix('/Monitor').rpartition('/')[2]}"
        return path

    async def before(self, method: str, path: str, headers: Mapping[str, str], body: Body) -> Answer | None:
        """Answer in the service's stead; None: let it answer.

        Raises:
            RefusalError: a fault has the request refused.
        """
        match method:
            case "GET" | "HEAD":
                return self._before_read(path)
            case "PATCH" | "PUT" if path != self._machine.personality.rules.push_uri:
                self._check_etag(path, headers)
                if path == paths.UPDATE_SERVICE and self._machine.afflicted(PushClaim):
                    return self._claim(json_object(await body()))
            case "POST" if path in (paths.SESSIONS, paths.SESSION_MEMBERS):
                if fails := self._machine.strike(LoginFails):
                    raise RefusalError(fails.status, "The session service does not work.")
            case "POST" if path.endswith(_CLEAR_QUEUE) and self._machine.afflicted(QueueStuck):
                return self._clear_queue(json_object(await body()))
            case "POST" if "/Actions/" in path and "If-Match" in headers and self._machine.strike(IfMatchOnAction):
                raise RefusalError(412, "If-Match does not match.")
            case _:
                pass
        rules = self._machine.personality.rules
        if method in ("POST", "PUT") and path in (rules.push_uri, rules.multipart_uri):
            self._check_push(headers)
        return None

    def after(self, method: str, path: str, query: str, answer: Answer) -> Answer:
        """Change what the service answered."""
        if method in ("POST", "PUT") and answer.status == HTTPStatus.ACCEPTED and path.startswith(paths.UPDATE_SERVICE):
            hidden = self._machine.strike(LocationHidden)
            return answer if hidden is None else self._hidden(answer, hidden.where)
        if method != "GET" or answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            return answer
        if path.startswith(paths.MONITORS + "/"):
            return self._consume(path, answer)
        told = _object(answer)
        if told is None:
            return answer
        changed = self._changed(path, query, told)
        if changed is not told:
            answer = Answer.of(changed, answer.status, answer.headers)
        trouble = self._machine.afflicted(EtagTrouble)
        return answer if trouble is None else _retagged(answer, trouble.how)

    # -- before ---------------------------------------------------------------------------------

    @property
    def _machine(self) -> Machine:
        return self._station.machine

    def _before_read(self, path: str) -> Answer | None:
        machine = self._machine
        if path in self._consumed:
            raise RefusalError(404, f"There is no resource at {path}.")
        if machine.jobs and (job := self._job(path)) is not None:
            return job
        if machine.incomplete is Incomplete.UNAVAILABLE and path.startswith(
            (paths.SYSTEMS + "/", paths.MANAGERS + "/", paths.INVENTORY)
        ):
            raise RefusalError(503, "Some data sources are unavailable.", message_id="IDRAC.2.8.SYS518")
        if "/NetworkAdapters" in path and machine.afflicted(VersionsNeedHost):
            if not machine.host_up:
                raise RefusalError(400, "The host is off.", message_id="ResourceInStandby")
            return Answer.of(resources.collection(path, "NetworkAdapter", ()))
        doubles = machine.afflicted(InventoryDoubles)
        return None if doubles is None else inventory_doubles.member(self._station, doubles.how, path)

    def _job(self, path: str) -> Answer | None:
        """Tell what is left of a task that was purged (P02)."""
        jobs = {job.id: job for job in self._machine.jobs}
        folder, _, name = path.rpartition("/")
        if path == paths.JOBS:
            return Answer.of(resources.collection(path, "Job", [f"{path}/{job}" for job in jobs]))
        if (job := jobs.get(name)) is None:
            return None
        if folder == oem.jobs_path(self._station):
            return Answer.of(oem.job(self._station, job))
        if folder != paths.JOBS:
            return None
        return Answer.of(
            {
                "@odata.id": path,
                "@odata.type": "#Job.v1_2_3.Job",
                "Id": job.id,
                "Name": f"Firmware update of {job.component}",
                "JobState": job.state.value,
                "JobStatus": job.status.value,
                "PercentComplete": job.percent,
            }
        )

    def _hidden(self, answer: Answer, where: HiddenIn) -> Answer:
        """Name the task only *where*, whatever this make's habit is (P10)."""
        uri = _task_of(answer)
        headers = {name: value for name, value in answer.headers.items() if name != "Location"}
        message = {
            "MessageId": "Base.1.18.Success",
            "Message": "The update was accepted.",
            "MessageArgs": [uri] if where is HiddenIn.MESSAGE_ARGS else [],
            "Severity": "OK",
        }
        match where:
            case HiddenIn.MESSAGE_ARGS | HiddenIn.NOWHERE:
                return Answer.of({"@Message.ExtendedInfo": [message]}, answer.status, headers)
            case HiddenIn.BODY_TASK:
                task = self._station.read(uri, "")
                return Answer(answer.status, b"" if task is None else task.body, headers)
            case HiddenIn.BODY_LINK:
                body = {"@Message.ExtendedInfo": [message], "Task": {"@odata.id": uri}}
                return Answer.of(body, answer.status, headers)
            case HiddenIn.MONITOR_SUFFIX:
                return Answer(answer.status, b"", {**headers, "Location": f"{uri}/Monitor"})

    def _check_etag(self, path: str, headers: Mapping[str, str]) -> None:
        trouble = self._machine.afflicted(EtagTrouble)
        if trouble is None:
            return
        if_match = headers.get("If-Match")
        if if_match is None:
            if trouble.how is Etags.REQUIRED:
                raise RefusalError(428, "If-Match is required.", message_id="PreconditionRequired")
            return
        present = self._station.read(path, "")
        if if_match.strip() not in ("*", present.headers.get("ETag") if present else None):
            raise RefusalError(412, "If-Match does not match.")

    def _check_push(self, headers: Mapping[str, str]) -> None:
        if "Content-Length" not in headers and (refused := self._machine.strike(ChunkedRefused)):
            raise RefusalError(refused.status, "Content-Length is required; chunked uploads are not taken.")
        if self._machine.afflicted(PushClaim) and not self._claimed:
            raise RefusalError(400, "HttpPushUriTargetsBusy must be set first.", message_id="PropertyValueConflict")

    def _claim(self, body: dict[str, Any]) -> Answer | None:
        busy = body.get("HttpPushUriTargetsBusy")
        if not isinstance(busy, bool):
            return None
        if busy and self._claimed:
            raise RefusalError(400, "HttpPushUriTargetsBusy is set already.", message_id="ResourceInUse")
        self._claimed = busy
        self._station.touch()
        return Answer(HTTPStatus.NO_CONTENT)

    def _clear_queue(self, body: dict[str, Any]) -> Answer:
        if body.get("JobID") != _CLEAR_ALL:
            raise RefusalError(400, f"Only {_CLEAR_ALL} clears a queue that is stuck.")
        self._station.clear_queue()
        return Answer.of({})

    # -- after ----------------------------------------------------------------------------------

    def _consume(self, path: str, answer: Answer) -> Answer:
        consumed = self._machine.afflicted(MonitorConsumed)
        if consumed and (answer.status == HTTPStatus.OK or consumed.running_too):
            self._machine.strike(MonitorConsumed, method="GET", path=path)
            self._consumed.add(path)
        return answer

    def _changed(self, path: str, query: str, told: dict[str, Any]) -> dict[str, Any]:
        machine = self._machine
        if doubles := machine.afflicted(InventoryDoubles):
            told = inventory_doubles.changed(self._station, doubles.how, path, told)
        if machine.incomplete is Incomplete.MISSING:
            told = _torn(told)
        if path == paths.ROOT and machine.afflicted(ExpandLies):
            told = {**told, "ProtocolFeaturesSupported": _OFFERS_EXPAND}
        if path == paths.UPDATE_SERVICE and machine.afflicted(PushClaim):
            told = {**told, "HttpPushUriTargetsBusy": self._claimed}
        if path == resources.system_path(self._station) and machine.afflicted(CycleUnsupported):
            told = _with_resets(told, [kind.value for kind in machine.resets])
        if "Members" in told:
            told = self._collection(path, query, told)
        return told

    def _collection(self, path: str, query: str, told: dict[str, Any]) -> dict[str, Any]:
        asked = parse_qs(query, keep_blank_values=True)
        lies = self._machine.afflicted(ExpandLies)
        if lies is not None and lies.how is Expand.SHORT and "$expand" in asked:
            read = (self._station.read(member["@odata.id"], "") for member in told["Members"][:-1])
            told = {**told, "Members": [_object(answer) for answer in read if answer is not None]}
        paged = self._machine.afflicted(CollectionsPaged)
        if paged is None or len(told["Members"]) <= paged.size:
            return told
        skip = next((int(text) for text in asked.get("$skip", ()) if text.isdigit()), 0)
        return {
            **told,
            "Members": told["Members"][: paged.size],
            "Members@odata.nextLink": f"{path}?$skip={skip + paged.size}",
        }


_OFFERS_EXPAND = {
    "ExpandQuery": {"ExpandAll": True, "Levels": True, "MaxLevels": 1, "Links": True, "NoLinks": True},
    "FilterQuery": False,
    "SelectQuery": False,
}


def _object(answer: Answer) -> dict[str, Any] | None:
    try:
        told = json.loads(answer.body)
    except ValueError:
        return None
    return told if isinstance(told, dict) else None


def _torn(told: dict[str, Any]) -> dict[str, Any]:
    kind = str(told.get("@odata.type", "")).lstrip("#").partition(".")[0]
    return {name: value for name, value in told.items() if name not in _MISSING.get(kind, ())}


def _with_resets(told: dict[str, Any], kinds: list[str]) -> dict[str, Any]:
    action = {**told["Actions"]["#ComputerSystem.Reset"], "ResetType@Redfish.AllowableValues": kinds}
    return {**told, "Actions": {**told["Actions"], "#ComputerSystem.Reset": action}}


def _retagged(answer: Answer, how: Etags) -> Answer:
    tag = answer.headers.get("ETag", "").strip('"')
    forms = {Etags.REQUIRED: f'"{tag}"', Etags.WEAK: f'W/"{tag}"', Etags.UNQUOTED: tag, Etags.EMPTY: ""}
    return attrs.evolve(answer, headers={**answer.headers, "ETag": forms.get(how, f'"{tag}-gzip"')})


def _task_of(answer: Answer) -> str:
    """The URI of the task that an answer names, in its Location or anywhere in its body."""
    told = f"{answer.headers.get('Location', '')} {answer.body.decode()}"
    found = _NAMED_TASK.search(told)
    return paths.TASKS if found is None else f"{paths.TASKS}/{found[1]}"
