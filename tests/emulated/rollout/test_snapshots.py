"""Nodes are brought back to what they were, over the wire; or none is touched."""

from __future__ import annotations

import pytest

from workplace import Workplace

WHOLE = ("--canary", "0", "--waves", "1")


@pytest.fixture
def workplace(workplace: Workplace) -> Workplace:
    """Four nodes that carry A.1, a snapshot of them, and A.2."""
    workplace.make_bundles("A.1")
    assert 0 == workplace.run("deploy", "A.1", *WHOLE).code
    done = workplace.run("snapshot", "-o", "before.json")
    assert 0 == done.code, done.err
    workplace.publish("A.2")
    return workplace


def test_nodes_are_as_they_were(workplace: Workplace) -> None:
    """Two were brought to A.2; they come back, the others are left alone; and again there is nothing to do."""
    before = workplace.installed()
    assert 0 == workplace.run("deploy", "A.2", "--nodes", "r1n[01-02]", *WHOLE).code
    told = workplace.run("restore", "before.json", "--dry-run", "--json")
    done = workplace.run("restore", "before.json")
    again = workplace.run("restore", "before.json", "--json")

    assert (0, [["A.1"], ["A.1"], [], []]) == (told.code, [each["sends"] for each in told.json["nodes"]])
    assert 0 == done.code, done.err
    assert before == workplace.installed()
    assert [[]] * 4 == [each["sends"] for each in again.json["nodes"]]
    assert {"A.1"} == {each["assigned"]["A"] for each in workplace.run("status", "--json").json}


def test_one_that_cannot_be_brought_back_keeps_all_from_being_touched(workplace: Workplace) -> None:
    """It is named with its reason; without it the others come back."""
    assert 0 == workplace.run("deploy", "A.2", *WHOLE).code
    assert 0 == workplace.run("hold", "r1n03", "--reason", "its memory is swapped").code
    writes = workplace.writes()
    refused = workplace.run("restore", "before.json")
    told = workplace.run("restore", "before.json", "--dry-run", "--json")

    assert 1 == refused.code
    assert "r1n03: it is" in refused.err
    assert "its memory is swapped" in refused.err
    assert [[], [], 1, []] == [len(each["problems"]) or [] for each in told.json["nodes"]]
    assert writes == workplace.writes()
    assert 0 == workplace.run("restore", "before.json", "--nodes", "r1n[01-02],r1n04").code
    assert ["1.0.0", "1.0.0", "2.0.0", "1.0.0"] == list(workplace.installed().values())


def test_files_are_kept_and_spoilt_ones_refused(workplace: Workplace) -> None:
    """Never over one that is there; never from one that was edited; and without -o it is printed."""
    twice = workplace.run("snapshot", "-o", "before.json")
    text = (workplace.directory / "before.json").read_text()
    (workplace.directory / "edited.json").write_text(text.replace("r1n02", "r1n09"))
    edited = workplace.run("restore", "edited.json")
    printed = workplace.run("snapshot", "--nodes", "r1n01").json

    assert (2, 2) == (twice.code, edited.code)
    assert "is there already" in twice.err
    assert "not as it was written" in edited.err
    assert "1.0.0" == printed["nodes"][0]["components"]["BIOS"]
    assert "admin" not in text


def test_a_node_that_does_not_come_back_is_not_called_back(workplace: Workplace) -> None:
    """Its flash breaks off on the way to the snapshot, and it stays on what it had."""
    assert 0 == workplace.run("deploy", "A.2", *WHOLE).code
    workplace.inject("r1n01", {"fault": "flash-fails", "leaves": "corrupt"})
    done = workplace.run("restore", "before.json", "--nodes", "r1n01")

    assert 4 == done.code, done.err
    assert "not back" in done.out


def test_a_node_that_is_not_there_any_more_is_named(workplace: Workplace) -> None:
    """It left the inventory; the others can be brought back without it."""
    text = workplace.inventory.read_text()
    assert 'name = "r1n04"' in text
    workplace.inventory.write_text(text.replace('name = "r1n04"', 'name = "r9n04"'))
    told = workplace.run("restore", "before.json", "--dry-run")
    strange = workplace.run("restore", "before.json", "--nodes", "r9n04")

    assert (1, 2) == (told.code, strange.code)
    assert "r1n04  cannot be" in told.out
    assert "it is not in the inventory" in told.out
    assert "r9n04 is not in the snapshot" in strange.err


def test_bundles_for_different_nodes_are_sent_at_the_same_time(workplace: Workplace) -> None:
    """Half the rack carried A.1 and half A.2; each half has the other by now."""
    assert 0 == workplace.run("deploy", "A.2", "--nodes", "r1n[01-02]", *WHOLE).code
    assert 0 == workplace.run("snapshot", "-o", "mixed.json").code
    assert 0 == workplace.run("deploy", "A.2", "--nodes", "r1n[03-04]", *WHOLE).code
    assert 0 == workplace.run("rollback", "A", "--nodes", "r1n[01-02]").code
    done = workplace.run("restore", "mixed.json", "--json")

    assert 0 == done.code, done.err
    assert ["2.0.0", "2.0.0", "1.0.0", "1.0.0"] == list(workplace.installed().values())
    assert (2, []) == (len(done.json["rollouts"]), done.json["left_out"])
    events = [e["event"] for e in workplace.run("history", "--json").json if e["event"].startswith("Rollout")]
    assert ["RolloutStarted", "RolloutStarted", "RolloutFinished", "RolloutFinished"] == events[-4:]
