"""Pinned BMCs from the command line, on a rack whose BMCs change their keys (P32) and forget their accounts (P40)."""

from __future__ import annotations

import re

import pytest

from rackwave_emulators.images import make_image
from workplace import Workplace

OLD, NEW = "1.0.0", "2.0.0"


@pytest.fixture
def pinned(workplace: Workplace) -> Workplace:
    """The workplace with its BMCs pinned, and with bundles for their firmware."""
    text = workplace.inventory.read_text()
    assert re.search(r"^ca = .*$", text, re.MULTILINE)
    workplace.inventory.write_text(re.sub(r"^ca = .*$", 'tls = "pin"', text, flags=re.MULTILINE))
    installed = workplace.truth()["nodes"]["r1n01"]["installed"]["BMC"]["version"]
    for seq, version in ((1, installed), (2, NEW)):
        folder = workplace.directory / "source" / f"A.{seq}"
        folder.mkdir(parents=True)
        make_image(folder / "bmc.bin", component="BMC", version=version, size=4096)
        lines = [
            'lineage = "A"',
            f"seq = {seq}",
            f'purpose = "BMC {version}"',
            "[[elements]]",
            'name = "bmc"',
            'kind = "bmc-firmware"',
            'component = "BMC"',
            f'version = "{version}"',
            'payload = "bmc.bin"',
            'activation = "bmc-reset"',
            'reversibility = "reflash"',
            "time_limit = 900",
        ]
        (folder / "bundle.toml").write_text("\n".join(lines) + "\n")
        workplace.build(folder)
        workplace.publish(f"A.{seq}")
    return workplace


def key_of(workplace: Workplace, node: str) -> str:
    """The key that *node* is pinned to."""
    (pin,) = workplace.run("pin", "list", "--nodes", node, "--json").json
    return str(pin["key"])


def test_a_changed_key_stops_until_it_is_accepted(pinned: Workplace) -> None:
    """A key that changed with no write of ours stops the node and names the command that accepts it."""
    first = pinned.run("status", "--look", "--nodes", "r1n01", "--json")
    before = key_of(pinned, "r1n01")
    pinned.inject("r1n01", {"fault": "certificate-changes"})

    refused = pinned.run("status", "--look", "--nodes", "r1n01")
    told = " ".join(refused.out.split())  # the table's last column is folded
    command = re.search(r"rackwave (pin accept r1n01 --fingerprint (sha256:[0-9a-f ]{64,70}))'", told)
    assert command is not None, refused
    key = command[2].replace(" ", "")
    accepted = pinned.run("pin", "accept", "r1n01", "--fingerprint", key, "--json")
    again = pinned.run("status", "--look", "--nodes", "r1n01", "--json")

    assert 0 == first.code, first.err
    assert before in told.replace(" ", "")
    assert before != key
    assert (0, key, "accepted") == (accepted.code, accepted.json[0]["key"], accepted.json[0]["ground"])
    assert "on" == again.json[0]["seen"]["power"]


def test_keys_that_our_own_updates_change(pinned: Workplace) -> None:
    """A BMC that our update gave another key is found again by serial; one that lost its accounts is set aside."""
    pinned.run("deploy", "A.1")
    before = {node: key_of(pinned, node) for node in ("r1n01", "r1n02", "r1n03")}
    pinned.inject("r1n02", {"fault": "certificate-changes", "at": "written"})
    pinned.inject("r1n03", {"fault": "factory-reset", "at": "written"})

    done = pinned.run("deploy", "A.2", "--nodes", "r1n[01-03]", "--waves", "1")
    pins = {pin["node"]: pin for pin in pinned.run("pin", "list", "--json").json}
    told = pinned.run("history", "r1n03").out
    refusals = told.count("LOGIN REFUSED")
    again = pinned.run("status", "--look", "--nodes", "r1n03")

    truth = pinned.truth()["nodes"]
    assert 4 == done.code, done
    assert [NEW] * 2 == [truth[node]["installed"]["BMC"]["version"] for node in ("r1n01", "r1n02")]
    assert ("first-contact", before["r1n01"]) == (pins["r1n01"]["ground"], pins["r1n01"]["key"])
    assert "our-write" == pins["r1n02"]["ground"]
    assert before["r1n02"] != pins["r1n02"]["key"]
    assert ("first-contact", before["r1n03"]) == (pins["r1n03"]["ground"], pins["r1n03"]["key"])
    assert "some updates reset the accounts" in told
    assert 2 == refusals  # one over Redfish, one over IPMI, and none again
    assert "are not tried again" in again.err + again.out


def test_never_means_never(pinned: Workplace) -> None:
    """With repin = "never" a key that our own update changed waits for a person as any other."""
    pinned.inventory.write_text(pinned.inventory.read_text() + '\n[access]\nrepin = "never"\n')
    pinned.run("deploy", "A.1", "--nodes", "r1n01")
    before = key_of(pinned, "r1n01")
    pinned.inject("r1n01", {"fault": "certificate-changes", "at": "written"})

    done = pinned.run("deploy", "A.2", "--nodes", "r1n01")

    assert 4 == done.code, done
    assert "a person accepts each new key" in done.out + done.err
    assert before == key_of(pinned, "r1n01")


def test_forgetting_and_sharing(pinned: Workplace) -> None:
    """A forgotten BMC is met anew; nodes that share a key are told; who is not pinned has no pin to accept."""
    pinned.run("status", "--look")
    shared = pinned.run("pin", "list", "--nodes", "r1n01", "--json").json[0]["shared_with"]
    pinned.inject("r1n01", {"fault": "certificate-changes"})
    forgotten = pinned.run("pin", "forget", "r1n01", "--json")
    looked = pinned.run("status", "--look", "--nodes", "r1n01", "--json")
    alone = pinned.run("pin", "list", "--nodes", "r1n01", "--json").json[0]
    wrong = [
        pinned.run("pin", "accept", "r1n01", "--fingerprint", "sha256:12"),
        pinned.run("pin", "accept", "r1n[01-02]", "--fingerprint", alone["key"]),
    ]

    assert ["r1n02", "r1n03", "r1n04"] == shared
    assert None is forgotten.json[0]["key"]
    assert 0 == looked.code, looked.err
    assert ("first-contact", []) == (alone["ground"], alone["shared_with"])
    assert [2, 2] == [done.code for done in wrong]
