"""HTTP to a registry of which nothing is believed: every answer is bounded in size and in time.

- A request has one deadline over all of it: connecting, sending, head and body. ``requests`` alone
  bounds only the silence between two packets, so that a drip of bytes keeps it for ever; at the
  deadline the socket is shut down beneath it.
- Bodies are read in the pieces that arrive, never decompressed, never more than was asked for.
- Redirects are not followed here. No ``.netrc`` is read. Proxies are those of the environment.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any
from weakref import WeakSet

import requests
import urllib3
from attrs import frozen
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import PoolManager

from ..errors import RegistryAnswerError, RegistryCertificateError, RegistryUnreachableError, UsageError
from .store import CHUNK
from .upload import Piece

_LITTLE = 16 * 1024


@frozen
class Bounds:
    """How long a registry may take, in seconds.

    *connect* is to be reached, *silence* between two signs of life, *answer* for a whole document; a
    blob may come as slowly as *slowest* bytes a second on top of that.
    """

    connect: float = 10.0
    silence: float = 30.0
    answer: float = 60.0
    slowest: int = 64 * 1024  # half a megabit: below it a 1 GiB payload takes more than four and a half hours

    def for_blob(self, size: int) -> float:
        """Return the seconds that *size* bytes may take."""
        return self.answer + size / self.slowest


class Answer:
    """Status and head of an answer; its body is read once, bounded."""

    def __init__(self, response: requests.Response, registry: str, check: Callable[[], None]) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._registry = registry
        self._check = check

    def chunks(self, limit: int) -> Iterator[bytes]:
        """Hand out the body as it arrives.

        Raises:
            RegistryAnswerError: it is compressed, or there is more than *limit* bytes of it.
        """
        if self.headers.get("Content-Encoding", "identity") != "identity":
            raise RegistryAnswerError(f"{self._registry} sent a compressed body unasked", registry=self._registry)
        size = 0
        while chunk := self._response.raw.read1(CHUNK, decode_content=False):
            size += len(chunk)
            if size > limit:
                raise RegistryAnswerError(
                    f"{self._registry} sends more than the {limit} bytes that were asked for", registry=self._registry
                )
            yield chunk
        self._check()  # a socket that was shut down looks like an early end

    def read(self, limit: int) -> bytes:
        """Return the body, of at most *limit* bytes.

        Raises:
            RegistryAnswerError: it is larger.
        """
        return b"".join(self.chunks(limit))


class Wire:
    """A way to one registry, and to whatever else it names. One request at a time; not for several threads."""

    def __init__(self, registry: str, *, ca: Path | None, bounds: Bounds) -> None:
        if ca is not None and not ca.is_file():
            raise UsageError(f"there is no file {ca} with certificates", advice="Name a file in PEM form with --ca.")
        self.bounds = bounds
        self._registry = registry
        self._watch = _Watch()
        self._session = requests.Session()
        self._session.trust_env = False  # it would send what .netrc says
        self._session.headers = {"User-Agent": "rackwave", "Accept-Encoding": "identity"}
        self._session.verify = str(ca) if ca is not None else True
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, _Adapter(self._watch))

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    @contextmanager
    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Piece | None = None,
        seconds: float | None = None,
    ) -> Iterator[Answer]:
        """Send one request and hand out its answer, which must be read inside of the block.

        Raises:
            RegistryUnreachableError: no answer, or not all of it in *seconds* (Bounds.answer where None).
            RegistryCertificateError: its certificate is not trusted.
            RegistryAnswerError: it does not speak HTTP.
        """
        limit = self.bounds.answer if seconds is None else seconds
        with (
            self._translated(limit),
            self._watch.within(limit),
            self._session.request(
                method,
                url,
                headers=dict(headers or {}),
                data=body,
                timeout=(self.bounds.connect, self.bounds.silence),
                allow_redirects=False,
                stream=True,
                proxies=requests.utils.get_environ_proxies(url),
            ) as response,
        ):
            yield Answer(response, self._registry, self._watch.check)
            _drain(response)

    @contextmanager
    def _translated(self, limit: float) -> Iterator[None]:
        try:
            yield
        except requests.exceptions.SSLError as error:
            if self._watch.expired:
                raise self._late(limit) from error
            raise RegistryCertificateError(
                f"{self._registry} could not be believed: {_reason(error)}", registry=self._registry
            ) from error
        except (requests.exceptions.InvalidHeader, requests.exceptions.InvalidURL) as error:
            raise RegistryAnswerError(f"{self._registry} answers what is not HTTP", registry=self._registry) from error
        except _FOREIGN as error:
            if self._watch.expired:
                raise self._late(limit) from error
            raise RegistryUnreachableError(
                f"{self._registry} did not answer to the end: {_reason(error)}", registry=self._registry
            ) from error

    def _late(self, limit: float) -> RegistryUnreachableError:
        return RegistryUnreachableError(
            f"{self._registry} did not come to an end within {limit:.0f} s", registry=self._registry
        )


_FOREIGN = (
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    HTTPException,
    ConnectionError,
    TimeoutError,
)


class _Watch:
    """Shuts the sockets down at a deadline, from a thread of its own."""

    def __init__(self) -> None:
        self.expired = False
        self._sockets: WeakSet[socket.socket] = WeakSet()

    def add(self, opened: socket.socket | None) -> None:
        """Watch a socket, from when it was connected on."""
        if opened is not None:
            self._sockets.add(opened)
        self.check()

    def check(self) -> None:
        """Raise TimeoutError where the deadline has passed."""
        if self.expired:
            raise TimeoutError

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Let what happens here take *seconds*."""
        self.expired = False
        timer = threading.Timer(seconds, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _cut(self) -> None:
        self.expired = True
        for opened in list(self._sockets):
            with suppress(OSError):
                # The base class's: SSLSocket's own drops the TLS beneath a read that is under way.
                socket.socket.shutdown(opened, socket.SHUT_RDWR)


class _Adapter(HTTPAdapter):
    """Connections that tell the watch of their sockets; nothing is tried twice by itself."""

    def __init__(self, watch: _Watch) -> None:
        class Plain(HTTPConnection):
            def connect(self) -> None:
                super().connect()
                watch.add(self.sock)

        class Tls(HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                watch.add(self.sock)

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class TlsPool(HTTPSConnectionPool):
            ConnectionCls = Tls

        self._pools = {"http": PlainPool, "https": TlsPool}
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, blocksize=CHUNK)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> PoolManager:
        manager: PoolManager = super().proxy_manager_for(*args, **kwargs, blocksize=CHUNK)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _drain(response: requests.Response) -> None:
    """Read what little is left of an answer, so that its connection can be used again."""
    told = response.headers.get("Content-Length", "")
    if told.isdigit() and int(told[:10]) <= _LITTLE:
        with suppress(*_FOREIGN):
            response.raw.read(_LITTLE, decode_content=False)


def _reason(error: BaseException) -> str:
    """Return the innermost cause in its own words: what requests wraps it in names pools and retries."""
    found = error
    while True:
        inner = getattr(found, "reason", None)
        if not isinstance(inner, BaseException):
            inner = (
                found.__cause__
                or found.__context__
                or next((a for a in found.args if isinstance(a, BaseException)), None)
            )
        if inner is None:
            break
        found = inner
    said = getattr(found, "strerror", None) or str(found) or type(found).__name__
    return " ".join(str(said).split())[:200]
