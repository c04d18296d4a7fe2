"""Which published bundles are kept and which may go, decided from values alone.

A bundle stays if any of these holds, and every one that holds is told:

- it is its lineage's current one, or somebody wants it kept;
- a node may need it for the way back: it is assigned to one, or its prior; an attempt, a recovery or
  a rollout that has not ended names it; signed metadata allows rolling back to it;
- it is among the last of its lineage's archive, or young enough, as the policy says;
- it cannot be read, so that nobody can say what it is needed for;
- it is a stepping stone: a bundle that stays accepts only some versions of a component, and this is
  the latest before it that brings a node to one of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from attrs import field, frozen, validators

from .bundle import Manifest, frozen_map
from .history import DAY, NodeHistory, RolloutState
from .identity import BundleId


@frozen
class Retention:
    """How much of the archive is kept: the *last* of each lineage, and what was published in the last *days*."""

    last: int | None = field(default=None, validator=validators.optional(validators.ge(0)))
    days: float | None = field(default=None, validator=validators.optional(validators.ge(0)))


@frozen
class Shelved:
    """One published bundle; *published* in epoch seconds, *kept* why somebody wants it kept.

    *brings* are the versions that it brings components to, *accepts* the patterns of versions that it
    lets them come from. *problem* is why it cannot be read, if it cannot.
    """

    id: BundleId
    is_current: bool
    published: float
    kept: str = ""
    brings: Mapping[str, str] = field(factory=dict, converter=frozen_map)
    accepts: Mapping[str, tuple[str, ...]] = field(factory=dict, converter=frozen_map)
    problem: str = ""


@frozen
class Need:
    """A bundle that must stay, and why."""

    bundle: BundleId
    why: str


@frozen
class Verdict:
    """Whether a bundle stays; *reasons* says why, or why not."""

    bundle: BundleId
    stays: bool
    reasons: tuple[str, ...]


def versions(manifest: Manifest) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Return which versions the bundle brings components to, and which ones it accepts."""
    images = [element for element in manifest.elements if element.component is not None]
    brings = {str(element.component): element.version for element in images if element.version is not None}
    return brings, {str(element.component): element.accepts for element in images if element.accepts}


def needs(nodes: Iterable[NodeHistory], rollouts: Iterable[RolloutState]) -> tuple[Need, ...]:
    """Return what the journal says must stay: for every node that it knows, and every rollout that has not ended."""
    found: dict[tuple[BundleId, str], list[str]] = defaultdict(list)
    for node in nodes:
        for why, held in (("assigned to", node.assigned), ("prior of", node.prior)):
            for assignment in held.values():
                found[assignment.bundle, why].append(node.node)
        if node.attempt is not None:
            found[node.attempt.goal.bundle, "being sent to"].append(node.node)
        if node.recovery is not None:
            for bundle in {node.recovery.bundle, node.recovery.failed or node.recovery.bundle}:
                found[bundle, "in the recovery of"].append(node.node)
    needed = [Need(bundle, f"{why} {_some(names)}") for (bundle, why), names in found.items()]
    needed += [Need(open_.bundle, f"rollout {open_.id} has not ended") for open_ in rollouts if open_.finished is None]
    return tuple(needed)


def decide(
    shelved: Iterable[Shelved], needed: Iterable[Need], retention: Retention, *, now: float
) -> tuple[Verdict, ...]:
    """Say of each bundle whether it stays, and why; by lineage and seq."""
    all_of_them = sorted(shelved, key=lambda bundle: bundle.id)
    reasons: dict[BundleId, list[str]] = {bundle.id: [] for bundle in all_of_them}
    ranks: dict[str, int] = defaultdict(int)
    for bundle in reversed(all_of_them):
        rank = 0
        if not bundle.is_current:
            rank = ranks[bundle.id.lineage] = ranks[bundle.id.lineage] + 1
        reasons[bundle.id] += _own_reasons(bundle, rank, retention, now)
    for need in needed:
        if need.bundle in reasons:
            reasons[need.bundle].append(need.why)
    _keep_stones(all_of_them, reasons)
    return tuple(
        Verdict(bundle.id, True, tuple(reasons[bundle.id]))
        if reasons[bundle.id]
        else Verdict(bundle.id, False, (_why_not(retention),))
        for bundle in all_of_them
    )


def _own_reasons(bundle: Shelved, rank: int, retention: Retention, now: float) -> Iterable[str]:
    if bundle.is_current:
        yield "current"
    if bundle.kept:
        yield f"kept: {bundle.kept}"
    if bundle.problem:
        yield f"cannot be read: {bundle.problem}"
    if not bundle.is_current and retention.last is not None and rank <= retention.last:
        yield f"number {rank} of the last {retention.last} of the archive"
    if retention.days is not None and now - bundle.published < retention.days * DAY:
        yield f"published less than {retention.days:g} days ago"


def _keep_stones(all_of_them: list[Shelved], reasons: dict[BundleId, list[str]]) -> None:
    """Add the stepping stones: from the latest down, since a stone may stand on another one."""
    lineages: dict[str, list[Shelved]] = defaultdict(list)
    for bundle in all_of_them:
        lineages[bundle.id.lineage].append(bundle)
    for line in lineages.values():
        for place in range(len(line) - 1, -1, -1):
            bundle = line[place]
            if not reasons[bundle.id]:
                continue
            for component, patterns in bundle.accepts.items():
                stone = _stone(line[:place], component, patterns)
                if stone is not None:
                    reasons[stone].append(f"stepping stone to {bundle.id} for {component}")


def _stone(earlier: list[Shelved], component: str, patterns: tuple[str, ...]) -> BundleId | None:
    for bundle in reversed(earlier):
        version = bundle.brings.get(component)
        if version is not None and any(fnmatchcase(version, pattern) for pattern in patterns):
            return bundle.id
    return None


def _why_not(retention: Retention) -> str:
    rules = []
    if retention.last is not None:
        rules.append(f"not among the last {retention.last} of the archive")
    if retention.days is not None:
        rules.append(f"not published in the last {retention.days:g} days")
    return ", ".join([*rules, "no node needs it"])


def _some(names: list[str]) -> str:
    first = min(names)
    others = len(names) - 1
    return f"{first} and {others} other{'s' if others > 1 else ''}" if others else str(first)
