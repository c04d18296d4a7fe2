"""Tasks as BMCs really tell them: where a task's URI hides, and what a task document means.

Rules:

- Only the words of the specification end a task. A word that nobody knows, a document that is no
  Task and an error that is no 404 leave it RUNNING (P05): time decides then, not a guess.
- ``Completed`` with TaskStatus ``Critical`` has failed (P06); with ``Warning`` it is done.
- ``UserIntervention``, ``Suspended`` and ``Interrupted`` may go on for ever (P11); they are RUNNING.
- 404 is VANISHED, which is neither success (P03) nor failure: purged on success (P02), or lost with
  the BMC's reboot (P01).
- HTTP 200 says that the document was read, not that the task went well.
- What a make says beside TaskState counts first where a quirk tells what its words mean (iDRAC's
  JobState); one of its words that no quirk knows leaves it to TaskState.
- An image that is written and waits for its reset is STAGED: by such a word, or by the last message of
  a task that goes on (``Update.AwaitToActivate``). A task that ended with ``Update.AwaitToUpdate``, or
  bears the name of a mere verification where uploads are only verified, has programmed nothing yet (P19).
- A GET on a task *monitor* may delete the monitor (P09), so a Task's own URI is preferred, and
  ``…/TaskMonitors/7`` and ``…/Tasks/7/Monitor`` are led back to ``…/Tasks/7`` (OpenBMC, iDRAC).

Example: ``task_uri({"Location": "https://bmc/redfish/v1/TaskService/Tasks/7/Monitor"}, {})`` is
``/redfish/v1/TaskService/Tasks/7``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from ...core.observation import TaskPhase, TaskSeen
from ..quirks import PLAIN, Quirks
from .document import dig, items, message_id, messages, text, uri_path, without_grants

_ENDED = {
    "Completed": TaskPhase.DONE,
    "Exception": TaskPhase.FAILED,
    "Killed": TaskPhase.FAILED,
    "Cancelled": TaskPhase.FAILED,
    "Invalid": TaskPhase.FAILED,  # a Job's word (DSP2046, Job.JobState)
}
"""Every other word of Task.TaskState and Job.JobState means that it goes on: New, Starting, Running,
Suspended, Interrupted, Pending, Stopping, Service, Cancelling, UserIntervention, Continue, Validating …"""

_TRANSFER_FAILED = frozenset(
    {
        "Update.TransferFailed",
        "UpdateService.TransferFailed",
        "Base.CouldNotEstablishConnection",
        "Base.SourceDoesNotSupportProtocol",
        "Base.AccessDenied",
        "Base.ResourceAtUriUnauthorized",
    }
)
"""Messages that say that the image never came: the Update registry's, and what the Base registry
has for a URI that the service could not read (DSP8011)."""

_IMAGE_ARGUMENT = {
    "TransferringToComponent": 0,
    "VerifyingAtComponent": 0,
    "InstallingOnComponent": 0,
    "ApplyingOnComponent": 0,
    "TransferFailed": 0,
    "VerificationFailed": 0,
    "ApplyFailed": 0,
    "ActivateFailed": 0,
    "AwaitToUpdate": 0,
    "AwaitToActivate": 0,
    "UpdateSuccessful": 1,
}
"""Which MessageArg of the Update registry's messages names the image (DSP8011, Update.1.0)."""

_TASK = re.compile(r"/(?:TaskService/)?(?:Tasks|Jobs|TaskMonitors?)/[^/?]+", re.IGNORECASE)
_MONITOR_SUFFIX = re.compile(r"/Monitor/?$", re.IGNORECASE)
_MONITORS = re.compile(r"/TaskMonitors?/([^/?]+)/?$", re.IGNORECASE)


def task_uri(headers: Mapping[str, str], body: object) -> str | None:
    """Find the task that an accepted request began; None where the answer names none (P10).

    Looked at in this order: a Task in the body (its own URI, not its monitor), a Location, links of
    the body (``TaskMonitor``, ``Task``), the arguments of its messages. *headers* is
    case-insensitive or has the canonical ``Location``.
    """
    for candidate in _candidates(headers, body):
        uri = uri_path(candidate)
        if uri is not None and _TASK.search(uri):
            return _of_monitor(uri)
    # A Location that is called unlike any task still is what the service says to follow.
    location = uri_path(headers.get("Location"))
    return None if location is None or _is_not_a_task(location) else _of_monitor(location)


def _candidates(headers: Mapping[str, str], body: object) -> Iterator[object]:
    if _is_task(body):
        yield dig(body, "@odata.id")
    yield headers.get("Location")
    yield dig(body, "TaskMonitor")
    yield dig(body, "Task", "@odata.id")
    yield dig(body, "@odata.id")
    for message in messages(body):
        yield from items(message, "MessageArgs")
        yield from items(message, "RelatedProperties")
    for link in items(body, "Links", "Tasks"):
        yield dig(link, "@odata.id")


def _is_task(body: object) -> bool:
    kind = text(body, "@odata.type") or ""
    return kind.startswith(("#Task.", "#Job.")) or text(body, "TaskState") is not None


def _is_not_a_task(uri: str) -> bool:
    """Whether *uri* is a resource that updates are sent to, which some services name as Location (P10)."""
    path = urlsplit(uri).path.rstrip("/")
    return path.endswith(("/UpdateService", "/Bios", "/Settings")) or "/FirmwareInventory" in path


def _of_monitor(uri: str) -> str:
    """The Task whose monitor *uri* is."""
    return _MONITORS.sub(r"/Tasks/\1", _MONITOR_SUFFIX.sub("", uri))


def task_seen(uri: str, document: object, http_status: int, *, quirks: Quirks = PLAIN) -> TaskSeen:
    """Reduce what a GET on *uri* brought to what decides; *document* is the parsed body, whatever it is."""
    if http_status in (404, 410):
        return TaskSeen(uri, TaskPhase.VANISHED, message="the BMC does not know this task (any more)")
    phase = _phase(document, http_status, quirks)
    return TaskSeen(
        uri=uri,
        phase=phase,
        percent=_percent(document),
        message=without_grants(_message(document)),
        image=_named(_image(document)),
        transfer_failed=phase is TaskPhase.FAILED
        and any(message_id(m) in _TRANSFER_FAILED for m in messages(document)),
        held=phase is TaskPhase.DONE and _only_verified(document, quirks),
    )


def _only_verified(document: object, quirks: Quirks) -> bool:
    verifies = quirks.start_update and (text(document, "Name") or "").endswith("Verify")
    return verifies or _last_message_id(document) == "Update.AwaitToUpdate"


def _last_message_id(document: object) -> str:
    return next((known for message in reversed(tuple(messages(document))) if (known := message_id(message))), "")


def _phase(document: object, http_status: int, quirks: Quirks) -> TaskPhase:
    if http_status == 204:  # the end of a monitor: the operation had no more to say (DSP0266, 12.2)
        return TaskPhase.DONE
    if http_status >= 300:
        return TaskPhase.RUNNING
    state = text(document, "TaskState") or text(document, "JobState")
    status = text(document, "TaskStatus") or text(document, "JobStatus")
    phase = _ENDED.get(state or "", TaskPhase.RUNNING)
    word = text(document, *quirks.task_state.split(".")) if quirks.task_state else None
    if word is not None and word in quirks.task_words:
        phase = TaskPhase(quirks.task_words[word].value)
    elif phase is TaskPhase.RUNNING and _last_message_id(document) == "Update.AwaitToActivate":
        phase = TaskPhase.STAGED
    if phase is TaskPhase.DONE and status == "Critical":
        return TaskPhase.FAILED
    if state is None and http_status == 200 and any(message_id(m) == "Base.Success" for m in messages(document)):
        return TaskPhase.DONE  # a monitor that ended with the operation's own answer
    return phase


def _percent(document: object) -> int | None:
    found = dig(document, "PercentComplete")
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= 100:
        return None
    return int(found)


def _message(document: object) -> str:
    """The last message that has words, which is the newest by the order that services keep."""
    last = ""
    for message in messages(document):
        last = text(message, "Message") or text(message, "MessageId") or last
    return last


def _named(image: str | None) -> str | None:
    return None if image is None else without_grants(image)


def _image(document: object) -> str | None:
    payload = dig(document, "Payload", "JsonBody")
    if isinstance(payload, str):  # the schema's type is a string that holds JSON
        try:
            payload = json.loads(payload)
        except (ValueError, RecursionError):
            payload = None
    # A push has no ImageURI; some services note the file's name under the part's name.
    if found := text(payload, "ImageURI") or text(payload, "UpdateFile"):
        return found
    for message in messages(document):
        registry, _, key = message_id(message).partition(".")
        arguments = items(message, "MessageArgs")
        index = _IMAGE_ARGUMENT.get(key)
        if registry in ("Update", "UpdateService") and index is not None and len(arguments) > index:
            name = arguments[index]
            if isinstance(name, str) and name.strip():
                return name.strip()[:1024]
    return None
