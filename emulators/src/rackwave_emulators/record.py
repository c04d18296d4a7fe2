"""Recording a live BMC: every resource that its root leads to, read once, scrubbed and written to a file.

Only GETs are sent, beside the login and its end. Left out are what tells nothing about the BMC or is not to be
read lightly: schemas, entries of logs, sessions, task monitors (reading one may consume it, P09).
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets as chance
import ssl
import stat
import tomllib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from attrs import field, frozen

from rackwave.errors import RackwaveError, UsageError
from rackwave.ports import Credentials

from .redfish import paths
from .scrub import Scrubber
from .tree import Tree, links

_LIMIT = aiohttp.ClientTimeout(total=120.0, sock_connect=15.0, sock_read=60.0)
_AT_ONCE = 4  # BMCs are slow, and answer 503 when they are hurried
_BODY_LIMIT = 16 << 20
_LEFT_OUT = re.compile(
    r"(?i)(/JsonSchemas|/schemas/|/LogServices/[^/]+/Entries|/SessionService/Sessions|/TaskMonitors?/|/Monitor$"
    r"|/SubmitTestEvent|\$metadata|/SSE)"
)
_URIS = ("@odata.id", "@Redfish.ActionInfo", "Uri", "Members@odata.nextLink")


class RecordError(RackwaveError):
    """The BMC could not be recorded."""


@frozen
class Recording:
    """What to record and how. *most* is how many resources at the most; *ca* None trusts what the system trusts."""

    url: str
    credentials: Credentials = field(repr=False)
    ca: Path | None = None
    insecure_http: bool = False
    most: int = 5000
    name: str = ""
    key: bytes = field(factory=lambda: chance.token_bytes(32), repr=False)


def credentials_of(reference: str, environment: Mapping[str, str] = os.environ) -> Credentials:
    """Look up ``env:PREFIX`` (PREFIX_USERNAME, PREFIX_PASSWORD) or ``file:PATH`` (TOML: username, password).

    Raises:
        UsageError: it is no reference, or leads nowhere. No value is ever shown.
    """
    kind, _, rest = reference.partition(":")
    if kind == "env":
        username, password = environment.get(f"{rest}_USERNAME"), environment.get(f"{rest}_PASSWORD")
        where = f"{rest}_USERNAME and {rest}_PASSWORD"
    elif kind == "file":
        username, password = _from_file(Path(rest).expanduser())
        where = f"'username' and 'password' in {rest}"
    else:
        raise UsageError(
            "the credentials are no reference (what stands there is not shown)",
            advice="Write env:PREFIX or file:/path/credentials.toml.",
        )
    if not username or not password:
        raise UsageError(f"the credentials do not resolve: {where} are not both set")
    return Credentials(username, password)


async def record(what: Recording, *, progress: Callable[[int], None] = lambda _: None) -> Tree:
    """Walk a BMC and return what it says, scrubbed. *progress* hears how many resources have been read.

    Raises:
        RecordError: it cannot be reached, refuses the login or has no service root, or scrubbing left a trace.
        UsageError: the URL is none of a BMC.
    """
    parts = urlsplit(what.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError("the BMC's URL must begin with https://")
    if parts.scheme == "http" and not what.insecure_http:
        raise UsageError(
            "the BMC's URL is not encrypted, and the password would be read by anyone on its way",
            advice="Use https://, or allow it by --insecure-http.",
        )
    try:
        async with _session(what) as session:
            walk = _Walk(session, what.most, progress)
            await walk.run()
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        # The text of a client's error may quote a URL, but never the password: it went by header or body.
        raise RecordError(f"{what.url} cannot be recorded: {error or type(error).__name__}") from error
    return _scrubbed(what, walk)


class _Walk:
    """A walk over one service: breadth first, each path once, never to another origin."""

    def __init__(self, session: aiohttp.ClientSession, most: int, progress: Callable[[int], None]) -> None:
        self._session = session
        self._most = most
        self._progress = progress
        self._seen = {paths.ROOT}
        self.resources: dict[str, dict[str, Any]] = {}
        self.missing: dict[str, int] = {}
        self.left_out = 0

    async def run(self) -> None:
        """Read everything.

        Raises:
            RecordError: there is no service root.
        """
        left = [paths.ROOT]
        gate = asyncio.Semaphore(_AT_ONCE)
        while left and len(self.resources) < self._most:
            batch, left = left[: self._most - len(self.resources)], left[self._most - len(self.resources) :]
            found = await asyncio.gather(*(self._read(path, gate) for path in batch))
            for path, document in zip(batch, found, strict=True):
                if document is not None:
                    self.resources[path] = document
                    left += self._new(document)
            self._progress(len(self.resources))
        self.left_out += len(left)
        if paths.ROOT not in self.resources:
            raise RecordError(f"there is no Redfish service root (status {self.missing.get(paths.ROOT)})")

    def _new(self, document: Mapping[str, Any]) -> list[str]:
        found = []
        for uri in _uris(document):
            path = uri.partition("#")[0]
            if path.rstrip("/") in self._seen or not path.startswith("/redfish/"):
                continue
            self._seen.add(path.rstrip("/"))
            if _LEFT_OUT.search(path):
                self.left_out += 1
            else:
                found.append(path)
        return found

    async def _read(self, path: str, gate: asyncio.Semaphore) -> dict[str, Any] | None:
        async with gate:
            document = await self._get(path)
            page = document
            while page is not None and isinstance(following := page.get("Members@odata.nextLink"), str):
                self._seen.add(following)
                page = await self._get(following) if following.startswith("/redfish/") else None
                if page is not None and document is not None:
                    document["Members"] = [*document.get("Members", []), *page.get("Members", [])]
        if document is not None:
            document.pop("Members@odata.nextLink", None)
        return document

    async def _get(self, path: str) -> dict[str, Any] | None:
        async with self._session.get(path, allow_redirects=False) as answer:
            if answer.status != 200:
                self.missing[path] = answer.status
                return None
            raw = await answer.content.read(_BODY_LIMIT + 1)
            while len(raw) <= _BODY_LIMIT and (more := await answer.content.read(_BODY_LIMIT)):
                raw += more
        try:
            document = json.loads(raw) if len(raw) <= _BODY_LIMIT else None
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            self.missing[path] = 200
            return None
        return document


@asynccontextmanager
async def _session(what: Recording) -> AsyncIterator[aiohttp.ClientSession]:
    """Log in for as long as the block lasts; a service without sessions gets the password with each request."""
    parts = urlsplit(what.url)
    trust = ssl.create_default_context(cafile=what.ca)
    async with aiohttp.ClientSession(
        f"{parts.scheme}://{parts.netloc}",
        connector=aiohttp.TCPConnector(ssl=trust, limit=_AT_ONCE),
        timeout=_LIMIT,
        headers={"OData-Version": "4.0", "Accept": "application/json"},
    ) as session:
        body = {"UserName": what.credentials.username, "Password": what.credentials.password}
        async with session.post(paths.SESSIONS, json=body) as answer:
            token, where = answer.headers.get("X-Auth-Token"), answer.headers.get("Location")
            if answer.status in (401, 403):
                raise RecordError(f"{what.url} refuses the login (status {answer.status})")
        if token is not None:
            session.headers["X-Auth-Token"] = token
        else:
            basic = aiohttp.encode_basic_auth(what.credentials.username, what.credentials.password)
            session.headers["Authorization"] = basic
        try:
            yield session
        finally:
            if token is not None and where is not None:
                async with session.delete(urlsplit(where).path):
                    pass


def _scrubbed(what: Recording, walk: _Walk) -> Tree:
    host = urlsplit(what.url).hostname or ""
    scrubber = Scrubber(what.key)
    # Who recorded, and at which address, may stand in the tree, too; a property of that kind makes them known.
    context = {"HostName": host, "UserName": what.credentials.username, "Password": what.credentials.password}
    told = scrubber.scrub({**walk.resources, "": {"context": context, "missing": dict(sorted(walk.missing.items()))}})
    missing = told.pop("")["missing"]
    root = told[paths.ROOT]
    meta = {
        "name": what.name or str(root.get("Product") or root.get("Vendor") or "recording"),
        "recorded": datetime.now(UTC).date().isoformat(),
        "scrubbed": True,
        "missing": missing,
        "left_out": walk.left_out,
    }
    tree = Tree(str(meta["name"]), meta, told)
    text = json.dumps({"meta": meta, "resources": told})
    if traces := scrubber.leaks(text):
        raise RecordError(f"scrubbing left {len(traces)} traces, nothing was written")
    return tree


def _uris(value: object) -> list[str]:
    """Every URI in *value* by which a service leads on."""
    found = list(links(value))
    stack = [value]
    while stack:
        match stack.pop():
            case Mapping() as inner:
                found += [uri for name in _URIS[1:] if isinstance(uri := inner.get(name), str)]
                stack += list(inner.values())
            case list() as inner:
                stack += inner
    return found


def _from_file(path: Path) -> tuple[str | None, str | None]:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise UsageError(f"{path} can be read by others than its owner", advice=f"Run: chmod 600 {path}")
            told = tomllib.loads(file.read().decode())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        # Not chained: the parser's message quotes the text.
        raise UsageError(f"{path} is not TOML", advice='Write username = "…" and password = "…".') from None
    username, password = told.get("username"), told.get("password")
    return username if isinstance(username, str) else None, password if isinstance(password, str) else None
