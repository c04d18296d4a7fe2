"""``rackwave inspect`` over the recorded machines, as an operator runs it: a process of its own, over HTTPS.

What it says of each is in ``expected/inspect/``. What a machine does not tell is null, with the reason, and nothing
is guessed or raised.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from emulated.trees.test_trees import EXPECTED, NAMES, NODE, TREES
from rackwave_emulators.clock import ScaledClock
from rackwave_emulators.lab import Lab
from rackwave_emulators.redfish.sessions import Account
from rackwave_emulators.tree import load_tree
from workplace import PASSWORD, Done, Workplace

SCHEMA = json.loads((files("rackwave.schemas") / "inspect.schema.json").read_text("utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_machine_is_inspected(name: str, tmp_path: Path) -> None:
    """All that it can do is told, or is unknown for a reason; no traceback, and no session is left open."""
    path = TREES / f"{name}.json.gz"
    if not path.is_file():
        pytest.skip(f"{name} is not in RACKWAVE_TREES")
    done, sessions = _inspected(path, tmp_path)
    (survey,) = done.json
    told = "".join(f"{line}\n" for line in _lines(survey))
    expected = EXPECTED / "inspect" / f"{name}.txt"
    if os.environ.get("RACKWAVE_ACCEPT") == name:
        expected.write_text(told, "utf-8")

    assert (0, "") == (done.code, done.err)
    jsonschema.validate(done.json, SCHEMA)
    assert expected.read_text("utf-8") == told, f"RACKWAVE_ACCEPT={name} accepts it"
    assert all(each["value"] or each["reason"] for each in survey["capabilities"])
    assert all(each["way"] or each["reason"] for each in survey["components"])
    assert 0 == sessions


def _inspected(tree: Path, directory: Path) -> tuple[Done, int]:
    recorded, account = load_tree(tree), Account(password=PASSWORD)
    with Lab(1, tree=recorded, directory=directory / "lab", account=account, clock=ScaledClock()) as lab:
        place = directory / "work"
        place.mkdir()
        workplace = Workplace(place, lab)
        done = workplace.run("inspect", NODE, "--json")
        return done, workplace.truth()["totals"]["sessions_open"]


def _lines(survey: dict[str, Any]) -> list[str]:
    """Say what was found, a capability a line; of the components how many have a version, and a way."""
    lines = [
        f"{each['capability']:20}{each['value'] or 'unknown: ' + each['reason'].replace(f'{NODE}: ', '')}"
        for each in survey["capabilities"]
    ]
    tally = Counter(
        (
            "a version" if each["version"] else "no version",
            each["way"].split(",")[0] if each["way"] else "no way",
        )
        for each in survey["components"]
    )
    return [*lines, *(f"{number} with {version}, {way}" for (version, way), number in sorted(tally.items()))]
