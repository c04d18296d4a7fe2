"""A real machine in the loop: what the BMC was given is what the guest boots, and it says so itself."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from guests import KIT, NODE, Firmware, Ipmitool, LabOf, bundle, guest_of, is_running, place_of_work, push, wait_for

from rackwave.cli.lab_control import LabControl
from rackwave.errors import BundleError
from rackwave.repository.examples import prepare_example
from rackwave_emulators.faults import FlashFails, Leaves
from rackwave_emulators.images import unwrap_image, wrap_image
from rackwave_emulators.qemu.initramfs import flash_words
from rackwave_emulators.qemu.kit import GuestKit
from rackwave_emulators.qemu.seabios import version_of
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
        done = workplace.run("recover", "A", "--nodes", "@all", "--json")
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
    image = tmp_path / "new.img"
    wrap_image(image, component="BIOS", version="2.0.0", payload=firmware.build("2.0.0"))
    with lab_of(factory, 15.0) as lab:
        station = lab[NODE]
        station.arm(FlashFails(percent=50, leaves=Leaves.CORRUPT))
        push(lab, image)
        station.reset_host("ForceRestart")
        wait_for(lambda: station.truth()["post"] == "failed")
        dead = station.truth()
        push(lab, image)
        station.reset_host("ForceRestart")
        wait_for(lambda: station.truth()["post"] == "complete")

        assert ("On", None, True) == (dead["power"], dead["guest_bios"], dead["guest"]["frozen"])
        assert "2.0.0" == station.truth()["guest_bios"]


def test_uefi_firmware_is_really_what_boots(lab_of: LabOf, tmp_path: Path) -> None:
    """OVMF tells no version, so the guest reads its flash: it boots Debian's older build, then the newer."""
    try:
        older, newer = prepare_example("uefi-ovmf", Path(os.environ[KIT]) / "uefi")
    except BundleError as error:
        pytest.skip(f"{error} {error.advice}")
    images = [folder / "OVMF_CODE_4M.fd" for folder in (older, newer)]
    with lab_of(images[0], 60.0) as lab:
        workplace = place_of_work(tmp_path / "work", lab)
        for folder in (older, newer):
            workplace.build(folder)
            workplace.publish(folder.name)
            done = workplace.run("deploy", folder.name, "--json")
            told = guest_of(workplace)["told"]

            assert 0 == done.code, done.err
            assert "EFI Development Kit II / OVMF" == told["bios_vendor"]
            assert flash_words((folder / "OVMF_CODE_4M.fd").read_bytes()) == told["flash"]
        assert 2 == guest_of(workplace)["boots"]
    assert len(images) == len({flash_words(image.read_bytes()) for image in images})


def test_ipmitool_restarts_the_guest(lab_of: LabOf, factory: Path) -> None:
    """'ipmitool chassis power cycle' ends the guest's process and starts another; off and on do their half each."""
    if shutil.which("ipmitool") is None:
        pytest.skip("there is no ipmitool here: apt-get install ipmitool")
    with lab_of(factory, password="at-most-20-bytes") as lab:  # all that IPMI has room for
        station = lab[NODE]
        power = Ipmitool(lab, "chassis", "power")
        pid = station.truth()["guest"]["pid"]
        power("cycle")
        wait_for(lambda: station.truth()["guest"]["boots"] == 2)
        again = station.truth()["guest"]["pid"]
        wait_for(lambda: station.truth()["post"] == "complete")
        power("off")
        wait_for(lambda: station.truth()["power"] == "Off")

        assert "Chassis Power is off" == power("status")
        assert [False, False] == [is_running(pid), is_running(again)]

        power("on")
        wait_for(lambda: station.truth()["post"] == "complete")

        assert "Chassis Power is on" == power("status")
        assert 3 == station.truth()["guest"]["boots"]


def test_a_killed_lab_leaves_no_guest(kit: GuestKit, factory: Path) -> None:
    """A guest dies with its lab, also when that is killed -9."""
    script = Path(__file__).with_name("lab_to_kill.py")
    lab = subprocess.Popen(
        [sys.executable, str(script), os.environ[KIT], str(factory)], stdout=subprocess.PIPE, text=True
    )
    with lab:
        assert lab.stdout is not None
        pid = int(lab.stdout.readline())
        was_running = is_running(pid)
        lab.kill()

    assert was_running
    wait_for(lambda: not is_running(pid), seconds=30)


def test_a_lab_of_guests_from_the_command_line(kit: GuestKit, tmp_path: Path) -> None:
    """'lab up --guests 1' boots a guest, also at the operator's; 'lab image --seabios' makes what it can boot next."""
    rackwave = [sys.executable, "-m", "rackwave", "lab"]
    lab = tmp_path / "lab"
    fast = subprocess.run([*rackwave, "up", "--guests", "1", "--time-scale", "9"], capture_output=True, text=True)
    made = subprocess.run(
        [*rackwave, "image", str(tmp_path / "new.img"), "--version", "2.0.0", "--seabios", kit.seabios]
    )
    up = [*rackwave, "up", "--nodes", "2", "--guests", "1", "--guest-kit", os.environ[KIT], "--directory", str(lab)]
    with subprocess.Popen([*up, "--with-parent"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        wait_for((lab / "lab.json").exists)
        control = LabControl(json.loads((lab / "lab.json").read_text())["control"])
        wait_for(lambda: control.truth()["nodes"]["r1n01"]["guest_bios"] is not None)
        nodes = control.truth()["nodes"]
        assert process.stdin is not None
        process.stdin.close()

    assert 2 == fast.returncode
    assert "guests live in real time" in fast.stderr
    assert 0 == made.returncode
    assert "2.0.0" == version_of(unwrap_image(tmp_path / "new.img"))
    assert version_of(kit.seabios.read_bytes()) == nodes["r1n01"]["guest_bios"]
    assert {} == nodes["r1n02"]["guest"]
    assert not is_running(nodes["r1n01"]["guest"]["pid"])
