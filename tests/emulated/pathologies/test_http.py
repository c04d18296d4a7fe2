"""Connections, tags, logins, certificates and clocks: P27 to P34, P39."""

from __future__ import annotations

import asyncio
import socket
import ssl

import aiohttp
import pytest

from emulated.pathologies.raw import (
    INVENTORY,
    LOST,
    MANAGER,
    ROOT,
    SESSIONS,
    SETTINGS,
    SYSTEM,
    TASKS,
    begin,
    certificate,
)


@pytest.mark.pathology("P27", "an answer that promises to keep the connection, and a closed connection after it")
def test_p27_the_kept_connection_is_dropped(play, client, arm):
    """Every second request needs a connection of its own, though none was announced to end."""

    async def scenario(lab, clock):
        arm(lab, "P27", count=2)
        async with client(lab, basic="admin:password") as bmc:
            told = [await bmc.ask("GET", SYSTEM)]
            await asyncio.sleep(0.05)  # the end of the connection travels in real time
            told.append(await bmc.ask("GET", SYSTEM))
            await asyncio.sleep(0.05)
            told += [await bmc.ask("GET", SYSTEM) for _ in range(2)]

            assert [200] * 4 == [one.status for one in told]
            assert "close" != told[0].headers.get("Connection", "keep-alive")
            assert 3 == lab["r1n01"].counters.connections

    play(scenario)


@pytest.mark.pathology("P27", "a PATCH whose connection is reset, and nothing staged")
def test_p27_the_connection_is_reset_under_a_request(play, client, arm):
    """A reading breaks off and works the next time."""

    async def scenario(lab, clock):
        async with client(lab) as bmc:
            await bmc.log_in()
            arm(lab, "request-lost", method="PATCH", path="Settings")
            with pytest.raises(LOST):
                await bmc.ask("PATCH", SETTINGS, json={"Attributes": {"BootMode": "Bios"}})

            assert {} == (await bmc.get(SETTINGS))["Attributes"]

    play(scenario)


@pytest.mark.pathology("P28", "428 without If-Match; 412 to weak, unquoted, empty and -gzip tags as they were told")
@pytest.mark.parametrize("how", ["required", "weak", "unquoted", "empty", "gzip"])
def test_p28_entity_tags(play, client, arm, how):
    """A tag sent back as it was told does not match; its strong form does."""

    async def scenario(lab, clock):
        async with client(lab) as bmc:
            await bmc.log_in()
            strong = (await bmc.ask("GET", SETTINGS)).headers["ETag"]
            arm(lab, "P28", how=how)
            told = (await bmc.ask("GET", SETTINGS)).headers["ETag"]

            async def change(**headers):
                body = {"Attributes": {"BootMode": "Bios"}}
                return (await bmc.ask("PATCH", SETTINGS, json=body, headers=headers)).status

            forms = {"weak": f"W/{strong}", "unquoted": strong.strip('"'), "empty": "", "gzip": f'{strong[:-1]}-gzip"'}
            assert forms.get(how, strong) == told
            if how == "required":
                assert 428 == await change()
            else:
                assert 412 == await change(**{"If-Match": told})
            assert 204 == await change(**{"If-Match": strong})

    play(scenario)


@pytest.mark.pathology("P29", "412 to a reset with the system's own, right tag; 204 without")
def test_p29_if_match_on_an_action_fails(play, client, arm):
    """However often it is read anew, the tag of an action never matches."""

    async def scenario(lab, clock):
        arm(lab, "P29")
        async with client(lab) as bmc:
            await bmc.log_in()
            statuses = []
            for _ in range(2):
                tag = (await bmc.ask("GET", SYSTEM)).headers["ETag"]
                path, body = f"{SYSTEM}/Actions/ComputerSystem.Reset", {"ResetType": "ForceRestart"}
                statuses.append((await bmc.ask("POST", path, json=body, headers={"If-Match": tag})).status)

            assert [412, 412] == statuses
            assert 204 == (await bmc.reset_host()).status

    play(scenario)


@pytest.mark.pathology("P30", "500, or 404, to the login, while Basic is let in")
@pytest.mark.parametrize("status", [500, 404])
def test_p30_the_login_fails(play, client, arm, status):
    """Only the session service is out of order."""

    async def scenario(lab, clock):
        arm(lab, "P30", status=status)
        async with client(lab) as bmc, client(lab, basic="admin:password") as basic:
            assert status == (await bmc.log_in()).status
            assert 200 == (await basic.ask("GET", SYSTEM)).status
            assert 201 == (await bmc.log_in()).status

    play(scenario)


@pytest.mark.pathology("P31", "401 to the poll of a task, and the task goes on")
def test_p31_the_session_expires_at_a_poll(play, client, images, arm):
    """The moment is named: the next request for a task."""

    async def scenario(lab, clock):
        arm(lab, "P31", at="request", request="GET TaskService")
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            task = (await begin(lab, bmc, images)).body["@odata.id"]
            other = await bmc.ask("GET", SYSTEM)
            poll = await bmc.ask("GET", task)
            await bmc.log_in()

            assert [200, 401] == [other.status, poll.status]
            assert "Running" == (await bmc.get(task))["TaskState"]

    play(scenario)


@pytest.mark.pathology("P32", "another certificate: self-signed, expired, or of the same CA; old connections go on")
@pytest.mark.parametrize("to", ["self-signed", "reissued", "expired"])
def test_p32_the_certificate_changes(play, client, arm, to):
    """Who pinned it must stop, whoever signed the next."""

    async def scenario(lab, clock):
        station = lab["r1n01"]
        async with client(lab) as old, client(lab) as new:
            await old.log_in()
            before = await certificate(station)
            arm(lab, "P32", to=to)
            after = await certificate(station)

            assert before != after
            assert 200 == (await old.ask("GET", SYSTEM)).status
            if to == "reissued":
                assert 200 == (await new.ask("GET", ROOT)).status
            else:
                with pytest.raises(aiohttp.ClientConnectorCertificateError) as error:
                    await new.ask("GET", ROOT)
                assert isinstance(error.value.certificate_error, ssl.SSLCertVerificationError)

    play(scenario)


@pytest.mark.pathology("P33", "DateTime, StartTime of the task and LastResetTime ten years ago")
def test_p33_the_clock_is_years_off(play, client, images, arm):
    """Every date that the BMC writes is wrong by the same."""

    async def scenario(lab, clock):
        arm(lab, "P33", seconds=-315_360_000)
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            task = (await begin(lab, bmc, images)).body
            dates = [
                (await bmc.get(MANAGER))["DateTime"],
                task["StartTime"],
                (await bmc.get(SYSTEM))["LastResetTime"],
            ]

            assert ["2016", "2016", "2016"] == [date[:4] for date in dates]

    play(scenario)


@pytest.mark.pathology("P34", "401 to the right password after three wrong ones, for ten minutes, Basic included")
def test_p34_the_account_is_locked(play, client, arm):
    """One wrong try too many locks out whoever comes next."""

    async def scenario(lab, clock):
        arm(lab, "P34", failures=3, seconds=600)
        async with client(lab) as bmc, client(lab, basic="admin:password") as basic:
            wrong = [(await bmc.log_in(password="guess")).status for _ in range(3)]
            locked = [(await bmc.log_in()).status, (await basic.ask("GET", SYSTEM)).status]
            clock.advance(600)

            assert [401, 401, 401] == wrong
            assert [401, 401] == locked
            assert 201 == (await bmc.log_in()).status

    play(scenario)


@pytest.mark.pathology("P39", "resets, silence or 503 from Redfish, while IPMI answers on its port")
@pytest.mark.parametrize("how", ["reset", "hang", "unavailable"])
def test_p39_redfish_is_dead_and_ipmi_is_not(play, client, arm, how):
    """The host goes on, and so does the other face."""

    async def scenario(lab, clock):
        arm(lab, "P39", how=how)
        async with client(lab, basic="admin:password") as bmc:
            match how:
                case "reset":
                    with pytest.raises(LOST):
                        await bmc.ask("POST", SESSIONS, json={})
                case "hang":
                    with pytest.raises(asyncio.TimeoutError):
                        await asyncio.wait_for(bmc.ask("GET", SYSTEM), 0.2)
                case "unavailable":
                    assert 503 == (await bmc.ask("GET", SYSTEM)).status

            assert await ipmi_answers(lab["r1n01"])

    play(scenario)


@pytest.mark.pathology("P39", "no datagram from IPMI, while Redfish answers")
def test_p39_ipmi_is_dead_and_redfish_is_not(play, client, arm):
    """The reverse."""

    async def scenario(lab, clock):
        arm(lab, "ipmi-silent")
        async with client(lab, basic="admin:password") as bmc:
            assert not await ipmi_answers(lab["r1n01"])
            assert f"{INVENTORY}/BIOS" in str(await bmc.get(INVENTORY))
            assert [] == (await bmc.get(TASKS))["Members"]

    play(scenario)


# RMCP, an IPMI 1.5 header without a session, and Get Channel Authentication Capabilities (IPMI 2.0, 22.13).
_CAPABILITIES = "0600ff07 00 00000000 00000000 09 2018c8 8100388e04b5"


async def ipmi_answers(station) -> bool:
    """Ask for the channel's authentication capabilities, as every IPMI client does first, without a login."""
    loop = asyncio.get_running_loop()
    host, port = station.ipmi.endpoint.split(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, (host, int(port)))
        await loop.sock_sendall(sock, bytes.fromhex(_CAPABILITIES))
        try:
            return bool(await asyncio.wait_for(loop.sock_recv(sock, 256), 0.3))
        except TimeoutError:
            return False
