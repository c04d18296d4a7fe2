"""What a rack needs beside its nodes is looked for before it is needed, and nothing is run or sent."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rackwave.check import Check, Outcome
from rackwave.core.notice import Occasion
from rackwave.drain import DrainConfig
from rackwave.inventory import GateCommand, Inventory, Webhook
from rackwave.surroundings import examine_surroundings


def test_programs_are_looked_for_and_not_run(tmp_path: Path) -> None:
    """One is there, one is not, one may not be run."""
    there, closed, ran = tmp_path / "gate", tmp_path / "closed", tmp_path / "ran"
    there.write_text(f"#!/bin/sh\ntouch {ran}\n")
    there.chmod(0o755)
    closed.write_text("#!/bin/sh\n")
    closed.chmod(0o644)

    assert {"gate": Outcome.GOOD} == examined(Inventory((), gate=GateCommand((str(there), "{rollout}"))))
    assert {"drain": Outcome.BAD} == examined(Inventory((), drain=DrainConfig(command=(str(closed),))))
    assert {"gate": Outcome.BAD} == examined(Inventory((), gate=GateCommand(("no-such-program",))))
    assert not ran.exists()


def test_a_webhook_is_connected_to_and_sent_nothing() -> None:
    """Its URL, which may grant access, is in no word of it."""
    heard: list[bytes] = []

    async def whole() -> tuple[Check, ...]:
        async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await reader.read())
            writer.close()

        server = await asyncio.start_server(hear, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            return await examine_surroundings(Inventory((), webhooks=(hook(f"http://127.0.0.1:{port}/T0KEN"),)))

    (check,) = asyncio.run(whole())
    assert (Outcome.GOOD, "webhook chat", None) == (check.outcome, check.name, check.node)
    assert b"" == b"".join(heard)
    assert "T0KEN" not in str(check)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ({"url": "http://127.0.0.1:9/T0KEN"}, "does not take a connection"),
        ({"url": "https://127.0.0.1:9/T0KEN", "ca": Path("/no/such/ca.pem")}, "its 'ca' cannot be used"),
        ({"url": "http://127.0.0.1:9/", "secret": "env:NOT_SET_ANYWHERE"}, "its secret cannot be had"),
    ],
)
def test_what_is_wrong_with_a_webhook_is_said(made: dict[str, object], why: str) -> None:
    """Before the night in which it is to tell of a quarantine."""
    (check,) = asyncio.run(examine_surroundings(Inventory((), webhooks=(hook(**made),))))  # type: ignore[arg-type]

    assert (Outcome.BAD, True) == (check.outcome, why in check.detail)
    assert "T0KEN" not in check.detail


def hook(url: str, **more: object) -> Webhook:
    """A webhook called chat."""
    return Webhook("chat", url, frozenset(Occasion), **more)  # type: ignore[arg-type]


def examined(inventory: Inventory) -> dict[str, Outcome]:
    """How each check of the rack went."""
    return {check.name: check.outcome for check in asyncio.run(examine_surroundings(inventory))}
