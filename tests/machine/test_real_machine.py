"""A real machine in the loop: what the BMC was given is what the guest boots, and it says so itself."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from guests import NODE, Firmware, LabOf, bundle, guest_of, is_running, place_of_work, wait_for

from rackwave_emulators.faults import FlashFails, Leaves
from rackwave_emulators.redfish.station import Station

pytestmark = pytest.mark.machine


def test_the_whole_story(lab_of: LabOf, factory: Path, firmware: Firmware, tmp_path: Path) -> None:
    """New BIOS: the guest reports it. Bad BIOS: no boot, and rackwave goes back. Guest killed: rackwave revives it."""
    with lab_of(factory) as lab:
        workplace = place_of_work(tmp_path / "work", lab)
        bundle(workplace, 1, firmware.version, firmware.seabios)
        assert 0 == workplace.run("deploy", "A.1").code
        before = guest_of(workplace)

        assert firmware.version == before["bios"]
        assert 0 == before["failed"]

        bundle(workplace, 2, "2.0.0", firmware.build("2.0.0"))
        done = workplace.run("deploy", "A.2", "--json")
        after = guest_of(workplace)

        assert 0 == done.code, done.err
        assert "2.0.0" == after["bios"]
        assert before["pid"] != after["pid"]
        assert not is_running(before["pid"])
        assert before["boots"] + 1 == after["boots"]

        bundle(workplace, 3, "3.0.0", firmware.broken("3.0.0"))
        done = workplace.run("deploy", "A.3", "--json")
        back = guest_of(workplace)
        writes = [(w["version"], w["result"]) for w in workplace.truth()["nodes"][NODE]["writes"]]

        assert 4 == done.code, done.err  # rolled back
        assert 1 == back["failed"]
        assert "2.0.0" == back["bios"]
        assert [("2.0.0", "activated"), ("3.0.0", "activated"), ("2.0.0", "activated")] == writes

        os.kill(back["pid"], signal.SIGKILL)
        wait_for(lambda: workplace.truth()["nodes"][NODE]["power"] == "Off")
        done = workplace.run("recover", "A", "--json")
        revived = guest_of(workplace)

        assert 0 == done.code, done.err
        assert {"A": "A.2"} == done.json[0]["assigned"]
        assert ("2.0.0", 1) == (revived["bios"], revived["lost"])
        assert 0 == workplace.truth()["totals"]["double_flashes"]


def test_power_really_happens(station: Station) -> None:
    """Off ends the process, on starts another, a reset and a cycle do both; POST is complete when the guest says so."""
    pids = [station.truth()["guest"]["pid"]]

    for reset in ("ForceRestart", "PowerCycle"):
        station.reset_host(reset)
        wait_for(lambda: station.truth()["guest"]["pid"] not in (None, *pids))
        assert "running" == station.truth()["post"]
        assert station.truth()["guest"]["bios"] is None
        pids.append(station.truth()["guest"]["pid"])
        wait_for(lambda: station.truth()["post"] == "complete")
    station.reset_host("ForceOff")
    wait_for(lambda: station.truth()["power"] == "Off")
    off = station.truth()["guest"]
    station.reset_host("On")
    wait_for(lambda: station.truth()["post"] == "complete")

    assert off["pid"] is None
    assert [] == [pid for pid in pids if is_running(pid)]
    assert station.truth()["serial"] == station.truth()["guest"]["told"]["product_serial"]


def test_a_flash_that_breaks_off_leaves_a_machine_that_does_not_boot(
    lab_of: LabOf, factory: Path, firmware: Firmware, tmp_path: Path
) -> None:
    """What a broken-off write leaves in the flash does not boot; the image written again does."""
    with lab_of(factory) as lab:
        workplace = place_of_work(tmp_path / "work", lab)
        bundle(workplace, 1, firmware.version, firmware.seabios)
        workplace.run("deploy", "A.1")
        lab[NODE].arm(FlashFails(percent=50, leaves=Leaves.CORRUPT))
        bundle(workplace, 2, "2.0.0", firmware.build("2.0.0"))
        lab[NODE].reset_host("ForceRestart")
        done = workplace.run("deploy", "A.2", "--json")

        assert 4 == done.code, done.err
        assert firmware.version == guest_of(workplace)["bios"]
