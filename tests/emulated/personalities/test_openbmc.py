"""What a client of OpenBMC and of its kin meets: multipart alone, tasks that a restart loses."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.lab import Lab

ROOT = "/redfish/v1"
SERVICE = f"{ROOT}/UpdateService"
INVENTORY = f"{SERVICE}/FirmwareInventory"

Play = Callable[..., None]


def form(images: Any, **parameters: Any) -> aiohttp.FormData:
    """A multipart push of BIOS 2.0.0."""
    data = aiohttp.FormData()
    data.add_field("UpdateParameters", json.dumps(parameters), content_type="application/json")
    data.add_field("UpdateFile", (images.directory / "bios2").read_bytes(), filename="bios2")
    return data


@pytest.mark.parametrize("make", ["openbmc", "hgx"])
def test_only_pushes_are_taken(make: str, play: Play, client: Any, images: Any) -> None:
    """There is no SimpleUpdate; multipart works, and so does the bare image."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            service = await bmc.get(SERVICE)

            assert "#UpdateService.SimpleUpdate" not in service["Actions"]
            assert 404 == (await bmc.simple_update(images.url("bios2"), None)).status
            assert 202 == (await bmc.ask("POST", service["MultipartHttpPushUri"], data=form(images))).status

            bare = (images.directory / "bmc2").read_bytes()
            told = await bmc.ask("POST", service["HttpPushUri"], data=bare)

            assert 503 == told.status  # the first still runs (P22)
            assert "30" == told.headers["Retry-After"]

    play(scenario, personality=make)


@pytest.mark.parametrize("make", ["openbmc", "hgx"])
def test_a_restart_loses_the_tasks_and_their_numbers(make: str, play: Play, client: Any, images: Any) -> None:
    """After a restart of the BMC the task is gone, and its number comes to name another one (P01)."""

    async def push(bmc: Any) -> str:
        service = await bmc.get(SERVICE)
        told = await bmc.ask("POST", service["MultipartHttpPushUri"], data=form(images))
        return str(told.body["@odata.id"])

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with client(lab, basic="admin:password") as bmc:
            first = await push(bmc)
            clock.advance(200)
            manager = f"{ROOT}/Managers/{lab['r1n01'].manager_id}"
            await bmc.ask("POST", f"{manager}/Actions/Manager.Reset", json={"ResetType": "GracefulRestart"})
            clock.advance(300)

        async with client(lab, basic="admin:password") as bmc:
            assert 404 == (await bmc.ask("GET", first)).status
            assert [] == (await bmc.get(f"{ROOT}/TaskService/Tasks"))["Members"]
            assert first == await push(bmc)

    play(scenario, personality=make)


def test_hgx_starts_when_it_is_asked_to(play: Play, client: Any, images: Any) -> None:
    """An image pushed with OnStartUpdateRequest waits for StartUpdate; without, it is written at once."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with client(lab) as bmc:
            await bmc.log_in()
            uri = (await bmc.get(SERVICE))["MultipartHttpPushUri"]
            waits = form(
                images,
                **{"Targets": [f"{INVENTORY}/HGX_FW_CPU_0"], "@Redfish.OperationApplyTime": "OnStartUpdateRequest"},
            )
            await bmc.ask("POST", uri, data=waits)
            clock.advance(1000)

            assert 0 == lab["r1n01"].truth()["flashes"]

            started = await bmc.ask("POST", f"{SERVICE}/Actions/UpdateService.StartUpdate", json={})
            clock.advance(200)

            assert 202 == started.status
            assert 1 == lab["r1n01"].truth()["flashes"]

    play(scenario, personality="hgx")


def test_hgx_has_many_parts_some_of_which_need_the_host(play: Play, client: Any) -> None:
    """With the host off its GPUs have no version and are UnavailableOffline; the BMC's own parts still tell theirs."""

    async def told(bmc: Any, name: str) -> tuple[Any, Any]:
        member = await bmc.get(f"{INVENTORY}/{name}")
        return member["Version"], member["Status"]["State"]

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with client(lab) as bmc:
            await bmc.log_in()

            assert 15 <= len((await bmc.get(INVENTORY))["Members"])
            assert ("97.00.72.00.00", "Enabled") == await told(bmc, "HGX_FW_GPU_0")

            await bmc.reset_host("ForceOff")
            clock.advance(10)

            assert (None, "UnavailableOffline") == await told(bmc, "HGX_FW_GPU_0")
            assert ("GB200Nvl-24.12-8", "Enabled") == await told(bmc, "HGX_FW_BMC_0")

    play(scenario, personality="hgx")
