"""Holds and drain hooks on a rack over the wire."""

from __future__ import annotations

import pytest

from workplace import Workplace


@pytest.mark.lab(nodes=2)
def test_a_held_node_is_refused_and_a_lifted_hold_is_not(workplace: Workplace) -> None:
    """Plan and deploy refuse a held node by name and reason; status shows the hold; unhold lifts it."""
    workplace.make_bundles("A.1")
    held = workplace.run("hold", "r1n02", "--reason", "memory is swapped", "--until", "4h", "--json")
    refused = workplace.run("deploy", "A.1", "--no-way-back", "all")
    status = workplace.run("status")
    lifted = workplace.run("unhold", "r1n02", "--json")
    done = workplace.run("deploy", "A.1", "--no-way-back", "all")

    assert "memory is swapped" == held.json[0]["hold"]["reason"]
    assert held.json[0]["hold"]["until"] is not None
    assert 1 == refused.code
    assert "r1n02: it is held by" in refused.err
    assert "memory is swapped" in status.out
    assert lifted.json[0]["hold"] is None
    assert 0 == done.code, done.err


@pytest.mark.lab(nodes=1)
def test_a_busy_node_is_waited_for(workplace: Workplace) -> None:
    """A node whose drain hook reports work is not written to before that has ended, and history says why."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1")
    workplace.publish("A.2")
    busy = workplace.directory / "busy"
    busy.touch()
    with workplace.inventory.open("a") as inventory:
        inventory.write(
            f'\n[drain]\ncommand = ["sh", "-c", "test ! -e {busy} || (echo job 7 of $0; exit 1)", "{{name}}"]\n'
        )
    plan = workplace.run("plan", "A.2", "--json")
    deploying = workplace.start("deploy", "A.2")
    workplace.wait_until(
        lambda: "waits: busy with job 7 of r1n01" in workplace.run("history", "r1n01").out, process=deploying
    )
    before = workplace.writes()
    busy.unlink()
    _, complaint = deploying.communicate(timeout=120)

    assert "busy with job 7 of r1n01" in str(plan.json["nodes"][0]["notes"])
    assert 0 == before
    assert 0 == deploying.returncode, complaint
    assert {"r1n01": "2.0.0"} == workplace.installed()


def test_what_hold_refuses(workplace: Workplace) -> None:
    """A time that is past, or none, and a node that is not there are usage errors."""
    past = workplace.run("hold", "r1n01", "--reason", "x", "--until", "2001-01-01")
    odd = workplace.run("hold", "r1n01", "--reason", "x", "--until", "soon")
    unknown = workplace.run("hold", "r9n99", "--reason", "x")

    assert (2, 2, 2) == (past.code, odd.code, unknown.code)
    assert "that time is past" in past.err
    assert "neither a span" in odd.err
