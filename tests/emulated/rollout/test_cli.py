"""The command line on a rack over the wire: what an operator does, and what comes of mistakes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from workplace import Workplace

BAD_FLASH = {"fault": "flash-fails", "percent": 40}


def test_a_rollout_brings_every_node_to_the_new_bundle(workplace: Workplace) -> None:
    """Deploy of A.2 on nodes that carry A.1 ends with 0 and every machine really holds the new image, flashed once."""
    workplace.make_bundles("A.1")
    first = workplace.run("deploy", "A.1")
    workplace.publish("A.2")

    done = workplace.run("deploy", "A.2", "--json")
    truth = workplace.truth()

    assert 0 == first.code, first.err
    assert 0 == done.code, done.err
    assert "done" == done.json["result"]
    assert {"on-new"} == {node["result"] for node in done.json["nodes"]}
    assert {"2.0.0"} == set(workplace.installed().values())
    assert (4, 0, 0) == tuple(truth["totals"][key] for key in ("flashes", "double_flashes", "sessions_open"))


def test_a_failed_flash_is_rolled_back_by_itself(workplace: Workplace) -> None:
    """A node whose flash fails ends on its prior bundle, the others on the new one, and the exit code is 4."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1")
    workplace.publish("A.2")
    workplace.inject("r1n03", {**BAD_FLASH, "leaves": "corrupt"})

    done = workplace.run("deploy", "A.2", "--json")

    assert 4 == done.code, done.err
    assert {"r1n01": "2.0.0", "r1n02": "2.0.0", "r1n03": "1.0.0", "r1n04": "2.0.0"} == workplace.installed()
    assert "rolled-back" == {n["node"]: n["result"] for n in done.json["nodes"]}["r1n03"]
    assert 0 == workplace.truth()["totals"]["double_flashes"]


def test_a_failed_canary_stops_the_rollout(workplace: Workplace) -> None:
    """When the canary fails no other node is touched."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1")
    workplace.publish("A.2")
    workplace.inject("r1n01", BAD_FLASH)

    done = workplace.run("deploy", "A.2", "--json")

    assert 4 == done.code, done.err
    assert "stopped" == done.json["result"]
    assert {"1.0.0"} == set(workplace.installed().values())
    assert 2 == workplace.truth()["nodes"]["r1n01"]["flashes"]  # the one that failed, and the way back
    assert 0 == workplace.truth()["nodes"]["r1n02"]["flashes"]


@pytest.mark.lab(nodes=3, personality="openbmc")
def test_images_are_pushed_where_the_bmc_cannot_pull(workplace: Workplace) -> None:
    """On a BMC with multipart push only, the same rollout ends well, and the image server is not asked."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1")
    workplace.publish("A.2")

    done = workplace.run("deploy", "A.2", "--json")
    sources = {write["source"] for node in workplace.truth()["nodes"].values() for write in node["writes"]}

    assert 0 == done.code, done.err
    assert {"push"} == sources
    assert {"2.0.0"} == set(workplace.installed().values())


def test_settings_are_staged_and_become_effective(workplace: Workplace) -> None:
    """A bundle of BIOS settings is staged, takes one restart, and is read back."""
    workplace.make_bundles("S.1", "S.2", example="bios-settings")

    done = workplace.run("deploy", "S.2", "--json")
    again = workplace.run("plan", "S.2", "--detailed-exit-code")
    node = workplace.truth()["nodes"]["r1n02"]

    assert 0 == done.code, done.err
    assert 1 == node["resets"]["host"]
    assert 3 == again.code, again.out + again.err


@pytest.mark.lab(nodes=2)
@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ('SysProfile = "Fastest"', "SysProfile cannot be 'Fastest'"),
        ('AcPwrRcvry = "Off"\nAcPwrRcvryDelay = 90', "AcPwrRcvryDelay is read-only while AcPwrRcvry is Off"),
    ],
)
def test_settings_that_cannot_be_set_are_refused_at_planning(
    workplace: Workplace, attributes: str, reason: str
) -> None:
    """A bundle with a value that the BIOS would refuse, alone or with the others, is refused before anything starts."""
    workplace.make_bundles("S.1", example="bios-settings")
    source = workplace.directory / "source" / "S.9"
    source.mkdir()
    (source / "bundle.toml").write_text(
        'lineage = "S"\nseq = 9\npurpose = "a mistake"\n[[elements]]\nname = "settings"\nkind = "bios-settings"\n'
        f'activation = "host-reset"\nreversibility = "reflash"\n[elements.attributes]\n{attributes}\n'
    )
    workplace.build(source)
    workplace.publish("S.9")

    planned = workplace.run("plan", "S.9")
    deployed = workplace.run("deploy", "S.9")

    assert reason in planned.out
    assert 1 == deployed.code
    assert reason in deployed.err
    assert 0 == workplace.truth()["nodes"]["r1n01"]["resets"]["host"]


def test_plan_touches_nothing_and_says_when_nothing_is_to_be_done(workplace: Workplace) -> None:
    """Plan exits with 0 while there is work, with 3 under --detailed-exit-code when there is none, and acts never."""
    workplace.make_bundles("A.1")
    before = workplace.run("plan", "A.1", "--detailed-exit-code")
    workplace.run("deploy", "A.1")
    after = workplace.run("plan", "A.1", "--detailed-exit-code", "--json")
    deployed = workplace.run("deploy", "A.1", "--detailed-exit-code")

    assert 0 == before.code, before.err  # level, and yet to be committed
    assert 3 == after.code, after.err
    assert after.json["nothing_to_do"] is True
    assert 3 == deployed.code, deployed.err
    assert 0 == workplace.writes()


def test_a_node_without_a_way_back_is_refused_before_anything_starts(workplace: Workplace) -> None:
    """The first bundle ever that would write is refused with the reason; --no-way-back consents."""
    workplace.make_bundles("A.1", "A.2")

    refused = workplace.run("deploy", "A.2")
    untouched = workplace.writes()
    agreed = workplace.run("deploy", "A.2", "--no-way-back", "bios", "--nodes", "r1n[01-02]")

    assert 1 == refused.code
    assert "no way back" in refused.err
    assert 0 == untouched
    assert 0 == agreed.code, agreed.err
    assert {"r1n01": "2.0.0", "r1n02": "2.0.0", "r1n03": "1.0.0", "r1n04": "1.0.0"} == workplace.installed()


def test_rollback_and_recover_on_request(workplace: Workplace) -> None:
    """An operator's roll-back brings the prior bundle; recover brings a dead host back on what it carries."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1")
    workplace.publish("A.2")
    workplace.run("deploy", "A.2")

    back = workplace.run("rollback", "A", "--nodes", "r1n02", "--json")
    workplace.inject("r1n04", {"fault": "host-dead"})
    revived = workplace.run("recover", "A", "--nodes", "r1n04", "--json")
    truth = workplace.truth()["nodes"]

    assert 0 == back.code, back.err
    assert {"A": "A.1"} == back.json[0]["assigned"]
    assert "1.0.0" == workplace.installed()["r1n02"]
    assert 0 == revived.code, revived.err
    assert {"A": "A.2"} == revived.json[0]["assigned"]
    assert ("complete", "ok", "2.0.0") == (
        truth["r1n04"]["post"],
        truth["r1n04"]["health"],
        truth["r1n04"]["installed"]["BIOS"]["version"],
    )
    assert 0 == workplace.truth()["totals"]["double_flashes"]


def test_history_tells_what_ran_on_which_evidence(workplace: Workplace) -> None:
    """The history of a node names the bundle, the way the image went and what showed that it was done."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1")
    workplace.publish("A.2")
    workplace.run("deploy", "A.2", "--nodes", "r1n01")

    told = workplace.run("history", "r1n01")
    events = workplace.run("history", "--json").json

    assert 0 == told.code
    for words in ("write BIOS 1.0.0 -> 2.0.0", "accepted by SimpleUpdate", "ended well", "A.2 is committed"):
        assert words in told.out
    assert sorted(range(1, len(events) + 1)) == [event["number"] for event in events]
    rollouts = [each["rollout"] for each in workplace.run("rollout", "list", "--json").json]
    begun = {each["attempt"]: each["rollout"] for each in events if each["event"] == "AttemptStarted"}
    assert rollouts[-1] in begun.values()
    assert set(begun) == {each["attempt"] for each in events if each["attempt"] is not None}


MISTAKES = [
    (("deploy", "A.9"), 1, "there is no bundle A.9"),
    (("deploy", "what"), 2, "is not a bundle id"),
    (("deploy", "A.1", "--nodes", "r9n99"), 2, "Not in the inventory"),
    (("plan", "A.1", "--nodes", "r[1-"), 2, ""),
    (("status", "--nodes", "rack=r77"), 2, "selects no node"),
    (("rollback", "A", "--nodes", "@all"), 1, "carries no bundle"),
    (("recover", "B", "--nodes", "@all"), 1, "carries no bundle"),
    (("rollback", "--rollout", "0"), 2, "no rollout 0"),
    (("rollback", "A", "--nodes", "@all", "--component", "BIOS"), 2, "--component goes with --reason"),
    (("rollback", "A"), 2, "Missing option '-n' / '--nodes'"),
    (("recover", "A"), 2, "Missing option '-n' / '--nodes'"),
    (("rollout", "show", "nope"), 2, "there is no rollout"),
    (("bundle", "publish", "."), 1, ""),
    (("nonsense",), 2, "No such command"),
    (("discover", "127.0.0.1:1"), 0, "No Redfish service answers at 127.0.0.1:1."),
    (("--inventory", "absent.toml", "status"), 2, "there is no inventory"),
    (("--state", "/dev/null", "status"), 1, "cannot be used"),
    (("bundle", "build", "source/lab-bios/A.1", "--out", "/proc/built"), 1, "cannot be written to"),
    (("readmit", "r1n09", "--reason", "x"), 2, "Not in the inventory"),
]


def test_mistakes_get_a_sentence_and_no_traceback(workplace: Workplace) -> None:
    """Whatever an operator gets wrong ends in an exit code and a sentence with what to try, never in a traceback."""
    workplace.make_bundles("A.1")
    for words, code, sentence in MISTAKES:
        done = workplace.run(*words)

        assert code == done.code, (words, done.err)
        assert sentence in done.err, (words, done.err)
        assert "Traceback" not in done.err, (words, done.err)
        assert done.err.strip(), words


def test_a_damaged_payload_is_refused_before_anything_starts(workplace: Workplace) -> None:
    """Plan and deploy hash what is to be written, and refuse each node that would get damaged bytes."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1")
    workplace.publish("A.2")
    (payload,) = workplace.run("bundle", "show", "A.2", "--json").json["manifest"]["payloads"]
    blob = workplace.state / "repository" / "blobs" / "sha256" / payload["digest"].removeprefix("sha256:")
    blob.chmod(0o644)
    blob.write_bytes(bytes([blob.read_bytes()[0] ^ 1]) + blob.read_bytes()[1:])

    planned = workplace.run("plan", "A.2", "--json")
    done = workplace.run("deploy", "A.2")

    assert (1, 4) == (planned.code, len(planned.json["refusals"]))
    assert 1 == done.code, done.err
    assert "holds other bytes" in done.err
    assert 1 == len(workplace.run("rollout", "list", "--json").json)
    assert 0 == workplace.writes()


def test_a_lost_journal_is_not_begun_anew(workplace: Workplace) -> None:
    """Where BMCs were served and the journal is gone, nothing is said or done as if no write had ever begun."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1")
    workplace.publish("A.2")
    workplace.run("deploy", "A.2", "--nodes", "r1n01")
    for path in workplace.state.glob("journal.sqlite*"):
        path.unlink()

    refused = [workplace.run(*words) for words in (("status",), ("deploy", "A.2", "--no-way-back", "all"))]

    assert [1, 1] == [done.code for done in refused]
    assert all("is gone" in done.err and "Traceback" not in done.err for done in refused)
    assert 1 == workplace.writes()


def test_history_and_release_take_several_nodes(workplace: Workplace) -> None:
    """What is asked of several nodes is told of all of them, and of no other."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1")

    told = workplace.run("history", "r1n[01-02]", "--json")
    readmitted = workplace.run("readmit", "r1n[01-02]", "--reason", "looked at")

    assert {"r1n01", "r1n02"} == {event["node"] for event in told.json}
    assert 0 == readmitted.code, readmitted.err
    assert "None of them was in quarantine" in readmitted.out


def test_one_node_without_credentials_does_not_hide_the_others(workplace: Workplace) -> None:
    """A reference that does not resolve refuses its own node at planning; a look at the rack shows the rest."""
    workplace.make_bundles("A.1")
    text = workplace.inventory.read_text()
    workplace.inventory.write_text(text.replace('name = "r1n02"', 'name = "r1n02"\ncredentials = "env:ABSENT"'))

    planned = workplace.run("plan", "A.1", "--json")
    looked = workplace.run("status", "--look", "--json")

    assert ["r1n02"] == [refusal["node"] for refusal in planned.json["refusals"]]
    assert "ABSENT_USERNAME" in planned.json["refusals"][0]["reason"]
    assert 0 == looked.code, looked.err
    assert ["on", None, "on", "on"] == [node["seen"]["power"] for node in looked.json]


def test_a_wrong_password_is_refused_before_anything_starts(workplace: Workplace) -> None:
    """A refused login is not tried again and again (P34): the plan refuses the node and says what to check."""
    workplace.make_bundles("A.1")
    workplace.environment["LAB_PASSWORD"] = "not-the-password"

    planned = workplace.run("plan", "A.1", "--json")
    done = workplace.run("deploy", "A.1", "--nodes", "r1n02")
    status = workplace.run("status", "--nodes", "r1n02", "--look", "--json").json[0]

    assert 1 == planned.code
    assert 4 == len(planned.json["refusals"])
    assert 1 == done.code, done.err
    assert "credentials" in done.err
    assert ("unassigned", None) == (status["state"], status["seen"]["power"])


def test_recovered_on_the_prior_bundle_is_not_plain_success(workplace: Workplace) -> None:
    """A host that only another BIOS revives ends on its prior bundle: recover says so with exit code 4."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1")
    workplace.publish("A.2")
    workplace.run("deploy", "A.2", "--canary", "0", "--waves", "1")
    workplace.inject("r1n02", {"fault": "host-dead", "revived_by": "prior"})

    done = workplace.run("recover", "A", "--nodes", "r1n02", "--json")

    assert 4 == done.code, done.err
    assert {"A": "A.1"} == done.json[0]["assigned"]
    assert "1.0.0" == workplace.installed()["r1n02"]


def test_credentials_that_do_not_resolve_are_said_before_anything_is_begun(workplace: Workplace) -> None:
    """A roll-back whose credentials are gone ends with a sentence, and leaves no recovery behind."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1")
    workplace.publish("A.2")
    workplace.run("deploy", "A.2", "--canary", "0", "--waves", "1")
    password = workplace.environment.pop("LAB_PASSWORD")

    refused = workplace.run("rollback", "A", "--nodes", "r1n01")
    workplace.environment["LAB_PASSWORD"] = password
    status = workplace.run("status", "--nodes", "r1n01", "--json").json[0]

    assert 1 == refused.code
    assert "LAB_PASSWORD" in refused.err
    assert ("assigned", {"A": "A.2"}) == (status["state"], status["assigned"])


def test_reading_makes_and_writes_nothing(workplace: Workplace) -> None:
    """Commands that only tell leave no trace where nothing is yet."""
    reading = (("status", "--json"), ("history", "--json"), ("rollout", "list", "--json"))
    told = [workplace.run(*words) for words in reading]

    assert [0, 0, 0] == [done.code for done in told], told
    assert [4, 0, 0] == [len(done.json) for done in told]
    assert not workplace.state.exists()


def test_a_command_without_standard_streams_ends_as_it_would_with_them(workplace: Workplace) -> None:
    """A service manager may start it with none, and what it opens must not take their places."""
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-m", "rackwave", "status"]
    done = subprocess.run(command, cwd=workplace.directory, env=workplace.environment, timeout=60, check=False)

    assert 0 == done.returncode


def test_a_rollout_goes_on_though_nobody_reads_what_it_says(workplace: Workplace) -> None:
    """Whoever read its progress went away: it comes to its end all the same, and its exit code says so."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1")
    workplace.publish("A.2")
    deploying = workplace.start("deploy", "A.2")
    assert deploying.stderr is not None
    deploying.stderr.close()
    deploying.stderr = None
    out, _ = deploying.communicate(timeout=120)

    assert 0 == deploying.returncode
    assert "of A.2: done" in out
    assert {"2.0.0"} == set(workplace.installed().values())


def test_a_plan_that_was_read_is_applied_as_it_was_read_or_not_at_all(workplace: Workplace) -> None:
    """Saved, read, applied; where a node was changed meanwhile, nothing is touched and it is named."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1")
    workplace.publish("A.2")
    saved = workplace.directory / "plan.json"
    saved.write_text(workplace.run("plan", "A.2", "--nodes", "r1n[01-03]", "--canary", "0", "--json").out)

    workplace.run("deploy", "A.2", "--nodes", "r1n02")
    writes = workplace.writes()
    stale = workplace.run("deploy", "--plan", str(saved))
    untouched = workplace.writes() - writes
    workplace.run("rollback", "A", "--nodes", "r1n02")
    applied = workplace.run("deploy", "--plan", str(saved), "--json")
    both = workplace.run("deploy", "A.2", "--plan", str(saved))

    assert (1, 0) == (stale.code, untouched), stale.err
    assert "the plan is stale: 1 of 3" in stale.err
    assert "r1n02: it was to write BIOS 1.0.0 -> 2.0.0" in stale.err
    assert 0 == applied.code, applied.err
    assert json.loads(saved.read_text())["waves"] == applied.json["waves"]
    assert "2.0.0" == workplace.installed()["r1n02"]
    assert (2, True) == (both.code, "--plan goes alone" in both.err)
