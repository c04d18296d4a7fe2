"""What a client of an XClarity Controller meets: no Location, Targets that must be there, claims."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import aiohttp

from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.lab import Lab

ROOT = "/redfish/v1"
SERVICE = f"{ROOT}/UpdateService"
INVENTORY = f"{SERVICE}/FirmwareInventory"

Play = Callable[..., None]


def form(images: Any, parameters: dict[str, Any]) -> aiohttp.FormData:
    """A multipart push of BIOS 2.0.0."""
    data = aiohttp.FormData()
    data.add_field("UpdateParameters", json.dumps(parameters), content_type="application/json")
    data.add_field("UpdateFile", (images.directory / "bios2").read_bytes(), filename="bios2")
    return data


def test_the_answer_is_a_task_without_location(play: Play, client: Any, images: Any) -> None:
    """SimpleUpdate answers 202 with the task as body; there is no Location to follow (P10)."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            told = await bmc.simple_update(images.url("bios2"), None)

            assert (202, False) == (told.status, "Location" in told.headers)
            assert f"{ROOT}/TaskService/Tasks/1" == told.body["@odata.id"]
            assert "Payload" not in await bmc.get(told.body["@odata.id"])

    play(scenario, personality="xcc")


def test_targets_are_listed_and_needed(play: Play, client: Any, images: Any) -> None:
    """SimpleUpdate takes the backup BMC alone as target; a push must send Targets, empty for all the rest."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()

            assert 400 == (await bmc.simple_update(images.url("bios2"), f"{INVENTORY}/UEFI")).status
            assert 202 == (await bmc.simple_update(images.url("bmc2"), f"{INVENTORY}/BMC-Backup")).status

            await lab.transfers_done()
            clock.advance(121)
            service = await bmc.get(SERVICE)
            without = await bmc.ask("POST", service["MultipartHttpPushUri"], data=form(images, {}))
            whole = await bmc.ask("POST", service["MultipartHttpPushUri"], data=form(images, {"Targets": []}))

            assert ("/mfwupdate", 400, 202) == (service["MultipartHttpPushUri"], without.status, whole.status)

    play(scenario, personality="xcc")


def test_what_waits_has_a_member_that_is_always_listed(play: Play, client: Any, images: Any) -> None:
    """UEFI-Pending is Disabled and empty until an image waits for its reset (P44)."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            empty = await bmc.get(f"{INVENTORY}/UEFI-Pending")
            await bmc.simple_update(images.url("bios2"), None)
            await lab.transfers_done()
            clock.advance(121)
            waiting = await bmc.get(f"{INVENTORY}/UEFI-Pending")

            assert (None, "Disabled") == (empty["Version"], empty["Status"]["State"])
            assert ("2.0.0", "StandbySpare") == (waiting["Version"], waiting["Status"]["State"])

    play(scenario, personality="xcc")


def test_a_client_claims_the_push(play: Play, client: Any) -> None:
    """HttpPushUriTargetsBusy can be claimed and released, and is forgotten when the XCC restarts (P09)."""

    async def busy(bmc: Any) -> Any:
        return (await bmc.get(SERVICE))["HttpPushUriTargetsBusy"]

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with client(lab, basic="admin:password") as bmc:
            before = await busy(bmc)
            assert 204 == (await bmc.ask("PATCH", SERVICE, json={"HttpPushUriTargetsBusy": True})).status
            claimed = await busy(bmc)
            await bmc.ask("POST", f"{ROOT}/Managers/1/Actions/Manager.Reset", json={"ResetType": "GracefulRestart"})
            clock.advance(300)

        async with client(lab, basic="admin:password") as bmc:
            assert (False, True, False) == (before, claimed, await busy(bmc))

    play(scenario, personality="xcc")


def test_settings_and_post_have_places_of_their_own(play: Play, client: Any) -> None:
    """Settings are staged at Bios/Pending, and nowhere else; POST shows in Oem.Lenovo.SystemStatus."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with client(lab) as bmc:
            await bmc.log_in()
            body = {"Attributes": {"BootMode": "Bios"}}

            assert 204 == (await bmc.ask("PATCH", f"{ROOT}/Systems/1/Bios/Pending", json=body)).status
            assert 404 == (await bmc.ask("PATCH", f"{ROOT}/Systems/1/Bios/Settings", json=body)).status
            assert 404 == (await bmc.ask("GET", f"{ROOT}/Systems/1/Bios/Settings")).status

            await bmc.reset_host()
            during = await bmc.get(f"{ROOT}/Systems/1")
            clock.advance(300)
            after = await bmc.get(f"{ROOT}/Systems/1")

            assert "SystemOn_StartingUEFI" == during["Oem"]["Lenovo"]["SystemStatus"]
            assert "BootingOSOrInUndetectedOS" == after["Oem"]["Lenovo"]["SystemStatus"]
            assert "Bios" == (await bmc.get(f"{ROOT}/Systems/1/Bios"))["Attributes"]["BootMode"]

    play(scenario, personality="xcc")
