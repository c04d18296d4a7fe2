"""Updates over the wire: pulled, pushed, refused, doubled, and effective only at the reset they need."""

from __future__ import annotations

import json

import aiohttp
import attrs
import pytest

from rackwave_emulators.personality import WhenBusy, load_personality

ROOT = "/redfish/v1"
UPDATE_SERVICE = f"{ROOT}/UpdateService"
INVENTORY = f"{UPDATE_SERVICE}/FirmwareInventory"


def plain_with(**rules):
    """Return the plain personality with some rules changed."""
    plain = load_personality("plain")
    return attrs.evolve(plain, rules=attrs.evolve(plain.rules, **rules))


def multipart(data: bytes, parameters: object, *, file_name: str = "image.bin") -> aiohttp.FormData:
    """Build a multipart push."""
    form = aiohttp.FormData()
    form.add_field("UpdateParameters", json.dumps(parameters), content_type="application/json")
    form.add_field("UpdateFile", data, filename=file_name, content_type="application/octet-stream")
    return form


def test_a_pulled_image_runs_after_the_reset(play, client, images):
    """SimpleUpdate fetches the image from the BMC's own address; the version changes at POST and not before."""

    async def scenario(lab, clock):
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            begun = await bmc.simple_update(images.url("bios2"))
            await lab.transfers_done()
            clock.advance(30)
            halfway = await bmc.get(begun.body["@odata.id"])
            clock.advance(31)
            done = await bmc.get(begun.body["@odata.id"])
            staged = await bmc.get(f"{INVENTORY}/BIOS-Staged")
            before = await bmc.bios_version()
            await bmc.reset_host()
            clock.advance(10)
            in_post = await bmc.bios_version()
            clock.advance(60)

            assert 202 == begun.status
            assert begun.body["TaskMonitor"] == begun.headers["Location"]
            assert ("Running", 50) == (halfway["TaskState"], halfway["PercentComplete"])
            assert ("Completed", "OK", 100) == (done["TaskState"], done["TaskStatus"], done["PercentComplete"])
            assert ("2.0.0", True, False) == (staged["Version"], staged["Staged"], staged["Active"])
            assert ("1.0.0", "1.0.0", "2.0.0") == (before, in_post, await bmc.bios_version())
            assert 404 == (await bmc.ask("GET", f"{INVENTORY}/BIOS-Staged")).status
            assert [bmc.station.address] == images.peers

    play(scenario)


def test_the_task_monitor_says_202_until_the_end(play, client, images):
    """A monitor answers 202 with Retry-After while its task runs, then 200 with the task."""

    async def scenario(lab, clock):
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            monitor = (await bmc.simple_update(images.url("bios2"))).headers["Location"]
            await lab.transfers_done()
            running = await bmc.ask("GET", monitor)
            clock.advance(61)
            done = await bmc.ask("GET", monitor)

            assert (202, "1") == (running.status, running.headers["Retry-After"])
            assert (200, "Completed") == (done.status, done.body["TaskState"])

    play(scenario)


@pytest.mark.parametrize("personality", ["plain", "openbmc"])
def test_a_pushed_image_runs_after_the_reset(play, client, images, personality):
    """MultipartHttpPushUri receives the image and answers with the task that writes it."""

    async def scenario(lab, clock):
        async with client(lab) as bmc:
            await bmc.log_in()
            service = await bmc.get(UPDATE_SERVICE)
            form = multipart((images.directory / "bios2").read_bytes(), {"Targets": [f"{INVENTORY}/BIOS"]})
            begun = await bmc.ask("POST", service["MultipartHttpPushUri"], data=form)
            clock.advance(91)
            done = await bmc.get(begun.body["@odata.id"])
            await bmc.reset_host()
            clock.advance(61)

            assert (202, "Running") == (begun.status, begun.body["TaskState"])
            assert "Completed" == done["TaskState"]
            assert "2.0.0" == await bmc.bios_version()
            assert "push" == lab.truth()["nodes"]["r1n01"]["writes"][0]["source"]

    play(scenario, personality=personality)


def test_a_bare_push_lets_the_image_say_what_it_is_for(play, client, images):
    """HttpPushUri takes the image as the whole body; a BMC image becomes effective when the BMC restarts."""

    async def scenario(lab, clock):
        async with client(lab) as bmc:
            await bmc.log_in()
            data = (images.directory / "bmc2").read_bytes()
            begun = await bmc.ask("POST", (await bmc.get(UPDATE_SERVICE))["HttpPushUri"], data=data)
            clock.advance(61)
            reset = await bmc.ask(
                "POST", f"{ROOT}/Managers/BMC/Actions/Manager.Reset", json={"ResetType": "GracefulRestart"}
            )
            clock.advance(91)
        async with client(lab) as bmc:
            await bmc.log_in()

            assert (202, 204) == (begun.status, reset.status)
            assert "2.0.0" == (await bmc.get(f"{ROOT}/Managers/BMC"))["FirmwareVersion"]

    play(scenario)


@pytest.mark.parametrize(
    ("image", "target", "message"),
    [
        ("damaged", f"{INVENTORY}/BIOS", "Update.1.0.VerificationFailed"),
        ("bmc2", f"{INVENTORY}/BIOS", "Update.1.0.NoTargetsDetermined"),
        ("nowhere", f"{INVENTORY}/BIOS", "Update.1.0.TransferFailed"),
    ],
)
def test_an_image_that_is_not_right_writes_nothing(play, client, images, image, target, message):
    """An image that is damaged, for something else or not to be had ends in Exception, with no byte written."""

    async def scenario(lab, clock):
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            begun = await bmc.simple_update(images.url(image), target)
            await lab.transfers_done()
            task = await bmc.get(begun.body["@odata.id"])

            assert ("Exception", "Critical") == (task["TaskState"], task["TaskStatus"])
            assert message == task["Messages"][-1]["MessageId"]
            assert 0 == lab.truth()["totals"]["flashes"]

    play(scenario)


def test_a_second_update_is_refused_while_one_runs(play, client, images):
    """A BMC that is busy answers 503 with UpdateInProgress (P22), and that is no double flash."""

    async def scenario(lab, clock):
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            await bmc.simple_update(images.url("bios2"))
            second = await bmc.simple_update(images.url("bios2"))

            assert 503 == second.status
            assert "Update.1.0.UpdateInProgress" == second.body["error"]["code"]
            assert 0 == lab.truth()["totals"]["double_flashes"]

    play(scenario)


def test_the_truth_counts_an_overlapping_write(play, client, images):
    """A BMC that takes a second update to a busy component is spoilt by it, and the truth says overlap."""

    async def scenario(lab, clock):
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            await bmc.simple_update(images.url("bios2"))
            await lab.transfers_done()
            await bmc.simple_update(images.url("bios3"))
            await lab.transfers_done()
            truth = lab.truth()

            assert (2, 1) == (truth["totals"]["flashes"], truth["totals"]["double_flashes"])
            assert [None, "overlap"] == [write["double_flash"] for write in truth["nodes"]["r1n01"]["writes"]]
            assert truth["nodes"]["r1n01"]["installed"]["BIOS"]["corrupt"]

    play(scenario, personality=plain_with(second_write=WhenBusy.ACCEPT))


def test_the_truth_counts_a_repeated_write(play, client, images):
    """The same bytes twice within one attempt are a double flash, in another attempt they are not."""

    async def scenario(lab, clock):
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            for attempt in ("attempt-aaaa", "attempt-aaaa", "attempt-bbbb"):
                await bmc.simple_update(images.url(f"{attempt}/bios2"))
                await lab.transfers_done()
                clock.advance(61)
                await bmc.reset_host()
                clock.advance(61)

            assert [None, "repeat", None] == [
                write["double_flash"] for write in lab.truth()["nodes"]["r1n01"]["writes"]
            ]

    play(scenario)


def test_an_upload_without_length_is_refused_where_the_make_says_so(play, client, images):
    """A chunked upload gets 411 (P13) from a BMC that needs Content-Length, and is taken by one that does not."""

    async def chunks():
        yield (images.directory / "bios2").read_bytes()

    async def strict(lab, clock):
        async with client(lab) as bmc:
            await bmc.log_in()
            assert 411 == (await bmc.ask("POST", f"{UPDATE_SERVICE}/update", data=chunks())).status

    async def lenient(lab, clock):
        async with client(lab) as bmc:
            await bmc.log_in()
            assert 202 == (await bmc.ask("POST", f"{UPDATE_SERVICE}/update", data=chunks())).status

    play(strict, personality=plain_with(push_needs_length=True))
    play(lenient)


def test_an_upload_that_breaks_off_leaves_nothing(play, client, images, tmp_path):
    """A client that goes away in mid-upload begins no update and leaves no file."""

    async def half():
        yield (images.directory / "bios2").read_bytes()[:1000]
        raise ConnectionError

    async def scenario(lab, clock):
        async with client(lab) as bmc:
            await bmc.log_in()
            with pytest.raises((aiohttp.ClientError, ConnectionError)):
                await bmc.ask("POST", f"{UPDATE_SERVICE}/update", data=half(), headers={"Content-Length": "65536"})
            await bmc.get(ROOT)

            assert [] == list((tmp_path / "lab" / "inbox").glob("*"))
            assert [] == lab.truth()["nodes"]["r1n01"]["writes"]

    play(scenario)


def test_a_make_without_pull_offers_no_simple_update(play, client):
    """OpenBMC lists no SimpleUpdate action and answers 404 to it."""

    async def scenario(lab, clock):
        async with client(lab) as bmc:
            await bmc.log_in()
            assert {} == (await bmc.get(UPDATE_SERVICE))["Actions"]
            assert 404 == (await bmc.simple_update("http://127.0.0.1:9/x")).status

    play(scenario, personality="openbmc")


def test_an_image_that_is_too_large_is_refused(play, client, images):
    """More than MaxImageSizeBytes is a failed transfer when pulled and 413 when pushed."""

    async def scenario(lab, clock):
        lab["r1n01"].image_limit = 1000
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            begun = await bmc.simple_update(images.url("bios2"))
            await lab.transfers_done()
            task = await bmc.get(begun.body["@odata.id"])
            form = multipart((images.directory / "bios2").read_bytes(), {})

            assert "Update.1.0.TransferFailed" == task["Messages"][-1]["MessageId"]
            assert 413 == (await bmc.ask("POST", f"{UPDATE_SERVICE}/update-multipart", data=form)).status
            assert 0 == lab.truth()["totals"]["flashes"]

    play(scenario)
