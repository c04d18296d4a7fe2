"""What sushy-tools serves in the lab, and the private names of it that the lab relies on."""

from __future__ import annotations

import inspect

import pytest
from sushy_tools import error
from sushy_tools.emulator import main
from sushy_tools.emulator.resources import chassis, drives, indicators, managers, storage, vmedia, volumes
from sushy_tools.emulator.resources.systems import fakedriver

from rackwave_emulators.fleet_app import FleetApplication

ROOT = "/redfish/v1"


def test_the_stock_application_is_ours():
    """The object that the stock routes close over is the fleet's application."""
    assert isinstance(main.app, FleetApplication)


@pytest.mark.parametrize(
    "name", ["systems", "managers", "chassis", "indicators", "vmedia", "storage", "drives", "volumes"]
)
def test_the_eight_drivers_are_properties(name):
    """Each driver that we override is a property of the stock application."""
    assert isinstance(getattr(main.Application, name), property)


@pytest.mark.parametrize(
    ("kind", "methods"),
    [
        (fakedriver.FakeDriver, ["_get", "_update", "_update_if_needed", "set_power_state", "get_boot_device"]),
        (managers.FakeDriver, ["get_manager", "set_datetime", "get_managed_systems", "get_managers_for_system"]),
        (chassis.StaticDriver, ["uuid", "name"]),
        (indicators.StaticDriver, ["get_indicator_state", "set_indicator_state"]),
        (vmedia.StaticDriver, ["_get_device", "_get_image", "insert_image", "eject_image"]),
        (storage.StaticDriver, ["get_storage_col"]),
        (drives.StaticDriver, ["get_drives"]),
        (volumes.StaticDriver, ["get_volumes_col"]),
    ],
)
def test_the_methods_that_we_override_or_call_exist(kind, methods):
    """A stock driver without one of these would make an override of ours dead code."""
    assert [] == [name for name in methods if not callable(getattr(kind, name, None))]


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        (fakedriver.FakeDriver, ["_systems", "_by_name", "_config", "_logger"]),
        (chassis.StaticDriver, ["_chassis_by_uuid"]),
        (managers.FakeDriver, ["_systems", "_chassis"]),
        (indicators.StaticDriver, ["_indicators", "_config", "_logger"]),
        (vmedia.BaseDriver, ["_devices", "_device_types", "_config", "_logger"]),
        (volumes.StaticDriver, ["_volumes"]),
    ],
)
def test_the_private_state_that_we_replace_exists(kind, attributes):
    """The attributes that our constructors set are those that the stock classes use."""
    source = "".join(inspect.getsource(base) for base in kind.__mro__[:-1])

    assert [] == [name for name in attributes if f".{name}" not in source]


def test_the_views_that_we_replace_exist():
    """The endpoints whose views are replaced are stock routes, under the names that we use."""
    rules = {rule.endpoint: rule.rule for rule in main.app.url_map.iter_rules()}

    assert f"{ROOT}/Systems/<identity>/Actions/ComputerSystem.Reset" == rules["system_reset_action"]
    assert f"{ROOT}/Systems/<identity>/BIOS/Settings" == rules["bios_settings"]
    assert issubclass(error.NotFound, error.FishyError)


def test_boot_and_led_are_kept_for_each_bmc(play, client):
    """A boot override and an LED set on one BMC show there, in the System that the lab renders, and nowhere else."""

    async def scenario(lab, clock):
        async with client(lab, "r1n01") as one, client(lab, "r1n02") as other:
            for bmc in (one, other):
                await bmc.log_in()
                await bmc.get(f"{ROOT}/Systems/1")
            patched = await one.ask(
                "PATCH",
                f"{ROOT}/Systems/1",
                json={"Boot": {"BootSourceOverrideTarget": "Pxe"}, "IndicatorLED": "Blinking"},
            )
            seen = [await bmc.get(f"{ROOT}/Systems/1") for bmc in (one, other)]

            assert 204 == patched.status
            assert ["Pxe", "None"] == [system["Boot"]["BootSourceOverrideTarget"] for system in seen]
            assert ["Blinking", "Lit"] == [system["IndicatorLED"] for system in seen]

    play(scenario, nodes=2)


def test_media_are_really_downloaded(play, client, images, tmp_path):
    """InsertMedia fetches the medium and shows it; EjectMedia removes it again; what cannot be fetched is refused."""

    async def scenario(lab, clock):
        media = f"{ROOT}/Systems/1/VirtualMedia/Cd"
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            insert = f"{media}/Actions/VirtualMedia.InsertMedia"
            inserted = await bmc.ask("POST", insert, json={"Image": images.url("bios2")})
            shown = await bmc.get(media)
            kept = list((tmp_path / "lab" / "media").rglob("bios2"))
            ejected = await bmc.ask("POST", f"{media}/Actions/VirtualMedia.EjectMedia", json={})
            lost = await bmc.ask("POST", insert, json={"Image": images.url("nowhere")})

            assert (204, True, 1) == (inserted.status, shown["Inserted"], len(kept))
            assert 204 == ejected.status
            assert not (await bmc.get(media))["Inserted"]
            assert [] == list((tmp_path / "lab" / "media").rglob("bios2"))
            assert 502 == lost.status
            for wrong in (5, "ftp://x/y", "file:///etc/passwd", None):
                assert 400 == (await bmc.ask("POST", insert, json={"Image": wrong})).status

    play(scenario)


def test_each_bmc_has_a_clock_of_its_own(play, client):
    """A DateTime set on one manager goes on from there, and the other's is untouched (P33)."""

    async def scenario(lab, clock):
        async with client(lab, "r1n01") as one, client(lab, "r1n02") as other:
            for bmc in (one, other):
                await bmc.log_in()
            await one.ask("PATCH", f"{ROOT}/Managers/BMC", json={"DateTime": "2001-01-01T00:00:00Z"})
            clock.advance(60)

            assert "2001-01-01T00:01:00+00:00" == (await one.get(f"{ROOT}/Managers/BMC"))["DateTime"]
            assert "2026-01-01T00:01:00+00:00" == (await other.get(f"{ROOT}/Managers/BMC"))["DateTime"]
            assert 400 == (await one.ask("PATCH", f"{ROOT}/Managers/BMC", json={"DateTime": "noon"})).status

    play(scenario, nodes=2)


@pytest.mark.parametrize(
    "path",
    [
        "Chassis",
        "Systems/1/SecureBoot",
        "Systems/1/EthernetInterfaces",
        "Systems/1/Storage",
        "Systems/1/VirtualMedia",
        "Systems/1/BIOS",
        "Registries/Messages/Registry",
        "CertificateService",
    ],
)
def test_the_long_tail_is_reachable(play, client, path):
    """What the lab does not render itself, sushy-tools does."""

    async def scenario(lab, clock):
        async with client(lab) as bmc:
            await bmc.log_in()
            assert path.split("/")[0] in (await bmc.get(f"{ROOT}/{path}"))["@odata.id"]

    play(scenario)


def test_stock_documents_follow_the_schemas(play, client):
    """Chassis and thermal of the templates hold no mock-up annotation, and their numbers are numbers."""

    async def scenario(lab, clock):
        async with client(lab) as raw:
            await raw.log_in()
            chassis_uri = (await raw.get(f"{ROOT}/Chassis"))["Members"][0]["@odata.id"]
            chassis_body = await raw.get(chassis_uri)
            thermal = await raw.get(chassis_body["Thermal"]["@odata.id"])

        assert "@Redfish.Copyright" not in chassis_body
        assert "@Redfish.Copyright" not in thermal
        assert "#Chassis.v1_9_0.Chassis" == chassis_body["@odata.type"]
        assert [int] * len(thermal["Temperatures"]) == [type(t["SensorNumber"]) for t in thermal["Temperatures"]]

    play(scenario)
