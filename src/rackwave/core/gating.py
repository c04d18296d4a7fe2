"""What the operator's gate, a program that looks at metrics, says of the nodes done so far, and what follows from it.

Rules:
- It is asked before each wave but the first, once nothing else speaks against it: its answer is to be fresh.
- "Good" lets the wave begin, "bad" stops the rollout.
- "Not known" (it could not be run, did not end, or says so) holds the wave and is asked again, until
  ``policy.gate_timeout`` has passed since it was first not known; then it counts as ``policy.gate_unknown`` says.
"""

from __future__ import annotations

from attrs import frozen

from .event import GateAnswer, GateJudged
from .rollout import RolloutState
from .waves import GoOn, Stop, Wait


@frozen
class Ask:
    """The gate is to be asked; until it has answered, the wave waits for this reason."""

    why: str


def judge_gate(rollout: RolloutState, now: float, asked: float | None) -> GoOn | Ask | Wait | Stop:
    """Say what the gate's last answer means for the next wave; *asked* is when it was asked last, in epoch seconds."""
    following, told = rollout.wave + 1, rollout.gate
    if told is None:
        return Ask(f"the gate has not said yet whether wave {following} may begin")
    match told.answer:
        case GateAnswer.GOOD:
            return GoOn()
        case GateAnswer.BAD:
            return Stop(f"the gate says that wave {following} may not begin: {told.reason}")
        case GateAnswer.NOT_KNOWN:
            return _not_known(rollout, told, now, asked)


def _not_known(rollout: RolloutState, told: GateJudged, now: float, asked: float | None) -> Ask | Wait | Stop:
    policy, since = rollout.policy, rollout.gate_since if rollout.gate_since is not None else now
    why = f"the gate cannot say whether wave {rollout.wave + 1} may begin: {told.reason}"
    if policy.gate_unknown == "stop" and now >= since + policy.gate_timeout:
        return Stop(f"{why}; not known for {policy.gate_timeout:.0f} s counts as bad")
    due = (asked + policy.watch) if asked is not None else now
    return Ask(why) if now >= due else Wait(why, due)
