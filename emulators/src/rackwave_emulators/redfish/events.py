"""The EventService: who listens to a BMC, and what it tells them (DSP0266, "Eventing").

An event is what differs between two looks at the machine, so a BMC to which nobody listens does no
work for it. The last events are kept, and sent to a stream that is opened again and names the last it got.

A listener of the client's own is sent to (``event_push.py``) where it is on the client's host or on loopback:
nothing of the lab speaks to anybody who did not speak to it first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from http import HTTPStatus
from itertools import count
from typing import Any

from attrs import frozen

from rackwave.core.observation import Post

from ..host import PowerState
from ..tasks import MachineTask, TaskState, TaskStatus
from . import paths
from .answers import Answer, RefusalError, encode, text_property
from .moments import moment
from .unit import Unit

_KEPT = 64
_MOST = 16  # subscriptions; those that were recorded list from 0 to 16
_STEP = 10  # percents between two events of one task
_POWER = {
    PowerState.ON: "ResourcePoweredOn",
    PowerState.OFF: "ResourcePoweredOff",
    PowerState.POWERING_ON: "ResourcePoweringOn",
    PowerState.POWERING_OFF: "ResourcePoweringOff",
}


@frozen
class Happening:
    """One event: its message (registry, version and key), its words, and the resource that it is about."""

    message: str
    words: str
    origin: str


@frozen
class _Glance:
    """What events are made of, as it stood at one moment."""

    tasks: Mapping[str, tuple[TaskState, int]]
    power: PowerState
    post: Post


class Events:
    """The subscriptions of one BMC, and its last events. Its caller holds the machine's lock."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._ids = count(1)
        self._destinations: dict[str, dict[str, Any]] = {}
        self._streams: set[str] = set()
        self._kept: deque[tuple[int, bytes]] = deque(maxlen=_KEPT)
        self._before: _Glance | None = None
        self.number = 0
        """Of the newest event."""
        self.revision = 0
        """Grows with every change of the subscriptions."""

    # -- subscriptions --------------------------------------------------------------------------

    @property
    def uris(self) -> list[str]:
        """Where each subscription is."""
        return [f"{paths.SUBSCRIPTIONS}/{ident}" for ident in self._destinations]

    def destination(self, ident: str) -> dict[str, Any] | None:
        """Return the EventDestination with this Id."""
        return self._destinations.get(ident)

    def open_stream(self) -> str:
        """Enter a stream that a client has opened, and return its Id.

        Raises:
            RefusalError: there are as many as this BMC takes (503).
        """
        self._begin()
        ident = self._add({"Context": "stream", "Protocol": "Redfish", "SubscriptionType": "SSE"})
        self._streams.add(ident)
        return ident

    def subscribe(self, body: Mapping[str, Any]) -> Answer:
        """Enter a listener of the client's.

        Raises:
            RefusalError: a property is missing or not allowed (400), or there are too many (503).
        """
        if text_property(body, "Protocol") != "Redfish":
            raise RefusalError(400, "Protocol must be Redfish.", message_id="PropertyValueNotInList")
        destination = text_property(body, "Destination")
        if not destination.startswith(("https://", "http://")):
            raise RefusalError(400, "Destination must be an http or https URI.", message_id="PropertyValueFormatError")
        context = body.get("Context")
        told = {"Destination": destination, "Context": context if isinstance(context, str) else None}
        self._begin()
        ident = self._add({**told, "Protocol": "Redfish", "SubscriptionType": "RedfishEvent"})
        where = {"Location": f"{paths.SUBSCRIPTIONS}/{ident}"}
        return Answer.of(self._destinations[ident], HTTPStatus.CREATED, where)

    def remove(self, ident: str) -> bool:
        """End a subscription, and with it its stream; whether there was one."""
        self._streams.discard(ident)
        self.revision += 1
        return self._destinations.pop(ident, None) is not None

    def forget(self, *, kept: bool = True) -> None:
        """The BMC restarts: streams and what was kept are gone, and subscriptions unless they are *kept*."""
        for ident in tuple(self._streams if kept else self._destinations):
            self.remove(ident)
        self._kept.clear()
        self._before = None

    def _begin(self) -> None:
        """Somebody listens, who is told what happens from now on."""
        if not self._destinations:
            self._before = self._before if self._kept else self._glance()

    def _add(self, told: dict[str, Any]) -> str:
        if len(self._destinations) >= _MOST:
            raise RefusalError(503, "There are too many event subscriptions.", headers={"Retry-After": "30"})
        ident = str(next(self._ids))
        self._destinations[ident] = {
            "@odata.id": f"{paths.SUBSCRIPTIONS}/{ident}",
            "@odata.type": "#EventDestination.v1_13_0.EventDestination",
            "Id": ident,
            "Name": f"Event Subscription {ident}",
            "EventFormatType": "Event",
            "Status": {"State": "Enabled", "Health": "OK"},
            **told,
        }
        self.revision += 1
        return ident

    # -- events ---------------------------------------------------------------------------------

    def after(self, number: int) -> list[tuple[int, bytes]]:
        """Return the events that came after *number* and are still kept, each as its Event document."""
        self._look()
        return [(known, body) for known, body in self._kept if known > number]

    def _look(self) -> None:
        before, now = self._before, self._glance()
        self._before = now
        if before is None or before == now:
            return
        for happening in self._between(before, now):
            self.number += 1
            self._kept.append((self.number, self._document(happening)))

    def _glance(self) -> _Glance:
        machine = self._unit.machine
        shown = machine.tasks if machine.personality.rules.tasks else ()
        return _Glance(
            {task.id: (task.state, task.percent // _STEP if not task.ended else 100) for task in shown},
            machine.power,
            machine.post,
        )

    def _between(self, before: _Glance, now: _Glance) -> list[Happening]:
        found = []
        for task in self._unit.machine.tasks:
            if (seen := now.tasks.get(task.id)) is not None and seen != (old := before.tasks.get(task.id)):
                found += self._of_task(task, is_new=old is None)
        gone = before.tasks.keys() - now.tasks.keys()
        found += [
            Happening("TaskEvent.1.0.TaskRemoved", f"The task {ident} is gone.", f"{paths.TASKS}/{ident}")
            for ident in sorted(gone)
        ]
        system = f"{paths.SYSTEMS}/{self._unit.system_id}"
        if now.power is not before.power:
            found.append(
                Happening(f"ResourceEvent.1.3.{_POWER[now.power]}", f"The power is {now.power.value}.", system)
            )
        if now.post is not before.post:
            found.append(Happening("ResourceEvent.1.3.ResourceChanged", f"POST is {now.post}.", system))
        return found

    @staticmethod
    def _of_task(task: MachineTask, *, is_new: bool) -> list[Happening]:
        origin = f"{paths.TASKS}/{task.id}"
        found = [Happening("TaskEvent.1.0.TaskStarted", f"The task {task.id} has started.", origin)] if is_new else []
        if task.ended:
            went_well = "TaskCompletedOK" if task.status is TaskStatus.OK else "TaskCompletedWarning"
            key = went_well if task.state is TaskState.COMPLETED else "TaskAborted"
            found.append(Happening(f"TaskEvent.1.0.{key}", f"The task {task.id} has ended.", origin))
        elif not is_new:
            words = f"The task {task.id} is at {task.percent} percent."
            found.append(Happening("TaskEvent.1.0.TaskProgressChanged", words, origin))
        return found

    def _document(self, happening: Happening) -> bytes:
        at = moment(self._unit.machine.time + self._unit.clock_offset)
        body = {
            "@odata.type": "#Event.v1_7_0.Event",
            "Id": str(self.number),
            "Name": "Event",
            "Events": [
                {
                    "EventType": "Event",
                    "EventId": str(self.number),
                    "MemberId": "0",
                    "EventTimestamp": at,
                    "Severity": "OK",
                    "MessageSeverity": "OK",
                    "MessageId": happening.message,
                    "Message": happening.words,
                    "OriginOfCondition": {"@odata.id": happening.origin},
                }
            ],
        }
        return encode(body)


def service(unit: Unit) -> dict[str, Any]:
    """The EventService."""
    rules = unit.machine.personality.rules
    told: dict[str, Any] = {
        "@odata.id": paths.EVENT_SERVICE,
        "@odata.type": "#EventService.v1_10_0.EventService",
        "Id": "EventService",
        "Name": "Event Service",
        "ServiceEnabled": rules.events_enabled,
        "Status": {"State": "Enabled" if rules.events_enabled else "Disabled", "Health": "OK"},
        "DeliveryRetryAttempts": 3,
        "DeliveryRetryIntervalSeconds": 30,
        "EventFormatTypes": ["Event"],
        "RegistryPrefixes": ["ResourceEvent", "TaskEvent"],
        "Subscriptions": {"@odata.id": paths.SUBSCRIPTIONS},
    }
    if rules.events_uri:
        told["ServerSentEventUri"] = rules.events_uri
    return told
