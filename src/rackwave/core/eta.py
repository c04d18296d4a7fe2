"""When a rollout will be done, as far as anybody knows.

Rules:
- Nodes of a wave go side by side, so that a wave takes as long as its slowest node; waves and soaks follow each other.
- A wave begins when the maintenance window lets its slowest node begin.
- Where one node of those left is not known, nothing is; where a person is waited for, there is work left and no time.
- What has begun and is late counts as about to end. Failures are not foreseen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

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
    ground: str = "",
) -> Eta:
    """Say when *rollout*, which has not ended, is done. *expected* is what a node takes in all, in seconds."""
    left = {node: expected(node) for node in rollout.nodes if node not in rollout.results}
    unknown = next((node for node, seconds in left.items() if seconds is None), None)
    if unknown is not None:
        return Eta(None, None, f"nobody knows yet how long it takes on {unknown}: nothing like it was timed")
    takes = {node: seconds for node, seconds in left.items() if seconds is not None}
    running = max(0, rollout.wave + 1)
    work, at = 0.0, now
    person = f"paused by {rollout.paused.by}" if rollout.paused is not None else ""
    if rollout.wave >= 0:
        under_way = [node for node in rollout.waves[rollout.wave] if node in takes]
        work += max((_left(takes[node], begun.get(node), now) for node in under_way), default=0.0)
        soaked = (rollout.settled_at or now) + rollout.policy.soak if rollout.is_wave_over else None
        work += max(0.0, soaked - now) if soaked is not None else rollout.policy.soak
        at += work
    windows = read_windows(rollout.policy.window)
    for number, wave in enumerate(rollout.waves[running:], running):
        if not person and wants_approval(rollout, number):
            person = f"once wave {number} is approved"
        seconds = max((takes[node] for node in wave if node in takes), default=0.0)
        begins = _begins(windows, at, seconds)
        if begins is None:
            return Eta(None, None, f"wave {number} takes {seconds / 60:.0f} min, and no maintenance window is so long")
        work += seconds + rollout.policy.soak
        at = begins + seconds + rollout.policy.soak
    return Eta(None if person else at, work, person or ground)


def _left(seconds: float, begun: float | None, now: float) -> float:
    return seconds if begun is None else max(0.0, min(seconds, begun + seconds - now))


def _begins(windows: Windows, at: float, seconds: float) -> float | None:
    """Return when work of *seconds* may begin from *at* on; None: it fits into no window."""
    for _ in range(_MOST_WINDOWS):
        closes = windows.closes(at)
        if closes is None:
            at = windows.opens(at)
        elif at + seconds <= closes:
            return at
        else:
            at = closes
    return None
