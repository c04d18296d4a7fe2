"""What a turn may decide, and everything that it decides from."""

from __future__ import annotations

import math
from typing import TypeAlias

from attrs import frozen

from .attempt import Attempt
from .bundle import Bundle
from .event import AttemptResult, Outcome
from .finding import Holding
from .identity import NodeName
from .observation import Look, Observation
from .pace import next_look
from .policy import Policy
from .step import Means, Step


@frozen
class See:
    """Look at this, then decide again, in the same turn."""

    look: Look


@frozen
class Act:
    """Journal the intent, send *step* once, journal the receipt. *known_tasks* go into the intent."""

    step: Step
    known_tasks: tuple[str, ...] = ()


@frozen
class Wait:
    """Come back after *seconds*."""

    seconds: float
    why: str


@frozen
class Resolve:
    """Journal how step *number* ended."""

    number: int
    outcome: Outcome
    evidence: str


@frozen
class Read:
    """Journal a reading for the write *number* that is in doubt."""

    number: int
    installed: str


@frozen
class Finish:
    """The attempt is over."""

    result: AttemptResult
    evidence: tuple[str, ...]


Decision: TypeAlias = See | Act | Wait | Resolve | Read | Finish


@frozen
class Situation:
    """Everything a turn decides from. *holding* is None until somebody asked the image server.

    *since* is when this process first looked at the attempt: time in which nobody looked is no
    patience spent, or one bad reading after a long outage of ours would condemn a node. *usual* is what
    the attempt's last step took before, in seconds, where anybody knows. *means* are those by which its
    BMC may be restarted, *revived* when that was done of late. *back* is when this process found it there
    again after it was away: infinity while it is away. *blind* is since when it could not read all it asked
    for, *unchanged* since when it has seen the host in the state that it is in: patience is spent by what goes
    on, not by what an attempt waited for before. *was_held_back*: somebody's hold or work kept the next step back.
    """

    node: NodeName
    attempt: Attempt
    bundle: Bundle
    policy: Policy
    now: float
    seen: Observation
    holding: Holding | None = None
    since: float = 0.0
    usual: float | None = None
    means: tuple[Means, ...] = ()
    revived: tuple[float, ...] = ()
    back: float = -math.inf
    blind: float = -math.inf
    unchanged: float = -math.inf
    was_held_back: bool = False

    def waited(self, moment: float | None = None) -> float:
        """Return for how long it has been watched since *moment*, or since the last news of the attempt."""
        return self.now - max(self.attempt.last_at if moment is None else moment, self.since)

    def unread(self) -> float:
        """Return for how long of `waited` something could not be read."""
        return min(self.waited(), self.now - self.blind)

    def lasted(self, moment: float | None = None) -> float:
        """Return for how long of `waited` the host has been as it is."""
        return min(self.waited(moment), self.now - self.unchanged)

    def wait(self, why: str, limit: float, *, moment: float | None = None) -> Wait:
        """Return the wait for what began at *moment* (the attempt's last news), given up after *limit* seconds."""
        waited = self.waited(moment)
        return Wait(next_look(self.policy, waited, deadline=limit - waited), why)
