"""How long the nodes of each rollout that has not ended took that are done: part of the ledger."""

from __future__ import annotations

from collections.abc import Mapping

from .event import AttemptStarted, NodeFinished, NodeResult, RolloutFinished
from .identity import NodeName, RolloutId


class Took:
    """From the first attempt in a rollout to the node's end on the new bundle, in seconds."""

    def __init__(self) -> None:
        self._begun: dict[RolloutId, dict[NodeName, float]] = {}
        self._took: dict[RolloutId, dict[NodeName, float]] = {}

    def note(self, event: AttemptStarted | NodeFinished | RolloutFinished, at: float) -> None:
        """Fold one event in; what has ended is forgotten."""
        if isinstance(event, RolloutFinished):
            self._begun.pop(event.rollout, None)
            self._took.pop(event.rollout, None)
            return
        if isinstance(event, AttemptStarted):
            if event.rollout is not None:
                self._begun.setdefault(event.rollout, {}).setdefault(event.node, at)
            return
        begun = self._begun.get(event.rollout, {}).get(event.node)
        if begun is not None and event.result is NodeResult.ON_NEW:
            self._took.setdefault(event.rollout, {})[event.node] = at - begun

    def begun(self, rollout: RolloutId) -> Mapping[NodeName, float]:
        """Return when each node of *rollout* that has begun did so, in epoch seconds."""
        return self._begun.get(rollout, {})

    def by(self, rollout: RolloutId) -> Mapping[NodeName, float]:
        """Return what each node took that *rollout* brought to its bundle."""
        return self._took.get(rollout, {})
