"""Which quirks are chosen for a service, and what choosing them costs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from scripted_bmc import INVENTORY, MANAGER, SYSTEM, ScriptedBmc, client

from rackwave.bmc.quirks import Facts, Quirks, Roster
from rackwave.bmc.quirks.reader import parse_records
from rackwave.core.identity import ComponentName
from rackwave.core.observation import Look

ROSTER = Roster(
    parse_records(
        "\n".join(
            f"""
[[quirk]]
id = "{name}"
match = {match}
differs = {differs}
why = "w"
since = "s"
source = "s"
"""
            for name, match, differs in (
                ("by-vendor", '{ vendor = "Acme" }', "{ start_update = true }"),
                ("by-model", '{ vendor = "Acme", model = "A1" }', '{ apply_time = "OnReset" }'),
                ("by-firmware", '{ vendor = "Acme", firmware = { below = "2" } }', '{ update_state = "Oem.Acme" }'),
                ("of-others", '{ vendor = "Other", firmware = { below = "2" } }', "{ claims_push_targets = true }"),
            )
        ),
        origin="test.toml",
    )
)


def chosen(root: Mapping[str, Any], *keys: str, firmware: str = "1.5") -> tuple[Quirks, list[str], Facts]:
    """Ask a service for its quirks: what they are, which requests that took, and what is known."""

    async def run() -> tuple[Quirks, list[str], Facts]:
        async with ScriptedBmc() as server:
            server.documents["/redfish/v1/"] = {**server.documents["/redfish/v1/"], **root}
            server.documents[MANAGER]["FirmwareVersion"] = firmware
            bmc = client(server, roster=ROSTER)
            try:
                quirks = await bmc.service.quirks(*keys)
                return quirks, server.seen(), bmc.service.make.facts
            finally:
                await bmc.close()

    return asyncio.run(run())


def test_the_root_alone_decides_for_strangers():
    """A make that no record is about costs no request beyond the root, which is read anyway."""
    quirks, requests, _ = chosen({"Vendor": "Nobody"})

    assert Quirks() == quirks
    assert not [request for request in requests if SYSTEM in request or MANAGER in request]


def test_the_manager_is_read_only_where_firmware_decides():
    """System and manager are read where a record that sets the key that is asked for hangs on them."""
    by_vendor, first, _ = chosen({"Vendor": "Acme"}, "start_update")
    by_model, second, _ = chosen({"Vendor": "Acme"}, "apply_time")
    by_firmware, third, facts = chosen({"Vendor": "Acme"}, "update_state")

    assert by_vendor.start_update
    assert not [request for request in first if SYSTEM in request or MANAGER in request]
    assert "OnReset" == by_model.apply_time
    assert f"GET {SYSTEM}" in second
    assert f"GET {MANAGER}" not in second
    assert "Oem.Acme" == by_firmware.update_state
    assert f"GET {MANAGER}" in third
    assert "1.5" == facts.firmware


def test_a_root_without_vendor():
    """Where the root tells no Vendor, the names under its Oem and the system's Manufacturer do."""
    by_oem, _, facts = chosen({"Oem": {"Acme": {}}}, "start_update")
    by_system, _, _ = chosen({}, "start_update")

    assert by_oem.start_update
    assert ("Acme",) == facts.vendor
    assert by_system.start_update


def test_another_firmware_is_another_choice():
    """Once the manager tells another firmware, what hangs on it is chosen anew."""

    async def run() -> tuple[str, str]:
        async with ScriptedBmc() as server:
            server.documents[MANAGER]["FirmwareVersion"] = "1.5"
            bmc = client(server, roster=ROSTER)
            try:
                before = (await bmc.service.quirks()).update_state
                server.documents[MANAGER]["FirmwareVersion"] = "2.0"
                await bmc.observe(Look(bmc=True))
                return before, (await bmc.service.quirks()).update_state
            finally:
                await bmc.close()

    assert ("Oem.Acme", "") == asyncio.run(run())


def test_what_was_written_may_be_the_bmc():
    """After a component shows another version, and after the BMC was restarted, the manager is asked again."""

    async def run() -> list[str]:
        async with ScriptedBmc() as server:
            server.documents[MANAGER]["FirmwareVersion"] = "1.5"
            bmc = client(server, roster=ROSTER)
            look = Look(system=False, components=frozenset({ComponentName("BMC")}))
            try:
                await bmc.observe(look)
                found = [(await bmc.service.quirks()).update_state]
                server.documents[f"{INVENTORY}/BMC"]["Version"] = "8.0"
                server.documents[MANAGER]["FirmwareVersion"] = "2.0"
                await bmc.observe(look)
                found.append((await bmc.service.quirks()).update_state)
                server.documents[MANAGER]["FirmwareVersion"] = "1.5"
                await bmc.reset_bmc()
                return [*found, (await bmc.service.quirks()).update_state]
            finally:
                await bmc.close()

    assert ["Oem.Acme", "", "Oem.Acme"] == asyncio.run(run())
