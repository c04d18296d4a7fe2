"""Pinned BMCs: who gets the password, and who never does (P32, P40)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from attrs import define, field
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from scripted_bmc import ROOT, SESSIONS, SYSTEM, Reply, ScriptedBmc, client

from rackwave.bmc.failover import FailoverBmc, Way
from rackwave.bmc.redfish.keys import key_of
from rackwave.bmc.redfish.trust import PinnedKey
from rackwave.core.identity import Digest
from rackwave.core.observation import Look, Power, Unknown
from rackwave.core.pin import Pin, PinGround
from rackwave.core.receipt import Accepted
from rackwave.errors import BmcKeyChangedError, BmcLoginError
from rackwave.ports import Means, ResetKind
from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.faults import Certificate
from rackwave_emulators.personality import load_personality
from rackwave_emulators.sim import SimRack
from rackwave_emulators.tls import Authority

LOGIN = f"POST {SESSIONS}"


@define
class Book:
    """Pins in memory. *forbids* is why no key may take another's place by itself."""

    pin: Pin | None = None
    serial: str = "S1"
    forbids: str | None = None
    asked: list[tuple[str, str]] = field(factory=list)
    log: list[tuple[PinGround, str]] = field(factory=list)

    def why_not(self, key: Digest, uuid: str) -> str | None:
        self.asked.append((key, uuid))
        if self.forbids is None and self.pin is not None and uuid != self.pin.uuid:
            return f"its service calls itself {uuid}"
        return self.forbids

    async def record(self, key: Digest, ground: PinGround, uuid: str) -> None:
        self.pin = Pin(key, ground, 0.0, uuid)
        self.log.append((ground, uuid))


@pytest.fixture
def lab(tmp_path):
    """What makes certificates: ``lab(number)`` with a key of its own for each number, and the same key for 0."""
    authority = Authority(tmp_path)

    def context(number: int = 0) -> Any:
        kind = Certificate.SELF_SIGNED if number else None
        return authority.context("bmc", "127.0.0.1", kind=kind, number=number)

    return context


def documents(server: ScriptedBmc, uuid: str | None = "U1") -> ScriptedBmc:
    """*server* with a service UUID."""
    server.documents["/redfish/v1/"] = ROOT if uuid is None else {**ROOT, "UUID": uuid}
    return server


def pinned(server: ScriptedBmc, book: Book, **more: Any):
    """A client that believes *server* by *book*."""
    return client(server, trust=PinnedKey(), keys=book, **more)


async def move(bmc, server: ScriptedBmc) -> None:
    """Have *bmc* find *server* at its address, as after a restart or an attack."""
    await bmc.transport.park()
    moved = client(server, trust=PinnedKey(), keys=Book())
    bmc.transport.base = moved.transport.base


def test_first_contact_is_recorded_before_the_password_goes_out(lab):
    """The first key is on record before anything that says who we are; later runs believe it alone."""

    class Noting(Book):
        async def record(self, key, ground, uuid):
            assert [] == server.seen(LOGIN)
            await super().record(key, ground, uuid)

    async def run() -> Book:
        nonlocal server
        async with documents(ScriptedBmc(tls=lab(1))) as server:
            book = Noting()
            for _ in range(2):
                bmc = pinned(server, book)
                assert Power.ON is (await bmc.observe(Look())).power
                await bmc.close()
            assert {} == server.tokens
            return book

    server: ScriptedBmc
    book = asyncio.run(run())

    assert [(PinGround.FIRST_CONTACT, "U1")] == book.log


def test_a_journal_that_cannot_be_written_sends_no_password(lab):
    """Where the first key cannot be recorded, there is no login."""

    class Full(Book):
        async def record(self, key, ground, uuid):
            raise OSError("disk full")

    async def run() -> ScriptedBmc:
        async with documents(ScriptedBmc(tls=lab(1))) as server:
            bmc = pinned(server, Full())
            with pytest.raises(OSError, match="disk full"):
                await bmc.observe(Look())
            await bmc.close()
            return server

    assert [] == asyncio.run(run()).seen("POST")


@pytest.mark.parametrize("kept", [True, False])
def test_a_changed_key_stops(lab, kept):
    """Behind another key nothing is sent, neither password nor token; the error names both keys and the command."""

    async def run() -> tuple[ScriptedBmc, BmcKeyChangedError, Book]:
        book = Book(forbids="rackwave has not written this BMC's firmware lately")
        async with documents(ScriptedBmc(tls=lab(1))) as server, documents(ScriptedBmc(tls=lab(2))) as other:
            bmc = pinned(server, book)
            await bmc.observe(Look())
            if kept:
                await move(bmc, other)
            else:
                await bmc.close()
                bmc = pinned(other, book)
            with pytest.raises(BmcKeyChangedError) as caught:
                await bmc.observe(Look())
            with pytest.raises(BmcKeyChangedError):
                await bmc.reset_host(ResetKind.FORCE_RESTART)
            await bmc.close()
            return other, caught.value, book

    other, error, book = asyncio.run(run())

    assert [] == other.requests
    assert book.pin is not None
    assert error.expected == book.pin.key
    assert error.found in str(error)
    assert error.expected in str(error)
    assert "not written this BMC's firmware lately" in str(error)
    assert f"rackwave pin accept n1 --fingerprint {error.found}" in error.advice


def test_a_renewed_certificate_on_the_same_key_is_believed(lab):
    """The key is pinned, not the certificate: a renewal goes unnoticed."""

    async def run() -> Book:
        book = Book()
        for _ in range(2):
            async with documents(ScriptedBmc(tls=lab(0))) as server:
                bmc = pinned(server, book)
                assert Power.ON is (await bmc.observe(Look())).power
                await bmc.close()
        return book

    assert 1 == len(asyncio.run(run()).log)


@pytest.mark.parametrize("fresh", [True, False])
def test_after_our_write_the_machine_is_found_again_by_serial(lab, fresh):
    """A candidate key is believed once the machine behind it has the serial on record; an act is sent once."""

    async def run() -> tuple[ScriptedBmc, Book, object, object]:
        book = Book()
        async with documents(ScriptedBmc(tls=lab(1))) as server, documents(ScriptedBmc(tls=lab(2))) as other:
            bmc = pinned(server, book)
            await bmc.observe(Look())
            if fresh:
                await bmc.close()
                bmc = pinned(other, book)
            else:
                await move(bmc, other)
            receipt = await bmc.reset_host(ResetKind.FORCE_RESTART)
            seen = await bmc.observe(Look())
            await bmc.close()
            assert {} == other.tokens
            return other, book, receipt, seen.power

    other, book, receipt, power = asyncio.run(run())

    assert isinstance(receipt, Accepted)
    assert Power.ON is power
    assert [(PinGround.FIRST_CONTACT, "U1"), (PinGround.OUR_WRITE, "U1")] == book.log
    assert 1 == len([line for line in other.seen("POST") if "Reset" in line])
    assert [] == [r for r in other.requests if r.headers.get("x-auth-token") not in (None, "token-1")]
    assert 1 == other.logins


def test_another_service_behind_the_new_key_gets_no_password(lab):
    """A BMC with another UUID is none of ours: it is refused before any credentials go out."""

    async def run() -> tuple[ScriptedBmc, str]:
        book = Book()
        async with documents(ScriptedBmc(tls=lab(1))) as server, documents(ScriptedBmc(tls=lab(2)), "U2") as other:
            bmc = pinned(server, book)
            await bmc.observe(Look())
            await move(bmc, other)
            errors = []
            for _ in range(2):
                with pytest.raises(BmcKeyChangedError) as caught:
                    await bmc.observe(Look())
                errors.append(str(caught.value))
            await bmc.close()
            return other, errors[0]

    other, error = asyncio.run(run())

    assert ["GET /redfish/v1/"] == other.seen()
    assert "U2" in error


def test_another_machine_behind_the_new_key_stops_for_good(lab):
    """Where the serial differs the session ends, the key is not recorded, and it gets the password no second time."""

    async def run() -> tuple[ScriptedBmc, str, Book]:
        book = Book(serial="S9")
        async with documents(ScriptedBmc(tls=lab(1))) as server, documents(ScriptedBmc(tls=lab(2))) as other:
            bmc = pinned(server, book)
            await bmc.observe(Look())
            await move(bmc, other)
            errors = []
            for _ in range(3):
                with pytest.raises(BmcKeyChangedError) as caught:
                    await bmc.observe(Look())
                errors.append(str(caught.value))
            await bmc.close()
            assert {} == other.tokens
            return other, errors[0], book

    other, error, book = asyncio.run(run())

    assert 1 == other.logins
    assert [PinGround.FIRST_CONTACT] == [ground for ground, _ in book.log]
    assert "S1, not S9" in error
    assert "change that" in error


@pytest.mark.parametrize(
    ("uri", "reply"),
    [
        ("GET /redfish/v1/", Reply(503, {}, {"Retry-After": "900"})),
        ("GET /redfish/v1/", Reply(200, ROOT)),  # no UUID yet (P25)
        ("GET /redfish/v1/", Reply(200, b"<html>")),
        (f"GET {SYSTEM}", Reply(503, {}, {"Retry-After": "900"})),
        (f"GET {SYSTEM}", Reply(200, {"PowerState": "On"})),  # no serial yet (P25)
    ],
)
def test_a_bmc_that_has_just_started_is_asked_again(lab, uri, reply):
    """What is not told yet is Unknown, not a verdict: the next look finds the machine."""

    async def run() -> tuple[object, object, Book]:
        book = Book()
        async with documents(ScriptedBmc(tls=lab(1))) as server, documents(ScriptedBmc(tls=lab(2))) as other:
            bmc = pinned(server, book)
            await bmc.observe(Look())
            await move(bmc, other)
            other.on(uri, reply)
            first = await bmc.observe(Look())
            second = await bmc.observe(Look())
            await bmc.close()
            assert {} == other.tokens
            return first.power, second.power, book

    first, second, book = asyncio.run(run())

    assert isinstance(first, Unknown)
    assert Power.ON is second
    assert PinGround.OUR_WRITE is book.log[-1][0]


def test_a_key_that_changes_again_is_refused(lab):
    """A candidate that was not proven yet cannot be replaced by a third key."""

    async def run() -> tuple[ScriptedBmc, Book]:
        book = Book()
        async with (
            documents(ScriptedBmc(tls=lab(1))) as server,
            documents(ScriptedBmc(tls=lab(2))) as other,
            documents(ScriptedBmc(tls=lab(3))) as third,
        ):
            bmc = pinned(server, book)
            await bmc.observe(Look())
            await move(bmc, other)
            other.on(f"GET {SYSTEM}", Reply(200, {}))
            await bmc.observe(Look())
            await move(bmc, third)
            with pytest.raises(BmcKeyChangedError):
                await bmc.observe(Look())
            await bmc.close()
            return third, book

    third, book = asyncio.run(run())

    assert [] == third.requests
    assert 1 == len(book.log)


def test_accounts_gone_after_the_reset(lab):
    """A BMC that comes back with neither its key nor its accounts (P40) is refused once, and not pinned."""

    async def run() -> tuple[ScriptedBmc, Book]:
        book = Book()
        async with documents(ScriptedBmc(tls=lab(1))) as server, documents(ScriptedBmc(tls=lab(2))) as other:
            bmc = pinned(server, book)
            await bmc.observe(Look())
            await move(bmc, other)
            other.on(LOGIN, Reply(401), Reply(401))
            for _ in range(2):
                with pytest.raises(BmcLoginError):
                    await bmc.observe(Look())
            await bmc.close()
            return other, book

    other, book = asyncio.run(run())

    assert [LOGIN] == other.seen("POST")
    assert 1 == len(book.log)


def test_the_old_token_never_reaches_a_new_key(lab):
    """The session of before the change is neither used nor closed over a connection whose key is not settled."""

    async def run() -> ScriptedBmc:
        book = Book(forbids="no")
        async with documents(ScriptedBmc(tls=lab(1))) as server, documents(ScriptedBmc(tls=lab(2))) as other:
            bmc = pinned(server, book)
            await bmc.observe(Look())
            await move(bmc, other)
            await bmc.close()
            return other

    assert [] == asyncio.run(run()).requests


def test_a_changed_key_stops_the_other_way_too(lab):
    """Where Redfish shows another key nothing is done over IPMI either: somebody may be posing as the BMC."""

    async def run() -> list[str]:
        clock = VirtualClock()
        machine = SimRack(["n1"], clock, personality=load_personality("plain"))
        book = Book(forbids="no")
        async with documents(ScriptedBmc(tls=lab(1))) as server, documents(ScriptedBmc(tls=lab(2))) as other:
            bmc = pinned(server, book)
            await bmc.observe(Look())
            await move(bmc, other)
            ways = (Way(Means.REDFISH, bmc, clock), Way(Means.IPMI, machine.bmc("n1", means=Means.IPMI), clock))
            both = FailoverBmc(*ways, clock=clock)
            with pytest.raises(BmcKeyChangedError):
                await both.observe(Look())
            with pytest.raises(BmcKeyChangedError):
                await both.reset_host(ResetKind.FORCE_RESTART)
            await bmc.close()
            return machine.machine("n1").truth()["resets"]["host"]

    assert 0 == asyncio.run(run())


def test_the_key_is_what_openssl_would_hash(lab, tmp_path):
    """The fingerprint is that of the certificate's SubjectPublicKeyInfo."""
    lab(1)
    found = {}
    for path in (tmp_path / "certificates").glob("*.pem"):
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        der = certificate.public_bytes(serialization.Encoding.DER)
        info = certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        found[key_of(der)] = info

    from hashlib import sha256

    assert [f"sha256:{sha256(info).hexdigest()}" for info in found.values()] == list(found)


def test_a_stream_never_goes_to_a_key_that_is_only_being_met(lab):
    """While the root is read behind a new key, the stream that connects anew keeps its token to itself."""

    async def run() -> list[str]:
        async with documents(ScriptedBmc(tls=lab(1))) as server, ScriptedBmc(tls=lab(2)) as other:
            bmc = pinned(server, Book())
            await bmc.observe(Look())
            await move(bmc, other)
            bmc.transport.keeper.open()
            with pytest.raises(BmcKeyChangedError):
                async with bmc.transport.stream("/events", {"X-Auth-Token": "secret"}, silence=1.0):
                    pass
            assert bmc.transport.keeper.is_settled
            await bmc.transport.park()
            return other.seen()

    assert [] == asyncio.run(run())
