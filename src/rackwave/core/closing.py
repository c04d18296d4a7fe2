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


def goes_back_next(rollout: RolloutState, histories: Histories) -> tuple[NodeName, ...]:
    """Return the nodes to bring back next in a rollout that was aborted so; none: all are back.

    The last wave first, and wave after wave: no more are away at once than were on the way there. A node without a
    prior bundle stays where it is.
    """
    if rollout.aborted is None or not rollout.aborted.roll_back:
        return ()
    for wave in reversed(rollout.waves[: rollout.wave + 1]):
        left = [node for node in wave if is_on_new(rollout, histories(node))]
        found = tuple(node for node in left if rollout.bundle.lineage in histories(node).prior)
        if found:
            return found
    return ()


def close(
    rollout: RolloutState, histories: Histories, result: RolloutResult, why: str
) -> tuple[NodeFinished | RolloutFinished, ...]:
    """Return the events that end *rollout*, and tell of every node that it never began with.

    A node whose work was left in doubt gets no result: nobody knows it yet.
    """
    idle = [node for node in rollout.nodes if node not in rollout.results and not histories(node).is_open]
    never = (NodeFinished(rollout.id, node, NodeResult.NOT_STARTED, why) for node in idle)
    return (*never, RolloutFinished(rollout.id, result, why))
