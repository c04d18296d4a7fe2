"""Which member of an inventory is a component, on makes that call it something else (P44)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from scripted_bmc import INVENTORY, MANAGER, SYSTEM, ScriptedBmc, client, collection

from rackwave.bmc.redfish.bmc import RedfishBmc
from rackwave.core.identity import ComponentName
from rackwave.core.observation import NOT_ASKED, Component, Look, Unknown

T = TypeVar("T")
BIOS, BMC, NIC = ComponentName("BIOS"), ComponentName("BMC"), ComponentName("NIC")
ENABLED = {"State": "Enabled", "Health": "OK"}


def member(identity: str, version: str, **more: Any) -> dict[str, Any]:
    """A member of an inventory."""
    return {"Id": identity, "Version": version, "Status": ENABLED, **more}


def of_make(vendor: str, *members: dict[str, Any]) -> ScriptedBmc:
    """A service of *vendor* with these members."""
    server = ScriptedBmc()
    server.documents["/redfish/v1/"] = {**server.documents["/redfish/v1/"], "Vendor": vendor}
    show(server, *members)
    return server


def show(server: ScriptedBmc, *members: dict[str, Any]) -> None:
    """Let the inventory list these, and nothing else."""
    for path in [path for path in server.documents if path.startswith(f"{INVENTORY}/")]:
        del server.documents[path]
    server.documents[INVENTORY] = collection(*(f"{INVENTORY}/{member['Id']}" for member in members))
    server.documents |= {f"{INVENTORY}/{member['Id']}": member for member in members}


def asked(server: ScriptedBmc, program: Callable[[RedfishBmc], Awaitable[T]]) -> T:
    """Run *program* with a client of *server*."""

    async def run() -> T:
        async with server:
            bmc = client(server)
            try:
                return await program(bmc)
            finally:
                await bmc.close()

    return asyncio.run(run())


async def _bios(bmc: RedfishBmc) -> Component:
    return await bmc.service.inventory.component(BIOS)


IDRAC = (
    member("Current-159-1.8.2__BIOS.Setup.1-1", "1.8.2"),
    member("Installed-159-1.8.2__BIOS.Setup.1-1", "1.8.2"),
    member("Installed-25227-6.00__iDRAC.Embedded.1-1", "6.00"),
    member("Installed-0-24.4__NIC.Slot.5-1", "24.4"),
    member("Installed-1-21.8__NIC.Integrated.1-1-1", "21.8"),
    member("Previous-159-1.2.4__BIOS.Setup.1-1", "1.2.4"),
)


def test_of_current_installed_and_previous_the_installed_one_counts():
    """An iDRAC lists one component as Current, Installed and Previous; what runs is Installed."""

    async def program(bmc: RedfishBmc) -> tuple[Component, list[str]]:
        return await _bios(bmc), []

    component, _ = asked(of_make("Dell", *IDRAC), program)

    assert Component(BIOS, "1.8.2") == component


def test_an_id_pattern_saves_reading_the_others():
    """Where the Id decides, only members whose URI fits are read."""
    server = of_make("Dell", *IDRAC)

    asked(server, _bios)

    assert [f"GET {INVENTORY}/Installed-159-1.8.2__BIOS.Setup.1-1"] == server.seen(f"GET {INVENTORY}/")


def test_a_member_that_moved_is_found_anew_at_once():
    """After an update the URI with the old version is gone; the same look finds the new one."""

    async def program(bmc: RedfishBmc) -> tuple[Any, Any]:
        before = (await bmc.observe(Look(components=frozenset({BIOS})))).component(BIOS).installed
        show(server, member("Installed-159-2.0.0__BIOS.Setup.1-1", "2.0.0"), *IDRAC[2:])
        return before, (await bmc.observe(Look(components=frozenset({BIOS})))).component(BIOS).installed

    server = of_make("Dell", *IDRAC)

    assert ("1.8.2", "2.0.0") == asked(server, program)


def test_ambiguous_members_are_named_and_not_guessed():
    """Of two network cards none is "NIC": it is Unknown, with both named; an FQDD names one for ever."""

    async def program(bmc: RedfishBmc) -> tuple[Component, Component]:
        look = bmc.service.inventory.component
        return await look(NIC), await look(ComponentName("NIC.Slot.5-1"))

    several, one = asked(of_make("Dell", *IDRAC), program)

    assert isinstance(several.installed, Unknown)
    assert "2 members may be NIC" in several.installed.reason
    assert "Installed-0-24.4__NIC.Slot.5-1, Installed-1-21.8__NIC.Integrated.1-1-1" in several.installed.reason
    assert "24.4" == one.installed


def test_an_exact_id_always_wins():
    """A member whose Id is the name is the component, whatever a quirk would have found."""

    async def program(bmc: RedfishBmc) -> str | Unknown:
        return (await _bios(bmc)).installed

    assert "7" == asked(of_make("Dell", *IDRAC, member("BIOS", "7")), program)


ILO = (
    member("1", "2.72", Name="iLO 5"),
    member("2", "A42 v2.60", Name="System ROM"),
    member("3", "1.0", Name="Power Supply Firmware"),
    member("8", "A42 v2.50", Name="Redundant System ROM"),
)


def test_members_that_are_numbered_are_found_by_their_name():
    """On an iLO the Name says what a member is, and the redundant ROM is not the one that runs."""

    async def program(bmc: RedfishBmc) -> tuple[str | Unknown, str | Unknown, str | Unknown]:
        look = bmc.service.inventory.component
        return (
            (await _bios(bmc)).installed,
            (await look(BMC)).installed,
            (await look(ComponentName("Redundant System ROM"))).installed,
        )

    assert ("A42 v2.60", "2.72", "A42 v2.50") == asked(of_make("HPE", *ILO), program)


def test_a_number_that_came_to_mean_another_part_is_seen():
    """When the numbers move, the member under the old one is not taken for the component that it was."""

    async def program(bmc: RedfishBmc) -> tuple[str | Unknown, str | Unknown]:
        before = (await _bios(bmc)).installed
        moved = [{**other, "Id": str(int(other["Id"]) + 1)} for other in ILO[1:]]
        show(server, ILO[0], member("2", "9.9", Name="A new device"), *moved)
        return before, (await _bios(bmc)).installed

    server = of_make("HPE", *ILO)

    assert ("A42 v2.60", "A42 v2.60") == asked(server, program)


def test_what_waits_is_found_by_the_same_record():
    """XCC's UEFI-Pending is what waits for "BIOS": nothing while it is Disabled, its Version otherwise."""
    running = member("UEFI", "1.51")
    empty = member("UEFI-Pending", "", Status={"State": "Disabled"})
    full = member("UEFI-Pending", "2.00", Status={"State": "StandbySpare"})
    found = []
    for pending in ((empty,), (full,), ()):

        async def program(bmc: RedfishBmc) -> Any:
            seen = await bmc.observe(Look(components=frozenset({BIOS}), tasks=True))
            return seen.component(BIOS).installed, seen.component(BIOS).staged

        found.append(asked(of_make("Lenovo", running, *pending), program))

    assert [("1.51", None), ("1.51", "2.00"), ("1.51", NOT_ASKED)] == found


def test_a_manager_is_read_only_for_a_name_that_is_nobodys_id():
    """Bmcweb tells no vendor: its manager says what it is, and is asked once, for a component that no Id names."""
    server = of_make("", member("5d0869c4", "2.15", Description="BMC image"), member("BIOS", "1.0"))
    server.documents[MANAGER]["Model"] = "OpenBmc"

    async def program(bmc: RedfishBmc) -> tuple[str | Unknown, list[str], str | Unknown]:
        exact = (await _bios(bmc)).installed
        cheap = server.seen(f"GET {MANAGER}")
        return exact, cheap, (await bmc.service.inventory.component(BMC)).installed

    assert ("1.0", [], "2.15") == asked(server, program)
    assert [f"GET {MANAGER}"] == server.seen(f"GET {MANAGER}")


def test_a_component_that_nobody_lists():
    """A name that neither an Id nor a record knows is Unknown, and the members are listed anew next time."""

    async def program(bmc: RedfishBmc) -> tuple[str | Unknown, str | Unknown]:
        look = bmc.service.inventory.component
        gone = (await look(NIC)).installed
        show(server, *ILO, member("16", "20.29", Name="ConnectX-6 100GE 1P NIC"))
        return gone, (await look(NIC)).installed

    server = of_make("HPE", *ILO)
    gone, there = asked(server, program)

    assert Unknown("the BMC lists no component NIC") == gone
    assert "20.29" == there


def test_the_system_is_not_read_for_it():
    """Naming alone never costs the system where the root tells the vendor."""
    server = of_make("HPE", *ILO)

    asked(server, _bios)

    assert [] == server.seen(f"GET {SYSTEM}")


def test_what_members_said_of_themselves_is_remembered():
    """A second name costs the one member that is meant, not another reading of all; nobody's name reads all once."""
    server = of_make("HPE", *ILO)

    async def program(bmc: RedfishBmc) -> list[int]:
        found = []
        for name in (BIOS, BMC, BIOS, ComponentName("No such part")):
            server.requests.clear()
            await bmc.service.inventory.component(name)
            found.append(len(server.seen(f"GET {INVENTORY}/")))
        return found

    assert [4, 1, 1, 4] == asked(server, program)


def test_what_is_written_to_is_proved_where_names_move():
    """A member is read once more before it is written to where its number may have moved; an exact Id is not."""
    exact, numbered = of_make("HPE", member("BIOS", "1")), of_make("HPE", *ILO)

    async def program(bmc: RedfishBmc) -> tuple[str | Unknown, str | Unknown]:
        await _bios(bmc)
        return await bmc.service.inventory.uri(BIOS), await bmc.service.inventory.uri(BIOS)

    assert (f"{INVENTORY}/BIOS", f"{INVENTORY}/BIOS") == asked(exact, program)
    assert (f"{INVENTORY}/2", f"{INVENTORY}/2") == asked(numbered, program)
    assert (1, 4 + 2) == tuple(len(server.seen(f"GET {INVENTORY}/")) for server in (exact, numbered))


def test_a_status_before_the_name_is_understood_on_every_make():
    """Of Current-, Installed- and Previous-BIOS the installed one is BIOS, also where no record knows the make."""
    trio = (member("Current-BIOS", "2"), member("Installed-BIOS", "2"), member("Previous-BIOS", "1"))
    titled = tuple({**each, "Id": each["Id"].replace("BIOS", "2"), "Name": "System ROM"} for each in trio)
    by_role = tuple({**each, "Id": each["Id"].replace("BIOS", "UEFI")} for each in trio)

    async def program(bmc: RedfishBmc) -> str | Unknown:
        await _bios(bmc)
        return await bmc.service.inventory.uri(BIOS)

    assert f"{INVENTORY}/Installed-BIOS" == asked(of_make("Nobody", *trio), program)
    assert f"{INVENTORY}/Installed-2" == asked(of_make("HPE", *titled), program)
    assert f"{INVENTORY}/Installed-UEFI" == asked(of_make("Lenovo", *by_role), program)


def test_a_network_adapter_is_found_by_its_number_where_there_is_one():
    """On makes that number them the only one is the NIC; of several the names are told, and none is chosen."""

    def nic(vendor: str, *names: str) -> str | Unknown:
        server = of_make(vendor, *(member(name, "1") for name in names))
        server.documents[MANAGER]["Model"] = "OpenBmc"
        return asked(server, lambda bmc: bmc.service.inventory.uri(NIC))

    assert f"{INVENTORY}/NIC10" == nic("Supermicro", "NIC10", "BIOS")
    assert f"{INVENTORY}/CX7_0" == nic("NVIDIA", "CX7_0", "FW_BMC_0")
    several = nic("NVIDIA", "CX7_0", "NIC_0", "FW_BMC_0")
    assert isinstance(several, Unknown)
    assert "2 members may be NIC: CX7_0, NIC_0" in several.reason
