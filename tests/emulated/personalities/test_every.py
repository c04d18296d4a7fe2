"""What holds for every personality that the lab ships with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from rackwave_emulators.cli import lab as lab_command
from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.lab import Lab
from rackwave_emulators.personality import personalities

ROOT = "/redfish/v1"

Play = Callable[..., None]


@pytest.mark.parametrize("make", sorted(personalities()))
def test_every_link_leads_somewhere(make: str, play: Play, client: Any) -> None:
    """Whatever a BMC links to can be read, from the root to the last inventory member."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with client(lab) as bmc:
            await bmc.log_in()
            seen: set[str] = set()
            left = [ROOT]
            while left:
                path = left.pop()
                told = await bmc.ask("GET", path)
                assert 200 == told.status, path
                for link in sorted(links(told.body) - seen):
                    seen.add(link)
                    left.append(link)

            assert {f"{ROOT}/UpdateService", f"{ROOT}/TaskService/Tasks"} <= seen

    play(scenario, personality=make)


def links(value: Any) -> set[str]:
    """Every @odata.id in *value*."""
    match value:
        case dict():
            own = {value["@odata.id"]} if isinstance(value.get("@odata.id"), str) else set()
            return own.union(*(links(inner) for inner in value.values()))
        case list():
            return set().union(*(links(inner) for inner in value))
        case _:
            return set()


@pytest.mark.parametrize("make", sorted(personalities()))
def test_an_image_reaches_its_component(make: str, play: Play, client: Any, images: Any) -> None:
    """By the way in that this make has, BIOS 2.0.0 is taken, written and, after a reset, what runs."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            service = await bmc.get(f"{ROOT}/UpdateService")
            if "#UpdateService.SimpleUpdate" in service["Actions"]:
                told = await bmc.simple_update(images.url("bios2"), None)
            else:
                told = await bmc.ask("POST", service["HttpPushUri"], data=(images.directory / "bios2").read_bytes())
            await lab.transfers_done()
            clock.advance(400)
            await bmc.reset_host()
            clock.advance(400)
            truth = lab["r1n01"].truth()

            assert told.status in (200, 202)
            assert ("2.0.0", 1, 0) == (
                truth["installed"]["BIOS"]["version"],
                truth["flashes"],
                truth["double_flashes"],
            )
            assert "2.0.0" == (await bmc.get(f"{ROOT}/Systems/{bmc.station.system_id}"))["BiosVersion"]

    play(scenario, personality=make)


def test_the_list_names_them_with_their_reasons() -> None:
    """'lab personalities' has a line for each; --json also has every rule with its reason and source."""
    run = CliRunner().invoke
    lines = run(lab_command, ["personalities"]).output.splitlines()
    told = json.loads(run(lab_command, ["personalities", "--json"]).output)

    assert sorted(personalities()) == [line.split()[0] for line in lines]
    assert sorted(personalities()) == [one["personality"] for one in told]
    assert all(rule["why"] and rule["source"] for one in told for rule in one["rules"].values())


def test_a_lab_of_each_make_starts() -> None:
    """Every personality can be the make of a whole lab."""

    async def main() -> dict[str, str]:
        vendors = {}
        for make in personalities():
            async with Lab(2, personality=make) as lab:
                vendors[make] = lab["r1n02"].truth()["personality"]
        return vendors

    assert {make: make for make in personalities()} == asyncio.run(main())
