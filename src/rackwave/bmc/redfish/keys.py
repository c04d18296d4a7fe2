"""Pinning: believing a BMC by the key that it showed when it was first met.

Rules:

- The *key* is pinned (SHA-256 of the certificate's SubjectPublicKeyInfo), not the certificate: BMCs
  renew certificates on the same key by themselves, at an expiry date or a change of host name, and an
  alarm that is false most of the time is confirmed unread. ``aiohttp.Fingerprint`` pins the certificate;
  of it only the place is used where aiohttp asks: after each handshake, before a byte of a request.
- A key that is not settled gets no credentials and no token. *Settled* is the one on record. A first
  key, or a candidate for a changed one, is met by a read of the service root alone, which needs no login.
- Every new connection shows its key again.
- Names and dates in the certificate are not looked at: nobody vouches for them.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable

import aiohttp

from ...core.identity import Digest
from ...core.pin import PinGround
from ...errors import BmcKeyChangedError
from ...ports import KeyBook


class KeyKeeper:
    """Which key the BMC at the other end of a `Transport` must show."""

    def __init__(self, node: str, book: KeyBook) -> None:
        self.node = node
        self.book = book
        self.certificate: str | None = None
        """SHA-256 (hex) of the certificate of the last handshake that was let through."""
        self._unsettled: Digest | None = None
        self._open = False
        self._refused: Digest | None = None
        self._rejected: set[Digest] = set()

    @property
    def is_settled(self) -> bool:
        """Whether credentials may go out to whoever passes `check`."""
        return self._unsettled is None and self.book.pin is not None

    @property
    def unsettled(self) -> Digest | None:
        """The key that was met and is not on record yet."""
        return self._unsettled

    def open(self) -> None:
        """Let the next unknown key be met: a first one always, a changed one where the rules do not forbid it."""
        self._open = True

    def shut(self) -> None:
        """Meet no further key."""
        self._open = False

    @property
    def was_refused(self) -> bool:
        """Whether the last handshake showed a key that may not be spoken to."""
        return self._refused is not None

    def reject(self) -> None:
        """Never meet the candidate again: it turned out to be none of ours."""
        if self._unsettled is not None:
            self._rejected.add(self._unsettled)
        self._unsettled = None

    async def settle(self, ground: PinGround, uuid: str) -> None:
        """Put the key that was met on record."""
        if self._unsettled is not None:
            await self.book.record(self._unsettled, ground, uuid)
            self._unsettled = None

    def check(self, certificate: bytes) -> bool:
        """Whether the BMC that has just shown *certificate* may be spoken to."""
        key = key_of(certificate)
        if not self._may_meet(key):
            self._refused = key
            return False
        self._refused = None
        self.certificate = hashlib.sha256(certificate).hexdigest()
        return True

    def is_on_record(self, certificate: bytes) -> bool:
        """Whether *certificate* has the pinned key; for what is sent beside the one that may meet others."""
        pin = self.book.pin
        return pin is not None and key_of(certificate) == pin.key

    def _may_meet(self, key: Digest) -> bool:
        pin = self.book.pin
        if pin is not None and key == pin.key:
            self._unsettled = None  # back to the old one: a candidate that was never proven is none
            return True
        if self._unsettled is not None:
            return key == self._unsettled
        if not self._open or key in self._rejected:
            return False
        if pin is not None and self.book.why_not(key, pin.uuid) is not None:
            return False
        self._unsettled = key
        return True

    def changed(self, why: str = "") -> BmcKeyChangedError:
        """Say that the BMC has another key now, and how a person accepts it."""
        pin, found = self.book.pin, self._unsettled or self._refused
        expected = pin.key if pin is not None else ""
        reason = why or (self.book.why_not(found, pin.uuid) if pin is not None and found is not None else None)
        return BmcKeyChangedError(
            f"{self.node}: the BMC shows the key {found}, but {expected} is pinned"
            + (f"; not accepted by itself: {reason}" if reason else ""),
            node=self.node,
            expected=expected,
            found=found or "",
            advice="Find out why. If the new key is the BMC's own: "
            f"'rackwave pin accept {self.node} --fingerprint {found}'.",
        )


class KeyCheck(aiohttp.Fingerprint):
    """Where aiohttp asks, after a handshake and before the first request, whether it may go on."""

    def __init__(self, check: Callable[[bytes], bool]) -> None:
        super().__init__(bytes(32))  # it wants a digest; `check` below takes its place
        self._check = check

    def check(self, transport: asyncio.Transport) -> None:
        """Refuse the connection unless its key is one that may be spoken to.

        Raises:
            aiohttp.ServerFingerprintMismatch: it is not; nothing was sent.
        """
        ssl_object = transport.get_extra_info("ssl_object")
        certificate = ssl_object.getpeercert(binary_form=True) if ssl_object is not None else None
        if certificate is None or not self._check(certificate):
            host, port, *_ = transport.get_extra_info("peername") or ("", 0)
            raise aiohttp.ServerFingerprintMismatch(b"", b"", host, port)


def key_of(certificate: bytes) -> Digest:
    """Return the SHA-256 of the SubjectPublicKeyInfo of a DER certificate (RFC 5280, 4.1).

    The bytes are cut out, not understood, so that no kind of key is unknown; OpenSSL has parsed them
    before. ``openssl x509 -pubkey -noout | openssl pkey -pubin -outform der | sha256sum`` says the same.
    """
    start, _ = _content(certificate, 0)  # Certificate
    start, _ = _content(certificate, start)  # TBSCertificate
    if certificate[start] == 0xA0:  # version
        start = _content(certificate, start)[1]
    for _ in ("serialNumber", "signature", "issuer", "validity", "subject"):
        start = _content(certificate, start)[1]
    return Digest("sha256:" + hashlib.sha256(certificate[start : _content(certificate, start)[1]]).hexdigest())


def _content(der: bytes, at: int) -> tuple[int, int]:
    """Where the content of the element at *at* begins and ends."""
    length, start = der[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length, start = int.from_bytes(der[start : start + size], "big"), start + size
    return start, start + length
