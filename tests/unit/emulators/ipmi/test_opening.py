"""Sessions are opened, used, limited and ended as RMCP+ has it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwave_emulators.ipmi import wire
from rackwave_emulators.ipmi.ciphers import SUITES
from rackwave_emulators.ipmi.codes import Privilege
from rackwave_emulators.ipmi.sessions import Session

DEVICE_ID = (0x06, 0x01)


@pytest.mark.parametrize("suite", [3, 17])
def test_a_session_carries_commands(rig: Any, suite: int) -> None:
    """A client that knows the password opens a session with either suite and is answered under its keys."""
    code, data = rig.console(suite).ask(*DEVICE_ID)

    assert (0, 0x20) == (code, data[0])
    assert 1 == len(rig.bmc.sessions)


@pytest.mark.parametrize(
    ("password", "name", "status"),
    [(b"wrong", b"admin", -1), (b"password", b"nobody", 0x0D), (b"password", b"x" * 17, 0x0C)],
)
def test_strangers_are_refused(rig: Any, make_console: Any, password: bytes, name: bytes, status: int) -> None:
    """A wrong password shows in RAKP 2, a wrong name is refused in it, and no session stands afterwards."""
    console = make_console(rig.bmc, password=password)

    assert status == console.open(name=name)
    assert 0 == len(rig.bmc.sessions)


def test_a_wrong_proof_is_refused(rig: Any, make_console: Any) -> None:
    """Who goes on without the password is refused in RAKP 4, and the half-open session is gone."""
    console = make_console(rig.bmc)
    console.ask_for_session()
    first = bytes([2, 0, 0, 0]) + console.session.to_bytes(4, "little") + bytes(16) + b"\x14\x00\x00\x05admin"
    console.exchange(wire.PAYLOAD_RAKP_1, first)
    third = bytes([3, 0, 0, 0]) + console.session.to_bytes(4, "little")

    answer = console.exchange(wire.PAYLOAD_RAKP_3, third + bytes(32))

    assert 0x0F == answer[1]
    assert 0x02 == console.exchange(wire.PAYLOAD_RAKP_3, third + bytes(32))[1]


def test_the_cap_is_kept_until_one_ends(make_rig: Any, make_console: Any) -> None:
    """With all sessions in use a further one is refused, and fits once one of them is closed."""
    rig = make_rig(session_cap=2)
    first, _ = rig.console(), rig.console()

    assert 0x01 == make_console(rig.bmc).ask_for_session()
    assert 0 == first.ask(0x06, 0x3C, first.session.to_bytes(4, "little"))[0]
    assert 0 == make_console(rig.bmc).ask_for_session()


def test_half_open_sessions_do_not_crowd_out(make_rig: Any, make_console: Any) -> None:
    """However many strangers begin, a client with the password still gets its session."""
    rig = make_rig(session_cap=2)
    for _ in range(100):
        make_console(rig.bmc).ask_for_session()

    assert 0 == rig.console().ask(*DEVICE_ID)[0]


def test_a_silent_session_is_forgotten(rig: Any) -> None:
    """After a minute without a packet the BMC knows the session no more, and is silent to it."""
    console = rig.console()
    rig.clock.advance(59)
    still = console.try_to_ask(*DEVICE_ID)
    rig.clock.advance(61)

    assert still is not None
    assert None is console.try_to_ask(*DEVICE_ID)


def test_a_restart_of_the_bmc_ends_sessions(rig: Any) -> None:
    """Cold reset is answered; then the BMC is away, and knows no session when it is back."""
    console = rig.console()

    assert (0, b"") == console.ask(0x06, 0x02)
    assert None is console.try_to_ask(*DEVICE_ID)
    rig.clock.advance(90)
    assert None is console.try_to_ask(*DEVICE_ID)
    assert 0 == rig.console().ask(*DEVICE_ID)[0]


def test_a_packet_is_taken_once(rig: Any) -> None:
    """The same datagram again, or a signature that is off by a bit, is answered by silence."""
    console = rig.console()
    console.ask(0x00, 0x02, b"\x00")
    spoilt = bytearray(console.datagram(*DEVICE_ID))
    spoilt[-1] ^= 1

    assert None is rig.bmc.answer(console.last)
    assert None is rig.bmc.answer(bytes(spoilt))
    assert 0 == console.ask(*DEVICE_ID)[0]


def test_privileges_hold(rig: Any) -> None:
    """An operator may switch power but not restart the BMC, and cannot rise above what the session was opened for."""
    console = rig.console(privilege=3)

    assert 0 == console.ask(0x00, 0x02, b"\x00")[0]
    assert 0xD4 == console.ask(0x06, 0x02)[0]
    assert 0x81 == console.ask(0x06, 0x3B, b"\x04")[0]


def test_a_session_begins_as_user(rig: Any, make_console: Any) -> None:
    """Before Set Session Privilege Level even an administrator may only look."""
    console = make_console(rig.bmc)
    console.open()

    assert 0 == console.ask(0x00, 0x01)[0]
    assert 0xD4 == console.ask(0x00, 0x02, b"\x00")[0]


def test_outside_of_sessions_little_is_told(rig: Any, outside: Any) -> None:
    """Without a session there are the authentication capabilities; anything else is refused for privilege."""
    capable = wire.parse(rig.bmc.answer(outside(0x06, 0x38, b"\x8e\x04")))
    status = wire.parse(rig.bmc.answer(outside(0x00, 0x01, b"")))

    assert bytes([0x00, 0x01, 0x80, 0x04, 0x02]) == capable.payload[6:11]
    assert 0xD4 == status.payload[6]


def test_ping_is_answered(rig: Any) -> None:
    """An ASF presence ping is answered with its tag, and with support for IPMI."""
    pong = rig.bmc.answer(bytes.fromhex("0600ff06 000011be 80 2a 00 00"))

    assert bytes.fromhex("0600ff06 000011be 40 2a 00 10 000011be 00000000 81 00") == pong[:22]


def test_the_factory_account_opens_sessions(rig: Any, make_console: Any) -> None:
    """What the account is at the moment counts, as after a factory reset (P40)."""
    rig.credentials = type(rig.credentials)(b"root", b"calvin")

    assert 0x0D == make_console(rig.bmc).open()
    assert 0 == make_console(rig.bmc, password=b"calvin").open(name=b"root")


@settings(max_examples=200, deadline=None)
@given(numbers=st.lists(st.integers(min_value=0, max_value=80), max_size=40))
def test_no_number_is_admitted_twice(numbers: list[int]) -> None:
    """In whatever order packets come, each number is admitted at most once, and the next one always is."""
    session = Session(1, 1, 1, SUITES[17], Privilege.USER, 0.0)

    admitted = [number for number in numbers if session.admits(number)]

    assert len(set(admitted)) == len(admitted)
    assert 0 not in admitted
    assert session.admits(session.highest + 1)
