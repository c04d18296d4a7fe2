"""Which way an image goes over, what is asked for, and that a claim never outlives its push."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from scripted_bmc import DROP, INVENTORY, SESSIONS, TASKS, UPDATE, HandClock, Reply, Request, ScriptedBmc, client

from rackwave.bmc.quirks import PLAIN, ApplyTime, HttpPushForm, Quirks, Roster, TargetsSent, UpdateWay
from rackwave.bmc.quirks.reader import parse_records
from rackwave.bmc.redfish.bmc import RedfishBmc
from rackwave.bmc.redfish.update import HttpPush, NoWay, Pull, Push, Way, choose_way
from rackwave.core.bundle import Activation
from rackwave.core.identity import ComponentName, Digest
from rackwave.core.observation import Look, TaskPhase, TaskSeen, Unknown
from rackwave.core.receipt import Accepted, Ambiguous, Ground, Receipt, Refused
from rackwave.ports import Image

SERVICE = "/redfish/v1/UpdateService"
UPLOAD = f"{SERVICE}/upload"
STREAM = "/push"
START = f"{SERVICE}/Actions/UpdateService.StartUpdate"
TASK = {"@odata.id": f"{TASKS}/1", "@odata.type": "#Task.v1_4_3.Task", "TaskState": "New"}
BIOS = f"{INVENTORY}/BIOS"

IMAGE = Image(ComponentName("BIOS"), "2", Digest("sha256:" + "0" * 64), 1, Path("/x"), "x", "https://s/x")
OWN = evolve(IMAGE, activation=Activation.BMC_RESET)
AGAIN = evolve(IMAGE, force=True)
PULL = {"target": "/pull"}
BY_HTTP = {**PULL, "TransferProtocol@Redfish.AllowableValues": ["HTTP", "NFS"]}
EITHER = {"Actions": {"#UpdateService.SimpleUpdate": PULL}, "MultipartHttpPushUri": "/push"}
ALL = (ApplyTime.IMMEDIATE, ApplyTime.ON_RESET, ApplyTime.ON_START)


NEITHER = "the BMC has no SimpleUpdate; the BMC has no MultipartHttpPushUri"


def supporting(*words: str) -> dict[str, Any]:
    """A service that pulls, and lists these times."""
    times = {"@Redfish.OperationApplyTimeSupport": {"SupportedValues": list(words)}}
    return {"Actions": {"#UpdateService.SimpleUpdate": {**PULL, **times}}}


def pushing(*words: str, **more: Any) -> dict[str, Any]:
    """A service that takes multipart pushes, and lists these times."""
    times = {"MultipartHttpPushUri@Redfish.OperationApplyTimeSupport": {"SupportedValues": list(words)}}
    return {"MultipartHttpPushUri": "/push", **times, **more}


# -- the choice -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "prefer", "quirks", "way"),
    [
        (EITHER, "auto", PLAIN, Pull("/pull", "HTTPS", ("/m",))),
        (EITHER, "push", PLAIN, Push("/push", ("/m",))),
        (EITHER, "auto", Quirks(update_way=UpdateWay.MULTIPART), Push("/push", ("/m",))),
        (EITHER, "pull", Quirks(update_way=UpdateWay.MULTIPART), Pull("/pull", "HTTPS", ("/m",))),
        (EITHER, "auto", Quirks(update_way=UpdateWay.HTTP_PUSH), Pull("/pull", "HTTPS", ("/m",))),
        (EITHER, "auto", Quirks(targets=TargetsSent.NEVER), Pull("/pull", "HTTPS", ())),
        ({"Actions": {"#UpdateService.SimpleUpdate": PULL}}, "push", PLAIN, Pull("/pull", "HTTPS", ("/m",))),
        ({"MultipartHttpPushUri": "/push"}, "pull", PLAIN, Push("/push", ("/m",))),
        ({**EITHER, "Actions": {"#UpdateService.SimpleUpdate": BY_HTTP}}, "pull", PLAIN, Push("/push", ("/m",))),
        (
            {"Actions": {"#UpdateService.SimpleUpdate": {**PULL, "Targets@Redfish.AllowableValues": ["/other"]}}},
            "auto",
            PLAIN,
            Pull("/pull", "HTTPS", ()),
        ),
        ({"HttpPushUri": "/old"}, "push", PLAIN, HttpPush("/old", None)),
        ({"HttpPushUri": "/old", "HttpPushUriTargets": []}, "push", PLAIN, HttpPush("/old", ("/m",))),
        ({"HttpPushUri": "/old", "MultipartHttpPushUri": "/push"}, "auto", PLAIN, Push("/push", ("/m",))),
        ({"HttpPushUri": "/old"}, "auto", Quirks(start_update=True), HttpPush("/old", None, held=True)),
    ],
)
def test_the_way_is_one_that_the_service_has(service: dict[str, Any], prefer: Any, quirks: Quirks, way: Way) -> None:
    """A preference and a quirk change the order, and never make a way."""
    assert way == choose_way(service, IMAGE, "/m", prefer=prefer, quirks=quirks)


@pytest.mark.parametrize(
    ("service", "quirks", "why"),
    [
        ({"ServiceEnabled": False, "MultipartHttpPushUri": "/push"}, PLAIN, "the BMC's UpdateService is disabled"),
        (
            {"Actions": []},
            PLAIN,
            f"{NEITHER}; the BMC has no HttpPushUri",
        ),
        (
            {"HttpPushUri": "/cgi-bin/uploadFile"},
            Quirks(http_push=HttpPushForm.OWN),
            f"{NEITHER}; its HttpPushUri takes a form of the maker's own, which is not spoken",
        ),
    ],
)
def test_no_way_says_why_each_is_none(service: dict[str, Any], quirks: Quirks, why: str) -> None:
    """Whoever reads the refusal sees what was tried."""
    assert NoWay(why) == choose_way(service, IMAGE, "/m", quirks=quirks)


@pytest.mark.parametrize(
    ("service", "image", "quirks", "when"),
    [
        (supporting(*ALL), IMAGE, PLAIN, ApplyTime.ON_RESET),
        (supporting(ApplyTime.IMMEDIATE, ApplyTime.ON_START), IMAGE, PLAIN, ApplyTime.ON_START),
        (supporting(ApplyTime.IMMEDIATE), IMAGE, PLAIN, ApplyTime.IMMEDIATE),
        (supporting(ApplyTime.AT_WINDOW), IMAGE, PLAIN, ApplyTime.AT_WINDOW),
        (supporting(ApplyTime.AT_WINDOW, ApplyTime.IN_WINDOW), IMAGE, PLAIN, ApplyTime.IN_WINDOW),
        (supporting(*ALL), OWN, PLAIN, ApplyTime.IMMEDIATE),
        (supporting("SomeDay"), IMAGE, PLAIN, None),
        (EITHER, IMAGE, PLAIN, None),
        (EITHER, IMAGE, Quirks(apply_time=ApplyTime.ON_RESET), ApplyTime.ON_RESET),
        (supporting(ApplyTime.IMMEDIATE), IMAGE, Quirks(apply_time=ApplyTime.ON_RESET), ApplyTime.IMMEDIATE),
        (supporting(*ALL), IMAGE, Quirks(apply_time=ApplyTime.IMMEDIATE), ApplyTime.IMMEDIATE),
        (supporting(*ALL), OWN, Quirks(apply_time=ApplyTime.ON_RESET), ApplyTime.IMMEDIATE),
        (pushing(*ALL), IMAGE, PLAIN, ApplyTime.ON_RESET),
        (pushing(), IMAGE, Quirks(start_update=True), ApplyTime.ON_START),
    ],
)
def test_when_it_is_applied(service: dict[str, Any], image: Image, quirks: Quirks, when: ApplyTime | None) -> None:
    """What takes a host reset waits for ours where the service lists a word for that (P14); the rest is at once."""
    way = choose_way(service, image, "/m", quirks=quirks)

    assert not isinstance(way, NoWay)
    assert when == way.when
    assert isinstance(way, Pull) or way.held is (when is ApplyTime.ON_START)


def test_a_window_is_opened_from_now_on() -> None:
    """A service that applies in maintenance windows alone is given one that begins now."""
    way = choose_way(supporting(ApplyTime.IN_WINDOW), IMAGE, "/m", quirks=PLAIN)

    assert isinstance(way, Pull)
    assert {
        "MaintenanceWindowStartTime": "2026-01-01T00:00:00+00:00",
        "MaintenanceWindowDurationInSeconds": 3600,
    } == way.body("https://s/x", now=1_767_225_600.0)["@Redfish.MaintenanceWindow"]


FORCE = {"Parameters": [{"Name": "ForceUpdate", "DataType": "Boolean"}]}


@pytest.mark.parametrize(
    ("service", "image", "info", "forced"),
    [
        (supporting(), AGAIN, FORCE, True),
        (supporting(), AGAIN, None, False),
        (supporting(), IMAGE, FORCE, False),
        ({"@odata.type": "#UpdateService.v1_11_0.UpdateService", **pushing()}, AGAIN, None, True),
        ({"@odata.type": "#UpdateService.v1_8_4.UpdateService", **pushing()}, AGAIN, None, False),
        (pushing(), AGAIN, None, False),
    ],
)
def test_force_is_asked_only_of_who_knows_it(
    service: dict[str, Any], image: Image, info: dict[str, Any] | None, forced: bool
) -> None:
    """ForceUpdate goes with an image that a recovery writes, to a service that has the parameter."""
    way = choose_way(service, image, "/m", quirks=PLAIN, info=info)
    assert not isinstance(way, (NoWay, HttpPush))
    sent = way.body("u", now=0.0) if isinstance(way, Pull) else way.parameters(now=0.0)

    assert forced is ("ForceUpdate" in sent)


def test_the_image_url_is_in_no_repr() -> None:
    """The URL of a pull, which grants access, is in no repr."""
    way = choose_way(EITHER, IMAGE, "/m", quirks=PLAIN)

    assert "https://s/x" not in repr(way) + repr(IMAGE)


# -- on the wire ----------------------------------------------------------------------------------


def image_of(tmp_path: Path, content: bytes = b"firmware", *, url: str | None = None) -> Image:
    """An image on disk."""
    path = tmp_path / "blob"
    path.write_bytes(content)
    return Image(ComponentName("BIOS"), "2", Digest("sha256:" + "0" * 64), len(content), path, "a.bin", url)


async def _nothing() -> None:
    pass


def served(service: dict[str, Any]) -> ScriptedBmc:
    """A BMC whose UpdateService is *service*."""
    server = ScriptedBmc()
    common = {"FirmwareInventory": {"@odata.id": INVENTORY}, "@odata.etag": 'W/"1"'}
    server.documents[SERVICE] = {**common, **service}
    return server


def written(server: ScriptedBmc, image: Image, **more: Any) -> Receipt:
    """Write *image* once."""

    async def run() -> Receipt:
        async with server:
            bmc = client(server, **more)
            receipt = await bmc.write(image, completing=_nothing)
            await bmc.close()
            return receipt

    return asyncio.run(run())


def sent(server: ScriptedBmc, method: str, path: str) -> list[Request]:
    """The requests of *method* that arrived at *path*."""
    return [request for request in server.requests if (request.method, request.path) == (method, path)]


STREAMING = {"HttpPushUri": STREAM, "HttpPushUriTargets": [], "HttpPushUriTargetsBusy": False}
CLAIM = {"HttpPushUriTargets": [BIOS], "HttpPushUriTargetsBusy": True}
RELEASE = {"HttpPushUriTargetsBusy": False}


def test_a_plain_push_is_the_file_itself(tmp_path: Path) -> None:
    """The body is the image, of known length; what it is for is set beside the claim, which is given back (P09)."""
    content = bytes(range(256)) * 9000
    server = served(STREAMING).on(f"PATCH {SERVICE}", Reply(204), Reply(204)).on(f"POST {STREAM}", Reply(202, TASK))
    receipt = written(server, image_of(tmp_path, content))
    (push,) = sent(server, "POST", STREAM)

    assert Accepted(f"{TASKS}/1", "HttpPush") == receipt
    assert (content, str(len(content))) == (push.body, push.headers["content-length"])
    assert "transfer-encoding" not in push.headers
    assert [CLAIM, RELEASE] == [request.json for request in sent(server, "PATCH", SERVICE)]


@pytest.mark.parametrize(
    ("reply", "kind"), [(DROP, Ambiguous), (Reply(500), Ambiguous), (Reply(413), Refused), (Reply(503), Refused)]
)
@pytest.mark.parametrize("way", [STREAM, UPLOAD])
def test_a_claim_is_given_back_whatever_happens(tmp_path: Path, way: str, reply: Reply, kind: type[Receipt]) -> None:
    """A push that fails, or whose answer is lost, leaves no claim behind (P09)."""
    service = STREAMING if way == STREAM else {**STREAMING, "MultipartHttpPushUri": UPLOAD}
    server = served(service).on(f"PATCH {SERVICE}", Reply(204), Reply(204)).on(f"POST {way}", reply)
    receipt = written(server, image_of(tmp_path))

    assert kind is type(receipt)
    assert [True, False] == [r.json["HttpPushUriTargetsBusy"] for r in sent(server, "PATCH", SERVICE)]
    assert 1 == len(sent(server, "POST", way))


@pytest.mark.parametrize("login", [Reply(401), Reply(503)])
def test_what_befalls_the_claim_afterwards_says_nothing_of_the_image(tmp_path: Path, login: Reply) -> None:
    """A session that ends amid the upload, and no other to be had: the image went over, and is not sent again."""
    server = served(STREAMING).on(f"PATCH {SERVICE}", Reply(204), Reply(401)).on(f"POST {STREAM}", Reply(202, TASK))
    first = Reply(201, {"@odata.id": f"{SESSIONS}/1"}, {"X-Auth-Token": "t", "Location": f"{SESSIONS}/1"})
    server.tokens["t"] = f"{SESSIONS}/1"
    server.on(f"POST {SESSIONS}", first, *[login] * 9)

    assert Accepted(f"{TASKS}/1", "HttpPush") == written(server, image_of(tmp_path))


def test_a_claim_is_given_back_by_who_is_called_off(tmp_path: Path) -> None:
    """An upload that is cancelled in mid-flight gives its claim back first."""

    async def run() -> list[bool]:
        server = served(STREAMING).on(f"PATCH {SERVICE}", Reply(204), Reply(204)).on(f"POST {STREAM}", Reply(hang=True))
        async with server:
            bmc = client(server)
            writing = asyncio.ensure_future(bmc.write(image_of(tmp_path), completing=_nothing))
            while not sent(server, "POST", STREAM):  # noqa: ASYNC110 - the script has no event for it
                await asyncio.sleep(0.01)
            writing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await writing
            await bmc.close()
            return [request.json["HttpPushUriTargetsBusy"] for request in sent(server, "PATCH", SERVICE)]

    assert [True, False] == asyncio.run(run())


@pytest.mark.parametrize(
    ("service", "replies"),
    [({**STREAMING, "HttpPushUriTargetsBusy": True}, []), (STREAMING, [Reply(400)]), (STREAMING, [DROP, Reply(204)])],
)
def test_nothing_is_pushed_without_its_claim(tmp_path: Path, service: dict[str, Any], replies: list[Reply]) -> None:
    """A push that somebody else has claimed, or that cannot be claimed, is refused for now."""
    server = served(service).on(f"PATCH {SERVICE}", *replies)
    receipt = written(server, image_of(tmp_path))

    assert isinstance(receipt, Refused)
    assert receipt.retry_after is not None
    assert [] == sent(server, "POST", STREAM)


def test_a_claim_is_made_with_an_etag_where_the_service_wants_one(tmp_path: Path) -> None:
    """A 428 is answered with the ETag (P28)."""
    server = served(STREAMING)
    server.on(f"PATCH {SERVICE}", Reply(428), Reply(204), Reply(204)).on(f"POST {STREAM}", Reply(202, TASK))
    written(server, image_of(tmp_path))

    assert [None, 'W/"1"'] == [r.headers.get("if-match") for r in sent(server, "PATCH", SERVICE)][:2]


def roster(**differs: object) -> Roster:
    """A roster whose one record concerns the scripted BMC."""
    lines = "\n".join(f"{key} = {value!r}".replace("True", "true") for key, value in differs.items())
    text = f"""
[[quirk]]
id = "scripted"
match = {{ vendor = "Acme" }}
why = "a test"
since = "now"
source = "this file"
[quirk.differs]
{lines}
"""
    return Roster(parse_records(text, origin="test"))


def acme(server: ScriptedBmc) -> ScriptedBmc:
    """Let *server* say in its root whose it is."""
    server.documents["/redfish/v1/"] = {**server.documents["/redfish/v1/"], "Vendor": "Acme"}
    return server


def test_an_upload_that_is_only_verified_says_so(tmp_path: Path) -> None:
    """Where uploads wait for StartUpdate by habit the receipt says that the image is held (P19)."""
    server = acme(served({"MultipartHttpPushUri": UPLOAD})).on(f"POST {UPLOAD}", Reply(202, TASK))
    receipt = written(server, image_of(tmp_path), roster=roster(start_update=True))

    assert Accepted(f"{TASKS}/1", "MultipartHttpPush", held=True) == receipt
    assert b'"@Redfish.OperationApplyTime": "OnStartUpdateRequest"' in sent(server, "POST", UPLOAD)[0].body


def test_a_lost_answer_is_known_to_be_held(tmp_path: Path) -> None:
    """What was asked to wait waits, also where the answer was lost (P12)."""
    server = served(pushing(ApplyTime.ON_START, MultipartHttpPushUri=UPLOAD)).on(f"POST {UPLOAD}", DROP)
    receipt = written(server, image_of(tmp_path))

    assert isinstance(receipt, Ambiguous)
    assert receipt.held


def begun(server: ScriptedBmc) -> Receipt:
    """Begin with what the BMC holds."""

    async def run() -> Receipt:
        async with server:
            bmc = client(server)
            receipt = await bmc.start_update(ComponentName("BIOS"))
            await bmc.close()
            return receipt

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("reply", "kind"),
    [(Reply(202, TASK), Accepted), (Reply(400), Refused), (DROP, Ambiguous), (Reply(500), Ambiguous)],
)
def test_a_start_is_sent_once(reply: Reply, kind: type[Receipt]) -> None:
    """StartUpdate is a write: whatever comes back, it leaves once."""
    server = served({"Actions": {"#UpdateService.StartUpdate": {"target": START}}}).on(f"POST {START}", *[reply] * 3)
    receipt = begun(server)

    assert kind is type(receipt)
    assert [{}] == [request.json for request in sent(server, "POST", START)]


def test_a_start_that_does_not_exist_is_not_sent() -> None:
    """A service without the action is unable, so that another way may be tried."""
    server = served({})

    assert Refused("the BMC has no StartUpdate", ground=Ground.UNABLE) == begun(server)


# -- what stands in for tasks ---------------------------------------------------------------------


def looked(server: ScriptedBmc, *acts: Any, **more: Any) -> list[Any]:
    """Do *acts* on one client of *server*, in order."""

    async def run() -> list[Any]:
        async with server:
            bmc = client(server, **more)
            found = [await act(bmc) for act in acts]
            await bmc.close()
            return found

    return asyncio.run(run())


def see(uri: str) -> Any:
    """Look at the task *uri*."""

    async def act(bmc: RedfishBmc) -> object:
        return (await bmc.observe(Look(system=False, task=uri))).task

    return act


def test_a_bmc_that_cannot_fetch_is_pushed_the_next_image(tmp_path: Path) -> None:
    """After a fetch that failed the image goes over by push, where the BMC takes pushes (P20)."""
    action = {"#UpdateService.SimpleUpdate": {"target": UPDATE}}
    server = served({"Actions": action, "MultipartHttpPushUri": UPLOAD})
    server.on(f"POST {UPDATE}", Reply(202, TASK)).on(f"POST {UPLOAD}", Reply(202, TASK))
    server.documents[f"{TASKS}/1"] = {
        **TASK,
        "TaskState": "Exception",
        "Messages": [{"MessageId": "Update.1.0.TransferFailed", "Message": "no route"}],
    }
    image = image_of(tmp_path, url="https://s/x")

    async def write(bmc: RedfishBmc) -> Receipt:
        return await bmc.write(image, completing=_nothing)

    first, task, second = looked(server, write, see(f"{TASKS}/1"), write)

    assert ["SimpleUpdate", "MultipartHttpPush"] == [first.way, second.way]
    assert task.transfer_failed


def test_a_job_outlives_its_task() -> None:
    """A task that was purged is told by the job that bears its id (P02); without one it has vanished."""
    server = served({})
    server.documents["/redfish/v1/"] = {**server.documents["/redfish/v1/"], "JobService": {"@odata.id": "/jobs"}}
    server.documents["/jobs"] = {"Jobs": {"@odata.id": "/jobs/Jobs"}}
    server.documents["/jobs/Jobs/JID_1"] = {"JobState": "Completed", "JobStatus": "OK"}
    done, gone = looked(server, see(f"{TASKS}/JID_1"), see(f"{TASKS}/JID_2"))

    assert (f"{TASKS}/JID_1", TaskPhase.DONE) == (done.uri, done.phase)
    assert TaskPhase.VANISHED is gone.phase


def test_an_update_without_a_task_is_followed_by_the_services_state(tmp_path: Path) -> None:
    """The state counts from the request on: an end that may be an earlier update's is not believed (iLO 5)."""
    action = {"#UpdateService.SimpleUpdate": {"target": UPDATE}}
    service = {"Actions": action, "Oem": {"Hpe": {"State": "Complete"}}}
    server = acme(served(service)).on(f"POST {UPDATE}", Reply(200, {}), Reply(200, {}))
    clock, image = HandClock(), image_of(tmp_path, url="https://s/x")

    def says(state: str, **more: object) -> None:
        server.documents[SERVICE] = {**server.documents[SERVICE], "Oem": {"Hpe": {"State": state, **more}}}

    async def run() -> list[TaskSeen | Unknown]:
        async with server:
            bmc = client(server, clock=clock, roster=roster(update_state="Oem.Hpe"))
            receipt = await bmc.write(image, completing=_nothing)
            assert isinstance(receipt, Accepted)
            assert receipt.task is not None
            seen = [await see(receipt.task)(bmc)]
            says("Updating", FlashProgressPercent=40)
            seen.append(await see(receipt.task)(bmc))
            (listed,) = (await bmc.observe(Look(system=False, tasks=True))).tasks
            says("Complete")
            seen.append(await see(receipt.task)(bmc))
            await bmc.close()
            again = client(server, clock=clock, roster=roster(update_state="Oem.Hpe"))
            seen.append(await see(receipt.task)(again))
            clock.at += 60
            seen.append(await see(receipt.task)(again))
            says("Error")
            seen.append(await see(receipt.task)(again))
            await again.close()
            return [*seen, listed]

    first, running, done, young, old, failed, listed = asyncio.run(run())

    assert isinstance(first, Unknown)
    assert (TaskPhase.RUNNING, 40) == (running.phase, running.percent)
    assert TaskPhase.RUNNING is listed.phase
    assert TaskPhase.DONE is done.phase
    assert isinstance(young, Unknown)
    assert TaskPhase.DONE is old.phase
    assert TaskPhase.FAILED is failed.phase
