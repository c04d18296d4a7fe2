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
def test_a_machine_that_dies_comes_back_though_the_watch_is_killed_and_sigterm_ends_it(workplace: Workplace) -> None:
    """No rollout runs and nobody looks; what is said is a document a line, and the next watch finishes it."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1")
    workplace.inventory.write_text(workplace.inventory.read_text() + WATCH)
    killed = workplace.start("watch", "--json")
    workplace.wait_until(lambda: "level" in workplace.run("status", "--json").out, process=killed)
    workplace.inject("r1n02", {"fault": "host-dead", "revived_by": "reflash", "power_off": True})
    workplace.wait_until(lambda: "rung 1" in workplace.run("history", "r1n02").out, process=killed)
    killed.kill()
    said, _ = killed.communicate()
    watching = workplace.start("watch", "--json")
    workplace.wait_until(
        lambda: (
            "recovered on A.1" in workplace.run("history", "r1n02").out
            and "complete" == workplace.run("status", "--nodes", "r1n02", "--json").json[0]["sightings"]["post"]["is"]
        ),
        process=watching,
    )
    watching.send_signal(signal.SIGTERM)
    out, complaint = to_its_end(watching)
    lines = [json.loads(line) for line in (said + out).splitlines()]
    power = [line["after"] for line in lines if line["node"] == "r1n02" and line["what"] == "power"]

    assert 0 == watching.returncode, complaint
    assert "safe point" in complaint
    assert ["r1n02"] == [line["node"] for line in lines if line["event"] == "RecoveryRequested"]
    assert ["on", "off", "on"] == [word for word in power if word in ("on", "off")]
    assert 1 == workplace.writes()
    assert 0 == workplace.truth()["totals"]["sessions_open"]


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


@pytest.mark.lab(nodes=2)
def test_a_rollout_and_a_person_go_their_way_beside_a_watch(workplace: Workplace) -> None:
    """It lets go of nodes that others work on, and takes no restart of theirs for a death; each ends as without it."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1")
    workplace.publish("A.2")
    workplace.inventory.write_text(workplace.inventory.read_text() + WATCH)
    watching = workplace.start("watch", "--json")
    workplace.wait_until(lambda: "level" in workplace.run("status", "--json").out, process=watching)
    rolled_out = workplace.run("deploy", "A.2", "--no-way-back", "all")
    cycled = workplace.run("power", "r1n01", "cycle", "--yes")
    looked = workplace.run("status", "--look")
    workplace.wait_until(
        lambda: all(
            ("level", "complete") == (each["sightings"]["drift A"]["is"], each["sightings"]["post"]["is"])
            for each in workplace.run("status", "--json").json
        ),
        process=watching,
    )
    watching.send_signal(signal.SIGTERM)
    out, complaint = to_its_end(watching)
    happened = [each["event"] for each in workplace.run("history", "--json").json]

    assert (0, 0, 0) == (rolled_out.code, cycled.code, looked.code), (rolled_out.err, cycled.err)
    assert 0 == watching.returncode, complaint
    assert "RecoveryRequested" not in happened
    assert {"r1n01": "2.0.0", "r1n02": "2.0.0"} == workplace.installed()
    assert 0 == workplace.truth()["totals"]["sessions_open"]
    assert out


@pytest.mark.lab(nodes=1)
def test_sigterm_counts_also_where_nobody_reads_any_more(workplace: Workplace) -> None:
    """A log collector that died must not make a service deaf to its manager."""
    watching = workplace.start("watch")
    workplace.wait_until(lambda: "answers" in workplace.run("status", "--json").out, process=watching)
    assert watching.stderr is not None
    watching.stderr.close()
    watching.send_signal(signal.SIGTERM)

    assert 0 == watching.wait(30)
    assert 0 == workplace.truth()["totals"]["sessions_open"]
    assert watching.stdout is not None
    watching.stdout.close()
