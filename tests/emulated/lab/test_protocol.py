"""What the Redfish protocol wants of every service: headers, conditions, documents, accounts and roles."""

from __future__ import annotations

import asyncio
import base64
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from typing import Any

import pytest

from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.lab import Lab

ROOT = "/redfish/v1"
ACCOUNTS = f"{ROOT}/AccountService/Accounts"
SYSTEM = f"{ROOT}/Systems/1"

Play = Callable[..., None]


def basic(username: str, password: str) -> dict[str, str]:
    """Headers of someone else than who is logged in."""
    return {"Authorization": "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()}


async def make(bmc: Any, role: str, username: str = "other") -> str:
    """Make an account and return where it is."""
    told = await bmc.ask("POST", ACCOUNTS, json={"UserName": username, "Password": "wireless-7", "RoleId": role})
    assert 201 == told.status, told
    return str(told.headers["Location"])


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        (SYSTEM, "GET, HEAD, PATCH"),
        (f"{SYSTEM}/Bios/Settings", "GET, HEAD, PATCH, PUT"),
        (f"{ROOT}/SessionService/Sessions", "GET, HEAD, POST"),
        (f"{ROOT}/Chassis", "GET, HEAD"),
    ],
)
def test_a_get_tells_what_may_be_done(path: str, allow: str, play: Play, client: Any) -> None:
    """Allow, Link to the schema, OData-Version and Cache-Control come with every GET, and with HEAD without a body."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with client(lab, basic="admin:password") as bmc:
            for method in ("GET", "HEAD"):
                told = await bmc.ask(method, path)

                assert (200, allow) == (told.status, told.headers["Allow"])
                assert "rel=describedby" in told.headers["Link"]
                assert ("4.0", "no-store") == (told.headers["OData-Version"], told.headers["Cache-Control"])
                assert ("GET" == method) == bool(told.body)

    play(scenario)


def test_a_resource_that_is_known_is_not_sent_again(play: Play, client: Any) -> None:
    """If-None-Match with the present ETag brings 304 and no body; with another one the resource."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with client(lab, basic="admin:password") as bmc:
            tag = (await bmc.ask("GET", SYSTEM)).headers["ETag"]
            known = await bmc.ask("GET", SYSTEM, headers={"If-None-Match": tag})
            other = await bmc.ask("GET", SYSTEM, headers={"If-None-Match": '"stale"'})

            assert (304, b"", 200) == (known.status, known.body, other.status)

    play(scenario)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", ROOT, {"OData-Version": "4.1"}, 412),
        ("GET", f"{ROOT}/Systems?$select=Name", {}, 501),
        ("GET", f"{ROOT}/Systems?harmless=1", {}, 200),
        ("FAKEMETHOD", ROOT, {}, 501),
        ("POST", f"{ROOT}/Systems", {}, 405),
        ("PATCH", f"{ROOT}/AccountService/Roles/ReadOnly", {}, 405),
    ],
)
def test_what_is_not_spoken_is_refused(
    method: str, path: str, headers: dict[str, str], status: int, play: Play, client: Any
) -> None:
    """Other protocol versions, unknown query options and unknown methods have statuses of their own."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with client(lab, basic="admin:password") as bmc:
            told = await bmc.ask(method, path, headers=headers)

            assert status == told.status
            assert status != 405 or "Allow" in told.headers
            assert status < 400 or told.body["error"]["@Message.ExtendedInfo"]

    play(scenario)


def test_odata_documents_need_no_login(play: Play, client: Any) -> None:
    """$metadata is XML with an EntityContainer, odata lists what the root links to; both are open to all."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with client(lab) as bmc:
            metadata = await bmc.ask("GET", f"{ROOT}/$metadata")
            document = await bmc.get(f"{ROOT}/odata")

            assert "application/xml;charset=utf-8" == metadata.headers["Content-Type"]
            assert ElementTree.fromstring(metadata.body).findall(".//{*}EntityContainer")  # noqa: S314 - our own
            assert f"{ROOT}/AccountService" in {entry["url"] for entry in document["value"]}

    play(scenario)


def test_an_account_is_made_used_and_removed(play: Play, client: Any) -> None:
    """A new account logs in; when it is removed its sessions end and its password is worth nothing."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with client(lab, basic="admin:password") as admin, client(lab) as other:
            where = await make(admin, "Operator")

            assert 201 == (await other.log_in("other", "wireless-7")).status
            assert 200 == (await other.ask("GET", SYSTEM)).status
            assert None is (await admin.get(where))["Password"]
            assert 204 == (await admin.ask("DELETE", where)).status
            assert 401 == (await other.ask("GET", SYSTEM)).status
            assert 401 == (await other.log_in("other", "wireless-7")).status

    play(scenario)


@pytest.mark.parametrize(
    ("role", "reset", "make_account", "read_others"),
    [("Administrator", 204, 201, 200), ("Operator", 204, 403, 403), ("ReadOnly", 403, 403, 403)],
)
def test_roles_decide(role: str, reset: int, make_account: int, read_others: int, play: Play, client: Any) -> None:
    """Everyone may read; ReadOnly changes nothing but its password, and only administrators see others' accounts."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with client(lab, basic="admin:password") as admin, client(lab, basic="other:wireless-7") as bmc:
            where = await make(admin, role)
            more = {"UserName": "third", "Password": "wireless-8", "RoleId": "ReadOnly"}

            assert 200 == (await bmc.ask("GET", SYSTEM)).status
            assert 200 == (await bmc.ask("GET", where)).status
            assert reset == (await bmc.reset_host()).status
            assert make_account == (await bmc.ask("POST", ACCOUNTS, json=more)).status
            assert read_others == (await bmc.ask("GET", f"{ACCOUNTS}/1")).status
            assert 200 == (await bmc.ask("PATCH", where, json={"Password": "wireless-9"})).status

    play(scenario)


def test_account_changes_hold_to_their_etag(play: Play, client: Any) -> None:
    """Of several writers with one ETag exactly one wins; the property in the body is the header's value."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with client(lab, basic="admin:password") as bmc:
            where = await make(bmc, "Operator")
            read = await bmc.ask("GET", where)
            headers = {"If-Match": read.headers["ETag"]}
            body = {"RoleId": "ReadOnly"}
            told = await asyncio.gather(*(bmc.ask("PATCH", where, json=body, headers=headers) for _ in range(4)))

            assert read.headers["ETag"] == read.body["@odata.etag"]
            assert [200, 412, 412, 412] == sorted(one.status for one in told)
            assert "ReadOnly" == (await bmc.get(where))["RoleId"]

    play(scenario)


def test_part_of_a_change_may_be_taken(play: Play, client: Any) -> None:
    """What cannot be changed is told beside what was; alone it is refused, as is a change of nothing."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with client(lab, basic="admin:password") as bmc:
            where = await make(bmc, "Operator")
            mixed = await bmc.ask("PATCH", where, json={"RoleId": "ReadOnly", "Shoe": 9})
            alone = await bmc.ask("PATCH", where, json={"Shoe": 9})
            nothing = await bmc.ask("PATCH", where, json={"@odata.id": where})

            assert (200, "ReadOnly") == (mixed.status, mixed.body["RoleId"])
            assert "Shoe" in mixed.body["@Message.ExtendedInfo"][0]["Message"]
            assert (400, 400) == (alone.status, nothing.status)
            assert nothing.body["error"]["code"].endswith(".NoOperation")

    play(scenario)


@pytest.mark.parametrize(
    "body",
    [
        {"UserName": "x", "Password": "short", "RoleId": "Operator"},
        {"UserName": "admin", "Password": "wireless-7", "RoleId": "Operator"},
        {"UserName": "x", "Password": "wireless-7", "RoleId": "King"},
        {"UserName": "x", "Password": 12345678, "RoleId": "Operator"},
        {"UserName": "x", "Password": "wireless-7", "RoleId": "Operator", "Enabled": "yes"},
        {"Password": "wireless-7", "RoleId": "Operator"},
    ],
)
def test_impossible_accounts_are_refused(body: dict[str, Any], play: Play, client: Any) -> None:
    """A short password, a taken name, an unknown role, a wrong type or a missing property: 400, and nothing is made."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with client(lab, basic="admin:password") as bmc:
            assert 400 == (await bmc.ask("POST", ACCOUNTS, json=body)).status
            assert 1 == (await bmc.get(ACCOUNTS))["Members@odata.count"]

    play(scenario)


def test_the_bmcs_own_account_stays(play: Play, client: Any) -> None:
    """Nobody changes or removes the account that the lab's inventory names."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with client(lab, basic="admin:password") as bmc:
            own = f"{ACCOUNTS}/1"

            assert 403 == (await bmc.ask("PATCH", own, json={"Password": "wireless-7"})).status
            assert 403 == (await bmc.ask("DELETE", own)).status
            assert "admin" == (await bmc.get(own))["UserName"]

    play(scenario)


def test_a_password_that_must_be_changed(play: Play, client: Any) -> None:
    """Until it is, its owner may log in, read the own account and change the password, and nothing else: 403."""

    async def scenario(lab: Lab, clock: VirtualClock) -> None:
        async with client(lab, basic="admin:password") as admin, client(lab) as bmc:
            where = await make(admin, "Operator")
            await admin.ask("PATCH", where, json={"PasswordChangeRequired": True})
            login = await bmc.log_in("other", "wireless-7")

            assert 201 == login.status
            assert login.body["@Message.ExtendedInfo"][0]["MessageId"].endswith("PasswordChangeRequired")
            assert 403 == (await bmc.ask("GET", SYSTEM)).status
            assert 200 == (await bmc.ask("GET", where)).status
            assert 403 == (await bmc.ask("PATCH", where, json={"RoleId": "Administrator"})).status
            assert 200 == (await bmc.ask("PATCH", where, json={"Password": "wireless-9"})).status
            assert 200 == (await bmc.ask("GET", SYSTEM)).status

    play(scenario)
