"""What controllers do to a machine by believing too much, and by not being alone: P48 to P50."""

from __future__ import annotations

import pytest

from emulated.pathologies.raw import SYSTEM, TASKS, begin, flash, reboot, version


@pytest.mark.pathology("P48", "a stale version makes a naive controller flash again: the truth counts a double flash")
def test_p48_a_stale_inventory_plans_a_second_update(play, client, images, arm):
    """The story of a controller that trusts one reading."""

    async def scenario(lab, clock):
        arm(lab, "P48")

        async def naive_controller(bmc):
            if await version(bmc) != "2.0.0":
                await flash(lab, clock, bmc, images, "attempt-a/bios2")
                await reboot(clock, bmc)

        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            await naive_controller(bmc)
            stale = await version(bmc)
            await naive_controller(bmc)
            writes = lab.truth()["nodes"]["r1n01"]["writes"]

            assert "1.0.0" == stale
            assert [None, "repeat"] == [write["double_flash"] for write in writes]

    play(scenario)


@pytest.mark.pathology("P49", "Completed and OK; after the reset POST ends nowhere and health is Critical")
def test_p49_success_is_recorded_before_the_image_has_booted(play, client, images, arm):
    """The story of a controller that takes the task's word."""

    async def scenario(lab, clock):
        arm(lab, "P49", version="2.0.0")
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            task = await bmc.get(await flash(lab, clock, bmc, images))
            recorded = (task["TaskState"], task["TaskStatus"])
            await reboot(clock, bmc)
            system = await bmc.get(SYSTEM)

            assert ("Completed", "OK") == recorded
            assert "Critical" == system["Status"]["Health"]
            assert "OSRunning" != system["BootProgress"]["LastState"]

    play(scenario)


@pytest.mark.pathology("P50", "a task that nobody of ours began, 503 to our own update, and 6.6.6 in the end")
def test_p50_a_rogue_second_writer(play, client, images, arm):
    """Somebody else flashes the node while we are about to."""

    async def scenario(lab, clock):
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            arm(lab, "P50", resets=True, after=5)
            clock.advance(6)
            members = (await bmc.get(TASKS))["Members"]
            task = await bmc.get(members[0]["@odata.id"])
            ours = await begin(lab, bmc, images)
            clock.advance(130)

            assert (1, "Running") == (len(members), task["TaskState"])
            assert "installing 6.6.6 on BIOS" == task["Messages"][-1]["Message"]
            assert 503 == ours.status
            assert "6.6.6" == await version(bmc)

    play(scenario)


@pytest.mark.pathology("P50", "another version over ours, which waited for its reset: 6.6.6 in the end")
def test_p50_the_rogue_waits_for_our_write(play, client, images, arm):
    """It strikes at a named moment: when our own image was written, over what waits for its reset."""

    async def scenario(lab, clock):
        arm(lab, "P50", at="written", version="6.6.6")
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            await flash(lab, clock, bmc, images)
            clock.advance(70)
            await reboot(clock, bmc)
            truth = lab.truth()["nodes"]["r1n01"]

            assert "6.6.6" == await version(bmc)
            assert ["superseded", "activated"] == [write["result"] for write in truth["writes"]]
            assert [None, "overlap"] == [write["double_flash"] for write in truth["writes"]]

    play(scenario)
