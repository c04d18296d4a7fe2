"""What can be said of a write that is open: that it ended, or what it takes to know."""

from __future__ import annotations

from typing import TypeAlias

from attrs import frozen

from .attempt import Attempt, StepRecord
from .bundle import Activation
from .event import Outcome
from .observation import Component, Look, Observation
from .pace import next_look
from .policy import Policy
from .receipt import Accepted, Ambiguous
from .step import Flash, WriteImage


@frozen
class Ended:
    """It ended like this, and this shows it."""

    outcome: Outcome
    evidence: str


@frozen
class StillOpen:
    """Look again after *seconds*."""

    seconds: float
    why: str


@frozen
class WantsLook:
    """What was looked at does not suffice."""

    look: Look


@frozen
class WantsReset:
    """Only the activating reset can show what is there."""

    activation: Activation
    why: str


@frozen
class WantsReading:
    """This reading counts and is to be journalled."""

    installed: str


@frozen
class GiveUp:
    """Nobody can know from here; a person must look."""

    evidence: str


PULLED = "SimpleUpdate"
"""The way of a receipt by which the BMC fetches the image itself."""

Finding: TypeAlias = Ended | StillOpen | WantsLook | WantsReset | WantsReading | GiveUp


@frozen
class Holding:
    """How much of the image the BMC may hold: *requests* it made for it, and whether it may have it *whole*."""

    requests: int
    whole: bool


@frozen
class Open:
    """An open write, or the start of one, and all that is known about it.

    *since* is when this process began to watch; *usual* what such a write took before, in seconds;
    *who* is the node, whose waits keep out of step with the others'. *holding* is what the image server
    says; None where nobody asked yet.
    """

    record: StepRecord
    step: Flash
    attempt: Attempt
    seen: Observation
    policy: Policy
    now: float
    since: float = 0.0
    usual: float | None = None
    who: str = ""
    holding: Holding | None = None

    @property
    def component(self) -> Component:
        """What was seen of the component."""
        return self.seen.component(self.step.component)

    @property
    def time_limit(self) -> float:
        """How long it may run, in seconds."""
        return time_limit(self.step, self.policy)

    @property
    def passed(self) -> float:
        """Seconds since there was news of it."""
        return self.now - self.record.last_at

    @property
    def is_overdue(self) -> bool:
        """Whether it has had its time."""
        return self.now - self.record.last_at > self.time_limit

    @property
    def is_to_be_held(self) -> bool:
        """Whether the upload asked that its image be kept until it is told to begin."""
        receipt = self.record.receipt
        return isinstance(self.step, WriteImage) and isinstance(receipt, (Accepted, Ambiguous)) and receipt.held

    @property
    def was_never_whole(self) -> bool:
        """Whether the image server knows that the BMC, which was to fetch the image, did not get all of it."""
        pulled = isinstance(self.record.receipt, Accepted) and self.record.receipt.way == PULLED
        return pulled and self.holding is not None and not self.holding.whole

    @property
    def proves_itself(self) -> bool:
        """Whether the version's being there shows a write: not where it was there before, nor where nobody knew."""
        return self.step.expects not in ("", self.step.version)

    def patient(self, since: float, limit: float, why: str) -> Finding:
        """Look again, and give up when that has gone on for *limit* seconds, of which this process saw every one."""
        waited = self.now - max(since, self.since)
        if waited > limit:
            return GiveUp(f"{why}, for {limit:.0f} s")
        return StillOpen(next_look(self.policy, waited, deadline=limit - waited), why)


def time_limit(step: Flash, policy: Policy) -> float:
    """Return how long *step* may run, in seconds."""
    return min(step.time_limit, policy.write_limit)


def wide_look(step: Flash) -> Look:
    """Return the look that a write in doubt needs: every task, the component and the host."""
    return Look(
        bmc=step.activation is Activation.BMC_RESET,
        components=frozenset({step.component}),
        tasks=True,
    )
