"""The seam between what is said to a BMC and how it gets there: raw commands in a session.

Everything above speaks in `Link.raw`; below are python-ipmi (`native`) and ipmitool (`ipmitool`).
"""

from __future__ import annotations

from typing import Protocol

from attrs import frozen

from ...ports import Credentials

SUITES = (17, 3)
"""The cipher suites that we use, best first: both authenticate, sign and encrypt (table 22-20). The
others lack one of these; suite 0, which lets anybody in, above all."""

MAX_NAME = 16
MAX_PASSWORD = 20
"""Bytes of a user name and a password in IPMI 2.0 (22.28, 22.30)."""


def why_unfit(credentials: Credentials) -> str | None:
    """Return why *credentials* cannot be an account's over IPMI; None: they may be."""
    if len(credentials.username.encode()) > MAX_NAME:
        return f"IPMI takes user names up to {MAX_NAME} bytes"
    if len(credentials.password.encode()) > MAX_PASSWORD:
        return f"IPMI takes passwords up to {MAX_PASSWORD} bytes"
    return None


@frozen
class Patience:
    """How long to wait for one answer, in seconds, and how often to send in all."""

    timeout: float
    tries: int


READ = Patience(1.0, 4)
"""Answers take milliseconds, on a busy BMC a second; one that comes late is taken for any of the tries."""

ONCE = Patience(5.0, 1)
"""What must not be done twice is sent once. Slow BMCs take two to three seconds for a power command."""


class Link(Protocol):
    """One session at one BMC. It blocks; calls from several threads come one after the other.

    A link is made closed. After BmcAmbiguousError or BmcUnreachableError it must be opened anew.
    """

    @property
    def holds_session(self) -> bool:
        """Whether commands share one session of the BMC, so that its survival tells something."""
        ...

    def open(self, credentials: Credentials) -> None:
        """Log in with credentials that fit (`why_unfit`); a session that is open is dropped first.

        Raises:
            BmcLoginError: the BMC refused the credentials.
            BmcRefusedError: it has no session left, or no cipher suite of ours; ``status`` is RMCP+'s (13.24).
            BmcUnreachableError: it did not answer.
            BmcAnswerError: what it answered makes no sense.
        """
        ...

    def raw(self, netfn: int, command: int, data: bytes = b"", *, lun: int = 0, patience: Patience = READ) -> bytes:
        """Send a command and return its answer: the completion code and the data after it.

        Raises:
            BmcAmbiguousError: sent, and not answered.
            BmcUnreachableError: not sent.
            BmcAnswerError: what was answered makes no sense.
        """
        ...

    def close(self) -> None:
        """End the session on the BMC, where there is one, and let go of the socket. Never raises."""
        ...
