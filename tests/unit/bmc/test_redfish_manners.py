"""How we behave towards a BMC: few logins, few sessions, few requests, and no trust in what it sends."""

from __future__ import annotations

import asyncio
import functools
import gzip
import struct
import tracemalloc
import zlib

import pytest
from scripted_bmc import INVENTORY, RESET, SESSIONS, SYSTEM, HandClock, Reply, ScriptedBmc, client

from rackwave.bmc.redfish.document import MAX_BYTES
from rackwave.bmc.redfish.transport import Budget, Timeouts
from rackwave.core.identity import NodeName
from rackwave.core.observation import Look, Power, Unknown
from rackwave.core.receipt import Accepted, Ambiguous
from rackwave.engine.logbook import Logbook
from rackwave.engine.logins import KEY_FILE, Fingerprints, JournalledLogins
from rackwave.engine.memory import MemoryJournal
from rackwave.errors import BmcAnswerError, BmcLoginError, BmcUnreachableError
from rackwave.ports import ResetKind

LOGIN = f"POST {SESSIONS}"


def remembering(tmp_path, clock):
    """A logbook, and what makes memories of logins on it, one a process."""
    logbook = Logbook(MemoryJournal(clock))
    return logbook, lambda: JournalledLogins(NodeName("n1"), logbook, Fingerprints(tmp_path / KEY_FILE), clock)


# -- logins and sessions ---------------------------------------------------------------------


def test_a_second_run_burns_no_login(tmp_path):
    """A wrong password is sent once, by however many processes; the error says how to allow another try (P34)."""
    clock = HandClock()

    async def run() -> tuple[ScriptedBmc, list[BmcLoginError]]:
        errors = []
        _, memory = remembering(tmp_path, clock)
        async with ScriptedBmc() as server:
            server.on(LOGIN, *[Reply(401, {"error": {"message": "no"}})] * 5)
            for _ in range(3):
                bmc = client(server, clock=clock, memory=memory())
                with pytest.raises(BmcLoginError) as caught:
                    await bmc.observe(Look())
                errors.append(caught.value)
                await bmc.close()
            return server, errors

    server, errors = asyncio.run(run())

    assert [LOGIN] == server.seen("POST")
    assert ["rackwave readmit n1" in error.advice for error in errors] == [True] * 3


def test_many_wrong_passwords_stop_before_the_lock_out(tmp_path):
    """After two refusals no third password is tried until the makers' counters have run out (P34)."""
    clock = HandClock()

    async def run() -> tuple[ScriptedBmc, list[str]]:
        found = []
        _, memory = remembering(tmp_path, clock)
        async with ScriptedBmc() as server:
            server.on(LOGIN, Reply(401), Reply(401))
            for password in ("one", "two", "three"):
                bmc = client(server, clock=clock, memory=memory(), password=password)
                with pytest.raises(BmcLoginError) as caught:
                    await bmc.observe(Look())
                found.append(str(caught.value))
                await bmc.close()
            clock.at += 1801.0
            bmc = client(server, clock=clock, memory=memory(), password="three")
            assert Power.ON is (await bmc.observe(Look())).power
            await bmc.close()
            return server, found

    server, found = asyncio.run(run())

    assert 3 == len(server.seen(LOGIN))
    assert "2 logins lately" in found[2]


def test_an_echoed_password_goes_nowhere(tmp_path):
    """A BMC that repeats the password in its refusal gets it into neither error nor journal."""
    clock = HandClock()

    async def run() -> tuple[str, str]:
        logbook, memory = remembering(tmp_path, clock)
        async with ScriptedBmc() as server:
            server.on(LOGIN, Reply(401, {"error": {"message": "hunter22 is not the password of admin"}}))
            bmc = client(server, clock=clock, memory=memory(), password="hunter22")
            with pytest.raises(BmcLoginError) as caught:
                await bmc.observe(Look())
            await bmc.close()
            return repr(caught.value), repr(logbook.node(NodeName("n1")))

    error, journal = asyncio.run(run())

    assert "hunter22" not in error + journal
    assert "HTTP 401" in error


def test_a_bmc_short_of_sessions_gets_ours_back():
    """Where a login had to wait for a session (P26), ours ends at every rest; elsewhere it is kept."""

    async def run(*replies: Reply, budget: Budget) -> tuple[dict[str, str], int]:
        async with ScriptedBmc() as server:
            server.on(LOGIN, *replies)
            bmc = client(server, budget=budget)
            await bmc.observe(Look())
            await bmc.park()
            resting = dict(server.tokens)
            await bmc.observe(Look())
            await bmc.close()
            assert {} == server.tokens
            return resting, server.logins

    assert ({"token-1": f"{SESSIONS}/1"}, 1) == asyncio.run(run(budget=Budget()))
    assert ({}, 2) == asyncio.run(run(Reply(503, {}, {"Retry-After": "1"}), budget=Budget()))
    assert ({}, 2) == asyncio.run(run(budget=Budget(keeps_session=False)))


@pytest.mark.parametrize("at", ["GET /redfish/v1/", LOGIN, f"GET {SYSTEM}", f"GET {INVENTORY}"])
def test_a_cancelled_look_leaves_no_session(at):
    """Wherever a look is cancelled, closing afterwards leaves no session open."""

    async def run() -> ScriptedBmc:
        async with ScriptedBmc() as server:
            bmc = client(server)
            looking = asyncio.ensure_future(bmc.observe(Look(components=frozenset({"BIOS"}))))
            while not server.seen(at):  # noqa: ASYNC110 - the moment between request and answer
                await asyncio.sleep(0)
            looking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await looking
            await bmc.close()
            return server

    assert {} == asyncio.run(run()).tokens


# -- requests in flight ----------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 3])
def test_requests_in_flight_are_bounded(most):
    """However many ask at once, a BMC gets no more at a time than its budget; who waits loses no deadline."""

    async def run() -> tuple[int, list[object]]:
        under_way, peak = 0, 0

        async with ScriptedBmc() as server:
            bmc = client(server, budget=Budget(in_flight=most), timeouts=Timeouts(connect=2, read=0.5))
            await bmc.session.token()
            sent = bmc.transport._request

            async def counted(*arguments, **named):
                nonlocal under_way, peak
                under_way += 1
                peak = max(peak, under_way)
                await asyncio.sleep(0.06)
                try:
                    return await sent(*arguments, **named)
                finally:
                    under_way -= 1

            bmc.transport._request = counted
            answers = await asyncio.gather(*(bmc.session.get(SYSTEM) for _ in range(12)))
            await bmc.close()
            assert server.connections <= most
            return peak, [answer.status for answer in answers]

    peak, statuses = asyncio.run(run())

    assert most == peak
    assert [200] * 12 == statuses


# -- answers ---------------------------------------------------------------------------------


def _chunked(*pieces: bytes, headers: bytes = b"") -> bytes:
    body = b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + headers + b"\r\n" + body + b"0\r\n\r\n"


def test_gzip_is_read():
    """An answer that is packed is unpacked, though nobody asked for it."""

    async def run() -> object:
        async with ScriptedBmc() as server:
            body = gzip.compress(b'{"PowerState": "Off"}')
            server.on(f"GET {SYSTEM}", Reply(200, body, {"Content-Encoding": "gzip"}))
            bmc = client(server)
            seen = await bmc.observe(Look())
            await bmc.close()
            return seen.power

    assert Power.OFF is asyncio.run(run())


def _gigabyte_of_zeros() -> bytes:
    """Return a whole gzip file of them: a block of a mebibyte, repeated, for packing each anew takes seconds."""
    zeros, packer = bytes(1 << 20), zlib.compressobj(9, wbits=31)
    first, block = (packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    sum_of_all = functools.reduce(lambda crc, _: zlib.crc32(zeros, crc), range(1024), 0)
    return first + 1023 * block + b"\x03\x00" + struct.pack("<II", sum_of_all, 1 << 30)


def test_gzip_bomb_is_bounded():
    """An answer of some kilobytes that unpacks to a gigabyte costs the bound, not the gigabyte."""

    async def run() -> tuple[str, int]:
        async with ScriptedBmc() as server:
            server.on(f"GET {SYSTEM}", Reply(200, _gigabyte_of_zeros(), {"Content-Encoding": "gzip"}))
            bmc = client(server)
            await bmc.session.token()
            tracemalloc.start()
            answer = await bmc.session.get(SYSTEM)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            with pytest.raises(BmcAnswerError) as caught:
                _ = answer.document
            await bmc.close()
            return str(caught.value), peak

    message, peak = asyncio.run(run())

    assert f"n1: the answer to GET {SYSTEM} cannot be read: more than 8 MiB" == message
    assert peak < 4 * MAX_BYTES


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(200, b"\x1f\x8b\x08garbage", {"Content-Encoding": "gzip"}), "no JSON"),
        (Reply(200, gzip.compress(b"{}" * 99)[:-9], {"Content-Encoding": "gzip"}), "no JSON"),
        (Reply(200, b"{}", {"Content-Encoding": "br"}), "no PowerState"),
        (Reply(200, b"{}", {f"X-{number}": "v" for number in range(500)}), "headers"),
        (Reply(200, b"{}", {"X-Long": "v" * 100_000}), "more than 8190 bytes"),
        (Reply(raw=b"HTTP/1.1 200 " + b"O" * 100_000 + b"\r\n\r\n"), "not HTTP"),
        (Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{}"), SYSTEM),
        (Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}"), "not HTTP"),
        (Reply(raw=b"HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\n{}"), "HTTP 999"),
        (Reply(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), SYSTEM),
        (Reply(raw=_chunked(b'{"PowerState":', b' "Lit"}')), "PowerState is Lit"),
        (Reply(raw=b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"), SYSTEM),
        (Reply(raw=b"HTTP/1.1 100 Continue\r\n\r\n" * 3), SYSTEM),
        (Reply(raw=b"\x16\x03\x01\x02\x00"), SYSTEM),
        (Reply(200, b'{"PowerState": 1e400}'), "no PowerState"),
        (Reply(200, b'{"PowerState": NaN}'), "no PowerState"),
        (Reply(503, b"", {"Retry-After": "99999999999999999999999999"}), "HTTP 503"),
        (Reply(503, b"", {"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}), "HTTP 503"),
        (Reply(503, b"", {"Retry-After": "-1"}), "HTTP 503"),
    ],
)
def test_hostile_answers_are_unknown(reply, words):
    """Headers, lengths, encodings and numbers beyond every measure end in Unknown that says what was wrong."""

    async def run() -> object:
        async with ScriptedBmc() as server:
            server.on(f"GET {SYSTEM}", *[reply] * 6)
            bmc = client(server, timeouts=Timeouts(connect=2, read=1.0))
            seen = await bmc.observe(Look())
            await bmc.close()
            assert {} == server.tokens
            return seen.power

    power = asyncio.run(asyncio.wait_for(run(), 20))

    assert isinstance(power, Unknown)
    assert words in power.reason
    assert "n1" in power.reason or "PowerState" in power.reason


@pytest.mark.parametrize("where", ["headers", "body", "chunks"])
def test_a_drip_meets_the_deadline(where):
    """A BMC that sends a byte now and then, for ever, costs one deadline: it counts from the request, not the byte."""
    begins = {
        "headers": b"HTTP/1.1 200 OK\r\nX-Slow: ",
        "body": b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
        "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    }
    drop = b"1\r\n \r\n" if where == "chunks" else b" "

    async def dripping(reader, writer):
        writer.write(begins[where])
        try:
            while True:
                writer.write(drop)
                await writer.drain()
                await asyncio.sleep(0.02)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def run() -> tuple[object, object]:
        server = await asyncio.start_server(dripping, "127.0.0.1", 0)
        scripted = ScriptedBmc(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        bmc = client(scripted, timeouts=Timeouts(connect=1, read=0.3))
        with pytest.raises(BmcUnreachableError, match="no answer to GET"):
            await bmc.transport.request("GET", SYSTEM)
        try:
            receipt = await bmc.transport.request("POST", RESET, body={})
        except Exception as error:  # noqa: BLE001 - what it is, is asserted
            receipt = type(error).__name__
        await bmc.close()
        server.close()
        return receipt, None

    receipt, _ = asyncio.run(asyncio.wait_for(run(), 10))

    assert "BmcAmbiguousError" == receipt


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location", ["http://127.0.0.1:{port}/redfish/v1/Systems/1", "/redfish/v1/Systems/2", "//evil/x"]
)
def test_redirects_are_not_followed(status, location):
    """A redirect is an answer, not an order: neither reads nor acts go where it points, nor does the token."""

    async def run() -> tuple[list[str], list[str], object]:
        async with ScriptedBmc() as other, ScriptedBmc() as server:
            place = location.format(port=other.url.rpartition(":")[2])
            bmc = client(server)
            await bmc.observe(Look())
            server.requests.clear()
            server.on(f"GET {SYSTEM}", Reply(status, b"", {"Location": place}))
            server.on(f"POST {RESET}", Reply(status, b"", {"Location": place}))
            seen = await bmc.observe(Look())
            receipt = await bmc.reset_host(ResetKind.FORCE_RESTART)
            asked = server.seen("GET /redfish/v1/Systems") + server.seen("POST")
            await bmc.close()
            assert not isinstance(receipt, Accepted | Ambiguous)
            return other.seen(), asked, seen.power

    elsewhere, asked, power = asyncio.run(run())

    assert [] == elsewhere
    assert [f"GET {SYSTEM}", f"POST {RESET}"] == asked
    assert isinstance(power, Unknown)
    assert f"HTTP {status}" in power.reason
