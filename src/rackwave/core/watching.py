"""The watch over a fleet: what changed, when to look again, and what to do about it.

Rules:
1. What could not be read is neither dead nor drift, and counts as a change only where the look before could not
   read it either. While a BMC does not answer, the rest stays what it was last.
2. Nobody is restarted on one look, nor written to on one reading: what speaks for it must be seen twice in a row,
   and a host must have been dead for a while (`WatchPolicy.dead_after`): one that somebody restarts is off, too.
3. What a person, a hold, a quarantine or another process has a hand in is left alone, and the watch says why.
4. A dead host gets its assigned bundle again, by the recovery policy, as often as that allows; one that runs and
   differs from its bundle is left as it is unless the watch policy asks for more, and then within the maintenance
   window.
5. The longer nothing changed, the rarer the looks; no two nodes in step.

Example: a host is seen off at 12:00:00, and still at 12:01:02: it is put on the ladder. Switched off by
``rackwave power off``, it would be left alone until it is seen on again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeAlias

from attrs import field, frozen

from .bundle import Bundle, frozen_map
from .drift import drift_from
from .event import ConditionChanged
from .gate import Ill, judge
from .history import NodeHistory
from .identity import BundleId, Lineage, NodeName
from .observation import NOT_ASKED, Health, Observation, Post, Power, Unknown
from .pace import spread
from .policy import Policy
from .request import Asked, Want
from .sighting import POWER, Sightings
from .watch_policy import WatchPolicy
from .waves import why_shut
from .window import Windows

DUE = "due "
"""What the name begins with under which it is kept which bundle of a lineage is due."""

LEFT_ALONE = "left alone"
"""Under which name it is kept why something is wrong with a node and nothing is done about it."""

Drift: TypeAlias = tuple[str, ...] | Unknown
"""How a node differs from a bundle, a line a difference; empty: it is level."""


class Reach(StrEnum):
    """Whether the BMC answers us; REFUSED: it does, and does not let us in, so that a person must act."""

    ANSWERS = "answers"
    AWAY = "does not answer"
    REFUSED = "does not let us in"


@frozen
class Condition:
    """What one look found, at *at*.

    *dead* is why the host counts as dead; empty: it does not, or nobody can tell. *dying* is for how many seconds
    no look has found otherwise.
    *drift* is as it was read last, which not every look does; *proven* are the lineages that differ on two
    readings in a row. *why* says why the BMC does not let us in.
    """

    bmc: Reach
    power: Power | Unknown = NOT_ASKED
    post: Post | Unknown = NOT_ASKED
    health: Health | Unknown = NOT_ASKED
    dead: str = ""
    dying: float = 0.0
    at: float = 0.0
    drift: Mapping[Lineage, Drift] = field(factory=dict, converter=frozen_map)
    proven: frozenset[Lineage] = frozenset()
    why: str = ""

    @classmethod
    def of(cls, seen: Observation, last: Condition | None, drift: Mapping[Lineage, Drift] | None = None) -> Condition:
        """Return the condition that *seen* shows after *last*; *drift* is None where it was not read this time."""
        verdict = judge(seen)
        known: Mapping[Lineage, Drift] = last.drift if last is not None else {}
        if drift is None:
            proven = last.proven if last is not None else frozenset()
        else:
            proven = _drifted(known) & _drifted(drift)
        reads_none = all(isinstance(value, Unknown) for value in (seen.power, seen.post, seen.health))
        dead = verdict.why if isinstance(verdict, Ill) and verdict.dead else ""
        return cls(
            bmc=Reach.AWAY if reads_none and seen.is_away else Reach.ANSWERS,
            power=seen.power,
            post=seen.post,
            health=seen.health,
            dead=dead,
            dying=last.dying + seen.at - last.at if dead and last is not None and last.dead else 0.0,
            at=seen.at,
            drift=known if drift is None else drift,
            proven=proven,
        )

    @property
    def words(self) -> Mapping[str, str | Unknown]:
        """How each thing stands, by its name; Unknown where it could not be read."""
        away = Unknown("the BMC does not answer")
        return {
            "bmc": away if self.bmc is Reach.AWAY else self.bmc,
            POWER: self.power,
            "post": self.post,
            "health": self.health,
            **{f"drift {lineage}": _drift_word(drift) for lineage, drift in self.drift.items()},
        }

    @property
    def is_suspect(self) -> bool:
        """Whether a lineage differs on one reading, which another has yet to prove."""
        return bool(_drifted(self.drift) - self.proven)

    @property
    def is_passing(self) -> bool:
        """Whether it cannot stay so for long: something is unread, or the host is on its way up or down."""
        if self.bmc is Reach.REFUSED:
            return False
        if any(isinstance(value, Unknown) for value in (self.power, self.post, self.health)):
            return True
        return self.power is Power.CHANGING or (self.power is Power.ON and self.post is not Post.COMPLETE)


def _drift_word(drift: Drift) -> str | Unknown:
    if isinstance(drift, Unknown):
        return drift
    return f"differs: {'; '.join(drift)}" if drift else "level"


def _drifted(drift: Mapping[Lineage, Drift]) -> frozenset[Lineage]:
    return frozenset(line for line, lines in drift.items() if lines and not isinstance(lines, Unknown))


def drift_of(node: NodeName, bundle: Bundle, seen: Observation) -> Drift:
    """Return how *node* differs from *bundle*, as it is meant there; Unknown where that cannot be told."""
    found = drift_from(node, bundle, seen)
    return Unknown("; ".join(found.unread)) if found.state == "unread" else found.told


# -- what changed ------------------------------------------------------------------------------------


def changes(node: NodeName, known: Sightings, last: Condition | None, now: Condition) -> tuple[ConditionChanged, ...]:
    """Return how *now* differs from what is *known*; *last* is the look before it."""
    found = []
    for name, word in now.words.items():
        if isinstance(word, Unknown):
            if last is None or not isinstance(last.words.get(name), Unknown):
                continue
            if name != "bmc" and now.bmc is not Reach.ANSWERS:
                continue
        before = known[name].word if name in known else ""
        after = _told(name, word)
        if after != before:
            found.append(ConditionChanged(node, name, before, after))
    return tuple(found)


def left_alone(node: NodeName, known: Sightings, why: str) -> tuple[ConditionChanged, ...]:
    """Return the change where *why* a node is left alone is not what is *known*; empty: it is not, or not any more."""
    before = known[LEFT_ALONE].word if LEFT_ALONE in known else ""
    return (ConditionChanged(node, LEFT_ALONE, before, why),) if why != before else ()


def maintenance(node: NodeName, known: Sightings, due: Mapping[Lineage, str]) -> tuple[ConditionChanged, ...]:
    """Return the changes where what is *due* on a node, by lineage, is not what is *known*."""
    now = {f"{DUE}{lineage}": words for lineage, words in due.items()}
    before = {name: each.word for name, each in known.items() if name.startswith(DUE)}
    return tuple(
        ConditionChanged(node, name, before.get(name, ""), now.get(name, ""))
        for name in sorted({*now, *before})
        if before.get(name, "") != now.get(name, "")
    )


def maintenance_told(known: Sightings, carried: Collection[BundleId] = ()) -> tuple[str, ...]:
    """Say which bundles are due on a node, and since when that is known: the node is as it should be all the same.

    One that it has been given since, of those that it has *carried*, is due no more, whether or not a watch has looked.
    """
    given = set(map(str, carried))
    return tuple(
        f"{each.word} is due since {_moment(each.since)}"
        for name, each in known.items()
        if name.startswith(DUE) and each.word.partition(",")[0] not in given
    )


_AS_IT_SHOULD = frozenset({*map(str, Reach), Power.ON, Post.COMPLETE, Health.OK, "level"} - {Reach.AWAY, Reach.REFUSED})


def amiss(known: Sightings) -> tuple[str, ...]:
    """Say what of *known* is not as it should be, and since when; empty where all is well, or nothing was seen."""
    found = (name for name, each in known.items() if each.word not in _AS_IT_SHOULD and not name.startswith(DUE))
    if "bmc" in known and known["bmc"].word == Reach.AWAY:
        found = (name for name in ("bmc", LEFT_ALONE) if name in known)
    return tuple(f"{name} {known[name].word} since {_moment(known[name].since)}" for name in found)


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="minutes").replace("+00:00", "Z")


def _told(name: str, word: str | Unknown) -> str:
    if not isinstance(word, Unknown):
        return str(word)
    return str(Reach.AWAY) if name == "bmc" else "unknown"


# -- when to look again ------------------------------------------------------------------------------

_SHARE = 0.25
"""The wait, as a share of the time for which nothing changed: a change is seen that much later than it need be."""

_SHARE_TOLD = 1.0
"""The same where the BMC tells of news by itself: a look is only there for news that was lost."""

_PASSING = 5.0
"""By how much less the longest wait is where the condition is one that passes: a BMC that restarts is back in
90 to 200 s (P36), and a host in some minutes."""


def next_look(
    policy: WatchPolicy,
    node: NodeName,
    condition: Condition,
    *,
    unchanged: float,
    announces: bool,
    is_doubted: bool,
    now: float,
) -> float:
    """Return the seconds until the next look at *node*.

    Args:
        policy: How often looks are wanted.
        node: Whose turn it is.
        condition: How it was found this time.
        unchanged: Seconds for which nothing of it has changed.
        announces: Its BMC tells of news by itself.
        is_doubted: Another look decides on what this one found.
        now: The moment, for the spread: the same node at the same moment always waits as long.
    """
    longest = max(policy.latest / _PASSING, policy.soonest) if condition.is_passing else policy.latest
    wait = unchanged * (_SHARE_TOLD if announces else _SHARE)
    wait = policy.soonest if is_doubted else min(max(wait, policy.soonest), longest)
    return spread(wait * 0.8, node, now)


# -- what to do --------------------------------------------------------------------------------------


@frozen
class Leave:
    """Do nothing; *why* not, where something is wrong."""

    why: str = ""


@frozen
class GoOn:
    """An attempt or a recovery that an earlier process left open comes to its end."""

    lineage: Lineage


@frozen
class Recover:
    """The host is dead, or somebody asks for it: it gets the bundle of *lineage* again that is assigned to it.

    *want* is which of its bundles is asked for; None: nobody asks.
    """

    lineage: Lineage
    evidence: tuple[str, ...]
    want: Want | None = None


@frozen
class Reassert:
    """The host runs and differs from the bundle of *lineage* that is assigned to it, in *what*."""

    lineage: Lineage
    what: tuple[str, ...]


Decision: TypeAlias = Leave | GoOn | Recover | Reassert


def decide(
    last: Condition | None,
    now: Condition,
    history: NodeHistory,
    watch: WatchPolicy,
    policy: Policy,
    *,
    at: float,
    holder: str = "",
    in_rollout: bool = False,
    own: Sequence[Windows] = (),
) -> Decision:
    """Say what is to be done about a node that was found as *last* and then as *now*.

    Args:
        last: The look before; None where there was none.
        now: The latest look.
        history: What the journal says of it.
        watch: What the watch may do by itself.
        policy: The policy of rollouts: the recoveries that are allowed, the maintenance window.
        at: The moment, in epoch seconds.
        holder: Which other process works on it; empty: none.
        in_rollout: A rollout that it belongs to has not ended.
        own: Maintenance windows of its own, which must be open too.
    """
    wish = _wish(last, now, history, watch)
    if wish is None:
        return Leave()
    why = _why_not_touch(history, at, holder)
    if why is None:
        why = _why_not(wish, now, history, watch, policy, at, in_rollout, own)
    return wish if why is None or isinstance(wish, Leave) else Leave(why)


def is_doubted(last: Condition | None, now: Condition, watch: WatchPolicy) -> bool:
    """Whether another look is to decide on what *now* found and *last* did not, or not for long enough."""
    if now.dead and not _is_surely_dead(last, now, watch):
        return True
    before: Mapping[str, str | Unknown] = last.words if last is not None else {}
    unread = any(
        isinstance(word, Unknown) and not isinstance(before.get(name), Unknown) for name, word in now.words.items()
    )
    return unread or now.is_suspect


def _is_surely_dead(last: Condition | None, now: Condition, watch: WatchPolicy) -> bool:
    return bool(now.dead) and last is not None and bool(last.dead) and now.dying >= watch.dead_after


def _wish(
    last: Condition | None, now: Condition, history: NodeHistory, watch: WatchPolicy
) -> GoOn | Recover | Reassert | Leave | None:
    """Say what is to be done if nothing stands in the way; None where nothing is wrong."""
    if history.recovery is not None:
        return GoOn(history.recovery.bundle.lineage)
    if history.attempt is not None:
        return GoOn(history.attempt.goal.bundle.lineage)
    if now.why:
        return Leave(now.why)
    if history.asked is not None:
        return _asked_for(history.asked, history)
    if now.dead:
        if not _is_surely_dead(last, now, watch):
            return None
        lineage = latest_lineage(history)
        if lineage is None:
            return Leave(f"{now.dead}, and no bundle is assigned to it")
        return Recover(lineage, (now.dead, f"seen so by the watch for {now.dying:.0f} s"))
    if now.power is not Power.ON or now.post is not Post.COMPLETE:
        return None
    for lineage in sorted(now.proven):
        what = now.drift[lineage]
        if lineage in history.assigned and not isinstance(what, Unknown):
            return Reassert(lineage, what)
    return None


def _asked_for(asked: Asked, history: NodeHistory) -> Recover | Leave:
    held = history.prior if asked.want is Want.PRIOR else history.assigned
    if asked.lineage not in held:
        return Leave(f"{asked}; it has no {asked.want} bundle of {asked.lineage} any more")
    return Recover(asked.lineage, (str(asked),), asked.want)


def _why_not_touch(history: NodeHistory, at: float, holder: str) -> str | None:
    """Say why nothing at all is done to the node; None where something may be."""
    if holder:
        return f"{holder} works on it"
    if history.quarantined is not None:
        return "it is in quarantine"
    if history.hold is not None and history.hold.stands(at):
        return history.hold.why
    return None


def _why_not(
    wish: GoOn | Recover | Reassert | Leave,
    now: Condition,
    history: NodeHistory,
    watch: WatchPolicy,
    policy: Policy,
    at: float,
    in_rollout: bool,
    own: Sequence[Windows],
) -> str | None:
    if isinstance(wish, Leave):
        return wish.why
    if isinstance(wish, GoOn):
        # Also where the rollout was aborted at once: whoever did that wants nothing to go on by itself.
        is_rollouts = in_rollout or (history.attempt is not None and history.attempt.rollout is not None)
        return "a rollout left it in the midst; 'rackwave rollout resume' goes on with it" if is_rollouts else None
    if isinstance(wish, Reassert):
        if watch.drift != "reassert":
            return ""  # its drift says so
        shut = why_shut(policy, at, None, own)
        if shut is not None:
            return f"it differs from its bundle, and {shut}"
    else:
        if history.off_by_hand is not None and now.power is Power.OFF:
            return f"it was switched off by {history.off_by_hand.by}"
        if wish.want is None and watch.off == "leave" and now.power is Power.OFF:
            return "the host is off, which is left as it is"
        if wish.want is None and watch.dead != "recover":
            return f"{now.dead}, which is only reported"
    if history.recoveries >= policy.recoveries:
        bundle = history.assigned[wish.lineage].bundle
        return (
            f"it was brought back {history.recoveries} times on {bundle} already: look at it, then 'rackwave readmit'"
        )
    return None


def latest_lineage(history: NodeHistory) -> Lineage | None:
    """Return the lineage whose bundle was committed on the node last: the likeliest to have harmed it."""
    held = sorted(history.assigned.items(), key=lambda each: (each[1].at, each[0]))
    return held[-1][0] if held else None
