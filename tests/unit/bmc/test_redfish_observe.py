"""What is read for a look, and what is made of services that are odd or have little to tell."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from scripted_bmc import INVENTORY, MANAGER, RESET, SYSTEM, TASKS, HandClock, Reply, ScriptedBmc, client, collection

from rackwave.bmc.redfish.bmc import RedfishBmc
from rackwave.bmc.redfish.tracker import YOUNG
from rackwave.core.identity import ComponentName
from rackwave.core.observation import NOT_ASKED, Health, Look, Observation, Post, Power, TaskPhase, TaskSeen, Unknown
from rackwave.core.receipt import Accepted, Refused
from rackwave.ports import ResetKind

T = TypeVar("T")
BIOS = ComponentName("BIOS")
TREES = Path(__file__).parents[4] / "shared" / "trees"


def scripted(
    program: Callable[[ScriptedBmc, RedfishBmc], Awaitable[T]], server: ScriptedBmc | None = None, **more: Any
) -> T:
    """Run *program* with a scripted server and a client for it."""

    async def run() -> T:
        async with server or ScriptedBmc() as scripted_bmc:
            bmc = client(scripted_bmc, **more)
            try:
                return await program(scripted_bmc, bmc)
            finally:
                await bmc.close()

    return asyncio.run(run())


async def _look(server: ScriptedBmc, bmc: RedfishBmc, look: Look) -> list[str]:
    server.requests.clear()
    await bmc.observe(look)
    return server.seen()


def test_requests_of_a_look():
    """Discovery is made once; afterwards a look costs one request for each thing that it asks for."""

    async def program(server: ScriptedBmc, bmc: RedfishBmc) -> tuple[list[str], list[str], list[str]]:
        everything = Look(components=frozenset({BIOS}), tasks=False, bmc=True)
        return (
            await _look(server, bmc, everything),
            await _look(server, bmc, everything),
            await _look(server, bmc, Look(system=False, task=f"{TASKS}/1")),
        )

    first, second, task = scripted(program)

    assert [
        "GET /redfish/v1/",
        "POST /redfish/v1/SessionService/Sessions",
        "GET /redfish/v1/UpdateService",
        f"GET {INVENTORY}",
        f"GET {INVENTORY}/BIOS",
        "GET /redfish/v1/Systems",
        f"GET {SYSTEM}",
        f"GET {MANAGER}",
    ] == first
    assert [f"GET {INVENTORY}/BIOS", f"GET {SYSTEM}", f"GET {MANAGER}"] == second
    assert [f"GET {TASKS}/1"] == task


def test_what_was_not_asked():
    """A look at nothing asks for nothing and says so."""

    async def program(server: ScriptedBmc, bmc: RedfishBmc) -> Observation:
        return await bmc.observe(Look(system=False))

    seen = scripted(program)

    assert Observation(at=seen.at) == seen
    assert NOT_ASKED is seen.power


def test_missing_properties():
    """A service that tells nothing of itself is Unknown throughout, with a reason each (P25)."""

    async def program(server: ScriptedBmc, bmc: RedfishBmc) -> Observation:
        server.documents[SYSTEM] = {"PowerState": None, "Status": {"Health": None}, "Model": 5, "SerialNumber": ""}
        server.documents[f"{INVENTORY}/BIOS"] = {"Id": "BIOS", "Version": None}
        return await bmc.observe(Look(components=frozenset({BIOS})))

    seen = scripted(program)
    values = [seen.power, seen.post, seen.health, seen.boot, seen.identity.vendor, seen.identity.serial]

    assert [Unknown] * 6 == [type(value) for value in values]
    assert Unknown("BIOS has no Version") == seen.component(BIOS).installed


def test_component_whose_uri_is_not_its_id():
    """A component is found by its Id though its URI ends otherwise, and is read directly from then on."""

    async def program(server: ScriptedBmc, bmc: RedfishBmc) -> tuple[Observation, list[str]]:
        server.documents[INVENTORY] = collection(f"{INVENTORY}/1", f"{INVENTORY}/2")
        server.documents[f"{INVENTORY}/1"] = {"Id": "BMC", "Version": "7"}
        server.documents[f"{INVENTORY}/2"] = {"Id": "BIOS", "Version": "1.5"}
        seen = await bmc.observe(Look(system=False, components=frozenset({BIOS})))
        return seen, await _look(server, bmc, Look(system=False, components=frozenset({BIOS})))

    seen, again = scripted(program)

    assert "1.5" == seen.component(BIOS).installed
    assert [f"GET {INVENTORY}/2"] == again


def test_uri_that_lies_about_its_id():
    """A member whose URI ends in the name but whose Id is another is not taken for the component."""

    async def program(server: ScriptedBmc, bmc: RedfishBmc) -> Observation:
        server.documents[f"{INVENTORY}/BIOS"] = {"Id": "Golden", "Version": "0.1"}
        server.documents[f"{INVENTORY}/BMC"] = {"Id": "BIOS", "Version": "1.5"}
        return await bmc.observe(Look(system=False, components=frozenset({BIOS})))

    assert "1.5" == scripted(program).component(BIOS).installed


def test_absent_component():
    """A component that the BMC does not list is Unknown, and is looked for again, since it may come (P45)."""

    async def program(server: ScriptedBmc, bmc: RedfishBmc) -> tuple[Observation, Observation]:
        look = Look(system=False, components=frozenset({ComponentName("NIC")}))
        first = await bmc.observe(look)
        server.documents[INVENTORY] = collection(f"{INVENTORY}/NIC")
        server.documents[f"{INVENTORY}/NIC"] = {"Id": "NIC", "Version": "3"}
        return first, await bmc.observe(look)

    first, second = scripted(program)

    assert Unknown("the BMC lists no component NIC") == first.component(ComponentName("NIC")).installed
    assert "3" == second.component(ComponentName("NIC")).installed


def test_member_that_went():
    """A member that answers 404 is looked for anew, for its URI may hold the version; Unknown while there is none."""

    async def program(server: ScriptedBmc, bmc: RedfishBmc) -> tuple[object, object]:
        look = Look(system=False, components=frozenset({BIOS}))
        await bmc.observe(look)
        del server.documents[f"{INVENTORY}/BIOS"]
        gone = (await bmc.observe(look)).component(BIOS).installed
        server.documents[INVENTORY] = collection(f"{INVENTORY}/Bios1")
        server.documents[f"{INVENTORY}/Bios1"] = {"Id": "BIOS", "Version": "2"}
        return gone, (await bmc.observe(look)).component(BIOS).installed

    gone, found = scripted(program)

    assert isinstance(gone, Unknown)
    assert "2" == found


@pytest.mark.parametrize(
    ("pending", "staged"),
    [
        ({"Id": "BIOS-Pending", "Version": "2.0", "Status": {"State": "StandbySpare"}}, "2.0"),
        ({"Id": "BIOS-Pending", "Version": None, "Status": {"State": "Disabled"}}, None),
        (None, NOT_ASKED),
    ],
)
def test_staged(pending, staged):
    """A pending member is what waits; an empty one says that nothing does; without one nobody knows."""

    async def program(server: ScriptedBmc, bmc: RedfishBmc) -> Observation:
        if pending is not None:
            server.documents[INVENTORY] = collection(f"{INVENTORY}/BIOS", f"{INVENTORY}/BIOS-Pending")
            server.documents[f"{INVENTORY}/BIOS-Pending"] = pending
        return await bmc.observe(Look(system=False, components=frozenset({BIOS}), tasks=True))

    assert staged == scripted(program).component(BIOS).staged


def test_paged_collection():
    """Members on later pages are found (P47)."""

    async def program(server: ScriptedBmc, bmc: RedfishBmc) -> tuple[str, ...]:
        page = f"{INVENTORY}?$skip=2"
        server.documents[INVENTORY] = {**collection(f"{INVENTORY}/a"), "Members@odata.nextLink": page}
        server.documents[page] = {"Members": [{"@odata.id": f"{INVENTORY}/b"}, {}, "odd", {"@odata.id": 5}]}
        return await bmc.service.members(INVENTORY)

    assert (f"{INVENTORY}/a", f"{INVENTORY}/b") == scripted(program)


def test_endless_pages():
    """Pages that lead back to themselves end, and what was to be read is Unknown."""

    async def program(server: ScriptedBmc, bmc: RedfishBmc) -> object:
        server.documents[INVENTORY] = {**collection(), "Members@odata.nextLink": INVENTORY}
        return (await bmc.observe(Look(system=False, components=frozenset({BIOS})))).component(BIOS).installed

    installed = scripted(program)

    assert isinstance(installed, Unknown)
    assert "no end" in installed.reason


def test_several_systems():
    """Of several systems the node's is the one that can be reset, or the one that was named; never a guess."""

    def program_for(*resettable: str) -> Callable[[ScriptedBmc, RedfishBmc], Awaitable[object]]:
        async def program(server: ScriptedBmc, bmc: RedfishBmc) -> object:
            server.documents["/redfish/v1/Systems"] = collection("/redfish/v1/Systems/a", "/redfish/v1/Systems/b")
            for name, power in (("a", "On"), ("b", "Off")):
                actions = {"#ComputerSystem.Reset": {"target": "/x"}} if name in resettable else {}
                server.documents[f"/redfish/v1/Systems/{name}"] = {"Id": name, "PowerState": power, "Actions": actions}
            return (await bmc.observe(Look())).power

        return program

    assert Power.OFF is scripted(program_for("b"))
    assert Power.OFF is scripted(program_for("a", "b"), system="b")
    for names in ((), ("a", "b")):
        power = scripted(program_for(*names))
        assert isinstance(power, Unknown)
        assert "systems that can be reset, not one" in power.reason


def test_young_task_may_be_missing():
    """A task that was just accepted and answers 404 (P04) is Unknown; after a while it has vanished."""

    async def program(server: ScriptedBmc, bmc: RedfishBmc) -> tuple[object, object]:
        clock = bmc._clock
        assert isinstance(clock, HandClock)
        server.on(f"POST {RESET}", Reply(202, {}, {"Location": f"{TASKS}/5"}))
        assert Accepted(f"{TASKS}/5", "ComputerSystem.Reset") == await bmc.reset_host(ResetKind.ON)
        young = (await bmc.observe(Look(system=False, task=f"{TASKS}/5"))).task
        clock.at += YOUNG
        return young, (await bmc.observe(Look(system=False, task=f"{TASKS}/5"))).task

    young, old = scripted(program)

    assert isinstance(young, Unknown)
    assert isinstance(old, TaskSeen)
    assert TaskPhase.VANISHED is old.phase


def test_task_list():
    """All tasks are listed, the newest last whatever the order of the service; one that went is left out."""

    async def program(server: ScriptedBmc, bmc: RedfishBmc) -> Observation:
        server.documents[TASKS] = collection(*(f"{TASKS}/{number}" for number in (10, 9, 8)))
        server.documents[f"{TASKS}/10"] = {"TaskState": "Running"}
        server.documents[f"{TASKS}/9"] = {"TaskState": "Completed"}
        return await bmc.observe(Look(system=False, tasks=True))

    tasks = scripted(program).tasks

    assert not isinstance(tasks, Unknown)
    assert [(f"{TASKS}/9", TaskPhase.DONE), (f"{TASKS}/10", TaskPhase.RUNNING)] == [(t.uri, t.phase) for t in tasks]


def test_ended_tasks_are_read_once():
    """A task that has ended is not read again over the same connection; over another one it is (P01)."""

    async def program(server: ScriptedBmc, bmc: RedfishBmc) -> tuple[list[str], list[str]]:
        server.documents[TASKS] = collection(f"{TASKS}/1", f"{TASKS}/2")
        server.documents[f"{TASKS}/1"] = {"TaskState": "Completed"}
        server.documents[f"{TASKS}/2"] = {"TaskState": "Running"}
        look = Look(system=False, tasks=True)
        await bmc.observe(look)
        same = await _look(server, bmc, look)
        await bmc.park()
        return same, await _look(server, bmc, look)

    same, another = scripted(program)

    assert [f"GET {TASKS}", f"GET {TASKS}/2"] == same
    assert [f"GET {TASKS}", f"GET {TASKS}/1", f"GET {TASKS}/2"] == another


def test_task_that_cannot_be_read():
    """A task whose answer is nonsense is Unknown, not failed and not done."""

    async def program(server: ScriptedBmc, bmc: RedfishBmc) -> Observation:
        server.documents[f"{TASKS}/1"] = Reply(200, b"<html>")
        server.documents[TASKS] = collection(f"{TASKS}/1")
        return await bmc.observe(Look(system=False, task=f"{TASKS}/1", tasks=True))

    seen = scripted(program)

    assert isinstance(seen.task, Unknown)
    assert isinstance(seen.tasks, Unknown)


def test_one_part_fails_alone():
    """What cannot be read leaves the rest of the look readable."""

    async def program(server: ScriptedBmc, bmc: RedfishBmc) -> Observation:
        server.documents[SYSTEM] = Reply(500, {"error": "sick"})
        return await bmc.observe(Look(components=frozenset({BIOS}), tasks=True))

    seen = scripted(program)

    assert isinstance(seen.power, Unknown)
    assert "sick" in seen.power.reason
    assert "1.0" == seen.component(BIOS).installed
    assert () == seen.tasks


@pytest.mark.parametrize("status", [400, 409])
def test_refusal_in_the_state_asked_for(status):
    """A refused power-on of a host that is on is accepted; a refused power-off of it stays refused (P35)."""

    async def program(server: ScriptedBmc, bmc: RedfishBmc) -> tuple[object, object]:
        server.on(f"POST {RESET}", *[Reply(status, {"error": "already"})] * 2)
        return await bmc.reset_host(ResetKind.ON), await bmc.reset_host(ResetKind.FORCE_OFF)

    on, off = scripted(program)

    assert Accepted(way="ComputerSystem.Reset") == on
    assert isinstance(off, Refused)


def test_reset_by_action_info():
    """Allowed ResetTypes are read from the ActionInfo where the action has no annotation."""

    async def program(server: ScriptedBmc, bmc: RedfishBmc) -> tuple[object, object, Any]:
        info = "/redfish/v1/Systems/1/ResetActionInfo"
        server.documents[SYSTEM]["Actions"]["#ComputerSystem.Reset"] = {"target": RESET, "@Redfish.ActionInfo": info}
        server.documents[info] = {"Parameters": [{"Name": "ResetType", "AllowableValues": ["PowerCycle", "On"]}]}
        restart = await bmc.reset_host(ResetKind.FORCE_RESTART)
        off = await bmc.reset_host(ResetKind.FORCE_OFF)
        return restart, off, [request.json for request in server.requests if request.path == RESET]

    restart, off, sent = scripted(program)

    assert isinstance(restart, Accepted)
    assert isinstance(off, Refused)
    assert "only PowerCycle, On" in off.reason
    assert [{"ResetType": "PowerCycle"}] == sent


def test_actions_carry_no_if_match():
    """An action is sent without If-Match, which some services refuse for good (P29)."""

    async def program(server: ScriptedBmc, bmc: RedfishBmc) -> list[bool]:
        server.documents[SYSTEM]["@odata.etag"] = '"1"'
        await bmc.reset_host(ResetKind.FORCE_RESTART)
        await bmc.reset_bmc()
        return ["if-match" in request.headers for request in server.requests if request.method == "POST"]

    assert [False, False, False] == scripted(program)


@pytest.mark.skipif(not TREES.is_dir(), reason="the recorded trees are not part of the project")
@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ("dell-r750", (Power.ON, Unknown, Health.OK, "Dell Inc.", "PowerEdge R750", str, str)),
        (
            "hpe-dl385g10p",
            (Power.ON, Post.COMPLETE, Health.CRITICAL, "HPE", "ProLiant DL385 Gen10 Plus v2", str, Unknown),
        ),
        ("lenovo-sr670v2", (Power.ON, Post.COMPLETE, Health.OK, "Lenovo", "ThinkSystem SR670 V2", str, Unknown)),
        ("nvidia-gb200", (Power.ON, Post.COMPLETE, Health.OK, Unknown, Unknown, str, str)),
        ("openbmc-stock", (Power.OFF, Post.NOT_RUNNING, Health.OK, Unknown, Unknown, str, str)),
        ("supermicro-821ge", (Power.ON, Post.COMPLETE, Health.OK, "Supermicro", "SYS-821GE-TNHR", Unknown, str)),
    ],
)
def test_recorded_machines(tree, expected):
    """Six recorded machines are read without an error; what they do not tell is Unknown."""
    resources: dict[str, Any] = json.loads(gzip.decompress((TREES / f"{tree}.json.gz").read_bytes()))["resources"]
    documents: dict[str, Any] = {}
    for path, document in resources.items():
        bare = path.rstrip("/")
        documents |= {bare: document, f"{bare}/": document}
    documents["/redfish/v1/"] = documents["/redfish/v1"]
    members = documents["/redfish/v1/UpdateService/FirmwareInventory"]["Members"]
    component = ComponentName(members[0]["@odata.id"].rstrip("/").rpartition("/")[2])

    async def program(server: ScriptedBmc, bmc: RedfishBmc) -> Observation:
        return await bmc.observe(Look(components=frozenset({component}), settings=True, bmc=True))

    seen = scripted(program, ScriptedBmc(documents=documents))
    told = (seen.power, seen.post, seen.health, seen.identity.vendor, seen.identity.model, seen.boot, seen.bmc_boot)

    assert isinstance(seen.component(component).installed, str)
    for wanted, found in zip(expected, told, strict=True):
        assert isinstance(found, wanted) if isinstance(wanted, type) else wanted == found
