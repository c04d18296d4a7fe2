"""Every scenario ends in the story that stands beside it, and leaves the rack in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenarios.telling import HERE, play
from truths import LONGEST, assert_at_rest, assert_never_twice

NAMES = sorted(path.stem for path in HERE.glob("*.toml"))


@pytest.mark.parametrize("name", NAMES)
def test_the_story_is_the_one_expected(name: str, tmp_path: Path) -> None:
    """What the journal and the lab tell is, line by line, what an operator has read and found right."""
    rig, story = play(name, tmp_path)
    for node in rig.nodes:
        assert_at_rest(rig, node)
    assert_never_twice(rig)

    assert (HERE / f"{name}.txt").read_text("utf-8") == story
    assert rig.clock.monotonic() < LONGEST


def test_every_scenario_has_its_story() -> None:
    """No script without a story, no story without a script."""
    assert NAMES == sorted(path.stem for path in HERE.glob("*.txt"))
