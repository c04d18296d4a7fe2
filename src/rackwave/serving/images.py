"""The image server that BMCs pull from, as the orchestrator sees it; the serving is done by ``child.py``.

    server = ImageServerProcess(directory, config, clock=clock, bmc_hosts={node: "10.0.1.7"})
    await server.start()
    url = await server.grant(node=..., attempt=..., digest=..., path=..., file_name="bios.bin")
    ...
    await server.fetched(node=..., attempt=..., digest=...)
    await server.stop()

The child and with it every grant lasts as long as this process and no longer; the fetch log
(``fetches.log``) lasts. A child that died is started again by the next grant, on the same port, so
that URLs given before are good again. It dies also with the *thread* that started it (that is how
Linux signals a parent's death), so start it from the thread that owns the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import os
import re
import secrets
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import rackwave

from ..core.event import ImageFetched
from ..core.identity import AttemptId, Digest, NodeName
from ..errors import StateError, UsageError
from ..ports import Clock, Fetch, Knocked
from .config import ServingConfig, split_address
from .doors import door_path
from .fetches import FetchReader
from .grants import Grant

OnFetch: TypeAlias = Callable[[ImageFetched], Awaitable[None]]

INSTALLATION = "installation"
FETCH_LOG = "fetches.log"
"""The fetch log's name in the image server's directory."""

_START_SECONDS = 30.0  # the child is up in 0.3 s; a machine under full load has needed ten times that
_STOP_SECONDS = 5.0  # it ends at once; this is for a disk that hangs in its last line of log


class ImageServerProcess:
    """Implements ``ports.ImageServer``. All of it belongs to one event loop.

    Args:
        directory: Where the fetch log, our own certificate and the child's error output lie.
        config: How to listen and what to advertise.
        clock: Dates the ends of grants. The child compares them with the real time.
        bmc_hosts: The host part of every node's BMC address: decides from where it reaches us.
        on_fetch: Called with every fetch when it ends, so that the journal gets it.
    """

    def __init__(
        self,
        directory: Path,
        config: ServingConfig,
        *,
        clock: Clock,
        bmc_hosts: Mapping[NodeName, str],
        on_fetch: OnFetch | None = None,
    ) -> None:
        self._directory = directory
        self._config = config
        self._clock = clock
        self._on_fetch = on_fetch
        self._bmc_hosts = dict(bmc_hosts)
        self._ours: dict[NodeName, str] = {}
        self._host, self._port = split_address(config.listen) if config.listen else ("", 0)
        self._key = secrets.token_bytes(32)
        self._log = directory / FETCH_LOG
        self._reader = FetchReader(self._log)
        self._certificate: Path | None = None
        self._child: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self._grants: dict[Grant, None] = {}
        self._doors: dict[NodeName, Knocked] = {}
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._number = 0
        self._starting = asyncio.Lock()
        self._failure: BaseException | None = None

    @property
    def certificate(self) -> Path | None:
        """What a BMC has to trust to pull from us; None before the start and with plain http."""
        return self._certificate

    @property
    def fetch_log(self) -> Path:
        """Where every fetch is written down."""
        return self._log

    def base_url(self, node: NodeName) -> str:
        """The scheme, host and port under which *node*'s BMC reaches us, once started."""
        scheme = "http" if self._config.plain_http else "https"
        host, port = self._config.advertised()
        if not host:
            anywhere = ipaddress.ip_address(self._host).is_unspecified
            host = self._ours.get(node, self._host) if anywhere else self._host
        host = f"[{host}]" if ":" in host else host
        return f"{scheme}://{host}:{port or self._port}"

    async def start(self) -> None:
        """Start the child; return once it listens. Does nothing while it runs.

        Raises:
            StateError: it cannot listen there, or the certificate cannot be used.
        """
        async with self._starting:
            if self._child is None or self._child.returncode is not None:
                if self._listening is not None:
                    await self._listening  # what waits for the dead one's word is not mistaken for the next one's
                await self._launch()

    async def stop(self) -> None:
        """End the child and every transfer under way. The fetch log says how far each came."""
        child, self._child = self._child, None
        if child is None:
            return
        if child.stdin is not None:
            child.stdin.close()
        try:
            await asyncio.wait_for(child.wait(), _STOP_SECONDS)
        except TimeoutError:
            child.kill()
            await child.wait()
        if self._listening is not None:
            await self._listening
        self._raise_failure()

    async def grant(self, *, node: NodeName, attempt: AttemptId, digest: Digest, path: Path, file_name: str) -> str:
        """Return a URL under which *node*'s BMC may fetch the file until the grant runs out.

        Raises:
            UsageError: *file_name* is no bare file name.
            StateError: the child cannot be started, or an earlier fetch could not be journalled.
        """
        if not file_name or "/" in file_name or "\0" in file_name or file_name in (".", ".."):
            raise UsageError(f"{file_name!r} is not a file name that an image can be served under.")
        if not Path(file_name).suffix:
            file_name += ".bin"  # BMCs tell the kind of an image by its extension
        await self.start()
        self._raise_failure()
        path, size = await asyncio.to_thread(_found, path)
        now = self._clock.now()
        grant = Grant(
            node=str(node),
            attempt=str(attempt),
            digest=str(digest),
            path=str(path),
            file_name=file_name,
            size=size,
            expires=int(now + self._config.lifetime),
        )
        self._grants = {other: None for other in self._grants if other.expires > now}
        self._grants[grant] = None
        await self._tell({"grant": grant.document()})
        return self.base_url(node) + grant.url_path(self._key)

    async def revoke(self, *, node: NodeName, attempt: AttemptId, digest: Digest) -> None:
        """End every grant of this attempt; once this returns no fetch begins that ``fetched`` does not know.

        A transfer under way goes on. Grants of another process are not reached: they end with it.
        """
        which = {"node": str(node), "attempt": str(attempt), "digest": str(digest)}
        ended = [grant for grant in self._grants if (grant.node, grant.attempt, grant.digest) == (*which.values(),)]
        for grant in ended:
            del self._grants[grant]
        if ended and self._child is not None and self._child.returncode is None:
            try:
                await self._tell({"revoke": which})
            except StateError:
                if self._child is not None and self._child.returncode is None:
                    raise  # else it is dead, and its grants with it

    @property
    def installation(self) -> str:
        """What tells this installation from others: drawn once, and kept beside the fetch log."""
        path = self._directory / INSTALLATION
        try:
            known = path.read_text("utf-8").strip()
        except (FileNotFoundError, UnicodeDecodeError):
            known = ""
        if not re.fullmatch(r"[0-9a-f]{12}", known):
            known = secrets.token_hex(6)
            self._directory.mkdir(parents=True, exist_ok=True)
            path.write_text(known, "utf-8")
        return known

    async def open_door(self, node: NodeName, knocked: Knocked) -> str:
        """Return a URL at which *node*'s BMC may tell of news; *knocked* is called with what it sends.

        Raises:
            StateError: the child cannot be started.
        """
        await self.start()
        self._doors[node] = knocked
        await self._tell({"door": node})
        return f"{self.base_url(node)}{door_path(node, self._key)}"

    async def shut_door(self, node: NodeName) -> None:
        """Take no more news from *node*."""
        if self._doors.pop(node, None) is not None and self._child is not None and self._child.returncode is None:
            with contextlib.suppress(StateError):  # it is dead, and its doors with it
                await self._tell({"shut": node})

    async def fetched(self, *, node: NodeName, attempt: AttemptId, digest: Digest) -> Fetch:
        """Return what was fetched under the grants of this attempt, by this process or one before it.

        It is never too little: ``fetch_log.py`` says what counts as sent. *size* is 0 where nothing
        was fetched.

        Raises:
            StateError: the fetch log cannot be read.
        """
        return await asyncio.to_thread(self._reader.fetched, node, attempt, digest)

    async def _launch(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(self._look_around)
        cert, key = self._tls()
        with (self._directory / "images.log").open("ab") as errors:
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "rackwave.serving.child"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=_environment(),
            )
        first = {
            "key": self._key.hex(),
            "host": self._host,
            "port": self._port,
            "log": str(self._log),
            "cert_file": cert,
            "key_file": key,
        }
        _write(child, first)
        try:
            answer = await asyncio.wait_for(_read(child), _START_SECONDS)
        except TimeoutError:
            answer = {}
        if "ready" not in answer:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
            why = answer.get("error", f"see {self._directory / 'images.log'}")
            raise StateError(
                f"The image server cannot serve on {self._host} port {self._port}: {why}.",
                advice="Choose another address in [serving] listen, or end the program that has this one.",
            )
        self._port = int(answer["ready"])
        self._child = child
        self._listening = asyncio.create_task(self._listen(child))
        for grant in tuple(self._grants):
            await self._tell({"grant": grant.document()})
        for node in tuple(self._doors):
            await self._tell({"door": node})

    def _look_around(self) -> None:
        """Find out from where each BMC is reached; blocks where that takes the name service."""
        self._ours = {node: local_address(host) for node, host in self._bmc_hosts.items()}
        self._host = self._host or _widest(self._ours.values())

    def _tls(self) -> tuple[str, str]:
        if self._config.plain_http:
            return "", ""
        cert, key = self._config.cert, self._config.key
        if cert is None or key is None:
            from .certificate import own_certificate  # costs 60 ms, which a configured one saves

            hosts = {"localhost", "127.0.0.1", self._config.advertised()[0], *self._ours.values()} - {""}
            cert, key = own_certificate(self._directory, hosts, self._clock.now())
        for file in (cert, key):
            if not file.is_file():
                raise StateError(f"There is no {file}.", advice="Check 'cert' and 'key' under [serving].")
        self._certificate = cert
        return str(cert.absolute()), str(key.absolute())

    async def _tell(self, order: Mapping[str, Any]) -> None:
        """Give the child an order; return once it is carried out."""
        child = self._child
        if child is None:
            raise StateError("The image server was stopped.")
        if self._listening is None or self._listening.done():
            raise _ended(self._directory)  # nobody would hear the answer
        self._number += 1
        number = self._number
        known: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[number] = known
        try:
            _write(child, {"number": number, **order})
            await known
        finally:
            self._waiting.pop(number, None)

    async def _listen(self, child: asyncio.subprocess.Process) -> None:
        """Take what the child says until it ends."""
        while line := await _read(child):
            if "done" in line:
                known = self._waiting.get(line["done"])
                if known is not None and not known.done():
                    known.set_result(None)
            elif "knocked" in line:
                knocked = self._doors.get(NodeName(line["knocked"]))
                if knocked is not None:
                    knocked(line["told"])
            elif "fetched" in line and self._on_fetch is not None:
                await self._report(line["fetched"])
        await child.wait()
        for known in self._waiting.values():
            if not known.done():
                known.set_exception(_ended(self._directory))

    async def _report(self, fetch: Mapping[str, Any]) -> None:
        assert self._on_fetch is not None  # noqa: S101 - asked by the only caller
        event = ImageFetched(
            NodeName(fetch["node"]), AttemptId(fetch["attempt"]), Digest(fetch["digest"]), fetch["sent"], fetch["size"]
        )
        try:
            await self._on_fetch(event)
        except Exception as error:  # noqa: BLE001 - raised by the next grant() or stop(); this task must go on
            self._failure = self._failure or error

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure


def _ended(directory: Path) -> StateError:
    return StateError(
        f"The image server ended unexpectedly; see {directory / 'images.log'}.",
        advice="Run the command again; it goes on from the journal.",
    )


def local_address(host: str) -> str:
    """The local address from which *host* is reached; nothing is sent. 127.0.0.1 where there is no way."""
    for *_, target in _lookup(host):
        family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
            probe.connect(target)
            return str(probe.getsockname()[0]).partition("%")[0]
    return "127.0.0.1"


def _found(path: Path) -> tuple[Path, int]:
    """The absolute path and size of an image."""
    try:
        return path.absolute(), path.stat().st_size
    except OSError as error:
        raise StateError(
            f"The image {path} cannot be read: {error.strerror}.", advice="Run 'rackwave bundle verify'."
        ) from error


def _lookup(host: str) -> list[Any]:
    try:
        return socket.getaddrinfo(host.removeprefix("[").removesuffix("]"), 443, type=socket.SOCK_DGRAM)
    except OSError:
        return []


def _widest(addresses: Iterable[str]) -> str:
    """The address to listen on so that every one of *addresses* is served."""
    found = {ipaddress.ip_address(address) for address in addresses}
    if all(address.is_loopback and address.version == 4 for address in found):
        return "127.0.0.1"
    return "::" if any(address.version == 6 for address in found) else "0.0.0.0"  # noqa: S104 - BMCs must reach it


def _environment() -> dict[str, str]:
    """Ours, with the place that this very package was imported from in front."""
    root = str(Path(rackwave.__file__).parent.parent)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))}


def _write(child: asyncio.subprocess.Process, line: Mapping[str, Any]) -> None:
    assert child.stdin is not None  # noqa: S101 - a pipe by construction
    child.stdin.write(json.dumps(line).encode() + b"\n")


async def _read(child: asyncio.subprocess.Process) -> dict[str, Any]:
    """The next line of the child; empty once it has ended."""
    assert child.stdout is not None  # noqa: S101 - a pipe by construction
    line = await child.stdout.readline()
    answer: dict[str, Any] = json.loads(line) if line.endswith(b"\n") else {}
    return answer
