"""What a client of an iLO meets: URIs in any case, states in Oem, tasks or none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.lab import Lab

ROOT = "/redfish/v1"
SERVICE = f"{ROOT}/UpdateService"
ROM = f"{SERVICE}/FirmwareInventory/2"

Play = Callable[..., None]


@pytest.mark.parametrize("make", ["ilo5", "ilo6"])
def test_uris_are_found_in_any_case(make: str, play: Play, client: Any) -> None:
    """/redfish/v1/systems/1/bios/settings/ is /redfish/v1/Systems/1/Bios/Settings; so are actions."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with client(lab) as bmc:
            await bmc.log_in()
            path = f"{ROOT}/systems/1/bios/settings/"

            assert f"{ROOT}/Systems/1/Bios/Settings" == (await bmc.get(path))["@odata.id"]
            assert 204 == (await bmc.ask("PATCH", path, json={"Attributes": {"BootMode": "Bios"}})).status

            action = f"{ROOT}/SYSTEMS/1/actions/computersystem.reset"

            assert 204 == (await bmc.ask("POST", action, json={"ResetType": "ForceRestart"})).status
            assert 404 == (await bmc.ask("GET", f"{ROOT}/nothing")).status

    play(scenario, personality=make)


def test_ilo_5_has_no_task(play: Play, client: Any, images: Any) -> None:
    """SimpleUpdate answers 200 and Success; only UpdateService Oem.Hpe tells how far it is and how it ended."""

    async def state(bmc: Any) -> Any:
        return (await bmc.get(SERVICE))["Oem"]["Hpe"]

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()

            assert "Idle" == (await state(bmc))["State"]

            told = await bmc.simple_update(images.url("bios2"), ROM)

            assert 200 == told.status
            assert "Location" not in told.headers
            assert "Base.1.4.Success" == told.body["error"]["@Message.ExtendedInfo"][0]["MessageId"]

            await lab.transfers_done()
            clock.advance(30)

            assert ("Updating", 50) == ((await state(bmc))["State"], (await state(bmc))["FlashProgressPercent"])
            assert [] == (await bmc.get(f"{ROOT}/TaskService/Tasks"))["Members"]
            assert 404 == (await bmc.ask("GET", f"{ROOT}/TaskService/Tasks/1")).status

            clock.advance(31)

            assert "Complete" == (await state(bmc))["State"]

            await bmc.simple_update(images.url("damaged"), ROM)
            await lab.transfers_done()

            assert "Error" == (await state(bmc))["State"]

    play(scenario, personality="ilo5")


def test_ilo_6_has_tasks_without_a_percentage(play: Play, client: Any, images: Any) -> None:
    """The answer points to a task and its monitor; the percentage is in Oem alone."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            told = await bmc.simple_update(images.url("bios2"), ROM)
            await lab.transfers_done()
            clock.advance(30)
            task = await bmc.get(told.body["@odata.id"])

            assert (202, f"{ROOT}/TaskService/TaskMonitors/1") == (told.status, told.headers["Location"])
            assert ("Running", False) == (task["TaskState"], "PercentComplete" in task)
            assert 50 == (await bmc.get(SERVICE))["Oem"]["Hpe"]["FlashProgressPercent"]

    play(scenario, personality="ilo6")


@pytest.mark.parametrize("make", ["ilo5", "ilo6"])
def test_post_is_told_in_oem(make: str, play: Play, client: Any, images: Any) -> None:
    """There is no BootProgress and no LastResetTime; PostState tells, and the redundant ROM holds what ran before."""

    async def post(bmc: Any) -> str:
        system = await bmc.get(f"{ROOT}/Systems/1")
        assert not {"BootProgress", "LastResetTime"} & system.keys()
        return str(system["Oem"]["Hpe"]["PostState"])

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            await bmc.simple_update(images.url("bios2"), ROM)
            await lab.transfers_done()
            clock.advance(61)
            before = await post(bmc)
            await bmc.reset_host()
            during = await post(bmc)
            clock.advance(200)

            assert ("FinishedPost", "InPost", "FinishedPost") == (before, during, await post(bmc))
            assert "2.0.0" == (await bmc.get(ROM))["Version"]
            assert "A42 v2.60" == (await bmc.get(f"{SERVICE}/FirmwareInventory/3"))["Version"]

    play(scenario, personality=make)
