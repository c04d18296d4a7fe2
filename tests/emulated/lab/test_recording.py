"""Recording a BMC over the wire, scrubbed, and serving recordings."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rackwave.errors import UsageError
from rackwave.ports import Credentials
from rackwave_emulators.cli import lab as lab_command
from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.lab import Lab
from rackwave_emulators.record import RecordError, Recording, record
from rackwave_emulators.redfish.sessions import Account
from rackwave_emulators.tree import Tree, find_tree, load_tree

ROOT = "/redfish/v1"
PASSWORD = "correct-horse-battery-staple"
TREES = Path(os.environ.get("RACKWAVE_TREES") or Path(__file__).parents[4] / "shared" / "trees")

Play = Callable[..., None]


def of(lab: Lab, **options: Any) -> Recording:
    """How to record the lab's first BMC."""
    return Recording(lab.stations[0].url, Credentials("admin", PASSWORD), ca=lab.ca, key=b"k", **options)


def shape(value: Any) -> Any:
    """What *value* is, without what it says."""
    match value:
        case dict():
            return {key if not key.startswith("/") else "": shape(inner) for key, inner in value.items()}
        case list():
            return [shape(inner) for inner in value]
        case _:
            return type(value).__name__


def everything(tree: Tree) -> list[str]:
    """The shapes of all documents, in an order that no pseudonym changes."""
    return sorted(json.dumps(shape(dict(document)), sort_keys=True) for document in tree.resources.values())


@pytest.mark.parametrize("make", ["plain", "idrac"])
def test_a_recording_names_nothing_and_can_be_served(make: str, play: Play, client: Any) -> None:
    """No serial number, id, address, name or password of the BMC is in it; served again it has the same structure."""
    found: list[Tree] = []

    async def first(lab: Lab, clock: VirtualClock) -> None:
        station = lab.stations[0]
        tree = await record(of(lab))
        text = json.dumps({"meta": dict(tree.meta), "resources": {k: dict(v) for k, v in tree.resources.items()}})
        found.append(tree)

        for secret in (station.machine.serial, station.uuid, station.mac, station.address, station.name, PASSWORD):
            assert secret.lower() not in text.lower()
        assert {} == tree.meta["missing"]
        assert len(tree.resources) > 35
        assert 0 == lab.truth()["totals"]["sessions_open"]

    async def second(lab: Lab, clock: VirtualClock) -> None:
        async with client(lab, basic=f"admin:{PASSWORD}") as bmc:
            assert found[0].document(ROOT) == await bmc.get(ROOT)
        again = await record(of(lab))

        assert everything(found[0]) == everything(again)
        assert len(found[0].resources) == len(again.resources)

    options = {"personality": make, "account": Account(password=PASSWORD)}
    play(first, **options)
    play(second, **options, tree=found[0])


def test_a_tree_can_only_be_read(play: Play, client: Any) -> None:
    """A login is needed and works; a GET brings what was recorded, all else 405 or 404."""
    tree = Tree("t", {}, {ROOT: {"Id": "Root"}, f"{ROOT}/Systems": {"Members": []}})

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with client(lab) as bmc:
            assert 200 == (await bmc.ask("GET", ROOT)).status
            assert 401 == (await bmc.ask("GET", f"{ROOT}/Systems")).status
            assert 201 == (await bmc.log_in()).status
            assert {"Members": []} == await bmc.get(f"{ROOT}/Systems/")

            patched = await bmc.ask("PATCH", f"{ROOT}/Systems", json={})

            assert (405, "GET, HEAD") == (patched.status, patched.headers["Allow"])
            assert 404 == (await bmc.ask("GET", f"{ROOT}/Chassis")).status
            assert 404 == (await bmc.ask("POST", f"{ROOT}/Systems/1/Actions/ComputerSystem.Reset", json={})).status

    play(scenario, tree=tree)


def test_a_walk_is_bounded_and_stays_at_home(play: Play) -> None:
    """No more is read than asked for, and a link to another origin is not followed."""
    away = {"@odata.id": "https://elsewhere.example/redfish/v1/Systems"}
    tree = Tree(
        "t",
        {},
        {
            ROOT: {"Away": away, "Out": {"@odata.id": "//elsewhere/x"}, "In": {"@odata.id": f"{ROOT}/a"}},
            **{f"{ROOT}/{name}": {"Next": {"@odata.id": f"{ROOT}/{name}a"}} for name in ("a", "aa", "aaa", "aaaa")},
        },
    )

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        whole, part = await record(of(lab)), await record(of(lab, most=3))

        assert {ROOT, f"{ROOT}/a", f"{ROOT}/aa", f"{ROOT}/aaa", f"{ROOT}/aaaa"} == set(whole.resources)
        assert {f"{ROOT}/aaaaa": 404} == whole.meta["missing"]
        assert (3, 1) == (len(part.resources), part.meta["left_out"])

    play(scenario, tree=tree, account=Account(password=PASSWORD))


def test_what_cannot_be_recorded_is_said(play: Play) -> None:
    """A refused login, an unencrypted URL and a BMC that is not there are errors that hold no password."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        url = lab.stations[0].url
        wrong = Recording(url, Credentials("admin", "hunter22"), ca=lab.ca)
        untrusted = Recording(url, Credentials("admin", PASSWORD))
        gone = Recording("https://127.1.0.1:1", Credentials("admin", PASSWORD), ca=lab.ca)
        for recording in (wrong, untrusted, gone):
            with pytest.raises(RecordError) as error:
                await record(recording)
            assert "hunter22" not in str(error.value)
            assert PASSWORD not in str(error.value)
        with pytest.raises(UsageError, match="not encrypted"):
            await record(Recording(url.replace("https", "http"), Credentials("admin", PASSWORD)))

    play(scenario, account=Account(password=PASSWORD))


def test_the_commands_record_a_bmc(tmp_path: Path) -> None:
    """'lab record' writes a file that 'lab up --tree' can find, by credentials from the lab's own file."""
    with Lab(1, directory=tmp_path / "lab") as lab:
        credentials = f"file:{lab.directory / 'credentials.toml'}"
        words = ["record", lab.stations[0].url, "--credentials", credentials, "--ca", str(lab.ca)]
        told = CliRunner().invoke(lab_command, [*words, "--output", str(tmp_path / "mine.json.gz"), "--name", "mine"])

    assert 0 == told.exit_code, told.output
    assert "resources, 0 could not be read" in told.output
    assert "mine" == load_tree(find_tree("mine", {"RACKWAVE_TREES": str(tmp_path)})).name


@pytest.mark.skipif(not TREES.is_dir(), reason="there are no recorded trees in RACKWAVE_TREES or ../shared/trees")
@pytest.mark.parametrize("name", sorted(path.name.partition(".")[0] for path in TREES.glob("*.json.gz")) or ["none"])
def test_recorded_machines_are_served(name: str, client: Any) -> None:
    """Every resource of a recorded real machine is served as it was, by its own links."""

    async def main() -> None:
        tree = load_tree(TREES / f"{name}.json.gz")
        async with Lab(1, tree=tree, clock=VirtualClock()) as lab, client(lab, basic="admin:password") as bmc:
            system = await bmc.get(tree.system["@odata.id"])

            assert dict(tree.system) == system
            assert tree.make == (lab.stations[0].vendor, lab.stations[0].model)
            assert all(tree.make)
            for path in sorted(tree.resources)[:: max(1, len(tree.resources) // 40)]:
                if "/SessionService/Sessions" not in path:
                    assert dict(tree.resources[path]) == await bmc.get(path)

    asyncio.run(main())
