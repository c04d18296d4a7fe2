"""Power, resets and the BMC's own life: P35, P36, P38, P40 to P42."""

from __future__ import annotations

import pytest

from emulated.pathologies.raw import LOST, MANAGER, ROOT, SYSTEM, TASKS, begin, certificate, flash, reset_bmc, version


@pytest.mark.pathology("P35", "409 to On just after power-off; to ForceOff when off; to ForceRestart during POST")
@pytest.mark.parametrize(
    ("when", "before", "asked", "wait"),
    [
        ("just-off", "ForceOff", "On", 3),
        ("same-state", "ForceOff", "ForceOff", 3),
        ("post", "ForceRestart", "ForceRestart", 5),
    ],
)
def test_p35_resets_are_refused(play, client, arm, when, before, asked, wait):
    """The very same request is taken when the moment is another."""

    async def scenario(lab, clock):
        async with client(lab) as bmc:
            await bmc.log_in()
            arm(lab, "P35", when=when, seconds=10)
            await bmc.reset_host(before)
            clock.advance(wait)
            refused = await bmc.reset_host(asked)
            clock.advance(100)
            if when == "same-state":
                await bmc.reset_host("On")
                clock.advance(100)

            assert 409 == refused.status
            assert 204 == (await bmc.reset_host(asked)).status

    play(scenario)


@pytest.mark.pathology("P36", "200 after the restart, resets of the connection 6 s later, twice over, then 200")
def test_p36_the_bmc_flaps(play, client, arm):
    """One good answer proves nothing."""

    async def scenario(lab, clock):
        arm(lab, "P36", times=2, up=5, down=20)

        async def answers():
            async with client(lab) as bmc:
                try:
                    return (await bmc.ask("POST", ROOT, json={})).status != 503
                except LOST:
                    return False

        async with client(lab) as bmc:
            await bmc.log_in()
            await reset_bmc(bmc)
        seen = []
        for pause in (89, 2, 5, 18, 2, 5, 18, 2, 60):
            clock.advance(pause)
            seen.append(await answers())

        assert [False, True, False, False, True, False, False, True, True] == seen

    play(scenario)


@pytest.mark.pathology("P38", "204 to a BMC restart, and the same LastResetTime a moment and a minute later")
def test_p38_a_locked_down_bmc_does_not_restart(play, client, arm):
    """Success is reported and nothing happens, over whichever face it was asked for."""

    async def scenario(lab, clock):
        arm(lab, "P38")
        async with client(lab) as bmc:
            await bmc.log_in()
            before = (await bmc.get(MANAGER))["LastResetTime"]
            told = await reset_bmc(bmc)
            clock.advance(1)
            soon = (await bmc.get(MANAGER))["LastResetTime"]
            clock.advance(60)

            assert (204, before) == (told.status, soon)
            assert before == (await bmc.get(MANAGER))["LastResetTime"]

    play(scenario)


@pytest.mark.pathology("P40", "401 to the known account and 201 to ADMIN, another certificate, no tasks")
def test_p40_the_flash_factory_resets_the_bmc(play, client, images, arm):
    """What one knew of the BMC is worth nothing when it is back."""

    async def scenario(lab, clock):
        station = lab["r1n01"]
        arm(lab, "P40", at="written")
        async with images.serving():
            before = await certificate(station)
            async with client(lab) as bmc:
                await bmc.log_in()
                await flash(lab, clock, bmc, images, "bmc2", "BMC")
                with pytest.raises(LOST):
                    await bmc.ask("POST", ROOT, json={})
            clock.advance(100)
        assert before != await certificate(station)
        station.machine.controller.certificates = 0  # a person has looked, and trusts it again
        async with client(lab) as bmc:
            known = await bmc.log_in()
            factory = await bmc.log_in("ADMIN", "ADMIN")

            assert [401, 201] == [known.status, factory.status]
            assert [] == (await bmc.get(TASKS))["Members"]
            assert "2.0.0" == await version(bmc, "BMC")

    play(scenario)


@pytest.mark.pathology("P41", "Critical, BiosVersion null, Bios without Attributes; an update revives it all the same")
def test_p41_a_dead_host_cannot_be_read_and_can_be_flashed(play, client, images, arm):
    """Whoever must read something from the host first never gets to flash it."""

    async def scenario(lab, clock):
        arm(lab, "P41")
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            system, bios = await bmc.get(SYSTEM), await bmc.get(f"{SYSTEM}/Bios")
            task = await bmc.get(await flash(lab, clock, bmc, images))
            await bmc.reset_host()
            clock.advance(61)
            revived = await bmc.get(SYSTEM)

            assert ("Critical", None) == (system["Status"]["Health"], system["BiosVersion"])
            assert "Attributes" not in bios
            assert "Completed" == task["TaskState"]
            assert ("OK", "2.0.0") == (revived["Status"]["Health"], revived["BiosVersion"])

    play(scenario)


@pytest.mark.pathology("P42", "PowerState Off beside BootProgress OSRunning")
def test_p42_the_power_state_lies(play, client, arm):
    """The BMC says Off, and the host runs."""

    async def scenario(lab, clock):
        arm(lab, "P42")
        async with client(lab) as bmc:
            await bmc.log_in()
            system = await bmc.get(SYSTEM)

            assert ("Off", "OSRunning") == (system["PowerState"], system["BootProgress"]["LastState"])
            assert "On" == lab.truth()["nodes"]["r1n01"]["power"]

    play(scenario)


@pytest.mark.pathology("P42", "400 to ForceRestart and PowerCycle; only On and ForceOff are listed, and work")
def test_p42_there_is_no_cycle(play, client, arm):
    """Off and on again is all there is."""

    async def scenario(lab, clock):
        arm(lab, "cycle-unsupported")
        async with client(lab) as bmc:
            await bmc.log_in()
            action = (await bmc.get(SYSTEM))["Actions"]["#ComputerSystem.Reset"]
            refused = [(await bmc.reset_host(kind)).status for kind in ("ForceRestart", "PowerCycle")]
            off = (await bmc.reset_host("ForceOff")).status
            clock.advance(3)

            assert ["On", "ForceOff"] == action["ResetType@Redfish.AllowableValues"]
            assert ([400, 400], 204) == (refused, off)
            assert 204 == (await bmc.reset_host("On")).status

    play(scenario)


def test_faults_strike_together(play, client, images, arm):
    """A task that is late and says a strange word, on a BMC that drops a connection and lies about power."""

    async def scenario(lab, clock):
        for row in ("P04", "P05", "P42"):
            arm(lab, row)
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            task = (await begin(lab, bmc, images)).body["@odata.id"]
            late = await bmc.ask("GET", task)
            clock.advance(6)

            assert 404 == late.status
            assert "New" == (await bmc.get(task))["TaskState"]
            assert "Off" == (await bmc.get(SYSTEM))["PowerState"]

    play(scenario)
