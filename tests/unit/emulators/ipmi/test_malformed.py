"""Nothing that comes over the wire brings the IPMI face down."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rackwave_emulators.ipmi import wire
from rackwave_emulators.ipmi.ciphers import SUITES, Keys

BUDGET = 3000


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_can_be_parsed(octets: bytes) -> None:
    """Random bytes are a packet or nothing, with RMCP's header before them too."""
    for datagram in (
        octets,
        b"\x06\x00\xff\x06" + octets,
        b"\x06\x00\xff\x07" + octets,
        b"\x06\x00\xff\x07\x06" + octets,
    ):
        packet = wire.parse(datagram)
        if isinstance(packet, wire.Packet):
            packet.signed(12)
    wire.parse_message(octets)
    Keys.derive(SUITES[3], b"").decrypt(octets)


def test_mutations_do_no_harm(rig: Any, make_console: Any, outside: Any) -> None:
    """Thousands of real datagrams with bytes changed, cut off or added are survived, and clients still served."""
    chance = random.Random(20)  # noqa: S311 - reproducible on purpose
    console = rig.console()
    seeds = [
        outside(0x06, 0x38, b"\x8e\x04"),
        console.datagram(0x06, 0x01),
        wire.rmcp_plus(wire.framed(wire.Packet(wire.PAYLOAD_OPEN_REQUEST, 0, 0, bytes(32)))),
        wire.rmcp_plus(wire.framed(wire.Packet(wire.PAYLOAD_RAKP_1, 0, 0, bytes(44)))),
        wire.rmcp_plus(wire.framed(wire.Packet(wire.PAYLOAD_RAKP_3, 0, 0, bytes(40)))),
        bytes.fromhex("0600ff06000011be802a0000"),
    ]
    for _ in range(BUDGET):
        datagram = bytearray(chance.choice(seeds))
        for _ in range(chance.randrange(1, 6)):
            datagram[chance.randrange(len(datagram))] = chance.randrange(256)
        cut = datagram[: chance.randrange(len(datagram) + 1)] if chance.random() < 0.3 else datagram
        rig.bmc.answer(bytes(cut) + chance.randbytes(chance.randrange(4) if chance.random() < 0.2 else 0))

    assert 0 == console.ask(0x06, 0x01)[0]
    assert 0 == rig.console().ask(0x06, 0x01)[0]


def test_every_command_takes_any_data(rig: Any) -> None:
    """Every command that there is answers whatever data it gets with a completion code."""
    chance = random.Random(21)  # noqa: S311 - reproducible on purpose
    commands = sorted(rig.bmc._commands)
    closing = {(0x06, 0x02), (0x06, 0x03), (0x06, 0x3C), (0x2C, 0x35)}  # these end the session, or the BMC's presence
    console = rig.console()
    for _ in range(BUDGET // 2):
        netfn, command = chance.choice([pair for pair in commands if pair not in closing])
        data = chance.randbytes(chance.randrange(20))
        if netfn == 0x2C and data:
            data = b"\x00" + data[1:]
        console.ask(0x06, 0x3B, b"\x04")
        code, _ = console.ask(netfn, command, data)

        assert 0 <= code <= 0xFF


def test_unknown_commands_are_refused(rig: Any) -> None:
    """A command that there is not is C1h, and one for another body's extension is too."""
    console = rig.console()

    assert 0xC1 == console.ask(0x30, 0x01, b"\x01")[0]
    assert 0xC1 == console.ask(0x2C, 0x2E, b"\x03")[0]
    assert 0xC7 == console.ask(0x2C, 0x2E)[0]
