"""How a machine differs from its bundle: what would be written, and what nobody could compare."""

from __future__ import annotations

import pytest

from rackwave.core.drift import Deviation, drift_from
from rackwave.core.observation import Unknown
from values import BIOS, BMC, NODE, bundle, image, well

A2 = bundle("A.2", image(BIOS, "2"), image(BMC, "2"))
UNREAD = Unknown("timed out")
OTHER = Deviation("BIOS", "1", "2")


@pytest.mark.parametrize(
    ("bios", "bmc", "state", "deviations", "unread"),
    [
        ("2", "2", "level", (), 0),
        ("1", "2", "drifted", (OTHER,), 0),
        ("2", UNREAD, "unread", (), 1),
        ("1", UNREAD, "drifted", (OTHER,), 1),
        (UNREAD, UNREAD, "unread", (), 2),
    ],
)
def test_not_read_is_neither_level_nor_drift_and_hides_none(
    bios: str | Unknown, bmc: str | Unknown, state: str, deviations: tuple[Deviation, ...], unread: int
) -> None:
    """What differs is named with what is there and what is meant; what could not be read, with the reason."""
    drift = drift_from(NODE, A2, well({BIOS: bios, BMC: bmc}))

    assert (state, deviations) == (drift.state, drift.deviations)
    assert unread == len(drift.unread) == sum("timed out" in why for why in drift.unread)
