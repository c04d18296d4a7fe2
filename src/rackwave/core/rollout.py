"""The fold from events to where a rollout stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias, assert_never

from attrs import Factory, evolve, field, frozen
from immutables import Map

from . import event as ev
from .blame import Blame, Sign
from .identity import BundleId, Digest, NodeName, RolloutId
from .policy import Policy

AfterItsStart: TypeAlias = (
    ev.WaveStarted
    | ev.NodeFinished
    | ev.RolloutFinished
    | ev.RolloutPaused
    | ev.RolloutWaits
    | ev.RolloutContinued
    | ev.RolloutAborted
    | ev.WaveApproved
    | ev.Attributed
    | ev.GateJudged
)
"""What is told of a rollout that has begun."""


_UNTOLD = Sign(Blame.UNDECIDED, "nothing is told of how it failed")
"""What is made of a failure of which the journal says no more than that it was one."""

FAILURES = (ev.NodeResult.ROLLED_BACK, ev.NodeResult.QUARANTINED)
"""Ends of nodes that are not on the new bundle."""


def _map(results: Mapping[NodeName, ev.NodeFinished]) -> Map[NodeName, ev.NodeFinished]:
    return results if isinstance(results, Map) else Map(results)


def _nodes(state: RolloutState) -> tuple[NodeName, ...]:
    return tuple(node for wave in state.waves for node in wave)


def _wave_of(state: RolloutState) -> Mapping[NodeName, int]:
    return MappingProxyType({node: index for index, wave in enumerate(state.waves) for node in wave})


def _failed(state: RolloutState) -> tuple[ev.NodeFinished, ...]:
    return tuple(state.results[n] for n in state.nodes if n in state.results and state.results[n].result in FAILURES)


def _settled(state: RolloutState) -> Map[int, int]:
    return Map(Counter(state.wave_of[node] for node in state.results if node in state.wave_of))


def _kind(state: RolloutState, node: NodeName) -> Sign:
    """What counts failures of one kind together."""
    sign = state.sign_of(node)
    return evolve(sign, why="")


def _tally(state: RolloutState) -> Map[Sign, int]:
    return Map(Counter(_kind(state, end.node) for end in state.failed))


@frozen
class RolloutState:
    """All that the journal says of one rollout. *wave* is the one under way, -1 before the first.

    *signs* are what failures with its bundle show by themselves, *tally* how many of the failed nodes show the same;
    *ill_without* are the nodes that fell ill while they waited.
    *waits*: for what the next wave waits. *settled_at* is when a node was done last, in epoch seconds. *failed* are
    the ends of the nodes that are not on the new bundle, *settled* says how many of each wave are done. *gate* is what
    the operator's gate said last of the wave under way, *gate_since* since when it says so.

    One event costs the same however many nodes there are: what follows from the other fields is handed on from
    state to state, and *results* shares what it has in common with those of the state before.
    """

    id: RolloutId
    bundle: BundleId
    digest: Digest
    waves: tuple[tuple[NodeName, ...], ...]
    policy: Policy
    by: str
    started: float
    wave: int = -1
    results: Map[NodeName, ev.NodeFinished] = field(factory=Map, converter=_map)
    finished: ev.RolloutFinished | None = None
    finished_at: float | None = None
    paused: ev.RolloutPaused | None = None
    aborted: ev.RolloutAborted | None = None
    approved: frozenset[int] = frozenset()
    waits: str = ""
    settled_at: float | None = None
    signs: Map[NodeName, Sign] = field(factory=Map)
    ill_without: Map[NodeName, Sign] = field(factory=Map)
    gate: ev.GateJudged | None = None
    gate_since: float | None = None
    nodes: tuple[NodeName, ...] = field(default=Factory(_nodes, takes_self=True), eq=False, repr=False)
    """Every node of every wave, in order."""
    wave_of: Mapping[NodeName, int] = field(default=Factory(_wave_of, takes_self=True), eq=False, repr=False)
    """The wave of each node."""
    failed: tuple[ev.NodeFinished, ...] = field(default=Factory(_failed, takes_self=True), eq=False, repr=False)
    settled: Map[int, int] = field(default=Factory(_settled, takes_self=True), eq=False, repr=False)
    tally: Map[Sign, int] = field(default=Factory(_tally, takes_self=True), eq=False, repr=False)

    @property
    def pause(self) -> str:
        """By whom it is paused, and why; empty where it is not."""
        return f"paused by {self.paused.by}: {self.paused.reason}" if self.paused is not None else ""

    def sign_of(self, node: NodeName) -> Sign:
        """Return what the failure of *node* shows by itself."""
        return self.signs.get(node) or self.ill_without.get(node) or _UNTOLD

    @property
    def is_wave_over(self) -> bool:
        """Whether every node of the wave under way is done; not before the first has begun."""
        return self.wave >= 0 and self.settled.get(self.wave, 0) == len(self.waves[self.wave])


def begin_rollout(e: ev.RolloutStarted, at: float) -> RolloutState:
    """Return the rollout that began with *e*, before its first wave."""
    return RolloutState(e.rollout, e.bundle, e.digest, e.waves, e.policy, e.by, at)


def apply_to_rollout(state: RolloutState, event: AfterItsStart, at: float) -> RolloutState:
    """Return *state* with one more event about its rollout."""
    match event:
        case ev.WaveStarted(_, wave):
            return evolve(state, wave=wave, waits="", gate=None, gate_since=None)
        case ev.NodeFinished():
            return _with_result(state, event, at)
        case ev.RolloutPaused():
            return evolve(state, paused=event)
        case ev.RolloutContinued():
            return evolve(state, paused=None, waits="")
        case ev.RolloutWaits(_, why):
            return evolve(state, waits=why)
        case ev.RolloutAborted():
            return evolve(state, aborted=event, waits="")
        case ev.WaveApproved(_, wave):
            return evolve(state, approved=state.approved | {wave})
        case ev.Attributed():
            if event.without:
                return evolve(state, ill_without=state.ill_without.set(event.node, event.sign))
            end = state.results.get(event.node)
            is_counted = end is not None and end.result in FAILURES  # what failed once stays what it was
            return state if is_counted else evolve(state, signs=state.signs.set(event.node, event.sign))
        case ev.GateJudged(_, _, answer):
            # Not known for another reason is still not known.
            is_still = state.gate is not None and state.gate.answer is answer
            return evolve(state, gate=event, gate_since=state.gate_since if is_still else at)
        case ev.RolloutFinished():
            return evolve(state, finished=event, finished_at=at, waits="")
        case _:
            assert_never(event)


def _with_result(state: RolloutState, end: ev.NodeFinished, at: float) -> RolloutState:
    """Return *state* with the end of one node, or with another end of it: its wave may still have been watched."""
    is_new = end.node not in state.results
    others = state.failed if is_new else tuple(each for each in state.failed if each.node != end.node)
    wave = state.wave_of.get(end.node) if is_new else None
    tally = state.tally if is_new or len(others) == len(state.failed) else _more(state.tally, state, end.node, -1)
    return evolve(
        state,
        results=state.results.set(end.node, end),
        settled_at=at,
        failed=(*others, end) if end.result in FAILURES else others,
        tally=_more(tally, state, end.node, 1) if end.result in FAILURES else tally,
        settled=state.settled if wave is None else state.settled.set(wave, state.settled.get(wave, 0) + 1),
    )


def _more(tally: Map[Sign, int], state: RolloutState, node: NodeName, number: int) -> Map[Sign, int]:
    kind = _kind(state, node)
    return tally.set(kind, tally.get(kind, 0) + number)
