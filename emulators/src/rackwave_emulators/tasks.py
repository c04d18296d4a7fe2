"""The tasks by which a BMC tells how its updates fare."""

from __future__ import annotations

from enum import StrEnum

from attrs import define, frozen

from rackwave.core.identity import ComponentName


class TaskState(StrEnum):
    """Redfish TaskState, as far as the lab's machines use it."""

    NEW = "New"
    RUNNING = "Running"
    PENDING = "Pending"
    SUSPENDED = "Suspended"
    USER_INTERVENTION = "UserIntervention"
    INTERRUPTED = "Interrupted"
    COMPLETED = "Completed"
    EXCEPTION = "Exception"


class Hold(StrEnum):
    """Whether an image is verified by a task of its own: no, yes and then programmed, or yes and then kept."""

    NO = "no"
    VERIFIED = "verified"
    STARTED = "started"


class TaskStatus(StrEnum):
    """Redfish TaskStatus."""

    OK = "OK"
    WARNING = "Warning"
    CRITICAL = "Critical"


@frozen
class TaskMessage:
    """One entry of Task.Messages."""

    message_id: str
    text: str
    severity: TaskStatus = TaskStatus.OK


@define
class MachineTask:
    """One update task; the machine changes it as time goes by. *record* is the write's number in the ledger.

    *percent* is right when the task was just read from its machine. *step* is what it does: "update",
    "verify" (of an image that then waits for StartUpdate, P19) or "settings". *resets_host*: the BMC
    resets the host as soon as the image waits for that.
    """

    id: str
    component: ComponentName | None
    image: str
    source: str
    record: int
    started_at: float
    state: TaskState = TaskState.NEW
    status: TaskStatus = TaskStatus.OK
    percent: int = 0
    ended_at: float | None = None
    transfer_failed: bool = False
    messages: tuple[TaskMessage, ...] = ()
    step: str = "update"
    resets_host: bool = False
    starts_itself: bool = False
    shown_from: float = 0.0
    word: str = ""

    @property
    def told_state(self) -> str:
        """The TaskState as the BMC words it (P05)."""
        return self.word if self.word and not self.ended else self.state.value

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in (TaskState.COMPLETED, TaskState.EXCEPTION)
