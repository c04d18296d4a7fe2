"""A rollout in one process, and an operator in another."""

from __future__ import annotations

import json
import sys

import pytest

from workplace import Workplace


@pytest.mark.lab(nodes=3)
def test_another_process_approves_pauses_and_aborts_a_rollout(workplace: Workplace) -> None:
    """The wave waits for approval, is let go on, is paused, and the rest is aborted: other nodes stay as they were."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1")
    workplace.publish("A.2")
    deploying = workplace.start("deploy", "A.2", "--approval", "each-wave", "--waves", "2", "--json")

    def shown() -> str:
        return workplace.run("rollout", "list").out

    workplace.wait_until(lambda: "wave 0 waits for approval" in shown(), process=deploying)
    rollout = workplace.run("rollout", "list", "--json").json[-1]["rollout"]
    approved = workplace.run("rollout", "approve", rollout[:4])
    workplace.wait_until(lambda: "wave 1 waits for approval" in shown(), process=deploying)
    paused = workplace.run("rollout", "pause", rollout, "--reason", "the shift ends", "--json")
    twice = workplace.run("rollout", "pause", rollout, "--reason", "x")
    early = workplace.run("rollout", "approve", rollout, "--wave", "0")
    aborted = workplace.run("rollout", "abort", rollout, "--reason", "wrong week")
    out, complaint = deploying.communicate(timeout=60)
    over = workplace.run("rollout", "abort", rollout, "--reason", "x")
    again = workplace.run("deploy", "A.2", "--nodes", "r1n03")

    assert 0 == approved.code, approved.err
    assert (True, True) == (paused.json["paused"], "the shift ends" in paused.json["waits"])
    assert (2, True) == (twice.code, "paused already" in twice.err)
    assert (2, True) == (early.code, "no wave 0 to come" in early.err)
    assert "ends once what is under way has ended" in aborted.out
    assert '"result": "aborted"' in out, complaint
    assert (2, True) == (over.code, "is over: aborted" in over.err)
    assert 0 == again.code, again.err
    assert {"r1n01": "2.0.0", "r1n02": "1.0.0", "r1n03": "2.0.0"} == workplace.installed()


@pytest.mark.lab(nodes=2)
def test_a_rollout_that_nobody_runs_is_aborted_at_once_where_nothing_is_under_way(workplace: Workplace) -> None:
    """Killed while it waits: the abort needs no process, and another bundle may follow."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1")
    workplace.publish("A.2")
    deploying = workplace.start("deploy", "A.2", "--approval", "each-wave")
    workplace.wait_until(lambda: "waits for approval" in workplace.run("rollout", "list").out, process=deploying)
    deploying.kill()
    deploying.communicate(timeout=60)
    rollout = workplace.run("rollout", "list", "--json").json[-1]["rollout"]
    asked = workplace.run("rollout", "abort", rollout, "--reason", "enough", "--now")
    shown = workplace.run("rollout", "show", rollout, "--json")

    assert 0 == asked.code, asked.err
    assert "is aborted" in asked.out
    assert ["not-started"] * 2 == [node["result"] for node in shown.json["nodes"]]
    assert 0 == workplace.writes()


@pytest.mark.lab(nodes=2)
def test_a_gate_of_the_operators_stops_a_rollout_after_its_canary(workplace: Workplace) -> None:
    """The command reads the rollout and says bad: its words are the reason, the second node is untouched."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1")
    workplace.publish("A.2")
    program = "import json, sys; print(json.load(sys.stdin)['nodes'][0]['result'], 'and hot'); sys.exit(1)"
    command = json.dumps([sys.executable, "-c", program])
    workplace.inventory.write_text(f"{workplace.inventory.read_text()}\n[gate]\ncommand = {command}\n")
    done = workplace.run("deploy", "A.2", "--json")

    assert 1 == done.code, done.err
    assert ("stopped", "the gate says that wave 1 may not begin: on-new and hot") == (
        done.json["result"],
        done.json["reason"],
    )
    assert {"r1n01": "2.0.0", "r1n02": "1.0.0"} == workplace.installed()
