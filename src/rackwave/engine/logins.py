"""Logins that BMCs refused, remembered over processes without keeping anything of the secret.

A refusal is journalled with a fingerprint of the credentials: an HMAC under a key that lies in a file
of its own beside the journal, readable by its owner alone. A journal that is copied, backed up or sent to
somebody therefore says nothing of any password. For whoever gets hold of both, scrypt makes every guess
cost 16 MiB and some ten milliseconds; and since the node's name goes in, too, equal passwords do not show.

A lost key only means that refusals are forgotten: each wrong password is sent once more.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from ..core.event import LoginRefused
from ..core.identity import NodeName
from ..core.login import why_not_log_in
from ..core.repin import wrote_bmc
from ..errors import StateError
from ..ports import Clock, Credentials
from .logbook import Logbook

KEY_FILE = "logins.key"

_COST = 2**14  # with r=8 16 MiB and, measured, 45 ms; run only where a login was refused


class Fingerprints:
    """Makes fingerprints under the key in *path*; the key is made when it is first needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key: bytes | None = None
        self._slow: dict[Credentials, bytes] = {}

    async def of(self, node: NodeName, credentials: Credentials) -> str:
        """Return the fingerprint of *credentials* at *node*.

        Raises:
            StateError: the key can be neither read nor made.
        """
        if self._key is None:
            self._key = await asyncio.to_thread(self._load)
        slow = self._slow.get(credentials)
        if slow is None:
            slow = await asyncio.to_thread(_stretch, credentials, self._key)
            self._slow[credentials] = slow
        return hmac.new(slow, node.encode(), hashlib.sha256).hexdigest()[:32]

    def _load(self) -> bytes:
        try:
            with suppress(FileNotFoundError):
                return _whole(self._path)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            made = self._path.with_name(f"{self._path.name}.{secrets.token_hex(4)}")
            with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secrets.token_bytes(32))
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):  # another process was first: its key counts
                os.link(made, self._path)
            made.unlink()
            return _whole(self._path)
        except OSError as error:
            raise StateError(
                f"The key {self._path} cannot be used: {error.strerror or error}.",
                advice="It tells refused logins apart. If it is damaged remove it: refusals are forgotten then.",
            ) from error


def _whole(path: Path) -> bytes:
    key = path.read_bytes()
    if len(key) < 32:
        raise OSError(f"it has {len(key)} bytes, not 32")
    return key


def _stretch(credentials: Credentials, key: bytes) -> bytes:
    secret = f"{credentials.username}\0{credentials.password}".encode("utf-8", "surrogatepass")
    return hashlib.scrypt(secret, salt=key, n=_COST, r=8, p=1, dklen=32)


class JournalledLogins:
    """What the journal knows of logins at one node over one way: a `ports.LoginMemory`."""

    def __init__(
        self, node: NodeName, logbook: Logbook, fingerprints: Fingerprints, clock: Clock, *, way: str = ""
    ) -> None:
        self._node = node
        self._way = way
        self._logbook = logbook
        self._fingerprints = fingerprints
        self._clock = clock

    async def why_not(self, credentials: Credentials) -> str | None:
        """Return why *credentials* must not be sent now; costs nothing where no login was ever refused."""
        if all(one.way != self._way for one in self._logbook.node(self._node).refused_logins):
            return None
        fingerprint = await self._fingerprints.of(self._node, credentials)
        refused = self._logbook.node(self._node).refused_logins
        return why_not_log_in(refused, fingerprint, self._clock.now(), self._way)

    async def refused(self, credentials: Credentials, reason: str) -> str:
        """Note durably that the BMC refused *credentials*."""
        fingerprint = await self._fingerprints.of(self._node, credentials)
        await self._logbook.record(LoginRefused(self._node, fingerprint, reason, self._way))
        readmit = f"'rackwave readmit {self._node} --reason …' allows them to be tried again."
        if wrote_bmc(self._logbook.node(self._node), self._clock.now()):
            return (
                "rackwave has just written this BMC's firmware, and some updates reset the accounts to the factory's "
                f"(P40). Nothing more is sent. Log in with the factory's account, restore this one, then {readmit}"
            )
        return f"Check the credentials that the inventory refers to for this node. Others are tried at once; {readmit}"
