"""What a node's end is worth: the journal's verdict held against the lab's truth."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from attrs import frozen

from emulated.table.cast import NEW, OLD, Carries, Part
from emulated.table.stage import ATTRIBUTES, COMPONENTS, Ended
from rackwave.core.event import Intended, NodeResult
from rackwave.core.step import WriteImage
from rackwave_emulators.faults import HostDead

KNOWN = Path(__file__).with_name("known_misses.toml")
IN_ROLLOUT = frozenset({"P17", "P48", "P49", "P50"})
"""Rows that are finished with the rollout's own controls; what there is of them is held here all the same."""


class Mark(StrEnum):
    """What one pair of row and make came to."""

    NEW = "new"
    """On the new bundle, says the journal, and so it is."""
    OLD = "old"
    """Back on the old bundle, says the journal, and so it is."""
    REFUSED = "refused"
    """Refused before anything was touched, with the reason; and nothing was touched."""
    UNKNOWN = "unknown"
    """Set aside for a person, because nobody could know."""
    LIE = "LIE"
    """The journal says one thing, the machine is another."""
    TWICE = "TWICE"
    """Flashed twice."""
    BROKEN = "BROKEN"
    """Usable before, and not any more."""
    LEFT_OPEN = "LEFT OPEN"
    """A session of ours was left on its BMC."""


MISSES = frozenset({Mark.UNKNOWN, Mark.LIE, Mark.TWICE, Mark.BROKEN, Mark.LEFT_OPEN})


@frozen
class Pair:
    """One part on one make, judged."""

    make: str
    key: str
    mark: Mark
    why: str

    @property
    def is_miss(self) -> bool:
        """Whether it is not as it should be."""
        return self.mark in MISSES


@frozen
class KnownMiss:
    """A pair that is known not to come out, and why that stands."""

    make: str
    key: str
    mark: str
    reason: str


def judge(make: str, ended: Ended) -> Pair:
    """Say what *ended* is worth."""
    mark, why = _judged(ended)
    return Pair(make, ended.part.key, mark, why)


def _judged(ended: Ended) -> tuple[Mark, str]:
    truth = ended.truth
    if doubles := _doubles(ended):
        return Mark.TWICE, f"{doubles} double flashes; {ended.reason}"
    was_usable = not any(isinstance(fault, HostDead) for fault in ended.part.faults)
    ills = _ills(truth)
    if was_usable and ills:
        return Mark.BROKEN, f"{ills}; {ended.result}: {ended.reason}"
    if truth["sessions_open"]:
        return Mark.LEFT_OPEN, f"{truth['sessions_open']} sessions open; {ended.reason}"
    match ended.result:
        case NodeResult.QUARANTINED:
            return Mark.UNKNOWN, ended.reason
        case NodeResult.ON_NEW:
            expected, mark = NEW, Mark.NEW
        case NodeResult.ROLLED_BACK:
            expected, mark = OLD, Mark.OLD
        case None:
            expected, mark = OLD, Mark.REFUSED
        case _:
            return Mark.LIE, f"ended as {ended.result}"
    found = _state(truth, ended.part)
    if ills or found != _as_it_should(ended.part.carries, expected):
        return Mark.LIE, f"{ended.result}: {ended.reason}; but {found} {ills}"
    if mark is Mark.REFUSED and truth["writes"]:
        return Mark.LIE, f"refused, and yet written to: {ended.reason}"
    return mark, ended.reason


def _doubles(ended: Ended) -> int:
    """Count the double flashes. What the lab calls a repeat over HPM.1, which tells no attempt, the journal decides."""
    writes = ended.truth["writes"]
    nameless = [write for write in writes if not write["attempt"]]
    intents = [
        (recorded.event.attempt, recorded.event.step.digest)
        for recorded in ended.story
        if isinstance(recorded.event, Intended) and isinstance(recorded.event.step, WriteImage)
    ]
    is_told = len(nameless) <= len(intents) == len(set(intents))
    return sum(
        write["double_flash"] is not None and not (is_told and write in nameless and write["double_flash"] == "repeat")
        for write in writes
    )


def _ills(truth: Mapping[str, Any]) -> str:
    """Say what makes a machine unusable; empty: nothing."""
    corrupt = [name for name, installed in truth["installed"].items() if installed["corrupt"]]
    found = (f"power {truth['power']}", f"POST {truth['post']}", f"health {truth['health']}")
    bad = [told for told in found if told not in ("power On", "POST complete", "health ok", "health warning")]
    bad += [f"{name} is corrupt" for name in corrupt]
    return ", ".join(bad)


def _state(truth: Mapping[str, Any], part: Part) -> dict[str, Any]:
    installed = truth["installed"][COMPONENTS[part.carries]]
    found = {"version": installed["version"], "staged": installed["staged"]}
    if part.carries is Carries.SETTINGS:
        found |= {name: truth["bios"][name] for name in ATTRIBUTES[NEW]}
        found["pending"] = {name: value for name, value in truth["bios_pending"].items() if name not in part.stranger}
    return found


def _as_it_should(carries: Carries, version: str) -> dict[str, Any]:
    expected: dict[str, Any] = {"version": version, "staged": None}
    if carries is Carries.SETTINGS:
        expected |= ATTRIBUTES[version] | {"pending": {}}
    return expected


def known_misses() -> tuple[KnownMiss, ...]:
    """Read the committed list."""
    told = tomllib.loads(KNOWN.read_text("utf-8"))
    return tuple(
        KnownMiss(make, entry["key"], entry["mark"], entry["reason"])
        for entry in told.get("miss", ())
        for make in entry["makes"]
    )
