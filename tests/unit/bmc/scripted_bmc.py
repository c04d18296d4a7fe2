"""A BMC that says exactly what a test tells it, odd bytes included: for what no honest emulator would send."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from attrs import define, field, frozen

from rackwave.bmc.redfish.bmc import RedfishBmc
from rackwave.bmc.redfish.transport import Timeouts
from rackwave.bmc.redfish.trust import PlainHttp, TlsTrust
from rackwave.core.identity import NodeName
from rackwave.ports import Credentials

ROOT = {
    "Links": {"Sessions": {"@odata.id": "/redfish/v1/SessionService/Sessions"}},
    "Systems": {"@odata.id": "/redfish/v1/Systems"},
    "Managers": {"@odata.id": "/redfish/v1/Managers"},
    "UpdateService": {"@odata.id": "/redfish/v1/UpdateService"},
    "Tasks": {"@odata.id": "/redfish/v1/TaskService"},
    "Registries": {"@odata.id": "/redfish/v1/Registries"},
}
SESSIONS = "/redfish/v1/SessionService/Sessions"
SYSTEM = "/redfish/v1/Systems/1"
RESET = f"{SYSTEM}/Actions/ComputerSystem.Reset"
MANAGER = "/redfish/v1/Managers/bmc"
INVENTORY = "/redfish/v1/UpdateService/FirmwareInventory"
UPDATE = "/redfish/v1/UpdateService/Actions/UpdateService.SimpleUpdate"
TASKS = "/redfish/v1/TaskService/Tasks"


def collection(*uris: str) -> dict[str, Any]:
    """A collection of one page."""
    return {"Members": [{"@odata.id": uri} for uri in uris]}


def documents() -> dict[str, Any]:
    """A small service in good order; tests change what they are about."""
    return {
        "/redfish/v1/": ROOT,
        "/redfish/v1/Systems": collection(SYSTEM),
        SYSTEM: {
            "Id": "1",
            "PowerState": "On",
            "BootProgress": {"LastState": "OSRunning"},
            "Status": {"State": "Enabled", "Health": "OK"},
            "LastResetTime": "2026-01-01T00:00:00Z",
            "Manufacturer": "Acme",
            "Model": "A1",
            "SerialNumber": "S1",
            "Bios": {"@odata.id": f"{SYSTEM}/Bios"},
            "Actions": {
                "#ComputerSystem.Reset": {
                    "target": RESET,
                    "ResetType@Redfish.AllowableValues": ["On", "ForceOff", "ForceRestart"],
                }
            },
            "Links": {"ManagedBy": [{"@odata.id": MANAGER}]},
        },
        "/redfish/v1/Managers": collection(MANAGER),
        MANAGER: {
            "LastResetTime": "2025-12-31T00:00:00Z",
            "DateTime": "2026-01-01T00:00:00Z",
            "Actions": {"#Manager.Reset": {"target": f"{MANAGER}/Actions/Manager.Reset"}},
        },
        "/redfish/v1/UpdateService": {
            "FirmwareInventory": {"@odata.id": INVENTORY},
            "Actions": {"#UpdateService.SimpleUpdate": {"target": UPDATE}},
            "MultipartHttpPushUri": "/redfish/v1/UpdateService/upload",
        },
        INVENTORY: collection(f"{INVENTORY}/BMC", f"{INVENTORY}/BIOS"),
        f"{INVENTORY}/BIOS": {"Id": "BIOS", "Version": "1.0"},
        f"{INVENTORY}/BMC": {"Id": "BMC", "Version": "7.0"},
        "/redfish/v1/TaskService": {"Tasks": {"@odata.id": TASKS}},
        TASKS: collection(),
    }


@frozen
class Request:
    """What arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


@frozen
class Reply:
    """What is sent. *raw* replaces everything else; *drop* closes instead; *hang* never answers."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(factory=dict)
    raw: bytes | None = None
    drop: bool = False
    hang: bool = False
    close: bool = False

    def bytes(self) -> bytes:
        """The reply on the wire."""
        if self.raw is not None:
            return self.raw
        body = (
            self.body if isinstance(self.body, bytes) else b"" if self.body is None else json.dumps(self.body).encode()
        )
        head = [f"HTTP/1.1 {self.status} Scripted", f"Content-Length: {len(body)}"]
        head += [f"{name}: {value}" for name, value in self.headers.items()]
        return ("\r\n".join(head) + "\r\n\r\n").encode() + body


DROP = Reply(drop=True)


@define
class ScriptedBmc:
    """A server on loopback. *script* holds replies by ``"GET /path"``, each used once, in order; then documents."""

    documents: dict[str, Any] = field(factory=documents)
    script: dict[str, list[Reply]] = field(factory=dict)
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(factory=list)
    connections: int = 0
    tokens: dict[str, str] = field(factory=dict)
    logins: int = 0
    url: str = ""
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(factory=set)

    def on(self, request: str, *replies: Reply) -> Self:
        """Add to the script."""
        self.script.setdefault(request, []).extend(replies)
        return self

    def seen(self, prefix: str = "") -> list[str]:
        """``METHOD /path`` of every request that begins so."""
        found = [f"{request.method} {request.path}" for request in self.requests]
        return [line for line in found if line.startswith(prefix)]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._writers):
            writer.close()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            while (request := await _read(reader)) is not None:
                self.requests.append(request)
                reply = self._reply(request)
                if reply.hang:
                    await asyncio.sleep(60)
                if reply.drop:
                    break
                writer.write(reply.bytes())
                await writer.drain()
                if reply.close or reply.raw is not None:
                    break
        self._writers.discard(writer)
        writer.close()

    def _reply(self, request: Request) -> Reply:
        scripted = self.script.get(f"{request.method} {request.path}")
        if scripted:
            return scripted.pop(0)
        if request.method == "POST" and request.path == SESSIONS:
            self.logins += 1
            token, uri = f"token-{self.logins}", f"{SESSIONS}/{self.logins}"
            self.tokens[token] = uri
            return Reply(201, {"@odata.id": uri}, {"X-Auth-Token": token, "Location": uri})
        if request.path != "/redfish/v1/" and request.headers.get("x-auth-token") not in self.tokens:
            return Reply(401, {"error": {"message": "who are you?"}})
        if request.method == "DELETE":
            gone = [token for token, uri in self.tokens.items() if uri == request.path]
            for token in gone:
                del self.tokens[token]
            return Reply(204 if gone else 404)
        if request.method == "GET" and request.path in self.tokens.values() and request.path not in self.documents:
            return Reply(200, {"UserName": "admin"})
        if request.method == "GET" and request.path in self.documents:
            found = self.documents[request.path]
            return found if isinstance(found, Reply) else Reply(200, found)
        if request.method == "POST" and "/Actions/" in request.path:
            return Reply(204)
        return Reply(404, {"error": {"message": "no such thing"}})


async def _read(reader: asyncio.StreamReader) -> Request | None:
    line = await reader.readline()
    if not line:
        return None
    method, path, _ = line.decode().split(" ", 2)
    headers: dict[str, str] = {}
    while (line := await reader.readline()).strip():
        name, _, value = line.decode().partition(":")
        headers[name.strip().lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, path, headers, body)


@define
class HandClock:
    """Time that passes only by sleeping, at once."""

    at: float = 1_800_000_000.0
    slept: list[float] = field(factory=list)

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds
        await asyncio.sleep(0)


QUICK = Timeouts(connect=2.0, read=2.0, upload=5.0, retry=20.0, login=60.0)


def client(
    server: ScriptedBmc,
    *,
    clock: HandClock | None = None,
    password: str = "password",  # noqa: S107 - the script accepts any
    trust: TlsTrust | None = None,
    timeouts: Timeouts = QUICK,
    **more: Any,
) -> RedfishBmc:
    """A client for *server*."""
    return RedfishBmc(
        NodeName("n1"),
        server.url,
        lambda: Credentials("admin", password),
        clock=clock or HandClock(),
        trust=trust or PlainHttp(),
        timeouts=timeouts,
        **more,
    )
