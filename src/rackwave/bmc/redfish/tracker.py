"""Reads how updates go: a task, every task, and what stands in for tasks on makes that have none."""

from __future__ import annotations

from attrs import evolve

from ...core.observation import TaskPhase, TaskSeen, Unknown
from ...errors import BmcAnswerError, BmcRefusedError
from ...ports import Clock
from ..quirks import Quirks
from .document import Document
from .inventory import last
from .resources import Service
from .session import Session
from .tasks import task_seen
from .update_state import UpdateState

YOUNG = 10.0
"""Seconds for which a task that was just accepted may be missing (P04): it is Unknown, not vanished."""

_MOST = 64
"""How many of the newest tasks are read: each costs a request, and iDRAC keeps hundreds."""

_QUIRKS = ("task_state", "task_words", "start_update", "update_state")


class Tracker:
    """The tasks of one BMC."""

    def __init__(self, session: Session, service: Service, clock: Clock) -> None:
        self._session = session
        self._service = service
        self._clock = clock
        self._born: dict[str, float] = {}
        self._running: set[str] = set()
        self._ended: dict[str, TaskSeen] = {}
        self._ended_on = 0

    def born(self, uri: str) -> None:
        """Note that the BMC has just named *uri* to us."""
        self._born[uri] = self._clock.monotonic()

    async def follow(self, uri: str) -> TaskSeen | Unknown:
        """Read the task at *uri*.

        Raises:
            NodeError: it cannot be read.
        """
        if UpdateState.is_one(uri):
            return await self._follow_state(uri)
        task = await self._task(uri)
        if task.phase is not TaskPhase.VANISHED:
            return task
        born = self._born.get(uri)
        if born is not None and self._clock.monotonic() - born < YOUNG:
            return Unknown("the BMC does not show the task yet")
        return await self._job(uri) or task

    async def all(self) -> tuple[TaskSeen, ...]:
        """Read the newest tasks that the BMC has, in their order.

        Raises:
            NodeError: they cannot be read.
        """
        collection = await self._service.tasks_uri()
        uris = () if collection is None else await self._service.members(collection)
        newest = sorted(uris, key=_by_number)[-_MOST:]
        # What has ended stays so until the BMC restarts, which numbers tasks anew (P01) and breaks the
        # connection; so the history of an old BMC costs its many requests once.
        if self._ended_on != self._session.transport.connections:
            self._ended.clear()
            self._ended_on = self._session.transport.connections
        tasks = [self._ended.get(uri) or await self._task(uri) for uri in newest]
        # One that went between listing and reading is not there.
        tasks = [task for task in tasks if task.phase is not TaskPhase.VANISHED]
        state = await self._state()
        if state is not None:
            uri = await self._service.update_service_uri()
            listed = state.listed(uri, await self._service.update_service(fresh=True))
            tasks += [listed] if listed is not None else []
        return tuple(tasks)

    async def _task(self, uri: str) -> TaskSeen:
        answer = await self._session.get(uri, gone_is_news=True)
        document: Document = {} if answer.status in (204, 404, 410) else answer.document
        task = task_seen(uri, document, answer.status, quirks=await self._quirks())
        if task.phase in (TaskPhase.DONE, TaskPhase.FAILED):
            self._ended[uri] = task
        return task

    async def _job(self, uri: str) -> TaskSeen | None:
        """Read the job that bears the id of a task that is gone; None where there is none (P02)."""
        jobs = await self._service.jobs_uri()
        if jobs is None:
            return None
        answer = await self._session.get(f"{jobs.rstrip('/')}/{last(uri)}", gone_is_news=True)
        if answer.status in (204, 404, 410):
            return None
        return evolve(task_seen(uri, answer.document, answer.status, quirks=await self._quirks()), uri=uri)

    async def _follow_state(self, uri: str) -> TaskSeen | Unknown:
        state = await self._state()
        if state is None:
            return TaskSeen(uri, TaskPhase.VANISHED, message="the BMC tells the state of updates otherwise now")
        document = (await self._service.get(UpdateState.service(uri))).document
        seen = state.followed(uri, document, now=self._clock.now(), was_running=uri in self._running)
        if seen is None:
            return Unknown("the BMC may still tell of an earlier update")
        if seen.phase is TaskPhase.RUNNING:
            self._running.add(uri)
        return seen

    async def _state(self) -> UpdateState | None:
        path = (await self._quirks()).update_state
        return UpdateState(path) if path else None

    async def _quirks(self) -> Quirks:
        try:
            return await self._service.quirks(*_QUIRKS)
        except (BmcAnswerError, BmcRefusedError):
            # One resource that is sick does not hide the tasks: they are read by what is known of the make.
            return self._service.make.selection.quirks


def _by_number(uri: str) -> tuple[str, int, str]:
    """Sort ``…/Tasks/9`` before ``…/Tasks/10``: services count up."""
    head = uri.rstrip("0123456789")
    digits = uri[len(head) :]
    return head, int(digits[-18:] or 0), uri
