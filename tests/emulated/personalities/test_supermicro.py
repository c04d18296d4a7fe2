"""What a client of a Supermicro BMC meets: upload, Verify, StartUpdate, Update (P19)."""

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
UPLOAD = f"{SERVICE}/upload"
START = f"{SERVICE}/Actions/UpdateService.StartUpdate"

Play = Callable[..., None]


def form(images: Any, moment: str, name: str = "bios2") -> aiohttp.FormData:
    """A multipart push of an image for the BIOS."""
    parameters = {"Targets": [f"{ROOT}/Systems/1/Bios"], "@Redfish.OperationApplyTime": moment}
    data = aiohttp.FormData()
    data.add_field("UpdateParameters", json.dumps(parameters), content_type="application/json")
    data.add_field("UpdateFile", (images.directory / name).read_bytes(), filename=name)
    return data


def task_of(told: Any) -> str:
    """The task's URI, from where this make hides it."""
    message = told.body["Accepted"]["@Message.ExtendedInfo"][0]
    assert "SMC.1.0.OemSimpleupdateAcceptedMessage" == message["MessageId"]
    return str(message["MessageArgs"][0])


def test_one_update_is_two_tasks(play: Play, client: Any, images: Any) -> None:
    """The upload makes a Verify task; nothing is written until StartUpdate, which makes an Update task (P19)."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with client(lab) as bmc:
            await bmc.log_in()
            told = await bmc.ask("POST", UPLOAD, data=form(images, "OnStartUpdateRequest"))
            verify = await bmc.get(task_of(told))

            assert (202, False) == (told.status, "Location" in told.headers)
            assert ("BIOS Verify", "Completed") == (verify["Name"], verify["TaskState"])

            clock.advance(1000)

            assert 0 == lab["r1n01"].truth()["flashes"]
            assert "2.0.0" == (await bmc.get(f"{INVENTORY}/Staging_BIOS"))["Version"]

            started = await bmc.ask("POST", START, json={})
            update = await bmc.get(task_of(started))

            assert (202, "BIOS Update", "Running") == (started.status, update["Name"], update["TaskState"])
            assert task_of(told) != task_of(started)

            clock.advance(121)
            await bmc.reset_host()
            clock.advance(300)
            truth = lab["r1n01"].truth()

            assert "2.0.0" == (await bmc.get(f"{INVENTORY}/BIOS"))["Version"]
            assert (1, 1, 0) == (len(truth["writes"]), truth["flashes"], truth["double_flashes"])
            assert "2.0.0" == (await bmc.get(f"{INVENTORY}/Staging_BIOS"))["Version"]

    play(scenario, personality="supermicro")


def test_immediate_makes_both_tasks_by_itself(play: Play, client: Any, images: Any) -> None:
    """One upload with Immediate leaves two tasks: Verify, Completed, and Update, Running (P19)."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with client(lab) as bmc:
            await bmc.log_in()
            await bmc.ask("POST", UPLOAD, data=form(images, "Immediate"))
            listed = await bmc.get(f"{ROOT}/TaskService/Tasks")
            tasks = [await bmc.get(member["@odata.id"]) for member in listed["Members"]]

            assert [("BIOS Verify", "Completed"), ("BIOS Update", "Running")] == [
                (task["Name"], task["TaskState"]) for task in tasks
            ]

    play(scenario, personality="supermicro")


def test_a_bad_image_fails_its_verification(play: Play, client: Any, images: Any) -> None:
    """What does not verify ends its Verify task in Exception, and there is nothing to start."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with client(lab) as bmc:
            await bmc.log_in()
            told = await bmc.ask("POST", UPLOAD, data=form(images, "OnStartUpdateRequest", "damaged"))

            assert "Exception" == (await bmc.get(task_of(told)))["TaskState"]
            assert 400 == (await bmc.ask("POST", START, json={})).status

    play(scenario, personality="supermicro")


def test_a_second_upload_is_refused_while_one_waits(play: Play, client: Any, images: Any) -> None:
    """An upload that waits for StartUpdate blocks the next; a restart of the BMC drops it (P22)."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with client(lab, basic="admin:password") as bmc:
            await bmc.ask("POST", UPLOAD, data=form(images, "OnStartUpdateRequest"))

            assert 400 == (await bmc.ask("POST", UPLOAD, data=form(images, "OnStartUpdateRequest"))).status

            await bmc.ask("POST", f"{ROOT}/Managers/1/Actions/Manager.Reset", json={"ResetType": "GracefulRestart"})
            clock.advance(300)

        async with client(lab, basic="admin:password") as bmc:
            assert 400 == (await bmc.ask("POST", START, json={})).status
            assert 202 == (await bmc.ask("POST", UPLOAD, data=form(images, "OnStartUpdateRequest"))).status
            assert "lost" == lab["r1n01"].truth()["writes"][0]["result"]

    play(scenario, personality="supermicro")


def test_reset_types_are_told_elsewhere(play: Play, client: Any) -> None:
    """The Reset action names an ActionInfo, and only that lists the ResetTypes; settings are staged at Bios/SD."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with client(lab) as bmc:
            await bmc.log_in()
            action = (await bmc.get(f"{ROOT}/Systems/1"))["Actions"]["#ComputerSystem.Reset"]
            info = await bmc.get(action["@Redfish.ActionInfo"])

            assert "ResetType@Redfish.AllowableValues" not in action
            assert "ForceRestart" in info["Parameters"][0]["AllowableValues"]
            assert {} == (await bmc.get(f"{ROOT}/Systems/1/Bios/SD"))["Attributes"]

    play(scenario, personality="supermicro")
