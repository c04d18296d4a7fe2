"""A rack that runs already is taken in as it is found, over the wire: what is known of it is the way back."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest

from rackwave_emulators.images import make_image
from workplace import Workplace


def firmware(workplace: Workplace, *versions: str) -> Path:
    """A folder with the BIOS images that an operator has kept."""
    folder = workplace.directory / "kept"
    folder.mkdir(exist_ok=True)
    for version in versions:
        name = f"bios-{version}.bin"
        make_image(folder / name, component="BIOS", version=version, size=4096)
        (folder / f"{name}.toml").write_text(f'component = "BIOS"\nversion = "{version}"\n')
    return folder


def test_a_deployment_that_fails_goes_back_to_what_was_found(workplace: Workplace) -> None:
    """The machine whose flash breaks off is on the image that its operator has kept, by itself."""
    workplace.make_bundles("A.1")
    kept = firmware(workplace, "1.0.0", "0.9.0")
    assert 0 == workplace.run("adopt", "A", "--from", str(kept), "--dry-run").code
    adopted = workplace.run("adopt", "A", "--from", str(kept), "--json")
    again = workplace.run("adopt", "A", "--from", str(kept), "--json")
    workplace.publish("A.2")
    workplace.inject("r1n01", {"fault": "flash-fails", "leaves": "corrupt"})
    done = workplace.run("deploy", "A.2", "--canary", "0", "--waves", "1", "--failure-budget", "4")

    assert 0 == adopted.code, adopted.out + adopted.err
    assert ("A.0", [True] * 4) == (adopted.json["bundle"], [each["adopted"] for each in adopted.json["nodes"]])
    assert ["it carries A.0 already"] * 4 == [each["left"] for each in again.json["nodes"]]
    assert 4 == done.code, done.err
    assert {"r1n01": "1.0.0", "r1n02": "2.0.0", "r1n03": "2.0.0", "r1n04": "2.0.0"} == workplace.installed()
    assert "A.0" == workplace.run("status", "--nodes", "r1n01", "--json").json[0]["assigned"]["A"]
    states = {each["bundle"]: each["state"] for each in workplace.run("bundle", "list", "--json").json}
    assert {"A.0": "archive", "A.1": "archive", "A.2": "current"} == states


def test_what_no_image_is_known_of_is_missing_for_the_way_back(workplace: Workplace) -> None:
    """Nothing is published, each component is named, and a deployment asks for consent as before."""
    workplace.make_bundles("A.1", "A.2")
    kept = firmware(workplace, "0.5.0")
    (kept / "notes.txt").write_text("what I did in 2019")
    done = workplace.run("adopt", "A", "--from", str(kept), "--json")
    refused = workplace.run("deploy", "A.2")

    # A.1 holds BIOS 1.0.0, which is what runs: it is known after all.
    assert 0 == done.code, done.err
    assert ["notes.txt"] == [line.partition(":")[0] for line in done.json["unused"]]
    assert 0 == refused.code, refused.err


@pytest.mark.lab(nodes=2, personality="plain")
def test_nothing_is_known(workplace: Workplace) -> None:
    """The lineage's only bundle brings another version than what runs."""
    workplace.make_bundles("A.2")
    done = workplace.run("adopt", "A", "--json")
    shown = workplace.run("adopt", "A")
    refused = workplace.run("deploy", "A.2")

    assert (1, None) == (done.code, done.json["bundle"])
    assert [["BIOS", "1.0.0"]] * 2 == [
        [each["missing"][0]["what"], each["missing"][0]["have"]] for each in done.json["nodes"]
    ]
    assert "no image of BIOS 1.0.0" in shown.out
    assert "no way back for bios" in refused.err
    assert ["A.2"] == [each["bundle"] for each in workplace.run("bundle", "list", "--json").json]
    assert 0 == workplace.writes()


def test_an_empty_state_says_what_is_wanted(workplace: Workplace) -> None:
    """Neither a bundle nor an image says what to look at."""
    workplace.make_bundles()
    kept = firmware(workplace, "1.0.0")
    (kept / "bios-1.0.0.bin.toml").write_text("component = 5")
    done = workplace.run("adopt", "A")
    spoilt = workplace.run("adopt", "A", "--from", str(kept))

    assert (2, True) == (spoilt.code, "not used: bios-1.0.0.bin: " in spoilt.err), spoilt.err
    assert (2, True) == (done.code, "nothing says what to look at" in done.err)
    assert "Traceback" not in done.err


def test_machines_that_run_other_versions_go_back_each_to_its_own(workplace: Workplace) -> None:
    """Somebody brought one of them to another BIOS before; one bundle holds both."""
    workplace.make_bundles("A.1", "A.2")
    theirs = workplace.directory / "theirs"
    shutil.copytree(workplace.state, theirs)
    words = ("--state", str(theirs), "deploy", "A.2", "--nodes", "r1n02", "--no-way-back", "all")
    assert 0 == workplace.run(*words).code
    adopted = workplace.run("adopt", "A", "--nodes", "r1n[01-02]", "--json")
    source = workplace.directory / "source" / "lab-bios" / "A.3"
    shutil.copytree(workplace.directory / "source" / "lab-bios" / "A.2", source)
    image = next(source.glob("*.bin"))
    make_image(image, component="BIOS", version="3.0.0", size=8192)
    manifest = source / "bundle.toml"
    manifest.write_text(manifest.read_text().replace("seq = 2", "seq = 3").replace('"2.0.0"', '"3.0.0"'))
    workplace.build(source)
    workplace.publish("A.3")
    for node in ("r1n01", "r1n02"):
        workplace.inject(node, {"fault": "bad-health", "component": "BIOS", "version": "3.*"})
    done = workplace.run("deploy", "A.3", "--nodes", "r1n[01-02]", "--canary", "0", "--failure-budget", "2")

    assert 0 == adopted.code, adopted.out + adopted.err
    assert 4 == done.code, done.err
    assert ["1.0.0", "2.0.0"] == list(workplace.installed().values())[:2]
    assert ["A.0", "A.0"] == [
        each["assigned"]["A"] for each in workplace.run("status", "--nodes", "r1n[01-02]", "--json").json
    ]


@pytest.mark.lab(nodes=2, personality="idrac")
def test_what_the_machine_keeps_is_a_way_back(workplace: Workplace) -> None:
    """An iDRAC keeps what ran before: nobody has an image of it, and a deployment that fails goes back all the same."""
    workplace.make_bundles("A.2")
    adopted = workplace.run("adopt", "A", "--json")
    shown = workplace.run("plan", "A.2", "--json")
    odds = ("--fail", "100%", "--die", "0", "--trouble", "0", "--flash", "1", "--post", "1", "--seeds", "12")
    forecast = workplace.run("simulate", "A.2", "--canary", "0", "--failure-budget", "2", *odds, "--json")
    workplace.inject("r1n01", {"fault": "bad-health", "component": "BIOS", "version": "2.*"})
    done = workplace.run("deploy", "A.2", "--canary", "0", "--waves", "1", "--failure-budget", "2")

    back, aside = (sum(each[how] for each in forecast.json["outcomes"]) for how in ("rolled_back", "quarantined"))
    assert min(back, aside) > 0, "a flash that broke off is for a person, all else goes back"
    assert 0 == adopted.code, adopted.out + adopted.err
    assert [[{"component": "BIOS", "version": "1.0.0"}]] * 2 == [each["kept"] for each in adopted.json["nodes"]]
    assert [[]] * 2 == [each["no_way_back"] for each in shown.json["nodes"]]
    assert 4 == done.code, done.out + done.err
    assert {"r1n01": "1.0.0", "r1n02": "2.0.0"} == workplace.installed()
    assert "switch BIOS 2.0.0 -> 1.0.0, which is in its other bank" in workplace.run("history", "r1n01").out
    assert 0 == workplace.run("history", "verify").code


@pytest.mark.lab(nodes=2, slow=(1, 0.7))
def test_a_node_that_a_rollout_takes_meanwhile_is_left_to_it(workplace: Workplace) -> None:
    """While the other machine is still read, the first is brought to A.2: it is not written down as found before."""
    workplace.make_bundles("A.1", "A.2")
    adopting = workplace.start("adopt", "A", "--json")

    def is_first_read() -> bool:
        first = workplace.truth()["nodes"]["r1n01"]
        return first["sessions_opened"] > 0 and first["sessions_open"] == 0

    assert workplace.wait_until(is_first_read, process=adopting), "both were read too soon to show anything"
    adopting.send_signal(signal.SIGSTOP)
    deployed = workplace.run("deploy", "A.2", "--nodes", "r1n01", "--no-way-back", "all")
    adopting.send_signal(signal.SIGCONT)
    out, complaint = adopting.communicate(timeout=60)
    told = {each["node"]: (each["adopted"], each["left"]) for each in json.loads(out)["nodes"]}

    assert 0 == deployed.code, deployed.err
    assert {"r1n01": (False, "it carries A.2 already"), "r1n02": (True, None)} == told, complaint
    assert "A.2" == workplace.run("status", "--nodes", "r1n01", "--json").json[0]["assigned"]["A"]


@pytest.mark.lab(nodes=2, personality="plain")
def test_a_damaged_bundle_to_go_back_to_is_a_reason_and_ends_no_plan(workplace: Workplace) -> None:
    """Its manifest is gone: each node is refused for that, by name, until somebody consents."""
    workplace.make_bundles("A.1")
    assert 0 == workplace.run("adopt", "A").code
    workplace.publish("A.2")
    digest = workplace.run("bundle", "show", "A.0", "--json").json["digest"]
    (workplace.state / "repository" / "blobs" / "sha256" / digest.removeprefix("sha256:")).unlink()
    done = workplace.run("plan", "A.2", "--json")

    assert (1, 2) == (done.code, len(done.json["refusals"])), done.err
    assert all("no way back for bios" in each["reason"] for each in done.json["refusals"])
