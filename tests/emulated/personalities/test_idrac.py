"""What a client of an iDRAC meets: jobs, moving inventory URIs, settings that need a job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.lab import Lab

ROOT = "/redfish/v1"
INVENTORY = f"{ROOT}/UpdateService/FirmwareInventory"
INSTALLED = f"{INVENTORY}/Installed-159-1.8.2__BIOS.Setup.1-1"
MANAGER = f"{ROOT}/Managers/iDRAC.Embedded.1"
SETTINGS = f"{ROOT}/Systems/System.Embedded.1/Bios/Settings"
SIMPLE_UPDATE = f"{ROOT}/UpdateService/Actions/UpdateService.SimpleUpdate"

Play = Callable[..., None]


def test_an_update_is_a_job_that_ends_with_the_reset(play: Play, client: Any, images: Any) -> None:
    """The 202 has a Location and no body; the job stays Scheduled until the host was reset (P07, P10)."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            told = await bmc.simple_update(images.url("bios2"), INSTALLED)

            assert (202, b"") == (told.status, told.body)
            assert "/redfish/v1/TaskService/Tasks/JID_000000000001" == told.headers["Location"]

            await lab.transfers_done()
            clock.advance(61)
            task = await bmc.get(told.headers["Location"])

            assert ("Pending", "Scheduled") == (task["TaskState"], task["Oem"]["Dell"]["JobState"])

            await bmc.reset_host()
            clock.advance(200)
            task = await bmc.get(told.headers["Location"])
            job = await bmc.get(f"{MANAGER}/Oem/Dell/Jobs/JID_000000000001")

            assert ("Completed", "Completed") == (task["TaskState"], job["JobState"])

    play(scenario, personality="idrac")


def test_the_inventory_moves_with_the_version(play: Play, client: Any, images: Any) -> None:
    """What waits is Available, what runs is Current and Installed, what ran is Previous; the old URI is gone (P44)."""

    async def members(bmc: Any) -> set[str]:
        listed = await bmc.get(INVENTORY)
        names = {member["@odata.id"].rpartition("/")[2] for member in listed["Members"]}
        return {name for name in names if "BIOS" in name}

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()

            assert {
                "Current-159-1.8.2__BIOS.Setup.1-1",
                "Installed-159-1.8.2__BIOS.Setup.1-1",
                "Previous-159-1.2.4__BIOS.Setup.1-1",
            } == await members(bmc)

            await bmc.simple_update(images.url("bios2"), INSTALLED)
            await lab.transfers_done()
            clock.advance(61)

            assert "Available-159-2.0.0__BIOS.Setup.1-1" in await members(bmc)

            await bmc.reset_host()
            clock.advance(200)

            assert {
                "Current-159-2.0.0__BIOS.Setup.1-1",
                "Installed-159-2.0.0__BIOS.Setup.1-1",
                "Previous-159-1.8.2__BIOS.Setup.1-1",
            } == await members(bmc)
            assert 404 == (await bmc.ask("GET", INSTALLED)).status

    play(scenario, personality="idrac")


def test_apply_time_immediate_resets_the_host(play: Play, client: Any, images: Any) -> None:
    """With OperationApplyTime Immediate the server restarts by itself; without it waits (P14)."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            body = {"ImageURI": images.url("bios2"), "@Redfish.OperationApplyTime": "Immediate"}
            await bmc.ask("POST", SIMPLE_UPDATE, json=body)
            await lab.transfers_done()
            clock.advance(61 + 200)

            assert "2.0.0" == (await bmc.get(f"{INVENTORY}/Installed-159-2.0.0__BIOS.Setup.1-1"))["Version"]
            assert 1 == lab["r1n01"].truth()["resets"]["host"]

    play(scenario, personality="idrac")


def test_settings_without_a_job_wait_for_ever(play: Play, client: Any) -> None:
    """A PATCH alone survives any reset unapplied; the job made for it applies it; a second set is refused (P22)."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with client(lab) as bmc:
            await bmc.log_in()

            assert 200 == (await bmc.ask("PATCH", SETTINGS, json={"Attributes": {"BootMode": "Bios"}})).status

            await bmc.reset_host()
            clock.advance(300)

            assert {"BootMode": "Bios"} == (await bmc.get(SETTINGS))["Attributes"]

            made = await bmc.ask("POST", f"{MANAGER}/Oem/Dell/Jobs", json={"TargetSettingsURI": SETTINGS})
            again = await bmc.ask("PATCH", SETTINGS, json={"Attributes": {"BootMode": "Uefi"}})

            assert (200, 400) == (made.status, again.status)
            assert "already committed" in again.body["error"]["message"]

            await bmc.reset_host()
            clock.advance(300)

            assert {} == (await bmc.get(SETTINGS))["Attributes"]
            assert "Completed" == (await bmc.get(made.headers["Location"]))["JobState"]

    play(scenario, personality="idrac")


def test_settings_with_an_apply_time_make_their_job(play: Play, client: Any) -> None:
    """A PATCH that says when to apply is answered 202 with the job as Location."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with client(lab) as bmc:
            await bmc.log_in()
            body = {"Attributes": {"BootMode": "Bios"}, "@Redfish.SettingsApplyTime": {"ApplyTime": "OnReset"}}
            told = await bmc.ask("PATCH", SETTINGS, json=body)

            assert 202 == told.status

            await bmc.reset_host()
            clock.advance(300)
            attributes = (await bmc.get(SETTINGS.removesuffix("/Settings")))["Attributes"]

            assert "Bios" == attributes["BootMode"]
            assert "Completed" == (await bmc.get(told.headers["Location"]))["TaskState"]

    play(scenario, personality="idrac")


def test_the_lifecycle_controller_says_when_it_is_in_use(play: Play, client: Any, images: Any) -> None:
    """GetRemoteServicesAPIStatus tells InUse while an update runs, and whether the server is in POST (P23)."""
    action = f"{MANAGER}/Oem/Dell/DellLCService/Actions/DellLCService.GetRemoteServicesAPIStatus"

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            idle = (await bmc.ask("POST", action, json={})).body
            await bmc.simple_update(images.url("bios2"), INSTALLED)
            await lab.transfers_done()
            busy = (await bmc.ask("POST", action, json={})).body
            clock.advance(61)
            await bmc.reset_host()
            posting = (await bmc.ask("POST", action, json={})).body

            assert ("Ready", "OutOfPOST") == (idle["LCStatus"], idle["ServerStatus"])
            assert "InUse" == busy["LCStatus"]
            assert "InPOST" == posting["ServerStatus"]

    play(scenario, personality="idrac")
