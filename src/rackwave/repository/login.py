"""Logging in to a registry: Basic, or a bearer token from the registry's token server.

- Credentials are looked up when a registry asks for them and kept in memory only, for this process.
- They are sent to the registry itself, or to a token server on the same host; to another one only
  if the operator named it. A registry that could name any would collect passwords.
- The scope is ours, never what the challenge asks for: a token for more than we need, or for another
  repository of a shared token server, is nothing that a registry should be able to get from us.

https://distribution.github.io/distribution/spec/auth/token/
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from urllib.parse import urlencode, urlsplit

from attrs import frozen

from ..core.canonical import parse_json
from ..errors import ManifestError, RegistryAnswerError, RegistryLoginError
from ..ports import Credentials
from .address import RegistryAddress
from .wire import Wire

MAX_TOKEN = 64 * 1024
_LONGEST = 8192
_FIELD = re.compile(r'([a-zA-Z]+)="([^"\\]*)"')
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")


@frozen
class Login:
    """What is known of how to log in. *credentials* looks them up; *token_server* is the one the operator named."""

    credentials: Callable[[], Credentials] | None = None
    token_server: str | None = None

    def answer(self, challenge: str, address: RegistryAddress, wire: Wire, *, writes: bool) -> str:
        """Return the Authorization header that *challenge* asks for.

        Raises:
            RegistryLoginError: there are no credentials, or they are not accepted, or may not be sent.
            RegistryAnswerError: the challenge, or the token server's answer, cannot be used.
        """
        kind, _, rest = challenge[:_LONGEST].strip().partition(" ")
        match kind.lower():
            case "basic":
                if self.credentials is None:
                    raise RegistryLoginError(f"{address.host} wants a login", registry=address.host)
                return self._basic(address)
            case "bearer":
                return f"Bearer {self._token(dict(_FIELD.findall(rest)), address, wire, writes=writes)}"
            case _:
                raise RegistryAnswerError(
                    f"{address.host} wants a login of a kind that is not known here: {kind[:40]!r}",
                    registry=address.host,
                )

    def _token(self, fields: dict[str, str], address: RegistryAddress, wire: Wire, *, writes: bool) -> str:
        realm = self._realm(fields.get("realm", ""), address)
        asked = {"scope": f"repository:{address.name}:{'pull,push' if writes else 'pull'}"}
        if "service" in fields:
            asked["service"] = fields["service"]
        headers = {"Authorization": self._basic(address)} if self.credentials is not None else {}
        url = f"{realm}{'&' if urlsplit(realm).query else '?'}{urlencode(asked)}"
        with wire.send("GET", url, headers=headers) as answer:
            if answer.status != 200:
                raise self._refused(address, f"its token server says {answer.status}")
            data = answer.read(MAX_TOKEN)
        try:
            match parse_json(data, what="the token"):
                case {"token": str(token)} | {"access_token": str(token)} if _TOKEN.fullmatch(token):
                    return token
        except ManifestError:
            pass  # not chained: what cannot be read may hold a token
        raise RegistryAnswerError(
            f"the token server of {address.host} answered no token", registry=address.host
        ) from None

    def _realm(self, realm: str, address: RegistryAddress) -> str:
        """Return where the token is fetched, once it is a place to which credentials may go."""
        named, own = urlsplit(realm), urlsplit(address.origin)
        if "@" in named.netloc or not named.hostname:
            raise RegistryAnswerError(f"{address.host} names no token server that can be used", registry=address.host)
        if self.token_server is not None:
            if realm.split("?")[0] == self.token_server.split("?")[0]:
                return realm
        elif named.scheme == own.scheme and named.hostname == own.hostname:
            return realm
        shown = f"{named.scheme}://{named.netloc}{named.path}"[:200]
        raise RegistryLoginError(
            f"{address.host} wants our login sent to {shown}",
            registry=address.host,
            advice=f"If that is its token server, say so: --token-server {shown}",
        )

    def _basic(self, address: RegistryAddress) -> str:
        assert self.credentials is not None  # noqa: S101 - both who call it looked
        if address.plain and not address.is_loopback:
            raise RegistryLoginError(
                f"the login would go to {address.host} in the clear",
                registry=address.host,
                advice="Leave --plain-http out: a login is only sent over TLS, or to this machine itself.",
            )
        found = self.credentials()
        pair = f"{found.username}:{found.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"

    def _refused(self, address: RegistryAddress, why: str) -> RegistryLoginError:
        if self.credentials is None:
            return RegistryLoginError(f"{address.host} wants a login: {why}", registry=address.host)
        return RegistryLoginError(f"{address.host} does not accept the login: {why}", registry=address.host)
