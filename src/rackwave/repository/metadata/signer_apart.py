"""Signing in a thread of its own, for keys that other people's libraries hold.

A PKCS#11 library that uses OpenSSL leaves its errors in the thread's error queue, where Python's ssl then takes
them for its own: after one signature with SoftHSM 2.6 the next TLS connection of that thread fails with
"no such engine". The queue ends with its thread.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from securesystemslib.signer import Key, SecretsHandler, Signature, Signer

T = TypeVar("T")


def apart(work: Callable[[], T]) -> T:
    """Do *work* in a thread that ends with it; what it raises is raised."""
    with ThreadPoolExecutor(1, thread_name_prefix="rackwave-signer") as thread:
        return thread.submit(work).result()


class SignerApart(Signer):
    """A signer that does its work apart."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    @property
    def public_key(self) -> Key:
        """The public half."""
        return self._signer.public_key

    @classmethod
    def from_priv_key_uri(
        cls, priv_key_uri: str, public_key: Key, secrets_handler: SecretsHandler | None = None
    ) -> SignerApart:
        """Return the signer of that URI, apart."""
        return cls(apart(lambda: Signer.from_priv_key_uri(priv_key_uri, public_key, secrets_handler)))

    def sign(self, payload: bytes) -> Signature:
        """Sign *payload*."""
        return apart(lambda: self._signer.sign(payload))
