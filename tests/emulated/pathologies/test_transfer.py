"""Images on their way, and what becomes of them: P13 to P18, P20, P37."""

from __future__ import annotations

import pytest
from aiohttp import web

from emulated.pathologies.raw import (
    INVENTORY,
    SETTINGS,
    SYSTEM,
    UPDATES,
    begin,
    flash,
    reboot,
    reset_bmc,
    version,
)


@pytest.mark.pathology("P13", "a chunked upload gets 411, one with Content-Length 202")
def test_p13_chunked_uploads_are_refused(play, client, images, arm):
    """Only an upload that says how long it is, is taken."""

    async def scenario(lab, clock):
        arm(lab, "P13")
        data = (images.directory / "bios2").read_bytes()

        async def chunks():
            yield data

        async with client(lab) as bmc:
            await bmc.log_in()
            path = (await bmc.get(UPDATES))["HttpPushUri"]

            assert 411 == (await bmc.ask("POST", path, data=chunks())).status
            assert 202 == (await bmc.ask("POST", path, data=data)).status

    play(scenario)


@pytest.mark.pathology("P14", "LastResetTime grows though nobody reset the host, and the new version runs")
def test_p14_the_update_reboots_the_host_unasked(play, client, images, arm):
    """The host goes down under whoever works on it."""

    async def scenario(lab, clock):
        arm(lab, "P14")
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            before = (await bmc.get(SYSTEM))["LastResetTime"]
            await flash(lab, clock, bmc, images)
            clock.advance(30)
            during = await bmc.get(SYSTEM)
            clock.advance(60)

            assert before < during["LastResetTime"]
            assert "OSRunning" != during["BootProgress"]["LastState"]
            assert "2.0.0" == await version(bmc)

    play(scenario)


@pytest.mark.pathology("P15", "BiosVersion null and health Warning after the early reset, until the BMC is restarted")
def test_p15_a_reset_too_soon_breaks_the_link(play, client, images, arm):
    """The staged image is not applied, and nothing can be read from the host."""

    async def scenario(lab, clock):
        arm(lab, "P15", seconds=120)
        async with images.serving():
            async with client(lab) as bmc:
                await bmc.log_in()
                await flash(lab, clock, bmc, images)
                await reboot(clock, bmc)
                broken = await bmc.get(SYSTEM)
                unread = await version(bmc)
                await reset_bmc(bmc)
            clock.advance(91)
            async with client(lab) as bmc:
                await bmc.log_in()

                assert (None, "Warning", None) == (broken["BiosVersion"], broken["Status"]["Health"], unread)
                assert "1.0.0" == await version(bmc)
                await reboot(clock, bmc)
                assert "2.0.0" == await version(bmc)

    play(scenario)


@pytest.mark.pathology("P16", "Completed and OK, and the old version; or Exception, and the new one")
@pytest.mark.parametrize(
    ("fault", "told", "runs"),
    [
        ("completed-unapplied", ("Completed", "OK"), "1.0.0"),
        ("error-though-applied", ("Exception", "Critical"), "2.0.0"),
    ],
)
def test_p16_the_task_lies(play, client, images, arm, fault, told, runs):
    """What the task says and what runs after the reset have nothing to do with each other."""

    async def scenario(lab, clock):
        arm(lab, fault)
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            task = await bmc.get(await flash(lab, clock, bmc, images))
            await reboot(clock, bmc)

            assert told == (task["TaskState"], task["TaskStatus"])
            assert runs == await version(bmc)

    play(scenario)


@pytest.mark.pathology("P17", "a jump ends in Exception, 'version 2.0.0 must come first'; two steps do it")
def test_p17_stepping_stones_are_needed(play, client, images, arm):
    """A direct jump is refused, and nothing is written by it."""

    async def scenario(lab, clock):
        arm(lab, "P17", versions="1.0.0 2.0.0 3.0.0")
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            jump = await bmc.get(await flash(lab, clock, bmc, images, "bios3"))
            for stone in ("bios2", "bios3"):
                await flash(lab, clock, bmc, images, stone)
                await reboot(clock, bmc)

            assert "Exception" == jump["TaskState"]
            assert "version 2.0.0 must come first" == jump["Messages"][-1]["Message"]
            assert "3.0.0" == await version(bmc)
            assert 2 == lab.truth()["totals"]["flashes"]

    play(scenario)


@pytest.mark.pathology("P18", "403 to updates and to BIOS settings, reads go on")
def test_p18_the_licence_is_missing(play, client, images, arm):
    """The feature is there to be seen and not to be used."""

    async def scenario(lab, clock):
        arm(lab, "P18")
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            update = await begin(lab, bmc, images)
            settings = await bmc.ask("PATCH", SETTINGS, json={"Attributes": {"BootMode": "Bios"}})

            assert [403, 403] == [update.status, settings.status]
            assert "licence" in update.body["error"]["message"]
            assert "1.0.0" == await version(bmc)

    play(scenario)


async def transfer_failure(lab, bmc, url):
    """Have the BMC fetch *url* in vain; return the last message of its task."""
    begun = await bmc.simple_update(url)
    await lab.transfers_done()
    task = await bmc.get(begun.body["@odata.id"])
    assert "Exception" == task["TaskState"]
    return task["Messages"][-1]


@pytest.mark.pathology("P20", "TransferFailed, and the image's server was never asked")
@pytest.mark.parametrize(
    ("because", "query", "says"),
    [
        ("no-route", "", "no route"),
        ("tls", "", "version of TLS"),
        ("extension", "", "extension"),
        ("query", "?grant=1", "query"),
    ],
)
def test_p20_the_image_is_not_even_asked_for(play, client, images, arm, because, query, says):
    """The task fails with its reason, and no byte was fetched."""

    async def scenario(lab, clock):
        arm(lab, "P20", because=because)
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            message = await transfer_failure(lab, bmc, images.url("bios2") + query)

            assert "Update.1.0.TransferFailed" == message["MessageId"]
            assert says in message["Message"]
            assert [] == images.peers
            assert 202 == (await begin(lab, bmc, images)).status

    play(scenario)


@pytest.mark.pathology("P20", "TransferFailed after the fetch: the connection was lost, or there are no ranges")
def test_p20_the_fetch_breaks_off(play, client, images, arm):
    """The image was asked for, and yet it is not there."""

    async def without_ranges(_):
        return web.Response(body=(images.directory / "bios2").read_bytes())

    async def scenario(lab, clock):
        application = web.Application()
        application.router.add_get("/bios2", without_ranges)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        plain = f"http://127.0.0.1:{runner.addresses[0][1]}/bios2"
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            arm(lab, "P20", because="lost")
            lost = await transfer_failure(lab, bmc, images.url("bios2"))
            arm(lab, "P20", because="range", count=None)
            unranged = await transfer_failure(lab, bmc, plain)
            ranged = await begin(lab, bmc, images)
            task = await bmc.get(ranged.body["@odata.id"])
        await runner.cleanup()

        assert "lost" in lost["Message"]
        assert "ranges" in unranged["Message"]
        assert "Running" == task["TaskState"]

    play(scenario)


@pytest.mark.pathology("P37", "the old version after ForceRestart and PowerCycle, the new one after FullPowerCycle")
def test_p37_only_the_loss_of_ac_power_helps(play, client, images, arm):
    """The image waits through every other reset; the BMC restarts with the host."""

    async def scenario(lab, clock):
        arm(lab, "P37")
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            await flash(lab, clock, bmc, images)
            for kind in ("ForceRestart", "PowerCycle"):
                assert 204 == (await bmc.reset_host(kind)).status
                clock.advance(65)
            waits = await version(bmc)
            drained = await bmc.reset_host("FullPowerCycle")
        clock.advance(100)
        async with client(lab) as bmc:
            await bmc.log_in()

            assert ("1.0.0", 204) == (waits, drained.status)
            assert "2.0.0" == await version(bmc)

    play(scenario)


@pytest.mark.pathology("P37", "FullPowerCycle answers 204, and neither BMC nor host restart")
def test_p37_a_twin_keeps_the_power_up(play, client, images, arm):
    """The drain is accepted and drains nothing."""

    async def scenario(lab, clock):
        arm(lab, "ac-stays")
        async with client(lab) as bmc:
            await bmc.log_in()
            before = await bmc.get(SYSTEM)
            drained = await bmc.reset_host("FullPowerCycle")
            clock.advance(10)

            assert 204 == drained.status
            assert before["LastResetTime"] == (await bmc.get(SYSTEM))["LastResetTime"]
            assert f"{INVENTORY}/BIOS" in str(await bmc.get(INVENTORY))

    play(scenario)
