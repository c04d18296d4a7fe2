"""What the tests of the IPMI face share: a BMC on a clock that they move, and a console that needs no socket."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.images import make_image
from rackwave_emulators.ipmi import wire
from rackwave_emulators.ipmi.bmc import IpmiBmc
from rackwave_emulators.ipmi.ciphers import SUITES, Keys
from rackwave_emulators.ipmi.sessions import Credentials
from rackwave_emulators.lab import Lab
from rackwave_emulators.machine import Machine
from rackwave_emulators.redfish.station import Station

CONSOLE = 0x1122_3344
CHALLENGE = bytes(range(16))


class Rig:
    """One BMC, its machine, and the clock."""

    def __init__(self, *, session_cap: int = 15) -> None:
        self.clock = VirtualClock()
        self.station: Station = Lab(1, clock=self.clock)["r1n01"]
        self.station.located("127.1.0.1", 443, scheme="https")
        self.credentials = Credentials(b"admin", b"password")
        self.bmc = IpmiBmc(
            self.station,
            lambda: self.credentials,
            self.clock,
            random.Random(7),  # noqa: S311 - reproducible on purpose
            session_cap=session_cap,
        )

    @property
    def machine(self) -> Machine:
        """The machine behind it."""
        return self.station.machine

    def console(self, suite: int = 17, *, privilege: int = 4, password: bytes = b"password") -> Console:
        """Return a console with an open session."""
        console = Console(self.bmc, suite, password)
        assert console.open(privilege) == 0
        if privilege > 2:
            console.ask(0x06, 0x3B, bytes([privilege]))
        return console


class Console:
    """A client that does each step by itself, so that a test can leave one out or spoil it."""

    def __init__(self, bmc: IpmiBmc, suite: int = 17, password: bytes = b"password") -> None:
        self.bmc = bmc
        self.suite = SUITES[suite]
        self.password = password
        self.session = 0
        self.sequence = 0
        self.keys: Keys | None = None
        self.last = b""

    def exchange(self, kind: int, payload: bytes) -> bytes | None:
        """Send one payload of the session's opening and return the answer's."""
        answer = self.bmc.answer(wire.rmcp_plus(wire.framed(wire.Packet(kind, 0, 0, payload))))
        if answer is None:
            return None
        packet = wire.parse(answer)
        assert isinstance(packet, wire.Packet)
        assert packet.kind == kind + 1
        return packet.payload

    def ask_for_session(self, privilege: int = 4) -> int:
        """Send an Open Session Request; return the status."""
        numbers = (self.suite.authentication, self.suite.integrity, self.suite.confidentiality)
        algorithms = b"".join(struct.pack("<BxxBBxxx", kind, 8, number) for kind, number in enumerate(numbers))
        answer = self.exchange(wire.PAYLOAD_OPEN_REQUEST, struct.pack("<BBxxI", 1, privilege, CONSOLE) + algorithms)
        assert answer is not None
        if answer[1] == 0:
            self.session = struct.unpack_from("<I", answer, 8)[0]
        return answer[1]

    def open(self, privilege: int = 4, name: bytes = b"admin") -> int:
        """Open a session; return the first status that is not 0, or 0."""
        if status := self.ask_for_session(privilege):
            return status
        role = privilege | 0x10
        answer = self.exchange(
            wire.PAYLOAD_RAKP_1,
            struct.pack("<BxxxI16sBxxB", 2, self.session, CHALLENGE, role, len(name)) + name,
        )
        assert answer is not None
        if answer[1]:
            return answer[1]
        theirs, guid, proof = answer[8:24], answer[24:40], answer[40:]
        identity = bytes([role, len(name)]) + name
        ids = struct.pack("<II", CONSOLE, self.session)
        if proof != self.suite.hmac(self.password, ids, CHALLENGE, theirs, guid, identity):
            return -1
        own = self.suite.hmac(self.password, theirs, struct.pack("<I", CONSOLE), identity)
        answer = self.exchange(wire.PAYLOAD_RAKP_3, struct.pack("<BBxxI", 3, 0, self.session) + own)
        assert answer is not None
        if answer[1]:
            return answer[1]
        self.keys = Keys.derive(self.suite, self.password, CHALLENGE, theirs, identity)
        expected = self.suite.code(self.keys.session, CHALLENGE, struct.pack("<I", self.session), guid)
        assert expected == answer[8:]
        return 0

    def datagram(self, netfn: int, command: int, data: bytes = b"", *, sequence: int | None = None) -> bytes:
        """Make one request under the session's keys."""
        assert self.keys is not None
        self.sequence += 1
        number = self.sequence if sequence is None else sequence
        packet = wire.framed(
            wire.Packet(
                wire.PAYLOAD_IPMI,
                self.session,
                number,
                self.keys.encrypt(request(netfn, command, data), bytes(16)),
                encrypted=True,
                authenticated=True,
            )
        )
        return wire.rmcp_plus(packet) + self.keys.sign(packet.body + packet.trailer)

    def read(self, answer: bytes | None) -> tuple[int, bytes] | None:
        """Verify and decrypt an answer; return its completion code and data, None where there was none."""
        if answer is None:
            return None
        packet = wire.parse(answer)
        assert isinstance(packet, wire.Packet)
        assert self.keys is not None
        signed = packet.signed(self.suite.code_length)
        assert signed is not None
        assert self.keys.sign(signed[0]) == signed[1]
        payload = self.keys.decrypt(packet.payload)
        assert payload is not None
        return payload[6], payload[7:-1]

    def try_to_ask(self, netfn: int, command: int, data: bytes = b"") -> tuple[int, bytes] | None:
        """Send a request; None: there was no answer."""
        self.last = self.datagram(netfn, command, data)
        return self.read(self.bmc.answer(self.last))

    def ask(self, netfn: int, command: int, data: bytes = b"") -> tuple[int, bytes]:
        """Send a request that is answered."""
        answer = self.try_to_ask(netfn, command, data)
        assert answer is not None
        return answer


def request(netfn: int, command: int, data: bytes = b"") -> bytes:
    """Make an IPMI request message."""
    head = bytes([0x20, netfn << 2])
    body = bytes([0x81, 0x04, command]) + data
    return head + bytes([-sum(head) & 0xFF]) + body + bytes([-sum(body) & 0xFF])


@pytest.fixture
def make_rig() -> type[Rig]:
    """Make a BMC as the test needs it."""
    return Rig


@pytest.fixture
def rig() -> Rig:
    """A plain BMC."""
    return Rig()


@pytest.fixture
def make_console() -> type[Console]:
    """Make a console that has no session yet."""
    return Console


@pytest.fixture
def outside() -> Callable[[int, int, bytes], bytes]:
    """Make the datagram of a request outside of any session."""
    return lambda netfn, command, data: wire.sessionless(request(netfn, command, data))


@pytest.fixture
def payload(tmp_path: Path) -> Callable[..., bytes]:
    """Make the bytes of a lab image."""

    def make(component: str = "BIOS", version: str = "2.0.0", size: int = 4096) -> bytes:
        make_image(tmp_path / "image", component=component, version=version, size=size)
        return (tmp_path / "image").read_bytes()

    return make
