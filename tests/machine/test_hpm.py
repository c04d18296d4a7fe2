"""HPM.1 on a real machine: what ipmitool uploads is what the guest boots, and what it rolls back is gone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from guests import NODE, Firmware, Ipmitool, LabOf, wait_for

from rackwave_emulators.images import wrap_image
from rackwave_emulators.ipmi.hpm_image import wrap_hpm

pytestmark = [
    pytest.mark.machine,
    pytest.mark.skipif(shutil.which("ipmitool") is None, reason="there is no ipmitool here: apt-get install ipmitool"),
]


def hpm_file(directory: Path, version: str, payload: bytes) -> str:
    """Write an HPM.1 file that brings *payload* as the BIOS of *version*; return where it is."""
    lab_image, path = directory / "bios.img", directory / f"{version}.hpm"
    wrap_image(lab_image, component="BIOS", version=version, payload=payload)
    path.write_bytes(wrap_hpm(lab_image.read_bytes(), component=0, version=version).encode())
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
