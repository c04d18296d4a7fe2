"""The watch as a service runs it, on a rack over the wire."""

from __future__ import annotations

import json
import signal

import pytest

from processes import to_its_end
from workplace import Workplace

WATCH = """
[watch]
soonest = 1
latest = 2
dead_after = 1
"""


@pytest.mark.lab(nodes=2)
def test_a_machine_that_dies_comes_back_by_itself_and_sigterm_ends_the_watch(workplace: Workplace) -> None:
    """No rollout runs and nobody looks; what is said is a document a line, and status says since when."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1")
    workplace.inventory.write_text(workplace.inventory.read_text() + WATCH)
    watching = workplace.start("watch", "--json")
    workplace.wait_until(lambda: "level" in workplace.run("status", "--json").out, process=watching)
    workplace.inject("r1n02", {"fault": "host-dead", "revived_by": "reflash", "power_off": True})
    workplace.wait_until(
        lambda: (
            "recovered on A.1" in workplace.run("history", "r1n02").out
            and "complete" == workplace.run("status", "--nodes", "r1n02", "--json").json[0]["sightings"]["post"]["is"]
        ),
        process=watching,
    )
    watching.send_signal(signal.SIGTERM)
    out, complaint = to_its_end(watching)
    lines = [json.loads(line) for line in out.splitlines()]
    power = [line["after"] for line in lines if line["node"] == "r1n02" and line["what"] == "power"]
    recoveries = [line["node"] for line in lines if line["event"] == "RecoveryRequested"]

    assert 0 == watching.returncode, complaint
    assert "safe point" in complaint
    assert ["r1n02"] == recoveries
    assert ["on", "off", "on"] == [word for word in power if word in ("on", "off")]
    assert 1 == workplace.writes()


@pytest.mark.lab(nodes=1)
def test_a_machine_that_is_switched_off_by_hand_stays_off(workplace: Workplace) -> None:
    """One round of the watch says so and ends with 4; once it is switched on again, with 0."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1")
    workplace.inventory.write_text(workplace.inventory.read_text() + WATCH)
    workplace.run("power", "r1n01", "off", "--yes")
    off = workplace.run("watch", "--once")
    workplace.run("power", "r1n01", "on", "--yes")
    workplace.wait_until(lambda: "complete" == workplace.run("status", "--look", "--json").json[0]["seen"]["post"])
    on = workplace.run("watch", "--once")

    assert 4 == off.code, off.err
    assert "left alone: it was switched off by" in off.out
    assert "power off since" in off.out
    assert 0 == on.code, (on.out, on.err)
