"""``rackwave demo`` as a user runs it; tests/scenarios plays the same on virtual time over many values."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("options", "killed"),
    [
        pytest.param(
            ["--nodes", "5", "--seed", "3", "--bad", "1", "--dead", "1", "--kill-at", "2"],
            True,
            marks=pytest.mark.long,  # README's own demo is killed, too, wherever all tests are run
        ),
        (["--nodes", "3", "--bad", "0", "--dead", "1", "--kill-at", "0", "--personality", "openbmc"], False),
    ],
)
def test_the_demo_ends_as_it_promises(options: list[str], killed: bool) -> None:
    """Every sound node ends on the new bundle, the bad ones on the old, the dead ones recovered, none flashed twice."""
    done = subprocess.run(
        [sys.executable, "-m", "rackwave", "demo", "--json", *options], capture_output=True, text=True, timeout=150
    )
    given = dict(zip(options[::2], options[1::2], strict=True))
    nodes, bad, dead = (int(given[name]) for name in ("--nodes", "--bad", "--dead"))

    assert 0 == done.returncode, done.stderr
    result = json.loads(done.stdout)
    assert (nodes, nodes - bad, bad, dead, 0, 0, killed) == tuple(
        result[key]
        for key in ("nodes", "on_new", "rolled_back", "recovered", "quarantined", "double_flashes", "killed")
    )
    assert nodes + bad <= result["flashes"]


@pytest.mark.parametrize("options", [["--nodes", "2", "--bad", "1", "--dead", "1"], ["--bundles", "none"]])
def test_what_cannot_be_played_is_refused(options: list[str]) -> None:
    """A cast that does not fit the rack, or unknown bundles, end with 2 and a sentence."""
    done = subprocess.run(
        [sys.executable, "-m", "rackwave", "demo", *options], capture_output=True, text=True, timeout=60
    )

    assert 2 == done.returncode
    assert "Error:" in done.stderr
    assert "Traceback" not in done.stderr
