"""Writing and configuring: what goes over the wire, how often, and what is known afterwards."""

from __future__ import annotations

import asyncio
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from scripted_bmc import DROP, INVENTORY, SESSIONS, SYSTEM, TASKS, UPDATE, Reply, Request, ScriptedBmc, client

from rackwave.bmc.redfish.bmc import RedfishBmc
from rackwave.core.identity import ComponentName, Digest
from rackwave.core.observation import Look
from rackwave.core.receipt import Accepted, Ambiguous, Ground, Refused
from rackwave.errors import BmcLoginError
from rackwave.ports import Image

UPLOAD = "/redfish/v1/UpdateService/upload"
BIOS = f"{SYSTEM}/Bios"
SETTINGS = f"{BIOS}/Settings"
TASK = {"@odata.id": f"{TASKS}/1", "@odata.type": "#Task.v1_4_3.Task", "TaskState": "New"}


async def _nothing() -> None:
    pass


def image_of(tmp_path: Path, content: bytes = b"firmware", *, url: str | None = None, name: str = "a.bin") -> Image:
    """An image on disk."""
    path = tmp_path / "blob"
    path.write_bytes(content)
    return Image(ComponentName("BIOS"), "2", Digest("sha256:" + "0" * 64), len(content), path, name, url)


def written(image: Image, *replies: Reply, request: str = "", **more: Any) -> tuple[ScriptedBmc, object, list[bool]]:
    """Write *image* to a BMC that answers *request* with *replies*."""
    completed: list[bool] = []

    async def completing(*, held: bool = False) -> None:
        completed.append(True)

    async def run() -> tuple[ScriptedBmc, object, list[bool]]:
        async with ScriptedBmc() as server:
            if request:
                server.on(request, *replies)
            bmc = client(server, **more)
            receipt = await bmc.write(image, completing=completing)
            await bmc.close()
            return server, receipt, completed

    return asyncio.run(run())


def requests_to(server: ScriptedBmc, path: str) -> list[Request]:
    """What arrived at *path*."""
    return [request for request in server.requests if request.path == path]


def test_pull(tmp_path):
    """A pull sends URL, protocol and target once; the upload's callback is not called."""
    image = image_of(tmp_path, url="https://server/token/a.bin")
    server, receipt, completed = written(image, Reply(202, TASK), request=f"POST {UPDATE}")
    (request,) = requests_to(server, UPDATE)

    assert Accepted(f"{TASKS}/1", "SimpleUpdate") == receipt
    assert {
        "ImageURI": "https://server/token/a.bin",
        "TransferProtocol": "HTTPS",
        "Targets": [f"{INVENTORY}/BIOS"],
    } == request.json
    assert [] == completed


def test_push(tmp_path):
    """A push is one multipart body of known length: parameters first, then the file under its name (P13)."""
    content = bytes(range(256)) * 9000
    server, receipt, completed = written(image_of(tmp_path, content), Reply(202, TASK), request=f"POST {UPLOAD}")
    (request,) = requests_to(server, UPLOAD)
    header = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    parameters, file = BytesParser(policy=HTTP).parsebytes(header + request.body).iter_parts()

    assert Accepted(f"{TASKS}/1", "MultipartHttpPush") == receipt
    assert str(len(request.body)) == request.headers["content-length"]
    assert "transfer-encoding" not in request.headers
    assert ("UpdateParameters", "UpdateFile") == tuple(
        part["Content-Disposition"].params["name"] for part in (parameters, file)
    )
    assert "application/json" == parameters.get_content_type()
    assert "a.bin" == file.get_filename()
    assert content == file.get_content()
    assert f"{INVENTORY}/BIOS" in parameters.get_content().decode()
    assert [True] == completed


@pytest.mark.parametrize("name", ['a".bin', "../../etc/passwd", "a\r\nX: 1", ""])
def test_file_name_cannot_break_out(tmp_path, name):
    """A file name cannot add headers or paths to the upload."""
    server, _, _ = written(image_of(tmp_path, name=name), Reply(202, TASK), request=f"POST {UPLOAD}")
    (request,) = requests_to(server, UPLOAD)
    (line,) = [line for line in request.body.split(b"\r\n") if b"filename=" in line]

    assert 6 == line.count(b'"') + 2
    assert b"/" not in line.partition(b"filename=")[2]


def test_push_in_an_expired_session(tmp_path):
    """An upload that was answered 401 was not taken; it is sent again in a new session, from its beginning."""
    server, receipt, completed = written(image_of(tmp_path), Reply(401), Reply(202, TASK), request=f"POST {UPLOAD}")
    first, second = requests_to(server, UPLOAD)

    assert isinstance(receipt, Accepted)
    assert first.body == second.body
    assert [True] == completed
    assert 2 == server.logins


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (DROP, Ambiguous),
        (Reply(500), Ambiguous),
        (Reply(413), Refused),
        (Reply(503, [], {"Retry-After": "9"}), Refused),
    ],
)
@pytest.mark.parametrize("way", ["pull", "push"])
def test_write_that_is_not_accepted(tmp_path, way, reply, kind):
    """Whatever comes back, an image is handed over once; a whole body that got no answer is said to be whole."""
    image = image_of(tmp_path, url="https://server/a.bin" if way == "pull" else None)
    target = UPDATE if way == "pull" else UPLOAD
    server, receipt, _ = written(image, *[reply] * 5, request=f"POST {target}")

    assert kind is type(receipt)
    assert 1 == len(requests_to(server, target))
    if isinstance(receipt, Ambiguous):
        assert receipt.body_complete
    assert "https://server" not in repr(receipt)


def test_completing_that_fails(tmp_path):
    """An upload whose journal entry cannot be written breaks off before the image is whole, and says so."""

    async def run() -> tuple[ScriptedBmc, object]:
        async def completing(*, held: bool = False) -> None:
            raise OSError("disk full")

        async with ScriptedBmc() as server:
            bmc = client(server)
            receipt = await bmc.write(image_of(tmp_path), completing=completing)
            await bmc.close()
            return server, receipt

    server, receipt = asyncio.run(run())

    assert isinstance(receipt, Ambiguous)
    assert not receipt.body_complete
    assert [] == requests_to(server, UPLOAD)  # never whole


def test_accepted_without_a_task(tmp_path):
    """A 202 that names no task is accepted all the same (P10)."""
    _, receipt, _ = written(image_of(tmp_path), Reply(202, b"<html>"), request=f"POST {UPLOAD}")

    assert Accepted(None, "MultipartHttpPush") == receipt


def test_nothing_to_write_with(tmp_path):
    """A missing component, a missing way and a changed file are refused before anything is sent."""
    image = image_of(tmp_path)
    server, absent, _ = written(evolve(image, component=ComponentName("NIC")))
    _, grown, _ = written(evolve(image, size=4))
    _, lost, _ = written(evolve(image, path=tmp_path / "nowhere"))

    assert Refused("the BMC lists no component NIC", ground=Ground.UNABLE) == absent
    assert Refused("the image has 8 bytes on disk, not 4") == grown
    assert isinstance(lost, Refused)
    assert "nowhere" in lost.reason
    assert ["POST " + SESSIONS] == server.seen("POST")


def test_act_with_refused_login(tmp_path):
    """An act of a node whose login is refused raises for a person, and sends nothing."""

    async def run() -> None:
        async with ScriptedBmc() as server:
            server.on(f"POST {SESSIONS}", Reply(401))
            bmc = client(server)
            for _ in range(2):
                with pytest.raises(BmcLoginError):
                    await bmc.write(image_of(tmp_path), completing=_nothing)
            await bmc.close()
            assert [f"POST {SESSIONS}"] == server.seen("POST")

    asyncio.run(run())


# -- settings ---------------------------------------------------------------------------------------


def settings_server(etag: str | None = '"1"', *, registry: bool = False) -> ScriptedBmc:
    """A BMC with BIOS settings."""
    server = ScriptedBmc()
    server.documents[BIOS] = {
        "Attributes": {"Boot": "Uefi", "Cores": 8},
        "@Redfish.Settings": {"SettingsObject": {"@odata.id": SETTINGS}, "SupportedApplyTimes": ["OnReset"]},
        **({"AttributeRegistry": "BiosAttributeRegistry.v1_0_0"} if registry else {}),
    }
    server.documents[SETTINGS] = {
        "Attributes": {"Boot": "Uefi", "Cores": 16},
        **({"@odata.etag": etag} if etag else {}),
    }
    return server


def configured(server: ScriptedBmc, wanted: dict[str, Any], times: int = 1) -> list[object]:
    """Stage *wanted* some times."""

    async def run() -> list[object]:
        async with server:
            bmc = client(server)
            receipts: list[object] = [await bmc.configure(wanted) for _ in range(times)]
            await bmc.close()
            return receipts

    return asyncio.run(run())


def if_matches(server: ScriptedBmc) -> list[str | None]:
    """The If-Match of every PATCH."""
    return [request.headers.get("if-match") for request in server.requests if request.method == "PATCH"]


def test_staging():
    """Attributes are staged for the next reset with the ETag just read."""
    server = settings_server().on(f"PATCH {SETTINGS}", Reply(200, {}))
    receipts = configured(server, {"Boot": "Bios"})
    (request,) = [request for request in server.requests if request.method == "PATCH"]

    assert [Accepted(None, "Settings")] == receipts
    assert '"1"' == request.headers["if-match"]
    assert {"Attributes": {"Boot": "Bios"}, "@Redfish.SettingsApplyTime": {"ApplyTime": "OnReset"}} == request.json


def test_only_what_differs_is_staged():
    """An attribute that has its value is not sent again, unless another value waits for it; none: nothing is sent."""
    server = settings_server().on(f"PATCH {SETTINGS}", Reply(204), Reply(204))
    server.documents[SETTINGS]["Attributes"] = {"Cores": 16}
    receipts = configured(server, {"Boot": "Bios", "Cores": 8})
    server.documents[SETTINGS]["Attributes"] = {}
    none = configured(server, {"Boot": "Uefi", "Cores": 8})
    sent = [request.json["Attributes"] for request in server.requests if request.method == "PATCH"]

    assert [Accepted(None, "Settings")] == receipts == none
    assert [{"Boot": "Bios", "Cores": 8}] == sent


@pytest.mark.parametrize("has", [True, False])
def test_reset_to_defaults(has):
    """The BIOS's defaults are asked for once, where its action says; without one nothing is sent."""
    server = settings_server()
    target = f"{BIOS}/Actions/Bios.ResetBios"
    server.documents[BIOS]["Actions"] = {"#Bios.ResetBios": {"target": target}} if has else {}

    async def run() -> object:
        async with server:
            bmc = client(server)
            receipt = await bmc.reset_bios()
            await bmc.close()
            return receipt

    receipt = asyncio.run(run())

    assert isinstance(receipt, Accepted if has else Refused)
    assert ([f"POST {target}"] if has else []) == server.seen(f"POST {BIOS}")


def test_header_etag_wins():
    """The ETag of the header is used before the one in the body."""
    server = settings_server().on(f"PATCH {SETTINGS}", Reply(204))
    server.documents[SETTINGS] = Reply(200, server.documents[SETTINGS], {"ETag": 'W/"header"'})
    configured(server, {"Boot": "Bios"})

    assert ['W/"header"'] == if_matches(server)


def test_etag_forms_on_412():
    """On 412 with an unchanged ETag its other forms are tried, never without If-Match; the one that worked is kept."""
    server = settings_server('W/"1"').on(f"PATCH {SETTINGS}", Reply(412), Reply(412), Reply(200, {}), Reply(200, {}))
    receipts = configured(server, {"Boot": "Bios"}, times=2)

    assert [Accepted(None, "Settings")] * 2 == receipts
    assert ['W/"1"', '"1"', "1", "1"] == if_matches(server)


def test_412_for_ever():
    """A service that takes no form of its own ETag is refused, and nothing is ever sent unconditionally."""
    server = settings_server().on(f"PATCH {SETTINGS}", *[Reply(412)] * 9)
    (receipt,) = configured(server, {"Boot": "Bios"})

    assert isinstance(receipt, Refused)
    assert ['"1"', "1"] == if_matches(server)


def test_settings_changed_meanwhile():
    """On 412 with another ETag somebody else is at work: refused, with leave to come back."""
    server = settings_server().on(f"PATCH {SETTINGS}", Reply(412))
    first = Reply(200, server.documents[SETTINGS])
    server.on(f"GET {SETTINGS}", first)
    server.documents[SETTINGS] = {"Attributes": {}, "@odata.etag": '"2"'}
    (receipt,) = configured(server, {"Boot": "Bios"})

    assert isinstance(receipt, Refused)
    assert receipt.retry_after is not None
    assert ['"1"'] == if_matches(server)


def test_etag_required_and_none_given():
    """428 from a service that shows no ETag is refused; it is not answered with If-Match: *."""
    server = settings_server(None).on(f"PATCH {SETTINGS}", Reply(428))
    (receipt,) = configured(server, {"Boot": "Bios"})

    assert isinstance(receipt, Refused)
    assert [None] == if_matches(server)


def test_lost_answer_to_settings():
    """Settings whose answer was lost are Ambiguous and were sent once."""
    server = settings_server().on(f"PATCH {SETTINGS}", DROP, DROP)
    (receipt,) = configured(server, {"Boot": "Bios"})

    assert isinstance(receipt, Ambiguous)
    assert 1 == len(if_matches(server))


def test_nothing_to_stage_into():
    """A BIOS without a settings resource is not patched in place."""
    server = settings_server()
    server.documents[BIOS] = {"Attributes": {"Boot": "Uefi"}}
    (receipt,) = configured(server, {"Boot": "Bios"})

    assert isinstance(receipt, Refused)
    assert [] == if_matches(server)


@pytest.mark.parametrize("registry", [{}, Reply(404), Reply(200, b"<html>"), {"Location": [{"Uri": "/nowhere"}]}])
def test_registry_that_cannot_be_read(registry):
    """A registry that cannot be had does not stand in the way: the BMC judges the attributes itself."""
    server = settings_server(registry=True).on(f"PATCH {SETTINGS}", Reply(200, {}))
    member = "/redfish/v1/Registries/BiosAttributeRegistry"
    server.documents["/redfish/v1/Registries"] = {"Members": [{"@odata.id": member}]}
    server.documents[member] = registry
    (receipt,) = configured(server, {"Boot": "Bios"})

    assert isinstance(receipt, Accepted)


def test_staged_settings_are_those_that_differ():
    """A settings resource that shows everything (as some do) stages only what differs from what is in force."""

    async def run() -> tuple[object, object]:
        async with settings_server() as server:
            bmc: RedfishBmc = client(server)
            seen = await bmc.observe(Look(system=False, settings=True))
            await bmc.close()
            return seen.settings, seen.staged_settings

    assert ({"Boot": "Uefi", "Cores": 8}, {"Cores": 16}) == asyncio.run(run())
