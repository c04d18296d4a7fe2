"""What can go wrong between a client and a BMC of the lab."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest

from rackwave_emulators.faults import AnswerLost, HostDead, RequestLost, RevivedBy, TaskVanishes

ROOT = "/redfish/v1"
LOST = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError)


def test_a_lost_answer_was_acted_on(play, client, images):
    """The update whose answer was lost runs: the connection breaks, the task is there, one flash is counted (P12)."""

    async def scenario(lab, clock):
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            lab["r1n01"].arm(AnswerLost(path="SimpleUpdate"))
            with pytest.raises(LOST):
                await bmc.simple_update(images.url("bios2"))
            await lab.transfers_done()
            tasks = await bmc.get(f"{ROOT}/TaskService/Tasks")

            assert [{"@odata.id": f"{ROOT}/TaskService/Tasks/1"}] == tasks["Members"]
            assert 1 == lab.truth()["totals"]["flashes"]

    play(scenario)


def test_a_lost_request_was_not_acted_on(play, client, images):
    """The request that was lost changes nothing, and the next one is answered."""

    async def scenario(lab, clock):
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            lab["r1n01"].arm(RequestLost(path="SimpleUpdate"))
            with pytest.raises(LOST):
                await bmc.simple_update(images.url("bios2"))

            assert 0 == (await bmc.get(f"{ROOT}/TaskService/Tasks"))["Members@odata.count"]
            assert 202 == (await bmc.simple_update(images.url("bios2"))).status

    play(scenario)


def test_a_restarting_bmc_refuses_until_it_is_back(play, client):
    """While it restarts every connection is reset, old ones too; then its sessions are gone and its marker is new."""

    async def scenario(lab, clock):
        async with client(lab) as bmc:
            await bmc.log_in()
            before = (await bmc.get(f"{ROOT}/Managers/BMC"))["LastResetTime"]
            await bmc.ask("POST", f"{ROOT}/Managers/BMC/Actions/Manager.Reset", json={})
            for pause in (1, 80):
                clock.advance(pause)
                with pytest.raises(LOST):
                    await bmc.ask("POST", ROOT, json={})
            sessions = lab.truth()["totals"]["sessions_open"]
            clock.advance(10)
            stale = await bmc.ask("GET", f"{ROOT}/Systems")
            await bmc.log_in()

            assert 0 == sessions
            assert 401 == stale.status
            assert before != (await bmc.get(f"{ROOT}/Managers/BMC"))["LastResetTime"]

    play(scenario)


def test_a_connection_from_before_the_restart_is_dead(play, client):
    """A BMC that restarted unseen resets the connections it had, also when it answers again."""

    async def scenario(lab, clock):
        async with client(lab) as bmc:
            await bmc.log_in()
            lab["r1n01"].reset_bmc()
            clock.advance(100)
            with pytest.raises(LOST):
                await bmc.ask("POST", f"{ROOT}/SessionService/Sessions", json={})

            assert 201 == (await bmc.log_in()).status

    play(scenario)


def test_a_task_vanishes_with_its_bmc(play, client, images):
    """The BMC restarts in mid-update: its tasks are gone, the image is staged all the same (P01)."""

    async def scenario(lab, clock):
        lab["r1n01"].arm(TaskVanishes(percent=50))
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            begun = await bmc.simple_update(images.url("bios2"))
            await lab.transfers_done()
            clock.advance(31)
            with pytest.raises(LOST):
                await bmc.ask("POST", ROOT, json={})
            clock.advance(100)
            await bmc.log_in()
            task = await bmc.ask("GET", begun.body["@odata.id"])
            await bmc.reset_host()
            clock.advance(61)

            assert 404 == task.status
            assert "2.0.0" == await bmc.bios_version()

    play(scenario)


def test_a_dead_host_shows_and_comes_back(play, client):
    """A dead host is Critical while its BMC answers, and a restart revives it."""

    async def scenario(lab, clock):
        lab["r1n01"].arm(HostDead(revived_by=RevivedBy.RESTART))
        async with client(lab) as bmc:
            await bmc.log_in()
            dead = await bmc.get(f"{ROOT}/Systems/1")
            await bmc.reset_host()
            clock.advance(61)
            alive = await bmc.get(f"{ROOT}/Systems/1")

            assert "Critical" == dead["Status"]["Health"]
            assert ("OK", "OSRunning") == (alive["Status"]["Health"], alive["BootProgress"]["LastState"])
            assert dead["LastResetTime"] != alive["LastResetTime"]

    play(scenario)


def test_power_takes_its_time(play, client):
    """ForceOff goes through PoweringOff, a change meanwhile gets 409 (P35), and what is unknown gets 400."""

    async def scenario(lab, clock):
        async with client(lab) as bmc:
            await bmc.log_in()
            off = await bmc.reset_host("ForceOff")
            changing = (await bmc.get(f"{ROOT}/Systems/1"))["PowerState"]
            early = await bmc.reset_host("On")
            clock.advance(3)
            state = (await bmc.get(f"{ROOT}/Systems/1"))["PowerState"]

            assert (204, "PoweringOff", 409, "Off") == (off.status, changing, early.status, state)
            assert 400 == (await bmc.reset_host("Explode")).status
            assert 400 == (await bmc.ask("POST", f"{ROOT}/Systems/1/Actions/ComputerSystem.Reset", json={})).status

    play(scenario)


def test_latency_is_felt_and_shared(play, client):
    """Every request takes at least the latency, and requests to different BMCs wait side by side."""

    async def scenario(lab, clock):
        async def root(name):
            async with client(lab, name) as bmc:
                await bmc.get(ROOT)

        begun = time.monotonic()
        await asyncio.gather(*(root(name) for name in lab.urls))
        passed = time.monotonic() - begun

        assert 0.2 <= passed < 8 * 0.2

    play(scenario, nodes=8, latency=0.2)
