"""When a rollout will be done, as far as anybody knows.

Rules:
- Nodes of a wave go side by side, so that a wave takes as long as its slowest node; waves and soaks follow each other.
- A node begins when the rollout's maintenance window and its own let it; past the date that policy enforces, at once.
- Where one node of those left is not known, nothing is; where a person is waited for, there is work left and no time.
- What has begun and is late counts as about to end. Failures are not foreseen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import frozen

from .identity import NodeName
from .rollout import RolloutState
from .waves import wants_approval
from .window import Windows, read_windows, utc

_MOST_WINDOWS = 60
"""Openings that are tried for a wave: windows differ in length, and in a week each of them has opened."""


@frozen
class Eta:
    """*seconds* of work are left, and it is done at *at* (epoch seconds); None: nobody knows. *ground* says why so."""

    at: float | None
    seconds: float | None
    ground: str

    def __str__(self) -> str:
        if self.seconds is None:
            return self.ground
        left = f"{self.seconds / 60:.0f} min left"
        return f"{left}, done at {utc(self.at)}" if self.at is not None else f"{left} {self.ground}"


def estimate(
    rollout: RolloutState,
    now: float,
    *,
    expected: Callable[[NodeName], float | None],
    begun: Mapping[NodeName, float],
    own: Callable[[NodeName], Sequence[Windows]] = lambda _: (),
    ground: str = "",
) -> Eta:
    """Say when *rollout*, which has not ended, is done.

    *expected* is what a node takes in all, in seconds, *begun* when it began, *own* the windows of its own.
    """
    left = {node: expected(node) for node in rollout.nodes if node not in rollout.results}
    unknown = next((node for node, seconds in left.items() if seconds is None), None)
    if unknown is not None:
        return Eta(None, None, f"nobody knows yet how long it takes on {unknown}: nothing like it was timed")
    takes = {node: seconds for node, seconds in left.items() if seconds is not None}
    work, at = 0.0, now
    person = f"paused by {rollout.paused.by}" if rollout.paused is not None else ""
    for number, wave in enumerate(rollout.waves[max(0, rollout.wave) :], max(0, rollout.wave)):
        if number > rollout.wave and not person and wants_approval(rollout, number):
            person = f"once wave {number} is approved"
        ends, most = [at], 0.0
        for node in wave:
            if node not in takes:
                continue
            seconds = _left(takes[node], begun.get(node), now)
            windows = () if node in begun else (read_windows(rollout.policy.window), *own(node))
            begins = _begins(windows, at, seconds, rollout.policy.enforced_from)
            if begins is None:
                return Eta(None, None, f"{node} takes {seconds / 60:.0f} min, and no maintenance window is so long")
            ends.append(begins + seconds)
            most = max(most, seconds)
        soak = rollout.policy.soak
        if number == rollout.wave and rollout.is_wave_over:
            soak = max(0.0, (rollout.settled_at or now) + soak - now)
        work += most + soak
        at = max(ends) + soak
    return Eta(None if person else at, work, person or ground)


def _left(seconds: float, begun: float | None, now: float) -> float:
    return seconds if begun is None else max(0.0, min(seconds, begun + seconds - now))


def _begins(every: Sequence[Windows], at: float, seconds: float, enforced: float | None) -> float | None:
    """Return when work of *seconds* may begin from *at* on, all windows being open; None: it fits into none."""
    for _ in range(_MOST_WINDOWS):
        if enforced is not None and at >= enforced:
            return max(at, enforced)
        later = max((_next(windows, at, seconds) for windows in every), default=at)
        if later == at:
            return at
        at = later
    return enforced


def _next(windows: Windows, at: float, seconds: float) -> float:
    """Return *at* where it fits in there, else the next moment at which to look again."""
    closes = windows.closes(at)
    if closes is None:
        return windows.opens(at)
    return at if at + seconds <= closes else closes
