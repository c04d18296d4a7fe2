"""Webhooks: what happened on a rack is told, signed, at least once, and never in the way of a rollout."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from hook_server import Got, HookServer, hook_server
from rackwave.core.event import Notified, RolloutFinished, RolloutResult
from rackwave.core.identity import RolloutId
from rackwave.core.notice import Occasion
from rackwave.core.policy import Policy
from rackwave.errors import InventoryError
from rackwave.inventory import Webhook, parse_inventory
from rackwave.secrets import Passphrases
from rackwave.webhooks import Patience, Webhooks
from rackwave_emulators.faults import FlashFails
from rackwave_emulators.tls import Authority
from rig import BIOS, Rig, Shelf, nodes

SECRET = "s3cret-of-the-hook"
QUICK = Patience(tries=3, first=0.01, most=0.02, parting=5.0)


@pytest.fixture
def server() -> Iterator[HookServer]:
    """Somebody who listens."""
    with hook_server() as server:
        yield server


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """Three nodes whose rollout was stopped by its canary."""
    rig = Rig(Shelf(tmp_path), nodes(3), policy=Policy(canary=1, waves=1))
    rig.clock.run(rig.assign(rig.shelf.bundle("A.1", {BIOS: "1.0.0"})))
    rig.rack.machine(rig.nodes[0]).inject(FlashFails(percent=40))
    rig.run(rig.shelf.bundle("A.2", {BIOS: "2.0.0"}))
    return rig


def hook(server: HookServer, **more: object) -> Webhook:
    """A webhook that leads to *server*."""
    return evolve(Webhook("chat", server.url, frozenset(Occasion), "env:HOOK", timeout=0.5), **more)


def tell(rig: Rig, *hooks: Webhook, patience: Patience = QUICK) -> list[int]:
    """Have a process that starts now tell what is untold; return the numbers of the events that were told."""

    async def whole() -> None:
        logbook = rig.logbook()
        webhooks = Webhooks(
            hooks,
            logbook=logbook,
            clock=rig.clock,
            patience=patience,
            passphrase=lambda reference: Passphrases(reference, environment={"HOOK": SECRET}),
        )
        logbook.subscribe(webhooks)
        webhooks.start()
        await webhooks.close()

    asyncio.run(whole())
    return [each.event.number for each in rig.journal.events() if isinstance(each.event, Notified)]


def assert_signed(got: Got) -> None:
    """The signature is of this body and of the time it names."""
    assert got.signature is not None
    at, mark = (part.partition("=")[2] for part in got.signature.split(","))

    assert hmac.new(SECRET.encode(), f"{at}.".encode() + got.body, hashlib.sha256).hexdigest() == mark


def test_a_rollout_that_stopped_is_told_with_its_reason_and_the_next_command(rig: Rig, server: HookServer) -> None:
    """Once, signed, and journalled: the next process says nothing more."""
    told = tell(rig, hook(server))
    again = tell(rig, hook(server))
    (got,) = server.got

    assert_signed(got)
    assert ("stopped", "roll1", "A.2") == (got.json["what"], got.json["rollout"], got.json["bundle"])
    assert "the canary r1n01 is rolled-back" in got.json["reason"]
    assert "rackwave rollout show roll1" == got.json["command"]
    assert [got.json["id"]] == told == again


def test_a_hook_that_fails_for_a_moment_is_tried_again(rig: Rig, server: HookServer) -> None:
    """The same notice under the same id, signed anew."""
    server.answers = [503, 429, 200]
    told = tell(rig, hook(server))

    assert 3 == len(server.got)
    assert {told[0]} == {got.json["id"] for got in server.got}
    for got in server.got:
        assert_signed(got)


def test_a_hook_that_is_down_is_told_of_once_in_the_log_and_gets_it_from_the_next_process(
    rig: Rig, server: HookServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Two notices that were not taken make one line; neither counts as told."""
    server.answers = [500]
    rig.clock.run(rig.journal.append(RolloutFinished(RolloutId("roll1"), RolloutResult.STOPPED, "again")))
    with caplog.at_level(logging.WARNING):
        first = tell(rig, hook(server))
    server.answers = [200]
    server.got.clear()
    second = tell(rig, hook(server))

    assert [] == first
    assert ["webhook failed hook=chat problem=it answered 500"] == [m for m in caplog.messages if "failed" in m]
    assert 2 == len(second) == len(server.got)


def test_a_redirect_is_not_followed(rig: Rig, server: HookServer) -> None:
    """What is signed for one host goes to no other, and is not tried again: it would lead there again."""
    with hook_server() as other:
        server.answers, server.location = [302], other.url
        told = tell(rig, hook(server))

        assert ([], []) == (told, other.got)
        assert 1 == len(server.got)


def test_a_hook_that_says_nothing_holds_up_neither_the_journal_nor_the_end(rig: Rig, server: HookServer) -> None:
    """Events go on being written while it is waited for, and the command ends after the parting time."""
    server.silent = True

    async def whole() -> float:
        logbook = rig.logbook()
        silent = Webhooks(
            [hook(server, secret="", timeout=20.0)],
            logbook=logbook,
            clock=rig.clock,
            patience=evolve(QUICK, parting=0.1),
        )
        logbook.subscribe(silent)
        silent.start()
        begun = asyncio.get_running_loop().time()
        for _ in range(20):
            await logbook.record(RolloutFinished(RolloutId("roll1"), RolloutResult.STOPPED, "again"))
        await silent.close()
        return asyncio.get_running_loop().time() - begun

    assert asyncio.run(whole()) < 5.0
    assert [] == [each for each in rig.journal.events() if isinstance(each.event, Notified)]


def test_a_hosts_certificate_must_be_vouched_for(rig: Rig, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By the system, or by what ``ca`` names; nothing is sent to one that nobody knows, and no switch changes that."""
    (tmp_path / "lab").mkdir()
    authority = Authority(tmp_path / "lab")
    with hook_server(authority.context("hook", "127.0.0.1")) as server, caplog.at_level(logging.WARNING):
        unknown = tell(rig, hook(server))
        known = tell(rig, hook(server, ca=authority.ca))
        missing = tell(rig, hook(server, name="other", ca=tmp_path / "none.pem"))

    assert [] == unknown
    assert "problem=ClientConnectorCertificateError" in caplog.text
    assert known == missing  # told to the one, and not to the other
    assert 1 == len(server.got)
    assert "its 'ca' cannot be used" in caplog.text


def test_only_what_was_asked_for_is_told(rig: Rig, server: HookServer) -> None:
    """A hook that is for quarantines hears nothing of a rollout that stopped."""
    tell(rig, hook(server, on=frozenset({Occasion.QUARANTINED})))

    assert [] == server.got


def test_what_is_old_news_is_not_told(rig: Rig, server: HookServer) -> None:
    """After a day nobody wants to hear of it."""
    rig.clock.advance(86_401.0)
    tell(rig, hook(server))

    assert [] == server.got


def test_nothing_goes_out_unsigned_where_the_secret_is_missing(
    rig: Rig, server: HookServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says which variable is not set, and nothing is sent."""
    with caplog.at_level(logging.WARNING):
        told = tell(rig, hook(server, secret="env:OTHER"))

    assert ([], []) == (told, server.got)
    assert "OTHER is not set" in caplog.text


def test_neither_the_secret_nor_the_url_is_shown(
    rig: Rig, server: HookServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in the log, a repr or the journal; the URL may grant access by itself."""
    server.answers = [400]
    one = hook(server)
    nobody = hook(server, name="nobody", url="http://127.0.0.1:9/hooks/t0ken")
    with caplog.at_level(logging.DEBUG):
        tell(rig, one, nobody)
    shown = f"{caplog.text} {one!r} {list(rig.journal.events())}"

    assert "problem=ClientConnectorError" in caplog.text
    assert SECRET not in shown
    assert "t0ken" not in shown


INVENTORY = '[[nodes]]\nname = "n1"\nbmc = "https://10.0.0.1"\ncredentials = "env:LAB"\n[[webhooks]]\n'


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('url = "http://example.org/t0ken"', "without TLS"),
        ('url = "https://ann:t0ken@example.org/"', "no https:// address"),
        ('url = "ftp://example.org/t0ken"', "no https:// address"),
        ('url = "https://[::1/t0ken"', "no https:// address"),
        ('name = "x"', "no https:// address"),
        ('url = "https://example.org/t0ken"\nsecret = "t0ken"', "'secret' is no reference"),
        ('url = "https://example.org/t0ken"\non = ["stoped"]', "'stoped' is not a valid"),
        ('url = "https://example.org/t0ken"\non = []', "no list of occasions"),
        ('url = "https://example.org/t0ken"\non = [{}]', "no occasion"),
        ('url = "https://example.org/t0ken"\ntimeout = 0', "no number of seconds"),
        ('url = "https://example.org/t0ken"\nca = 3', "'ca' is no text"),
        ('url = "https://example.org/t0ken"\nuri = 3', "unknown key 'uri'"),
        ('url = "https://example.org/a"\n[[webhooks]]\nurl = "https://example.org/b"', "two webhooks are called"),
    ],
)
def test_a_webhook_that_cannot_be_used_is_refused_by_name(lines: str, problem: str, tmp_path: Path) -> None:
    """When the inventory is read, without a word of the URL or the secret."""
    with pytest.raises(InventoryError) as refused:
        parse_inventory(INVENTORY + lines, tmp_path / "rackwave.toml")

    assert problem in str(refused.value)
    assert "t0ken" not in refused.value.whole


def test_a_webhook_is_read_with_its_defaults(tmp_path: Path) -> None:
    """Its name is the host's, plain HTTP goes to this machine, paths start from the inventory."""
    lines = 'url = "http://127.0.0.1:8080/x"\nsecret = "file:hook.secret"\nca = "ca.pem"'
    (found,) = parse_inventory(INVENTORY + lines, tmp_path / "rackwave.toml").webhooks

    assert ("127.0.0.1", f"file:{tmp_path}/hook.secret", tmp_path / "ca.pem") == (found.name, found.secret, found.ca)
    assert {"stopped", "quarantined", "approval"} == found.on
