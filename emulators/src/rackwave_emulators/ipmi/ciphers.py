"""Cipher suites 3 and 17 of IPMI 2.0: who proves what with which keys (13.20 to 13.32).

Both use AES-128 in CBC mode; they differ in their hash, SHA-1 or SHA-256. Keys and codes::

    SIK = HMAC(Kg or Kuid, Rm | Rc | role | len | name)      K1 = HMAC(SIK, 01 * 20)     K2 = HMAC(SIK, 02 * 20)

The constants of K1 and K2 are 20 bytes long for every hash: the specification names them for SHA-1, and
ipmitool, freeipmi, pyghmi and real BMCs use the same for SHA-256. (python-ipmi 0.6.1 takes 32 for suite 17
and therefore talks to nobody with it.)
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from attrs import field, frozen
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_BLOCK = 16
_CONSTANT = 20
CONFIDENTIALITY_AES = 0x01


@frozen
class Suite:
    """One cipher suite: its number, its algorithms' numbers, its hash, and how much of a code is sent."""

    number: int
    authentication: int
    integrity: int
    confidentiality: int
    hash: str
    code_length: int

    def hmac(self, key: bytes, *parts: bytes) -> bytes:
        """Return the full HMAC over *parts*."""
        return hmac.digest(key, b"".join(parts), self.hash)

    def code(self, key: bytes, *parts: bytes) -> bytes:
        """Return the HMAC cut to the length in which it is sent."""
        return self.hmac(key, *parts)[: self.code_length]


SUITES: Mapping[int, Suite] = {
    3: Suite(3, 0x01, 0x01, CONFIDENTIALITY_AES, "sha1", 12),
    17: Suite(17, 0x03, 0x04, CONFIDENTIALITY_AES, "sha256", 16),
}
"""The suites that the lab's BMCs offer, by number."""


@frozen
class Keys:
    """What both sides of one session derived."""

    suite: Suite
    session: bytes = field(repr=False)
    integrity: bytes = field(repr=False)
    cipher: bytes = field(repr=False)

    @classmethod
    def derive(cls, suite: Suite, password: bytes, *parts: bytes) -> Keys:
        """Derive a session's keys; there is no Kg, so the password takes its place (13.31)."""
        session = suite.hmac(password, *parts)
        return cls(
            suite=suite,
            session=session,
            integrity=suite.hmac(session, b"\x01" * _CONSTANT),
            cipher=suite.hmac(session, b"\x02" * _CONSTANT)[:_BLOCK],
        )

    def sign(self, octets: bytes) -> bytes:
        """Return the integrity code of a packet."""
        return self.suite.code(self.integrity, octets)

    def encrypt(self, payload: bytes, vector: bytes) -> bytes:
        """Encrypt *payload*; *vector* are 16 unpredictable bytes."""
        padding = -(len(payload) + 1) % _BLOCK
        padded = payload + bytes(range(1, padding + 1)) + bytes([padding])
        encryptor = Cipher(algorithms.AES(self.cipher), modes.CBC(vector)).encryptor()
        return vector + encryptor.update(padded) + encryptor.finalize()

    def decrypt(self, payload: bytes) -> bytes | None:
        """Decrypt *payload*; None: its length or padding is impossible."""
        vector, secret = payload[:_BLOCK], payload[_BLOCK:]
        if not secret or len(secret) % _BLOCK:
            return None
        decryptor = Cipher(algorithms.AES(self.cipher), modes.CBC(vector)).decryptor()
        plain = decryptor.update(secret) + decryptor.finalize()
        padding = plain[-1]
        # The pad bytes 1, 2, 3 ... are not checked: the integrity code has done that, and some clients send others.
        return plain[: -padding - 1] if padding < _BLOCK else None
