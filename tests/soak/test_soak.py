"""The soak: whatever weather a seed has in store, every node ends where the journal says, and few are given up.

``nox -s soak`` plays 50 seasons of 200 nodes, and 3 over the wire; here are short ones.
"""

from __future__ import annotations

from typing import Any

import pytest

from rig import Shelf
from soak.judge import MOST_GIVEN_UP, complaints, given_up, told
from soak.season import play


def test_every_node_ends_where_the_journal_says(
    seed: int, shelf: Shelf, request: pytest.FixtureRequest, record_property: Any
) -> None:
    """On its new or prior bundle, truly and well, or set aside with evidence; flashed never twice."""
    over = play(seed, shelf, int(request.config.getoption("--soak-nodes", default=40)))

    record_property("season", told(over))

    assert not complaints(over), "\n".join((told(over), *complaints(over)))
    assert len(given_up(over)) <= max(1, MOST_GIVEN_UP * len(over.state.nodes)), f"{told(over)}: {given_up(over)}"


def test_a_seed_tells_the_same_story_again(shelf: Shelf) -> None:
    """A failing season can be played again: same ends, at the same moments."""
    first, again = (play(3, shelf, 24) for _ in range(2))

    assert {n: (e.result, e.reason) for n, e in first.state.results.items()} == {
        n: (e.result, e.reason) for n, e in again.state.results.items()
    }
    assert first.rig.clock.monotonic() == again.rig.clock.monotonic()
    assert (first.kills, first.takeovers) == (again.kills, again.takeovers) == (3, 1)
