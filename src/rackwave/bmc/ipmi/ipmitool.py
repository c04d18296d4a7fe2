"""RMCP+ through the program ipmitool, where python-ipmi cannot: each command a process and a session of its own.

The password is in the environment of that process, never among its arguments, which every user can see.
What ipmitool says in words is read here and nowhere else; it was tried with 1.8.19.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading

from ...errors import BmcAmbiguousError, BmcAnswerError, BmcLoginError, BmcRefusedError, BmcUnreachableError, NodeError
from ...ports import Credentials
from .completion import LENGTH
from .endpoint import Endpoint
from .link import READ, SUITES, Patience

_LOGIN = Patience(1.0, 4)
_SETUP = 6
"""Exchanges that a session takes beside the command itself; each may need all its tries."""

_LONGEST = 240
"""Bytes of data that ``ipmitool raw`` takes: it has room for 256 with what comes before them."""

_GET_DEVICE_ID = (0x06, 0x01)
_HEX = re.compile(r"^(?: [0-9a-f]{2})+$", re.MULTILINE)
_CODE = re.compile(r"\brsp=0x([0-9a-f]{1,2})\b")
_NOT_SENT = "Unable to establish IPMI v2"
_NO_SUITE = (
    "no matching cipher suite",
    "invalid authentication algorithm",
    "invalid integrity algorithm",
    "invalid confidentiality algorithm",
)
_REFUSED = (
    "HMAC is invalid",
    "unauthorized name",
    "unauthorized role",
    "invalid role",
    "invalid integrity check value",
    "Set Session Privilege Level to",
    "password is longer",
    "username too long",
)
_FULL = "insufficient resources"


class IpmitoolLink:
    """Commands through ipmitool.

    Args:
        node: the node's name, for messages.
        endpoint: where the BMC listens.
        suites: the cipher suites that may be used, best first.
        program: where ipmitool is.
    """

    holds_session = False

    def __init__(
        self, node: str, endpoint: Endpoint, *, suites: tuple[int, ...] = SUITES, program: str = "ipmitool"
    ) -> None:
        self.node = node
        self._endpoint = endpoint
        self._suites = suites
        self._program = program
        self._busy = threading.Lock()
        self._credentials: Credentials | None = None
        self._suite = suites[0]

    def open(self, credentials: Credentials) -> None:
        """Find the cipher suite with which the BMC answers (`Link.open`)."""
        with self._busy:
            self._credentials = None
            for suite in self._suites:
                self._suite = suite
                try:
                    self._run(credentials, *_GET_DEVICE_ID, b"", 0, _LOGIN)
                except BmcRefusedError:
                    if suite == self._suites[-1]:
                        raise
                except BmcAmbiguousError as error:
                    raise BmcUnreachableError(str(error), node=self.node) from error
                else:
                    break
            self._credentials = credentials

    def raw(self, netfn: int, command: int, data: bytes = b"", *, lun: int = 0, patience: Patience = READ) -> bytes:
        """Send a command (`Link.raw`)."""
        with self._busy:
            if self._credentials is None:
                raise BmcUnreachableError(f"{self.node}: there is no session", node=self.node)
            if len(data) > _LONGEST:
                return bytes([LENGTH])  # as a BMC would say; nothing was sent
            return self._run(self._credentials, netfn, command, data, lun, patience)

    def close(self) -> None:
        """Forget the credentials: no session outlives its command (`Link.close`)."""
        with self._busy:
            self._credentials = None

    def _run(
        self, credentials: Credentials, netfn: int, command: int, data: bytes, lun: int, patience: Patience
    ) -> bytes:
        # fmt: off
        arguments = [
            self._program, "-I", "lanplus", "-H", self._endpoint.host, "-p", str(self._endpoint.port),
            "-U", credentials.username, "-E", "-C", str(self._suite), "-L", "ADMINISTRATOR",
            "-N", str(max(1, round(patience.timeout))), "-R", str(patience.tries), "-l", str(lun), "-v",
            "raw", f"0x{netfn:02x}", f"0x{command:02x}", *(f"0x{octet:02x}" for octet in data),
        ]
        # fmt: on
        what = f"command {netfn:02X}h/{command:02X}h"
        limit = max(1.0, patience.timeout) * patience.tries * _SETUP + 5.0
        try:
            done = subprocess.run(  # noqa: S603 - no shell, and every argument is ours
                arguments,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=limit,
                env={**os.environ, "IPMITOOL_PASSWORD": credentials.password, "LC_ALL": "C"},
            )
        except subprocess.TimeoutExpired as error:
            raise BmcAmbiguousError(f"{self.node}: {what} was not answered", node=self.node) from error
        except (OSError, ValueError) as error:
            raise BmcUnreachableError(f"{self.node}: ipmitool cannot be run: {error}", node=self.node) from error
        told, said = done.stdout.decode("ascii", "replace"), done.stderr.decode("ascii", "replace")
        if done.returncode == 0:
            return b"\x00" + bytes.fromhex("".join(_HEX.findall(told)))
        if code := _CODE.search(said):
            return bytes([int(code[1], 16)])
        raise self._error(what, said)

    def _error(self, what: str, said: str) -> NodeError:
        where = f"{self.node}: the login at {self._endpoint}"
        if any(words in said for words in _REFUSED):
            return BmcLoginError(f"{where} was refused", node=self.node)
        if any(words in said for words in _NO_SUITE):
            return BmcRefusedError(f"{where}: the BMC has no cipher suite {self._suite}", node=self.node, status=0x11)
        if _FULL in said:
            message = f"{where}: the BMC has no session left (P26)"
            return BmcRefusedError(message, node=self.node, status=0x01, retry_after=30.0)
        if _NOT_SENT in said:
            return BmcUnreachableError(f"{where} was not answered", node=self.node)
        if "Unable to send RAW command" in said:
            return BmcAmbiguousError(f"{self.node}: {what} was not answered", node=self.node)
        return BmcAnswerError(f"{self.node}: ipmitool makes nothing of {what}", node=self.node)
