"""Asks the operator's gate, a program, whether what a rollout has done so far is good enough to go on.

======  =====================================================================================
exit    what it means
======  =====================================================================================
0       good: the next wave may begin
1       bad: the rollout stops; the first line that it printed is the reason
else    not known, as where it cannot be run or does not end: the wave waits (core/gating.py)
======  =====================================================================================
"""

from __future__ import annotations

import json

from .core.event import GateAnswer, GateJudged
from .core.report import RolloutReport
from .core.rollout import RolloutState
from .errors import HookError
from .hooks import Ran, filled, run_hook
from .inventory import GateCommand

_ANSWERS = {0: GateAnswer.GOOD, 1: GateAnswer.BAD}


class MetricsGate:
    """Runs the command; whatever comes of it is an answer."""

    def __init__(self, gate: GateCommand) -> None:
        self._gate = gate

    async def __call__(self, rollout: RolloutState) -> GateJudged:
        """Ask of *rollout*, whose wave is over."""
        command = filled(self._gate.command, {"rollout": str(rollout.id), "wave": str(rollout.wave)})
        given = json.dumps(RolloutReport(rollout).document()).encode()
        try:
            ran = await run_hook(command, timeout=self._gate.timeout, given=given)
        except HookError as error:
            return GateJudged(rollout.id, rollout.wave, GateAnswer.NOT_KNOWN, str(error))
        answer = _ANSWERS.get(ran.code, GateAnswer.NOT_KNOWN)
        return GateJudged(rollout.id, rollout.wave, answer, _reason(ran, answer))


def _reason(ran: Ran, answer: GateAnswer) -> str:
    lines = ran.output.strip().splitlines()
    said = lines[0][:200] if lines else ran.words
    if answer is GateAnswer.NOT_KNOWN:
        return f"exit code {ran.code}: {said or 'nothing said'}"
    return said or ("" if answer is GateAnswer.GOOD else "it gave no reason")
