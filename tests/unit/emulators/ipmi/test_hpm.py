"""HPM.1 uploads are updates of the machine: written once, deferred, activated, brought back."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from rackwave_emulators.faults import BadHealth, FlashFails, Leaves
from rackwave_emulators.host import HostReset

NETFN = 0x2C
BIOS, BMC = 0, 1
FLASH = 60


class Agent:
    """An upgrade agent that does each step by itself."""

    def __init__(self, console: Any) -> None:
        self.console = console

    def ask(self, command: int, data: bytes = b"") -> tuple[int, bytes]:
        """Send an HPM.1 command; the group extension's byte is added, and taken off the answer."""
        code, answer = self.console.ask(NETFN, command, b"\x00" + data)

        assert b"\x00" == answer[:1]
        return code, answer[1:]

    def upload(self, component: int, octets: bytes) -> int:
        """Initiate, send all blocks, and finish; return the completion code of Finish."""
        assert 0 == self.ask(0x31, bytes([1 << component, 2]))[0]
        for number, start in enumerate(range(0, len(octets), 512)):
            assert 0 == self.ask(0x32, bytes([number & 0xFF]) + octets[start : start + 512])[0]
        return self.finish(component, len(octets))

    def finish(self, component: int, length: int) -> int:
        """Finish; return the completion code."""
        return self.ask(0x33, bytes([component]) + struct.pack("<I", length))[0]

    def status(self) -> tuple[int, int]:
        """Return the last long command and how it stands."""
        code, data = self.ask(0x34)

        assert 0 == code
        return data[0], data[1]

    def versions(self, component: int) -> tuple[str, str, str]:
        """Return the active, the backup and the deferred version."""
        told = [self.ask(0x2F, bytes([component, selector]))[1] for selector in (1, 3, 4)]
        active, backup, deferred = ("-" if v[0] == 0xFF else f"{v[0]}.{v[1]:x}.{v[3]}" for v in told)
        return active, backup, deferred


def test_an_upload_waits_for_the_hosts_restart(rig: Any, payload: Any) -> None:
    """A BIOS image is in progress while it is programmed, deferred then, and runs after the host was restarted."""
    agent = Agent(rig.console())
    begun = agent.upload(BIOS, payload())
    rig.clock.advance(FLASH - 1)
    busy = agent.status()
    rig.clock.advance(1)

    assert (0x80, (0x33, 0x80), (0x33, 0)) == (begun, busy, agent.status())
    assert ("1.0.0", "-", "2.0.0") == agent.versions(BIOS)
    assert 0 == agent.ask(0x35)[0]
    assert ("1.0.0", "-", "2.0.0") == agent.versions(BIOS)
    rig.machine.reset_host(HostReset.FORCE_RESTART)
    rig.clock.advance(30)
    assert ("2.0.0", "1.0.0", "-") == agent.versions(BIOS)
    truth = rig.machine.truth()
    assert (1, 0) == (truth["flashes"], truth["double_flashes"])
    assert ("hpm", "activated") == (truth["writes"][0]["source"], truth["writes"][0]["result"])


def test_activation_restarts_the_bmc(rig: Any, payload: Any) -> None:
    """Activating BMC firmware is answered, restarts the BMC, and after that the new version runs."""
    agent = Agent(rig.console())
    agent.upload(BMC, payload("BMC"))
    rig.clock.advance(FLASH)

    assert 0 == agent.ask(0x35)[0]
    assert None is agent.console.try_to_ask(0x06, 0x01)
    rig.clock.advance(90)
    again = Agent(rig.console())
    assert ("2.0.0", "1.0.0", "-") == again.versions(BMC)
    assert (0, b"\x55\x00") == again.ask(0x36)


def test_a_bank_switch_writes_nothing(rig: Any, payload: Any) -> None:
    """Rolling BMC firmware back switches banks: it restarts, runs what ran before, and nothing was programmed."""
    agent = Agent(rig.console())
    agent.upload(BMC, payload("BMC"))
    rig.clock.advance(FLASH)
    agent.ask(0x35)
    rig.clock.advance(90)
    agent = Agent(rig.console())

    assert 0 == agent.ask(0x38)[0]
    assert None is agent.console.try_to_ask(0x06, 0x01)
    rig.clock.advance(90)
    agent = Agent(rig.console())
    assert ("1.0.0", "2.0.0", "-") == agent.versions(BMC)
    assert (0, bytes([1 << BMC])) == agent.ask(0x37)
    truth = rig.machine.truth()
    assert (1, 0) == (truth["flashes"], truth["double_flashes"])


def test_an_image_that_does_not_boot_is_brought_back(rig: Any, payload: Any) -> None:
    """With a BIOS that does not POST, rollback writes the copy of the one before, and the host boots again."""
    rig.station.arm(BadHealth(version="2.0.0", boots=False))
    agent = Agent(rig.console())
    agent.upload(BIOS, payload())
    rig.clock.advance(FLASH)
    rig.machine.reset_host(HostReset.FORCE_RESTART)
    rig.clock.advance(60)
    dead = rig.machine.post.value
    agent = Agent(rig.console())
    begun = agent.ask(0x38)[0]
    under_way = agent.ask(0x37)[0]
    rig.clock.advance(FLASH - 1)
    rig.clock.advance(1)

    assert ("failed", 0x80, 0x80) == (dead, begun, under_way)
    agent = Agent(rig.console())
    assert (0, bytes([1 << BIOS])) == agent.ask(0x37)
    rig.machine.reset_host(HostReset.FORCE_RESTART)
    rig.clock.advance(60)
    agent = Agent(rig.console())
    assert ("1.0.0", "2.0.0", "-") == agent.versions(BIOS)
    assert ("complete", 0) == (rig.machine.post.value, rig.machine.truth()["double_flashes"])


def test_a_corrupt_image_is_brought_back(rig: Any, payload: Any) -> None:
    """After a flash that failed half-way the copy is what ran before it, and rollback mends the component."""
    rig.station.arm(FlashFails(leaves=Leaves.CORRUPT))
    agent = Agent(rig.console())
    agent.upload(BIOS, payload())
    rig.clock.advance(FLASH / 2)

    assert (0x33, 0xFF) == agent.status()
    assert 0x80 == agent.ask(0x38)[0]
    rig.clock.advance(FLASH)
    rig.machine.reset_host(HostReset.FORCE_RESTART)
    rig.clock.advance(60)
    assert {"version": "1.0.0", "corrupt": False}.items() <= rig.machine.truth()["installed"]["BIOS"].items()
    assert "complete" == rig.machine.post.value


def test_what_redfish_wrote_can_be_rolled_back(rig: Any) -> None:
    """With nothing uploaded over HPM.1, rollback concerns the component that was written last by any face."""
    agent = Agent(rig.console())

    assert 0xD5 == agent.ask(0x38)[0]
    rig.machine.install("BIOS", "2.0.0")
    task = rig.machine.begin_update("BIOS", "x", source="push")
    rig.machine.transfer_failed(task, "gone")
    assert 0xD5 == agent.ask(0x38)[0]


def test_repetitions_are_done_once(rig: Any, payload: Any) -> None:
    """Initiate, block and Finish that come again after a lost answer are answered alike and change nothing."""
    agent, octets = Agent(rig.console()), payload()
    assert [0, 0] == [agent.ask(0x31, b"\x01\x02")[0] for _ in range(2)]
    for number, start in enumerate(range(0, len(octets), 1024)):
        block = bytes([number]) + octets[start : start + 1024]
        assert [0, 0] == [agent.ask(0x32, block)[0] for _ in range(2)]

    assert [0x80, 0x80] == [agent.finish(BIOS, len(octets)) for _ in range(2)]
    rig.clock.advance(FLASH)
    assert 0 == agent.finish(BIOS, len(octets))
    truth = rig.machine.truth()
    assert (1, 1, 0) == (len(truth["writes"]), truth["flashes"], truth["double_flashes"])


def test_the_same_image_twice_is_a_double_flash(rig: Any, payload: Any) -> None:
    """The wire tells no attempt, so a second upload of the same bytes is counted as the repetition that it is."""
    agent = Agent(rig.console())
    for _ in range(2):
        agent.upload(BMC, payload("BMC"))
        rig.clock.advance(FLASH)
        agent.ask(0x35)
        rig.clock.advance(90)
        agent = Agent(rig.console())

    assert 1 == rig.machine.truth()["double_flashes"]


@pytest.mark.parametrize(
    ("component", "spoil", "code"),
    [
        (BIOS, lambda octets: octets[:-1], 0x82),
        (BIOS, lambda octets: b"nothing of the kind", 0x82),
        (BMC, lambda octets: octets, 0x83),
    ],
)
def test_bad_images_are_refused(rig: Any, payload: Any, component: int, spoil: Any, code: int) -> None:
    """An image that does not verify, or is for another component, is refused, and not a byte is written."""
    agent = Agent(rig.console())

    assert code == agent.upload(component, spoil(payload()))
    assert ((0x33, code), 0) == (agent.status(), rig.machine.truth()["flashes"])


def test_a_wrong_length_ends_the_upload(rig: Any, payload: Any) -> None:
    """Finish with another length than came is a mismatch, and another upload may begin."""
    agent, octets = Agent(rig.console()), payload()
    agent.ask(0x31, b"\x01\x02")
    agent.ask(0x32, b"\x00" + octets)

    assert 0x81 == agent.finish(BIOS, len(octets) + 1)
    assert 0x80 == agent.upload(BIOS, octets)


def test_blocks_come_in_order(rig: Any) -> None:
    """A block out of order, or without Initiate, is refused."""
    agent = Agent(rig.console())
    outside = agent.ask(0x32, b"\x00abc")[0]
    agent.ask(0x31, b"\x01\x02")
    agent.ask(0x32, b"\x00abc")

    assert (0xD5, 0xCC, 0) == (outside, agent.ask(0x32, b"\x02abc")[0], agent.ask(0x32, b"\x01abc")[0])


def test_an_abandoned_upload_ends(rig: Any, payload: Any) -> None:
    """A client that goes away in mid-upload holds others up for a minute, not for ever; Abort ends it at once."""
    agent = Agent(rig.console())
    agent.ask(0x31, b"\x01\x02")
    agent.ask(0x32, b"\x00abc")
    other = Agent(rig.console())
    refused = other.ask(0x31, b"\x02\x02")[0]
    rig.clock.advance(61)
    other = Agent(rig.console())

    assert 0xD5 == refused
    assert 0 == other.ask(0x31, b"\x02\x02")[0]
    assert 0 == other.ask(0x30)[0]
    assert False is rig.machine.updating
    assert ["transfer-failed"] * 2 == [write["result"] for write in rig.machine.truth()["writes"]]


def test_redfish_and_hpm_do_not_write_at_once(rig: Any) -> None:
    """While Redfish has an update of a component under way, HPM.1 is told that the BMC is busy."""
    task = rig.machine.begin_update("BIOS", "x", source="push")
    agent = Agent(rig.console())

    assert 0xC0 == agent.ask(0x31, b"\x01\x02")[0]
    rig.machine.transfer_failed(task, "gone")
    assert 0 == agent.ask(0x31, b"\x01\x02")[0]


def test_what_there_is_not_is_refused(rig: Any) -> None:
    """Masks, actions, components, properties and activations that make no sense get HPM.1's own codes."""
    agent = Agent(rig.console())

    assert [0x81, 0x81, 0x81, 0x82] == [
        agent.ask(0x31, data)[0] for data in (b"\x00\x02", b"\x08\x02", b"\x03\x02", b"\x01\x03")
    ]
    assert [0x82, 0x83] == [agent.ask(0x2F, data)[0] for data in (b"\x03\x01", b"\x00\x07")]
    assert [0xD5, 0xD5] == [agent.ask(0x35)[0], agent.finish(BIOS, 3)]
    assert (0, b"\x00") == agent.ask(0x37)


def test_capabilities_tell_the_components(rig: Any) -> None:
    """There are as many components as the personality has, by name, deferred, and BIOS asks for a host reset."""
    agent = Agent(rig.console())
    _, capabilities = agent.ask(0x2E)
    names = [agent.ask(0x2F, bytes([component, 2]))[1].rstrip(b"\x00") for component in range(3)]
    general = [agent.ask(0x2F, bytes([component, 0]))[1][0] for component in range(3)]

    assert (0x00, 0x15, 0x07) == (capabilities[0], capabilities[1], capabilities[6])
    assert [b"BIOS", b"BMC", b"NIC"] == names
    assert [0x35, 0x15, 0x35] == general
