"""Whose a failure is, over many seasons: what is the bundle's is found, and little else is held against it."""

from __future__ import annotations

import sys

import pytest

from rackwave_emulators.faults import BadHealth, FlashFails
from rig import Shelf
from soak.blame import confusion
from soak.conftest import SHORT, seeds_of
from soak.season import NEW, play

RECALL, PRECISION = 0.95, 0.9
SPOILT = (
    BadHealth(component="BIOS", version=NEW, boots=False),
    BadHealth(component="BIOS", version=NEW),
    FlashFails(component="BIOS", count=1),
)
"""Bundles that agree with no machine at all."""


@pytest.mark.timeout(1800)
def test_what_is_the_bundles_is_found_and_little_else_is_held_against_it(
    shelf: Shelf, request: pytest.FixtureRequest, record_property: object
) -> None:
    """Over the seeds, with bundles that some machines do not bear; and, for each third, one that nobody bears."""
    option = str(request.config.getoption("--seeds", default=SHORT))
    seeds = seeds_of("1-6" if option == SHORT else option)
    nodes = max(60, int(request.config.getoption("--soak-nodes", default=40)))
    seasons = (play(seed, shelf, nodes) for seed in seeds)
    spoilt = (play(seed, shelf, 24, spoilt=SPOILT[seed // 3 % len(SPOILT)]) for seed in seeds if seed % 3 == 0)
    found, wrong = confusion(each for several in (seasons, spoilt) for each in several)

    sys.stderr.write(f"\n{found}\n" + "".join(f"wrong: {line}\n" for line in wrong))
    assert found.hit > 10
    assert found.recall >= RECALL, f"{found}\n" + "\n".join(wrong)
    assert found.precision >= PRECISION, f"{found}\n" + "\n".join(wrong)
