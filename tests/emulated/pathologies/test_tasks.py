"""Update tasks that vanish, lie, wait and hide: P01 to P12, P19."""

from __future__ import annotations

import json

import aiohttp
import pytest

from emulated.pathologies.raw import (
    INVENTORY,
    LOST,
    ROOT,
    TASKS,
    UPDATES,
    begin,
    flash,
    multipart,
    reboot,
    reset_bmc,
    version,
)


@pytest.mark.pathology("P01", "the task's URI answers 404 after the restart, the new version runs all the same")
def test_p01_the_task_is_gone_after_the_bmc_rebooted(play, client, images, arm):
    """The BMC restarts in mid-update and its TaskService is empty; the image was staged."""

    async def scenario(lab, clock):
        arm(lab, "P01")
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            begun = await begin(lab, bmc, images)
            clock.advance(130)
            with pytest.raises(LOST):
                await bmc.ask("POST", ROOT, json={})
            await bmc.log_in()

            assert 404 == (await bmc.ask("GET", begun.body["@odata.id"])).status
            assert 0 == (await bmc.get(TASKS))["Members@odata.count"]
            await reboot(clock, bmc)
            assert "2.0.0" == await version(bmc)

    play(scenario)


@pytest.mark.pathology("P02", "the task answers 404 once it succeeded, JobService/Jobs/1 says Completed")
def test_p02_the_task_is_purged_when_it_succeeds(play, client, images, arm):
    """The task is gone at once, the vendor's job tells how it ended."""

    async def scenario(lab, clock):
        arm(lab, "P02")
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            task = await flash(lab, clock, bmc, images)

            assert 404 == (await bmc.ask("GET", task)).status
            assert "Completed" == (await bmc.get(f"{ROOT}/JobService/Jobs/1"))["JobState"]

    play(scenario)


@pytest.mark.pathology("P02", "the same on a make whose task ends with the reset, not with the write")
def test_p02_purges_a_task_that_ends_with_its_reset(play, client, images, arm):
    """The task is there while it waits for the reset, and gone once that has applied the image."""

    async def scenario(lab, clock):
        arm(lab, "P02")
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            told = await bmc.simple_update(images.url("bios2"), None)
            await lab.transfers_done()
            clock.advance(61)
            waiting = (await bmc.ask("GET", told.headers["Location"])).status
            await bmc.reset_host()
            clock.advance(300)

            assert [200, 404] == [waiting, (await bmc.ask("GET", told.headers["Location"])).status]
            assert "2.0.0" == lab["r1n01"].truth()["installed"]["BIOS"]["version"]

    play(scenario, personality="idrac")


@pytest.mark.pathology("P03", "the task answers 404 after the restart, and a reset brings no new version")
def test_p03_a_vanished_task_staged_nothing(play, client, images, arm):
    """A client that takes a vanished task for success waits for a version that never comes."""

    async def scenario(lab, clock):
        arm(lab, "P03")
        async with images.serving():
            async with client(lab) as bmc:
                await bmc.log_in()
                begun = await begin(lab, bmc, images)
            clock.advance(130)
            async with client(lab) as bmc:
                await bmc.log_in()

                assert 404 == (await bmc.ask("GET", begun.body["@odata.id"])).status
                await reboot(clock, bmc)
                assert "1.0.0" == await version(bmc)

    play(scenario)


@pytest.mark.pathology("P04", "the fresh task answers 404 for five seconds, then 200")
def test_p04_a_fresh_task_is_not_found_for_a_while(play, client, images, arm):
    """The task that the 202 names is not there yet."""

    async def scenario(lab, clock):
        arm(lab, "P04", seconds=5)
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            task = (await begin(lab, bmc, images)).body["@odata.id"]
            early = await bmc.ask("GET", task)
            clock.advance(5)

            assert [404, 200] == [early.status, (await bmc.ask("GET", task)).status]

    play(scenario)


@pytest.mark.pathology("P05", "TaskState is New, or Downloading, until it is Completed")
@pytest.mark.parametrize("word", ["New", "Downloading"])
def test_p05_a_task_in_a_word_of_its_own_goes_on(play, client, images, arm, word):
    """A word that is not known is no failure: the task ends well."""

    async def scenario(lab, clock):
        arm(lab, "P05", word=word)
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            task = (await begin(lab, bmc, images)).body["@odata.id"]
            running = await bmc.get(task)
            clock.advance(61)

            assert [word, "Completed"] == [running["TaskState"], (await bmc.get(task))["TaskState"]]

    play(scenario)


@pytest.mark.pathology("P06", "TaskState Completed, 100 %, TaskStatus Critical, and the old version after the reset")
def test_p06_completed_and_critical_has_failed(play, client, images, arm):
    """The state says Completed, the status says what happened."""

    async def scenario(lab, clock):
        arm(lab, "P06")
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            task = await bmc.get(await flash(lab, clock, bmc, images))
            await reboot(clock, bmc)

            assert ("Completed", "Critical", 100) == (task["TaskState"], task["TaskStatus"], task["PercentComplete"])
            assert "1.0.0" == await version(bmc)

    play(scenario)


@pytest.mark.pathology("P07", "Completed, and the old version until a host reset, which this BMC firmware never needed")
def test_p07_completed_means_staged(play, client, images, arm):
    """Whatever the component's habit, its image runs only after a reset of the host."""

    async def scenario(lab, clock):
        arm(lab, "P07", hidden=True)
        async with images.serving():
            async with client(lab) as bmc:
                await bmc.log_in()
                task = await bmc.get(await flash(lab, clock, bmc, images, "bmc2", "BMC"))
                await reset_bmc(bmc)
            clock.advance(91)
            async with client(lab) as bmc:
                await bmc.log_in()
                members = str((await bmc.get(INVENTORY))["Members"])

                assert ("Completed", "1.0.0") == (task["TaskState"], await version(bmc, "BMC"))
                assert "Staged" not in members
                await reboot(clock, bmc)
                assert "2.0.0" == await version(bmc, "BMC")

    play(scenario)


@pytest.mark.pathology("P08", "409 to power, to a BMC restart and to another update while the task runs")
def test_p08_power_and_work_are_refused_while_a_task_runs(play, client, images, arm):
    """Nothing else is done until the task has ended."""

    async def scenario(lab, clock):
        arm(lab, "P08")
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            await begin(lab, bmc, images)
            refused = [await bmc.reset_host(), await reset_bmc(bmc), await begin(lab, bmc, images, "bmc2", "BMC")]
            clock.advance(61)

            assert [409, 409, 409] == [told.status for told in refused]
            assert 204 == (await bmc.reset_host()).status

    play(scenario)


@pytest.mark.pathology("P09", "the monitor answers 200 once and 404 ever after")
def test_p09_reading_the_monitor_deletes_it(play, client, images, arm):
    """The end is told once; the task itself stays."""

    async def scenario(lab, clock):
        arm(lab, "P09")
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            begun = await begin(lab, bmc, images)
            monitor = begun.headers["Location"]
            statuses = [(await bmc.ask("GET", monitor)).status]
            clock.advance(61)
            statuses += [(await bmc.ask("GET", monitor)).status for _ in range(2)]

            assert [202, 200, 404] == statuses
            assert "Completed" == (await bmc.get(begun.body["@odata.id"]))["TaskState"]

    play(scenario)


@pytest.mark.pathology("P09", "a push gets 400 until HttpPushUriTargetsBusy is set, and so does setting it twice")
def test_p09_a_push_must_be_claimed_and_released(play, client, images, arm):
    """The claim is exclusive and stays until it is released, failed push or not."""

    async def scenario(lab, clock):
        arm(lab, "push-claim")
        data = (images.directory / "bios2").read_bytes()

        async def set_busy(bmc, busy):
            return (await bmc.ask("PATCH", UPDATES, json={"HttpPushUriTargetsBusy": busy})).status

        async with client(lab) as bmc:
            await bmc.log_in()
            path = (await bmc.get(UPDATES))["MultipartHttpPushUri"]
            unclaimed = await bmc.ask("POST", path, data=multipart(data))
            claims = [await set_busy(bmc, True), await set_busy(bmc, True)]
            claimed = await bmc.ask("POST", path, data=multipart(data))

            assert [400, 202] == [unclaimed.status, claimed.status]
            assert [204, 400] == claims
            assert (await bmc.get(UPDATES))["HttpPushUriTargetsBusy"] is True
            assert 204 == await set_busy(bmc, False)

    play(scenario)


@pytest.mark.pathology("P10", "a 202 whose task is in MessageArgs, in the body, in a link, at …/Monitor, or nowhere")
@pytest.mark.parametrize("where", ["message-args", "body-task", "body-link", "monitor-suffix", "nowhere"])
def test_p10_the_answer_hides_its_task(play, client, images, arm, where):
    """Wherever it hides, the task exists."""

    async def scenario(lab, clock):
        arm(lab, "P10", where=where)
        task = f"{TASKS}/1"
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            told = await begin(lab, bmc, images)
            location, text = told.headers.get("Location"), str(told.body)

            assert 202 == told.status
            match where:
                case "message-args":
                    assert [task] == told.body["@Message.ExtendedInfo"][0]["MessageArgs"]
                case "body-task":
                    assert (None, task) == (location, told.body["@odata.id"])
                case "body-link":
                    assert (None, {"@odata.id": task}) == (location, told.body["Task"])
                    assert "TaskState" not in told.body
                case "monitor-suffix":
                    assert (f"{task}/Monitor", b"") == (location, told.body)
                    assert 202 == (await bmc.ask("GET", location)).status
                case "nowhere":
                    assert location is None
                    assert task not in text
            assert "Running" == (await bmc.get(task))["TaskState"]

    play(scenario)


@pytest.mark.pathology("P10", "the same on makes whose own answers hide it elsewhere")
@pytest.mark.parametrize("where", ["message-args", "body-task", "body-link", "monitor-suffix"])
@pytest.mark.parametrize("make", ["idrac", "xcc", "supermicro"])
def test_p10_hides_the_task_whatever_the_make_says_itself(play, client, images, arm, make, where):
    """A Location alone, a body alone or a message alone is replaced by the place that was asked for."""

    async def scenario(lab, clock):
        arm(lab, "P10", where=where)
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            told = await bmc.simple_update(images.url("bios2"), None)
            (member,) = (await bmc.get(TASKS))["Members"]
            task = member["@odata.id"]
            found = {
                "message-args": lambda: told.body["@Message.ExtendedInfo"][0]["MessageArgs"][0],
                "body-task": lambda: told.body["@odata.id"],
                "body-link": lambda: told.body["Task"]["@odata.id"],
                "monitor-suffix": lambda: told.headers["Location"].removesuffix("/Monitor"),
            }

            assert 202 == told.status
            assert task == found[where]()
            assert ("Location" in told.headers) == (where == "monitor-suffix")

    play(scenario, personality=make)


@pytest.mark.pathology("P11", "TaskState Suspended, UserIntervention or Interrupted, a day later still")
@pytest.mark.parametrize("state", ["Suspended", "UserIntervention", "Interrupted"])
def test_p11_the_task_waits_for_ever(play, client, images, arm, state):
    """Nobody comes, and the BMC takes no other update."""

    async def scenario(lab, clock):
        arm(lab, "P11", state=state, percent=30)
        async with images.serving(), client(lab, basic="admin:password") as bmc:
            task = (await begin(lab, bmc, images)).body["@odata.id"]
            clock.advance(86_400)
            told = await bmc.get(task)

            assert (state, 30) == (told["TaskState"], told["PercentComplete"])
            assert 503 == (await begin(lab, bmc, images)).status

    play(scenario)


@pytest.mark.parametrize("state", ["Suspended", "UserIntervention", "Interrupted"])
@pytest.mark.parametrize("make", ["idrac", "ilo6"])
def test_p11_is_told_by_makes_with_words_of_their_own(play, client, images, arm, make, state):
    """Dell's job and iLO's update state have a word for a task that waits."""

    async def scenario(lab, clock):
        arm(lab, "P11", state=state, percent=30)
        async with images.serving(), client(lab, basic="admin:password") as bmc:
            await bmc.simple_update(images.url("bios2"), None)
            await lab.transfers_done()
            clock.advance(86_400)
            (member,) = (await bmc.get(TASKS))["Members"]

            assert state == (await bmc.get(member["@odata.id"]))["TaskState"]
            assert 200 == (await bmc.ask("GET", UPDATES)).status

    play(scenario, personality=make)


@pytest.mark.pathology("P12", "the connection drops without an answer, and the task is there")
def test_p12_the_answer_to_the_update_is_lost(play, client, images, arm):
    """A client that sends it again has the BMC flash twice: the second is refused here only because one runs."""

    async def scenario(lab, clock):
        arm(lab, "P12")
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            with pytest.raises(LOST):
                await bmc.simple_update(images.url("attempt-a/bios2"))
            await lab.transfers_done()
            clock.advance(61)
            await bmc.simple_update(images.url("attempt-a/bios2"))
            await lab.transfers_done()

            assert [f"{TASKS}/1", f"{TASKS}/2"] == [m["@odata.id"] for m in (await bmc.get(TASKS))["Members"]]
            assert 1 == lab.truth()["totals"]["double_flashes"]

    play(scenario)


@pytest.mark.pathology("P19", "the task of the 202 is Completed at once, a second one, Running, is in Tasks")
def test_p19_one_upload_creates_two_tasks(play, client, images, arm):
    """Verify is done in no time; the update has only begun."""

    async def scenario(lab, clock):
        arm(lab, "P19")
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            begun = await begin(lab, bmc, images)
            members = [member["@odata.id"] for member in (await bmc.get(TASKS))["Members"]]
            states = [(await bmc.get(member))["TaskState"] for member in members]

            assert begun.body["@odata.id"] == members[0]
            assert ["Completed", "Running"] == states

    play(scenario)


@pytest.mark.pathology("P19", "the second task only at StartUpdate, where the upload asked for that")
def test_p19_begins_no_update_that_is_to_wait(play, client, images, arm):
    """An upload that asks for OnStartUpdateRequest is verified, and written only when it is started."""

    async def scenario(lab, clock):
        arm(lab, "P19")
        parameters = {"Targets": [], "@Redfish.OperationApplyTime": "OnStartUpdateRequest"}
        form = aiohttp.FormData()
        form.add_field("UpdateParameters", json.dumps(parameters), content_type="application/json")
        form.add_field("UpdateFile", (images.directory / "bios2").read_bytes(), filename="bios2")
        async with client(lab) as bmc:
            await bmc.log_in()
            await bmc.ask("POST", (await bmc.get(UPDATES))["MultipartHttpPushUri"], data=form)
            clock.advance(600)
            before = lab["r1n01"].truth()["flashes"]
            started = await bmc.ask("POST", f"{UPDATES}/Actions/UpdateService.StartUpdate", json={})

            assert (0, 202, 1) == (before, started.status, lab["r1n01"].truth()["flashes"])

    play(scenario, personality="hgx")
