"""Has the operator's gate asked beside a rollout's turns, none of which waits for it, and keeps what it said."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias

from .core.event import GateJudged
from .core.gating import Ask, judge_gate
from .core.identity import NodeName
from .core.rollout import RolloutState
from .core.waves import GoOn, Stop, Wait
from .engine.logbook import Logbook
from .ports import Clock

Gate: TypeAlias = Callable[[RolloutState], Awaitable[GateJudged]]
"""Says of a rollout whose wave is over whether the next may begin; it may take its time."""


class Gatekeeper:
    """Asks one gate about one rollout at a time."""

    def __init__(
        self, gate: Gate, *, logbook: Logbook, wake: Callable[[Iterable[NodeName]], None], clock: Clock
    ) -> None:
        """*wake* gives nodes their next turn, once there is an answer."""
        self._gate = gate
        self._logbook = logbook
        self._wake = wake
        self._clock = clock
        self._asking: asyncio.Task[None] | None = None
        self._asked: float | None = None

    def judge(self, state: RolloutState) -> GoOn | Wait | Stop:
        """Say what the gate said of *state*; where it has not, or is to be asked again, have it asked.

        Raises:
            LeaseError, StateError: what it said could not be written down.
        """
        answer = judge_gate(state, self._clock.now(), self._asked)
        if not isinstance(answer, Ask):
            return answer
        if self._asking is not None and self._asking.done():
            asked, self._asking = self._asking, None
            asked.result()
        if self._asking is None:
            self._asking = asyncio.ensure_future(self._ask(state))
        return Wait(answer.why)

    def leave(self) -> None:
        """Wait for no answer any more."""
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None

    async def _ask(self, state: RolloutState) -> None:
        told = await self._gate(state)
        self._asked = self._clock.now()
        now = self._logbook.ledger.rollouts[state.id]
        if now.wave == state.wave and now.finished is None and now.gate != told:
            await self._logbook.record(told)
        self._wake(state.nodes)
