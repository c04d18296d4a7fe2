"""What ``--json`` prints is what its schema says."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from rackwave.cli.app import cli
from rackwave_emulators.clock import ScaledClock
from rackwave_emulators.lab import Lab
from rackwave_emulators.redfish.sessions import Account
from registry_server import NAME, serving
from workplace import PASSWORD, Workplace

SCHEMAS = {
    path.name.removesuffix(".schema.json"): json.loads(path.read_text("utf-8"))
    for path in files("rackwave.schemas").iterdir()
    if path.name.endswith(".schema.json")
}


def closed(schema: Any) -> Any:
    """*schema* without room for fields that it does not describe: ours must all be told of."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    return {**found, "additionalProperties": False} if "properties" in schema else found


def watched(workplace: Workplace) -> list[Any]:
    """What one round of the watch prints, which is a document a line."""
    words = ["--inventory", str(workplace.inventory), "--state", str(workplace.state), "watch", "--once", "--json"]
    done = CliRunner(env=workplace.environment).invoke(cli, words, standalone_mode=False)
    assert done.exception is None, done.exception
    return [json.loads(line) for line in done.stdout.splitlines()]


def taken(workplace: Workplace) -> Any:
    """A snapshot, which is printed as it is."""
    known = ["--inventory", str(workplace.inventory), "--state", str(workplace.state)]
    done = CliRunner(env=workplace.environment).invoke(cli, [*known, "snapshot"], standalone_mode=False)
    return json.loads(done.stdout)


def adopted(workplace: Workplace) -> Any:
    """What adopting prints where every node is taken in already, which is no success."""
    known = ["--inventory", str(workplace.inventory), "--state", str(workplace.state)]
    done = CliRunner(env=workplace.environment).invoke(cli, [*known, "adopt", "A", "--json"], standalone_mode=False)
    return json.loads(done.stdout)


@pytest.fixture
def printed(tmp_path: Path) -> Iterator[dict[str, list[Any]]]:
    """Real output of every command that has a schema, by schema: a rack is taken from A.1 to A.2 and back."""
    with Lab(
        2,
        clock=ScaledClock(1000),
        versions={"BIOS": "1.0.0"},
        directory=tmp_path / "lab",
        account=Account(password=PASSWORD),
    ) as lab:
        place = tmp_path / "work"
        place.mkdir()
        workplace = Workplace(place, lab)
        found: dict[str, list[Any]] = {name: [] for name in SCHEMAS}

        def rackwave(schema: str, *words: str) -> Any:
            known = ["--inventory", str(workplace.inventory), "--state", str(workplace.state)]
            done = CliRunner(env=workplace.environment).invoke(cli, [*known, *words, "--json"], standalone_mode=False)
            assert done.exception is None, (words, done.exception, getattr(done.exception, "reasons", ""))
            assert not done.return_value, (words, done.stdout)
            document = json.loads(done.stdout)
            found[schema].append(document)
            return document

        workplace.make_bundles()
        (place / "nic.bin").write_bytes(b"firmware")
        (place / "nic.bin.toml").write_text("component = 'NIC'\nversion = '1.2'\nseverity = 'high'", "utf-8")
        rackwave("bundle-identify", "bundle", "identify", str(place / "nic.bin"))
        options = ("--lineage", "N", "--seq", "1", "--out", str(place / "source/N.1"))
        rackwave("bundle-import", "bundle", "import", str(place / "nic.bin"), *options)
        rackwave("bundle-build", "bundle", "build", str(place / "source/lab-bios/A.1"), "--out", str(tmp_path / "A.1"))
        rackwave("rollouts", "rollout", "list")
        rackwave("status", "status")
        for name in ("A.1", "A.2"):
            rackwave("bundle-publish", "bundle", "publish", str(place / "build" / name))
            rackwave("plan", "plan", name, "--no-way-back", "all")
            rackwave("simulation", "simulate", name, "--no-way-back", "all", "--seeds", "3", "--fail", "50%")
            rollout = rackwave("rollout", "deploy", name)
        rackwave("plan", "plan", "A.2")
        rackwave("rollout", "rollout", "show", rollout["rollout"])
        rackwave("bundle-list", "bundle", "list")
        found["manifest"].append(rackwave("bundle-show", "bundle", "show", "A.2")["manifest"])
        found["source"].append(tomllib.loads((place / "source/lab-bios/A.1/bundle.toml").read_text("utf-8")))
        rackwave("bundle-verify", "bundle", "verify")
        rackwave("bundle-lint", "bundle", "lint", "A.2")
        rackwave("trust-status", "trust", "init")
        rackwave("trust-status", "trust", "refresh")
        rackwave("bundle-list", "bundle", "revert", "A.1", "--reason", "back")
        rackwave("bundle-list", "bundle", "revert", "A.2", "--reason", "forth")
        with serving() as shelf:
            where = ("--registry", f"{shelf.url.replace('http', 'oci')}/{NAME}", "--plain-http")
            rackwave("bundle-push", "bundle", "push", "A.1", *where)
            rackwave("trust-push", "trust", "push", *where)
            rackwave("bundle-tags", "bundle", "tags", *where)
            rackwave("bundle-pull", "bundle", "pull", "A.1", *where)
        rackwave("status", "status", "--look")
        rackwave("drift", "drift")
        found["adopt"] = [adopted(workplace)]
        kept = place / "snapshot.json"
        kept.write_text(json.dumps(taken(workplace)))
        found["snapshot"] = [json.loads(kept.read_text())]
        rackwave("restore", "restore", str(kept), "--dry-run")
        found["watch"] = watched(workplace)
        rackwave("status", "rollback", "A", "--nodes", "r1n02")
        back = ("rollback", "A", "--nodes", "r1n01", "--component", "BIOS")
        rackwave("status", *back, "--reason", "hangs")
        rackwave("status", *back, "--forward")
        rackwave("status", "recover", "A", "--nodes", "r1n02")
        rackwave("rollouts", "rollout", "list")
        rackwave("rollouts", "rollout", "resume")
        pruned = rackwave("bundle-prune", "bundle", "prune", "--keep-last", "0")
        old, new = (set(bundle["reasons"]) for bundle in pruned["bundles"])
        assert {"prior of r1n01", "assigned to r1n02"} <= old
        assert {"current", "assigned to r1n01"} <= new
        rackwave("bundle-export", "bundle", "export", "A.2", "--out", str(tmp_path / "A.2.tar"))
        rackwave("bundle-gc", "bundle", "gc")
        (workplace.state / "drops").mkdir()
        for version in ("2.5.0", "2.6.0"):
            (workplace.state / f"drops/bios-{version}.bin").write_bytes(version.encode())
            (workplace.state / f"drops/bios-{version}.bin.toml").write_text(
                f"component = 'BIOS'\nversion = '{version}'\nversion_scheme = 'dotted'\n", "utf-8"
            )
            (workplace.state / "feeds.toml").write_text(
                "[[feeds]]\nname = 'drops'\nkind = 'folder'\nwhere = 'drops'\nlineage = 'A'\n", "utf-8"
            )
            rackwave("feeds", "release", "feeds")
            rackwave("release-looks", "release", "watch", "--once")
            (draft,) = rackwave("releases", "release", "list")
            rackwave("release", "release", "show", draft["release"])
            decided = ("approve",) if version == "2.5.0" else ("reject", "--reason", "no")
            rackwave("release", "release", *decided, draft["release"])
        rackwave("due", "release", "due")
        found["webhook"].append(
            {
                "id": 9,
                "at": "2026-11-22T15:26:25.841Z",
                "what": "quarantined",
                "text": "r1n02 is in quarantine",
                "reason": "it hangs",
                "rollout": None,
                "bundle": None,
                "wave": None,
                "node": "r1n02",
                "command": "rackwave history r1n02",
            }
        )
        found["catalogue"].append({"releases": [{"version": "1", "file": "a.cab", "sha256": "0" * 64}]})
        rackwave("history", "history")
        rackwave("history-verify", "history", "verify")
        rackwave("doctor", "doctor")
        rackwave("pins", "pin", "list")
        rackwave("power", "power", "r1n01")
        rackwave("power", "power", "r1n01", "cycle", "--yes")
        rackwave("power", "boot", "r1n01", "pxe")
        rackwave("boot", "boot", "r1n01")
        rackwave("sensors", "sensors", "r1n01")
        rackwave("log", "log", "r1n01")
        rackwave("discover", "discover", lab.stations[0].url.removeprefix("https://"))
        rackwave("inspect", "inspect", "r1n01")
        rackwave("locate", "locate", "r1n01")
        rackwave("inventory-list", "inventory", "list")
        rackwave("quirk-list", "quirk", "list")
        rackwave("quirk-explain", "quirk", "explain", "r1n01")
        # No bad one, no dead one, no kill: the document is the same, and it takes a third of the time.
        rackwave("demo", "demo", "--nodes", "1", "--bad", "0", "--dead", "0", "--kill-at", "0")
        yield found


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_a_schema_is_one(name: str) -> None:
    """Every schema that is shipped is valid, has a title, and describes every field."""
    schema = SCHEMAS[name]
    jsonschema.Draft202012Validator.check_schema(schema)

    def silent(part: Any, where: str) -> Iterator[str]:
        for key, field in part.get("properties", {}).items() if isinstance(part, dict) else ():
            if "description" not in field:
                yield f"{where}.{key}"
            yield from silent(field, f"{where}.{key}")
            yield from silent(field.get("items", {}), f"{where}.{key}[]")

    assert f"urn:rackwave:schema:{name}:1" == schema["$id"]
    assert schema["title"]
    assert [] == list(silent(schema, name)) + list(silent(schema.get("items", {}), f"{name}[]"))


def test_what_is_printed_is_what_the_schemas_describe(printed: dict[str, list[Any]]) -> None:
    """Every document that a command really prints matches its schema and has no field that is not described."""
    # One test for all, so that one process tells the story once.
    errors = [
        f"{name}: {error.json_path}: {error.message}"
        for name, documents in printed.items()
        for document in documents
        for error in jsonschema.Draft202012Validator(closed(SCHEMAS[name])).iter_errors(document)
    ]

    assert [] == errors
    assert [] == [name for name, documents in printed.items() if not documents]

    first, second, third = printed["plan"]

    assert (True, False, True) == (first["level"], second["level"], third["nothing_to_do"])
    assert ["on-new", "on-new"] == [node["result"] for node in printed["rollout"][1]["nodes"]]
    assert {"A": []} == printed["status"][1][0]["drift"]
    assert "A.1" == printed["status"][2][0]["assigned"]["A"]
    assert [["BIOS"], []] == [[b["component"] for b in s[0]["set_back"]] for s in printed["status"][3:5]]
    assert [0, 2, 0] == [len(rollouts) for rollouts in printed["rollouts"]]
    assert [] == printed["demo"][0]["complaints"]


def test_a_newer_field_does_not_break_a_reader() -> None:
    """Schemas leave room for fields of a later version."""
    check = {"node": "r1n01", "check": "login", "outcome": "good", "detail": "logged in", "since": 2}

    jsonschema.validate([check], SCHEMAS["doctor"])


def test_schemas_come_with_the_package() -> None:
    """The schemas are found where docs/json.md says."""
    assert Path(str(files("rackwave.schemas") / "plan.schema.json")).is_file()
