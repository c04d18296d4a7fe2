"""Clients that others wrote, unchanged, against the lab: sushy and DMTF's redfish."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
import redfish
import sushy
from sushy import auth

from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.lab import Lab

BIOS = "/redfish/v1/UpdateService/FirmwareInventory/BIOS"


@pytest.fixture
def rack(tmp_path, images):
    """A lab in a thread of its own, with an image server beside it; yields lab, clock and the server."""
    clock = VirtualClock()
    up, down = threading.Event(), threading.Event()

    async def serve():
        async with images.serving():
            up.set()
            await asyncio.get_running_loop().run_in_executor(None, down.wait)

    server = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    server.start()
    try:
        assert up.wait(10), "the image server did not start"
        with Lab(1, clock=clock, directory=tmp_path / "lab") as lab:
            yield lab, clock, images
    finally:
        down.set()
        server.join(10)
        assert not server.is_alive(), "the image server did not end"


def fetched(lab) -> None:
    """Wait until the one image is there; it travels in real time."""
    until = time.monotonic() + 10
    while lab["r1n01"].machine.tasks[-1].state == "New" and time.monotonic() < until:
        time.sleep(0.005)


def test_sushy_updates_a_node(rack):
    """Sushy logs in, updates, follows the task, resets and sees the new version."""
    lab, clock, images = rack
    root = sushy.Sushy(lab["r1n01"].url, auth=auth.SessionAuth("admin", "password"), verify=str(lab.ca))
    try:
        service = root.get_update_service()
        monitor = service.simple_update(images.url("bios2"), targets=[BIOS], transfer_protocol="HTTP")
        fetched(lab)
        running = monitor.get_task().task_state
        clock.advance(61)
        done = monitor.get_task().task_state
        system = root.get_system()
        system.reset_system(sushy.RESET_TYPE_FORCE_RESTART)
        clock.advance(61)
        versions = {member.identity: member.version for member in service.firmware_inventory.get_members()}
    finally:
        root._auth.close()

    assert (sushy.TaskState.RUNNING, sushy.TaskState.COMPLETED) == (running, done)
    assert "2.0.0" == versions["BIOS"]
    assert 0 == lab.truth()["totals"]["sessions_open"]


def test_sushy_stages_bios_settings(rack):
    """Sushy reads the attributes and their registry and stages a change under its ETag."""
    lab, clock, _ = rack
    root = sushy.Sushy(lab["r1n01"].url, auth=auth.BasicAuth("admin", "password"), verify=str(lab.ca))
    system = root.get_system()
    bios = system.bios
    registry = bios.get_attribute_registry()
    bios.set_attribute("QuietBoot", False)
    pending = bios.pending_attributes
    system.reset_system(sushy.RESET_TYPE_FORCE_RESTART)
    clock.advance(61)
    bios.refresh(force=True)

    assert "QuietBoot" in {entry.name for entry in registry.registry_entries.attributes}
    assert {"QuietBoot": False} == pending
    assert bios.attributes["QuietBoot"] is False


def test_redfish_updates_a_node(rack):
    """DMTF's redfish library logs in, pushes by multipart, follows the monitor, resets and sees the new version."""
    lab, clock, images = rack
    node = redfish.redfish_client(
        lab["r1n01"].url, username="admin", password="password", cafile=str(lab.ca), timeout=10, max_retry=0
    )
    node.login(auth="session")
    try:
        service = node.get("/redfish/v1/UpdateService").dict
        data = (images.directory / "bios2").read_bytes()
        form = {
            "UpdateParameters": (None, '{"Targets": []}', "application/json"),
            "UpdateFile": ("bios2", data, "application/octet-stream"),
        }
        begun = node.post(service["MultipartHttpPushUri"], body=form, headers={"Content-Type": "multipart/form-data"})
        watch = begun.monitor(node)
        early = watch.status
        clock.advance(61)
        watch = begun.monitor(node)
        node.post("/redfish/v1/Systems/1/Actions/ComputerSystem.Reset", body={"ResetType": "ForceRestart"})
        clock.advance(61)
        version = node.get(BIOS).dict["Version"]
    finally:
        node.logout()

    assert (202, 202, 200) == (begun.status, early, watch.status)
    assert "2.0.0" == version
    assert 0 == lab.truth()["totals"]["sessions_open"]
