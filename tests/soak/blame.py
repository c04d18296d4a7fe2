"""Whose each failure of a season really was, by the lab, beside whose the orchestrator says that it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from attrs import frozen

from rackwave.core.attribution import verdicts
from rackwave.core.blame import Blame
from rackwave.core.event import Attributed
from rackwave.core.identity import NodeName
from rackwave_emulators.faults import BadHealth, FlashFails
from soak.season import NEW, Season


@frozen
class Confusion:
    """How often what was said was so. Positive is what counts as the bundle's; undecided does."""

    hit: int = 0
    missed: int = 0
    false_alarm: int = 0
    rightly_not: int = 0

    @property
    def recall(self) -> float:
        """Of the bundle's failures, the share that was found."""
        return self.hit / (self.hit + self.missed) if self.hit + self.missed else 1.0

    @property
    def precision(self) -> float:
        """Of what was held against the bundle, the share that was its."""
        return self.hit / (self.hit + self.false_alarm) if self.hit + self.false_alarm else 1.0

    def __str__(self) -> str:
        return "\n".join(
            (
                "whose a failure is       said: the bundle's   said: not",
                f"true: the bundle's       {self.hit:19}{self.missed:12}",
                f"true: not                {self.false_alarm:19}{self.rightly_not:12}",
                f"recall {self.recall:.3f}, precision {self.precision:.3f}",
            )
        )


@frozen
class Judged:
    """What was said of each failure at once, and in the end, beside all others; *wrong* is of the latter."""

    at_once: Confusion
    in_the_end: Confusion
    wrong: tuple[str, ...]


def judged(seasons: Iterable[Season]) -> Judged:
    """Count over *seasons*, and tell of each failure about which what was said in the end was wrong."""
    first: Counter[tuple[bool, bool]] = Counter()
    last: Counter[tuple[bool, bool]] = Counter()
    wrong = []
    for over in seasons:
        events = [recorded.event for recorded in over.rig.journal.events()]
        said_first = {e.node: e.blame is not Blame.ELSEWHERE for e in reversed(events) if isinstance(e, Attributed)}
        for node, truly, said, told in _failures(over):
            first[truly, said_first.get(node, True)] += 1
            last[truly, said] += 1
            if truly != said:
                wrong.append(f"seed {over.seed}, {node}: {told}")
    return Judged(_counted(first), _counted(last), tuple(wrong))


def _counted(counts: Counter[tuple[bool, bool]]) -> Confusion:
    return Confusion(counts[True, True], counts[True, False], counts[False, True], counts[False, False])


def _failures(over: Season) -> Iterator[tuple[NodeName, bool, bool, str]]:
    for end, found in verdicts(over.state):
        ids = ", ".join(fault.id for fault in over.faults.get(end.node, ()))
        told = f"{end.result}: {end.reason}; {'; '.join(found.evidence)}; it had {ids or 'nothing'}"
        yield end.node, is_the_bundles(over, end.node), found.counts, told


def is_the_bundles(over: Season, node: NodeName) -> bool:
    """Whether the new bundle made *node* fail: it ran there and does not agree with it, or its image broke off.

    Of a host that had died before the new image ran nobody can say that this killed it.
    """
    truth: Any = over.rig.rack.machine(node).truth()
    ours = [write for write in truth["writes"] if write["version"] == NEW]
    if isinstance(over.spoilt, FlashFails) and any(write["result"] == "failed" for write in ours):
        return True
    given = (*over.faults.get(node, ()), *((over.spoilt,) if over.spoilt is not None else ()))
    ran = [write["resolved_at"] for write in ours if write["result"] == "activated"]
    died_before = any(death["at"] < min(ran, default=0.0) for death in truth["deaths"])
    return bool(ran) and not died_before and any(isinstance(fault, BadHealth) for fault in given)
