"""Going back over the wire: a wave, a rollout, one component, and a rollout under way."""

from __future__ import annotations

import pytest

from workplace import Workplace


def versions(workplace: Workplace) -> list[str]:
    """The BIOS of each machine, in order."""
    return [version for _, version in sorted(workplace.installed().items())]


@pytest.fixture
def rolled_out(workplace: Workplace) -> Workplace:
    """Four nodes that a rollout in three waves brought from A.1 to A.2."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1")
    workplace.publish("A.2")
    done = workplace.run("deploy", "A.2")
    assert 0 == done.code, done.err
    return workplace


def newest(workplace: Workplace) -> str:
    """The id of the newest rollout."""
    return str(workplace.run("rollout", "list", "--json").json[-1]["rollout"])


def test_a_wave_and_then_the_whole_rollout_go_back(rolled_out: Workplace) -> None:
    """One wave first; then the rest of the rollout, without those that are back already."""
    rollout = newest(rolled_out)
    wave = rolled_out.run("rollback", "--rollout", rollout, "--wave", "1", "--json")
    between = versions(rolled_out)
    rest = rolled_out.run("rollback", "--rollout", rollout, "--nodes", "r1n[01,04]", "--json")
    strange = rolled_out.run("rollback", "--rollout", rollout, "--nodes", "r1n01")
    none = rolled_out.run("rollback", "--rollout", rollout)

    assert 0 == wave.code, wave.err
    assert ["2.0.0", "1.0.0", "1.0.0", "2.0.0"] == between
    assert 0 == rest.code, rest.err
    assert ["1.0.0"] * 4 == versions(rolled_out)
    assert (2, True) == (strange.code, "left none of these on A.2: r1n01" in strange.err)
    assert (2, True) == (none.code, "nothing to bring back" in none.err)
    assert 0 == rolled_out.truth()["totals"]["double_flashes"]


def test_a_roll_back_is_refused_as_a_whole_with_every_reason(rolled_out: Workplace) -> None:
    """Two nodes of four cannot: both are named, and the others are not touched either."""
    rolled_out.run("hold", "r1n02", "--reason", "memory is swapped")
    writes = rolled_out.writes()
    refused = rolled_out.run("rollback", "--rollout", newest(rolled_out))
    narrowed = rolled_out.run("rollback", "--rollout", newest(rolled_out), "--nodes", "r1n01")

    assert 1 == refused.code
    assert "1 of 4 nodes cannot be brought back" in refused.err
    assert "memory is swapped" in refused.err
    assert 0 == narrowed.code, narrowed.err
    assert 1 == rolled_out.writes() - writes


def test_one_component_goes_back_and_is_neither_drift_nor_undone(rolled_out: Workplace) -> None:
    """What is assigned stays; status tells the exception, drift finds none, the same bundle again writes nothing."""
    back = rolled_out.run("rollback", "A", "--nodes", "r1n02", "--component", "BIOS", "--reason", "it hangs", "--json")
    writes = rolled_out.writes()
    looked = rolled_out.run("status", "--nodes", "r1n02", "--look", "--json").json[0]
    again = rolled_out.run("deploy", "A.2", "--nodes", "r1n02", "--detailed-exit-code")
    twice = rolled_out.run("rollback", "A", "--nodes", "r1n02", "--component", "BIOS", "--reason", "x")
    told = rolled_out.run("status", "--nodes", "r1n02").out

    assert 0 == back.code, back.err
    assert ("A.2", "1.0.0") == (back.json[0]["assigned"]["A"], rolled_out.installed()["r1n02"])
    assert {"A": []} == looked["drift"]
    assert [("BIOS", "1.0.0", "A.1", "it hangs")] == [
        (b["component"], b["version"], b["bundle"], b["reason"]) for b in looked["set_back"]
    ]
    assert (3, 0) == (again.code, rolled_out.writes() - writes), again.err
    assert (1, True) == (twice.code, "BIOS has what A.1 has for it: 1.0.0" in twice.err)
    assert "BIOS is set back to 1.0.0 of A.1" in told


def test_a_rollout_under_way_is_aborted_and_brings_back_what_it_did(workplace: Workplace) -> None:
    """The process that runs it does so, and ends with it; where nobody runs it, the one that aborts does."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1")
    workplace.publish("A.2")
    for killed in (False, True):
        deploying = workplace.start("deploy", "A.2", "--approval", "after-canary", "--json")
        workplace.wait_until(
            lambda: "wave 1 waits for approval" in workplace.run("rollout", "list").out, process=deploying
        )
        if killed:
            deploying.kill()
        aborted = workplace.run("rollout", "abort", newest(workplace), "--reason", "no", "--roll-back", "--json")
        deploying.communicate(timeout=60)
        shown = workplace.run("rollout", "show", newest(workplace), "--json").json

        assert (0 if killed else 5) == aborted.code, aborted.err
        assert "aborted" == shown["result"]
        assert ["rolled-back"] + ["not-started"] * 3 == [node["result"] for node in shown["nodes"]]
        assert ["1.0.0"] * 4 == versions(workplace)


def test_no_more_nodes_go_back_at_once_than_policy_lets_be_away(rolled_out: Workplace) -> None:
    """With wave_most = 1 each of three nodes is back before the next is touched; --at-once takes them together."""
    text = rolled_out.inventory.read_text()
    rolled_out.inventory.write_text(text.replace("[policy]\n", "[policy]\nwave_most = 1\n"))
    back = rolled_out.run("rollback", "A", "--nodes", "r1n[02-04]", "--json")
    events = [
        (each["event"], each["node"])
        for each in rolled_out.run("history", "--json").json
        if each["event"] in ("RecoveryRequested", "RecoveryEnded")
    ]
    rolled_out.run("deploy", "A.2", "--nodes", "r1n[02-04]", "--canary", "0", "--waves", "1")
    together = rolled_out.run("rollback", "A", "--nodes", "r1n[02-04]", "--at-once", "--json")

    assert 0 == back.code, back.err
    assert [(event, f"r1n0{node}") for node in (2, 3, 4) for event in ("RecoveryRequested", "RecoveryEnded")] == events
    assert 0 == together.code, together.err
    assert ["2.0.0", "1.0.0", "1.0.0", "1.0.0"] == versions(rolled_out)


@pytest.mark.lab(nodes=2)
def test_an_abort_that_cannot_bring_back_all_is_refused_and_the_rollout_goes_on(workplace: Workplace) -> None:
    """The canary has no prior bundle: it is named, nothing is aborted; without --roll-back it is."""
    workplace.make_bundles("A.1", "A.2")
    deploying = workplace.start("deploy", "A.2", "--no-way-back", "all", "--approval", "after-canary")
    workplace.wait_until(lambda: "wave 1 waits for approval" in workplace.run("rollout", "list").out, process=deploying)
    rollout = newest(workplace)
    both = workplace.run("rollout", "abort", rollout, "--reason", "no", "--roll-back", "--now", "--yes")
    refused = workplace.run("rollout", "abort", rollout, "--reason", "no", "--roll-back")
    still = workplace.run("rollout", "show", rollout, "--json").json
    aborted = workplace.run("rollout", "abort", rollout, "--reason", "no")
    deploying.communicate(timeout=60)

    assert 2 == both.code
    assert (1, True) == (refused.code, "r1n01: it has no prior bundle" in refused.err)
    assert still["result"] is None
    assert 5 == aborted.code, aborted.err
    assert ["2.0.0", "1.0.0"] == versions(workplace)
