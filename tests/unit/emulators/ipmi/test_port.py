"""The UDP port itself: strangers' bytes, losses, silence, and the lab's end."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

import pytest

from rackwave.errors import UsageError
from rackwave_emulators.faults import IpmiPacketLost, IpmiSilent
from rackwave_emulators.faults.ipmi import Side
from rackwave_emulators.lab import Lab
from rackwave_emulators.redfish.station import Station

PING = bytes.fromhex("0600ff06000011be802a0000")


@pytest.fixture
def station() -> Iterator[Station]:
    """One BMC that listens."""
    with Lab(1, plain_http=True) as lab:
        yield lab["r1n01"]


@pytest.fixture
def client(station: Station) -> Iterator[socket.socket]:
    """A socket that speaks to the BMC's IPMI port."""
    assert station.ipmi is not None
    host, _, port = station.ipmi.endpoint.partition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((host, int(port)))
        yield sock


def answered(client: socket.socket, *, within: float = 5.0) -> bool:
    """Ping, and say whether there was a pong."""
    client.settimeout(within)
    client.send(PING)
    try:
        return client.recv(100)[8:10] == b"\x40\x2a"
    except TimeoutError:
        return False


def test_random_datagrams_do_no_harm(station: Station, client: socket.socket) -> None:
    """After thousands of random datagrams, empty and huge ones too, the port still answers."""
    chance = random.Random(30)  # noqa: S311 - reproducible on purpose
    for round_number in range(1500):
        head = chance.choice([b"", b"\x06\x00\xff\x06", b"\x06\x00\xff\x07", b"\x06\x00\xff\x07\x06\x10"])
        client.send(head + chance.randbytes(chance.choice([0, 3, 12, 40, 300])))
        if round_number % 100 == 0:
            assert answered(client)  # in step with the BMC, so that the kernel drops none

    client.send(chance.randbytes(60_000))
    assert answered(client)
    assert 1000 < station.truth()["ipmi"]["dropped"]


@pytest.mark.parametrize("side", list(Side))
def test_a_lost_datagram_is_lost_once(station: Station, client: socket.socket, side: Side) -> None:
    """One request, or the answer to it, is lost; a lost answer's request was still taken."""
    station.arm(IpmiPacketLost(side=side))

    assert [False, True] == [answered(client, within=0.2), answered(client)]
    assert (1 if side is Side.REQUEST else 2) == station.truth()["ipmi"]["datagrams"]


def test_silence_lasts_until_it_is_lifted(station: Station, client: socket.socket) -> None:
    """P39: a silent port takes nothing and answers nothing until the fault is cleared."""
    station.arm(IpmiSilent())
    silent = answered(client, within=0.2)
    station.disarm("ipmi-silent")

    assert (False, True) == (silent, answered(client))


def test_a_restarting_bmc_is_silent(station: Station, client: socket.socket) -> None:
    """While the BMC restarts its IPMI port is as dead as its Redfish."""
    before = answered(client)
    station.reset_bmc()

    assert (True, False) == (before, answered(client, within=0.2))


def test_a_taken_port_is_told() -> None:
    """A port that cannot be had is told with what to do about it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.1.0.1", 0))
        with pytest.raises(UsageError, match="cannot be had"), Lab(1, ipmi_port=taken.getsockname()[1]):
            pass
