"""How far an update is, told by the UpdateService itself: for makes whose updates make no task (iLO 5 before 2.30).

The service has one state for all updates, and keeps the last one's word until the next begins. So what
is followed in place of a task is that state *from a moment on*: `uri` puts the moment of the request into
a fragment, which is journalled like a task's URI and means the same to a later run. An end that is told
within `YOUNG` seconds of that moment may still be an earlier update's, unless this one was seen to run.

States and their meaning: HPE's resource definition of ``Oem.Hpe.State`` (HpeiLOUpdateServiceExt).
"""

from __future__ import annotations

from ...core.observation import TaskPhase, TaskSeen
from .document import Document, dig, text, without_grants

YOUNG = 20.0
"""Seconds. An iLO begins with an accepted update within a few; a flash takes longer than this."""

_MARK = "#update-"

_PHASES = {
    "Uploading": TaskPhase.RUNNING,
    "Verifying": TaskPhase.RUNNING,
    "Writing": TaskPhase.RUNNING,
    "Updating": TaskPhase.RUNNING,
    "Complete": TaskPhase.DONE,
    "Error": TaskPhase.FAILED,
    "Idle": TaskPhase.VANISHED,
}


class UpdateState:
    """Reads the state at the dotted *path* of the UpdateService, as a task would be read."""

    def __init__(self, path: str) -> None:
        self._path = path.split(".")

    @staticmethod
    def uri(service: str, since: float) -> str:
        """What to follow for an update that was asked of *service* at *since* (epoch seconds)."""
        return f"{service}{_MARK}{since:.0f}"

    @staticmethod
    def is_one(uri: str) -> bool:
        """Whether *uri* is one of ours, and no task's."""
        return _MARK in uri

    @staticmethod
    def service(uri: str) -> str:
        """The UpdateService of *uri*."""
        return uri.partition(_MARK)[0]

    def followed(self, uri: str, document: Document, *, now: float, was_running: bool) -> TaskSeen | None:
        """What the state says of the update that *uri* follows; None: nothing yet.

        *was_running*: this update was seen to run already.
        """
        seen = self._seen(uri, document)
        since = uri.partition(_MARK)[2]
        young = now - float(since or 0) < YOUNG
        return None if young and not was_running and seen.phase is not TaskPhase.RUNNING else seen

    def listed(self, service: str, document: Document) -> TaskSeen | None:
        """The state as an entry in a list of tasks; None where there is none. Its URI is another for another phase."""
        seen = self._seen(service, document)
        if seen.phase is TaskPhase.VANISHED:
            return None
        return TaskSeen(f"{service}{_MARK}{seen.phase}", seen.phase, seen.percent, seen.message)

    def _seen(self, uri: str, document: Document) -> TaskSeen:
        found = dig(document, *self._path)
        # A word that nobody knows is no end (P05).
        phase = _PHASES.get(text(found, "State") or "", TaskPhase.RUNNING)
        percent = dig(found, "FlashProgressPercent")
        told = percent if isinstance(percent, int) and not isinstance(percent, bool) and 0 <= percent <= 100 else None
        message = text(found, "Result", "MessageId") or ""
        return TaskSeen(uri, phase, None if phase is TaskPhase.FAILED else told, without_grants(message))
