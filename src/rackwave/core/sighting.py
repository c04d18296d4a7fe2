"""What was last seen of a node, as the journal keeps it: in words, each with the moment from which it holds."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve, frozen

from .observation import Power
from .power import PowerAct

POWER = "power"
"""Under which name the host's power is kept."""


@frozen
class Sighting:
    """*word* is how something stands, *since* (epoch seconds) when it was first seen so."""

    word: str
    since: float


Sightings = Mapping[str, Sighting]
"""How each thing that is watched stands, by its name."""


@frozen
class OffByHand:
    """*by* switched the host off through rackwave; *is_seen*: it has been seen off since.

    It ends when the host is seen on after that, whoever switched it on; not before, for a shutdown takes minutes.
    """

    by: str
    at: float
    is_seen: bool = False


_OFF = frozenset(f"power {act}" for act in (PowerAct.FORCE_OFF, PowerAct.SHUTDOWN))
_BUTTON = f"power {PowerAct.BUTTON}"
_ON = frozenset(f"power {act}" for act in (PowerAct.ON, PowerAct.RESTART, PowerAct.FORCE_RESTART, PowerAct.CYCLE))


def after_act(off: OffByHand | None, what: str, result: str, *, by: str, at: float, power: str) -> OffByHand | None:
    """Return whether the host is off by hand once *by* did *what*, which came to *result* (empty: not known yet).

    *power* is how it was last seen. An act that nobody answered counts: it may have been carried out.
    """
    is_off = power == Power.OFF
    if what in _ON or (what == _BUTTON and is_off):
        return None
    if what not in _OFF and what != _BUTTON:
        return off
    if result.startswith("refused"):
        return None if off is not None and off.by == by and not off.is_seen else off
    return OffByHand(by, at, is_off) if off is None else off


def after_look(off: OffByHand | None, power: str) -> OffByHand | None:
    """Return whether the host is off by hand once its power is seen to be *power*."""
    if off is None:
        return None
    if power == Power.OFF:
        return evolve(off, is_seen=True)
    return None if power == Power.ON and off.is_seen else off
