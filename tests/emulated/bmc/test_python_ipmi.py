"""What python-ipmi gets wrong, and what `native` makes of it: one pair of tests a letter.

The first of each pair holds python-ipmi itself to its defect. When it fails, python-ipmi has mended that,
and the method of `native` with that letter can go.
"""

from __future__ import annotations

import contextlib
import hmac
import inspect
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("pyipmi.interfaces.rmcpplus")

import pyipmi
from pyipmi.errors import IpmiConnectionError, IpmiTimeoutError, RetryError
from pyipmi.interfaces.ipmb import IpmbHeaderReq
from pyipmi.interfaces.rmcpplus import CIPHER_SUITES, RmcpPlus, SessionKeys

from rackwave.bmc.ipmi.endpoint import Endpoint
from rackwave.bmc.ipmi.link import Patience
from rackwave.bmc.ipmi.native import Lanplus, NativeLink, _Keys
from rackwave.core.observation import Look
from rackwave.errors import BmcAmbiguousError, BmcUnreachableError
from rackwave.ports import Credentials
from rackwave_emulators.clock import ScaledClock
from rackwave_emulators.faults import IpmiPacketLost, IpmiSilent
from rackwave_emulators.lab import Lab
from rackwave_emulators.redfish.station import Station

SECRET = bytes(range(32))
ACCOUNT = Credentials("admin", "password")


@pytest.fixture
def station() -> Iterator[Station]:
    """One BMC on the world's own clock, in a thread of its own."""
    with Lab(1, clock=ScaledClock(), plain_http=True) as lab:
        yield lab["r1n01"]
        assert 0 == lab.truth()["totals"]["sessions_open"]
        assert 0 == lab["r1n01"].truth()["ipmi"]["sessions_open"]


def endpoint(station: Station) -> Endpoint:
    """Return where the BMC listens."""
    assert station.ipmi is not None
    return Endpoint.parse(station.ipmi.endpoint)


def plain(station: Station, **options: Any) -> Any:
    """Return python-ipmi's own connection, closed."""
    link = pyipmi.interfaces.create_interface("rmcpplus", keep_alive_interval=0, **options)
    connection = pyipmi.create_connection(link)
    connection.target = pyipmi.Target(0x20)
    where = endpoint(station)
    connection.session.set_session_type_rmcp(where.host, where.port)
    connection.session.set_auth_type_user(ACCOUNT.username, ACCOUNT.password)
    connection.session.set_priv_level("ADMINISTRATOR")
    return connection


def test_a_theirs() -> None:
    """A: python-ipmi derives the keys of suite 17 from 32 bytes; all others from 20."""
    theirs = SessionKeys(CIPHER_SUITES[17], SECRET)

    assert hmac.digest(SECRET, b"\x01" * 32, "sha256") == theirs.k1
    assert hmac.digest(SECRET, b"\x02" * 32, "sha256") == theirs.k2


def test_a_ours(station: Station) -> None:
    """A: ours derive from 20, and the BMC understands them."""
    ours = _Keys(CIPHER_SUITES[17], SECRET)
    link = NativeLink("r1n01", endpoint(station), suites=(17,))
    link.open(ACCOUNT)
    answer = link.raw(0x06, 0x01)
    link.close()

    assert hmac.digest(SECRET, b"\x01" * 20, "sha256") == ours.k1
    assert 0 == answer[0]


def hears(link: Any) -> Any:
    """Have *link* hear the answer to HPM.1's Get Upgrade Status, and then nothing more."""
    header = IpmbHeaderReq()
    header.netfn, header.cmdid, header.rs_lun, header.rq_lun = 0x2C, 0x34, 0, 0
    header.rs_sa, header.rq_sa, header.rq_seq = 0x20, 0x81, 1
    head, body = bytes([0x81, 0x2D << 2]), bytes([0x20, 1 << 2, 0x34, 0x00, 0x00, 0x33, 0x80])
    message = head + bytes([-sum(head) & 0xFF]) + body + bytes([-sum(body) & 0xFF])
    told = iter([message])

    def receive(_: bool = False) -> bytes:
        try:
            return next(told)
        except StopIteration:
            raise TimeoutError from None

    link._receive_ipmi_msg = receive
    link._timeout = 1.0
    return link._receive_response(header)


def test_b_theirs() -> None:
    """B: python-ipmi takes the answer to 2Ch/34h for a bridged message, and waits for another."""
    with pytest.raises(TimeoutError):
        hears(RmcpPlus())


def test_b_ours(station: Station) -> None:
    """B: ours takes it for the answer that it is."""
    link = NativeLink("r1n01", endpoint(station))
    link.open(ACCOUNT)
    answer = link.raw(0x2C, 0x34, b"\x00")
    link.close()

    assert b"\x33\x80" == hears(Lanplus((17,)))[-3:-1]
    assert b"\x00\x00\x00\x00" == answer


def test_c_theirs() -> None:
    """C: python-ipmi's time-out is none of the errors that its own HPM.1 code expects."""
    from pyipmi import hpm

    assert not issubclass(RetryError, (IpmiTimeoutError, OSError))
    assert "RetryError" not in inspect.getsource(hpm)


@pytest.mark.parametrize("side", ["request", "answer"])
def test_c_ours(station: Station, side: Any) -> None:
    """C: silence is an error of ours that says so, and a lost packet is sent again where it may be."""
    link = NativeLink("r1n01", endpoint(station))
    link.open(ACCOUNT)
    station.arm(IpmiPacketLost(side=side))
    again = link.raw(0x06, 0x01, patience=Patience(0.3, 3))
    station.arm(IpmiPacketLost(side=side))
    with pytest.raises(BmcAmbiguousError, match="06h/01h was not answered"):
        link.raw(0x06, 0x01, patience=Patience(0.3, 1))
    with pytest.raises(BmcUnreachableError):
        link.raw(0x06, 0x01)
    link.open(ACCOUNT)  # and the session that was lost is ended
    link.close()

    assert 0 == again[0]


def test_d_theirs(station: Station) -> None:
    """D: one lost packet at the beginning fails python-ipmi's login, whatever retries it was given."""
    station.arm(IpmiPacketLost())
    connection = plain(station, max_retries=5, cipher_suite=3)
    with pytest.raises(IpmiConnectionError):
        connection.open()
    connection.interface.close()


def test_d_ours(station: Station) -> None:
    """D: ours needs no ping, and sends again."""
    station.arm(IpmiPacketLost())
    link = NativeLink("r1n01", endpoint(station))
    link.open(ACCOUNT)
    link.close()

    assert 1 == station.truth()["ipmi"]["sessions_opened"]


@pytest.fixture
def rubbish() -> Iterator[Callable[[bytes], Endpoint]]:
    """A BMC that answers every datagram with the same one, and goes on with it for ever."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.settimeout(0.05)
    over = threading.Event()
    answer: list[bytes] = []

    def serve() -> None:
        peer: Any = None
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                peer = sock.recvfrom(4096)[1]
            if peer is not None:
                try:
                    sock.sendto(answer[0], peer)
                except OSError:
                    peer = None

    thread = threading.Thread(target=serve)

    def start(datagram: bytes) -> Endpoint:
        answer.append(datagram)
        thread.start()
        return Endpoint(*sock.getsockname())

    yield start
    over.set()
    thread.join(10)
    assert not thread.is_alive()
    sock.close()


def test_e_theirs() -> None:
    """E: a datagram that is too short ends python-ipmi's command with struct.error, and junk is heard for ever."""
    source = inspect.getsource(RmcpPlus._receive_rmcp_msg)

    assert "struct.error" not in source
    assert "settimeout" not in source


@pytest.mark.parametrize("datagram", [b"\x06", b"\x06\x00\xff\x07", b"\x00" * 60, b"\x06\x00\xff\x07\x06" + bytes(40)])
def test_e_ours(rubbish: Callable[[bytes], Endpoint], datagram: bytes) -> None:
    """E: whatever comes, ours gives up at its deadline."""
    link = NativeLink("r1n01", rubbish(datagram))
    began = time.monotonic()
    with pytest.raises(BmcUnreachableError):
        link.open(ACCOUNT)
    link.close()

    assert time.monotonic() - began < 13


def test_f_theirs(station: Station, caplog: pytest.LogCaptureFixture) -> None:
    """F: python-ipmi logs the password when it closes a session."""
    caplog.set_level(logging.DEBUG)
    connection = plain(station, cipher_suite=3, max_retries=3)
    connection.open()
    connection.close()

    assert f"Password: {ACCOUNT.password}" in caplog.text


def test_f_ours(station: Station, caplog: pytest.LogCaptureFixture) -> None:
    """F: ours does not."""
    caplog.set_level(logging.DEBUG)
    link = NativeLink("r1n01", endpoint(station))
    link.open(ACCOUNT)
    link.close()

    assert ACCOUNT.password not in caplog.text


def test_a_session_that_was_lost_is_ended(on_ipmi: Any) -> None:
    """A session whose packets were lost lives on at the BMC; the next login ends it."""

    async def scenario(bench: Any) -> None:
        await bench.bmc.observe(Look())
        bench.lab["r1n01"].arm(IpmiSilent())
        await bench.bmc.observe(Look())
        bench.lab["r1n01"].disarm()
        await bench.bmc.observe(Look())

        assert (1, 2) == (bench.truth()["ipmi"]["sessions_open"], bench.truth()["ipmi"]["sessions_opened"])

    on_ipmi(scenario)
