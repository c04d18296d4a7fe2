"""A live ``sushy.Sushy`` on our session: the door to sushy's resource model and to scripts written for it.

Rules:

- One session on the BMC, ours. sushy gets its token, asks us for another when it has expired, and its
  ``close`` (which it calls by itself when collected) ends nothing.
- Nothing that acts is sent twice. sushy replays POSTs on a lost answer and on two vendors' "not ready"
  bodies; ``server_side_retries=1`` is one attempt (0 becomes 3), and the second is switched off here.
- Connections are kept, where sushy asks for ``Connection: close`` on each request.
- sushy is synchronous: use what is borrowed in a worker thread, never in the event loop's own.

Importing this module imports sushy (0.2 s), so nothing does before a sushy is asked for.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, assert_never

import sushy
from requests.adapters import HTTPAdapter
from sushy import auth as sushy_auth
from sushy import connector as sushy_connector

from ...errors import UsageError
from .session import Session
from .transport import Timeouts
from .trust import CaTrust, PinnedKey, PlainHttp, SystemTrust, TlsTrust, Unverified

Take = Callable[[str | None], str]
"""Returns a token that is not the one given."""


class _Pinned(HTTPAdapter):
    """Believes one certificate: the one that our own connection was let through with (keys.py)."""

    def __init__(self, certificate: str) -> None:
        self._certificate = certificate
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        """Have urllib3 compare the certificate after each handshake, before anything is sent."""
        super().init_poolmanager(*arguments, **named, assert_fingerprint=self._certificate)


class KeptConnector(sushy_connector.Connector):  # type: ignore[misc]  # sushy is untyped
    """sushy's connector with kept connections and without replays."""

    def __init__(self, url: str, trust: TlsTrust, timeouts: Timeouts, certificate: str | None = None) -> None:
        super().__init__(
            url,
            verify=_verify(trust),
            server_side_retries=1,
            server_side_retries_delay=1,
            default_request_timeout=timeouts.read,
            connect_timeout=timeouts.connect,
        )
        if certificate is not None:
            self._session.mount("https://", _Pinned(certificate))
        del self._session.headers["Connection"]
        # Neither a proxy of the environment nor a netrc, whose Basic login would take our token's place.
        self._session.trust_env = False

    def check_retry_on_exception(self, exception_msg: object) -> bool:
        """Never: the caller decides whether an act that a busy iDRAC or iLO refused is sent again."""
        del exception_msg
        return False


class BorrowedSession(sushy_auth.AuthBase):  # type: ignore[misc]  # sushy is untyped
    """Authentication by a session that belongs to somebody else."""

    def __init__(self, take: Take) -> None:
        super().__init__()
        self._take = take
        self._key: str | None = None

    def _do_authenticate(self) -> None:
        self._use(self._take(None))

    def can_refresh_session(self) -> bool:
        """Always: we have the credentials, and sushy must not get a way to log in by itself."""
        return True

    def refresh_session(self) -> None:
        """Get the session that took the expired one's place; however many ask, one login is made."""
        self._use(self._take(self._key))

    def close(self) -> None:
        """End nothing: the session is ours."""

    def _use(self, key: str) -> None:
        self._key = key
        self._connector.set_http_session_auth(key)


def borrow_sushy(session: Session, loop: asyncio.AbstractEventLoop) -> tuple[Any, Callable[[], None]]:
    """Return a ``sushy.Sushy`` on *session*, which lives in *loop*, and what closes its connections.

    Call it, and use what it returns, in another thread than the loop's.

    Raises:
        UsageError: called in the loop's own thread, which would wait for itself.
        NodeError: the BMC cannot be reached, or refuses the login.
    """

    def take(instead_of: str | None) -> str:
        if _runs_here(loop):
            raise UsageError(
                "sushy was used in the event loop's own thread",
                advice="Use it in a worker thread: await asyncio.to_thread(...).",
            )
        waiting = asyncio.run_coroutine_threadsafe(session.token(instead_of=instead_of), loop)
        return waiting.result().key

    key = take(None)
    transport = session.transport
    url = str(transport.base)
    certificate = transport.keeper.certificate if transport.keeper is not None else None
    connector = KeptConnector(url, transport.trust, transport.timeouts, certificate)
    connector.set_http_session_auth(key)  # some services want it for the root, too
    return sushy.Sushy(url, auth=BorrowedSession(take), connector=connector), connector.close


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def _verify(trust: TlsTrust) -> str | bool:
    """What ``requests`` takes for *trust*; its own True would mean certifi's CAs, not the system's."""
    match trust:
        case CaTrust(path):
            return str(path)
        case SystemTrust():
            paths = ssl.get_default_verify_paths()
            return paths.cafile or paths.capath or True
        case Unverified() | PinnedKey():  # the pin is checked by the adapter
            return False
        case PlainHttp():
            return True
        case _:
            assert_never(trust)
