"""``rackwave simulate``: what it prints, and how it ends."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoints
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
from attrs import frozen
from click.testing import CliRunner

from rackwave import simulated_rack
from rackwave.cli.app import cli
from rackwave.errors import PlanRefusedError, UsageError
from workplace import Workbench

INVENTORY = """
[defaults]
credentials = "env:LAB"

[[nodes]]
name = "n[1-6]"
bmc = "https://10.0.0.[1-6]"
"""
CONSENT = ("--no-way-back", "all")  # nothing was committed on any node


@frozen
class Desk:
    """Where commands are given."""

    place: Path

    def __call__(self, *words: str) -> Any:
        """Run ``rackwave simulate WORDS`` and return what it printed as JSON."""
        done = self.run(*words, "--json")
        assert done.exception is None, done.exception
        return json.loads(done.stdout)

    def run(self, *words: str) -> Any:
        """Run it and return how it ended."""
        known = ["--inventory", str(self.place / "rackwave.toml"), "--state", str(self.place / ".rackwave")]
        return CliRunner().invoke(cli, [*known, "simulate", *words], standalone_mode=False)


@pytest.fixture(scope="module")
def simulate(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Return a desk with A.1 and A.2 and six nodes on which nothing was ever committed."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "rackwave.toml").write_text(INVENTORY, "utf-8")
    Workbench(folder).make_bundles("A.1", "A.2")
    return Desk(folder)


def test_it_prints_what_the_schema_describes(simulate: Desk) -> None:
    """Every field is described, the seeds are told, and the counts add up."""
    found = simulate("A.2", *CONSENT, "--seeds", "4", "--fail", "20%", "--trouble", "0")

    jsonschema.validate(found, json.loads((files("rackwave.schemas") / "simulation.schema.json").read_text("utf-8")))
    assert ([1, 2, 3, 4], 6, [1, 3, 2]) == (found["seeds"], found["nodes"], found["waves"])
    assert {"fail": 0.2, "die": 0.001, "trouble": 0.0} == found["odds"]
    for each in found["outcomes"]:
        assert 6 == each["on_new"] + each["rolled_back"] + each["quarantined"] + each["not_started"]
    assert 0 == found["double_flashes"]


def test_one_seed_is_replayed(simulate: Desk) -> None:
    """To the same second, also by processes of its own."""
    options = ("A.2", *CONSENT, "--fail", "30%", "--trouble", "50%")
    all_of_them = simulate(*options, "--seeds", "3", "--jobs", "2")["outcomes"]

    assert [all_of_them[2]] == simulate(*options, "--seed", "3")["outcomes"]


def test_a_person_reads_a_chart_and_the_assumptions(simulate: Desk) -> None:
    """What is made up is said to be, and how the durations came about."""
    done = simulate.run("A.2", *CONSENT, "--seeds", "2", "--fail", "0", "--die", "0", "--trouble", "0", "--post", "60")

    assert done.return_value == 0
    assert "A.2 to 6 nodes in waves of 1, 3, 2; seeds 1 to 2" in done.stdout
    assert "nothing of A was ever committed on 6 nodes: what they have now is made up" in done.stdout
    assert "nobody knows how long a flash takes on 6 of 6 nodes" in done.stdout
    assert "nobody knows how long POST" not in done.stdout
    assert "█" in done.stdout
    assert "It goes through under 2 of 2 seeds" in done.stdout


def test_what_deploy_would_refuse_is_refused(simulate: Desk) -> None:
    """Without consent to having no way back, say: the exit code is that of a refused plan."""
    assert isinstance(simulate.run("A.2").exception, PlanRefusedError)
    assert isinstance(simulate.run("A.9", *CONSENT).exception, Exception)


@pytest.mark.parametrize(
    "words", [("--fail", "3"), ("--fail", "three"), ("--seeds", "0"), ("--seed", "1", "--seeds", "2"), ("--post", "0")]
)
def test_nonsense_is_a_usage_error(simulate: Desk, words: tuple[str, ...]) -> None:
    """Three nodes are no share, and one seed is not many."""
    assert isinstance(simulate.run("A.2", *CONSENT, *words).exception, click.UsageError | UsageError)


def test_without_a_lab_it_says_how_to_get_one(simulate: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machines are another package's."""
    monkeypatch.setattr(simulated_rack, "entry_points", lambda group: EntryPoints())

    error = simulate.run("A.2", *CONSENT).exception

    assert isinstance(error, UsageError)
    assert "not installed" in str(error)
    assert "pip install rackwave-emulators" in error.advice
