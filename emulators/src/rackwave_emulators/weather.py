"""Weather: faults drawn at random over a rack, the same for the same seed.

What a node gets depends on the seed, its name and the climate alone, not on its neighbours, so that a
smaller rack shows the same trouble. Fair weather passes by itself: what has no count is over within minutes.
A rough climate also has what only a person mends (a changed certificate, a missing licence, a stuck queue).

    for gust in forecast(7, lab.urls):
        lab[gust.node].arm(gust.fault)             # or rack.machine(gust.node).inject(gust.fault)
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from enum import StrEnum

import attrs
from attrs import frozen

from .faults import ROWS, ErrorThoughApplied, Fault, Moment, fault_as_dict

_FAIR = (
    *("P01", "P02", "P03", "P04", "P05", "P06", "P08", "P12", "P14", "P16", "P19", "P20", "P22", "P23", "P24"),
    *("P25", "P27", "P28", "P29", "P30", "P31", "P33", "P35", "P36", "P39", "P42", "P44", "P45", "P46", "P47"),
)
"""Rows that pass: an orchestrator that waits, looks again and gives way in the end brings every node home."""
_ROUGH = ("P07", "P11", "P15", "P17", "P18", "P21", "P32", "P34", "P37", "P38", "P40", "P41", "P43")
"""Rows that stay. P50 is in neither: what a second controller does, nobody should be blamed for."""

_TOO_ROUGH = (ErrorThoughApplied,)
"""Faults of fair rows that leave a node in doubt: an image that waits although its task says that it failed."""

_MOMENTS = (Moment.NOW, Moment.NOW, Moment.WRITE, Moment.WRITTEN, Moment.RESET)
_LATEST = 300.0  # seconds until a fault is in force, from its moment on
_LASTS = (20.0, 300.0)  # seconds for which those last that have no count
_MOST = 3  # faults a node


class Climate(StrEnum):
    """Whether everything passes by itself."""

    FAIR = "fair"
    ROUGH = "rough"


@frozen
class Gust:
    """One fault on one node."""

    node: str
    row: str
    fault: Fault

    def as_dict(self) -> dict[str, object]:
        """Tell it as JSON-able values."""
        return {"node": self.node, "row": self.row, **fault_as_dict(self.fault)}


def forecast(seed: int, nodes: Iterable[str], *, climate: Climate = Climate.FAIR) -> tuple[Gust, ...]:
    """Return what *seed* has in store for *nodes*: for some nothing, for none more than three faults."""
    return tuple(gust for node in nodes for gust in _of_node(seed, str(node), climate))


def let_loose(gusts: Iterable[Gust], inject: Callable[[str, Fault], object]) -> None:
    """Have *inject* arm every node with what is in store for it."""
    for gust in gusts:
        inject(gust.node, gust.fault)


def _of_node(seed: int, node: str, climate: Climate) -> Iterable[Gust]:
    # Reproducible on purpose, and from a text: hash() of a tuple differs from run to run.
    chance = random.Random(f"{seed} {climate} {node}")  # noqa: S311 - guards nothing
    rows = _FAIR if climate is Climate.FAIR else _FAIR + _ROUGH
    for row in chance.sample(rows, chance.randint(0, _MOST)):
        presets = [p for p in ROWS[row].presets if climate is Climate.ROUGH or p.kind not in _TOO_ROUGH]
        fault = chance.choice(presets).fault
        passes = fault.count is None and climate is Climate.FAIR
        moment = chance.choice(_MOMENTS)
        yield Gust(
            node,
            row,
            attrs.evolve(
                fault,
                at=moment,
                after=round(chance.uniform(0.0, _LATEST), 1) if moment is Moment.NOW else 0.0,
                lasts=round(chance.uniform(*_LASTS), 1) if passes else fault.lasts,
                seed=chance.getrandbits(32),
            ),
        )
