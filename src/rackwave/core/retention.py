"""Which published bundles are kept and which may go, decided from values alone.

A bundle stays if any of these holds, and every one that holds is told:

- it is its lineage's current one, or somebody wants it kept;
- a node may need it for the way back: it is assigned to one, or its prior; an attempt, a recovery or
  a rollout that has not ended names it; signed metadata allows rolling back to it;
- it is among the last of its lineage's archive, or young enough, as the policy says;
- it cannot be read, so that nobody can say what it is needed for;
- it is a stepping stone: a bundle that stays names it as one, or accepts only some versions of a
  component, or wants some passed on the way, and this is the latest before it that brings a node there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from fnmatch import fnmatchcase

from attrs import field, frozen, validators

from .bundle import BUNDLE_STONE, Manifest
from .channel import Channel
from .history import DAY, NodeHistory
from .identity import BundleId
from .rollout import RolloutState


@frozen
class Retention:
    """How much of the archive is kept: the *last* of each lineage, and what was published in the last *days*."""

    last: int | None = field(default=None, validator=validators.optional(validators.ge(0)))
    days: float | None = field(default=None, validator=validators.optional(validators.ge(0)))


@frozen
class Shelved:
    """One published bundle; *published* in epoch seconds, *kept* why somebody wants it kept.

    *brings* are components, or patterns of them, and the versions that it brings them to; *steps* those
    that must be there before it: for each, a component and the patterns of which one must fit. *stones*
    are bundles that it names as such. *problem* is why it cannot be read, if it cannot.
    """

    id: BundleId
    is_current: bool
    published: float
    kept: str = ""
    brings: tuple[tuple[str, str], ...] = ()
    steps: tuple[tuple[str, tuple[str, ...]], ...] = ()
    stones: tuple[BundleId, ...] = ()
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


def shelve(manifest: Manifest, *, is_current: bool, published: float, kept: str = "") -> Shelved:
    """Return what retention looks at of a bundle that can be read."""
    brings: list[tuple[str, str]] = []
    steps: list[tuple[str, tuple[str, ...]]] = []
    stones: list[BundleId] = []
    for element in manifest.elements:
        component = str(element.component or element.selector)
        if element.version is not None:
            brings.append((component, element.version))
        if element.accepts:
            steps.append((component, element.accepts))
        for stone in element.via:
            if stone.startswith(BUNDLE_STONE):
                stones.append(BundleId.parse(stone.removeprefix(BUNDLE_STONE)))
            else:
                steps.append((component, (stone,)))
    return Shelved(manifest.id, is_current, published, kept, tuple(brings), tuple(steps), tuple(stones))


def needs(nodes: Iterable[NodeHistory], rollouts: Iterable[RolloutState]) -> tuple[Need, ...]:
    """Return what the journal says must stay: for every node that it knows, and every rollout that has not ended."""
    found: dict[tuple[BundleId, str], list[str]] = defaultdict(list)
    for node in nodes:
        for why, held in (("assigned to", node.assigned), ("prior of", node.prior)):
            for assignment in held.values():
                found[assignment.bundle, why].append(node.node)
        for binding in node.bindings.values():
            for back in binding.set_back:
                found[back.bundle, f"{back.component} is set back to it on"].append(node.node)
        if node.attempt is not None:
            found[node.attempt.goal.bundle, "being sent to"].append(node.node)
        if node.recovery is not None:
            for bundle in {node.recovery.bundle, node.recovery.failed or node.recovery.bundle}:
                found[bundle, "in the recovery of"].append(node.node)
    needed = [Need(bundle, f"{why} {_some(names)}") for (bundle, why), names in found.items()]
    needed += [Need(open_.bundle, f"rollout {open_.id} has not ended") for open_ in rollouts if open_.finished is None]
    return tuple(needed)


def ways_back(channel: Channel) -> tuple[Need, ...]:
    """Return what must stay so that all that the signed *channel* allows can be done."""
    listed = [BundleId(channel.lineage, seq) for seq in channel.rollback_to]
    return tuple(Need(bundle, "signed metadata lists it as a way back") for bundle in (channel.id, *listed))


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
    """Add the stepping stones, and those on which they stand themselves."""
    lineages: dict[str, list[Shelved]] = defaultdict(list)
    for bundle in all_of_them:
        lineages[bundle.id.lineage].append(bundle)
    known = {bundle.id: bundle for bundle in all_of_them}
    pending = [bundle.id for bundle in all_of_them if reasons[bundle.id]]
    while pending:
        bundle = known[pending.pop()]
        earlier = [other for other in lineages[bundle.id.lineage] if other.id.seq < bundle.id.seq]
        named = [(stone, f"stepping stone to {bundle.id}") for stone in bundle.stones if stone in known]
        brought = [
            (stone, f"stepping stone to {bundle.id} for {component}")
            for component, patterns in bundle.steps
            if (stone := _stone(earlier, component, patterns)) is not None
        ]
        for stone, why in (*named, *brought):
            if not reasons[stone]:
                pending.append(stone)
            if why not in reasons[stone]:
                reasons[stone].append(why)


def _stone(earlier: list[Shelved], component: str, patterns: tuple[str, ...]) -> BundleId | None:
    for bundle in reversed(earlier):
        for other, version in bundle.brings:
            if _fits(component, other) and any(_fits(version, pattern) for pattern in patterns):
                return bundle.id
    return None


def _fits(one: str, other: str) -> bool:
    """Whether two names may stand for the same: either may be a pattern."""
    return one == other or fnmatchcase(one, other) or fnmatchcase(other, one)


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
