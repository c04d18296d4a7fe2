"""RMCP+ sessions of one BMC: opening (13.17 to 13.24), keys, sequence windows, limits and ends.

* At most *cap* sessions at a time; a further one is refused at its Open Session Request, after those
  that never came further than RAKP 1 have made room. A session that is silent for *timeout* seconds of
  the lab's clock is forgotten (6.12.15), and so are all when the BMC restarts.
* A packet is taken once: its sequence number must be at most 16 beyond the highest seen, or at most 16
  behind it and not seen before (6.12.13).
* A lost answer is asked for again, so every step of the opening can be repeated and is answered alike.
"""

from __future__ import annotations

import hmac
import random
import struct
from collections.abc import Callable
from enum import Enum, IntEnum

from attrs import define, field, frozen

from rackwave.ports import Clock

from . import wire
from .ciphers import SUITES, Keys, Suite
from .codes import Privilege

TIMEOUT = 60.0
"""Seconds without a packet after which a session is forgotten (6.12.15)."""

_WINDOW = 16
_OPEN = struct.Struct("<BBxxI8s8s8s")
_RAKP_1 = struct.Struct("<BxxxI16sBxxB")
_RAKP_3 = struct.Struct("<BBxxI")
_NAME_LIMIT = 16
_NAME_ONLY = 0x10  # bit 4 of the role: look the account up by its name alone
_EXPENDABLE = 8  # sessions that are not open yet; more than this many strangers push one another out


class Status(IntEnum):
    """RMCP+ and RAKP status codes (13.24)."""

    OK = 0x00
    NO_RESOURCES = 0x01
    INVALID_SESSION = 0x02
    INVALID_AUTHENTICATION = 0x04
    INVALID_INTEGRITY = 0x05
    INVALID_ROLE = 0x09
    UNAUTHORIZED_ROLE = 0x0A
    INVALID_NAME_LENGTH = 0x0C
    UNAUTHORIZED_NAME = 0x0D
    INVALID_CHECK_VALUE = 0x0F
    INVALID_CONFIDENTIALITY = 0x10
    NO_SUITE = 0x11
    ILLEGAL_PARAMETER = 0x12


class Stage(Enum):
    """How far the opening of a session has come."""

    OFFERED = "offered"
    CHALLENGED = "challenged"
    OPEN = "open"


@frozen
class Credentials:
    """The one account of a BMC, as the wire needs it."""

    name: bytes
    password: bytes = field(repr=False)


@define
class Session:
    """One session; *console* is the client's id for it, *used* the monotonic time of its last packet."""

    id: int
    handle: int
    console: int
    suite: Suite
    limit: Privilege
    used: float
    stage: Stage = Stage.OFFERED
    privilege: Privilege = Privilege.USER
    challenge: bytes = b""
    own_challenge: bytes = b""
    role: int = 0
    name: bytes = b""
    keys: Keys | None = None
    highest: int = 0
    seen: int = 0
    sent: int = 0

    def admits(self, sequence: int) -> bool:
        """Whether a packet with this number is new and inside the window; if so it is noted."""
        if sequence == 0:
            return False
        ahead = sequence - self.highest
        if ahead > 0:
            if ahead > _WINDOW:
                return False
            self.seen = (self.seen << ahead | 1) & ((1 << _WINDOW + 1) - 1)
            self.highest = sequence
            return True
        if -ahead > _WINDOW or self.seen >> -ahead & 1:
            return False
        self.seen |= 1 << -ahead
        return True

    def next_sequence(self) -> int:
        """Return the number of the next packet to the client; 0 is never one."""
        self.sent = self.sent % 0xFFFF_FFFF + 1
        return self.sent


class Sessions:
    """The sessions of one BMC; *credentials* returns its account as it is at the moment.

    *chance* is seeded, so that a lab repeats itself.
    """

    def __init__(
        self,
        credentials: Callable[[], Credentials],
        clock: Clock,
        chance: random.Random,
        *,
        guid: bytes,
        cap: int,
        timeout: float = TIMEOUT,
    ) -> None:
        self._credentials = credentials
        self._clock = clock
        self._chance = chance
        self._guid = guid
        self._by_id: dict[int, Session] = {}
        self._handles = 0
        self.cap = cap
        self.timeout = timeout
        self.opened = 0
        self.closed = 0

    def __len__(self) -> int:
        self._expire()
        return sum(session.stage is Stage.OPEN for session in self._by_id.values())

    @property
    def account_name(self) -> bytes:
        """The name of the one account."""
        return self._credentials().name

    def random(self, count: int) -> bytes:
        """Return *count* bytes by chance."""
        return self._chance.randbytes(count)

    # -- in session ---------------------------------------------------------------------------

    def opened_as(self, session_id: int) -> Session | None:
        """Return the open session of this id and note that it is in use."""
        session = self._by_id.get(session_id)
        now = self._clock.monotonic()
        if session is None or session.stage is not Stage.OPEN:
            return None
        if now - session.used > self.timeout:
            self.close(session_id)
            return None
        session.used = now
        return session

    def by_handle(self, handle: int) -> Session | None:
        """Return the open session of this handle."""
        return next((s for s in self._by_id.values() if s.handle == handle and s.stage is Stage.OPEN), None)

    def close(self, session_id: int) -> bool:
        """End a session; False: there is none of this id."""
        session = self._by_id.pop(session_id, None)
        if session is not None and session.stage is Stage.OPEN:
            self.closed += 1
        return session is not None

    def forget(self) -> None:
        """Drop every session, as a BMC does when it restarts."""
        self._by_id.clear()

    # -- opening ------------------------------------------------------------------------------

    def open(self, payload: bytes) -> bytes | None:
        """Answer an Open Session Request (13.17)."""
        if len(payload) < _OPEN.size:
            return None
        tag, asked, console, *records = _OPEN.unpack_from(payload)
        limit = asked & 0x0F or Privilege.ADMINISTRATOR
        suite = _suite([_algorithm(record, kind) for kind, record in enumerate(records)])
        status = Status.OK
        if not console or None in (_algorithm(record, kind) for kind, record in enumerate(records)):
            status = Status.ILLEGAL_PARAMETER
        elif limit > Privilege.ADMINISTRATOR:
            status = Status.INVALID_ROLE
        elif suite is None:
            status = Status.NO_SUITE
        elif not self._make_room():
            status = Status.NO_RESOURCES
        if status is not Status.OK or suite is None:
            return struct.pack("<BBBxI", tag, status, 0, console)
        session = self._new(console, suite, Privilege(limit))
        chosen = ((0, suite.authentication), (1, suite.integrity), (2, suite.confidentiality))
        algorithms = b"".join(struct.pack("<BxxBBxxx", kind, 8, number) for kind, number in chosen)
        return struct.pack("<BBBxII", tag, Status.OK, session.limit, console, session.id) + algorithms

    def rakp_1(self, payload: bytes) -> bytes | None:
        """Answer RAKP Message 1 (13.20) with RAKP Message 2."""
        if len(payload) < _RAKP_1.size:
            return None
        tag, session_id, challenge, role, length = _RAKP_1.unpack_from(payload)
        name = payload[_RAKP_1.size : _RAKP_1.size + length]
        session = self._by_id.get(session_id)
        if session is None or session.stage is Stage.OPEN:
            return _refusal(tag, Status.INVALID_SESSION, 0 if session is None else session.console)
        status = Status.OK
        if length > _NAME_LIMIT or len(name) != length:
            status = Status.INVALID_NAME_LENGTH
        elif role & 0x0F > Privilege.ADMINISTRATOR:
            status = Status.INVALID_ROLE
        elif name != self._credentials().name:
            status = Status.UNAUTHORIZED_NAME
        if status is not Status.OK:
            self.close(session_id)
            return _refusal(tag, status, session.console)
        if session.challenge != challenge:
            session.challenge, session.own_challenge = challenge, self.random(16)
        session.role, session.name, session.stage = role, name, Stage.CHALLENGED
        if wanted := role & 0x0F:
            session.limit = Privilege(min(session.limit, wanted))
        proof = session.suite.hmac(
            self._credentials().password,
            struct.pack("<II", session.console, session.id),
            challenge,
            session.own_challenge,
            self._guid,
            bytes([role, len(name)]),
            name,
        )
        return struct.pack("<BBxxI", tag, Status.OK, session.console) + session.own_challenge + self._guid + proof

    def rakp_3(self, payload: bytes) -> bytes | None:
        """Answer RAKP Message 3 (13.22) with RAKP Message 4; the session is open then."""
        if len(payload) < _RAKP_3.size:
            return None
        tag, status, session_id = _RAKP_3.unpack_from(payload)
        proof = payload[_RAKP_3.size :]
        session = self._by_id.get(session_id)
        if session is None or session.stage is Stage.OFFERED:
            return _refusal(tag, Status.INVALID_SESSION, 0 if session is None else session.console)
        if status != Status.OK:  # the client did not like our RAKP 2, and wants no answer
            if session.stage is not Stage.OPEN:
                self.close(session_id)
            return None
        identity = bytes([session.role, len(session.name)]) + session.name
        password, suite = self._credentials().password, session.suite
        expected = suite.hmac(password, session.own_challenge, struct.pack("<I", session.console), identity)
        if not hmac.compare_digest(proof, expected):
            if session.stage is not Stage.OPEN:  # a forged packet must not end a session that stands
                self.close(session_id)
            return _refusal(tag, Status.INVALID_CHECK_VALUE, session.console)
        if session.stage is not Stage.OPEN:
            session.keys = Keys.derive(suite, password, session.challenge, session.own_challenge, identity)
            session.stage = Stage.OPEN
            session.privilege = min(session.limit, Privilege.USER)
            session.used = self._clock.monotonic()
            self.opened += 1
        if session.keys is None:  # unreachable: an open session has keys
            return None
        own_proof = suite.code(session.keys.session, session.challenge, struct.pack("<I", session.id), self._guid)
        return struct.pack("<BBxxI", tag, Status.OK, session.console) + own_proof

    def _new(self, console: int, suite: Suite, limit: Privilege) -> Session:
        session_id = 0
        while not session_id or session_id in self._by_id:
            session_id = self._chance.getrandbits(32)
        self._handles = self._handles % 0xFF + 1
        session = Session(session_id, self._handles, console, suite, limit, self._clock.monotonic())
        self._by_id[session_id] = session
        return session

    def _make_room(self) -> bool:
        """Forget what is stale or was never finished; return whether one more session fits."""
        if len(self) >= self.cap:
            return False
        unfinished = [session.id for session in self._by_id.values() if session.stage is not Stage.OPEN]
        for session_id in unfinished[: max(0, len(unfinished) + 1 - _EXPENDABLE)]:
            del self._by_id[session_id]
        return True

    def _expire(self) -> None:
        now = self._clock.monotonic()
        for session in tuple(self._by_id.values()):
            if now - session.used > self.timeout:
                self.close(session.id)


def _algorithm(record: bytes, kind: int) -> int | None:
    """Read one of the three algorithm records; 0xFF: any; None: it is no such record."""
    if record[0] != kind:
        return None
    if record[3] == 0:
        return 0xFF
    return record[4] & 0x3F if record[3] == 8 else None


def _suite(wanted: list[int | None]) -> Suite | None:
    for suite in sorted(SUITES.values(), key=lambda one: -one.number):
        own = (suite.authentication, suite.integrity, suite.confidentiality)
        if all(asked in (0xFF, number) for asked, number in zip(wanted, own, strict=True)):
            return suite
    return None


def _refusal(tag: int, status: Status, console: int) -> bytes:
    return struct.pack("<BBxxI", tag, status, console)


OPENING = {
    wire.PAYLOAD_OPEN_REQUEST: (Sessions.open, wire.PAYLOAD_OPEN_RESPONSE),
    wire.PAYLOAD_RAKP_1: (Sessions.rakp_1, wire.PAYLOAD_RAKP_2),
    wire.PAYLOAD_RAKP_3: (Sessions.rakp_3, wire.PAYLOAD_RAKP_4),
}
"""Which payload of the opening is answered how, and with which payload."""
