"""The soak over the wire: the same weather on real adapters, TLS and image server, in virtual time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from emulated.table.cast import Part
from emulated.table.stage import Ended, Workshop, perform
from emulated.table.verdict import Mark, judge, known_misses
from rackwave.core.event import NodeFinished
from rackwave_emulators.lab import Place
from rackwave_emulators.weather import Climate, forecast
from soak.judge import MOST_GIVEN_UP

MAKES = ("plain", "idrac", "openbmc", "ilo6", "supermicro")


def test_the_journal_tells_the_truth_over_the_wire(
    wire_seed: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """No lie, no double flash, no machine broken, no session left open; without a fault on new, and few given up."""
    make = MAKES[wire_seed % len(MAKES)]
    cast = list(_cast(wire_seed, int(request.config.getoption("--wire-nodes", default=16))))
    over = perform(make, Workshop(tmp_path / "bundles"), tmp_path, cast=cast)
    ends = [(ended, judge(make, ended)) for ended in over.ended]
    bad = [
        f"{_told(ended)}: {pair.mark}: {pair.why}"
        for ended, pair in ends
        if pair.mark in _WRONG and not _died_afterwards(ended)
    ]
    bad += [
        f"{_told(ended)}: {pair.mark}: {pair.why}"
        for ended, pair in ends
        if not ended.part.faults and pair.mark is not Mark.NEW
    ]
    doubtful = {miss.key.split()[1] for miss in known_misses() if (miss.make, miss.mark) == (make, Mark.UNKNOWN)}
    given_up = [
        f"{_told(ended)}: {pair.why}"
        for ended, pair in ends
        if pair.mark is Mark.UNKNOWN and doubtful.isdisjoint(fault.id for fault in ended.part.faults)
    ]

    assert not bad, "\n".join((f"seed {wire_seed}, {make}:", *bad))
    assert len(given_up) <= max(1, MOST_GIVEN_UP * len(cast)), "\n".join((f"seed {wire_seed}, {make}:", *given_up))
    assert 0 == over.sessions_open


_WRONG = (Mark.LIE, Mark.TWICE, Mark.BROKEN, Mark.LEFT_OPEN)


def _cast(seed: int, count: int) -> Iterator[Part]:
    names = [Place.of(index).name for index in range(count)]
    fair, rough = names[::2], names[1::2]
    gusts = (*forecast(seed, fair), *forecast(seed, rough, climate=Climate.ROUGH))
    for name in names:
        yield Part(row="weather", name=f"{seed} {name}", faults=tuple(g.fault for g in gusts if g.node == name))


def _died_afterwards(ended: Ended) -> bool:
    """Whether the host died when the rollout had ended for it: that is another story."""
    ends = [recorded.at for recorded in ended.story if isinstance(recorded.event, NodeFinished)]
    return bool(ends) and any(death["at"] > ends[0] for death in ended.truth["deaths"])


def _told(ended: Ended) -> str:
    return f"{ended.node} under {', '.join(fault.id for fault in ended.part.faults) or 'nothing'}"
