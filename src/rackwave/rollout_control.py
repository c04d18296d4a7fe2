"""An operator's hand on rollouts: pause, go on, approve, abort. Each is an event, which whoever runs the rollout sees.

The process that runs a rollout looks into the journal at each turn of a node; these may come from any other.
"""

from __future__ import annotations

from attrs import frozen

from .core.event import (
    NodeFinished,
    NodeResult,
    RolloutAborted,
    RolloutContinued,
    RolloutFinished,
    RolloutPaused,
    RolloutResult,
    WaveApproved,
)
from .core.history import NodeHistory
from .core.rollout import RolloutState
from .core.step import describe
from .engine.logbook import Logbook
from .errors import UsageError
from .records import Records


@frozen
class Aborting:
    """What comes of an abort: the rollout, what is under way on its nodes, and whether a process runs it."""

    rollout: RolloutState
    under_way: tuple[str, ...]
    runs: bool


class RolloutControl:
    """Puts wishes on the record."""

    def __init__(self, records: Records, *, by: str) -> None:
        self._records = records
        self._by = by

    def find(self, rollout: str) -> RolloutState:
        """Return a rollout by its id, or by the beginning of one that no other has.

        Raises:
            UsageError: there is none, or several begin so.
        """
        self._logbook.refresh()
        known = self._logbook.ledger.rollouts.values()
        found = [each for each in known if each.id == rollout] or [
            each for each in known if each.id.startswith(rollout)
        ]
        if len(found) != 1:
            what = f"there is no rollout {rollout}" if not found else f"{len(found)} rollouts begin with {rollout}"
            raise UsageError(what, advice="See 'rackwave rollout list'.")
        return found[0]

    async def pause(self, rollout: str, reason: str) -> RolloutState:
        """Have nothing begun on further nodes; what has begun goes on to its end, and what failed is brought back.

        Raises:
            UsageError: it is over, or paused already.
        """
        state = self._open(rollout)
        if state.paused is not None:
            raise UsageError(f"rollout {state.id} is paused already, by {state.paused.by}: {state.paused.reason}")
        await self._logbook.record(RolloutPaused(state.id, reason, self._by))
        return self.find(state.id)

    async def carry_on(self, rollout: str) -> RolloutState:
        """End a pause.

        Raises:
            UsageError: it is over.
        """
        state = self._open(rollout)
        if state.paused is not None:
            await self._logbook.record(RolloutContinued(state.id, self._by))
        return self.find(state.id)

    async def approve(self, rollout: str, wave: int | None = None) -> RolloutState:
        """Let the next wave begin, or *wave*.

        Raises:
            UsageError: it is over, or has no such wave to come.
        """
        state = self._open(rollout)
        number = state.wave + 1 if wave is None else wave
        if not state.wave < number < len(state.waves):
            raise UsageError(
                f"rollout {state.id} has no wave {number} to come",
                advice=f"It is at wave {state.wave} of {len(state.waves) - 1}.",
            )
        await self._logbook.record(WaveApproved(state.id, number, self._by))
        return self.find(state.id)

    def under_way(self, rollout: str) -> tuple[str, ...]:
        """Say what is under way on the nodes of a rollout: what an abort at once would leave behind."""
        state = self._open(rollout)
        histories = [self._logbook.node(node) for node in state.nodes]
        return tuple(told for history in histories if (told := _left(history)))

    async def abort(self, rollout: str, reason: str, *, now: bool = False) -> Aborting:
        """End a rollout: no further node begins, and those that have begun come to their end first.

        Where no process runs it and nothing is under way it is over at once.

        Args:
            rollout: Its id, or the beginning of one.
            reason: Why, for whoever asks later.
            now: What is under way is left as it is: a write that runs goes on in its BMC, and is in doubt.

        Raises:
            UsageError: it is over.
        """
        state = self._open(rollout)
        left = self.under_way(rollout)
        await self._logbook.record(RolloutAborted(state.id, reason, self._by, now))
        runs = any(node in self._records.holders() for node in state.nodes)
        if not runs and (now or not left):
            state = self.find(state.id)
            why = f"aborted by {self._by}: {reason}"
            idle = [node for node in state.nodes if node not in state.results]
            await self._logbook.record(
                *(NodeFinished(state.id, node, NodeResult.NOT_STARTED, why) for node in idle if not left),
                RolloutFinished(state.id, RolloutResult.ABORTED, why),
            )
        return Aborting(self.find(state.id), left, runs)

    @property
    def _logbook(self) -> Logbook:
        return self._records.logbook

    def _open(self, rollout: str) -> RolloutState:
        state = self.find(rollout)
        if state.finished is not None:
            raise UsageError(f"rollout {state.id} is over: {state.finished.result}")
        return state


def _left(history: NodeHistory) -> str:
    attempt = history.attempt
    if attempt is None:
        return f"{history.node}: its recovery has not ended" if history.recovery is not None else ""
    open_steps = [record for record in attempt.steps if record.is_open]
    if not open_steps:
        return f"{history.node}: on its way to {attempt.goal.bundle}; nothing is being written"
    return f"{history.node}: {'; '.join(describe(record.step) for record in open_steps)}"
