"""What happens to update tasks, and to the answers that name them."""

from __future__ import annotations

from enum import StrEnum

from attrs import field, frozen

from .fault import ComponentFault, Fault, Label, RequestFault, duration, percentage


class Waiting(StrEnum):
    """The states in which a task waits for somebody, for ever (P11)."""

    SUSPENDED = "Suspended"
    USER_INTERVENTION = "UserIntervention"
    INTERRUPTED = "Interrupted"


class HiddenIn(StrEnum):
    """Where the 202 of an update hides its task (P10).

    In the arguments of a message; in the body, which is a Task, with no Location; in a link of a body
    that is no Task; in a Location that ends in ``/Monitor``; in none of them.
    """

    MESSAGE_ARGS = "message-args"
    BODY_TASK = "body-task"
    BODY_LINK = "body-link"
    MONITOR_SUFFIX = "monitor-suffix"
    NOWHERE = "nowhere"


@frozen(kw_only=True)
class TaskVanishes(ComponentFault):
    """The BMC restarts itself at *percent* and knows no task afterwards; *applied*: the image is staged yet."""

    id = "task-vanishes"
    story = "the BMC restarts in mid-update and its TaskService starts empty"
    label = Label.MACHINE
    pathologies = ("P01", "P03")

    percent: int = field(default=50, validator=percentage)
    applied: bool = True


@frozen(kw_only=True)
class TaskPurged(ComponentFault):
    """The task is gone the moment it succeeds; a job at ``JobService/Jobs`` tells what it was."""

    id = "task-purged"
    story = "the task is purged the moment it succeeds, the vendor's job stays"
    label = Label.MACHINE
    pathologies = ("P02",)


@frozen(kw_only=True)
class TaskLate(Fault):
    """A fresh task answers 404 for *seconds*."""

    id = "task-late"
    story = "a GET on a task just created answers 404 for some seconds"
    label = Label.MACHINE
    pathologies = ("P04",)

    seconds: float = field(default=5.0, validator=duration)


@frozen(kw_only=True)
class TaskWord(Fault):
    """While it runs, the task's TaskState is *word*."""

    id = "task-word"
    story = "a running task says New, or a word that no specification knows"
    label = Label.MACHINE
    pathologies = ("P05",)

    word: str = "New"


@frozen(kw_only=True)
class CompletedCritical(ComponentFault):
    """The task ends Completed at 100 % with TaskStatus Critical; the old image stays."""

    id = "completed-critical"
    story = "the task is Completed at 100 % and Critical: it failed"
    label = Label.MACHINE
    pathologies = ("P06",)


@frozen(kw_only=True)
class PowerRefusedInTask(Fault):
    """While an update runs, resets of host and BMC and further updates are refused."""

    id = "power-refused-in-task"
    story = "power and further work are refused while a task runs"
    label = Label.MACHINE
    pathologies = ("P08",)

    count: int | None = None


@frozen(kw_only=True)
class MonitorConsumed(RequestFault):
    """The GET on a task monitor that tells the end also deletes it; the task itself stays."""

    id = "monitor-consumed"
    story = "a GET on the task monitor deletes it"
    label = Label.WIRE
    pathologies = ("P09",)

    count: int | None = None
    method: str = "GET"
    path: str = "TaskMonitors"
    running_too: bool = False


@frozen(kw_only=True)
class PushClaim(Fault):
    """A push is refused (400) unless HttpPushUriTargetsBusy is set, and so is setting it while it is set."""

    id = "push-claim"
    story = "HttpPushUriTargetsBusy must be claimed before a push and released after it, also on error"
    label = Label.WIRE
    pathologies = ("P09",)

    count: int | None = None


@frozen(kw_only=True)
class LocationHidden(Fault):
    """The 202 of an update names its task only *where*."""

    id = "location-hidden"
    story = "the 202 has no usable Location: the task's URI is elsewhere, or nowhere"
    label = Label.WIRE
    pathologies = ("P10",)

    count: int | None = None
    where: HiddenIn = HiddenIn.MESSAGE_ARGS


@frozen(kw_only=True)
class TaskWaits(ComponentFault):
    """The task stops at *percent* in a state that waits for somebody; nobody comes, until the BMC is restarted."""

    id = "task-waits"
    story = "the task waits in UserIntervention or Suspended for ever"
    label = Label.MACHINE
    pathologies = ("P11",)

    state: Waiting = Waiting.SUSPENDED
    percent: int = field(default=0, validator=percentage)


@frozen(kw_only=True)
class TwoTasks(Fault):
    """The answer names a Verify task, which is done when the image verifies; an Update task of its own follows."""

    id = "two-tasks"
    story = "one upload creates two tasks, Verify and Update"
    label = Label.MACHINE
    pathologies = ("P19",)
