"""The ledger: the whole journal folded to values, kept up to date event by event."""

from __future__ import annotations

from . import event as ev
from .attempt import WRITTEN
from .history import NodeHistory, apply_to_node
from .identity import NodeName, RolloutId
from .notice import NoticeBook
from .pace import Durations
from .release_book import ReleaseBook
from .release_event import AboutReleases
from .rollout import AfterItsStart, RolloutState, apply_to_rollout, begin_rollout
from .step import Step
from .took import Took


class Ledger:
    """The journal folded: values for every node, rollout and release, kept up to date event by event."""

    def __init__(self, durations: Durations | None = None) -> None:
        self.nodes: dict[NodeName, NodeHistory] = {}
        self.rollouts: dict[RolloutId, RolloutState] = {}
        self.releases = ReleaseBook()
        self.notices = NoticeBook()
        self.took = Took()
        self._durations = durations or Durations()
        self._open: set[NodeName] = set()

    def heir(self) -> Ledger:
        """Return an empty ledger that knows how long things took, and learns more by itself."""
        return Ledger(self._durations.copy())

    def node(self, name: NodeName) -> NodeHistory:
        """Return the history of *name*, empty where nothing was ever recorded."""
        return self.nodes.get(name) or NodeHistory(name)

    def usual(self, name: NodeName) -> float | None:
        """Return what the last step of *name*'s open attempt usually takes, in seconds; None where nobody knows."""
        history = self.node(name)
        if history.attempt is None or not history.attempt.steps:
            return None
        return self._durations.usual(history.attempt.steps[-1].step, node=name, make=history.make)

    def usual_of(self, step: Step, name: NodeName) -> float | None:
        """Return what *step* usually takes on *name*, or on its like, in seconds; None where nobody knows."""
        return self._durations.usual(step, node=name, make=self.node(name).make)

    def _learn(self, node: NodeName, resolved: ev.Resolved, at: float) -> None:
        history = self.node(node)
        records = history.attempt.steps if history.attempt is not None else ()
        for record in records:
            # What ended otherwise, or was in doubt, tells nothing of how long it takes when it goes well.
            if record.number == resolved.number and resolved.outcome in WRITTEN and record.was_accepted:
                self._durations.add(record.step, at - record.last_at, node=node, make=history.make)

    def unfinished(self) -> tuple[RolloutState, ...]:
        """Return the rollouts that have begun and not ended, oldest first."""
        return tuple(rollout for rollout in self.rollouts.values() if rollout.finished is None)

    def works_on(self, rollout: RolloutState) -> bool:
        """Whether an attempt or a recovery is open on any node of *rollout*."""
        return any(node in rollout.wave_of for node in self._open)

    def apply(self, recorded: ev.Recorded) -> None:
        """Fold one event in."""
        event, at = recorded.event, recorded.at
        if isinstance(event, ev.RolloutStarted):
            self.rollouts[event.rollout] = begin_rollout(event, at)
        elif isinstance(event, AfterItsStart):
            self.rollouts[event.rollout] = apply_to_rollout(self.rollouts[event.rollout], event, at)
        elif isinstance(event, AboutReleases):
            self.releases.apply(event, at)
        elif not isinstance(event, ev.Notified):
            if isinstance(event, ev.Resolved):
                self._learn(event.node, event, at)
            history = self.nodes[event.node] = apply_to_node(self.node(event.node), event, at)
            (self._open.add if history.is_open else self._open.discard)(event.node)
        if isinstance(event, ev.AttemptStarted | ev.NodeFinished | ev.RolloutFinished):
            self.took.note(event, at)
        self.notices.apply(recorded, self.rollouts.values())
