"""BMCs that are busy, stuck, incomplete or full: P21 to P26."""

from __future__ import annotations

import pytest

from emulated.pathologies.raw import INVENTORY, MANAGER, ROOT, SESSIONS, SETTINGS, SYSTEM, begin, reboot, version

CLEAR_QUEUE = f"{MANAGER}/Oem/Dell/DellJobService/Actions/DellJobService.DeleteJobQueue"


@pytest.mark.pathology("P21", "the task is New a day later; after DeleteJobQueue versions are missing for a minute")
def test_p21_the_queue_is_stuck_until_it_is_cleared(play, client, images, arm):
    """Clearing it by force ends the job, and leaves readings incomplete for a while."""

    async def scenario(lab, clock):
        arm(lab, "P21", count=1, seconds=60)
        async with images.serving(), client(lab, basic="admin:password") as bmc:
            task = (await begin(lab, bmc, images)).body["@odata.id"]
            clock.advance(86_400)
            stuck, refused = await bmc.get(task), await begin(lab, bmc, images)
            arm(lab, "P21", seconds=60)
            cleared = await bmc.ask("POST", CLEAR_QUEUE, json={"JobID": "JID_CLEARALL_FORCE"})
            lab["r1n01"].disarm("P21")
            ended, missing = await bmc.get(task), await version(bmc)
            clock.advance(60)

            assert ("New", 503) == (stuck["TaskState"], refused.status)
            assert (200, "Exception", None) == (cleared.status, ended["TaskState"], missing)
            assert "1.0.0" == await version(bmc)
            assert 202 == (await begin(lab, bmc, images)).status

    play(scenario)


@pytest.mark.pathology("P22", "503 with Retry-After 30 to everything, for three minutes")
def test_p22_the_service_is_busy_for_minutes(play, client, arm):
    """It says when to come back, and then says so again."""

    async def scenario(lab, clock):
        arm(lab, "P22", lasts=180, retry_after=30)
        async with client(lab, basic="admin:password") as bmc:
            told = []
            for _ in range(7):
                told.append(await bmc.ask("GET", SYSTEM))
                clock.advance(30)

            assert [503] * 6 + [200] == [one.status for one in told]
            assert "30" == told[0].headers["Retry-After"]

    play(scenario)


@pytest.mark.pathology("P22", "400 'already committed' to further settings until POST has applied those that wait")
def test_p22_a_pending_job_bars_the_next(play, client, arm):
    """What waits must be applied first."""

    async def scenario(lab, clock):
        arm(lab, "job-pending")
        async with client(lab) as bmc:
            await bmc.log_in()

            async def stage(value):
                return await bmc.ask("PATCH", SETTINGS, json={"Attributes": {"BootMode": value}})

            told = [await stage("Bios"), await stage("Uefi")]
            await reboot(clock, bmc)
            told.append(await stage("Uefi"))

            assert [204, 400, 204] == [one.status for one in told]
            assert "already committed" in told[1].body["error"]["message"]

    play(scenario)


@pytest.mark.pathology("P23", "503 'in use' without Retry-After to updates, for twelve hours")
def test_p23_the_lifecycle_controller_is_in_use(play, client, images, arm):
    """Nobody can say for how long."""

    async def scenario(lab, clock):
        arm(lab, "P23")
        async with images.serving(), client(lab, basic="admin:password") as bmc:
            first = await begin(lab, bmc, images)
            clock.advance(43_000)
            later = await begin(lab, bmc, images)
            clock.advance(200)

            assert [503, 503] == [first.status, later.status]
            assert "in use" in first.body["error"]["message"]
            assert "Retry-After" not in first.headers
            assert 202 == (await begin(lab, bmc, images)).status

    play(scenario)


@pytest.mark.pathology("P24", 'bodies {"error":"busy"}, [], HTML, nothing, and half an object')
@pytest.mark.parametrize(
    ("body", "raw"),
    [("busy", {"error": "busy"}), ("list", []), ("html", b"<html>"), ("empty", b""), ("torn", None)],
)
def test_p24_error_bodies_that_cannot_be_read(play, client, images, arm, body, raw):
    """The status is all that one can rely on, and nothing was done."""

    async def scenario(lab, clock):
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            arm(lab, "P24", body=body, status=400, path="SimpleUpdate")
            if body == "torn":
                with pytest.raises(ValueError, match="Unterminated string"):
                    await begin(lab, bmc, images)
            else:
                told = await begin(lab, bmc, images)

                assert 400 == told.status
                assert (raw == told.body) or told.body.startswith(raw)
            assert 0 == len(lab.truth()["nodes"]["r1n01"]["writes"])

    play(scenario)


@pytest.mark.pathology("P25", "Version, BiosVersion and Attributes are missing for 20 s; or 503 SYS518")
@pytest.mark.parametrize("how", ["missing", "unavailable"])
def test_p25_data_sources_are_unavailable(play, client, arm, how):
    """For some twenty seconds a reading tells less, or nothing."""

    async def scenario(lab, clock):
        arm(lab, "P25", how=how)
        async with client(lab) as bmc:
            await bmc.log_in()
            system, bios = await bmc.ask("GET", SYSTEM), await bmc.ask("GET", f"{SYSTEM}/Bios")
            entry = await bmc.ask("GET", f"{INVENTORY}/BIOS")
            clock.advance(20)

            if how == "missing":
                assert [200, 200, 200] == [system.status, bios.status, entry.status]
                assert "BiosVersion" not in system.body
                assert "Attributes" not in bios.body
                assert "Version" not in entry.body
            else:
                assert [503, 503, 503] == [system.status, bios.status, entry.status]
                assert "IDRAC.2.8.SYS518" == system.body["error"]["code"]
            assert "1.0.0" == (await bmc.get(SYSTEM))["BiosVersion"]

    play(scenario)


@pytest.mark.pathology("P26", "503 to a login, all sessions a stranger's, until 30 minutes later")
def test_p26_the_sessions_are_taken(play, client, arm):
    """Basic still works, and shows whose sessions they are."""

    async def scenario(lab, clock):
        arm(lab, "P26")
        async with client(lab, basic="admin:password") as bmc:
            refused = await bmc.log_in()
            sessions = (await bmc.get(SESSIONS))["Members"]
            owner = (await bmc.get(sessions[0]["@odata.id"]))["UserName"]
            clock.advance(1801)

            assert (503, 16, "stranger") == (refused.status, len(sessions), owner)
            assert 201 == (await bmc.log_in()).status
            assert 200 == (await bmc.ask("GET", ROOT)).status

    play(scenario)
