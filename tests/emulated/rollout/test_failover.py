"""Redfish and IPMI over the wire: what one way cannot do, the other does, and a dead BMC is brought back."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from rackwave.central import CentralAutomationSystem
from rackwave.core.observation import Power
from rackwave.errors import NodeError
from workplace import Workplace

MENDED = {"until_restart": True, "at": "written"}
OUTLET = """#!{python}
import sys, urllib.request
node, action = sys.argv[1:]
assert action == "cycle"
url = f"{control}/nodes/{{node}}/ac-cycle"
urllib.request.urlopen(urllib.request.Request(url, data=b"", method="POST"), timeout=10)
"""


def impatient(workplace: Workplace, *, outlet: bool = False) -> None:
    """Let patience end within seconds, and plug an outlet in."""
    text = workplace.inventory.read_text()
    for before, after in (
        ("unknown_timeout = 8.0", "unknown_timeout = 2.0"),
        ("write_limit = 8.0", "write_limit = 2.0"),
    ):
        assert before in text
        text = text.replace(before, after)
    if outlet:
        program = workplace.directory / "outlet"
        program.write_text(OUTLET.format(python=sys.executable, control=workplace.lab.control.url))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        text += '\n[outlet]\ncommand = ["./outlet", "{node}", "{action}"]\n'
    workplace.inventory.write_text(text)


def deploy(workplace: Workplace) -> tuple[int, str]:
    """Roll A.2 out on a rack that carries A.1; return the exit code and what the history says."""
    done = workplace.run("deploy", "A.2")
    return done.code, workplace.run("history", "r1n01").out


@pytest.fixture
def carrying(workplace: Workplace) -> Workplace:
    """Return a rack that carries A.1, with A.2 published."""
    workplace.make_bundles("A.1")
    assert workplace.run("deploy", "A.1").code == 0
    workplace.publish("A.2")
    return workplace


@pytest.mark.lab(nodes=1, personality="plain")
def test_a_dead_redfish_is_brought_back_over_ipmi(carrying: Workplace) -> None:
    """P39: Redfish dies once the image is written; IPMI restarts the BMC, and the rollout ends well, flashed once."""
    impatient(carrying)
    carrying.inject("r1n01", {"fault": "redfish-dead", **MENDED})
    code, told = deploy(carrying)
    truth = carrying.truth()["nodes"]["r1n01"]

    assert (0, "2.0.0") == (code, truth["installed"]["BIOS"]["version"]), told
    assert "restart the BMC over IPMI to revive it" in told
    assert "accepted by IPMI Cold Reset" in told
    assert (1, 0, 1) == (truth["flashes"], truth["double_flashes"], truth["resets"]["bmc"])


@pytest.mark.lab(nodes=1, personality="plain")
def test_a_silent_ipmi_is_not_missed(carrying: Workplace) -> None:
    """P39, the other way round: with IPMI dead from the start everything goes as ever."""
    carrying.inject("r1n01", {"fault": "ipmi-silent"})
    code, told = deploy(carrying)

    assert (0, {"r1n01": "2.0.0"}) == (code, carrying.installed()), told
    assert "IPMI" not in told


@pytest.mark.lab(nodes=1, personality="plain")
def test_under_lockdown_the_outlet_is_next(carrying: Workplace) -> None:
    """P38: the BMC says yes to a cold reset and does nothing; that is seen, and its mains are cut."""
    impatient(carrying, outlet=True)
    carrying.inject("r1n01", {"fault": "redfish-dead", **MENDED})
    carrying.inject("r1n01", {"fault": "lockdown"})
    code, told = deploy(carrying)
    truth = carrying.truth()["nodes"]["r1n01"]

    assert (0, "2.0.0") == (code, truth["installed"]["BIOS"]["version"]), told
    assert "(P38" in told
    assert "accepted by the command outlet (cycle)" in told
    assert (1, 0) == (truth["flashes"], truth["double_flashes"])


@pytest.mark.lab(nodes=1, personality="plain")
def test_a_bmc_that_hangs_in_mid_flash_has_its_mains_cut_when_the_write_has_had_its_time(carrying: Workplace) -> None:
    """Dead on both ways while it writes: nothing before the time limit, then the outlet; flashed once, and well."""
    impatient(carrying, outlet=True)
    for fault in ("redfish-dead", "ipmi-silent"):
        carrying.inject("r1n01", {"fault": fault, "until_restart": True, "at": "write"})
    code, told = deploy(carrying)
    truth = carrying.truth()["nodes"]["r1n01"]

    assert (0, "2.0.0") == (code, truth["installed"]["BIOS"]["version"]), told
    assert "restart the BMC by its power outlet to revive it" in told
    assert (1, 0, []) == (truth["flashes"], truth["double_flashes"], truth["corruptions"])


@pytest.mark.lab(nodes=1, personality="plain")
def test_a_flapping_return_is_waited_out(carrying: Workplace) -> None:
    """P36: the BMC comes back, goes and comes; the host is restarted once, when it stays."""
    impatient(carrying)
    carrying.inject("r1n01", {"fault": "redfish-dead", **MENDED})
    carrying.inject("r1n01", {"fault": "bmc-flaps", "times": 2, "up": 15.0, "down": 60.0})
    code, told = deploy(carrying)
    truth = carrying.truth()["nodes"]["r1n01"]

    assert (0, "2.0.0") == (code, truth["installed"]["BIOS"]["version"]), told
    assert (1, 0, 1) == (truth["flashes"], truth["double_flashes"], truth["resets"]["bmc"])


@pytest.mark.lab(nodes=1, personality="plain")
def test_a_node_without_redfish(workplace: Workplace, tmp_path: Path) -> None:
    """What IPMI tells is told; what there is only over Redfish says so clearly."""
    station = workplace.lab["r1n01"]
    assert station.ipmi is not None
    inventory = tmp_path / "ipmi.toml"
    inventory.write_text(
        f'[[nodes]]\nname = "r1n01"\nbmc = "ipmi://{station.ipmi.endpoint}"\n'
        f'credentials = "file:{workplace.lab.directory / "credentials.toml"}"\n'
    )
    checks = workplace.run("--inventory", str(inventory), "doctor", "--json").json
    with CentralAutomationSystem(inventory, tmp_path / "state") as cas:
        node = cas.node("r1n01")
        with pytest.raises(NodeError, match="speaks no Redfish"):
            node.sushy()

        assert Power.ON is node.observe().power
    outcomes = {check["check"]: check["outcome"] for check in checks}

    assert {"credentials": "good", "ipmi": "good", "redfish": "warning"} == outcomes


@pytest.mark.lab(nodes=1, personality="plain")
def test_the_doctor_looks_at_each_way_by_itself(workplace: Workplace) -> None:
    """A dead IPMI is found before it is needed, and is only a warning."""
    before = workplace.run("doctor", "--no-reach", "--json").json
    workplace.inject("r1n01", {"fault": "ipmi-silent"})
    after = workplace.run("doctor", "--no-reach", "--json").json

    assert ["good"] == [check["outcome"] for check in before if check["check"] == "ipmi"]
    assert ["warning"] == [check["outcome"] for check in after if check["check"] == "ipmi"]
