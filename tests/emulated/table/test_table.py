"""P01 to P50 on every make of BMC: the verdict that a rollout reports is the truth of the lab.

Each make plays every way of bringing each row about, a node each, in real rollouts over HTTPS (see ``stage``);
one column more has what is left of them where nodes are reached by IPMI alone.
``known_misses.toml`` lists the pairs that do not come out, each with its reason; it may only shrink.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from emulated.table.cast import COLOURING, MAKES, Reach, parts, sometimes
from emulated.table.stage import Ended, Performance, Workshop, perform
from emulated.table.verdict import MISSES, Mark, Pair, judge, known_misses
from rackwave_emulators.faults import ROWS
from rackwave_emulators.personality import load_personality, personalities

IPMI = "ipmi"
"""The column of plain machines that are reached by IPMI alone."""
COLUMNS = (*MAKES, IPMI)


def _reach(column: str) -> Reach:
    return Reach.IPMI if column == IPMI else Reach.REDFISH


def _make(column: str) -> str:
    return "plain" if column == IPMI else column


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """The bundles, made once for all makes."""
    return Workshop(tmp_path_factory.mktemp("bundles"))


@pytest.mark.parametrize("make", [*map(sometimes, COLUMNS)])
def test_every_verdict_is_the_truth(
    make: str, workshop: Workshop, tmp_path: Path, tell_cells: Callable[[str, dict[str, list[str]]], None]
) -> None:
    """On every node the journal and the machine agree, nothing is flashed twice, and no usable node is lost."""
    over = perform(_make(make), workshop, tmp_path, reach=_reach(make))
    pairs = [judge(make, ended) for ended in over.ended]
    tell_cells(make, _cells(over, pairs))
    missed = {pair.key: f"{pair.mark}: {pair.why}" for pair in pairs if pair.is_miss}
    known = {miss.key: miss.mark for miss in known_misses() if miss.make == make}
    news = [f"{key}: {why}" for key, why in missed.items() if not why.startswith(f"{known.get(key)}:")]

    assert [] == [told for end, pair in zip(over.ended, pairs, strict=True) if (told := _not_played(end, pair))]
    assert not news, "\n".join((f"{make} misses what is not listed:", *news))
    assert set() == set(known) - set(missed), "these came out: strike them off known_misses.toml"


def _not_played(ended: Ended, pair: Pair) -> str:
    """Say where a fault that should strike did not, or one that should be avoided struck."""
    part = ended.part
    if pair.is_miss or isinstance(part.faults[0], COLOURING):
        return ""
    struck = part.faults[0].id in ended.truth["struck"]
    if struck == bool(part.avoided):
        return f"{part.key}: struck, though {part.avoided}" if struck else f"{part.key}: never struck"
    return ""


@pytest.mark.parametrize("make", COLUMNS)
def test_every_row_has_a_part_on_every_make(make: str) -> None:
    """No row is left out: it is played, or the make cannot have it for a reason that is told."""
    cast = list(parts(load_personality(_make(make)), _reach(make)))

    assert set(ROWS) == {part.row for part in cast}
    assert len(cast) == len({part.key for part in cast})


def test_every_make_is_in_the_table() -> None:
    """A personality that is added gets its column."""
    assert set(personalities()) == set(MAKES)


def test_known_misses_are_pairs_that_exist() -> None:
    """Each entry names a make, a part of it and what it comes to, says why, and stands once."""
    entries = known_misses()
    keys = {
        (column, part.key)
        for column in COLUMNS
        for part in parts(load_personality(_make(column)), _reach(column))
        if not part.not_here
    }
    named = [(miss.make, miss.key) for miss in entries]

    assert set() == set(named) - keys
    assert len(named) == len(set(named))
    assert {miss.mark for miss in entries} <= {mark.value for mark in MISSES}
    assert all(len(miss.reason) > 20 for miss in entries)


def _cells(over: Performance, pairs: list[Pair]) -> dict[str, list[str]]:
    """Return what the table says of each row: the worst that any of its parts came to, and the others beside it."""
    found: dict[str, list[str]] = {}
    by_row: dict[str, list[Mark | None]] = {}
    for part in over.absent:
        by_row.setdefault(part.row, [])
    for ended, pair in zip(over.ended, pairs, strict=True):
        by_row.setdefault(ended.part.row, []).append(pair.mark)
    for row, marks in by_row.items():
        bad = sorted({mark.value for mark in marks if mark in MISSES})
        good = sorted({mark.value for mark in marks if mark is not None and mark not in MISSES})
        found[row] = bad or good or ["n/a"]
    return found
