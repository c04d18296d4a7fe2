"""What the inventory tells, and does not: P43 to P47."""

from __future__ import annotations

import attrs
import pytest

from emulated.pathologies.raw import INVENTORY, ROOT, SYSTEM, flash, reboot, version
from rackwave_emulators.images import make_image
from rackwave_emulators.personality import load_personality


def with_two_nics():
    """Return the plain personality with NIC1 and NIC2."""
    plain = load_personality("plain")
    nic = plain.component("NIC")
    others = tuple(spec for spec in plain.components if spec is not nic)
    return attrs.evolve(plain, components=(*others, attrs.evolve(nic, name="NIC1"), attrs.evolve(nic, name="NIC2")))


async def walk(bmc, path):
    """Follow a collection's pages; return every member and how many pages there were."""
    found, pages = [], 0
    while path:
        told = await bmc.get(path)
        found += [member["@odata.id"] for member in told["Members"]]
        path, pages = told.get("Members@odata.nextLink"), pages + 1
    return found, pages


@pytest.mark.pathology("P43", "'U32 v2.0.0 (05/21/2018)' for what was shipped as 2.0.0")
def test_p43_versions_in_a_notation_of_their_own(play, client, images, arm):
    """No comparison of strings finds the image's version in it."""

    async def scenario(lab, clock):
        arm(lab, "P43")
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            await flash(lab, clock, bmc, images)
            await reboot(clock, bmc)

            assert "U32 v2.0.0 (05/21/2018)" == await version(bmc)

    play(scenario)


@pytest.mark.pathology("P43", "10.0 after 9.0: the newer sorts lower")
def test_p43_the_newer_sorts_lower(play, client, images):
    """A state, not a fault: what runs and what replaces it, as vendors number them."""

    async def scenario(lab, clock):
        make_image(images.directory / "bios10", component="BIOS", version="10.0")
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            before = await version(bmc)
            await flash(lab, clock, bmc, images, "bios10")
            await reboot(clock, bmc)
            after = await version(bmc)

            assert ("9.0", "10.0") == (before, after)
            assert after < before

    play(scenario, versions={"BIOS": "9.0"})


@pytest.mark.pathology("P44", "Current-BIOS, Installed-BIOS and Previous-BIOS, two of them 2.0.0")
def test_p44_three_entries_for_one_component(play, client, images, arm):
    """Only one of them is what it seems."""

    async def scenario(lab, clock):
        arm(lab, "P44", how="trio")
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            await flash(lab, clock, bmc, images, component="Installed-BIOS")
            await reboot(clock, bmc)
            members, _ = await walk(bmc, INVENTORY)
            of_bios = [member for member in members if member.endswith("-BIOS")]

            assert [f"{INVENTORY}/{kind}-BIOS" for kind in ("Current", "Installed", "Previous")] == of_bios
            assert ["2.0.0", "2.0.0", "1.0.0"] == [(await bmc.get(member))["Version"] for member in of_bios]
            assert 404 == (await bmc.ask("GET", f"{INVENTORY}/BIOS")).status

    play(scenario)


@pytest.mark.pathology("P44", "one entry for two NICs of one version")
def test_p44_identical_parts_share_an_entry(play, client, arm):
    """Two parts, one entry, and nobody to say how many there are."""

    async def scenario(lab, clock):
        arm(lab, "P44", how="collapsed")
        async with client(lab) as bmc:
            await bmc.log_in()
            members, _ = await walk(bmc, INVENTORY)

            assert f"{INVENTORY}/NIC1" in members
            assert f"{INVENTORY}/NIC2" not in members
            assert 404 == (await bmc.ask("GET", f"{INVENTORY}/NIC2")).status

    play(scenario, personality=with_two_nics())


@pytest.mark.pathology("P44", "the image that waits for its reset, listed Enabled and Active")
def test_p44_the_staged_image_looks_as_if_it_ran(play, client, images, arm):
    """Who takes every entry for what runs, sees success too early."""

    async def scenario(lab, clock):
        arm(lab, "P44", how="staged")
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            await flash(lab, clock, bmc, images)
            members, _ = await walk(bmc, INVENTORY)
            told = [await bmc.get(member) for member in members if "BIOS" in member]

            assert {"1.0.0", "2.0.0"} == {entry["Version"] for entry in told}
            assert [(True, "Enabled")] * 2 == [(entry["Active"], entry["Status"]["State"]) for entry in told]

    play(scenario)


@pytest.mark.pathology("P45", "Version null and NetworkAdapters 400 while the host is off, both there once it is up")
def test_p45_versions_need_the_host(play, client, arm):
    """What hangs on the host is known only while that runs."""

    async def scenario(lab, clock):
        arm(lab, "P45")
        async with client(lab) as bmc:
            await bmc.log_in()
            chassis = (await bmc.get(SYSTEM))["Links"]["Chassis"][0]["@odata.id"]
            adapters = f"{chassis}/NetworkAdapters"
            await bmc.reset_host("ForceOff")
            clock.advance(3)
            off = (await version(bmc, "NIC"), (await bmc.ask("GET", adapters)).status, await version(bmc))
            await bmc.reset_host("On")
            clock.advance(70)

            assert (None, 400, "1.0.0") == off
            assert ("1.0.0", 200) == (await version(bmc, "NIC"), (await bmc.ask("GET", adapters)).status)

    play(scenario)


@pytest.mark.pathology("P46", "the old version for two minutes after the reset that brought the new one")
def test_p46_the_inventory_lags(play, client, images, arm):
    """The host runs the new version long before the inventory says so."""

    async def scenario(lab, clock):
        arm(lab, "P46", seconds=180)
        async with images.serving(), client(lab) as bmc:
            await bmc.log_in()
            await flash(lab, clock, bmc, images)
            await reboot(clock, bmc)
            early, runs = await version(bmc), lab.truth()["nodes"]["r1n01"]["installed"]["BIOS"]["version"]
            clock.advance(180)

            assert ("1.0.0", "2.0.0", "2.0.0") == (early, runs, await version(bmc))

    play(scenario)


@pytest.mark.pathology("P47", "one member a page, with Members@odata.nextLink")
def test_p47_collections_are_paged(play, client, arm):
    """Who reads the first page alone finds one component."""

    async def scenario(lab, clock):
        async with client(lab) as bmc:
            await bmc.log_in()
            whole, _ = await walk(bmc, INVENTORY)
            arm(lab, "P47", size=1)
            paged, pages = await walk(bmc, INVENTORY)

            assert (whole, len(whole)) == (paged, pages)
            assert 1 < pages
            assert len(whole) == (await bmc.get(INVENTORY))["Members@odata.count"]

    play(scenario)


@pytest.mark.pathology("P47", "$expand that is offered by the root, and answered with links, or with a member less")
@pytest.mark.parametrize("how", ["ignored", "short"])
def test_p47_expand_lies(play, client, arm, how):
    """What the root offers is not what one gets."""

    async def scenario(lab, clock):
        arm(lab, "expand-lies", how=how)
        async with client(lab) as bmc:
            await bmc.log_in()
            offers = (await bmc.get(ROOT))["ProtocolFeaturesSupported"]["ExpandQuery"]["ExpandAll"]
            told = await bmc.get(f"{INVENTORY}?$expand=.")

            assert offers
            if how == "ignored":
                assert all("Version" not in member for member in told["Members"])
            else:
                assert all("Version" in member for member in told["Members"])
                assert told["Members@odata.count"] == len(told["Members"]) + 1

    play(scenario)
