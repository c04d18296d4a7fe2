"""Tasks, and the answers to an update that was accepted, as each make gives them."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from ..personality import Oem, Receipt
from ..updates import MachineTask, TaskMessage
from . import oem, paths
from .answers import Answer
from .moments import moment
from .unit import Unit

_RETRY_AFTER = {"Retry-After": "1"}


def task_service(unit: Unit) -> dict[str, Any]:
    """The TaskService."""
    return {
        "@odata.id": paths.TASK_SERVICE,
        "@odata.type": "#TaskService.v1_2_0.TaskService",
        "Id": "TaskService",
        "Name": "Task Service",
        "ServiceEnabled": True,
        "CompletedTaskOverWritePolicy": "Oldest",
        "DateTime": moment(unit.machine.time + unit.clock_offset),
        "Status": {"State": "Enabled", "Health": "OK"},
        "Tasks": {"@odata.id": paths.TASKS},
    }


def task_body(unit: Unit, of: MachineTask) -> dict[str, Any]:
    """One task."""
    rules = unit.machine.personality.rules
    told: dict[str, Any] = {
        "@odata.id": f"{paths.TASKS}/{of.id}",
        "@odata.type": "#Task.v1_7_1.Task",
        "Id": of.id,
        "Name": _name(unit, of),
        "TaskState": of.told_state,
        "TaskStatus": of.status.value,
        "StartTime": moment(of.started_at + unit.clock_offset),
        "TaskMonitor": f"{paths.MONITORS}/{of.id}",
        "Messages": [_message(entry) for entry in of.messages],
    }
    if rules.task_percent:
        told["PercentComplete"] = of.percent
    if of.ended_at is not None:
        told["EndTime"] = moment(of.ended_at + unit.clock_offset)
    if (extension := oem.of_task(unit, of)) is not None:
        told["Oem"] = extension
    if rules.task_names_image and of.step != "settings":
        pulled = of.source == "pull"
        told["Payload"] = {
            "HttpOperation": "POST",
            "TargetUri": paths.SIMPLE_UPDATE if pulled else rules.multipart_uri or rules.push_uri,
            "HttpHeaders": ["Content-Type: application/json" if pulled else "Content-Type: multipart/form-data"],
            "JsonBody": json.dumps(unit.requested(of)),
        }
    return told


def accepted(unit: Unit, of: MachineTask) -> Answer:
    """Answer the request that began *of*, as this make does (P10)."""
    uri, monitor = f"{paths.TASKS}/{of.id}", f"{paths.MONITORS}/{of.id}"
    match unit.machine.personality.rules.receipt:
        case Receipt.TASK:
            headers = {"Location": monitor, **_RETRY_AFTER}
            return Answer.of(task_body(unit, of), HTTPStatus.ACCEPTED, headers)
        case Receipt.LOCATION:
            return Answer(HTTPStatus.ACCEPTED, headers={"Location": uri})
        case Receipt.BODY:
            return Answer.of(task_body(unit, of), HTTPStatus.ACCEPTED)
        case Receipt.MESSAGE:
            return Answer.of(_supermicro_accepts(of, uri), HTTPStatus.ACCEPTED)
        case Receipt.NOTHING:
            return Answer.of(success(), HTTPStatus.OK)


def success() -> dict[str, Any]:
    """A body that says no more than that the request succeeded."""
    return {
        "error": {
            "code": "iLO.0.10.ExtendedInfo",
            "message": "See @Message.ExtendedInfo for more information.",
            "@Message.ExtendedInfo": [{"MessageId": "Base.1.4.Success"}],
        }
    }


def _supermicro_accepts(of: MachineTask, uri: str) -> dict[str, Any]:
    step = "Verify" if of.step == "verify" else "Update"
    return {
        "Accepted": {
            "code": "Base.v1_10_3.Accepted",
            "Message": "Successfully Accepted Request.",
            "@Message.ExtendedInfo": [
                {
                    "MessageId": "SMC.1.0.OemSimpleupdateAcceptedMessage",
                    "Severity": "Ok",
                    "Resolution": "No resolution was required.",
                    "Message": f"Please also check Task Resource {uri} to see more information.",
                    "MessageArgs": [uri],
                    "RelatedProperties": [f"{(of.component or 'Image').capitalize()}{step}Accepted"],
                }
            ],
        }
    }


def _name(unit: Unit, of: MachineTask) -> str:
    if of.step == "settings":
        return "Configure: BIOS.Setup.1-1"
    if unit.machine.personality.rules.oem is Oem.SUPERMICRO and of.component is not None:
        return f"{of.component} {'Verify' if of.step == 'verify' else 'Update'}"
    return "Firmware update" if of.component is None else f"Firmware update of {of.component}"


def _message(entry: TaskMessage) -> dict[str, Any]:
    return {
        "@odata.type": "#Message.v1_1_2.Message",
        "MessageId": entry.message_id,
        "Message": entry.text,
        "Severity": entry.severity.value,
        "MessageSeverity": entry.severity.value,
    }
