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
from sushy import auth as sushy_auth
from sushy import connector as sushy_connector

from ...errors import UsageError
from .session import Session
from .transport import Timeouts
from .trust import CaTrust, PlainHttp, SystemTrust, TlsTrust, Unverified

Take = Callable[[str | None], str]
"""Returns a token that is not the one given."""


class KeptConnector(sushy_connector.Connector):  # type: ignore[misc]  # sushy is untyped
    """sushy's connector with kept connections and without replays."""

    def __init__(self, url: str, trust: TlsTrust, timeouts: Timeouts) -> None:
        super().__init__(
            url,
            verify=_verify(trust),
            server_side_retries=1,
            server_side_retries_delay=1,
            default_request_timeout=timeouts.read,
            connect_timeout=timeouts.connect,
        )
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
    connector = KeptConnector(url, transport.trust, transport.timeouts)
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
        case Unverified():
            return False
        case PlainHttp():
            return True
        case _:
            assert_never(trust)
