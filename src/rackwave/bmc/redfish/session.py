"""The login at one BMC: one session, renewed when it expires, closed at the end, never Basic.

Rules:

- A refused login is final (P34): it is remembered with the credentials that were refused, and
  nothing is sent again until the credentials differ.
- The session's URI is told to the journal as soon as the session exists and again when it is gone,
  so that a later run can close what a killed one left. The token is told to nobody.
- A 401 on a request means that the session has expired (P31): one login, and the request once
  more, also one that acts, for a request that was not authenticated was not carried out. A second
  401 is a refusal.
- A service whose session login answers 404 or 5xx does not get the password by Basic instead (P30).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TypeAlias

from attrs import field, frozen

from ...errors import BmcAmbiguousError, BmcAnswerError, BmcLoginError, BmcUnreachableError, NodeError
from ...ports import Clock, Credentials
from . import retry
from .answer import Answer
from .document import message_id, messages, text, uri_path
from .transport import Body, Headers, Transport

ROOT = "/redfish/v1/"

SESSIONS = "/redfish/v1/SessionService/Sessions"
"""Where sessions are made unless the service root names another place (DSP0266, 13.3.4)."""

OnSession: TypeAlias = Callable[[str, bool], Awaitable[None]]
"""Told ``(uri, opened)`` when a session came to be (True) and when it is gone (False)."""


@frozen
class Token:
    """A session that exists: its URI, and the key that is in no repr."""

    uri: str
    key: str = field(repr=False)


class Session:
    """Authenticated requests to one BMC."""

    def __init__(
        self,
        transport: Transport,
        credentials: Callable[[], Credentials],
        clock: Clock,
        on_session: OnSession | None = None,
    ) -> None:
        self.transport = transport
        self.collection = SESSIONS
        self._credentials = credentials
        self._clock = clock
        self._on_session = on_session
        self._token: Token | None = None
        self._expired: list[str] = []
        self._opening = asyncio.Lock()
        self._refused: tuple[Credentials, BmcLoginError] | None = None

    @property
    def node(self) -> str:
        """Whose BMC it is, for messages."""
        return self.transport.node

    async def token(self, *, instead_of: str | None = None) -> Token:
        """Return the session's token; log in where there is none, or where it is *instead_of* an expired one.

        However many ask at once, one login is made.

        Raises:
            BmcLoginError: the BMC refused the credentials, now or before.
            NodeError: the login did not come to an answer that can be used.
        """
        if self._token is not None and self._token.key != instead_of:
            return self._token
        async with self._opening:
            if self._token is not None and self._token.key != instead_of:
                return self._token
            if self._token is not None:
                self._expired.append(self._token.uri)
                self._token = None
            new = await retry.LOGIN.call(self._log_in, clock=self._clock, within=self.transport.timeouts.login)
            while self._expired:  # a 401 has other causes than expiry: leave none behind
                await self._end(self._expired.pop(), new)
            return new

    async def get(self, uri: str, *, gone_is_news: bool = False) -> Answer:
        """Read *uri*; busy BMCs and broken connections are tried again by `retry.GET`.

        With *gone_is_news* a 404 or 410 is handed back as an answer.

        Raises:
            BmcRefusedError: any other status than 2xx.
            NodeError: as `Transport.request`, BmcLoginError as `token`.
        """

        async def once() -> Answer:
            answer = await self._authenticated("GET", uri)
            if answer.ok or (gone_is_news and answer.status in (404, 410)):
                return answer
            raise answer.refusal(self._clock.now())

        return await retry.GET.call(once, clock=self._clock, within=self.transport.timeouts.retry)

    async def root(self) -> Answer:
        """Read the service root, which needs no login (DSP0266, 9.2)."""

        async def once() -> Answer:
            answer = await self.transport.request("GET", ROOT)
            if answer.status == 401:  # against the specification, and met (redfish 3.4.2 warns of it)
                answer = await self._authenticated("GET", ROOT)
            if answer.ok:
                return answer
            raise answer.refusal(self._clock.now())

        return await retry.GET.call(once, clock=self._clock, within=self.transport.timeouts.retry)

    async def act(
        self, method: str, uri: str, body: Mapping[str, object] | None = None, *, headers: Headers | None = None
    ) -> Answer:
        """Send a request that changes something, once, and return its answer whatever the status.

        Raises:
            BmcAmbiguousError: sent, and no readable answer.
            BmcUnreachableError: never sent.
        """
        return await self._authenticated(method, uri, body, headers)

    async def ask(self, uri: str) -> Answer:
        """Call an action that changes nothing and only answers; it is not tried again.

        Raises:
            BmcRefusedError: any other status than 2xx.
            NodeError: as `act`.
        """
        answer = await self._authenticated("POST", uri, {})
        if not answer.ok:
            raise answer.refusal(self._clock.now())
        return answer

    async def upload(self, uri: str, body: Body) -> Answer:
        """As `act`, with a streamed body."""
        token = await self.token()
        answer = await self.transport.upload(uri, body, headers={"X-Auth-Token": token.key})
        if answer.status == 401:
            token = await self.token(instead_of=token.key)
            answer = await self.transport.upload(uri, body, headers={"X-Auth-Token": token.key})
        return answer

    async def end(self, uri: str) -> bool:
        """Delete the session at *uri* that an earlier run of ours left; whether that one is gone now.

        A BMC that has restarted may have given the URI to somebody else, so it is looked at first:
        another user's session, and our own present one, are left alone.
        """
        token = await self.token()
        if uri == token.uri:
            return False  # the BMC gave us the URI again: the old session is gone, but the journal's entry is ours
        found = await self.get(uri, gone_is_news=True)
        user = text(found.document_or_empty, "UserName")
        if found.ok and user in (None, self._credentials().username):
            return await self._end(uri, token)
        await self._tell(uri, opened=False)
        return True

    async def close(self) -> None:
        """Delete our session. Where the BMC cannot be reached it stays, and so does its URI in the journal."""
        async with self._opening:
            token, self._token = self._token, None
            if token is not None:
                await self._end(token.uri, token)

    async def _authenticated(
        self, method: str, uri: str, body: Mapping[str, object] | None = None, headers: Headers | None = None
    ) -> Answer:
        token = await self.token()
        sent = {**(headers or {}), "X-Auth-Token": token.key}
        answer = await self.transport.request(method, uri, body=body, headers=sent)
        if answer.status == 401:
            token = await self.token(instead_of=token.key)
            sent["X-Auth-Token"] = token.key
            answer = await self.transport.request(method, uri, body=body, headers=sent)
        return answer

    async def _log_in(self) -> Token:
        credentials = self._credentials()
        if self._refused is not None and self._refused[0] == credentials:
            raise self._refused[1]
        # A cancelled login would leave a session of which nobody knows; it takes one deadline at most.
        posting = asyncio.ensure_future(self._post(credentials))
        try:
            token = await asyncio.shield(posting)
        except asyncio.CancelledError:
            with suppress(NodeError):
                token = await posting
                await self._end(token.uri, token)
            raise
        try:
            await self._tell(token.uri, opened=True)
        except BaseException:
            await self._end(token.uri, token)
            raise
        self._token = token
        return token

    async def _post(self, credentials: Credentials) -> Token:
        body = {"UserName": credentials.username, "Password": credentials.password}
        try:
            answer = await self.transport.request("POST", self.collection, body=body)
        except BmcAmbiguousError as error:
            # For the caller nothing was changed; should a session exist, the BMC ends it in its time.
            raise BmcUnreachableError(f"{self.node}: the login was not answered", node=self.node) from error
        if answer.status in (400, 401, 403):
            refused = BmcLoginError(f"{self.node}: the BMC refused the login: {answer.error}", node=self.node)
            self._refused = (credentials, refused)
            raise refused
        if not answer.ok:
            raise answer.refusal(self._clock.now(), advice="It has no session login; Basic is not used instead (P30).")
        return await self._accepted(answer, credentials)

    async def _accepted(self, answer: Answer, credentials: Credentials) -> Token:
        key = answer.headers.get("X-Auth-Token", "").strip()
        document = answer.document_or_empty
        uri = uri_path(answer.headers.get("Location")) or uri_path(document.get("@odata.id"))
        if uri == self.collection:
            uri = None
        if key and uri and not _must_change_password(document):
            return Token(uri, key)
        if key and uri:
            await self._end(uri, Token(uri, key))
            error = BmcLoginError(
                f"{self.node}: the BMC demands that the password be changed first",
                node=self.node,
                advice="Change the account's password on the BMC, then in the secret that the inventory refers to.",
            )
            self._refused = (credentials, error)
            raise error
        if uri:  # it exists and cannot be used: a later run closes it with a session of its own
            await self._tell(uri, opened=True)
        missing = " and ".join(
            name for name, found in (("X-Auth-Token", key), ("Location or @odata.id", uri)) if not found
        )
        raise BmcAnswerError(f"{self.node}: the login was accepted, but its answer has no {missing}", node=self.node)

    async def _end(self, uri: str, by: Token) -> bool:
        try:
            answer = await self.transport.request("DELETE", uri, headers={"X-Auth-Token": by.key})
        except NodeError:
            return False
        gone = answer.ok or answer.status in (401, 404, 410)
        if gone:
            await self._tell(uri, opened=False)
        return gone

    async def _tell(self, uri: str, *, opened: bool) -> None:
        if self._on_session is not None:
            await self._on_session(uri, opened)


def _must_change_password(document: object) -> bool:
    return any(message_id(message) == "Base.PasswordChangeRequired" for message in messages(document))
