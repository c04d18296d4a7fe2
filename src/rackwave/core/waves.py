"""Canary first, then waves; and whether the rollout goes on after each (system.md, "Waves").

Waves follow one another, so that what one wave holds is what can be away at once: a wave has at most ``wave_most``
nodes, and at most ``domain_most`` of one failure domain (a rack, a power feed, a quorum group: a label of the
inventory that ``domain`` names).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TypeAlias

from attrs import frozen

from .attribution import attribution_of, counted, verdicts
from .enforce import is_enforced, with_date
from .identity import NodeName
from .policy import Policy
from .rollout import FAILURES, RolloutState
from .window import Windows, read_windows

Labels: TypeAlias = Mapping[NodeName, Mapping[str, str]]


def cut_waves(
    nodes: Sequence[NodeName], policy: Policy, labels: Labels | None = None
) -> tuple[tuple[NodeName, ...], ...]:
    """Cut *nodes* into a canary wave and ``policy.waves`` waves of nearly equal size, or more where they are bounded.

    Those that ``policy.first`` names come first. Without failure domains the nodes stay in their order; with them a
    node comes into the first wave that has room for its domains, so that a wave takes a little of each. A node without
    a domain's label is in a domain of its own.
    """
    nodes = sorted(nodes, key=lambda node: _rank(policy, (labels or {}).get(node, {})))
    canary, rest = tuple(nodes[: policy.canary]), tuple(nodes[policy.canary :])
    most = _most(len(rest), policy)
    waves = _by_domain(rest, most, policy, labels or {}) if policy.domains else _even(rest, most)
    if not policy.domains:
        return ((canary,) if canary else ()) + waves
    return _by_domain(canary, len(canary), policy, labels or {}) + waves


def _rank(policy: Policy, labels: Mapping[str, str]) -> int:
    """Return the place of the first label in ``policy.first`` that fits; the rest come last, in their order."""
    fits = (fnmatchcase(labels.get(name, ""), value) for name, value in policy.firsts)
    return next((place for place, fit in enumerate(fits) if fit), len(policy.firsts))


def _most(count: int, policy: Policy) -> int:
    """Return how many nodes a wave may have."""
    most = math.ceil(count / max(1, policy.waves))
    if policy.wave_percent:
        most = min(most, math.ceil(count * policy.wave_percent / 100))
    return max(1, min(most, policy.wave_most) if policy.wave_most else most)


def _even(rest: Sequence[NodeName], most: int) -> tuple[tuple[NodeName, ...], ...]:
    count = math.ceil(len(rest) / most)
    size, larger = divmod(len(rest), count) if count else (0, 0)
    waves, start = [], 0
    for index in range(count):
        end = start + size + (1 if index < larger else 0)
        waves.append(tuple(rest[start:end]))
        start = end
    return tuple(waves)


def _by_domain(
    nodes: Sequence[NodeName], most: int, policy: Policy, labels: Labels
) -> tuple[tuple[NodeName, ...], ...]:
    waves: list[list[NodeName]] = []
    held: list[Counter[tuple[str, str]]] = []
    first = 0  # waves before it are full
    for node in nodes:
        domains = [(name, labels.get(node, {}).get(name, f"\0{node}")) for name in policy.domains]
        for index in range(first, len(waves)):
            if len(waves[index]) < most and all(held[index][each] < policy.domain_most for each in domains):
                break
        else:
            index = len(waves)
            waves.append([])
            held.append(Counter())
        waves[index].append(node)
        held[index].update(domains)
        while first < len(waves) and len(waves[first]) >= most:
            first += 1
    return tuple(tuple(wave) for wave in waves)


@frozen
class GoOn:
    """The next wave may start."""


@frozen
class Wait:
    """The next wave does not start yet, for this reason; *until* (epoch seconds) says when that passes by itself."""

    why: str
    until: float | None = None


@frozen
class Stop:
    """No further node is touched, for this reason. *aborted*: because somebody said so."""

    why: str
    aborted: bool = False


def failure_budget(rollout: RolloutState) -> int:
    """Return how many nodes may fail: the number, or the share of all nodes where that is more."""
    share = math.floor(len(rollout.nodes) * rollout.policy.failure_budget_percent / 100)
    return max(rollout.policy.failure_budget, share)


def other_budget(rollout: RolloutState) -> int:
    """Return how many nodes may fail for other reasons than the bundle."""
    share = math.ceil(len(rollout.nodes) * rollout.policy.other_failures_percent / 100)
    return max(failure_budget(rollout), share)


def judge_wave(rollout: RolloutState, now: float = 0.0) -> GoOn | Wait | Stop:
    """Judge the nodes that are done so far: a failed canary or a used-up budget stops the rollout.

    Both a roll-back and a quarantine count, unless the failure is not the bundle's (core/attribution.py); those have
    a budget of their own, and a canary of which none carries the bundle in the end has shown nothing. Where nothing
    stops it, a wave that is over is watched for ``policy.soak`` seconds, and the next one may want an approval.
    """
    if rollout.aborted is not None:
        return Stop(f"aborted by {rollout.aborted.by}: {rollout.aborted.reason}", aborted=True)
    if rollout.failed:
        stop = _of_canary(rollout) or _of_budgets(rollout)
        if stop is not None:
            return stop
    return _waits(rollout, now)


def _of_canary(rollout: RolloutState) -> Stop | None:
    if not rollout.policy.canary or len(rollout.waves) < 2:
        return None
    ends = [rollout.results[node] for node in rollout.waves[0] if node in rollout.results]
    failed = [end for end in ends if end.result in FAILURES]
    for end in failed:
        found = attribution_of(rollout, end)
        if found.counts:
            return Stop(f"the canary {end.node} is {end.result}: {end.reason} ({found.beside or found.why})")
    if failed and len(failed) == len(rollout.waves[0]):
        why = "; ".join(f"{end.node}: {end.reason}" for end in failed)
        return Stop(f"no canary shows what {rollout.bundle} does: {why}")
    return None


def _of_budgets(rollout: RolloutState) -> Stop | None:
    if len(rollout.failed) <= failure_budget(rollout):
        return None  # whosever they are, and every turn of every node asks; the other budget is no smaller
    ours = counted(rollout)
    others = len(rollout.failed) - ours
    if ours > (budget := failure_budget(rollout)):
        found = [(end.node, said) for end, said in verdicts(rollout) if said.counts]
        because = "; ".join(dict.fromkeys(said.beside or said.why for _, said in found))
        names = ", ".join(node for node, _ in found)
        return Stop(f"{ours} nodes failed, the budget is {budget}: {names} ({because})")
    if others > (budget := other_budget(rollout)):
        names = ", ".join(end.node for end, said in verdicts(rollout) if not said.counts)
        return Stop(f"{others} nodes failed for other reasons than the bundle, at most {budget} may: {names}")
    return None


def _waits(rollout: RolloutState, now: float) -> GoOn | Wait:
    following = rollout.wave + 1
    soaked = (rollout.settled_at or rollout.started) + rollout.policy.soak
    if rollout.is_wave_over and now < soaked:
        return Wait(f"wave {rollout.wave} is watched for {rollout.policy.soak:.0f} s", soaked)
    if following >= len(rollout.waves):
        return GoOn()
    if rollout.pause:
        return Wait(rollout.pause)
    if wants_approval(rollout, following):
        return Wait(f"wave {following} waits for approval: rackwave rollout approve {rollout.id}")
    return GoOn()


def may_begin(rollout: RolloutState, now: float, seconds: float | None, own: Sequence[Windows] = ()) -> str | None:
    """Say why a node of the wave under way may not begin now; None where it may.

    *seconds* is how long it will take, as far as anybody knows; *own* are windows of its own, which must be open too.
    What has begun, and what brings a node back, waits for none of this.
    """
    verdict = judge_wave(rollout, now)
    if isinstance(verdict, Stop):
        return verdict.why
    if rollout.pause:
        return rollout.pause
    why = why_shut(rollout.policy, now, seconds, own)
    return None if why is None or is_enforced(rollout.policy, now) else with_date(why, rollout.policy)


def why_shut(policy: Policy, now: float, seconds: float | None, own: Sequence[Windows]) -> str | None:
    """Say which maintenance window keeps a node from beginning at *now*, that of the rollout or one of its own."""
    every = (read_windows(policy.window), *own)
    return next((why for windows in every if (why := windows.why_not(now, seconds)) is not None), None)


def wants_approval(rollout: RolloutState, wave: int) -> bool:
    """Whether a person must let wave *wave* begin, and nobody has."""
    if wave in rollout.approved:
        return False
    return rollout.policy.approval == "each-wave" or (rollout.policy.approval == "after-canary" and wave == 1)
