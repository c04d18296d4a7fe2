"""The image server as BMCs meet it: a real child process, real sockets, TLS."""

import asyncio
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import pytest

from rackwave.core.event import ImageFetched
from rackwave.core.identity import AttemptId, Digest, NodeName
from rackwave.errors import StateError, UsageError
from rackwave.ports import Fetch, ImageServer
from rackwave.serving.config import ServingConfig
from rackwave.serving.images import ImageServerProcess, local_address

T = TypeVar("T")
_NODE, _OTHER = NodeName("r1n01"), NodeName("r1n02")
_ATTEMPT = AttemptId("abcd1234")
_DIGEST = Digest("sha256:" + "0f" * 32)
_CONTENT = bytes(range(256)) * 1000
_HTTP = ServingConfig(plain_http=True)


class SystemClock:
    """The real time: the child knows no other."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Bench:
    """A running server, one image, and a client."""

    def __init__(self, directory: Path, config: ServingConfig, lines: list[ImageFetched]) -> None:
        async def note(event: ImageFetched) -> None:
            lines.append(event)
            async with self.reported:
                self.reported.notify_all()

        self.events = lines
        self.reported = asyncio.Condition()
        self.image = directory / "image"
        self.image.write_bytes(_CONTENT)
        self.server = ImageServerProcess(
            directory / "state",
            config,
            clock=SystemClock(),
            bmc_hosts={_NODE: "127.0.1.1", _OTHER: "127.0.1.2"},
            on_fetch=note,
        )

    async def grant(self, node: NodeName = _NODE, attempt: AttemptId = _ATTEMPT, file_name: str = "bios.bin") -> str:
        return await self.server.grant(node=node, attempt=attempt, digest=_DIGEST, path=self.image, file_name=file_name)

    async def fetched(self) -> Fetch:
        return await self.server.fetched(node=_NODE, attempt=_ATTEMPT, digest=_DIGEST)

    async def get(self, url: str, method: str = "GET", **headers: str) -> tuple[int, bytes, dict[str, str]]:
        return await asyncio.to_thread(self._get, url, method, headers)

    async def ended(self, count: int) -> list[ImageFetched]:
        """Wait until *count* fetches were reported."""
        async with asyncio.timeout(10), self.reported:
            await self.reported.wait_for(lambda: len(self.events) >= count)
        return self.events

    def _get(self, url: str, method: str, headers: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        parts = urlsplit(url)
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            trust = ssl.create_default_context(cafile=self.server.certificate)
            connection = http.client.HTTPSConnection(parts.netloc, context=trust, timeout=10)
        else:
            connection = http.client.HTTPConnection(parts.netloc, timeout=10)
        try:
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.request(method, target, headers={k.replace("_", "-"): v for k, v in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read(), {key.lower(): value for key, value in answer.getheaders()}
        finally:
            connection.close()


def _serve(directory: Path, use: Callable[[Bench], Awaitable[T]], config: ServingConfig = _HTTP) -> T:
    async def run() -> T:
        bench = Bench(directory, config, [])
        await bench.server.start()
        try:
            return await use(bench)
        finally:
            await bench.server.stop()

    return asyncio.run(run())


def test_is_an_image_server(tmp_path: Path) -> None:
    """It has the methods of the port."""
    server: ImageServer = Bench(tmp_path, _HTTP, []).server

    assert callable(server.grant)


def test_https(tmp_path: Path) -> None:
    """By default images go over TLS with our own certificate, which verifies by address."""

    async def use(bench: Bench) -> tuple[str, int, bytes]:
        url = await bench.grant()
        status, body, _ = await bench.get(url)
        return url, status, body

    url, status, body = _serve(tmp_path, use, ServingConfig())

    assert url.startswith("https://127.0.0.1:")
    assert url.endswith("/attempt-abcd1234/bios.bin")
    assert (200, _CONTENT) == (status, body)


@pytest.mark.parametrize(
    ("version", "accepted"),
    [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_tls_versions(tmp_path: Path, version: ssl.TLSVersion, accepted: bool) -> None:
    """TLS 1.2 is spoken, because older BMCs need it; nothing older is."""

    async def use(bench: Bench) -> str | None:
        parts = urlsplit(await bench.grant())
        context = ssl.create_default_context(cafile=bench.server.certificate)
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version

        def connect() -> str | None:
            with socket.create_connection((parts.hostname or "", parts.port or 0), 10) as raw:
                try:
                    with context.wrap_socket(raw, server_hostname=parts.hostname) as connection:
                        return connection.version()
                except (ssl.SSLError, ConnectionError):
                    return None

        return await asyncio.to_thread(connect)

    assert accepted is (_serve(tmp_path, use, ServingConfig()) is not None)


def test_fetch_is_logged_and_reported(tmp_path: Path) -> None:
    """A fetch is in the log with its attempt and peer, without the token, and reported once when it ends."""

    async def use(bench: Bench) -> tuple[str, Fetch, list[ImageFetched]]:
        url = await bench.grant()
        await bench.get(url)
        events = await bench.ended(1)
        return url, await bench.fetched(), events

    url, fetch, events = _serve(tmp_path, use)
    log = (tmp_path / "state" / "fetches.log").read_text()
    lines = [json.loads(line) for line in log.splitlines()]

    assert Fetch(1, len(_CONTENT), len(_CONTENT)) == fetch
    assert [ImageFetched(_NODE, _ATTEMPT, _DIGEST, len(_CONTENT), len(_CONTENT))] == events
    assert ["begun", "ended"] == [line["event"] for line in lines]
    assert ("127.0.0.1", "abcd1234") == (lines[0]["peer"], lines[0]["attempt"])
    assert urlsplit(url).path.split("/")[2].partition("-")[2] not in log


def test_logged_before_the_first_byte(tmp_path: Path) -> None:
    """By the time a client has the first byte of the answer, the fetch is in the log."""

    async def use(bench: Bench) -> tuple[bytes, str]:
        parts = urlsplit(await bench.grant())
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(f"GET {parts.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        first = await reader.readexactly(1)
        log = (tmp_path / "state" / "fetches.log").read_text()
        writer.close()
        return first, log

    first, log = _serve(tmp_path, use)

    assert b"H" == first
    assert "begun" == json.loads(log.splitlines()[0])["event"]


def test_broken_fetch(tmp_path: Path) -> None:
    """A client that goes away in the middle of a large image leaves a count below the whole."""

    async def use(bench: Bench) -> Fetch:
        with bench.image.open("wb") as file:
            file.truncate(64 << 20)  # larger than what the kernel's buffers take
        parts = urlsplit(await bench.grant())
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=1024)
        writer.write(f"GET {parts.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await reader.readexactly(1000)
        running = await bench.fetched()
        assert running.complete, "a fetch under way may be whole"
        writer.close()
        await bench.ended(1)
        return await bench.fetched()

    fetch = _serve(tmp_path, use)

    assert 1 == fetch.requests
    assert 1000 <= fetch.sent < 64 << 20
    assert not fetch.complete


@pytest.mark.parametrize(
    ("header", "status", "body", "sent"),
    [
        ("bytes=0-9", 206, _CONTENT[:10], 10),
        ("bytes=255990-", 206, _CONTENT[-10:], 10),
        ("bytes=-5", 206, _CONTENT[-5:], 5),
        ("bytes=256000-", 416, b"", 0),
    ],
)
def test_range(tmp_path: Path, header: str, status: int, body: bytes, sent: int) -> None:
    """A range is answered with that range, and counts as that much."""

    async def use(bench: Bench) -> tuple[int, bytes, Fetch]:
        found, content, _ = await bench.get(await bench.grant(), Range=header)
        await bench.ended(1)
        return found, content, await bench.fetched()

    found, content, fetch = _serve(tmp_path, use)

    assert (status, sent) == (found, fetch.sent)
    assert body in (content, b"")


def test_not_modified_counts_as_held(tmp_path: Path) -> None:
    """If-None-Match with the image's digest is answered 304; the BMC has it, so it counts as fetched."""

    async def use(bench: Bench) -> tuple[str, int, bytes, Fetch]:
        url = await bench.grant()
        _, _, headers = await bench.get(url, "HEAD")
        status, body, _ = await bench.get(url, If_None_Match=f'"other", W/{headers["etag"]}')
        await bench.ended(2)
        return headers["etag"], status, body, await bench.fetched()

    etag, status, body, fetch = _serve(tmp_path, use)

    assert (f'"{_DIGEST}"', 304, b"") == (etag, status, body)
    assert fetch.complete


def test_head_sends_nothing(tmp_path: Path) -> None:
    """HEAD tells the size and counts as a request without bytes."""

    async def use(bench: Bench) -> tuple[int, str, bytes, Fetch]:
        status, body, headers = await bench.get(await bench.grant(), "HEAD")
        await bench.ended(1)
        return status, headers["content-length"], body, await bench.fetched()

    assert (200, "256000", b"", Fetch(1, 0, len(_CONTENT))) == _serve(tmp_path, use)


def test_expired(tmp_path: Path) -> None:
    """A URL that has run out is answered 410, and nothing counts as fetched."""

    async def use(bench: Bench) -> tuple[int, Fetch]:
        status, _, _ = await bench.get(await bench.grant())
        return status, await bench.fetched()

    assert (410, Fetch(0, 0, 0)) == _serve(tmp_path, use, ServingConfig(plain_http=True, lifetime=0))


def test_revoked(tmp_path: Path) -> None:
    """After a revocation nobody begins to fetch under that attempt; a new grant works, and others are untouched."""

    async def use(bench: Bench) -> list[int]:
        first = await bench.grant()
        other = await bench.grant(_OTHER, AttemptId("efgh5678"))
        await bench.server.revoke(node=_NODE, attempt=_ATTEMPT, digest=_DIGEST)
        gone = (await bench.get(first))[0]
        assert not (await bench.fetched()).requests
        again = await bench.grant()
        return [gone, (await bench.get(other))[0], (await bench.get(again))[0]]

    assert [410, 200, 200] == _serve(tmp_path, use)


def test_revoked_while_requests_come_in(tmp_path: Path) -> None:
    """A request that overlaps a revocation either is in the log when that returns, or gets nothing."""

    async def use(bench: Bench) -> None:
        for number in range(15):
            attempt = AttemptId(f"abcd{number}")
            url = await bench.grant(attempt=attempt)
            getting = asyncio.ensure_future(bench.get(url))
            await asyncio.sleep(number * 0.0003)
            await bench.server.revoke(node=_NODE, attempt=attempt, digest=_DIGEST)
            known = await bench.server.fetched(node=_NODE, attempt=attempt, digest=_DIGEST)
            status, body, _ = await getting

            assert known.requests or (410, b"") == (status, body)

    _serve(tmp_path, use)


def test_revoke_without_a_child(tmp_path: Path) -> None:
    """Where no child runs there is nothing to revoke, and that is no error."""

    async def use(bench: Bench) -> None:
        await bench.grant()
        child = bench.server._child
        assert child is not None
        child.kill()
        await child.wait()
        await bench.server.revoke(node=_NODE, attempt=_ATTEMPT, digest=_DIGEST)
        await bench.server.stop()
        await bench.server.revoke(node=_NODE, attempt=_ATTEMPT, digest=_DIGEST)

    _serve(tmp_path, use)


def test_not_granted(tmp_path: Path) -> None:
    """Another node's token, a forged one, another file, a query string, another verb or path: all 404."""

    async def use(bench: Bench) -> list[int]:
        mine = await bench.grant()
        theirs = await bench.grant(_OTHER, AttemptId("efgh5678"))
        token = urlsplit(mine).path.split("/")[2]
        expiry, mac = token.split("-")
        urls = [
            theirs.replace(urlsplit(theirs).path.split("/")[2], token),
            mine.replace(mac, mac[::-1]),
            mine.replace(expiry, f"{int(expiry, 16) + 1:x}"),
            mine.replace("bios.bin", "other.bin"),
            mine.replace("bios.bin", "../bios.bin"),
            mine + "?x=1",
            mine.replace("/images/", "/"),
            mine.partition("/images/")[0] + "/",
        ]
        found = [(await bench.get(url))[0] for url in urls]
        found.append((await bench.get(mine, "POST"))[0])
        assert not (await bench.fetched()).requests
        return found

    assert [404] * 9 == _serve(tmp_path, use)


def test_image_gone(tmp_path: Path) -> None:
    """An image that is not there any more is a 404 for the BMC, and an error for who grants it."""

    async def use(bench: Bench) -> int:
        url = await bench.grant()
        bench.image.unlink()
        with pytest.raises(StateError, match="cannot be read"):
            await bench.grant()
        return (await bench.get(url))[0]

    assert 404 == _serve(tmp_path, use)


@pytest.mark.parametrize(
    ("name", "last"), [("BIOS", "BIOS.bin"), ("a b%.cap", "a%20b%25.cap"), ("x.tar.gz", "x.tar.gz")]
)
def test_file_names(tmp_path: Path, name: str, last: str) -> None:
    """A name is quoted, and one without an extension gets one."""

    async def use(bench: Bench) -> tuple[str, int]:
        url = await bench.grant(file_name=name)
        return url.rpartition("/")[2], (await bench.get(url))[0]

    assert (last, 200) == _serve(tmp_path, use)


@pytest.mark.parametrize("name", ["", "a/b", "..", "a\0b"])
def test_no_file_name(tmp_path: Path, name: str) -> None:
    """Anything but a bare file name is refused before a child is started."""
    bench = Bench(tmp_path, _HTTP, [])

    with pytest.raises(UsageError):
        asyncio.run(bench.grant(file_name=name))


def test_many_at_once(tmp_path: Path) -> None:
    """Fifty clients at a time are all served in full."""

    async def use(bench: Bench) -> tuple[set[tuple[int, int]], int]:
        url = await bench.grant()
        answers = await asyncio.gather(*(bench.get(url) for _ in range(50)))
        return {(status, len(body)) for status, body, _ in answers}, (await bench.fetched()).requests

    assert ({(200, len(_CONTENT))}, 50) == _serve(tmp_path, use)


def test_port_taken(tmp_path: Path) -> None:
    """A port that somebody has is an error with advice, also when that is another image server."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(StateError, match="in use") as caught:
            asyncio.run(Bench(tmp_path, ServingConfig(listen=listen, plain_http=True), []).server.start())

    assert "[serving] listen" in caught.value.advice

    async def second(bench: Bench) -> None:
        port = urlsplit(bench.server.base_url(_NODE)).port
        config = ServingConfig(listen=f"127.0.0.1:{port}", plain_http=True)
        with pytest.raises(StateError, match="in use"):
            await Bench(tmp_path, config, []).server.start()

    _serve(tmp_path, second)


def test_child_that_died_is_started_again(tmp_path: Path) -> None:
    """After the child was killed, the next grant starts another, and URLs given before are good again."""

    async def use(bench: Bench) -> tuple[int, int]:
        before = await bench.grant()
        child = bench.server._child
        assert child is not None
        child.kill()
        await child.wait()
        after = await bench.grant(attempt=AttemptId("efgh5678"))
        return (await bench.get(before))[0], (await bench.get(after))[0]

    assert (200, 200) == _serve(tmp_path, use)


def test_a_child_that_dies_while_a_grant_is_on_its_way_is_told(tmp_path: Path) -> None:
    """Whenever it dies, who waits for its word is told, and waits no longer."""

    async def use(bench: Bench) -> None:
        child = bench.server._child
        assert child is not None
        child.kill()
        await child.wait()
        assert bench.server._listening is not None
        await bench.server._listening  # all that it said was heard; nobody will answer for it any more
        async with asyncio.timeout(10):
            with pytest.raises(StateError, match="ended unexpectedly"):
                await bench.server._tell({"grant": {}})

    _serve(tmp_path, use)


def test_what_the_journal_cannot_take_is_told(tmp_path: Path) -> None:
    """When a fetch could not be journalled the next grant fails with that error."""

    async def use(bench: Bench) -> None:
        async def fail(event: ImageFetched) -> None:
            bench.events.append(event)
            async with bench.reported:
                bench.reported.notify_all()
            raise StateError("the disk is full")

        bench.server._on_fetch = fail
        url = await bench.grant()
        await bench.get(url)
        await bench.ended(1)
        with pytest.raises(StateError, match="disk is full"):
            await bench.grant()

    _serve(tmp_path, use)


def test_secrets_stay_off_the_command_line(tmp_path: Path) -> None:
    """Neither the key nor a token is in the child's command line or environment."""

    async def use(bench: Bench) -> tuple[bytes, bytes, str, str]:
        url = await bench.grant()
        child = bench.server._child
        assert child is not None
        process = Path(f"/proc/{child.pid}")
        shown = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        return *shown, bench.server._key.hex(), urlsplit(url).path.split("/")[2]

    command, environment, key, token = _serve(tmp_path, use)

    for secret in (key.encode(), token.encode()):
        assert secret not in command
        assert secret not in environment


def test_fetches_survive_a_restart(tmp_path: Path) -> None:
    """What one run's server sent is known to the next run's."""

    async def fetch(bench: Bench) -> None:
        await bench.get(await bench.grant())
        await bench.ended(1)

    _serve(tmp_path, fetch)

    async def ask(bench: Bench) -> Fetch:
        return await bench.fetched()

    assert Fetch(1, len(_CONTENT), len(_CONTENT)) == _serve(tmp_path, ask)


_PARENT = """
import asyncio, sys, time
from pathlib import Path
from rackwave.core.identity import AttemptId, Digest, NodeName
from rackwave.serving.config import ServingConfig
from rackwave.serving.images import ImageServerProcess

class Clock:
    now = staticmethod(time.time)

async def main():
    server = ImageServerProcess(Path(sys.argv[1]), ServingConfig(plain_http=True), clock=Clock(), bmc_hosts={})
    await server.start()
    url = await server.grant(node=NodeName("r1n01"), attempt=AttemptId("abcd1234"),
        digest=Digest("sha256:" + "0f" * 32), path=Path(sys.argv[2]), file_name="bios.bin")
    print(server._child.pid, url, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_kill_nine_leaves_no_child(tmp_path: Path) -> None:
    """When the parent is killed in the middle of a fetch its child ends, and the fetch counts as possibly whole."""
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    command = [sys.executable, "-c", _PARENT, str(tmp_path / "state"), str(image)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, url = parent.stdout.readline().split()
        parts = urlsplit(url)
        with socket.create_connection((parts.hostname or "", parts.port or 0), 10) as client:
            client.sendall(f"GET {parts.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            client.recv(100)
            parent.send_signal(signal.SIGKILL)
            parent.wait(10)
            deadline = time.monotonic() + 10
            while _runs(int(pid)) and time.monotonic() < deadline:
                time.sleep(0.01)  # another process's death cannot be awaited otherwise

    assert not _runs(int(pid))
    fetch = asyncio.run(Bench(tmp_path, _HTTP, []).server.fetched(node=_NODE, attempt=_ATTEMPT, digest=_DIGEST))
    assert 1 == fetch.requests
    assert 0 < fetch.sent


def _runs(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"


def test_advertised_address(tmp_path: Path) -> None:
    """What the inventory advertises is what BMCs are told, else the address from which the node is reached."""
    told = []
    for config in (
        ServingConfig(listen="0.0.0.0:8443", advertise="images.example"),
        ServingConfig(listen="0.0.0.0:8443", advertise="images.example:443"),
        ServingConfig(listen="[::]:8443", advertise="[2001:db8::1]"),
        ServingConfig(listen="0.0.0.0:8443", plain_http=True),
        ServingConfig(listen="127.0.0.2:8443"),
    ):
        server = ImageServerProcess(tmp_path, config, clock=SystemClock(), bmc_hosts={_NODE: "127.0.1.1"})
        server._look_around()
        told.append(server.base_url(_NODE))

    assert [
        "https://images.example:8443",
        "https://images.example:443",
        "https://[2001:db8::1]:8443",
        "http://127.0.0.1:8443",
        "https://127.0.0.2:8443",
    ] == told


@pytest.mark.parametrize("host", ["127.0.1.9", "localhost", "no such host", ""])
def test_local_address(host: str) -> None:
    """A host on loopback is reached from loopback; one that does not resolve breaks nothing."""
    assert local_address(host) in ("127.0.0.1", "::1")
