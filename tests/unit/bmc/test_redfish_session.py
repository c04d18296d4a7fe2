"""Logging in, staying logged in, and leaving nothing behind."""

from __future__ import annotations

import asyncio

import pytest
from scripted_bmc import DROP, QUICK, SESSIONS, SYSTEM, HandClock, Reply, ScriptedBmc, client

from rackwave.core.observation import Look, Power, Unknown
from rackwave.errors import BmcAnswerError, BmcLoginError
from rackwave.ports import ResetKind

LOGIN = f"POST {SESSIONS}"


def test_session_is_closed():
    """One session serves everything and is deleted at the end; the journal hears of both by URI."""

    async def run() -> tuple[ScriptedBmc, list[tuple[str, bool]]]:
        told: list[tuple[str, bool]] = []

        async def on_session(uri: str, opened: bool) -> None:
            told.append((uri, opened))

        async with ScriptedBmc() as server:
            bmc = client(server, on_session=on_session)
            await bmc.observe(Look())
            await bmc.observe(Look())
            await bmc.close()
            return server, told

    server, told = asyncio.run(run())

    assert {} == server.tokens
    assert 1 == server.logins
    assert [(f"{SESSIONS}/1", True), (f"{SESSIONS}/1", False)] == told


def test_expired_session_is_renewed_once():
    """A 401 in mid-rollout (P31) brings one new login and the same request again; the old session is not left."""

    async def run() -> tuple[ScriptedBmc, Power | Unknown]:
        async with ScriptedBmc() as server:
            bmc = client(server)
            await bmc.observe(Look())
            server.tokens.clear()
            seen = await bmc.observe(Look())
            await bmc.close()
            return server, seen.power

    server, power = asyncio.run(run())

    assert Power.ON is power
    assert 2 == server.logins
    assert [f"DELETE {SESSIONS}/2"] == server.seen("DELETE")


@pytest.mark.parametrize("owner", ["ours", "somebody"])
def test_a_restarted_bmc_counts_its_sessions_anew(owner):
    """After a restart our expired session's URI may be our new one's, or another user's: neither is ended for it."""

    async def run() -> tuple[ScriptedBmc, Power | Unknown, list[tuple[str, bool]]]:
        told: list[tuple[str, bool]] = []

        async def on_session(uri: str, opened: bool) -> None:
            told.append((uri, opened))

        async with ScriptedBmc() as server:
            bmc = client(server, on_session=on_session)
            await bmc.observe(Look())
            server.tokens.clear()
            if owner == "ours":
                server.logins = 0
            else:
                server.tokens["other"] = f"{SESSIONS}/1"
                server.documents[f"{SESSIONS}/1"] = {"UserName": "somebody"}
            seen = await bmc.observe(Look())
            assert owner == "ours" or "other" in server.tokens
            await bmc.close()
            return server, seen.power, told

    server, power, told = asyncio.run(run())

    assert Power.ON is power
    assert [f"DELETE {SESSIONS}/{1 if owner == 'ours' else 2}"] == server.seen("DELETE")
    assert {uri for uri, opened in told if opened} == {uri for uri, opened in told if not opened}


def test_old_session_is_ended_though_the_renewal_failed():
    """A session that was answered 401 but lives is ended by the next login that works, however late."""

    async def run() -> ScriptedBmc:
        async with ScriptedBmc() as server:
            bmc = client(server)
            await bmc.observe(Look())
            server.on(f"GET {SYSTEM}", Reply(401)).on(LOGIN, DROP)
            assert isinstance((await bmc.observe(Look())).power, Unknown)
            assert [f"{SESSIONS}/1"] == list(server.tokens.values())
            assert Power.ON is (await bmc.observe(Look())).power
            assert [f"{SESSIONS}/2"] == list(server.tokens.values())
            await bmc.close()
            return server

    assert {} == asyncio.run(run()).tokens


def test_expired_session_at_an_act():
    """An act that was answered 401 was not carried out, so it is sent again in a new session, once."""

    async def run() -> tuple[ScriptedBmc, object]:
        async with ScriptedBmc() as server:
            bmc = client(server)
            await bmc.observe(Look())
            server.tokens.clear()
            receipt = await bmc.reset_host(ResetKind.ON)
            await bmc.close()
            return server, receipt

    server, receipt = asyncio.run(run())

    assert "Accepted" == type(receipt).__name__
    assert 2 == len(server.seen(f"POST {SYSTEM}"))
    assert 2 == server.logins


def test_401_for_ever_ends():
    """A service that answers 401 to every request gets one new login for a request, no loop of them."""

    async def run() -> tuple[ScriptedBmc, object]:
        async with ScriptedBmc() as server:
            server.documents[SYSTEM] = Reply(401, {})
            bmc = client(server)
            seen = await bmc.observe(Look())
            await bmc.close()
            return server, seen.power

    server, power = asyncio.run(run())

    assert isinstance(power, Unknown)
    assert 2 == server.logins
    assert {} == server.tokens


@pytest.mark.parametrize("status", [400, 401, 403])
def test_refused_login_is_final(status):
    """A refused login is sent once, however often the node is looked at (P34)."""

    async def run() -> ScriptedBmc:
        async with ScriptedBmc() as server:
            server.on(LOGIN, *[Reply(status, {"error": {"message": "no"}})] * 5)
            bmc = client(server, password="secret-word")
            for _ in range(3):
                with pytest.raises(BmcLoginError) as caught:
                    await bmc.observe(Look())
                assert "secret-word" not in repr(caught.value)
            await bmc.close()
            return server

    server = asyncio.run(run())

    assert [LOGIN] == server.seen("POST")


def test_login_with_changed_credentials():
    """After a refusal, credentials that changed are tried; the same ones never again."""

    async def run() -> ScriptedBmc:
        async with ScriptedBmc() as server:
            server.on(LOGIN, Reply(401))
            bmc = client(server)
            with pytest.raises(BmcLoginError):
                await bmc.observe(Look())
            bmc.session._credentials = client(server, password="new").session._credentials
            seen = await bmc.observe(Look())
            assert Power.ON is seen.power
            await bmc.close()
            return server

    server = asyncio.run(run())

    assert 2 == len(server.seen(LOGIN))


def test_many_askers_one_login():
    """Sixteen requests at once make one session, not sixteen."""

    async def run() -> ScriptedBmc:
        async with ScriptedBmc() as server:
            bmc = client(server)
            await asyncio.gather(*(bmc.observe(Look()) for _ in range(16)))
            await bmc.close()
            return server

    server = asyncio.run(run())

    assert 1 == server.logins
    assert 1 == server.connections


def test_session_cap_is_waited_for():
    """503 on login is the session cap (P26): the wait is as long as the BMC says, and a little longer."""

    async def run() -> tuple[HandClock, object]:
        clock = HandClock()
        async with ScriptedBmc() as server:
            server.on(LOGIN, Reply(503, {}, {"Retry-After": "7"}), Reply(503, {}, {"Retry-After": "9"}))
            bmc = client(server, clock=clock)
            seen = await bmc.observe(Look())
            await bmc.close()
            return clock, seen.power

    clock, power = asyncio.run(run())

    assert Power.ON is power
    assert 7.0 <= clock.slept[0] <= 8.75
    assert 9.0 <= clock.slept[1] <= 11.25


def test_session_cap_wait_is_bounded():
    """A Retry-After beyond our deadline is not slept toward; the observation says why nothing is known."""

    async def run() -> tuple[HandClock, ScriptedBmc, object]:
        clock = HandClock()
        async with ScriptedBmc() as server:
            server.on(LOGIN, Reply(503, {"error": "busy"}, {"Retry-After": "600"}))
            bmc = client(server, clock=clock)
            seen = await bmc.observe(Look())
            await bmc.close()
            return clock, server, seen.power

    clock, server, power = asyncio.run(run())

    assert isinstance(power, Unknown)
    assert "busy" in power.reason
    assert [] == clock.slept
    assert 1 == len(server.seen(LOGIN))


@pytest.mark.parametrize("status", [404, 405, 500, 501])
def test_no_fallback_to_basic(status):
    """A session service that does not work is reported; the password never goes out by Basic (P30)."""

    async def run() -> tuple[ScriptedBmc, object]:
        async with ScriptedBmc() as server:
            server.on(LOGIN, Reply(status))
            bmc = client(server)
            seen = await bmc.observe(Look())
            await bmc.close()
            return server, seen.power

    server, power = asyncio.run(run())

    assert isinstance(power, Unknown)
    assert [] == [request for request in server.requests if "authorization" in request.headers]


def test_login_answer_without_location():
    """A session answer without Location is closed by the URI in its body, not leaked."""

    async def run() -> ScriptedBmc:
        async with ScriptedBmc() as server:
            server.tokens["t"] = f"{SESSIONS}/9"
            server.on(LOGIN, Reply(201, {"@odata.id": f"{SESSIONS}/9"}, {"X-Auth-Token": "t"}))
            bmc = client(server)
            seen = await bmc.observe(Look())
            assert Power.ON is seen.power
            await bmc.close()
            return server

    server = asyncio.run(run())

    assert {} == server.tokens


@pytest.mark.parametrize(
    ("body", "headers", "missing"),
    [
        ({}, {"X-Auth-Token": "t"}, "Location"),
        ({}, {"Location": f"{SESSIONS}/9"}, "X-Auth-Token"),
        (b"<html>", {}, "X-Auth-Token and Location"),
    ],
)
def test_login_answer_unusable(body, headers, missing):
    """A login answer without token or URI is an error that names what is missing; a URI goes to the journal."""

    async def run() -> tuple[list[tuple[str, bool]], str]:
        told: list[tuple[str, bool]] = []

        async def on_session(uri: str, opened: bool) -> None:
            told.append((uri, opened))

        async with ScriptedBmc() as server:
            server.on(LOGIN, Reply(201, body, headers))
            bmc = client(server, on_session=on_session)
            with pytest.raises(BmcAnswerError) as caught:
                await bmc.session.token()
            await bmc.close()
            return told, str(caught.value)

    told, message = asyncio.run(run())

    assert missing in message
    assert ([(f"{SESSIONS}/9", True)] if "Location" in headers else []) == told


def test_password_change_required():
    """A session that only allows to change the password is closed and asks for a person."""
    info = {"@Message.ExtendedInfo": [{"MessageId": "Base.1.8.PasswordChangeRequired", "MessageArgs": ["/x"]}]}

    async def run() -> ScriptedBmc:
        async with ScriptedBmc() as server:
            server.tokens["t"] = f"{SESSIONS}/9"
            server.on(LOGIN, Reply(201, info, {"X-Auth-Token": "t", "Location": f"{SESSIONS}/9"}))
            bmc = client(server)
            with pytest.raises(BmcLoginError, match="password"):
                await bmc.observe(Look())
            await bmc.close()
            return server

    server = asyncio.run(run())

    assert {} == server.tokens


def test_lost_login_answer():
    """A login whose answer is lost makes the observation unknown; the next look logs in again."""

    async def run() -> tuple[object, object]:
        async with ScriptedBmc() as server:
            server.on(LOGIN, DROP)
            bmc = client(server)
            first = await bmc.observe(Look())
            second = await bmc.observe(Look())
            await bmc.close()
            return first.power, second.power

    first, second = asyncio.run(run())

    assert isinstance(first, Unknown)
    assert Power.ON is second


def test_journal_failure_closes_the_session():
    """A session that cannot be journalled is closed again at once."""

    async def run() -> ScriptedBmc:
        async def on_session(uri: str, opened: bool) -> None:
            if opened:
                raise OSError("disk full")

        async with ScriptedBmc() as server:
            bmc = client(server, on_session=on_session)
            with pytest.raises(OSError, match="disk full"):
                await bmc.observe(Look())
            await bmc.close()
            return server

    server = asyncio.run(run())

    assert 1 == server.logins
    assert {} == server.tokens


def test_cancelled_login_leaves_no_session():
    """A login that is cancelled while its answer is on the way is closed all the same."""

    async def run() -> ScriptedBmc:
        async with ScriptedBmc() as server:
            bmc = client(server)
            looking = asyncio.ensure_future(bmc.observe(Look()))
            while not server.seen(LOGIN):  # noqa: ASYNC110 - the moment between request and answer
                await asyncio.sleep(0)
            looking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await looking
            await bmc.close()
            return server

    server = asyncio.run(run())

    assert 1 == server.logins
    assert {} == server.tokens


def test_leftover_is_closed():
    """What a killed run left is deleted by URI in a session of ours; what the URI names now may be another's."""

    async def run() -> tuple[ScriptedBmc, list[bool], list[tuple[str, bool]]]:
        told: list[tuple[str, bool]] = []

        async def on_session(uri: str, opened: bool) -> None:
            told.append((uri, opened))

        async with ScriptedBmc() as server:
            server.tokens |= {"old": f"{SESSIONS}/77", "other": f"{SESSIONS}/79"}
            server.documents[f"{SESSIONS}/77"] = {"UserName": "admin"}
            server.documents[f"{SESSIONS}/79"] = {"UserName": "somebody"}
            bmc = client(server, on_session=on_session)
            gone = [await bmc.close_leftover(f"{SESSIONS}/{number}") for number in (77, 78, 79, 1)]
            assert ["other", "token-1"] == list(server.tokens)
            await bmc.close()
            return server, gone, told

    server, gone, told = asyncio.run(run())

    assert [True, True, True, False] == gone
    assert ["other"] == list(server.tokens)
    assert [(f"{SESSIONS}/{n}", False) for n in (77, 78, 79, 1)] == [entry for entry in told if not entry[1]]


def test_token_is_in_no_repr():
    """Neither token nor password appears in the repr of anything that holds them."""

    async def run() -> list[str]:
        async with ScriptedBmc() as server:
            bmc = client(server)
            token = await bmc.session.token()
            answer = await bmc.session.get(SYSTEM)
            await bmc.close()
            return [repr(token), repr(answer), repr(bmc), repr(QUICK)]

    shown = asyncio.run(run())

    assert [] == [text for text in shown if "token-1" in text or "password" in text]
