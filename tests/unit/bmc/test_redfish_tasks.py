"""Where a task's URI hides, and what a task document means."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwave.bmc.redfish.tasks import task_seen, task_uri
from rackwave.core.observation import TaskPhase

TASK = "/redfish/v1/TaskService/Tasks/7"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)
KEYS = st.sampled_from(
    [
        "@odata.id",
        "@odata.type",
        "TaskState",
        "TaskStatus",
        "TaskMonitor",
        "Task",
        "Messages",
        "MessageArgs",
        "MessageId",
        "@Message.ExtendedInfo",
        "error",
        "Payload",
        "JsonBody",
        "PercentComplete",
    ]
)
WORDS = st.sampled_from(["Running", "Update.1.0.TransferFailed", TASK, "{}", "[", "\ud800"])
TASKISH = st.recursive(
    JSON | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"Location": TASK}, {}, TASK),
        ({"Location": f"https://bmc.local:443{TASK}"}, {}, TASK),
        ({"Location": f"{TASK}/Monitor"}, {}, TASK),
        ({"Location": "/redfish/v1/TaskService/TaskMonitors/7"}, {}, TASK),
        ({"Location": "/redfish/v1/TaskService/TaskMonitors/7"}, {"@odata.type": "#Task.v1_4_3.Task"}, TASK),
        ({"Location": "/redfish/v1/TaskMonitors/9"}, {"@odata.id": TASK, "@odata.type": "#Task.v1_0_0.Task"}, TASK),
        ({}, {"@odata.id": TASK, "@odata.type": "#Task.v1_4_3.Task"}, TASK),
        ({}, {"@odata.id": TASK, "TaskState": "New"}, TASK),
        ({}, {"TaskMonitor": f"{TASK}/Monitor"}, TASK),
        ({}, {"Task": {"@odata.id": TASK}}, TASK),
        ({}, {"@odata.id": "/redfish/v1/UpdateService", "@Message.ExtendedInfo": [{"MessageArgs": ["x", TASK]}]}, TASK),
        ({}, {"error": {"@Message.ExtendedInfo": [{"MessageArgs": [f"https://10.0.0.1{TASK}"]}]}}, TASK),
        ({"Location": "/redfish/v1/UpdateService"}, {}, None),
        ({"Location": "/redfish/v1/UpdateService/FirmwareInventory/BIOS"}, {}, None),
        ({"Location": "/redfish/v1/UpdateService"}, {"@Message.ExtendedInfo": [{"MessageArgs": [TASK]}]}, TASK),
        ({"Location": "/redfish/v1/JobService/Jobs/JID_1"}, {}, "/redfish/v1/JobService/Jobs/JID_1"),
        (
            {"Location": "/redfish/v1/Managers/iDRAC.Embedded.1/Jobs/JID_1"},
            {},
            "/redfish/v1/Managers/iDRAC.Embedded.1/Jobs/JID_1",
        ),
        ({"Location": "/redfish/v1/Oem/Progress/3"}, {}, "/redfish/v1/Oem/Progress/3"),
        ({"Location": ""}, {}, None),
        ({"Location": "https://["}, [], None),
        ({}, "busy", None),
        ({}, None, None),
    ],
)
def test_task_uri(headers, body, expected):
    """The task is found wherever the answer hides it (P10), as a path, the Task before its monitor (P09)."""
    assert expected == task_uri(headers, body)


@given(
    headers=st.dictionaries(st.sampled_from(["Location", "X"]), st.text(max_size=30) | st.just(TASK), max_size=2),
    body=TASKISH,
)
@settings(max_examples=150)
def test_task_uri_of_garbage(headers, body):
    """Whatever an answer holds, the URI found is a printable path on this BMC, or None."""
    found = task_uri(headers, body)

    assert found is None or (found.startswith("/") and found.isprintable() and len(found) <= 2048)


@pytest.mark.parametrize(
    ("state", "status", "phase"),
    [
        ("New", "OK", TaskPhase.RUNNING),
        ("Starting", "OK", TaskPhase.RUNNING),
        ("Running", "OK", TaskPhase.RUNNING),
        ("Running", "Critical", TaskPhase.RUNNING),
        ("Suspended", "OK", TaskPhase.RUNNING),
        ("Interrupted", "OK", TaskPhase.RUNNING),
        ("Pending", "OK", TaskPhase.RUNNING),
        ("Stopping", "Warning", TaskPhase.RUNNING),
        ("Service", "OK", TaskPhase.RUNNING),
        ("Cancelling", "OK", TaskPhase.RUNNING),
        ("UserIntervention", "Warning", TaskPhase.RUNNING),
        ("Validating", "OK", TaskPhase.RUNNING),
        ("Downloading", None, TaskPhase.RUNNING),
        (None, "OK", TaskPhase.RUNNING),
        (7, "OK", TaskPhase.RUNNING),
        ("Completed", "OK", TaskPhase.DONE),
        ("Completed", None, TaskPhase.DONE),
        ("Completed", "Warning", TaskPhase.DONE),
        ("Completed", "Critical", TaskPhase.FAILED),
        ("Exception", "OK", TaskPhase.FAILED),
        ("Exception", "Critical", TaskPhase.FAILED),
        ("Killed", "Critical", TaskPhase.FAILED),
        ("Cancelled", "Warning", TaskPhase.FAILED),
    ],
)
def test_phase(state, status, phase):
    """Every TaskState and TaskStatus, and words that nobody knows (P05, P06, P11)."""
    document = {"TaskState": state, "TaskStatus": status}

    assert phase is task_seen(TASK, document, 200).phase
    assert phase is task_seen(TASK, {"JobState": state, "JobStatus": status}, 200).phase


@pytest.mark.parametrize(
    ("status", "document", "phase"),
    [
        (404, {}, TaskPhase.VANISHED),
        (404, {"TaskState": "Completed"}, TaskPhase.VANISHED),
        (410, None, TaskPhase.VANISHED),
        (202, {}, TaskPhase.RUNNING),
        (202, {"TaskState": "Running"}, TaskPhase.RUNNING),
        (204, {}, TaskPhase.DONE),
        (200, {}, TaskPhase.RUNNING),
        (200, {"error": "busy"}, TaskPhase.RUNNING),
        (200, [], TaskPhase.RUNNING),
        (200, {"TaskState": "Exception"}, TaskPhase.FAILED),
        (200, {"@Message.ExtendedInfo": [{"MessageId": "Base.1.8.Success"}]}, TaskPhase.DONE),
        (500, {"TaskState": "Completed"}, TaskPhase.RUNNING),
        (503, {}, TaskPhase.RUNNING),
    ],
)
def test_phase_by_http_status(status, document, phase):
    """404 is vanished, 202 runs, and 200 alone says nothing of how the task went (P01, P03)."""
    assert phase is task_seen(TASK, document, status).phase


@given(document=TASKISH, status=st.sampled_from([200, 202, 400, 500, 503]))
@settings(max_examples=150)
def test_garbage_ends_nothing(document, status):
    """A document without one of the specification's last words never ends a task."""
    seen = task_seen(TASK, document, status)

    assert TaskPhase.RUNNING is seen.phase
    assert not seen.transfer_failed
    assert seen.percent is None or 0 <= seen.percent <= 100
    json.dumps([seen.message, seen.image]).encode("utf-8")


@pytest.mark.parametrize(
    ("message", "failed"),
    [
        ("Update.1.0.TransferFailed", True),
        ("UpdateService.1.0.TransferFailed", True),
        ("Base.1.18.CouldNotEstablishConnection", True),
        ("Base.1.18.SourceDoesNotSupportProtocol", True),
        ("Update.1.0.VerificationFailed", False),
        ("Update.1.0.ApplyFailed", False),
        ("TransferFailed", False),
        ("", False),
    ],
)
def test_transfer_failed(message, failed):
    """A failed task tells by its message ids whether the image ever came (P20)."""
    document = {"TaskState": "Exception", "Messages": [{"MessageId": message, "Message": "told"}]}
    running = {**document, "TaskState": "Running"}

    assert failed is task_seen(TASK, document, 200).transfer_failed
    assert not task_seen(TASK, running, 200).transfer_failed


@pytest.mark.parametrize(
    ("document", "image"),
    [
        ({"Payload": {"JsonBody": '{"ImageURI": "https://s/attempt-1/a.bin"}'}}, "…/attempt-1/a.bin"),
        ({"Payload": {"JsonBody": {"ImageURI": "http://s/grant/b/a.bin?x=1"}}}, "…/b/a.bin"),
        ({"Payload": {"JsonBody": {"ImageURI": "http://["}}}, "…/"),
        ({"Payload": {"JsonBody": '{"UpdateFile": "a.bin"}'}}, "a.bin"),
        ({"Payload": {"JsonBody": "{"}}, None),
        ({"Payload": {"JsonBody": "[" * 100_000}}, None),
        ({"Messages": [{"MessageId": "Update.1.0.InstallingOnComponent", "MessageArgs": ["a.bin", "BIOS"]}]}, "a.bin"),
        ({"Messages": [{"MessageId": "Update.1.0.UpdateSuccessful", "MessageArgs": ["BIOS", "a.bin"]}]}, "a.bin"),
        ({"Messages": [{"MessageId": "Base.1.0.Success", "MessageArgs": ["a.bin"]}]}, None),
        ({"Messages": [{"MessageId": "Update.1.0.UpdateSuccessful", "MessageArgs": []}]}, None),
        ({}, None),
    ],
)
def test_image(document, image):
    """The image is read from the request that the task remembers, else from the Update registry's messages."""
    assert image == task_seen(TASK, {"TaskState": "Running", **document}, 200).image


@pytest.mark.parametrize(
    ("told", "percent"), [(0, 0), (42, 42), (99.6, 99), (100, 100), (101, None), (-1, None), (True, None), ("5", None)]
)
def test_percent(told, percent):
    """Only a number from 0 to 100 is a percentage."""
    assert percent == task_seen(TASK, {"TaskState": "Running", "PercentComplete": told}, 200).percent


def test_last_message():
    """The newest message with words is the one that is shown."""
    document = {"Messages": [{"Message": "one"}, {"MessageId": "Update.1.0.X"}, {"Message": ""}, 5]}

    assert "Update.1.0.X" == task_seen(TASK, document, 200).message


def test_urls_are_cut_in_messages():
    """A message that echoes the image's URL shows only its end: the rest grants access."""
    told = "Transfer of image 'https://10.0.0.1:8/images/5-secret/attempt-a1/b.bin' to 'BIOS' failed."
    seen = task_seen(TASK, {"TaskState": "Exception", "Messages": [{"Message": told}]}, 200)

    assert "Transfer of image '…/attempt-a1/b.bin' to 'BIOS' failed." == seen.message
