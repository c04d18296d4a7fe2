"""Which BMC certificates are believed, and one SSLContext for each such setting.

What a CA vouches for is not pinned as well: the CA's word covers the renewal of a certificate, and a
pin beside it would only add stops. Pinning is for BMCs whose certificates nobody vouches for.
"""

from __future__ import annotations

import ssl
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias, assert_never

from attrs import field, frozen

from ...errors import UsageError


@frozen
class SystemTrust:
    """Certificates that the machine's own store of CAs vouches for."""


@frozen
class CaTrust:
    """Certificates that this CA file (PEM) vouches for, and no other."""

    path: Path = field(converter=Path)


@frozen
class Unverified:
    """Any certificate. Only by an explicit setting of the operator, never as a fallback."""


@frozen
class PlainHttp:
    """No TLS at all: credentials travel in the clear. Only by an explicit setting (``insecure_http``)."""


@frozen
class PinnedKey:
    """The key that the BMC showed when it was first met, whoever signed it (keys.py)."""


TlsTrust: TypeAlias = SystemTrust | CaTrust | PinnedKey | Unverified | PlainHttp


def ssl_context(trust: TlsTrust) -> ssl.SSLContext | None:
    """Return the context for *trust*, shared by all BMCs of that setting; None for plain HTTP.

    A context costs 28 ms and 0.8 MB, so there is one for each setting and state of the CA file.

    Raises:
        UsageError: the CA file cannot be used.
    """
    match trust:
        case PlainHttp():
            return None
        case CaTrust(path):
            try:
                return _context(str(path), path.stat().st_mtime_ns)
            except (OSError, ssl.SSLError) as error:
                raise UsageError(
                    f"the CA file {path} cannot be used: {error}", advice="It must be a readable PEM file."
                ) from error
        case SystemTrust():
            return _context(None, 0)
        case Unverified() | PinnedKey():  # keys.py checks the pinned key after each handshake
            return _unverified_context()
        case _:
            assert_never(trust)


@lru_cache(maxsize=16)
def _context(path: str | None, _changed: int) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=path)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Python 3.13 turned on RFC 5280's strict form, which self-made CAs of BMCs (no Authority Key
    # Identifier) fail. Signature, name and date are verified as before.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


@lru_cache(maxsize=1)
def _unverified_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
