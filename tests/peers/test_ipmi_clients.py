"""Clients that share no code with the lab's BMCs speak IPMI to them: ipmitool, ipmipower, pyghmi, python-ipmi."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rackwave_emulators.clock import ScaledClock
from rackwave_emulators.faults import IpmiPacketLost, IpmiSessionsDropped, IpmiSilent, Lockdown, RedfishDead
from rackwave_emulators.faults.ipmi import Side
from rackwave_emulators.images import make_image
from rackwave_emulators.ipmi.hpm_image import wrap_hpm
from rackwave_emulators.lab import Lab
from rackwave_emulators.personality import Timing
from rackwave_emulators.redfish.station import Station

LIMIT = 50  # seconds that no client may take
QUICK = Timing(update=0.3, post=0.4, apply=0.1, bmc_reset=0.4, power=0.05, shutdown=0.1)
IPMITOOL, IPMIPOWER = shutil.which("ipmitool"), shutil.which("ipmipower")

needs_ipmitool = pytest.mark.skipif(
    IPMITOOL is None, reason="ipmitool is not installed (Debian: apt-get install ipmitool)"
)
needs_ipmipower = pytest.mark.skipif(
    IPMIPOWER is None, reason="ipmipower is not installed (Debian: apt-get install freeipmi-tools)"
)
needs_pyghmi = pytest.mark.skipif(
    importlib.util.find_spec("pyghmi") is None, reason="pyghmi is not installed (pip install pyghmi)"
)


@pytest.fixture
def station() -> Iterator[Station]:
    """One BMC that is quick, on the world's own clock."""
    with Lab(1, clock=ScaledClock(), timing=QUICK, plain_http=True) as lab:
        yield lab["r1n01"]


@pytest.fixture
def make_hpm(tmp_path: Path) -> Callable[[str, int, str], Path]:
    """Make an HPM.1 file of a component, its number and a version."""

    def make(component: str, number: int, version: str) -> Path:
        make_image(tmp_path / "image", component=component, version=version, size=6000)
        path = tmp_path / f"{component}-{version}.hpm"
        path.write_bytes(wrap_hpm((tmp_path / "image").read_bytes(), component=number, version=version))
        return path

    return make


def endpoint(station: Station) -> tuple[str, str]:
    """Return address and port of the BMC's IPMI."""
    assert station.ipmi is not None
    host, _, port = station.ipmi.endpoint.partition(":")
    return host, port


def ipmitool(station: Station, *arguments: str, suite: int = 17, retries: int = 1, code: int = 0) -> str:
    """Run ipmitool; the password is in its environment, never among its arguments."""
    host, port = endpoint(station)
    link = ("-I", "lanplus", "-N", "1", "-R", str(retries))  # a BMC that restarts is not waited for
    done = subprocess.run(
        [IPMITOOL or "", *link, "-C", str(suite), "-H", host, "-p", port, "-U", "admin", "-E", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
        input="y\ny\n",
        env={**os.environ, "IPMITOOL_PASSWORD": "password"},
    )

    assert code == done.returncode, done.stdout + done.stderr
    return done.stdout + done.stderr  # it tells its results on both


def comes(true: Callable[[], bool]) -> bool:
    """Wait until it is true; the machine's short times pass in the world's."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.02)
    return False


def installed(station: Station, component: str) -> Any:
    """Return what a component really runs."""
    return station.truth()["installed"][component]["version"]


@needs_ipmitool
@pytest.mark.parametrize("suite", [3, 17])
def test_ipmitool_controls_power(station: Station, suite: int) -> None:
    """Ipmitool switches the host off and on with either suite, and the lab's own truth agrees."""
    before = ipmitool(station, "chassis", "power", "status", suite=suite)
    ipmitool(station, "chassis", "power", "off", suite=suite)

    assert "Chassis Power is on\n" == before
    assert comes(lambda: station.truth()["power"] == "Off")
    assert "Chassis Power is off\n" == ipmitool(station, "chassis", "power", "status", suite=suite)
    ipmitool(station, "chassis", "power", "on", suite=suite)
    assert comes(lambda: station.truth()["post"] == "complete")
    ipmitool(station, "chassis", "power", "cycle", suite=suite)
    assert comes(lambda: station.truth()["resets"]["host"] == 2)


@needs_ipmitool
def test_ipmitool_reads_everything(station: Station) -> None:
    """Ipmitool understands the device id, sensors, SDRs, FRU, LAN parameters, accounts, sessions and the event log."""
    ipmitool(station, "chassis", "power", "off")
    assert comes(lambda: station.truth()["power"] == "Off")

    assert "Firmware Revision         : 1.00" in ipmitool(station, "mc", "info")
    assert "Power off/down | Asserted" in ipmitool(station, "sel", "elist")
    sensors = ipmitool(station, "sdr", "elist", "all")
    assert "degrees C" in sensors.splitlines()[0]
    assert "No Reading" in sensors.splitlines()[1]
    assert station.truth()["serial"] in ipmitool(station, "fru")
    assert "RMCP+ Cipher Suites     : 3,17" in ipmitool(station, "lan", "print", "1")
    assert "admin" in ipmitool(station, "user", "list", "1")
    assert "slot count                    : 15" in ipmitool(station, "session", "info", "active")
    ipmitool(station, "sel", "clear")
    assert "SEL has no entries" in ipmitool(station, "sel", "list")


@needs_ipmitool
def test_ipmitool_sets_the_boot_device(station: Station) -> None:
    """A boot device set by ipmitool is what Redfish shows."""
    ipmitool(station, "chassis", "bootdev", "pxe")

    assert "Pxe" == station.boot()["BootSourceOverrideTarget"]
    assert "Force PXE" in ipmitool(station, "chassis", "bootparam", "get", "5")


@needs_ipmitool
def test_ipmitool_restarts_the_bmc(station: Station) -> None:
    """'mc reset cold' is answered, and the BMC restarts."""
    ipmitool(station, "mc", "reset", "cold")

    assert comes(lambda: station.truth()["resets"]["bmc"] == 1 and station.is_up())
    assert "Chassis Power is on\n" == ipmitool(station, "chassis", "power", "status")


@needs_ipmitool
def test_a_locked_down_bmc_only_says_so(station: Station) -> None:
    """P38: 'mc reset cold' succeeds under lockdown, and the BMC never restarts."""
    station.arm(Lockdown())

    assert "Sent cold reset command to MC" in ipmitool(station, "mc", "reset", "cold")
    assert "Chassis Power is on\n" == ipmitool(station, "chassis", "power", "status")
    assert 0 == station.truth()["resets"]["bmc"]


@needs_ipmitool
@pytest.mark.parametrize("suite", [3, 17])
def test_ipmitool_upgrades_the_bmc_and_back(
    station: Station, make_hpm: Callable[[str, int, str], Path], suite: int
) -> None:
    """'hpm upgrade', 'activate' and 'rollback' bring the BMC to a new version and back, with one flash."""
    image = str(make_hpm("BMC", 1, "2.1.0"))

    assert "2.01" in ipmitool(station, "hpm", "check", image, suite=suite)
    assert "procedure successful" in ipmitool(station, "hpm", "upgrade", image, "force", suite=suite)
    assert "1.0.0" == installed(station, "BMC")
    ipmitool(station, "hpm", "activate", suite=suite)
    assert comes(lambda: installed(station, "BMC") == "2.1.0" and station.is_up())
    assert "|   1|BMC          |   2.01 00000000 |   1.00 00000000 |" in ipmitool(station, "hpm", "check", suite=suite)
    assert "mask: 0x02" in ipmitool(station, "hpm", "rollback", suite=suite)
    assert comes(lambda: installed(station, "BMC") == "1.0.0" and station.is_up())
    assert "mask: 0x02" in ipmitool(station, "hpm", "rollbackstatus", suite=suite)
    assert "Result1 = 55" in ipmitool(station, "hpm", "selftestresult", suite=suite)
    truth = station.truth()
    assert (1, 0) == (truth["flashes"], truth["double_flashes"])


@needs_ipmitool
def test_ipmitool_upgrades_the_bios(station: Station, make_hpm: Callable[[str, int, str], Path]) -> None:
    """A BIOS image waits for the host's restart, and so does the one that rollback writes back."""
    ipmitool(station, "hpm", "upgrade", str(make_hpm("BIOS", 0, "2.5.7")), "force")
    ipmitool(station, "hpm", "activate")
    waiting = installed(station, "BIOS")
    ipmitool(station, "chassis", "power", "cycle")

    assert "1.0.0" == waiting
    assert comes(lambda: installed(station, "BIOS") == "2.5.7")
    assert comes(lambda: station.truth()["post"] == "complete")
    ipmitool(station, "hpm", "rollback")
    ipmitool(station, "chassis", "power", "reset")
    assert comes(lambda: installed(station, "BIOS") == "1.0.0")
    truth = station.truth()
    assert (2, 0) == (truth["flashes"], truth["double_flashes"])


@needs_ipmitool
def test_a_damaged_image_is_not_flashed(station: Station, make_hpm: Callable[[str, int, str], Path]) -> None:
    """An HPM.1 file whose firmware does not verify fails in ipmitool, and nothing was flashed."""
    path = make_hpm("BIOS", 0, "2.0.0")
    broken = wrap_hpm(path.read_bytes()[-4000:-200], component=0, version="2.0.0")
    path.write_bytes(broken)

    ipmitool(station, "hpm", "upgrade", str(path), "force", code=1)
    assert 0 == station.truth()["flashes"]


@needs_ipmitool
def test_an_upgrade_survives_a_lossy_network(station: Station, make_hpm: Callable[[str, int, str], Path]) -> None:
    """With a request and an answer lost, ipmitool asks again, and the image is written once."""
    for side, seed in ((Side.REQUEST, 1), (Side.ANSWER, 2)):
        station.arm(IpmiPacketLost(side=side, seed=seed, chance=0.05))

    ipmitool(station, "hpm", "upgrade", str(make_hpm("BIOS", 0, "2.0.0")), "force", retries=4)
    truth = station.truth()
    assert (1, 1, 0) == (len(truth["writes"]), truth["flashes"], truth["double_flashes"])
    assert ("2.0.0", ()) == (truth["installed"]["BIOS"]["staged"], station.faults())


@needs_ipmitool
def test_one_face_may_be_dead(station: Station) -> None:
    """P39: with Redfish dead IPMI answers, and with IPMI silent Redfish does."""

    def redfish_answers() -> bool:
        answer = subprocess.run(
            ["curl", "--silent", "--max-time", "2", "--output", "/dev/null", f"{station.url}/redfish/v1/"], check=False
        )
        return answer.returncode == 0

    station.arm(RedfishDead())
    dead = redfish_answers()
    ipmitool(station, "chassis", "power", "status")
    station.disarm()
    station.arm(IpmiSilent())

    assert False is dead
    assert True is redfish_answers()
    ipmitool(station, "chassis", "power", "status", code=1)


@needs_ipmipower
@pytest.mark.parametrize("suite", ["3", "17"])
def test_ipmipower_controls_power(station: Station, tmp_path: Path, suite: str) -> None:
    """Freeipmi's ipmipower, which is strict about packets, reads the power and switches it."""
    host, port = endpoint(station)
    settings = tmp_path / "freeipmi.conf"
    settings.touch(mode=0o600)
    settings.write_text(f"username admin\npassword password\ndriver-type LAN_2_0\ncipher-suite-id {suite}\n")

    def ipmipower(*wanted: str) -> str:
        arguments = [IPMIPOWER or "", "--config-file", str(settings), "-h", f"{host}:{port}", *wanted]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=LIMIT)
        return done.stdout.strip().rpartition(": ")[2]

    assert ["on", "ok"] == [ipmipower("--stat"), ipmipower("--off", "--wait-until-off")]
    assert "Off" == station.truth()["power"]
    assert "ok" == ipmipower("--on", "--wait-until-on")


_PYGHMI = """
import json, os
from pyghmi.ipmi.command import Command
bmc = Command(os.environ["BMC_HOST"], "admin", os.environ["BMC_PASSWORD"], port=int(os.environ["BMC_PORT"]))
told = {
    "power": bmc.get_power(),
    "off": bmc.set_power("off", wait=20),
    "boot": bmc.set_bootdev("network"),
    "bootdev": bmc.get_bootdev()["bootdev"],
    "serial": bmc.get_inventory_of_component("System")["Serial Number"],
    "sensors": [reading.name for reading in bmc.get_sensor_data()],
    "events": [event["event"] for event in bmc.get_event_log()],
}
bmc.ipmi_session.logout()
print(json.dumps(told))
"""


@needs_pyghmi
def test_pyghmi_understands(station: Station) -> None:
    """Pyghmi's client, in a process of its own, reads and sets what it wants."""
    host, port = endpoint(station)
    done = subprocess.run(
        [sys.executable, "-c", _PYGHMI],
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
        env={**os.environ, "BMC_HOST": host, "BMC_PORT": port, "BMC_PASSWORD": "password"},
    )

    assert 0 == done.returncode, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert ("on", "off", "network") == (told["power"]["powerstate"], told["off"]["powerstate"], told["bootdev"])
    assert station.truth()["serial"] == told["serial"]
    assert "Inlet Temp" in told["sensors"]
    assert 1 <= len(told["events"])


_PYTHON_IPMI = """
import json, os, pyipmi, pyipmi.interfaces
link = pyipmi.interfaces.create_interface("rmcpplus", cipher_suite=3, max_retries=5, keep_alive_interval=0)
bmc = pyipmi.create_connection(link)
bmc.target = pyipmi.Target(0x20)
bmc.session.set_session_type_rmcp(os.environ["BMC_HOST"], int(os.environ["BMC_PORT"]))
bmc.session.set_auth_type_user("admin", os.environ["BMC_PASSWORD"])
bmc.session.set_priv_level("ADMINISTRATOR")
bmc.open()
told = {
    "device": bmc.get_device_id().device_id,
    "power": bmc.get_chassis_status().power_on,
    "sel": len(bmc.get_sel_entries()),
    "serial": str(bmc.get_fru_inventory().chassis_info_area.serial_number),
    "sdrs": len(bmc.get_repository_sdr_list()),
    "components": bmc.get_target_upgrade_capabilities().components,
    "version": str(bmc.get_component_property(0, 1).version),
}
bmc.close()
print(json.dumps(told))
"""


def test_python_ipmi_understands(station: Station) -> None:
    """python-ipmi, which rackwave itself uses, reads device, power, event log, FRU, SDRs and HPM.1 components."""
    host, port = endpoint(station)
    done = subprocess.run(
        [sys.executable, "-c", _PYTHON_IPMI],
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
        env={**os.environ, "BMC_HOST": host, "BMC_PORT": port, "BMC_PASSWORD": "password"},
    )

    assert 0 == done.returncode, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert (0x20, True, 0, [0, 1, 2]) == (told["device"], told["power"], told["sel"], told["components"])
    assert station.truth()["serial"] in told["serial"]
    assert 13 == told["sdrs"]


@needs_ipmitool
def test_a_dropped_session_is_silence(station: Station) -> None:
    """A client whose session the BMC forgot gets no answer and gives up; the next one is served (P31)."""
    station.arm(IpmiSessionsDropped())

    ipmitool(station, "chassis", "power", "status", code=1)
    assert "Chassis Power is on\n" == ipmitool(station, "chassis", "power", "status")


def test_nodes_tell_their_ipmi(tmp_path: Path) -> None:
    """nodes.json names each BMC's IPMI port, and none where there is none."""

    async def listed(**options: Any) -> list[dict[str, str]]:
        directory = tmp_path / ("without" if options else "with")
        async with Lab(2, directory=directory, plain_http=True, **options):
            found: list[dict[str, str]] = json.loads((directory / "nodes.json").read_text())
            return found

    with_ipmi, without = asyncio.run(listed()), asyncio.run(listed(ipmi=False))

    assert ["127.1.0.1", "127.1.0.2"] == [node["ipmi"].partition(":")[0] for node in with_ipmi]
    assert [{"name", "url"}] * 2 == [set(node) for node in without]
