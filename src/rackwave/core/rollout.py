"""The fold from events to where a rollout stands."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TypeAlias, assert_never

from attrs import evolve, field, frozen

from . import event as ev
from .bundle import frozen_map
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
)
"""What is told of a rollout that has begun."""


@frozen
class RolloutState:
    """All that the journal says of one rollout. *wave* is the one under way, -1 before the first.

    *waits*: for what the next wave waits. *settled_at* is when a node was done last, in epoch seconds.
    """

    id: RolloutId
    bundle: BundleId
    digest: Digest
    waves: tuple[tuple[NodeName, ...], ...]
    policy: Policy
    by: str
    started: float
    wave: int = -1
    results: Mapping[NodeName, ev.NodeFinished] = field(factory=dict, converter=frozen_map)
    finished: ev.RolloutFinished | None = None
    finished_at: float | None = None
    paused: ev.RolloutPaused | None = None
    aborted: ev.RolloutAborted | None = None
    approved: frozenset[int] = frozenset()
    waits: str = ""
    settled_at: float | None = None

    # Asked at every turn of every node, and the same until the next event of this rollout: worked out once.

    @cached_property
    def nodes(self) -> tuple[NodeName, ...]:
        """Every node of every wave, in order."""
        return tuple(node for wave in self.waves for node in wave)

    @cached_property
    def failed(self) -> tuple[ev.NodeFinished, ...]:
        """The nodes that are not on the new bundle at their end."""
        return tuple(
            result
            for result in self.results.values()
            if result.result in (ev.NodeResult.ROLLED_BACK, ev.NodeResult.QUARANTINED)
        )

    @cached_property
    def is_wave_over(self) -> bool:
        """Whether every node of the wave under way is done; not before the first has begun."""
        return self.wave >= 0 and all(node in self.results for node in self.waves[self.wave])

    @cached_property
    def wave_of(self) -> Mapping[NodeName, int]:
        """The wave of each node."""
        return {node: index for index, wave in enumerate(self.waves) for node in wave}


def begin_rollout(e: ev.RolloutStarted, at: float) -> RolloutState:
    """Return the rollout that began with *e*, before its first wave."""
    return RolloutState(e.rollout, e.bundle, e.digest, e.waves, e.policy, e.by, at)


def apply_to_rollout(state: RolloutState, event: AfterItsStart, at: float) -> RolloutState:
    """Return *state* with one more event about its rollout."""
    match event:
        case ev.WaveStarted(_, wave):
            return evolve(state, wave=wave, waits="")
        case ev.NodeFinished(_, node):
            return evolve(state, results={**state.results, node: event}, settled_at=at)
        case ev.RolloutPaused():
            return evolve(state, paused=event)
        case ev.RolloutContinued():
            return evolve(state, paused=None, waits="")
        case ev.RolloutWaits(_, why):
            return evolve(state, waits=why)
        case ev.RolloutAborted():
            return evolve(state, aborted=event)
        case ev.WaveApproved(_, wave):
            return evolve(state, approved=state.approved | {wave})
        case ev.RolloutFinished():
            return evolve(state, finished=event, finished_at=at, waits="")
        case _:
            assert_never(event)
