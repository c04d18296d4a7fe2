"""rackwave drives somebody else's BMC over IPMI: OpenIPMI's simulator, which shares no code with the lab."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from attrs import frozen

from rackwave.bmc.ipmi.bmc import IpmiBmc
from rackwave.bmc.ipmi.endpoint import Endpoint
from rackwave.bmc.ipmi.threads import Threads
from rackwave.clock import SystemClock
from rackwave.core.boot import BootOverride
from rackwave.core.identity import ComponentName, NodeName
from rackwave.core.observation import Health, Identity, Lack, Look, Post, Power, Unknown
from rackwave.core.receipt import Accepted, Ground, Refused
from rackwave.errors import BmcLoginError
from rackwave.ports import Credentials, ResetKind
from rackwave_emulators.ipmi.fru import fru_inventory
from rackwave_emulators.ipmi.sensors import Number, sensor_records

IPMI_SIM = shutil.which("ipmi_sim")
pytestmark = pytest.mark.skipif(IPMI_SIM is None, reason="ipmi_sim is not installed (Debian: apt-get install openipmi)")

T = TypeVar("T")

_LAN = """
name "node"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 {port}
    priv_limit admin
    allowed_auths_callback none md5
    allowed_auths_user none md5
    allowed_auths_operator none md5
    allowed_auths_admin none md5
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control "{control} 0x20"
  user 1 true "" "" user 10
  user 2 true "admin" "password" admin 10
"""

_CONTROL = """#!/bin/sh
shift
state={directory}/power
op=$1; shift
while [ $# -gt 0 ]; do
  parm=$1; shift
  if [ $op = get ]; then
    case $parm in power) echo "power:$(cat $state)";; *) echo "$parm:0";; esac
  else
    echo "$parm $1" >> {directory}/calls
    case $parm in power) echo $1 > $state;; esac
    shift
  fi
done
"""

_FRU = fru_inventory(manufacturer="Contoso", model="Peer 7", serial="SIM0001", uuid="u", name="n")
_POST = int(Number.POST)


def hexes(octets: bytes) -> str:
    """Write bytes as the simulator reads them."""
    return " ".join(f"0x{octet:02x}" for octet in octets)


def entry(kind: int, sensor: int, offset: int, second: int = 0xFF) -> str:
    """Write an entry of the event log: its record type and thirteen bytes."""
    return hexes(bytes([2, 0, 0, 0, 0, 0x20, 0, 4, kind, sensor, 0x6F, offset, second, 0xFF]))


@frozen
class Peer:
    """A running simulator."""

    endpoint: Endpoint
    directory: Path

    def calls(self) -> list[str]:
        """Return what it had its chassis do."""
        path = self.directory / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Peer]:
    """Start a simulator with an event log, the lab's sensors and an inventory."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    control, lan, commands, state = (tmp_path / name for name in ("control", "lan.conf", "sim.emu", "state"))
    state.mkdir()
    (tmp_path / "power").write_text("1\n")
    control.write_text(_CONTROL.format(directory=tmp_path))
    control.chmod(0o755)
    lan.write_text(_LAN.format(port=port, control=control))
    lines = ["mc_setbmc 0x20", "mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02", "sel_enable 0x20 1000 0x0a"]
    lines += [f"main_sdr_add 0x20 {hexes(record)}" for record in sensor_records()]
    lines += ["sensor_add 0x20 0 0x10 1 1", "sensor_set_value 0x20 0 0x10 24 0"]
    lines += [f"sensor_add 0x20 0 {_POST} 0x0f 0x6f"]
    lines += [f"mc_add_fru_data 0x20 0 {len(_FRU)} data {hexes(_FRU)}"]
    lines += [f"sel_add 0x20 {entry(0x1D, 2, 1)}", f"sel_add 0x20 {entry(0x0F, _POST, 2, 0x13)}", "mc_enable 0x20"]
    commands.write_text("\n".join(lines) + "\n")
    process = subprocess.Popen(
        [IPMI_SIM or "", "-c", str(lan), "-f", str(commands), "-s", str(state), "-n"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    time.sleep(0.5)
    try:
        assert process.poll() is None, process.communicate()[0].decode()
        yield Peer(Endpoint("127.0.0.1", port), tmp_path)
    finally:
        process.kill()
        process.communicate(timeout=10)


def drive(peer: Peer, scenario: Callable[[IpmiBmc], Awaitable[T]], password: str = "password", **options: Any) -> T:  # noqa: S107 - the peer's
    """Play *scenario* with an adapter on the simulator."""

    async def main() -> T:
        threads = Threads(2)
        bmc = IpmiBmc(
            NodeName("peer"),
            peer.endpoint,
            lambda: Credentials("admin", password),
            clock=SystemClock(),
            threads=threads,
            **options,
        )
        try:
            return await scenario(bmc)
        finally:
            await bmc.close()
            threads.close()

    return asyncio.run(main())


def test_it_is_looked_at(peer: Peer) -> None:
    """Suite 17 is not there, so it is suite 3; power, start, health, identity are read; HPM.1 is not there."""

    async def scenario(bmc: IpmiBmc) -> None:
        bios = ComponentName("BIOS")
        seen = await bmc.observe(Look(components=frozenset({bios}), tasks=True))

        assert (Power.ON, Post.COMPLETE, True, ()) == (seen.power, seen.post, seen.os, seen.tasks)
        assert isinstance(seen.boot, str)
        assert Health.OK is seen.health
        assert Identity("Contoso", "Peer 7", "SIM0001") == seen.identity
        installed = seen.component(bios).installed
        assert isinstance(installed, Unknown)
        assert Lack.ABSENT is installed.lack

    drive(peer, scenario)


def test_its_power_is_switched(peer: Peer) -> None:
    """Off, on and off again, and what is so already is as good as done."""

    async def scenario(bmc: IpmiBmc) -> None:
        for kind, power in ((ResetKind.FORCE_OFF, Power.OFF), (ResetKind.ON, Power.ON), (ResetKind.ON, Power.ON)):
            assert isinstance(await bmc.reset_host(kind), Accepted)
            assert power is (await bmc.observe(Look())).power

    drive(peer, scenario)

    assert ["power 0", "power 1"] == [call for call in peer.calls() if call.startswith("power")][:2]


def test_its_log_and_sensors_are_read(peer: Peer) -> None:
    """The event log is told in its order, and since a mark; a sensor reads in its unit."""

    async def scenario(bmc: IpmiBmc) -> None:
        news = await bmc.log(None, limit=10)
        assert not isinstance(news, Unknown)
        again = await bmc.log(news.mark, limit=10)
        assert not isinstance(again, Unknown)
        readings = await bmc.sensors()
        assert not isinstance(readings, Unknown)

        assert ["1D.6F.1", "0F.6F.2"] == [one.code for one in news.entries]
        assert ((), False) == (again.entries, again.cleared)
        assert ["Inlet Temp"] == [one.name for one in readings.sensors if one.reading == 24.0]

    drive(peer, scenario)


def test_what_it_has_not_is_said(peer: Peer) -> None:
    """No HPM.1: an image can not go this way. Whatever it makes of a boot device is no exception."""

    async def scenario(bmc: IpmiBmc) -> None:
        receipt = await bmc.start_update(ComponentName("BIOS"))

        assert isinstance(receipt, Refused)
        assert Ground.UNABLE is receipt.ground
        assert isinstance(await bmc.set_boot(BootOverride("Pxe")), Accepted | Refused)

    drive(peer, scenario)


def test_its_password_is_checked(peer: Peer) -> None:
    """A wrong password is a refused login, not silence."""

    async def scenario(bmc: IpmiBmc) -> None:
        with pytest.raises(BmcLoginError):
            await bmc.observe(Look())

    drive(peer, scenario, "wrong")


@pytest.mark.skipif(shutil.which("ipmitool") is None, reason="ipmitool is not installed")
def test_ipmitool_carries_it_too(peer: Peer) -> None:
    """Through ipmitool the same is seen."""

    async def scenario(bmc: IpmiBmc) -> None:
        seen = await bmc.observe(Look())

        assert (Power.ON, Post.COMPLETE, "SIM0001") == (seen.power, seen.post, seen.identity.serial)

    drive(peer, scenario, backend="ipmitool")
