"""BIOS settings over the wire: staged, checked, in force after POST."""

from __future__ import annotations

ROOT = "/redfish/v1"
BIOS = f"{ROOT}/Systems/1/Bios"
SETTINGS = f"{BIOS}/Settings"


def test_settings_wait_for_post(play, client):
    """A PATCH to Bios/Settings is pending until the host's next POST has passed."""

    async def scenario(lab, clock):
        async with client(lab) as bmc:
            await bmc.log_in()
            staged = await bmc.ask("PATCH", SETTINGS, json={"Attributes": {"QuietBoot": False}})
            pending = (await bmc.get(SETTINGS))["Attributes"]
            before = (await bmc.get(BIOS))["Attributes"]["QuietBoot"]
            await bmc.reset_host()
            clock.advance(61)

            assert 204 == staged.status
            assert {"QuietBoot": False} == pending
            assert before is True
            assert (await bmc.get(BIOS))["Attributes"]["QuietBoot"] is False
            assert {} == (await bmc.get(SETTINGS))["Attributes"]

    play(scenario)


def test_a_stale_etag_is_refused(play, client):
    """If-Match with the tag of an earlier state gets 412 and stages nothing; the present tag and * are taken."""

    async def scenario(lab, clock):
        async with client(lab) as bmc:
            await bmc.log_in()
            tag = (await bmc.get(BIOS))["@Redfish.Settings"]["ETag"]
            shown = (await bmc.ask("GET", SETTINGS)).headers["ETag"]

            async def stage(value, if_match):
                body = {"Attributes": {"AcPwrRcvryDelay": value}}
                return (await bmc.ask("PATCH", SETTINGS, json=body, headers={"If-Match": if_match})).status

            assert tag == shown
            assert [204, 412, 204] == [await stage(1, tag), await stage(2, tag), await stage(3, "*")]
            assert {"AcPwrRcvryDelay": 3} == (await bmc.get(SETTINGS))["Attributes"]

    play(scenario)


def test_what_the_registry_does_not_allow_is_refused(play, client):
    """An unknown, read-only or ill-typed attribute gets 400, and nothing of its request is staged."""

    async def scenario(lab, clock):
        async with client(lab) as bmc:
            await bmc.log_in()
            for attributes in (
                {"QuietBoot": False, "NoSuch": 1},
                {"SystemMemorySize": "1 GB"},
                {"QuietBoot": "no"},
                {"AcPwrRcvryDelay": 601},
                {"BootMode": ["Uefi"]},
                {},
                [],
            ):
                assert 400 == (await bmc.ask("PATCH", SETTINGS, json={"Attributes": attributes})).status

            assert {} == (await bmc.get(SETTINGS))["Attributes"]

    play(scenario)


def test_the_registry_describes_every_attribute(play, client):
    """The registry that Bios names is listed, and holds an entry for each attribute."""

    async def scenario(lab, clock):
        async with client(lab) as bmc:
            await bmc.log_in()
            bios = await bmc.get(BIOS)
            listed = [member["@odata.id"] for member in (await bmc.get(f"{ROOT}/Registries"))["Members"]]
            files = [await bmc.get(path) for path in listed]
            file = next(one for one in files if one["Registry"] == bios["AttributeRegistry"])
            registry = await bmc.get(file["Location"][0]["Uri"])
            names = {entry["AttributeName"] for entry in registry["RegistryEntries"]["Attributes"]}

            assert set(bios["Attributes"]) == names

    play(scenario)


def test_reset_bios_stages_the_defaults(play, client):
    """ResetBios lets every writable attribute's default wait for the next POST."""

    async def scenario(lab, clock):
        async with client(lab) as bmc:
            await bmc.log_in()
            await bmc.ask("PATCH", SETTINGS, json={"Attributes": {"QuietBoot": False}})
            await bmc.reset_host()
            clock.advance(61)
            await bmc.ask("POST", f"{BIOS}/Actions/Bios.ResetBios")
            await bmc.reset_host()
            clock.advance(61)

            assert (await bmc.get(BIOS))["Attributes"]["QuietBoot"] is True

    play(scenario)


def test_a_make_without_attributes_has_no_settings(play, client):
    """OpenBMC's Bios holds a ResetBios action and neither Attributes nor Settings."""

    async def scenario(lab, clock):
        async with client(lab) as bmc:
            await bmc.log_in()
            bios = await bmc.get(f"{ROOT}/Systems/system/Bios")
            path = f"{ROOT}/Systems/system/Bios/Settings"

            assert "Attributes" not in bios
            assert 404 == (await bmc.ask("GET", path)).status
            assert 404 == (await bmc.ask("PATCH", path, json={"Attributes": {"QuietBoot": False}})).status

    play(scenario, personality="openbmc")
