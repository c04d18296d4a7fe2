"""What a person should be told of without having asked: a rollout that ended, one that waits for them, a quarantine.

A notice is worked out from an event and what the journal said before it, so that every process finds the same ones. It
is known by the event's number in the journal, which never comes twice. What was told to which hook is journalled
(``Notified``): what a killed process did not tell, the next one does, for a day.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from attrs import frozen

from . import event as ev
from .identity import BundleId, NodeName, RolloutId
from .report import timestamp
from .rollout import RolloutState
from .waves import Wait, judge_wave, wants_approval

KEPT = 86_400.0
"""Seconds for which something is still news."""


class Occasion(StrEnum):
    """What people may be told of."""

    STOPPED = "stopped"
    ABORTED = "aborted"
    DONE = "done"
    APPROVAL = "approval"
    QUARANTINED = "quarantined"


@frozen
class Notice:
    """One thing to be told; *command* is what to type next."""

    number: int
    at: float
    occasion: Occasion
    text: str
    reason: str
    command: str
    rollout: RolloutId | None = None
    bundle: BundleId | None = None
    node: NodeName | None = None
    wave: int | None = None

    def document(self) -> dict[str, Any]:
        """Return it as JSON values: the body that a webhook gets."""
        return {
            "id": self.number,
            "at": timestamp(self.at),
            "what": str(self.occasion),
            "text": self.text,
            "reason": self.reason,
            "rollout": str(self.rollout) if self.rollout is not None else None,
            "bundle": str(self.bundle) if self.bundle is not None else None,
            "wave": self.wave,
            "node": str(self.node) if self.node is not None else None,
            "command": self.command,
        }


class NoticeBook:
    """The notices of the last day and to whom each was told: part of the ledger."""

    def __init__(self) -> None:
        self._notices: dict[int, Notice] = {}
        self._told: set[tuple[int, str]] = set()

    def apply(self, recorded: ev.Recorded, rollouts: Iterable[RolloutState]) -> None:
        """Fold one event in, after *rollouts* know of it."""
        if isinstance(recorded.event, ev.Notified):
            self._told.add((recorded.event.number, recorded.event.hook))
            return
        notice = _notice(recorded, rollouts)
        if notice is not None:
            self._notices = {n: each for n, each in self._notices.items() if each.at > notice.at - KEPT}
            self._told = {(number, hook) for number, hook in self._told if number in self._notices}
            self._notices[notice.number] = notice

    def untold(self, hook: str, now: float) -> tuple[Notice, ...]:
        """Return what is news at *now* and was not told to *hook*, oldest first."""
        return tuple(
            notice
            for number, notice in self._notices.items()
            if (number, hook) not in self._told and notice.at > now - KEPT
        )


def _notice(recorded: ev.Recorded, rollouts: Iterable[RolloutState]) -> Notice | None:
    event = recorded.event
    match event:
        case ev.RolloutFinished(rollout, result, reason):
            state = next(each for each in rollouts if each.id == rollout)
            why = f": {reason}" if reason else ""
            return Notice(
                recorded.number,
                recorded.at,
                Occasion(str(result)),
                f"rollout {rollout} of {state.bundle} is {result}{why}",
                reason,
                f"rackwave rollout show {rollout}",
                rollout,
                state.bundle,
                wave=state.wave,
            )
        case ev.RolloutWaits(rollout, why):
            state = next(each for each in rollouts if each.id == rollout)
            verdict, following = judge_wave(state, recorded.at), state.wave + 1
            is_asked = isinstance(verdict, Wait) and verdict.why == why and verdict.until is None
            if not is_asked or state.paused is not None or not wants_approval(state, following):
                return None
            return Notice(
                recorded.number,
                recorded.at,
                Occasion.APPROVAL,
                f"rollout {rollout} of {state.bundle} waits for somebody to approve wave {following}",
                f"its policy asks a person before this wave (approval = {state.policy.approval})",
                f"rackwave rollout approve {rollout} --wave {following}",
                rollout,
                state.bundle,
                wave=following,
            )
        case ev.Quarantined(node, evidence):
            within = next((each for each in rollouts if each.finished is None and node in each.wave_of), None)
            return Notice(
                recorded.number,
                recorded.at,
                Occasion.QUARANTINED,
                f"{node} is in quarantine: nothing more is done to it until a person has looked",
                "; ".join(evidence),
                f"rackwave history {node}",
                within.id if within is not None else None,
                within.bundle if within is not None else None,
                node,
                within.wave_of[node] if within is not None else None,
            )
        case _:
            return None
