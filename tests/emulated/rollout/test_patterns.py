"""One bundle for machines with several parts of one kind, and for machines of two makes, over the wire."""

from __future__ import annotations

import pytest
from attrs import evolve

from rackwave.core.bundle import Activation
from rackwave.core.identity import ComponentName
from rackwave_emulators.images import make_image
from rackwave_emulators.personality import ComponentSpec, load_personality
from workplace import Workplace

PLAIN = load_personality("plain")
TWO_NICS = evolve(
    PLAIN,
    components=(
        *(spec for spec in PLAIN.components if spec.name != "NIC"),
        *(
            ComponentSpec(ComponentName(f"NIC.{slot}"), "1.0.0", Activation.HOST_RESET, family="NIC")
            for slot in ("1", "2")
        ),
    ),
)
SOURCE = """
lineage = "N"
seq = {seq}
purpose = "NICs {seq}.0.0"

[[elements]]
name = "nics"
kind = "device-firmware"
component = "NIC.*"
version = "{seq}.0.0"
scheme = "dotted"
payload = "nic.img"
activation = "host-reset"
reversibility = "reflash"
checks = ["installed-version", "post", "health"]
applies_to = {{ model = "*" }}

[[elements]]
name = "theirs"
kind = "device-firmware"
component = "FPGA"
version = "9"
payload = "nic.img"
activation = "host-reset"
reversibility = "reflash"
checks = ["installed-version", "post", "health"]
applies_to = {{ vendor = "Fabrikam" }}
"""


def publish(workplace: Workplace, seq: int) -> None:
    """Build and publish a bundle for all NICs."""
    source = workplace.directory / "source" / f"N.{seq}"
    source.mkdir(parents=True)
    make_image(source / "nic.img", component="NIC", version=f"{seq}.0.0", size=1 << 16)
    (source / "bundle.toml").write_text(SOURCE.format(seq=seq), "utf-8")
    workplace.build(source)
    workplace.publish(f"N.{seq}")


def nics(workplace: Workplace, node: str) -> list[str]:
    """What the NICs of *node* run."""
    installed = workplace.truth()["nodes"][node]["installed"]
    return [installed[name]["version"] for name in ("NIC.1", "NIC.2")]


@pytest.mark.lab(nodes=2, personality=TWO_NICS)
def test_a_pattern_is_one_write_for_each_part_and_goes_back_part_by_part(workplace: Workplace) -> None:
    """Both NICs are brought to 2.0.0, one image each; where the second fails, both are on 1.0.0 again."""
    publish(workplace, 1)
    first = workplace.run("deploy", "N.1", "--json")
    publish(workplace, 2)
    planned = workplace.run("plan", "N.2", "--json")
    workplace.inject("r1n02", {"fault": "flash-fails", "component": "NIC.2", "percent": 40})
    done = workplace.run("deploy", "N.2", "--failure-budget", "1", "--json")
    drift = workplace.run("status", "--look", "--json")
    told = workplace.run("history", "r1n01").out

    assert 0 == first.code, first.err
    assert [("nics@NIC.1", "NIC.1"), ("nics@NIC.2", "NIC.2")] == [
        (change["element"], change["component"]) for change in planned.json["nodes"][0]["changes"]
    ]
    assert "not for a machine of its make and model" in str(planned.json["nodes"][0]["notes"])
    assert {"r1n01": "on-new", "r1n02": "rolled-back"} == {n["node"]: n["result"] for n in done.json["nodes"]}
    assert (["2.0.0", "2.0.0"], ["1.0.0", "1.0.0"]) == (nics(workplace, "r1n01"), nics(workplace, "r1n02"))
    assert [[], []] == [node["drift"]["N"] for node in drift.json]
    assert "on it N.2 means: nics is NIC.1, NIC.2; theirs is not for it" in told
    assert 0 == workplace.truth()["totals"]["double_flashes"]


@pytest.mark.lab(nodes=1)
def test_a_machine_without_such_a_part_is_told_of(workplace: Workplace) -> None:
    """The plain machine's one NIC is called otherwise: nothing is written, and the plan says why."""
    publish(workplace, 1)
    planned = workplace.run("plan", "N.1", "--json")
    done = workplace.run("deploy", "N.1", "--json")

    assert "no part of this machine is called so" in str(planned.json["nodes"][0]["notes"])
    assert 0 == done.code, done.err
    assert 0 == workplace.writes()
