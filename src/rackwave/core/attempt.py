"""An attempt to bring a node to a goal, as the journal tells it: its steps, their receipts and how they ended.

Rules:
- An intent without a receipt is open: it may or may not have happened.
- A write stays open until it is resolved; an accepted one only says that the BMC took it.
- *touched* are the components that may hold something else than the assigned bundle's image.
- *staged* are the components in which an image of ours may wait for its reset, attempts later still.
- *held* are those for which the BMC may keep an image of ours that it was never told to begin with.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from attrs import field, frozen

from . import event as ev
from .bundle import Activation, frozen_map
from .goal import Goal
from .identity import AttemptId, ComponentName, RolloutId
from .log import LogMark
from .receipt import Accepted, Ambiguous, Receipt, Refused
from .step import Flash, ResetBmc, ResetHost, ResetKind, StageSettings, StartUpdate, Step, Write, WriteImage

WRITTEN = (ev.Outcome.DONE, ev.Outcome.STAGED)
"""How a flash ends whose image is written, as far as the BMC says."""


@frozen
class StepRecord:
    """One step of an attempt: intent, receipt and, for writes, how it really ended."""

    attempt: AttemptId
    number: int
    at: float
    step: Step
    known_tasks: tuple[str, ...] = ()
    completing: bool = False
    begins_on_order: bool = False
    """Whether its upload went a way by which nothing is programmed before the BMC is told to begin."""
    receipt: Receipt | None = None
    acted_at: float | None = None
    outcome: ev.Outcome | None = None
    evidence: str = ""
    readings: tuple[tuple[float, str], ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether nobody can say yet how it ended."""
        if self.outcome is not None or isinstance(self.receipt, Refused):
            return False
        if isinstance(self.step, Flash):
            return True
        return self.receipt is None or isinstance(self.receipt, Ambiguous)

    @property
    def was_accepted(self) -> bool:
        """Whether the BMC said that it took it."""
        return isinstance(self.receipt, Accepted)

    @property
    def last_at(self) -> float:
        """When we last knew something new of it (epoch seconds)."""
        return self.acted_at if self.acted_at is not None else self.at


@frozen
class Attempt:
    """A journalled try that has not ended."""

    id: AttemptId
    goal: Goal
    started: float
    rollout: RolloutId | None = None
    rung: int | None = None
    steps: tuple[StepRecord, ...] = ()
    staged: Mapping[ComponentName, Activation] = field(factory=dict, converter=frozen_map)
    held: frozenset[ComponentName] = frozenset()
    is_marked: bool = False
    """Whether the machine's event log was asked where it stands, before the first act."""
    mark: LogMark | None = None

    # Asked in every turn, and the same until the next event: worked out once.

    @cached_property
    def last_at(self) -> float:
        """When its last step was sent or answered, or the attempt started (epoch seconds)."""
        return max((self.started, *(record.last_at for record in self.steps)))

    @cached_property
    def open_steps(self) -> tuple[StepRecord, ...]:
        """Steps in doubt or under way, oldest first."""
        return tuple(record for record in self.steps if record.is_open)

    @cached_property
    def planned_resets(self) -> tuple[StepRecord, ...]:
        """The resets that were sent for the goal's sake, not to revive the BMC."""
        return tuple(
            record for record in self.resets_after(0) if not (isinstance(record.step, ResetBmc) and record.step.revives)
        )

    @property
    def touched(self) -> frozenset[ComponentName]:
        """Components that may hold another image than before: written, or not provably left alone.

        One whose image is only held counts too: not every BMC that was asked to wait does.
        """
        return frozenset(
            record.step.component
            for record in self.steps
            if isinstance(record.step, Write)
            and not isinstance(record.receipt, Refused)
            and record.outcome is not ev.Outcome.NEVER_STARTED
        )

    @property
    def has_begun(self) -> bool:
        """Whether anything was handed to the BMC that changes the node, or may have been."""
        return any(
            isinstance(record.step, Flash | StageSettings)
            and not isinstance(record.receipt, Refused)
            and record.outcome not in (ev.Outcome.NEVER_STARTED, ev.Outcome.HELD)
            for record in self.steps
        )

    def activated(self, activation: Activation, after: int = 0) -> bool:
        """Whether the reset that *activation* needs was seen to happen after step *after*."""
        kind = ResetBmc if activation is Activation.BMC_RESET else ResetHost
        return any(
            isinstance(reset.step, kind)
            and reset.outcome is ev.Outcome.DONE
            and not (isinstance(reset.step, ResetHost) and reset.step.kind is ResetKind.FORCE_OFF)
            for reset in self.resets_after(after)
        )

    @property
    def left_staged(self) -> Mapping[ComponentName, Activation]:
        """Components in which an image of ours waits for its reset, or may do so, and what it waits for."""
        left = {name: waits for name, waits in self.staged.items() if not self.activated(waits)}
        for record in self.steps:
            if (
                isinstance(record.step, Flash)
                and (record.is_open or record.outcome in WRITTEN)
                and record.step.activation is not Activation.IMMEDIATE
                and not self.activated(record.step.activation, record.number)
            ):
                left[record.step.component] = record.step.activation
            if isinstance(record.step, Flash) and record.outcome is ev.Outcome.UNSEEN:
                left[record.step.component] = Activation.HOST_RESET
        return left

    @property
    def left_held(self) -> frozenset[ComponentName]:
        """Components for which the BMC may hold an image of ours that was never begun with."""
        left = frozenset() if self.activated(Activation.BMC_RESET) else self.held
        for record in self.steps:
            # Where an answer was lost nobody knows whether the image would be held; to believe so costs a BMC restart.
            asked = isinstance(record.receipt, Accepted) and record.receipt.held
            if (
                isinstance(record.step, WriteImage)
                and (record.outcome is ev.Outcome.HELD or (record.is_open and asked))
                and self.last_start(record) is None
                and not self.activated(Activation.BMC_RESET, record.number)
            ):
                left |= {record.step.component}
        return left

    def last_start(self, write: StepRecord) -> StepRecord | None:
        """Return the last StartUpdate for *write*, those aside that were refused or provably never began."""
        for record in reversed(self.steps):
            if (
                isinstance(record.step, StartUpdate)
                and isinstance(write.step, WriteImage)
                and record.number > write.number
                and record.step.component == write.step.component
                and not isinstance(record.receipt, Refused)
                and record.outcome is not ev.Outcome.NEVER_STARTED
            ):
                return record
        return None

    def last_write(self, component: ComponentName) -> StepRecord | None:
        """Return the last write of *component* that the BMC did not refuse."""
        for record in reversed(self.steps):
            if (
                isinstance(record.step, Write)
                and record.step.component == component
                and not isinstance(record.receipt, Refused)
            ):
                return record
        return None

    def resets_after(self, number: int) -> tuple[StepRecord, ...]:
        """Return the resets of the host or the BMC that were sent after step *number* and not refused."""
        return tuple(
            record
            for record in self.steps
            if record.number > number
            and isinstance(record.step, (ResetHost, ResetBmc))
            and not isinstance(record.receipt, Refused)
            and record.outcome is not ev.Outcome.NEVER_STARTED
        )


@frozen
class EndedAttempt:
    """What is kept of an attempt that is over."""

    goal: Goal
    result: ev.AttemptResult
    evidence: tuple[str, ...]
    at: float
