"""HPM.1 on a real machine: what ipmitool uploads is what the guest boots, and what it rolls back is gone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from guests import NODE, Firmware, Ipmitool, LabOf, bundle, guest_of, place_of_work, wait_for

from rackwave_emulators.images import wrap_image
from rackwave_emulators.ipmi.hpm_image import wrap_hpm
from workplace import Workplace

pytestmark = [
    pytest.mark.machine,
    pytest.mark.skipif(shutil.which("ipmitool") is None, reason="there is no ipmitool here: apt-get install ipmitool"),
]


def hpm_file(directory: Path, version: str, payload: bytes) -> str:
    """Write an HPM.1 file that brings *payload* as the BIOS of *version*; return where it is."""
    lab_image, path = directory / "bios.img", directory / f"{version}.hpm"
    wrap_image(lab_image, component="BIOS", version=version, payload=payload)
    path.write_bytes(wrap_hpm(lab_image.read_bytes(), component=0, version=version))
    return str(path)


def test_hpm_brings_the_guest_forth_and_back(lab_of: LabOf, firmware: Firmware, factory: Path, tmp_path: Path) -> None:
    """New image, cycle, the guest reports it; a broken one, no boot, rollback, the guest reports the one before."""
    good = hpm_file(tmp_path, "2.0.0", firmware.build("2.0.0"))
    bad = hpm_file(tmp_path, "3.0.0", firmware.broken("3.0.0"))
    with lab_of(factory, 15.0, password="at-most-20-bytes") as lab:
        station, tool = lab[NODE], Ipmitool(lab)
        tool("hpm", "upgrade", good, "force")
        tool("hpm", "activate")
        before = station.truth()["guest_bios"]
        tool("chassis", "power", "cycle")
        wait_for(lambda: station.truth()["guest_bios"] == "2.0.0")
        tool("hpm", "upgrade", bad, "force")
        tool("chassis", "power", "cycle")
        wait_for(lambda: station.truth()["post"] == "failed")

        assert (firmware.version, "3.0.0") == (before, station.truth()["installed"]["BIOS"]["version"])

        tool("hpm", "rollback")
        tool("chassis", "power", "cycle")
        wait_for(lambda: station.truth()["post"] == "complete")

        truth = station.truth()
        assert ("2.0.0", "2.0.0") == (truth["guest_bios"], truth["installed"]["BIOS"]["version"])
        assert (3, 0) == (truth["flashes"], truth["double_flashes"])


def test_rackwave_tells_the_story_over_ipmi_alone(lab_of: LabOf, firmware: Firmware, tmp_path: Path) -> None:
    """No Redfish: new BIOS over HPM.1, the guest reports it; a broken one, no boot, and rackwave goes back."""
    image = tmp_path / "first.img"  # HPM.1 has no room for a version such as 1.16.2-debian-1.16.2-1
    wrap_image(image, component="BIOS", version="1.0.0", payload=firmware.build("1.0.0"))
    with lab_of(image, password="at-most-20-bytes") as lab:
        workplace = place_of_work(tmp_path / "work", lab)
        without_redfish(workplace)
        bundle(workplace, 1, "1.0.0", firmware.build("1.0.0"))
        first = workplace.run("deploy", "A.1")
        bundle(workplace, 2, "2.0.0", firmware.build("2.0.0"))
        done = workplace.run("deploy", "A.2", "--json")
        after = guest_of(workplace)
        bundle(workplace, 3, "3.0.0", firmware.broken("3.0.0"))
        failed = workplace.run("deploy", "A.3", "--json")
        back = guest_of(workplace)
        told = workplace.run("history", NODE).out
        truth = workplace.truth()

    assert (0, 0) == (first.code, done.code), first.err + done.err
    assert "2.0.0" == after["bios"]
    assert 4 == failed.code, failed.err
    assert (1, "2.0.0") == (back["failed"], back["bios"])
    assert "accepted by HPM.1" in told
    assert 0 == truth["nodes"][NODE]["requests"]
    assert (3, 0) == (truth["totals"]["flashes"], truth["totals"]["double_flashes"])


def without_redfish(workplace: Workplace) -> None:
    """Leave only the IPMI address of the node in the inventory, and a password that IPMI can take."""
    workplace.environment["LAB_PASSWORD"] = workplace.lab.account.password
    station = workplace.lab[NODE]
    assert station.ipmi is not None
    lines = workplace.inventory.read_text().splitlines()
    kept = [line for line in lines if not line.startswith("ipmi = ")]
    told = [f'bmc = "ipmi://{station.ipmi.endpoint}"' if line.startswith("bmc = ") else line for line in kept]
    workplace.inventory.write_text("\n".join(told) + "\n")
