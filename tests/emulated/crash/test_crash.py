"""The crash matrix: killed at any journal entry or request, the next start ends every node as it should.

A rollout to three nodes, one of which fails and is rolled back, on the real journal and the real wire. ``nox -s crash``
kills it at every point there is; here at a sample, the same each time.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from emulated.crash.conftest import SHARDS
from emulated.crash.drill import NODES, drill
from emulated.crash.judge import complaints
from emulated.crash.kill import Point
from emulated.table.stage import Workshop

SAMPLE = {"plain": 16, "openbmc": 4, "ipmi": 4}
"""How many points of each matrix a run of all tests kills at."""


@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the dead close nothing
@pytest.mark.parametrize("kind", SAMPLE)
def test_a_killed_rollout_converges(kind: str, shard: str, workshop: Workshop, tmp_path: Path) -> None:
    """No double flash, no lost roll-back, nobody set aside, no session left: the lab's truth is the journal's."""
    much, index = shard.split("-")
    whole = drill(_make(kind), workshop, tmp_path / "whole", ipmi=kind == "ipmi")
    assert [] == complaints(whole)

    points = sorted(whole.points)
    if much == "sample":
        step = len(points) / SAMPLE[kind]
        points = [points[int((number + 0.5) * step)] for number in range(SAMPLE[kind])]
    bad, reached = list[str](), 0
    for number, point in enumerate(points[int(index) :: SHARDS[much]]):
        directory = tmp_path / str(number)
        over = drill(_make(kind), workshop, directory, ipmi=kind == "ipmi", at=point)
        reached += over.struck
        bad += [f"killed at {point}: {complaint}" for complaint in complaints(over)]
        shutil.rmtree(directory)

    assert not bad, "\n".join(bad)
    # Nodes take their turns in another order each time, so that a few late looks do not come again.
    assert reached >= 0.9 * len(points[int(index) :: SHARDS[much]])


@pytest.mark.parametrize("kind", SAMPLE)
def test_points_are_at_every_entry_and_request(kind: str, workshop: Workshop, tmp_path: Path) -> None:
    """Each request of the run has its three points, and each entry two."""
    points = drill(_make(kind), workshop, tmp_path, ipmi=kind == "ipmi").points
    names = {point.name for point in points}
    sent = {name.partition(" before ")[2] for name in names if " before " in name}
    node = NODES[0]

    assert {f"{node} answered {what}" for what in sent} >= {name for name in names if name.startswith(f"{node} answ")}
    for entry in ("Intended", "Acted", "Resolved", "AttemptStarted", "Identified"):
        assert {f"before append {entry} {node}", f"after append {entry} {node}"} <= names
    for what in _ACTS[kind]:
        assert {f"{node} {when} {what}" for when in ("before", "accepted", "answered")} <= names
    assert Point(f"before lease {node}", 0) in points


_UPDATE = "/redfish/v1/UpdateService/Actions/UpdateService.SimpleUpdate"
_ACTS = {
    "plain": (f"POST {_UPDATE}", "POST /redfish/v1/Systems/1/Actions/ComputerSystem.Reset"),
    "openbmc": (),
    "ipmi": ("IPMI 2Ch/31h", "IPMI 2Ch/32h", "IPMI 2Ch/33h", "IPMI 2Ch/35h", "IPMI 00h/02h"),
}


def _make(kind: str) -> str:
    return "plain" if kind == "ipmi" else kind
