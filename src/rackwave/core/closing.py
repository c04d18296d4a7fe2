"""How a rollout ends that does not run to its end: what was never begun, and what goes back where that is wanted."""

from __future__ import annotations

from collections.abc import Callable

from .event import NodeFinished, NodeResult, RolloutFinished, RolloutResult
from .history import NodeHistory
from .identity import NodeName
from .rollout import RolloutState

Histories = Callable[[NodeName], NodeHistory]


def is_on_new(rollout: RolloutState, history: NodeHistory) -> bool:
    """Whether *rollout* brought the node to its bundle and the node carries it still."""
    held, result = history.assigned.get(rollout.bundle.lineage), rollout.results.get(history.node)
    is_there = held is not None and (held.bundle, held.digest) == (rollout.bundle, rollout.digest)
    return is_there and result is not None and result.result is NodeResult.ON_NEW


def why_stays(rollout: RolloutState, history: NodeHistory, now: float) -> str | None:
    """Say why a node cannot be brought back from the bundle of *rollout* now; None where it can."""
    if history.quarantined is not None:
        return "it is in quarantine"
    if history.hold is not None and history.hold.stands(now):
        return history.hold.why
    return None if rollout.bundle.lineage in history.prior else "it has no prior bundle"


def goes_back_next(rollout: RolloutState, histories: Histories, now: float) -> tuple[NodeName, ...]:
    """Return the nodes to bring back next in a rollout that was aborted so; none: all are back that can be.

    The last wave first, and wave after wave: no more are away at once than were on the way there.
    """
    if rollout.aborted is None or not rollout.aborted.roll_back:
        return ()
    for wave in reversed(rollout.waves[: rollout.wave + 1]):
        left = [histories(node) for node in wave if is_on_new(rollout, histories(node))]
        found = tuple(each.node for each in left if why_stays(rollout, each, now) is None)
        if found:
            return found
    return ()


def why_ended(rollout: RolloutState, histories: Histories, why: str, now: float) -> str:
    """Say why *rollout* ended, and what stays on its bundle although it was to go back."""
    if rollout.aborted is None or not rollout.aborted.roll_back:
        return why
    left = [history for history in map(histories, rollout.nodes) if is_on_new(rollout, history)]
    told = ", ".join(f"{each.node} ({why_stays(rollout, each, now)})" for each in left)
    return f"{why}; left on {rollout.bundle}: {told}" if told else why


def close(
    rollout: RolloutState, histories: Histories, result: RolloutResult, why: str
) -> tuple[NodeFinished | RolloutFinished, ...]:
    """Return the events that end *rollout*, and tell of every node that it never began with.

    A node whose work was left in doubt gets no result: nobody knows it yet.
    """
    idle = [node for node in rollout.nodes if node not in rollout.results and not histories(node).is_open]
    never = (NodeFinished(rollout.id, node, NodeResult.NOT_STARTED, why) for node in idle)
    return (*never, RolloutFinished(rollout.id, result, why))
