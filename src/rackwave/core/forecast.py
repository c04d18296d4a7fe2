"""What many simulated rollouts say of the one to come: how long, how risky, how many nodes away at once.

A percentile is one of the values themselves (nearest rank): of 20 makespans p90 is the 18th, so that it can be looked
for among the seeds and replayed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from textwrap import shorten
from typing import Any, TypeAlias

from attrs import asdict, frozen

from .event import NodeResult, RolloutResult
from .identity import BundleId
from .odds import Odds
from .report import timestamp
from .rollout import RolloutState

UNFINISHED = "unfinished"

Number: TypeAlias = int | float


@frozen
class RackTruth:
    """What the simulated machines know at the end: the most hosts that were away at once, and how often was written."""

    most_away: int
    flashes: int
    double_flashes: int


@frozen
class Outcome:
    """How the rollout ended under one seed. *wave* is the last that began, *seconds* how long it took.

    *result* is ``done``, ``stopped``, or ``unfinished``: it still waited when it was given up.
    """

    seed: int
    result: str
    reason: str
    wave: int
    seconds: float
    on_new: int
    rolled_back: int
    quarantined: int
    not_started: int
    most_away: int
    flashes: int
    double_flashes: int

    @classmethod
    def of(cls, seed: int, state: RolloutState, truth: RackTruth, *, seconds: float) -> Outcome:
        """Sum up *state*, with which a simulated rollout ended, *seconds* after it began."""
        ends = Counter(end.result for end in state.results.values())
        reached = ends[NodeResult.ON_NEW] + ends[NodeResult.ROLLED_BACK] + ends[NodeResult.QUARANTINED]
        finished = state.finished
        return cls(
            seed=seed,
            result=UNFINISHED if finished is None else str(finished.result),
            reason=state.waits if finished is None else finished.reason,
            wave=state.wave,
            seconds=round(seconds, 3),
            on_new=ends[NodeResult.ON_NEW],
            rolled_back=ends[NodeResult.ROLLED_BACK],
            quarantined=ends[NodeResult.QUARANTINED],
            not_started=len(state.nodes) - reached,
            most_away=truth.most_away,
            flashes=truth.flashes,
            double_flashes=truth.double_flashes,
        )


@frozen
class Spread:
    """How a number is spread over the seeds."""

    p10: Number
    p50: Number
    p90: Number
    most: Number

    @classmethod
    def of(cls, values: Sequence[Number]) -> Spread:
        """Return the spread of *values*, of which there must be some."""
        return cls(percentile(values, 10), percentile(values, 50), percentile(values, 90), max(values))


def percentile(values: Sequence[Number], percent: float) -> Number:
    """Return the smallest of *values* that at least *percent* of them do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)]


def histogram(values: Sequence[Number], *, most: int = 12) -> tuple[tuple[float, float, int], ...]:
    """Sort *values* into bins of one width: where each begins and ends, and how many are in it.

    Few values make few bins, none more than *most*; values that no millisecond parts make one.
    """
    low, high = min(values), max(values)
    if high - low < 0.001:
        return ((low, high, len(values)),)
    bins = min(most, math.ceil(2 * math.sqrt(len(values))))
    width = (high - low) / bins
    counts = Counter(min(bins - 1, int((value - low) / width)) for value in values)
    return tuple((round(low + n * width, 3), round(low + (n + 1) * width, 3), counts[n]) for n in range(bins))


@frozen
class Forecast:
    """A rollout of *bundle* simulated under many seeds. *start* is when it would begin (epoch seconds).

    *assumptions* are the sentences without which the numbers mean nothing.
    """

    bundle: BundleId
    waves: tuple[int, ...]
    odds: Odds
    start: float
    assumptions: tuple[str, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def nodes(self) -> int:
        """How many nodes it goes to."""
        return sum(self.waves)

    @property
    def done(self) -> tuple[Outcome, ...]:
        """Where it went through all waves."""
        return tuple(each for each in self.outcomes if each.result == RolloutResult.DONE)

    @property
    def not_done(self) -> tuple[Outcome, ...]:
        """Where it stopped, or still waited."""
        return tuple(each for each in self.outcomes if each.result != RolloutResult.DONE)

    @property
    def double_flashes(self) -> int:
        """Writes that were repeated although the first was not resolved, over all seeds: must be none."""
        return sum(each.double_flashes for each in self.outcomes)

    def makespan(self) -> Spread:
        """Return how long it takes, in seconds: where it is done, or under no seed is, as far as it came."""
        return Spread.of([each.seconds for each in self.done or self.outcomes])

    def spreads(self) -> dict[str, Spread]:
        """Return how many nodes end how, and how many are away at once."""
        return {name: Spread.of([getattr(each, name) for each in self.outcomes]) for name in _COUNTS}

    def stopped_in(self) -> dict[int, int]:
        """Return under how many seeds it got no further than each wave."""
        return dict(sorted(Counter(each.wave for each in self.not_done).items()))

    def document(self) -> dict[str, Any]:
        """Return the forecast as JSON values."""
        shown = self.done or self.outcomes
        return {
            "bundle": str(self.bundle),
            "nodes": self.nodes,
            "waves": list(self.waves),
            "start": timestamp(self.start),
            "odds": self.odds.document(),
            "assumptions": list(self.assumptions),
            "seeds": [each.seed for each in self.outcomes],
            "done": len(self.done) / len(self.outcomes),
            "stopped_in": [{"wave": wave, "seeds": count} for wave, count in self.stopped_in().items()],
            "seconds": asdict(self.makespan()),
            "histogram": [
                {"from": low, "to": high, "seeds": count}
                for low, high, count in histogram([each.seconds for each in shown])
            ],
            "counts": {name: asdict(spread) for name, spread in self.spreads().items()},
            "double_flashes": self.double_flashes,
            "risk": " ".join(self.risk()),
            "outcomes": [asdict(each) for each in self.outcomes],
        }

    def risk(self) -> tuple[str, ...]:
        """Say in sentences what to expect."""
        seeds, time = len(self.outcomes), self.makespan()
        through = f"It goes through under {len(self.done) or 'none'} of {seeds} seeds"
        sentences = [
            f"{through}, in {span(time.p50)} ({span(time.p90)} in nine of ten)." if self.done else f"{through}."
        ]
        for wave, count in self.stopped_in().items():
            why = _common([each.reason for each in self.not_done if each.wave == wave])
            sentences.append(f"Under {count} it ends in wave {wave}: {why}.")
        sentences.append(f"At most {self.spreads()['most_away'].most} of {self.nodes} hosts are away at once.")
        return tuple(sentences)

    def chart(self, *, width: int = 40) -> tuple[str, ...]:
        """Draw how the makespans are spread, a line a bin."""
        bins = histogram([each.seconds for each in self.done or self.outcomes])
        most = max(count for _, _, count in bins)
        return tuple(
            f"{_until(low, high):>13}  {'█' * math.ceil(width * count / most):{width}}  {count or ''}".rstrip()
            for low, high, count in bins
        )

    def __str__(self) -> str:
        first, last = self.outcomes[0].seed, self.outcomes[-1].seed
        seeds = f"seed {first}" if first == last else f"seeds {first} to {last}"
        waves = ", ".join(map(str, self.waves[:6])) + (" …" if len(self.waves) > 6 else "")
        time, counts = self.makespan(), self.spreads()
        lines = [
            f"{self.bundle} to {self.nodes} nodes in waves of {waves}; {seeds}",
            *(f"- {each}" for each in self.assumptions),
            "",
            "until        all is done   seeds" if self.done else "until        it ends",
            *self.chart(),
            "",
            f"takes        p10 {span(time.p10)}, p50 {span(time.p50)}, p90 {span(time.p90)}, at most {span(time.most)}",
        ]
        lines += [
            f"{name.replace('_', ' '):<12} p10 {each.p10}, p50 {each.p50}, p90 {each.p90}, at most {each.most}"
            for name, each in counts.items()
        ]
        return "\n".join((*lines, "", *self.risk()))


_COUNTS = ("on_new", "rolled_back", "quarantined", "not_started", "most_away")


def span(seconds: float) -> str:
    """Say how long *seconds* are, as a person would."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02} min"
    return f"{hours // 24} d {hours % 24:02} h"


def _until(low: float, high: float) -> str:
    """Say where a bin ends, as finely as it is wide."""
    return span(high) if high - low >= 60 or high < 120 else f"{high / 60:.1f} min"


def _common(reasons: Sequence[str]) -> str:
    """Return the reason that is told most often, and whether there are others."""
    (reason, count), *_ = Counter(reasons).most_common(1)
    told = shorten(reason, 120, placeholder=" …")
    return told if count == len(reasons) else f"{told}, and the like"
