"""The login at one BMC: one session, renewed when it expires, closed at the end, never Basic.

Rules:

- A refused login is final (P34): it is remembered with the credentials that were refused, here and by
  the `LoginMemory` for later processes, and nothing is sent again until the credentials differ.
- Before the credentials go out to a pinned BMC, its key is on record; behind a changed key that may be
  the BMC's own new one (core/repin.py) the machine is asked for its serial number before it is believed.
- A BMC that was short of sessions once gets ours back whenever we rest (`rest`).
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

from ...core.pin import PinGround
from ...errors import (
    BmcAmbiguousError,
    BmcAnswerError,
    BmcKeyChangedError,
    BmcLoginError,
    BmcUnreachableError,
    NodeError,
)
from ...ports import Clock, Credentials, LoginMemory
from . import retry
from .answer import Answer
from .document import items, link, message_id, messages, text, uri_path
from .keys import KeyKeeper
from .transport import Body, Headers, Transport

ROOT = "/redfish/v1/"

SESSIONS = "/redfish/v1/SessionService/Sessions"
"""Where sessions are made unless the service root names another place (DSP0266, 13.3.4)."""

_SYSTEMS = 8
"""How many systems are asked for their serial number; a chassis of many has a BMC each."""

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
        memory: LoginMemory | None = None,
    ) -> None:
        self.transport = transport
        self.collection = SESSIONS
        self._credentials = credentials
        self._clock = clock
        self._on_session = on_session
        self._memory = memory
        self._keeps = transport.budget.keeps_session
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
            new = await self._open()
            while self._expired:  # a 401 has other causes than expiry: leave none behind
                with suppress(NodeError):
                    await self._end_old(self._expired.pop(), new)
            return new

    @property
    def held(self) -> Token | None:
        """The token of the session that there is, for what is not worth a login; it may have expired."""
        return self._token

    async def rest(self) -> None:
        """Nothing is to be done here for a while: end the session of a BMC that has few, keep any other."""
        if not self._keeps:
            await self.close()

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
            try:
                answer = await self.transport.request("GET", ROOT, unsettled=True)
            except BmcKeyChangedError:
                if self.transport.keeper is None:
                    raise
                async with self._opening:
                    await self._meet(self.transport.keeper)
                answer = await self.transport.request("GET", ROOT, unsettled=True)
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

        async def send(token: Token) -> Answer:
            return await self.transport.upload(uri, body, headers={"X-Auth-Token": token.key})

        return await self._with_token(send)

    async def end(self, uri: str) -> bool:
        """Delete the session at *uri* that an earlier run of ours left; whether that one is gone now.

        A BMC that has restarted may have given the URI to somebody else, so it is looked at first:
        another user's session, and our own present one, are left alone.
        """
        return await self._end_old(uri, await self.token())

    async def close(self) -> None:
        """Delete our session. Where the BMC cannot be reached it stays, and so does its URI in the journal."""
        async with self._opening:
            token, self._token = self._token, None
            if token is not None:
                await self._end(token.uri, token)

    async def _authenticated(
        self, method: str, uri: str, body: Mapping[str, object] | None = None, headers: Headers | None = None
    ) -> Answer:
        async def send(token: Token) -> Answer:
            sent = {**(headers or {}), "X-Auth-Token": token.key}
            return await self.transport.request(method, uri, body=body, headers=sent)

        return await self._with_token(send)

    async def _with_token(self, send: Callable[[Token], Awaitable[Answer]]) -> Answer:
        """Send in our session; once more in a new one where it was not carried out for want of one."""
        token = await self.token()
        try:
            answer = await send(token)
            if answer.status != 401:
                return answer
        except BmcKeyChangedError:
            pass  # the handshake failed, so it was never sent; the login says whether the new key is the BMC's
        return await send(await self.token(instead_of=token.key))

    async def _open(self) -> Token:
        keeper = self.transport.keeper
        for is_last in (False, True):
            if keeper is not None and (keeper.was_refused or not keeper.is_settled):
                await self._meet(keeper)
            try:
                return await retry.LOGIN.call(self._log_in, clock=self._clock, within=self.transport.timeouts.login)
            except BmcKeyChangedError:
                if is_last or keeper is None or not keeper.was_refused:
                    raise
        raise AssertionError  # not reached: the last round returns or raises

    async def _meet(self, keeper: KeyKeeper) -> None:
        """Know a pinned BMC's key before credentials go out: a first one, or a candidate for a changed one.

        Raises:
            BmcKeyChangedError: it is neither.
            NodeError: the service root cannot be read for now.
        """
        keeper.open()
        try:
            root = await self.transport.request("GET", ROOT, unsettled=True)
        finally:
            keeper.shut()
        if keeper.is_settled:
            return
        if not root.ok and root.status != 401:
            raise root.refusal(self._clock.now())
        uuid = text(root.document, "UUID") if root.ok else None
        pin = keeper.book.pin
        if pin is None:
            await keeper.settle(PinGround.FIRST_CONTACT, uuid or "")
        elif pin.uuid and uuid is None:  # a service that has just started leaves parts out (P25)
            raise BmcAnswerError(f"{self.node}: the service root behind a new key tells no UUID yet", node=self.node)
        elif (why := keeper.book.why_not(keeper.unsettled or pin.key, uuid or "")) is not None:
            raise await self._rejected(keeper, why)

    async def _rejected(self, keeper: KeyKeeper, why: str) -> BmcKeyChangedError:
        changed = keeper.changed(why)
        keeper.reject()
        await self.transport.park()
        return changed

    async def _log_in(self) -> Token:
        credentials = self._credentials()
        if self._refused is not None and self._refused[0] == credentials:
            raise self._refused[1]
        if self._memory is not None and (why := await self._memory.why_not(credentials)) is not None:
            raise BmcLoginError(
                f"{self.node}: {why}",
                node=self.node,
                advice="Correct the credentials that the inventory refers to, or allow another try: "
                f"'rackwave readmit {self.node} --reason …'.",
            )
        # A cancelled login would leave a session of which nobody knows; it takes one deadline at most.
        posting = asyncio.ensure_future(self._post(credentials))
        try:
            token = await asyncio.shield(posting)
        except asyncio.CancelledError:
            with suppress(NodeError):
                token = await posting
                await self._end(token.uri, token, unsettled=True)
            raise
        try:
            await self._tell(token.uri, opened=True)
            wrong = await self._prove_machine(token)
        except BaseException:
            await self._end(token.uri, token, unsettled=True)
            raise
        if wrong is not None and self.transport.keeper is not None:
            await self._end(token.uri, token, unsettled=True)
            raise await self._rejected(self.transport.keeper, wrong)
        self._token = token
        return token

    async def _post(self, credentials: Credentials) -> Token:
        body = {"UserName": credentials.username, "Password": credentials.password}
        try:
            answer = await self.transport.request("POST", self.collection, body=body, unsettled=True)
        except BmcAmbiguousError as error:
            # For the caller nothing was changed; should a session exist, the BMC ends it in its time.
            raise BmcUnreachableError(f"{self.node}: the login was not answered", node=self.node) from error
        if answer.status in (400, 401, 403):
            told = answer.error
            if credentials.password and credentials.password in told:  # an echo must reach neither log nor journal
                told = f"HTTP {answer.status}"
            raise await self._remembered(credentials, f"the BMC refused the login: {told}")
        if answer.status in (429, 503):
            self._keeps = False  # the session cap (P26): from now on ours is given back at every rest
        if not answer.ok:
            raise answer.refusal(self._clock.now(), advice="It has no session login; Basic is not used instead (P30).")
        return await self._accepted(answer, credentials)

    async def _remembered(self, credentials: Credentials, why: str, advice: str = "") -> BmcLoginError:
        """Remember that *credentials* were refused; the error to raise."""
        more = await self._memory.refused(credentials, why) if self._memory is not None else ""
        refused = BmcLoginError(f"{self.node}: {why}", node=self.node, advice=advice or more)
        self._refused = (credentials, refused)
        return refused

    async def _prove_machine(self, token: Token) -> str | None:
        """Believe a candidate's key if the machine behind it is the one on record; else return what is wrong.

        Raises:
            BmcUnreachableError: it does not tell its serial number, for now.
        """
        keeper = self.transport.keeper
        if keeper is None or keeper.unsettled is None:
            return None
        wanted, uuid = keeper.book.serial, keeper.book.pin.uuid if keeper.book.pin is not None else ""
        serials = await self._serials(token)
        if wanted in serials:
            await keeper.settle(PinGround.OUR_WRITE, uuid)
            return None
        if not serials:
            raise BmcUnreachableError(
                f"{self.node}: the BMC shows a new key and does not yet tell the machine's serial number",
                node=self.node,
            )
        return (
            f"the machine behind it has the serial number {', '.join(sorted(serials))}, not {wanted}. "
            "It was sent this node's password: change that"
        )

    async def _serials(self, token: Token) -> set[str]:
        """The serial numbers of the systems that the BMC serves, read past everything that is kept of it."""

        async def read(uri: str | None) -> object:
            if uri is None:
                return {}
            answer = await self.transport.request("GET", uri, headers={"X-Auth-Token": token.key}, unsettled=True)
            return answer.document_or_empty if answer.ok else {}

        systems = items(await read(link(await read(ROOT), "Systems")), "Members")[:_SYSTEMS]
        found = [text(await read(link(system)), "SerialNumber") for system in systems]
        return {serial for serial in found if serial is not None}

    async def _accepted(self, answer: Answer, credentials: Credentials) -> Token:
        key = answer.headers.get("X-Auth-Token", "").strip()
        document = answer.document_or_empty
        uri = uri_path(answer.headers.get("Location")) or uri_path(document.get("@odata.id"))
        if uri == self.collection:
            uri = None
        if key and uri and not _must_change_password(document):
            return Token(uri, key)
        if key and uri:
            await self._end(uri, Token(uri, key), unsettled=True)
            raise await self._remembered(
                credentials,
                "the BMC demands that the password be changed first",
                "Change the account's password on the BMC, then in the secret that the inventory refers to.",
            )
        if uri:  # it exists and cannot be used: a later run closes it with a session of its own
            await self._tell(uri, opened=True)
        missing = " and ".join(
            name for name, found in (("X-Auth-Token", key), ("Location or @odata.id", uri)) if not found
        )
        raise BmcAnswerError(f"{self.node}: the login was accepted, but its answer has no {missing}", node=self.node)

    async def _end_old(self, uri: str, by: Token) -> bool:
        if uri == by.uri:
            return False  # the BMC gave us the URI again: the old session is gone, but the journal's entry is ours
        found = await self.transport.request("GET", uri, headers={"X-Auth-Token": by.key})
        if not found.ok and found.status not in (404, 410):
            return False
        user = text(found.document_or_empty, "UserName")
        if found.ok and user in (None, self._credentials().username):
            return await self._end(uri, by)
        await self._tell(uri, opened=False)
        return True

    async def _end(self, uri: str, by: Token, *, unsettled: bool = False) -> bool:
        for is_last in (False, True):
            try:
                answer = await self.transport.request(
                    "DELETE", uri, headers={"X-Auth-Token": by.key}, unsettled=unsettled
                )
                break
            except BmcAmbiguousError:
                # Once more on a new connection: a session ends but once, and one that is left is one fewer (P26, P27).
                if is_last:
                    return False
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
