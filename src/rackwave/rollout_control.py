"""An operator's hand on rollouts: pause, go on, approve, abort. Each is an event, which whoever runs the rollout sees.

The process that runs a rollout looks into the journal at each turn of a node; these may come from any other.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from .core.closing import close, goes_back_next, is_on_new, why_ended, why_stays
from .core.event import (
    RolloutAborted,
    RolloutContinued,
    RolloutPaused,
    RolloutResult,
    WaveApproved,
)
from .core.history import NodeHistory
from .core.identity import BundleId
from .core.rollout import RolloutState
from .core.step import describe
from .engine.logbook import Logbook
from .errors import PlanRefusedError, UsageError
from .ports import Clock
from .records import Records


@frozen
class Aborting:
    """What comes of an abort: the rollout, what is under way on its nodes, and whether a process runs it."""

    rollout: RolloutState
    under_way: tuple[str, ...]
    runs: bool


class RolloutControl:
    """Puts wishes on the record."""

    def __init__(
        self, records: Records, *, clock: Clock, by: str, why_not_sendable: Callable[[BundleId], str | None]
    ) -> None:
        """*why_not_sendable* says of a bundle why it cannot be sent, None where it can."""
        self._records = records
        self._clock = clock
        self._why_not_sendable = why_not_sendable
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

    async def abort(self, rollout: str, reason: str, *, now: bool = False, roll_back: bool = False) -> Aborting:
        """End a rollout: no further node begins, and those that have begun come to their end first.

        Where no process runs it and nothing is under way or goes back it is over at once.

        Args:
            rollout: Its id, or the beginning of one.
            reason: Why, for whoever asks later.
            now: What is under way is left as it is: a write that runs goes on in its BMC, and is in doubt.
            roll_back: What it brought to its bundle goes back to what each node had before, the last wave first.

        Raises:
            UsageError: it is over; it is to end at once and to bring nodes back; it brings nodes back already.
            PlanRefusedError: it is to bring nodes back, and one has no way back; it was not aborted.
        """
        if now and roll_back:
            raise UsageError("it ends at once, or brings nodes back, not both")
        state = self._open(rollout)
        before = state.aborted
        if before is not None and before.roll_back and not (now or roll_back):
            raise UsageError(
                f"rollout {state.id} was aborted already, by {before.by}: {before.reason}; what is done goes back",
                advice="It ends by itself. With --now it ends at once and leaves the rest as it is.",
            )
        if roll_back:
            self._check_way_back(state)
        left = self.under_way(rollout)
        await self._logbook.record(RolloutAborted(state.id, reason, self._by, now, roll_back))
        runs = not set(state.nodes).isdisjoint(self._records.holders())
        state = self.find(state.id)
        at = self._clock.now()
        if not runs and (now or not left) and not goes_back_next(state, self._logbook.node, at):
            why = why_ended(state, self._logbook.node, f"aborted by {self._by}: {reason}", at)
            await self._logbook.record(*close(state, self._logbook.node, RolloutResult.ABORTED, why))
        return Aborting(self.find(state.id), left, runs)

    def _check_way_back(self, state: RolloutState) -> None:
        reasons = []
        for history in map(self._logbook.node, state.nodes):
            if not is_on_new(state, history):
                continue
            prior = history.prior.get(state.bundle.lineage)
            why = why_stays(state, history, self._clock.now())
            if why is None and prior is not None:
                why = self._why_not_sendable(prior.bundle)
            if why is not None:
                reasons.append(f"{history.node}: {why}")
        if reasons:
            raise PlanRefusedError(
                f"{len(reasons)} nodes of rollout {state.id} cannot be brought back",
                reasons=tuple(reasons),
                advice="It goes on. Abort it without --roll-back, then 'rackwave rollback --rollout' with --nodes.",
            )

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
