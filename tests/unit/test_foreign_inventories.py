"""Inventories of Ansible and NetBox, taken over."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from rackwave.cli.app import cli
from rackwave.errors import InventoryError
from rackwave.inventory import load_inventory
from rackwave.inventory.foreign import ForeignNode, read_ansible, read_netbox, written

ANSIBLE = {
    "_meta": {
        "hostvars": {
            "web1": {"bmc_address": "10.0.0.1", "model": "R750"},
            "web2": {"baseuri": "10.0.0.2:8443"},
            "db1": {"ansible_host": "10.1.0.1"},
        }
    },
    "all": {"children": ["ungrouped", "prod"]},
    "prod": {"children": ["web"]},
    "web": {"hosts": ["web1", "web2"]},
    "ungrouped": {"hosts": ["db1", "db2"]},
}

DEVICE = {
    "name": "r1n01",
    "device_type": {"manufacturer": {"name": "Dell"}, "model": "PowerEdge R750"},
    "site": {"slug": "ams1"},
    "rack": {"name": "R 1"},
    "device_role": {"slug": "compute"},
    "oob_ip": {"address": "10.0.0.1/24"},
    "tags": [{"slug": "gpu"}],
}


def test_ansibles_hosts() -> None:
    """Hosts with a BMC's address come over with their groups, also those of parents; others are named."""
    nodes, left_out = read_ansible(json.dumps(ANSIBLE))

    assert ["web1", "web2"] == [node.name for node in nodes]
    assert ["https://10.0.0.1", "https://10.0.0.2:8443"] == [node.bmc for node in nodes]
    assert {"group-prod": "yes", "group-web": "yes"} == dict(nodes[0].labels)
    assert "R750" == nodes[0].model
    assert ["db1", "db2"] == [line.partition(":")[0] for line in left_out]


def test_netboxs_devices() -> None:
    """Devices with an out-of-band address come over with make, model and place; others are named."""
    without = {**DEVICE, "name": "r1n02", "oob_ip": None}
    sixth = {**DEVICE, "name": "r1n03", "oob_ip": {"address": "2001:db8::7/64"}}
    nodes, left_out = read_netbox(json.dumps({"count": 3, "next": None, "results": [DEVICE, without, sixth]}))

    assert ["https://10.0.0.1", "https://[2001:db8::7]"] == [node.bmc for node in nodes]
    assert ("Dell", "PowerEdge R750") == (nodes[0].vendor, nodes[0].model)
    assert {"site": "ams1", "rack": "R 1", "role": "compute", "tag-gpu": "yes"} == dict(nodes[0].labels)
    assert ("r1n02: no out-of-band address",) == left_out


def test_a_page_of_several_is_refused() -> None:
    """Half an inventory is not taken for the whole."""
    with pytest.raises(InventoryError, match="one page of several"):
        read_netbox(json.dumps({"next": "https://netbox/api/dcim/devices/?offset=50", "results": [DEVICE]}))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"_meta": 3}', '{"_meta": {"hostvars": []}}', "[web]\nweb1\n"])
def test_what_is_not_ansibles(text: str) -> None:
    """Any other text is refused with what to run instead."""
    with pytest.raises(InventoryError) as told:
        read_ansible(text)

    assert "ansible-inventory" in told.value.advice


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["results", "name", "oob_ip", "address", "_meta", "hostvars", "hosts", "tags", "bmc"]),
            inner,
        )
    ),
    max_leaves=12,
)


@given(_JSON)
def test_odd_documents_bring_typed_errors_only(document: Any) -> None:
    """Whatever JSON is handed in, it is read or refused with an InventoryError."""
    for read in (read_ansible, read_netbox):
        with contextlib.suppress(InventoryError):
            read(json.dumps(document))


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_text_survives_being_written(vendor: str, label: str) -> None:
    """What is written is TOML that reads back the same, whatever characters are in it."""
    import tomllib

    node = ForeignNode("n1", "https://10.0.0.1", vendor=vendor, labels={label: vendor})
    read = tomllib.loads(written([node], credentials="env:BMC", origin="a\nb"))["nodes"][0]

    assert (vendor, {label: vendor}) == (read.get("vendor", ""), read["labels"])


def test_the_command_writes_an_inventory_that_loads(tmp_path: Path) -> None:
    """What 'inventory import' writes is an inventory; a node with a name that we cannot use is named."""
    source, made = tmp_path / "devices.json", tmp_path / "rackwave.toml"
    source.write_text(json.dumps([DEVICE, {**DEVICE, "name": "a b", "oob_ip": {"address": "10.0.0.9/24"}}]))
    words = ["inventory", "import", "netbox", str(source), "--credentials", "env:BMC", "-o", str(made)]
    done = CliRunner().invoke(cli, words, standalone_mode=False)
    again = CliRunner().invoke(cli, words, standalone_mode=False)

    assert done.exception is None, done.output
    assert "left out: a b" in done.output
    assert ["r1n01"] == [managed.name for managed in load_inventory(made).nodes]
    assert "is there already" in str(again.exception)
