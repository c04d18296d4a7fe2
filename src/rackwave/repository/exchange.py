"""Questions and answers with one repository of a registry: logged in where it asks, and not led astray.

Our login goes to the registry itself and nowhere else. Redirects are followed for the bytes of a
blob only, to TLS or back to the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

from ..errors import BundleNotFoundError, RegistryAnswerError, RegistryLoginError, RegistryRefusedError
from .address import RegistryAddress
from .depot import is_document
from .layout import MANIFEST_TYPE, Descriptor
from .login import Login
from .upload import Piece
from .wire import Answer, Wire

REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 3
_MAX_COMPLAINT = 16 * 1024
_WRITES = ("POST", "PUT", "PATCH")


class Exchange:
    """A way to ask one repository of one registry."""

    def __init__(self, address: RegistryAddress, login: Login, wire: Wire) -> None:
        self.address = address
        self._login = login
        self._wire = wire
        self._authorization: dict[bool, str] = {}

    def url(self, blob: Descriptor) -> str:
        """Return where the registry has *blob*."""
        return f"{self.address.base}/{'manifests' if is_document(blob) else 'blobs'}/{blob.digest}"

    @contextmanager
    def ask(
        self,
        method: str,
        url: str,
        *,
        accept: str = "",
        span: str = "",
        kind: str = "application/octet-stream",
        body: Callable[[], bytes | Piece] | None = None,
        seconds: float | None = None,
    ) -> Iterator[Answer]:
        """Send a request, and once more, with a login, where the registry asks for one.

        Raises:
            RegistryError: no answer, or one that cannot be used.
        """
        headers = {"Accept": f"{accept}, {MANIFEST_TYPE}" if accept else "*/*"}
        if body is not None:
            headers["Content-Type"] = kind
        if span:
            headers["Content-Range" if body is not None else "Range"] = span
        writes, is_own = method in _WRITES, self.is_own(url)
        for attempt in (1, 2):
            if is_own and writes in self._authorization:
                headers["Authorization"] = self._authorization[writes]
            with self._wire.send(
                method, url, headers=headers, body=body() if body is not None else None, seconds=seconds
            ) as answer:
                challenge = answer.headers.get("WWW-Authenticate", "") if is_own else ""
                if answer.status != HTTPStatus.UNAUTHORIZED or not challenge or attempt == 2:
                    self._check_allowed(answer)
                    yield answer
                    return
            self._authorization[writes] = self._login.answer(challenge, self.address, self._wire, writes=writes)

    @contextmanager
    def get(self, blob: Descriptor, *, start: int = 0, seconds: float | None = None) -> Iterator[Answer]:
        """Ask for the bytes of *blob* from *start* on, wherever the registry keeps them.

        Raises:
            BundleNotFoundError: it is not there.
            RegistryError: no answer, or one that cannot be used.
        """
        url, span = self.url(blob), f"bytes={start}-{blob.size - 1}" if start else ""
        for _ in range(_MAX_REDIRECTS + 1):
            accept = blob.media_type if is_document(blob) else ""
            with self.ask("GET", url, accept=accept, span=span, seconds=seconds) as answer:
                if answer.status == HTTPStatus.NOT_FOUND:
                    raise self.missing(blob)
                if answer.status not in REDIRECTS:
                    yield answer
                    return
                url = self._elsewhere(urljoin(url, answer.headers.get("Location", "")))
        raise self.lie("it sends us from one place to the next")

    def expect(self, answer: Answer, status: HTTPStatus, what: str) -> None:
        """Refuse every answer but *status*.

        Raises:
            RegistryRefusedError: it is another one.
        """
        if answer.status == status:
            return
        said = answer.read(_MAX_COMPLAINT).decode("utf-8", "replace") if answer.status >= 400 else ""
        why = "".join(letter for letter in " ".join(said.split())[:200] if letter.isprintable())
        raise RegistryRefusedError(
            f"{self.address} answers {answer.status} for {what}{f': {why}' if why else ''}",
            registry=self.address.host,
            status=answer.status,
            advice="Look into the registry's log; 429 and 5xx pass, so that a later try may succeed.",
        )

    def own(self, url: str, what: str) -> str:
        """Return *url*, made whole, if it is at the registry: our login is sent there.

        Raises:
            RegistryAnswerError: it is elsewhere.
        """
        found = urljoin(self.address.base, url)
        if not self.is_own(found):
            raise self.lie(f"{what} {_shown(found)}")
        return found

    def is_own(self, url: str) -> bool:
        """Whether *url* is at the registry itself: the same scheme, host and port."""
        parts, own = urlsplit(url), urlsplit(self.address.origin)
        return (parts.scheme, parts.netloc) == (own.scheme, own.netloc)

    def missing(self, blob: Descriptor) -> BundleNotFoundError:
        """Return the error for a blob that the registry does not have."""
        return BundleNotFoundError(
            f"{self.address} has no {blob.digest}", advice="Push the bundle again from where it is whole."
        )

    def lie(self, what: str) -> RegistryAnswerError:
        """Return the error for an answer that cannot be."""
        return RegistryAnswerError(f"{self.address}: {what}", registry=self.address.host)

    def _elsewhere(self, url: str) -> str:
        parts = urlsplit(url)
        if "@" in parts.netloc or not (self.is_own(url) or (parts.scheme == "https" and parts.hostname)):
            raise self.lie(f"it sends us to {_shown(url)}")
        return url

    def _check_allowed(self, answer: Answer) -> None:
        if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            given = "wants a login" if self._login.credentials is None else "does not accept the login"
            raise RegistryLoginError(
                f"{self.address.host} {given} for {self.address.name} (status {answer.status})",
                registry=self.address.host,
            )


def _shown(url: str) -> str:
    """Return a URL without what may be secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"[:200]
