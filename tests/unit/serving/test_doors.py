"""The doors at which BMCs tell of news: a real child process, real sockets."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from starlette.types import Message

from rackwave.clock import SystemClock
from rackwave.core.identity import NodeName
from rackwave.serving import doors
from rackwave.serving.config import ServingConfig
from rackwave.serving.doors import LONGEST, Doors, door_path, door_token
from rackwave.serving.images import ImageServerProcess

NODE, OTHER = NodeName("r1n01"), NodeName("r1n02")


def post(url: str, body: bytes, *, method: str = "POST") -> int:
    """Send *body* and return the status."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
    try:
        connection.request(method, where.path, body)
        return connection.getresponse().status
    finally:
        connection.close()


def serving(folder: Path, program: Callable[[ImageServerProcess], Awaitable[None]]) -> None:
    """Play *program* with a running server."""

    async def main() -> None:
        hosts = {NODE: "127.0.0.1", OTHER: "127.0.0.1"}
        server = ImageServerProcess(folder, ServingConfig(plain_http=True), clock=SystemClock(), bmc_hosts=hosts)
        try:
            await program(server)
        finally:
            await server.stop()

    asyncio.run(main())


async def until(said: Callable[[], bool]) -> None:
    """Wait until *said* holds, or for five seconds."""
    for _ in range(500):
        if said():
            return
        await asyncio.sleep(0.01)


def test_a_knock_reaches_its_node_and_no_other(tmp_path: Path) -> None:
    """What a BMC sends to its door is told with its node; its token is in no log."""
    told: list[tuple[str, str]] = []

    async def program(server: ImageServerProcess) -> None:
        url = await server.open_door(NODE, lambda text: told.append(("one", text)))
        await server.open_door(OTHER, lambda text: told.append(("other", text)))

        assert 204 == await asyncio.to_thread(post, url, b'{"Events": []}')
        await until(lambda: bool(told))
        assert [("one", '{"Events": []}')] == told
        urls.append(url)

    urls: list[str] = []
    serving(tmp_path, program)
    token = urlsplit(urls[0]).path.split("/")[2].encode()

    assert not [file for file in tmp_path.iterdir() if token in file.read_bytes()]


def test_no_door_no_answer(tmp_path: Path) -> None:
    """A token that is none, a door that was shut, another method and an endless body wake nobody."""
    told: list[str] = []

    async def program(server: ImageServerProcess) -> None:
        url = await server.open_door(NODE, told.append)
        wrong = url.replace("/events/", "/events/0")[: url.index("/node/")] + "/node/r1n01"

        assert 404 == await asyncio.to_thread(post, wrong, b"{}")
        assert 404 == await asyncio.to_thread(post, url + "/x", b"{}")
        assert 404 == await asyncio.to_thread(post, url, b"", method="GET")
        assert 413 == await asyncio.to_thread(post, url, b"x" * (LONGEST + 1))
        await server.shut_door(NODE)
        assert 404 == await asyncio.to_thread(post, url, b"{}")
        assert [] == told

    serving(tmp_path, program)


def test_what_is_long_is_news_of_which_nothing_is_said(tmp_path: Path) -> None:
    """A batch of events passes the pipe to the orchestrator as a knock alone, whatever it is made of."""
    told: list[str] = []

    async def program(server: ImageServerProcess) -> None:
        url = await server.open_door(NODE, told.append)
        assert 204 == await asyncio.to_thread(post, url, b"\0" * 9000)
        await until(lambda: bool(told))
        assert [""] == told

    serving(tmp_path, program)


def test_doors_outlive_the_process_behind_them(tmp_path: Path) -> None:
    """A server that died and was started again knows the doors that were open, at the same URLs."""
    told: list[str] = []

    async def program(server: ImageServerProcess) -> None:
        url = await server.open_door(NODE, told.append)
        assert server._child is not None
        server._child.kill()
        await server._child.wait()
        await server.start()

        assert 204 == await asyncio.to_thread(post, url, b"{}")
        await until(lambda: bool(told))
        assert ["{}"] == told

    serving(tmp_path, program)


def test_a_flood_is_one_knock_and_nothing_of_it_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred deliveries at once are the first, and once more afterwards; a body that stalls is not waited for."""
    monkeypatch.setattr(doors, "QUIET", 0.05)
    monkeypatch.setattr(doors, "_PATIENCE", 0.05)
    heard: list[tuple[str, str]] = []
    key = b"k" * 32
    path = door_path(NODE, key)

    async def deliver(app: Doors, *, stalls: bool = False) -> int:
        statuses: list[int] = []

        async def receive() -> Message:
            if stalls:
                await asyncio.Event().wait()
            return {"type": "http.request", "body": b"{}"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": []}
        await app(scope, receive, send)
        return statuses[0]

    async def main() -> None:
        app = Doors(lambda node, told: heard.append((node, told)))
        app.open(door_token(NODE, key), NODE)
        assert [204] * 100 == [await deliver(app) for _ in range(100)]
        assert [(NODE, "{}")] == heard
        await until(lambda: len(heard) > 1)
        assert [(NODE, "{}"), (NODE, "")] == heard
        assert 408 == await deliver(app, stalls=True)

    asyncio.run(main())
