"""HTTP to one BMC: one kept-alive connection, deadlines on everything, nothing but reads sent twice.

Rules:

- The JSON verbs go through ``redfish.aio`` on a ``ClientSession`` of ours. It gets no credentials:
  its login leaks a session whose answer lacks a Location, and its refresh would race with ours.
- Every request has a deadline, counted from when it is begun, however slowly the answer drips. An answer
  is read, and unpacked, up to a bound (`document.MAX_BYTES`); aiohttp bounds its headers (128 lines of
  8 KiB). No redirect is followed: a request never leaves the BMC that it is for.
- A BMC gets one request at a time, or as many as `Budget` says; the others wait here, in order.
- Where the key is pinned, nothing that says who we are goes to a key that is not settled (keys.py).
- aiohttp sends an idempotent request (GET, PUT, DELETE) again by itself when a kept connection
  breaks. A middleware turns the two exceptions it looks for into one that it does not, so that
  `retry` alone decides; a contract test counts the requests that arrive.
- A GET that got no answer raises `DroppedError` and may be tried again. Anything else raises
  BmcAmbiguousError once a byte of it may have been sent, BmcUnreachableError only when none was.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Protocol, TypeAlias

import aiohttp
import redfish.aio
from aiohttp.connector import Connection
from attrs import frozen
from multidict import CIMultiDict
from yarl import URL

from ...core.identity import NodeName
from ...errors import (
    BmcAmbiguousError,
    BmcAnswerError,
    BmcCertificateError,
    BmcUnreachableError,
    NodeError,
    UsageError,
)
from ...permit import ask_permit
from ...ports import KeyBook
from ..throttle import Sign, Throttle, Turn
from .answer import Answer
from .document import MAX_BYTES
from .frugal import shrink_tls_buffers
from .keys import KeyCheck, KeyKeeper
from .retry import DroppedError
from .trust import PinnedKey, PlainHttp, TlsTrust, ssl_context

Headers: TypeAlias = Mapping[str, str]

STALE_AFTER = 5.0
"""Seconds of rest after which an act gets a new connection. Servers close idle connections after
five seconds and more (Apache's default is 5); an act that meets such a close in flight is ambiguous,
and resolving that costs a settle time, where a new connection costs 1.6 ms."""

_BUSY = frozenset({429, 503})

_STREAM_BUFFER = 4096
"""Bytes of events that wait to be read; each is a few hundred, and is read at once."""

KEEP_ALIVE = 30.0
"""Seconds that a resting connection is kept; longer waits are parked by the caller (architecture, 2)."""


@frozen
class Timeouts:
    """Deadlines in seconds. Real BMCs answer in 0.05 to 5 s, a loaded iDRAC in up to 20 s."""

    connect: float = 10.0
    read: float = 30.0
    """From the first byte sent to the last byte of the answer, for everything but uploads."""
    upload: float = 1800.0
    """64 MiB at 100 KiB/s, which is what slow BMCs swallow, take 11 minutes."""
    retry: float = 20.0
    """How long one read may go on trying a busy BMC before it is Unknown for this look."""
    login: float = 60.0
    """How long a login may wait at the session cap (P26)."""

    @property
    def longest(self) -> float:
        """The longest that any request which changes something can be under way."""
        return self.connect + max(self.read, self.upload)


@frozen
class Budget:
    """How much of one BMC we take at a time."""

    in_flight: int = 1
    """Requests. BMCs serve them from one slow core; several at once make web servers of iDRAC 8 and
    older AMI firmware drop some. A connection each."""
    keeps_session: bool = True
    """Whether a session is kept over a rest. BMCs with few of them (P26) need ours back."""


class Body(Protocol):
    """A request body that is streamed: its size is known, its bytes come piece by piece."""

    @property
    def size(self) -> int:
        """Bytes in all."""
        ...

    @property
    def content_type(self) -> str:
        """With the boundary, where it is multipart."""
        ...

    @property
    def complete(self) -> bool:
        """Whether the bytes that make it whole may have been sent."""
        ...

    def pieces(self) -> AsyncIterator[bytes]:
        """Begin to stream, from the first byte."""
        ...


class ConnectionLostError(aiohttp.ClientConnectionError):
    """The connection broke after the request was begun. Of no class that aiohttp replays."""


class PermittedRequest(aiohttp.ClientRequest):
    """Asks once more, on the connection that it is about to be written to, whether an act may be sent."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Send it."""
        if self.method != "GET":
            await ask_permit()
        return await super().send(conn)


class BoundedResponse(aiohttp.ClientResponse):
    """Reads at most `MAX_BYTES` and one byte; whoever parses sees by the length that it was too much."""

    async def read(self) -> bytes:
        """Read the body, cut off just past the bound."""
        body = bytearray()
        while chunk := await self.content.readany():
            body += chunk
            if len(body) > MAX_BYTES:
                self.close()
                del body[MAX_BYTES + 1 :]
                break
        return (
            _unpacked(bytes(body))
            if self.headers.get("Content-Encoding", "").strip().lower() == "gzip"
            else bytes(body)
        )

    def get_encoding(self) -> str:
        """JSON is UTF-8, whatever the Content-Type says."""
        return "utf-8"


def _unpacked(packed: bytes) -> bytes:
    """Unpack gzip up to the bound and one byte; what is none, or was cut off, is handed on as it came.

    aiohttp would unpack a chunk at a time, whatever becomes of it: 64 KiB of zeros are 64 MiB.
    """
    unpacker = zlib.decompressobj(wbits=31)
    try:
        body = unpacker.decompress(packed, MAX_BYTES + 1)
    except zlib.error:
        return packed
    return body if unpacker.eof or len(body) > MAX_BYTES else packed


async def _never_replay(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise  # never sent, and never replayed by aiohttp
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise ConnectionLostError(str(error) or type(error).__name__) from error


class Transport:
    """The connection to one BMC. Usable from one event loop only."""

    def __init__(
        self,
        node: NodeName,
        url: str,
        trust: TlsTrust,
        timeouts: Timeouts,
        *,
        keys: KeyBook | None = None,
        budget: Budget = Budget(),
        throttle: Throttle | None = None,
    ) -> None:
        if isinstance(trust, PinnedKey) != (keys is not None):
            raise ValueError("a pinned key needs a book of keys, and nothing else does")
        self.node = node
        self.trust = trust
        self.timeouts = timeouts
        self.budget = budget
        self.keeper = KeyKeeper(node, keys) if keys is not None else None
        self.base = _base(url, trust)
        self._slots = asyncio.Semaphore(budget.in_flight)
        self._throttle = throttle
        self.connections = 0
        """How many connections were begun: under one that stands, a BMC has not restarted."""
        self._session: aiohttp.ClientSession | None = None
        self._redfish: redfish.aio.AsyncRedfishClient | None = None
        self._last_used = 0.0
        self._json_timeout = aiohttp.ClientTimeout(total=timeouts.read, sock_connect=timeouts.connect)
        self._upload_timeout = aiohttp.ClientTimeout(
            total=timeouts.upload, sock_connect=timeouts.connect, sock_read=timeouts.upload
        )

    async def request(
        self,
        method: str,
        uri: str,
        *,
        body: Mapping[str, object] | None = None,
        headers: Headers | None = None,
        unsettled: bool = False,
    ) -> Answer:
        """Send one JSON request, once, and return the answer whatever its status.

        *unsettled*: also to a pinned BMC whose key is not settled; for what says nothing of us, and for
        what settles it.

        Raises:
            BmcUnreachableError: no connection, or (GET only, as DroppedError) a connection that broke.
            BmcAmbiguousError: not a GET, sent, and no readable answer.
            BmcCertificateError: the certificate is not one that we trust; nothing was sent. As
                BmcKeyChangedError where the key is pinned.
            BmcAnswerError: what came back is not HTTP, or *uri* is none.
        """
        async with self._slots:
            turn, sign = await self._enter(), Sign.NOTHING
            try:
                answer = await self._request(method, uri, body, headers, unsettled=unsettled)
                sign = Sign.BUSY if answer.status in _BUSY else Sign.GOOD
            except NodeError as error:
                sign = Sign.SILENT if _is_silence(error) else Sign.NOTHING
                raise
            else:
                return answer
            finally:
                if turn is not None:
                    turn.leave(sign)

    async def _request(
        self, method: str, uri: str, body: Mapping[str, object] | None, headers: Headers | None, *, unsettled: bool
    ) -> Answer:
        client = await self._client(act=method != "GET")
        if not unsettled:
            self._refuse_unsettled()
        try:
            # Always under a name of redfish.aio's public API; `body` is JSON-encoded by aiohttp.
            match method:
                case "GET":
                    answer = await client.get(uri, headers=headers, timeout=self._json_timeout)
                case "POST":
                    answer = await client.post(uri, body=body, headers=headers, timeout=self._json_timeout)
                case "PATCH":
                    answer = await client.patch(uri, body=body, headers=headers, timeout=self._json_timeout)
                case "DELETE":
                    answer = await client.delete(uri, headers=headers, timeout=self._json_timeout)
                case _:
                    raise ValueError(method)
        except redfish.aio.RedfishInvalidTargetError as error:
            raise BmcAnswerError(f"{self.node}: {uri!r} is no URI of this BMC", node=self.node) from error
        except redfish.aio.RedfishConnectionError as error:
            raise self._translated(error.__cause__ or error, method, uri) from error
        finally:
            self._last_used = asyncio.get_running_loop().time()
        return Answer(self.node, method, uri, answer.status, _headers(answer), answer.read)

    async def upload(self, uri: str, body: Body, *, headers: Headers | None = None) -> Answer:
        """POST a streamed body, once, with a Content-Length (chunked uploads are refused, P13) and flat memory.

        Past ``redfish.aio``, which has no such call; on the same connection.

        Raises:
            NodeError: as `request`; BmcAmbiguousError says whether the whole body had been handed over.
        """
        async with self._slots:
            turn, sign = await self._enter(), Sign.NOTHING
            try:
                answer = await self._upload(uri, body, headers)
                sign = Sign.BUSY if answer.status in _BUSY else Sign.GOOD
                return answer
            finally:
                if turn is not None:
                    turn.leave(sign, timed=False)

    async def _upload(self, uri: str, body: Body, headers: Headers | None) -> Answer:
        session = await self._http(act=True)
        self._refuse_unsettled()
        sent = {**(headers or {}), "Content-Type": body.content_type, "Content-Length": str(body.size)}
        try:
            async with session.post(
                self.base.join(URL(uri, encoded=True)),
                data=body.pieces(),
                headers=sent,
                timeout=self._upload_timeout,
                allow_redirects=False,
            ) as response:
                raw = await response.read()
                return Answer(self.node, "POST", uri, response.status, response.headers, raw)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._translated(error, "POST", uri, body_complete=body.complete) from error
        finally:
            self._last_used = asyncio.get_running_loop().time()

    @asynccontextmanager
    async def stream(self, uri: str, headers: Headers, *, silence: float) -> AsyncIterator[aiohttp.ClientResponse]:
        """GET what has no end, on a connection of its own that is closed at the end of the block.

        *silence* is for how many seconds it may bring nothing. Reading it raises aiohttp's own errors.
        It takes none of the places that requests have, for it would keep one.

        Raises:
            NodeError: as `request`; it could not be opened.
        """
        self._refuse_unsettled()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self.timeouts.connect, sock_read=silence)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1, force_close=True, ssl=self._tls(settled=True)),
            middlewares=(_never_replay,),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "rackwave", "Accept-Encoding": "identity", **headers},
            read_bufsize=_STREAM_BUFFER,
        ) as session:
            try:
                opened = await session.get(
                    self.base.join(URL(uri, encoded=True)), timeout=timeout, allow_redirects=False
                )
            except (aiohttp.ClientError, TimeoutError) as error:
                raise self._translated(error, "GET", uri) from error
            async with opened as response:
                yield response

    async def park(self) -> None:
        """Drop the connection; the next request makes a new one."""
        session, self._session, self._redfish = self._session, None, None
        if session is not None:
            await session.close()

    async def _enter(self) -> Turn | None:
        return None if self._throttle is None else await self._throttle.enter(self.node)

    def _refuse_unsettled(self) -> None:
        if self.keeper is not None and not self.keeper.is_settled:
            raise self.keeper.changed()

    async def _client(self, *, act: bool) -> redfish.aio.AsyncRedfishClient:
        session = await self._http(act=act)
        if self._redfish is None:
            self._redfish = redfish.aio.AsyncRedfishClient(str(self.base), session=session)
        return self._redfish

    async def _http(self, *, act: bool) -> aiohttp.ClientSession:
        if act and self._session is not None and self._rested() > STALE_AFTER:
            await self.park()
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self.budget.in_flight,
                    keepalive_timeout=KEEP_ALIVE,
                    ssl=self._tls(),
                    socket_factory=self._socket,
                ),
                request_class=PermittedRequest,
                response_class=BoundedResponse,
                auto_decompress=False,  # BoundedResponse does
                middlewares=(_never_replay,),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={
                    "User-Agent": "rackwave",
                    "Accept": "application/json",
                    # Compression changes ETags (P28) and is not worth it; some registries exist only so.
                    "Accept-Encoding": "identity, gzip;q=0.5",
                },
            )
        return self._session

    def _tls(self, *, settled: bool = False) -> ssl.SSLContext | aiohttp.Fingerprint | bool:
        """Whom to believe, as aiohttp wants to be told; *settled*: of pinned keys only the one on record."""
        shrink_tls_buffers()
        if self.keeper is not None:
            return KeyCheck(self.keeper.is_on_record if settled else self.keeper.check)
        return ssl_context(self.trust) or True

    def _rested(self) -> float:
        return asyncio.get_running_loop().time() - self._last_used

    def _socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        self.connections += 1
        family, kind, protocol, _, _ = address
        return socket.socket(family=family, type=kind, proto=protocol)

    def _translated(self, error: BaseException, method: str, uri: str, *, body_complete: bool = True) -> NodeError:
        """Our word for aiohttp's *error*; what decides is whether anything can have been sent."""
        node, why = self.node, _why(error)
        match error:
            case aiohttp.ClientConnectorCertificateError():
                return BmcCertificateError(f"{node}: the BMC's certificate is not trusted: {why}", node=node)
            case aiohttp.ServerFingerprintMismatch() if self.keeper is not None:
                return self.keeper.changed()
            case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError():
                return BmcUnreachableError(f"{node}: cannot connect to {self.base.authority}: {why}", node=node)
            case aiohttp.InvalidURL():
                return BmcAnswerError(f"{node}: {uri!r} is no URI", node=node)
            case _ if method != "GET":
                return BmcAmbiguousError(
                    f"{node}: {method} {uri} was sent and not answered: {why}", node=node, body_complete=body_complete
                )
            case TimeoutError():
                return BmcUnreachableError(f"{node}: no answer to GET {uri} in {self.timeouts.read:g} s", node=node)
            case aiohttp.ClientResponseError():
                return BmcAnswerError(f"{node}: the answer to GET {uri} is not HTTP: {why}", node=node)
            case _:
                return DroppedError(f"{node}: the connection broke at GET {uri}: {why}", node=node)


def _is_silence(error: BaseException) -> bool:
    """Whether *error* comes of a request that was sent and not answered in time."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, TimeoutError):
        cause = cause.__cause__
    return cause is not None and not isinstance(cause, aiohttp.ConnectionTimeoutError)


def _headers(answer: redfish.aio.AsyncRestResponse) -> Headers:
    """The headers of an answer of ``redfish.aio``, case-insensitive; of a repeated one the first counts."""
    return CIMultiDict(answer.getheaders())


def _why(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return str(error.certificate_error)
    if isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, aiohttp.ClientConnectorSSLError):
        cause = error.os_error  # asyncio's own words repeat the address; a resolver's number is no errno
        return os.strerror(cause.errno) if cause.errno is not None and cause.errno > 0 else cause.strerror or str(cause)
    if isinstance(error, TimeoutError) and not str(error):
        return "time is up"
    if isinstance(error, aiohttp.ClientResponseError):  # its own words have a status that the BMC never sent
        return " ".join(error.message.split())[:300]
    return str(error)[:300] or type(error).__name__


def _base(url: str, trust: TlsTrust) -> URL:
    try:
        base = URL(url)
        usable = base.scheme in ("http", "https") and base.host is not None and base.path in ("", "/")
        (base.host or "").encode("idna")  # as the resolver does, whose complaint is no error of aiohttp's
    except ValueError:
        usable = False
    if not usable or base.user is not None or base.query_string:
        raise UsageError(f"{url!r} is not a BMC's address", advice="Write https://HOST or https://HOST:PORT.")
    if base.scheme == "http" and not isinstance(trust, PlainHttp):
        raise UsageError(
            f"{url} is plain http, which sends credentials in the clear",
            advice="Use https, or set insecure_http for this node if you must.",
        )
    if base.scheme == "https" and isinstance(trust, PlainHttp):
        raise UsageError(f"{url} is https, but insecure_http is set", advice="Remove insecure_http.")
    return base.origin()
