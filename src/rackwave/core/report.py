"""What people are shown: values over plans, rollouts and nodes. Faces only render them.

``document()`` of each is the JSON that ``--json`` prints; its schema is in ``rackwave/schemas``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from attrs import asdict, field, frozen

from .attribution import verdicts
from .binding import Binding
from .bundle import frozen_map
from .drift import Drift
from .eta import Eta
from .event import NodeResult, Recorded
from .history import NodeHistory
from .identity import BundleId, Digest, Lineage, NodeName
from .observation import Observation, Unknown
from .planner import NodePlan
from .policy import Policy
from .rollout import RolloutState
from .step import Flash, ImageWay, Step, SwitchBank, WriteImage, describe
from .story import tell
from .way_back import Consent, Lack


@frozen
class RackPlan:
    """What a rollout of *bundle* would do, node by node, and what is refused and why.

    *lacks* are elements from which there is no way back, *no_way_back* those for which that is consented to.
    *bindings* say what the bundle means on each, where it may mean something else. *seconds* is what the steps of a
    node took before, in all; None where nobody knows. *ways* are those by which images would go, by element.
    """

    bundle: BundleId
    digest: Digest
    nodes: tuple[NodePlan, ...]
    waves: tuple[tuple[NodeName, ...], ...]
    refusals: tuple[tuple[NodeName, str], ...] = ()
    unassigned: frozenset[NodeName] = frozenset()
    bindings: Mapping[NodeName, Binding] = field(factory=dict, converter=frozen_map)
    policy: Policy = field(factory=Policy)
    no_way_back: Consent = ()
    lacks: Mapping[NodeName, tuple[Lack, ...]] = field(factory=dict, converter=frozen_map)
    seconds: Mapping[NodeName, float | None] = field(factory=dict, converter=frozen_map)
    ways: Mapping[NodeName, Mapping[str, ImageWay | Unknown]] = field(factory=dict, converter=frozen_map)

    def way(self, node: NodeName, step: Step) -> ImageWay | Unknown | None:
        """Return by which way *step* brings its image to *node*; None: it brings none."""
        if isinstance(step, SwitchBank):
            return ImageWay.BANK_SWITCH
        return self.ways.get(node, {}).get(step.element) if isinstance(step, WriteImage) else None

    @property
    def is_level(self) -> bool:
        """Whether every node is level already."""
        return not self.refusals and all(plan.is_level for plan in self.nodes)

    @property
    def nothing_to_do(self) -> bool:
        """Whether every node is level and committed already."""
        return self.is_level and not self.unassigned

    def document(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return {
            "bundle": str(self.bundle),
            "digest": str(self.digest),
            "level": self.is_level,
            "nothing_to_do": self.nothing_to_do,
            "policy": asdict(self.policy),
            "no_way_back": ["all"] if self.no_way_back is True else sorted(self.no_way_back),
            "waves": [[str(node) for node in wave] for wave in self.waves],
            "nodes": [
                {
                    "node": str(plan.node),
                    "level": plan.is_level,
                    "steps": [describe(step) for step in plan.steps],
                    "changes": [
                        _change(step, self.way(plan.node, step)) for step in plan.steps if isinstance(step, Flash)
                    ],
                    "no_way_back": [
                        {"element": lack.element, "why": lack.why} for lack in self.lacks.get(plan.node, ())
                    ],
                    "seconds": self.seconds.get(plan.node),
                    "resets": plan.resets,
                    "notes": [
                        {"element": note.element, "text": note.text, "blocks": note.blocks} for note in plan.notes
                    ],
                }
                for plan in self.nodes
            ],
            "refusals": [{"node": str(node), "reason": reason} for node, reason in self.refusals],
        }

    def __str__(self) -> str:
        lines = [f"Plan for {self.bundle}: {len(self.nodes)} nodes in {len(self.waves)} waves"]
        for plan in self.nodes:
            steps = "; ".join(describe(step) for step in plan.steps) or ("level" if plan.is_level else "nothing yet")
            blocked = "; ".join(note.text for note in plan.notes if note.blocks)
            lines.append(f"  {plan.node}: {steps}" + (f" (blocked: {blocked})" if blocked else ""))
        lines.extend(f"  {node}: REFUSED: {reason}" for node, reason in self.refusals)
        return "\n".join(lines)


def _change(step: Flash, way: ImageWay | Unknown | None) -> dict[str, Any]:
    return {
        "element": step.element,
        "component": str(step.component),
        "have": step.expects or None,
        "want": step.version,
        "way": way.value if isinstance(way, ImageWay) else None,
    }


@frozen
class RolloutReport:
    """How a rollout stands or ended, and when it will be done where that was asked."""

    state: RolloutState
    eta: Eta | None = None

    @property
    def waits(self) -> str:
        """For what its next wave waits; empty where nothing is waited for."""
        return self.state.pause or self.state.waits

    @property
    def on_new(self) -> tuple[NodeName, ...]:
        """Nodes that carry the new bundle."""
        return self._with(NodeResult.ON_NEW)

    @property
    def rolled_back(self) -> tuple[NodeName, ...]:
        """Nodes that are back on an earlier bundle."""
        return self._with(NodeResult.ROLLED_BACK)

    @property
    def quarantined(self) -> tuple[NodeName, ...]:
        """Nodes that a person must look at."""
        return self._with(NodeResult.QUARANTINED)

    @property
    def succeeded(self) -> bool:
        """Whether the rollout is over and every node carries the new bundle."""
        return self.state.finished is not None and len(self.on_new) == len(self.state.nodes)

    def _with(self, result: NodeResult) -> tuple[NodeName, ...]:
        results = self.state.results
        return tuple(node for node in self.state.nodes if node in results and results[node].result is result)

    def document(self) -> dict[str, Any]:
        """Return the rollout as JSON values."""
        state = self.state
        blamed = {end.node: attribution for end, attribution in verdicts(state)}
        return {
            "rollout": str(state.id),
            "bundle": str(state.bundle),
            "digest": str(state.digest),
            "by": state.by,
            "started": timestamp(state.started),
            "finished": timestamp(state.finished_at) if state.finished_at is not None else None,
            "result": str(state.finished.result) if state.finished is not None else None,
            "reason": state.finished.reason if state.finished is not None else "",
            "wave": state.wave,
            "paused": state.paused is not None,
            "waits": self.waits,
            "eta": None
            if self.eta is None
            else {
                "at": timestamp(self.eta.at) if self.eta.at is not None else None,
                "seconds": self.eta.seconds,
                "ground": self.eta.ground,
            },
            "waves": [[str(node) for node in wave] for wave in state.waves],
            "nodes": [
                {
                    "node": str(node),
                    "result": str(state.results[node].result) if node in state.results else None,
                    "reason": state.results[node].reason if node in state.results else "",
                    "blame": str(blamed[node].blame) if node in blamed else None,
                    "evidence": list(blamed[node].evidence) if node in blamed else [],
                }
                for node in state.nodes
            ],
        }

    def __str__(self) -> str:
        state = self.state
        going = "paused" if state.paused is not None else "under way"
        going = going if state.aborted is None else "being aborted"
        end = f"{state.finished.result}" if state.finished is not None else going
        counts = f"{len(self.on_new)} on {state.bundle}, {len(self.rolled_back)} rolled back"
        lines = [f"Rollout {state.id} of {state.bundle}: {end}; {counts}, {len(self.quarantined)} quarantined"]
        if state.finished is not None and state.finished.reason:
            lines.append(f"  {state.finished.reason}")
        ends = [state.results[node] for node in state.nodes if node in state.results]
        lines.extend(f"  {end.node}: {end.result}: {end.reason}" for end in ends)
        return "\n".join(lines)


@frozen
class NodeStatus:
    """Where one node stands by the journal and, where it was looked at, by its BMC."""

    history: NodeHistory
    held_by: str = ""
    seen: Observation | None = None
    drift: Mapping[Lineage, Drift] = field(factory=dict, converter=frozen_map)

    @property
    def state(self) -> str:
        """One word for where it stands."""
        if self.history.quarantined is not None:
            return "quarantined"
        if self.history.recovery is not None:
            return "recovering"
        if self.history.attempt is not None:
            return "deploying"
        return "assigned" if self.history.assigned else "unassigned"

    def drift_documents(self) -> list[dict[str, Any]]:
        """Return how it differs from each bundle that is assigned to it, as JSON values."""
        known = self.history.sightings
        return [
            {
                "node": str(self.history.node),
                "bundle": str(drift.bundle),
                "digest": str(drift.digest),
                "state": drift.state,
                "differs": [each.document() for each in drift.deviations],
                "unread": list(drift.unread),
                "since": timestamp(known[name].since)
                if drift.deviations and (name := f"drift {lineage}") in known
                else None,
            }
            for lineage, drift in self.drift.items()
        ]

    def document(self) -> dict[str, Any]:
        """Return the status as JSON values."""
        history, seen = self.history, self.seen
        return {
            "node": str(history.node),
            "state": self.state,
            "assigned": {str(lineage): str(held.bundle) for lineage, held in history.assigned.items()},
            "prior": {str(lineage): str(held.bundle) for lineage, held in history.prior.items()},
            "quarantined": list(history.quarantined) if history.quarantined is not None else None,
            "held_by": self.held_by or None,
            "hold": None
            if history.hold is None
            else {
                "reason": history.hold.reason,
                "by": history.hold.by,
                "since": timestamp(history.hold.since),
                "until": timestamp(history.hold.until) if history.hold.until is not None else None,
            },
            "waits": history.held_back or None,
            "asked": None
            if history.asked is None
            else {
                "lineage": str(history.asked.lineage),
                "want": history.asked.want.value,
                "evidence": history.asked.evidence,
                "by": history.asked.by,
                "since": timestamp(history.asked.at),
            },
            "set_back": [
                {
                    "component": str(back.component),
                    "version": back.version,
                    "bundle": str(back.bundle),
                    "reason": back.reason,
                    "by": back.by,
                }
                for back in history.set_back
            ],
            "sightings": {
                name: {"is": each.word, "since": timestamp(each.since)} for name, each in history.sightings.items()
            },
            "seen": None
            if seen is None
            else {
                "power": _word(seen.power),
                "post": _word(seen.post),
                "health": _word(seen.health),
                "components": {str(name): _word(component.installed) for name, component in seen.components.items()},
            },
            "drift": {str(lineage): list(drift.lines) for lineage, drift in self.drift.items()}
            if seen is not None
            else None,
        }


def event_document(recorded: Recorded) -> dict[str, Any]:
    """Return one event of the journal as JSON values."""
    return {
        "number": recorded.number,
        "at": timestamp(recorded.at),
        "event": type(recorded.event).__name__,
        "node": getattr(recorded.event, "node", None),
        "rollout": getattr(recorded.event, "rollout", None),
        "attempt": getattr(recorded.event, "attempt", None),
        "text": tell(recorded.event),
    }


def timestamp(at: float) -> str:
    """Return *at* (epoch seconds) as RFC 3339 in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _word(value: object) -> str | None:
    """A reading for JSON: null where it is not known."""
    return None if isinstance(value, Unknown) else str(value)
