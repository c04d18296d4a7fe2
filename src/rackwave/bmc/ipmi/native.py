"""RMCP+ through python-ipmi, with what its 0.6.1 gets wrong put right: each in one place, marked A to F.

python-ipmi does the handshake, the keys and the packets. A test for each letter fails when a newer
python-ipmi has mended it, so that what stands here can go.
"""

from __future__ import annotations

import hmac
import itertools
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pyipmi import Target
from pyipmi.errors import (
    AuthenticationError,
    CompletionCodeError,
    DecodingError,
    IpmiConnectionError,
    MessageStatusCodeError,
    NotSupportedError,
    RetryError,
)
from pyipmi.interfaces.ipmb import rx_filter
from pyipmi.interfaces.rmcp import RmcpMsg
from pyipmi.interfaces.rmcpplus import AUTH_ALGORITHMS, CIPHER_SUITES, RmcpPlus, SessionKeys
from pyipmi.session import Session

from ...errors import BmcAmbiguousError, BmcAnswerError, BmcLoginError, BmcRefusedError, BmcUnreachableError, NodeError
from ...ports import Credentials
from .completion import words
from .endpoint import Endpoint
from .link import READ, SUITES, Patience

_NETFN_APP = 0x06
_CLOSE_SESSION, _CIPHER_SUITES_OF_CHANNEL = 0x3C, 0x54
_BMC = 0x20
_ADMINISTRATOR = "ADMINISTRATOR"
_CONSTANT = 20

_LOGIN_LIMIT = 12.0
"""Seconds that a login may take in all, however its BMC drags it out; a fresh one takes 1 ms to 1 s."""

_OPENING = Patience(1.0, 4)
_CLOSING = Patience(0.5, 2)

_UNREADABLE = (DecodingError, AuthenticationError, struct.error, IndexError, ValueError)
_NO_SESSION_LEFT = (0x01, 0x0B)
_LOGIN_REFUSED = (0x09, 0x0A, 0x0C, 0x0D, 0x0E, 0x0F)
"""RMCP+ status codes (13.24): the role, the name, or what proves the password is not accepted."""
_NO_SUITE = (0x04, 0x05, 0x06, 0x07, 0x10, 0x11)
_FULL_RECHECK = 30.0  # seconds; half of the 60 after which BMCs end a session that nobody uses (6.12.15)


class _Keys(SessionKeys):  # type: ignore[misc]  # python-ipmi is untyped
    """Session keys as everybody else derives them."""

    def __init__(self, suite: Any, sik: bytes) -> None:
        # A: python-ipmi derives K1 and K2 from constants as long as the hash, 32 bytes for SHA-256. The
        # specification (13.32) has 20, and ipmitool, freeipmi, pyghmi and BMCs take 20 for every hash:
        # with suites 15 to 17 python-ipmi is answered by nobody.
        super().__init__(suite, sik)
        digest = AUTH_ALGORITHMS[suite.authentication][0]
        self.k1 = hmac.new(sik, b"\x01" * _CONSTANT, digest).digest()
        self.k2 = hmac.new(sik, b"\x02" * _CONSTANT, digest).digest()


class Lanplus(RmcpPlus):  # type: ignore[misc]  # python-ipmi is untyped
    """python-ipmi's RMCP+ interface as we use it: deadlines, any address family, no thread of its own."""

    def __init__(self, suites: tuple[int, ...]) -> None:
        super().__init__(keep_alive_interval=0)
        self.cipher_suites = suites
        self.ignore_sdu_length = True  # packets of IPMI 1.5 may have a pad byte (13.6)
        self._due = self._latest = 0.0

    def be_patient(self, patience: Patience, *, limit: float) -> None:
        """Wait like this for the next answers, and in all no longer than *limit* seconds."""
        self._timeout = patience.timeout
        self.max_retries = patience.tries - 1
        self._latest = time.monotonic() + limit

    def connect(self, endpoint: Endpoint) -> None:
        """Make the socket, of whichever family the host has; python-ipmi itself knows IPv4 alone.

        Raises:
            OSError: the host's name or network is not known.
        """
        self.host, self.port = endpoint.host, endpoint.port
        family, kind, protocol, _, address = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_DGRAM)[0]
        self._session: Session | None = None
        self._keys: SessionKeys | None = None
        self._sock = socket.socket(family, kind, protocol)
        self._sock.connect(address)

    def establish_session(self, session: Session) -> None:
        """As python-ipmi's, but for the keys (A), and for the ping.

        D: the ASF ping at its beginning is sent once, so that one lost packet fails a login, and BMCs that
        leave ASF out cannot be opened at all. What comes next, the authentication capabilities, asks the
        same and is sent again.
        """
        if not self._get_channel_auth_cap(session).ipmi_2_0:
            raise NotSupportedError("the BMC has no IPMI 2.0")
        suite, managed = self._offer(session, self._choose(self._told_suites()))
        sik = self._rakp(session, suite, managed)
        session.sid, session.sequence_number, session.activated = managed, 0, True
        self._session, self._keys = session, _Keys(suite, sik)
        self._set_session_privilege_level(session.priv_level)

    def _choose(self, told: frozenset[int]) -> tuple[int, ...]:
        """Our suites that the BMC has; all of them where it does not say, or says nothing that we can use."""
        return tuple(number for number in self.cipher_suites if number in told) or self.cipher_suites

    def _offer(self, session: Session, suites: tuple[int, ...]) -> tuple[Any, int]:
        for number in suites:
            try:
                return CIPHER_SUITES[number], self._open_session(session, CIPHER_SUITES[number])
            except MessageStatusCodeError as error:
                if error.msc not in _NO_SUITE or number == suites[-1]:
                    raise
        raise NotSupportedError("no cipher suite is left to try")

    def _told_suites(self) -> frozenset[int]:
        """Ask for the channel's cipher suites (22.15); BMCs that do not tell have none here."""
        records = b""
        with suppress(RetryError, *_UNREADABLE):
            for index in range(64):
                request = bytes([_CIPHER_SUITES_OF_CHANNEL, 0x0E, 0x00, 0x80 | index])
                answer = self.send_and_receive_raw(self.host_target, 0, _NETFN_APP, request)
                if answer[:1] != b"\x00":
                    break
                records += answer[2:]
                if len(answer) < 18:
                    break
        return suite_numbers(records)

    def close_session(self) -> None:
        """Tell the BMC that the session is over.

        F: python-ipmi logs the whole session while it closes it, with the password in it.
        """
        session, self._session = self._session, None
        try:
            if session is not None and session.activated:
                self._session = session
                self.end(session.sid)
        finally:
            self._session = self._keys = None

    def end(self, session_id: int) -> None:
        """End the session of that id, ours or one that we lost."""
        request = bytes([_CLOSE_SESSION]) + struct.pack("<I", session_id)
        self.send_and_receive_raw(self.host_target, 0, _NETFN_APP, request)

    def _send_rmcp_msg(self, sdu: bytes | None, class_of_msg: int) -> None:
        super()._send_rmcp_msg(sdu, class_of_msg)
        self._due = min(time.monotonic() + (self._timeout or 1.0), self._latest)

    def _receive_rmcp_msg(self) -> tuple[int | None, int | None, bytes]:
        # E: python-ipmi's time-out starts anew with every datagram, so that a BMC which sends rubbish is
        # listened to for ever, and a datagram that is too short ends the command with struct.error.
        while True:
            left = self._due - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._sock.settimeout(left)
            datagram = self._sock.recv(4096)
            with suppress(*_UNREADABLE):
                rmcp = RmcpMsg()
                rest = rmcp.unpack(datagram)
                return rmcp.seq_number, rmcp.class_of_msg, rest

    def _receive_response(self, header: Any) -> bytes:
        # B: python-ipmi takes every answer whose command is 34h for a bridged message (Send Message), and
        # does not look at the network function: HPM.1's Get Upgrade Status, 2Ch/34h, never returns. We
        # bridge nothing. What cannot be read is as if it had not come; the deadline is in E.
        while True:
            with suppress(*_UNREADABLE):
                data: bytes = self._receive_ipmi_msg(self.ignore_sdu_length)
                if rx_filter(header, data):
                    return data


class NativeLink:
    """A session through python-ipmi.

    Args:
        node: the node's name, for messages.
        endpoint: where the BMC listens.
        suites: the cipher suites that may be used, best first.
    """

    holds_session = True

    def __init__(self, node: str, endpoint: Endpoint, *, suites: tuple[int, ...] = SUITES) -> None:
        self.node = node
        self._endpoint = endpoint
        self._suites = suites
        self._busy = threading.Lock()
        self._lanplus: Lanplus | None = None
        self._left: list[int] = []

    def open(self, credentials: Credentials) -> None:
        """Log in (`Link.open`)."""
        with self._busy:
            self._abandon()
            name, password = credentials.username.encode(), credentials.password.encode()
            session = Session()
            session.set_session_type_rmcp(self._endpoint.host, self._endpoint.port)
            session.set_auth_type_user(name, password)
            session.set_priv_level(_ADMINISTRATOR)
            lanplus = Lanplus(self._suites)
            lanplus.be_patient(_OPENING, limit=_LOGIN_LIMIT)
            with self._translated("the login"):
                try:
                    lanplus.connect(self._endpoint)
                    lanplus.establish_session(session)
                except BaseException:
                    _drop(lanplus)
                    raise
            self._lanplus = lanplus
            self._end_what_was_left(lanplus)

    def raw(self, netfn: int, command: int, data: bytes = b"", *, lun: int = 0, patience: Patience = READ) -> bytes:
        """Send a command (`Link.raw`)."""
        with self._busy:
            lanplus = self._lanplus
            if lanplus is None:
                raise BmcUnreachableError(f"{self.node}: there is no session", node=self.node)
            what = f"command {netfn:02X}h/{command:02X}h"
            lanplus.be_patient(patience, limit=patience.timeout * patience.tries + 1.0)
            try:
                answer: bytes = lanplus.send_and_receive_raw(Target(_BMC), lun, netfn, bytes([command]) + data)
            except (RetryError, TimeoutError, OSError) as error:
                # C: a time-out is a RetryError here, which python-ipmi's own HPM.1 code does not expect.
                self._abandon()
                raise BmcAmbiguousError(f"{self.node}: {what} was not answered", node=self.node) from error
            except _UNREADABLE as error:
                raise BmcAnswerError(f"{self.node}: {what} was answered with nonsense", node=self.node) from error
            if not answer:
                raise BmcAnswerError(f"{self.node}: the answer to {what} has no completion code", node=self.node)
            return bytes(answer)

    def close(self) -> None:
        """End the session (`Link.close`)."""
        with self._busy:
            lanplus, self._lanplus = self._lanplus, None
            if lanplus is not None:
                _drop(lanplus)

    def _abandon(self) -> None:
        """Leave a session that does not answer, and remember it: it may be our packets that were lost."""
        lanplus, self._lanplus = self._lanplus, None
        if lanplus is not None:
            if lanplus._session is not None:  # noqa: SLF001 - python-ipmi has no way to ask
                self._left.append(lanplus._session.sid)  # noqa: SLF001
            lanplus.close()

    def _end_what_was_left(self, lanplus: Lanplus) -> None:
        left, self._left = self._left, []
        for session_id in left:
            lanplus.be_patient(_CLOSING, limit=2.0)
            with suppress(RetryError, OSError, *_UNREADABLE):  # it ends by itself after a minute
                lanplus.end(session_id)

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        """Turn what python-ipmi raises while it logs in into our errors."""
        where = f"{self.node}: {what} at {self._endpoint}"
        try:
            yield
        except MessageStatusCodeError as error:
            raise self._opening_error(where, error.msc) from error
        except AuthenticationError as error:
            # Found by us, from the BMC's proof that it knows the password too; no try was counted there.
            raise BmcLoginError(f"{where} was refused: the password is not the BMC's", node=self.node) from error
        except CompletionCodeError as error:
            if error.cc in (0x80, 0x81):  # Set Session Privilege Level (22.18)
                raise BmcLoginError(f"{where}: the account is no administrator's over LAN", node=self.node) from error
            raise BmcRefusedError(
                f"{where} was answered with {words(error.cc)}", node=self.node, status=error.cc
            ) from error
        except NotSupportedError as error:
            raise BmcRefusedError(f"{where}: {error}", node=self.node, status=0x11) from error
        except (RetryError, TimeoutError, IpmiConnectionError, OSError) as error:
            raise BmcUnreachableError(f"{where} was not answered", node=self.node) from error
        except _UNREADABLE as error:
            raise BmcAnswerError(f"{where} was answered with nonsense", node=self.node) from error

    def _opening_error(self, where: str, status: int) -> NodeError:
        if status in _LOGIN_REFUSED:
            return BmcLoginError(f"{where} was refused (RMCP+ status {status:02X}h)", node=self.node)
        if status in _NO_SESSION_LEFT:
            message = f"{where}: the BMC has no session left (P26)"
            return BmcRefusedError(message, node=self.node, status=status, retry_after=_FULL_RECHECK)
        if status in _NO_SUITE:
            wanted = " or ".join(map(str, self._suites))
            return BmcRefusedError(f"{where}: the BMC has no cipher suite {wanted}", node=self.node, status=status)
        return BmcAnswerError(f"{where} was answered with RMCP+ status {status:02X}h", node=self.node)


def suite_numbers(records: bytes) -> frozenset[int]:
    """Read the numbers from cipher suite records (22.15.1); what is no record is skipped."""
    found = set()
    at = 0
    while at + 1 < len(records):
        if records[at] == 0xC0:  # a standard suite; C1h begins one of a maker's own
            found.add(records[at + 1])
        rest = itertools.takewhile(lambda octet: octet < 0xC0, records[at + 2 :])
        at += 2 + sum(1 for _ in rest)
    return frozenset(found)


def _drop(lanplus: Lanplus) -> None:
    """Close session and socket, whatever state they are in."""
    lanplus.be_patient(_CLOSING, limit=2.0)
    try:
        with suppress(RetryError, OSError, *_UNREADABLE):
            lanplus.close_session()
    finally:
        lanplus.close()
