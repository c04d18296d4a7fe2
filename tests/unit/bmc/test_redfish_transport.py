"""HTTP to one BMC: what is sent again, what never is, and what is made of hostile answers."""

from __future__ import annotations

import asyncio
import json

import pytest
from scripted_bmc import DROP, RESET, SYSTEM, HandClock, Reply, ScriptedBmc, client

from rackwave.bmc.redfish.document import MAX_BYTES
from rackwave.bmc.redfish.retry import GET
from rackwave.bmc.redfish.transport import STALE_AFTER, Timeouts, Transport
from rackwave.bmc.redfish.trust import CaTrust, PlainHttp, SystemTrust, Unverified, ssl_context
from rackwave.core.identity import NodeName
from rackwave.core.observation import Look, Power, Unknown
from rackwave.core.receipt import Accepted, Ambiguous, Refused
from rackwave.errors import (
    BmcAmbiguousError,
    BmcAnswerError,
    BmcCertificateError,
    BmcRefusedError,
    BmcUnreachableError,
    UsageError,
)
from rackwave.ports import ResetKind
from rackwave_emulators.tls import Authority


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_dropped_request_arrives_once(method):
    """On a kept connection that breaks, nothing but a GET is ever sent a second time, by aiohttp neither."""

    async def run() -> ScriptedBmc:
        async with ScriptedBmc() as server:
            server.on(f"{method} {SYSTEM}", DROP, DROP, DROP)
            bmc = client(server)
            await bmc.session.get(SYSTEM)
            with pytest.raises(BmcAmbiguousError):
                await bmc.session.act(method, SYSTEM, {"a": 1})
            await bmc.close()
            return server

    server = asyncio.run(run())

    assert [f"{method} {SYSTEM}"] == server.seen(f"{method} {SYSTEM}")


def test_dropped_get_is_counted_by_our_policy_alone():
    """A GET whose connection breaks arrives as often as the retry policy says, not twice that (P27)."""

    async def run() -> tuple[ScriptedBmc, HandClock]:
        clock = HandClock()
        async with ScriptedBmc() as server:
            server.on(f"GET {SYSTEM}", *[DROP] * 20)
            bmc = client(server, clock=clock)
            with pytest.raises(BmcUnreachableError):
                await bmc.session.get(SYSTEM)
            await bmc.close()
            return server, clock

    server, clock = asyncio.run(run())

    assert 5 == len(server.seen(f"GET {SYSTEM}"))
    assert 4 == len(clock.slept)


def test_dropped_get_recovers():
    """A read survives a connection that breaks in mid-use (P27)."""

    async def run() -> object:
        async with ScriptedBmc() as server:
            server.on(f"GET {SYSTEM}", DROP)
            bmc = client(server)
            seen = await bmc.observe(Look())
            await bmc.close()
            return seen.power

    assert Power.ON is asyncio.run(run())


def test_busy_get_waits_as_told():
    """A read that is answered 503 waits by Retry-After, within its deadline (P22)."""

    async def run() -> tuple[object, HandClock]:
        clock = HandClock()
        async with ScriptedBmc() as server:
            server.on(
                f"GET {SYSTEM}", Reply(503, [], {"Retry-After": "3"}), Reply(503, b"<html>", {"Retry-After": "4"})
            )
            bmc = client(server, clock=clock)
            seen = await bmc.observe(Look())
            await bmc.close()
            return seen.power, clock

    power, clock = asyncio.run(run())

    assert Power.ON is power
    assert 3.0 <= clock.slept[0] <= 3.75
    assert 4.0 <= clock.slept[1] <= 5.0


def test_a_rack_that_is_told_the_same_time_does_not_come_back_in_step():
    """BMCs that all say "in 3 s" are asked again at different moments, none before its time."""
    told = [BmcRefusedError("busy", node=f"r1n{n:02}", status=503, retry_after=3.0) for n in range(50)]
    waits = [asyncio.run(_first_wait(error)) for error in told]

    assert 3.0 <= min(waits)
    assert max(waits) <= 3.75
    assert max(waits) - min(waits) > 0.2


async def _first_wait(error: BmcRefusedError) -> float:
    """Return how long a read waits that *error* answers once."""
    clock, errors = HandClock(), [error]

    async def attempt() -> None:
        if errors:
            raise errors.pop()

    await GET.call(attempt, clock=clock, within=60.0)
    (slept,) = clock.slept
    return slept


def test_busy_for_minutes_is_unknown():
    """A BMC that is busy for longer than a look may take is Unknown at once, and the rest is not asked."""

    async def run() -> tuple[ScriptedBmc, HandClock, object, object]:
        clock = HandClock()
        async with ScriptedBmc() as server:
            server.on(f"GET {SYSTEM}", Reply(503, {"error": "busy"}, {"Retry-After": "300"}))
            bmc = client(server, clock=clock)
            seen = await bmc.observe(Look(settings=True, tasks=True))
            await bmc.close()
            return server, clock, seen.power, seen.tasks

    server, clock, power, tasks = asyncio.run(run())

    assert isinstance(power, Unknown)
    assert "busy" in power.reason
    assert isinstance(tasks, Unknown)
    assert [] == clock.slept
    assert [] == server.seen("GET /redfish/v1/TaskService")


def test_refused_connection_was_never_sent():
    """An act toward a BMC that accepts no connection is not ambiguous: nothing was sent."""

    async def run() -> object:
        async with ScriptedBmc() as server:
            bmc = client(server)
            await bmc.observe(Look())
            await bmc.park()
        try:
            return await bmc.reset_host(ResetKind.FORCE_RESTART)
        finally:
            await bmc.close()

    receipt = asyncio.run(run())

    assert isinstance(receipt, Refused)
    assert "cannot connect" in receipt.reason
    assert receipt.reason.endswith(": Connection refused")
    assert receipt.retry_after is not None


def test_dropped_act_is_ambiguous():
    """An act whose answer is lost is Ambiguous and was sent once (P12)."""

    async def run() -> tuple[ScriptedBmc, object]:
        async with ScriptedBmc() as server:
            server.on(f"POST {RESET}", DROP, DROP)
            bmc = client(server)
            await bmc.observe(Look())
            receipt = await bmc.reset_host(ResetKind.FORCE_RESTART)
            await bmc.close()
            return server, receipt

    server, receipt = asyncio.run(run())

    assert isinstance(receipt, Ambiguous)
    assert 1 == len(server.seen(f"POST {RESET}"))


def test_silent_bmc_meets_the_deadline():
    """A BMC that takes a request and never answers costs one deadline, reads and acts alike."""

    async def run() -> tuple[object, object]:
        async with ScriptedBmc() as server:
            bmc = client(server, timeouts=Timeouts(connect=1, read=0.2))
            await bmc.observe(Look())
            server.on(f"POST {RESET}", Reply(hang=True)).on(f"GET {SYSTEM}", Reply(hang=True))
            receipt = await bmc.reset_host(ResetKind.FORCE_RESTART)
            seen = await bmc.observe(Look())
            await bmc.close()
            return receipt, seen.power

    receipt, power = asyncio.run(asyncio.wait_for(run(), 10))

    assert isinstance(receipt, Ambiguous)
    assert isinstance(power, Unknown)
    assert "no answer" in power.reason


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(200, b"<html>rebooting</html>"), "no JSON"),
        (Reply(200, b""), "empty body"),
        (Reply(200, b"[]"), "a JSON list"),
        (Reply(200, b'"busy"'), "a JSON str"),
        (Reply(200, b"\xff\xfe{}"), "no JSON"),
        (Reply(200, b"[" * 100_000), "nested deeper"),
        (Reply(200, b'{"a":' * 100 + b"1" + b"}" * 100), "nested deeper"),
        (Reply(200, b'{"n": ' + b"9" * 5000 + b"}"), "no JSON"),
        (Reply(200, b'{"a": "' + b"x" * (MAX_BYTES + 10) + b'"}'), "more than 8 MiB"),
        (Reply(raw=b"HTTP/1.1 banana\r\n\r\n"), "not HTTP"),
        (Reply(404, {"error": "busy"}), "HTTP 404 (not found): busy"),
        (Reply(404, []), "HTTP 404"),
        (Reply(400, b"<html>"), "HTTP 400"),
        (Reply(302, b"", {"Location": "https://elsewhere/"}), "HTTP 302"),
    ],
)
def test_odd_answers_are_unknown(reply, words):
    """Whatever nonsense answers a read (P24), the observation is Unknown and says what was wrong, where."""

    async def run() -> object:
        async with ScriptedBmc() as server:
            server.on(f"GET {SYSTEM}", reply)
            bmc = client(server)
            seen = await bmc.observe(Look())
            await bmc.close()
            return seen.power

    power = asyncio.run(run())

    assert isinstance(power, Unknown)
    assert words in power.reason
    assert "n1" in power.reason
    assert SYSTEM in power.reason


def test_odd_answer_names_node_and_uri():
    """A malformed body raises an error with node, URI and what was wrong."""

    async def run() -> BmcAnswerError:
        async with ScriptedBmc() as server:
            server.on(f"GET {SYSTEM}", Reply(200, b"<html>"))
            bmc = client(server)
            answer = await bmc.session.get(SYSTEM)
            await bmc.close()
            with pytest.raises(BmcAnswerError) as caught:
                _ = answer.document
            return caught.value

    error = asyncio.run(run())

    assert "n1" == error.node
    assert f"n1: the answer to GET {SYSTEM} cannot be read: no JSON, begins with '<html>'" == str(error)


@pytest.mark.parametrize(
    ("reply", "kind", "retry_after"),
    [
        (Reply(204), Accepted, None),
        (Reply(200, b"<html>"), Accepted, None),
        (Reply(202, []), Accepted, None),
        (Reply(400, {"error": "busy"}), Refused, None),
        (Reply(403, []), Refused, None),
        (Reply(307, b"", {"Location": "/elsewhere"}), Refused, None),
        (Reply(409, {}), Refused, 10.0),
        (Reply(409, {}, {"Retry-After": "5"}), Refused, 5.0),
        (Reply(503, b"<html>", {"Retry-After": "120"}), Refused, 120.0),
        (Reply(501), Refused, None),
        (Reply(500, b"<html>"), Ambiguous, None),
        (Reply(502), Ambiguous, None),
        (Reply(504), Ambiguous, None),
        (Reply(raw=b"banana\r\n\r\n"), Ambiguous, None),
    ],
)
def test_receipt_by_status(reply, kind, retry_after):
    """The status decides what is known of an act; a body of any shape does not (P16, P24)."""

    async def run() -> object:
        async with ScriptedBmc() as server:
            server.on(f"POST {RESET}", reply)
            bmc = client(server)
            await bmc.observe(Look())
            receipt = await bmc.reset_host(ResetKind.FORCE_RESTART)
            await bmc.close()
            assert 1 == len(server.seen(f"POST {RESET}"))
            return receipt

    receipt = asyncio.run(run())

    assert kind is type(receipt)
    assert retry_after == getattr(receipt, "retry_after", None)


def test_one_connection_and_parking():
    """Everything goes over one kept connection; parking drops it and keeps the session."""

    async def run() -> tuple[int, int, ScriptedBmc]:
        async with ScriptedBmc() as server:
            bmc = client(server)
            for _ in range(5):
                await bmc.observe(Look())
            before = server.connections
            await bmc.park()
            await bmc.observe(Look())
            after = server.connections
            await bmc.close()
            return before, after, server

    before, after, server = asyncio.run(run())

    assert (1, 2) == (before, after)
    assert 1 == server.logins


def test_act_after_a_rest():
    """An act after a rest gets a new connection, which no server's idle close can meet in flight; a read does not."""

    async def run() -> tuple[int, int]:
        async with ScriptedBmc() as server:
            bmc = client(server)
            await bmc.observe(Look())
            bmc.transport._last_used -= STALE_AFTER + 1
            await bmc.observe(Look())
            read = server.connections
            bmc.transport._last_used -= STALE_AFTER + 1
            await bmc.reset_host(ResetKind.FORCE_RESTART)
            await bmc.close()
            return read, server.connections

    assert (1, 2) == asyncio.run(run())


def test_large_answer_is_cut_off():
    """An answer is read up to the bound and one byte, whatever its length says."""

    async def run() -> int:
        async with ScriptedBmc() as server:
            server.on(f"GET {SYSTEM}", Reply(200, b"x" * (2 * MAX_BYTES)))
            bmc = client(server)
            answer = await bmc.session.get(SYSTEM)
            await bmc.close()
            return len(answer.raw)

    assert MAX_BYTES + 1 == asyncio.run(run())


def test_certificate_is_verified(tmp_path):
    """A certificate of a CA that was not named stops everything and sends no credentials (P32)."""
    (tmp_path / "lab").mkdir()
    (tmp_path / "other").mkdir()
    lab, other = Authority(tmp_path / "lab"), Authority(tmp_path / "other")

    async def run() -> tuple[list[str], object, object]:
        async with ScriptedBmc(tls=lab.context("bmc", "127.0.0.1")) as server:
            for trust in (CaTrust(other.ca), SystemTrust()):
                bmc = client(server, trust=trust)
                with pytest.raises(BmcCertificateError):
                    await bmc.observe(Look())
                await bmc.close()
            before = server.seen()
            seen = []
            for trust in (CaTrust(lab.ca), Unverified()):
                bmc = client(server, trust=trust)
                seen.append((await bmc.observe(Look())).power)
                await bmc.close()
                await asyncio.sleep(0.02)
            return before, seen[0], seen[1]

    before, verified, unverified = asyncio.run(run())

    assert [] == before
    assert Power.ON is verified
    assert Power.ON is unverified


def test_certificate_of_another_address(tmp_path):
    """A certificate of the right CA for another address is refused."""
    lab = Authority(tmp_path)

    async def run() -> None:
        async with ScriptedBmc(tls=lab.context("bmc", "127.9.9.9")) as server:
            bmc = client(server, trust=CaTrust(lab.ca))
            with pytest.raises(BmcCertificateError):
                await bmc.observe(Look())
            await bmc.close()

    asyncio.run(run())


def test_one_context_per_trust(tmp_path):
    """All BMCs of one trust setting share one SSLContext; another state of the CA file is another setting."""
    lab = Authority(tmp_path)
    first = ssl_context(CaTrust(lab.ca))

    assert first is ssl_context(CaTrust(str(lab.ca)))
    assert first is not ssl_context(Unverified())
    assert ssl_context(Unverified()) is ssl_context(Unverified())
    assert ssl_context(PlainHttp()) is None


@pytest.mark.parametrize(
    ("url", "trust"),
    [
        ("http://10.0.0.1", SystemTrust()),
        ("https://10.0.0.1", PlainHttp()),
        ("10.0.0.1", SystemTrust()),
        ("https://user:pw@10.0.0.1", SystemTrust()),
        ("https://10.0.0.1/redfish", SystemTrust()),
        ("ftp://10.0.0.1", SystemTrust()),
        ("https://[", SystemTrust()),
    ],
)
def test_unusable_addresses(url, trust):
    """Plain http needs to be asked for, and an address is scheme, host and port."""
    with pytest.raises(UsageError):
        Transport(NodeName("n1"), url, trust, Timeouts())


def test_missing_ca_file(tmp_path):
    """A CA file that is not there, or is none, is the operator's to mend."""
    (tmp_path / "bad.pem").write_text("nothing")

    for name in ("absent.pem", "bad.pem"):
        with pytest.raises(UsageError, match=name):
            ssl_context(CaTrust(tmp_path / name))


def test_secrets_stay_out_of_errors():
    """An error about a login says nothing of the password that was sent."""

    async def run() -> str:
        async with ScriptedBmc() as server:
            server.on("POST /redfish/v1/SessionService/Sessions", Reply(500, {"error": "no"}))
            bmc = client(server, password="hunter2")
            seen = await bmc.observe(Look())
            await bmc.close()
            return json.dumps(str(seen))

    assert "hunter2" not in asyncio.run(run())
