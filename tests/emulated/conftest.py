"""What the tests on emulated BMCs share: a raw client, a server for images, and a way to play a scenario."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import pytest
from aiohttp import web
from attrs import frozen

from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.images import make_image
from rackwave_emulators.lab import Lab
from rackwave_emulators.redfish.station import Station

ROOT = "/redfish/v1"
SESSIONS = f"{ROOT}/SessionService/Sessions"
UPDATE_SERVICE = f"{ROOT}/UpdateService"
BIOS = f"{UPDATE_SERVICE}/FirmwareInventory/BIOS"


@frozen
class Told:
    """What a BMC answered."""

    status: int
    headers: Mapping[str, str]
    body: Any


class RawClient:
    """A client with no opinion: one kept-alive connection, TLS verified against the lab's CA, nothing repeated."""

    def __init__(self, lab: Lab, name: str = "r1n01", *, basic: str = "") -> None:
        self.station: Station = lab[name]
        trust = ssl.create_default_context(cafile=str(lab.ca)) if lab.ca else False
        headers = {"Authorization": f"Basic {base64.b64encode(basic.encode()).decode()}"} if basic else {}
        self._session = aiohttp.ClientSession(
            self.station.url, connector=aiohttp.TCPConnector(ssl=trust, limit=1), headers=headers
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    async def ask(self, method: str, path: str, **options: Any) -> Told:
        """Send one request."""
        async with self._session.request(method, path, allow_redirects=False, **options) as answer:
            raw = await answer.read()
            is_json = answer.content_type == "application/json" and raw
            return Told(answer.status, answer.headers, await answer.json() if is_json else raw)

    async def get(self, path: str) -> Any:
        """Return the resource at *path*, which must be there."""
        told = await self.ask("GET", path)
        assert told.status == 200, told
        return told.body

    async def log_in(self, username: str = "admin", password: str = "password") -> Told:  # noqa: S107 - the lab's
        """Open a session and use it from now on."""
        told = await self.ask("POST", SESSIONS, json={"UserName": username, "Password": password})
        if "X-Auth-Token" in told.headers:
            self._session.headers["X-Auth-Token"] = told.headers["X-Auth-Token"]
        return told

    async def simple_update(self, url: str, target: str | None = BIOS) -> Told:
        """Have the BMC fetch *url*."""
        body = {"ImageURI": url, "TransferProtocol": "HTTP", **({"Targets": [target]} if target else {})}
        return await self.ask("POST", f"{UPDATE_SERVICE}/Actions/UpdateService.SimpleUpdate", json=body)

    async def reset_host(self, kind: str = "ForceRestart") -> Told:
        """Reset the one system."""
        path = f"{ROOT}/Systems/{self.station.system_id}/Actions/ComputerSystem.Reset"
        return await self.ask("POST", path, json={"ResetType": kind})

    async def bios_version(self) -> Any:
        """Return what the inventory says about BIOS."""
        return (await self.get(BIOS))["Version"]


class ImageServer:
    """Serves a directory of images on loopback."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.base = ""
        self.peers: list[str] = []

    def url(self, name: str) -> str:
        """Where the image called *name* is."""
        return f"{self.base}/{name}"

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Self]:
        async def send(request: web.Request) -> web.StreamResponse:
            self.peers.append(request.remote or "")
            path = self.directory / Path(request.path).name
            if not path.is_file():
                raise web.HTTPNotFound
            return web.FileResponse(path)

        application = web.Application()
        application.router.add_get("/{path:.*}", send)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()


Scenario = Callable[[Lab, VirtualClock], Awaitable[None]]


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., None]:
    """Play a scenario against a lab whose clock only the scenario moves."""

    def run(scenario: Scenario, *, nodes: int = 1, **options: Any) -> None:
        async def main() -> None:
            clock = VirtualClock()
            async with Lab(nodes, clock=clock, directory=tmp_path / "lab", **options) as lab:
                await scenario(lab, clock)

        asyncio.run(main())

    return run


@pytest.fixture
def client() -> type[RawClient]:
    """The raw client's class."""
    return RawClient


@pytest.fixture
def images(tmp_path: Path) -> ImageServer:
    """A server that has bios2 and bios3 (BIOS 2.0.0 and 3.0.0), bmc2, and one damaged image."""
    directory = tmp_path / "images"
    directory.mkdir()
    make_image(directory / "bios2", component="BIOS", version="2.0.0")
    make_image(directory / "bios3", component="BIOS", version="3.0.0")
    make_image(directory / "bmc2", component="BMC", version="2.0.0")
    whole = (directory / "bios2").read_bytes()
    (directory / "damaged").write_bytes(whole[:-40] + bytes([whole[-40] ^ 1]) + whole[-39:])
    return ImageServer(directory)
