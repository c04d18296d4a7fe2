"""What the tests of pathologies do over and over with a raw client."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import Any

import aiohttp

ROOT = "/redfish/v1"
SYSTEM = f"{ROOT}/Systems/1"
MANAGER = f"{ROOT}/Managers/BMC"
SETTINGS = f"{SYSTEM}/Bios/Settings"
TASKS = f"{ROOT}/TaskService/Tasks"
UPDATES = f"{ROOT}/UpdateService"
INVENTORY = f"{UPDATES}/FirmwareInventory"
SIMPLE_UPDATE = f"{UPDATES}/Actions/UpdateService.SimpleUpdate"
SESSIONS = f"{ROOT}/SessionService/Sessions"
LOST = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError)


async def begin(lab: Any, bmc: Any, images: Any, name: str = "bios2", component: str = "BIOS") -> Any:
    """Have the BMC fetch an image, and wait until it has it; return what it answered."""
    told = await bmc.simple_update(images.url(name), f"{INVENTORY}/{component}")
    await lab.transfers_done()
    return told


async def flash(lab: Any, clock: Any, bmc: Any, images: Any, name: str = "bios2", component: str = "BIOS") -> Any:
    """Have the BMC write an image, to its end; return the task's path."""
    told = await begin(lab, bmc, images, name, component)
    assert told.status == 202, told
    clock.advance(61)
    return told.body["@odata.id"]


async def reboot(clock: Any, bmc: Any) -> None:
    """Restart the host and let POST end."""
    assert (await bmc.reset_host()).status == 204
    clock.advance(61)


async def version(bmc: Any, component: str = "BIOS") -> Any:
    """Return a component's version as the inventory tells it."""
    return (await bmc.get(f"{INVENTORY}/{component}")).get("Version")


async def reset_bmc(bmc: Any) -> Any:
    """Restart the BMC."""
    return await bmc.ask("POST", f"{MANAGER}/Actions/Manager.Reset", json={"ResetType": "ForceRestart"})


def multipart(data: bytes, component: str = "BIOS") -> aiohttp.FormData:
    """Build a multipart push."""
    form = aiohttp.FormData()
    targets = json.dumps({"Targets": [f"{INVENTORY}/{component}"]})
    form.add_field("UpdateParameters", targets, content_type="application/json")
    form.add_field("UpdateFile", data, filename="image.bin", content_type="application/octet-stream")
    return form


async def certificate(station: Any) -> bytes:
    """Return the certificate that the BMC shows, trusted or not."""
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection(station.address, station.port, ssl=trust)
    try:
        found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.close()
        await writer.wait_closed()
    return found
