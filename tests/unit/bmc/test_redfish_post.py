"""How far POST is, and which boot it is, on services that have no BootProgress and no LastResetTime."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from scripted_bmc import MANAGER, SYSTEM, Reply, ScriptedBmc, client

from rackwave.core.observation import Lack, Look, Observation, Post, Unknown

LIFECYCLE = f"{MANAGER}/Oem/Dell/DellLCService"
STATUS = f"{LIFECYCLE}/Actions/DellLCService.GetRemoteServicesAPIStatus"


def of_make(vendor: str, **system: Any) -> ScriptedBmc:
    """A service of *vendor* whose system has neither BootProgress nor LastResetTime, but what is given."""
    server = ScriptedBmc()
    server.documents["/redfish/v1/"] = {**server.documents["/redfish/v1/"], "Vendor": vendor}
    for name in ("BootProgress", "LastResetTime"):
        del server.documents[SYSTEM][name]
    server.documents[SYSTEM] |= system
    return server


def of_idrac(*told: Reply, **system: Any) -> ScriptedBmc:
    """An iDRAC whose Lifecycle Controller answers so."""
    server = of_make("Dell", **system).on(f"POST {STATUS}", *told)
    server.documents[MANAGER]["Links"] = {"Oem": {"Dell": {"DellLCService": {"@odata.id": LIFECYCLE}}}}
    server.documents[LIFECYCLE] = {"Actions": {"#DellLCService.GetRemoteServicesAPIStatus": {"target": STATUS}}}
    return server


def looked(server: ScriptedBmc, times: int = 1) -> list[Observation]:
    """Look at the system of *server*."""

    async def run() -> list[Observation]:
        async with server:
            bmc = client(server)
            try:
                return [await bmc.observe(Look()) for _ in range(times)]
            finally:
                await bmc.close()

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("vendor", "oem", "post"),
    [
        ("HPE", {"Hpe": {"PostState": "InPost"}}, Post.RUNNING),
        ("HPE", {"Hpe": {"PostState": "Reset"}}, Post.RUNNING),
        ("HPE", {"Hpe": {"PostState": "InPostDiscoveryComplete"}}, Post.COMPLETE),
        ("HPE", {"Hpe": {"PostState": "FinishedPost"}}, Post.COMPLETE),
        ("HPE", {"Hpe": {"PostState": "Unknown"}}, Unknown("Oem.Hpe.PostState is Unknown")),
        ("HPE", {"Hpe": {"PostState": None}}, Unknown("the service has no BootProgress")),
        ("Lenovo", {"Lenovo": {"SystemStatus": "SystemOn_StartingUEFI"}}, Post.RUNNING),
        ("Lenovo", {"Lenovo": {"SystemStatus": "SystemStoppedInUEFI"}}, Post.FAILED),
        ("Lenovo", {"Lenovo": {"SystemStatus": "OSBooted"}}, Post.COMPLETE),
        ("Lenovo", {"Lenovo": {"SystemStatus": "Dreaming"}}, Unknown("Oem.Lenovo.SystemStatus is Dreaming")),
        ("Nobody", {"Hpe": {"PostState": "FinishedPost"}}, Unknown("the service has no BootProgress")),
    ],
)
def test_post_in_the_makers_words(vendor: str, oem: dict[str, Any], post: Post | Unknown):
    """A maker's word that a record knows tells how far POST is; any other stays unknown."""
    if vendor == "Nobody":
        oem = {"Acme": oem["Hpe"]}
    (seen,) = looked(of_make(vendor, Oem=oem))

    assert post == seen.post


def test_the_standard_comes_first():
    """BootProgress counts where there is one; where its word is the maker's own, the record's place does."""
    (standard,) = looked(of_make("HPE", BootProgress={"LastState": "OSRunning"}, Oem={"Hpe": {"PostState": "InPost"}}))
    (own,) = looked(of_make("HPE", BootProgress={"LastState": "OEM"}, Oem={"Hpe": {"PostState": "InPost"}}))

    assert Post.COMPLETE is standard.post
    assert Post.RUNNING is own.post


@pytest.mark.parametrize(
    ("word", "os"),
    [("InPost", False), ("FinishedPost", Unknown("the service tells POST alone")), ("Unknown", None)],
)
def test_an_operating_system_beside_a_witness_of_post(word: str, os: bool | Unknown | None):
    """In POST no operating system runs; after it that is not known, and not worth another way's answer at each look."""
    (seen,) = looked(of_make("HPE", Oem={"Hpe": {"PostState": word}}))

    assert (Unknown("the service has no BootProgress", Lack.ABSENT) if os is None else os) == seen.os


def test_a_host_without_power_is_not_asked_for_post():
    """No power, no POST, and no action to find it out."""
    server = of_idrac(PowerState="Off")
    (seen,) = looked(server)

    assert Post.NOT_RUNNING is seen.post
    assert [] == server.seen(f"POST {STATUS}")


def test_an_idrac_is_asked_by_its_action():
    """What the Lifecycle Controller tells of the server is read by one action a look, and found once."""
    server = of_idrac(
        Reply(200, {"ServerStatus": "InPOST"}),
        Reply(200, {"ServerStatus": "OutOfPOST"}),
        Reply(200, {"ServerStatus": "CollectingSystemInventory"}),
        Reply(503, {"error": "busy"}),
        LastResetTime="2026-01-01T00:00:00Z",
    )
    seen = looked(server, 4)

    assert [Post.RUNNING, Post.COMPLETE, Unknown("ServerStatus is CollectingSystemInventory")] == [
        look.post for look in seen[:3]
    ]
    assert isinstance(seen[3].post, Unknown)
    assert "HTTP 503" in seen[3].post.reason
    assert "on" == seen[3].power  # the rest of the look is as good as ever
    assert 4 == len(server.seen(f"POST {STATUS}"))
    assert 1 == len(server.seen(f"GET {LIFECYCLE}"))


def test_an_idrac_without_lifecycle_controller():
    """A manager that links to no such service leaves POST unknown, and says what is missing."""
    (seen,) = looked(of_make("Dell"))

    assert isinstance(seen.post, Unknown)
    assert "the manager's Links.Oem.Dell.DellLCService has no #DellLCService.Get" in seen.post.reason


@pytest.mark.parametrize(
    ("vendor", "system", "boot"),
    [
        ("HPE", {"Oem": {"Hpe": {"PostDiscoveryCompleteTimeStamp": "2024-07-03T17:20:09Z"}}}, "2024-07-03T17:20:09Z"),
        ("Lenovo", {"Oem": {"Lenovo": {"NumberOfReboots": 16}}}, "16"),
        ("Lenovo", {"LastResetTime": "now", "Oem": {"Lenovo": {"NumberOfReboots": 16}}}, "now"),
        ("Lenovo", {"Oem": {"Lenovo": {"NumberOfReboots": True}}}, Unknown("the system has no LastResetTime")),
        ("Lenovo", {}, Unknown("the system has no LastResetTime")),
        ("Nobody", {"Oem": {}}, Unknown("the system has no LastResetTime")),
    ],
)
def test_boot_markers(vendor: str, system: dict[str, Any], boot: str | Unknown):
    """What is another after each boot is LastResetTime, else what a record knows, else unknown."""
    (seen,) = looked(of_make(vendor, **system))

    assert boot == seen.boot


@pytest.mark.parametrize(
    ("word", "boot"), [("FinishedPost", "T1"), ("InPost", "after T1"), ("PowerOff", "T1"), ("Unknown", "T1")]
)
def test_a_marker_that_moves_late(word: str, boot: str):
    """A marker that names the last boot that came through is told as the one after it while the host is in POST."""
    oem = {"Hpe": {"PostState": word, "PostDiscoveryCompleteTimeStamp": "T1"}}
    (seen,) = looked(of_make("HPE", Oem=oem, PowerState="Off" if word == "PowerOff" else "On"))

    assert boot == seen.boot
