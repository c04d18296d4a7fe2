"""Several bundles in one run, over the wire: in turn where they share a node, at the same time elsewhere."""

from __future__ import annotations

import shutil
from contextlib import closing

import pytest

from rackwave.clock import SystemClock
from rackwave.core.event import RolloutFinished, RolloutStarted
from rackwave.core.identity import RolloutId
from rackwave.records import Records
from workplace import Workplace

EACH_ITS_OWN = """
[lineages.A]
select = { nodes = "r1n[01-02]" }

[lineages.M]
select = { nodes = "r1n[03-04]" }
"""
WHOLE = ("--canary", "0", "--waves", "1")


@pytest.fixture
def workplace(workplace: Workplace) -> Workplace:
    """A workplace with a BIOS and a BMC bundle."""
    workplace.make_bundles("A.1", "A.2")
    workplace.make_bundles("M.1", "M.2", example="lab-bmc")
    return workplace


def moments(workplace: Workplace) -> dict[tuple[str, str], int]:
    """Where in the journal each rollout began and ended, by its bundle."""
    found: dict[tuple[str, str], int] = {}
    bundles: dict[RolloutId, str] = {}
    with closing(Records(workplace.state, clock=SystemClock(), read_only=True)) as records:
        for recorded in records.events():
            event = recorded.event
            if isinstance(event, RolloutStarted):
                bundles[event.rollout] = str(event.bundle)
            if isinstance(event, (RolloutStarted, RolloutFinished)):
                found[bundles[event.rollout], type(event).__name__] = recorded.number
    return found


def test_bundles_that_share_nodes_go_one_after_the_other(workplace: Workplace) -> None:
    """BIOS first, as it was said; BMC firmware once the BIOS is done everywhere."""
    done = workplace.run("deploy", "A.2", "M.2", *WHOLE, "--no-way-back", "all", "--json")

    assert 0 == done.code, done.err
    assert [("A.2", "done"), ("M.2", "done")] == [(each["bundle"], each["result"]) for each in done.json]
    when = moments(workplace)
    assert when["A.2", "RolloutFinished"] < when["M.2", "RolloutStarted"]
    installed = [node["installed"] for node in workplace.truth()["nodes"].values()]
    assert {("2.0.0", "2.0.0")} == {(each["BIOS"]["version"], each["BMC"]["version"]) for each in installed}


def test_bundles_for_different_nodes_go_at_the_same_time(workplace: Workplace) -> None:
    """Unlike nodes: each gets the bundle of its own lineage."""
    workplace.inventory.write_text(workplace.inventory.read_text() + EACH_ITS_OWN)
    done = workplace.run("deploy", "A.2", "M.2", *WHOLE, "--no-way-back", "all")

    assert 0 == done.code, done.err
    when = moments(workplace)
    assert when["M.2", "RolloutStarted"] < when["A.2", "RolloutFinished"]
    assert ["2.0.0", "2.0.0", "1.0.0", "1.0.0"] == list(workplace.installed().values())


def test_what_follows_a_rollout_that_failed_is_not_begun(workplace: Workplace) -> None:
    """The BMC firmware was to come after a BIOS that its canary does not take."""
    assert 0 == workplace.run("deploy", "A.1", *WHOLE).code
    workplace.inject("r1n01", {"fault": "flash-fails"})
    done = workplace.run("deploy", "A.2", "M.2", "--canary", "1", "--no-way-back", "all")

    assert 1 < done.code, done.err
    assert "M.2 was not begun: A.2 goes to some of the same nodes before it" in done.err
    assert ("M.2", "RolloutStarted") not in moments(workplace)


def test_two_that_want_the_same_of_a_node_are_refused_before_anything_begins(workplace: Workplace) -> None:
    """Two of one lineage, and two lineages with a BIOS."""
    one = workplace.run("deploy", "A.1", "A.2")
    source = workplace.directory / "source" / "B.1"
    shutil.copytree(workplace.directory / "source" / "lab-bios" / "A.2", source)
    manifest = source / "bundle.toml"
    manifest.write_text(manifest.read_text().replace('"A"', '"B"').replace("seq = 2", "seq = 1"))
    workplace.build(source)
    workplace.publish("B.1")
    other = workplace.run("deploy", "A.2", "B.1", "--no-way-back", "all")

    assert "two of them are of one lineage" in one.err
    assert "r1n01: A.2 (bios) and B.1 (bios) want component BIOS" in other.err
    assert 0 == workplace.writes()
