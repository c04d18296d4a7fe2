"""A write that its task called done, and whose version does not come: was it dropped, or does it wait unseen?

Rules:
1. It waits visibly, or the service shows what waits and nothing does: that decides.
2. A task that went on until the reset (iDRAC's job) and has ended since: nothing waits any more.
3. Otherwise nobody can say. It may want another reset than its make's habit (P07), or the mains (P37),
   and to write over it would be a double flash. Where the host was not restarted for it yet, the next
   attempt begins with that; else a person must look.

A host whose firmware cannot be read after its reset, though it is up and the BMC answers, may have lost
its link to the BMC (P15). Then one restart of the BMC is due, and after it another of the host: what
waits was not applied by one that the BMC did not follow.
"""

from __future__ import annotations

from .attempt import Attempt, StepRecord
from .bundle import Activation
from .event import Outcome
from .finding import Ended, Finding, Open, WantsLook, wide_look
from .observation import NOT_ASKED, Observation, Post, Power, TaskPhase, Unknown
from .planner import is_mending
from .step import Flash
from .tracking import tied_task


def of_missing(case: Open) -> Finding:
    """Say what became of a write that was done, whose reset has passed, and whose version is not there."""
    step, component, tasks = case.step, case.component, case.seen.tasks
    if tasks is NOT_ASKED:
        return WantsLook(wide_look(step))
    reads = f"{step.component} reads {component.installed}"
    if step.activation is not Activation.IMMEDIATE:
        reads += " after its reset"
    if isinstance(component.staged, str):
        return Ended(Outcome.UNSEEN, f"{reads}, and {component.staged} still waits")
    if component.staged is None:
        return Ended(Outcome.FAILED, f"{reads}, and nothing waits any more")
    if case.record.outcome is Outcome.STAGED and (ended := _end_of_task(case.record, case.seen)):
        return Ended(Outcome.FAILED, f"{reads}, and {ended}")
    return Ended(
        Outcome.UNSEEN, f"{reads}; the BMC does not tell whether {step.version} waits for something else (P37)"
    )


def _end_of_task(record: StepRecord, seen: Observation) -> str:
    """Say how the task of *record* ended; empty where it has not, or is gone."""
    if isinstance(seen.tasks, Unknown):
        return ""
    uri = getattr(record.receipt, "task", None)
    task = next((task for task in seen.tasks if task.uri == uri), None) or tied_task(record, seen.tasks)
    if task is None or task.phase not in (TaskPhase.DONE, TaskPhase.FAILED):
        return ""
    return f"task {task.uri} has ended: {task.message or task.phase}"


def has_lost_its_host(record: StepRecord, step: Flash, *, attempt: Attempt, seen: Observation) -> bool:
    """Whether the BMC tells nothing of *step*'s component though its host is up: restart it, once (P15)."""
    resets = attempt.resets_after(record.number)
    return (
        step.activation is Activation.HOST_RESET
        and seen.power is Power.ON
        and seen.post is not Post.FAILED
        and not seen.is_away
        and bool(resets)
        and not any(is_mending(reset, step.element) for reset in resets)
    )
