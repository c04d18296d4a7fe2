"""The image server's process: ``python -m rackwave.serving.child``, started by ``images.py`` alone.

It speaks JSON lines. On stdin come first its configuration, then orders (grant, revoke, door, shut); on
stdout go ``ready``, an acknowledgement for each order, the end of each fetch and each knock at a door.
When stdin ends, or the parent dies, it ends at once. The key that signs tokens comes over the pipe, so
that no command line shows it.

It runs apart because granian wants an event loop's whole attention while gigabytes flow, and because
a fault in it must not take the orchestrator along.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import resource
import secrets
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.server.embed import Server
from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.types import Message, Receive, Scope, Send

from .doors import Doors, door_token
from .fetch_log import FetchLog
from .grants import Asked, Grant, parse_path

# 64 KiB pieces reach 460 MB/s on one core and hold about 1 MiB a slow client (measured with granian
# 2.8.7); 256 KiB reach 1.5 GB/s and hold four times that. Hundreds of BMCs pull at 1-10 MB/s each.
_CHUNK = 64 * 1024
# Transfers at a time; granian's default of 1,024 made fast clients wait for slow ones. Each holds two
# file descriptors.
_TRANSFERS = 4096
_PR_SET_PDEATHSIG = 1


class ImageApp:
    """The ASGI application: checks the token, logs, sends. It holds the grants of this process's life."""

    def __init__(self, key: bytes, log: FetchLog) -> None:
        self._key = key
        self._log = log
        self._grants: dict[tuple[str, str], tuple[Grant, ...]] = {}
        self._revoked: set[Grant] = set()
        self._running: dict[str, _Transfer] = {}
        self._doors = Doors(lambda node, told: _say({"knocked": node, "told": told}))

    def open_door(self, node: str) -> None:
        """Let *node*'s BMC tell that it has news."""
        self._doors.open(door_token(node, self._key), node)

    def shut_door(self, node: str) -> None:
        """Let it tell nothing any more."""
        self._doors.shut(node)

    def add(self, grant: Grant) -> None:
        """From now on *grant* may be used. Ones that have run out are forgotten."""
        now = time.time()
        place = (grant.attempt, grant.file_name)
        live = tuple(other for other in self._grants.get(place, ()) if other.expires > now and other != grant)
        self._grants[place] = (*live, grant)
        self._revoked = {other for other in self._revoked if other.expires > now and other != grant}

    def revoke(self, node: str, attempt: str, digest: str) -> None:
        """Let nobody begin to fetch under this attempt's grants; what is under way goes on."""
        for grant in (grant for granted in self._grants.values() for grant in granted):
            if (grant.node, grant.attempt, grant.digest) == (node, attempt, digest):
                self._revoked.add(grant)

    def end_all(self) -> None:
        """Log the end of every transfer that is under way; nothing more is sent after this."""
        for transfer in tuple(self._running.values()):
            self._end(transfer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if Doors.is_one(scope):
            await self._doors(scope, receive, send)
            return
        asked = parse_path(scope["path"])
        if scope["method"] not in ("GET", "HEAD") or scope["query_string"] or asked is None:
            await Response(status_code=404)(scope, receive, send)
            return
        grant = self._find(asked)
        if grant is None:
            await Response(status_code=404)(scope, receive, send)
        elif grant.expires <= time.time() or grant in self._revoked:
            await Response(status_code=410)(scope, receive, send)
        else:
            await self._serve(grant, scope, receive, send)

    def _find(self, asked: Asked) -> Grant | None:
        granted = self._grants.get((asked.attempt, asked.file_name), ())
        return next((grant for grant in granted if asked.is_for(grant, self._key)), None)

    async def _serve(self, grant: Grant, scope: Scope, receive: Receive, send: Send) -> None:
        etag = f'"{grant.digest}"'
        try:
            found = await asyncio.to_thread(Path(grant.path).stat)
        except OSError:
            await Response(status_code=404)(scope, receive, send)
            return
        response: Response
        if _matches(Headers(scope=scope).get("if-none-match"), etag):
            response = Response(status_code=304, headers={"etag": etag})
        else:
            response = FileResponse(
                grant.path, stat_result=found, media_type="application/octet-stream", headers={"etag": etag}
            )
            response.chunk_size = _CHUNK
        # granian's pathsend would be faster, but says nothing of how much was taken.
        scope["extensions"] = {}
        transfer = _Transfer(grant, scope)

        async def logged(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self._begin(transfer, message)
            await send(message)
            if transfer.length:
                transfer.sent += len(message.get("body", b""))

        try:
            await response(scope, receive, logged)
        except _RevokedError:
            await Response(status_code=410)(scope, receive, send)
        finally:
            self._end(transfer)

    async def _begin(self, transfer: _Transfer, message: Message) -> None:
        transfer.status = int(message["status"])
        if transfer.status == 304:
            transfer.sent = transfer.grant.size
        elif transfer.status in (200, 206) and transfer.method == "GET":
            lengths = [value for name, value in message["headers"] if name.lower() == b"content-length"]
            transfer.length = int(lengths[0]) if lengths else transfer.grant.size
        self._running[transfer.id] = transfer
        await asyncio.to_thread(self._log.begin, transfer.begun())
        # Asked again, since a revocation may have been acknowledged while we waited for the disk: who
        # then read the log may have found nothing in it, and relies on nothing being sent.
        if transfer.grant in self._revoked:
            transfer.sent = 0
            raise _RevokedError

    def _end(self, transfer: _Transfer) -> None:
        if self._running.pop(transfer.id, None) is not None:
            line = transfer.ended()
            self._log.end(line)
            _say({"fetched": line})


class _RevokedError(Exception):
    """The grant ended before the first byte was sent."""


class _Transfer:
    """One answer under way."""

    def __init__(self, grant: Grant, scope: Scope) -> None:
        self.id = secrets.token_hex(8)
        self.grant = grant
        self.method: str = scope["method"]
        self.peer = (scope.get("client") or ("",))[0]
        self.range = Headers(scope=scope).get("range", "")[:100]
        self.status = 0
        self.length = 0
        self.sent = 0

    def begun(self) -> dict[str, Any]:
        """The line that is on disk before the answer starts."""
        return self._line() | {
            "file": self.grant.file_name,
            "method": self.method,
            "status": self.status,
            "range": self.range,
            "peer": self.peer,
            "length": self.length,
        }

    def ended(self) -> dict[str, Any]:
        """The line that says how much was sent."""
        return self._line() | {"sent": self.sent}

    def _line(self) -> dict[str, Any]:
        return {
            "fetch": self.id,
            "at": round(time.time(), 3),
            "node": self.grant.node,
            "attempt": self.grant.attempt,
            "digest": self.grant.digest,
            "size": self.grant.size,
        }


def _matches(header: str | None, etag: str) -> bool:
    """Whether an If-None-Match header names *etag* (RFC 9110, 13.1.2: compared weakly)."""
    if header is None:
        return False
    return any(tag.strip().removeprefix("W/") in ("*", etag) for tag in header.split(","))


def _say(line: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):  # the parent is gone: the end of stdin is next
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def _claim(host: str, port: int) -> socket.socket:
    """Bind the port for ourselves alone and keep it, without listening.

    granian binds with SO_REUSEPORT, so that two servers on one port would share its requests and
    each answer half of the other's with 404. Whoever claims first refuses that to everybody; the
    option is set afterwards, for granian's own socket.
    """
    claim = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    if port:
        claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    claim.bind((host, port))
    claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return claim


async def _wait_until_listening(host: str, port: int) -> None:
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - a comparison, nothing is bound
    while True:
        try:
            _, writer = await asyncio.open_connection(target, port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.005)
        else:
            writer.close()
            return


async def _obey(app: ImageApp) -> None:
    """Take grants and revocations from stdin until it ends."""
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        order = json.loads(line)
        match order:
            case {"grant": grant}:
                app.add(Grant(**grant))
            case {"revoke": which}:
                app.revoke(**which)
            case {"door": node}:
                app.open_door(node)
            case {"shut": node}:
                app.shut_door(node)
        _say({"done": order["number"]})


async def _run(config: dict[str, Any]) -> None:
    app = ImageApp(bytes.fromhex(config["key"]), FetchLog(Path(config["log"])))
    with _claim(config["host"], config["port"]) as claim:
        port = claim.getsockname()[1]
        server = Server(
            app,
            address=config["host"],
            port=port,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            websockets=False,
            backpressure=_TRANSFERS,
            backlog=1024,
            log_enabled=False,
            ssl_cert=Path(config["cert_file"]) if config["cert_file"] else None,
            ssl_key=Path(config["key_file"]) if config["key_file"] else None,
            ssl_protocol_min=SSLProtocols.tls12,
        )
        serving = asyncio.create_task(server.serve())
        listening = asyncio.create_task(_wait_until_listening(config["host"], port))
        await asyncio.wait({serving, listening}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
        _say({"ready": port})
        await asyncio.wait({serving, asyncio.create_task(_obey(app))}, return_when=asyncio.FIRST_COMPLETED)
        app.end_all()
        # At once: a tidy end would go on sending what the log has just called ended.
        os._exit(0)


def main() -> None:
    """Serve until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to act on
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    line = _first_line()
    if not line:
        return  # the parent died before the line above could tell us
    try:
        asyncio.run(_run(json.loads(line)))
    except OSError as error:
        _say({"error": error.strerror or str(error)})


def _first_line() -> bytes:
    """Read stdin up to the first newline and not a byte further: the rest is for the event loop."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return b""
        line += byte
    return line


if __name__ == "__main__":
    main()
