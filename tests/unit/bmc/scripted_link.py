"""An IPMI link that a test scripts: what it answers to each command, and what it was asked."""

from __future__ import annotations

from collections.abc import Callable

from rackwave.bmc.ipmi.bmc import IpmiBmc
from rackwave.bmc.ipmi.endpoint import Endpoint
from rackwave.bmc.ipmi.link import READ, Patience
from rackwave.bmc.ipmi.threads import Threads
from rackwave.core.identity import NodeName
from rackwave.errors import BmcUnreachableError
from rackwave.ports import Credentials
from rackwave_emulators.clock import VirtualClock

Answer = Callable[[int, int, bytes], bytes]


class ScriptedLink:
    """Answers by *answer*, which gets network function, command and data, and returns or raises."""

    holds_session = True

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[tuple[int, int, bytes]] = []
        self.opened = self.closed = 0
        self._open = False

    def open(self, credentials: Credentials) -> None:
        self.opened += 1
        self._open = True

    def raw(self, netfn: int, command: int, data: bytes = b"", *, lun: int = 0, patience: Patience = READ) -> bytes:
        if not self._open:
            raise BmcUnreachableError("node1: there is no session", node="node1")
        self.asked.append((netfn, command, data))
        return self.answer(netfn, command, data)

    def close(self) -> None:
        self.closed += 1
        self._open = False


class Quick(VirtualClock):
    """A clock whose sleep moves it."""

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)


async def _there(_: Endpoint) -> bool:
    return True


def scripted_bmc(answer: Answer, threads: Threads) -> tuple[IpmiBmc, ScriptedLink]:
    """Return an adapter on a scripted link."""
    link = ScriptedLink(answer)
    bmc = IpmiBmc(
        NodeName("node1"),
        Endpoint("127.0.0.1"),
        lambda: Credentials("admin", "password"),
        clock=Quick(),
        threads=threads,
        link=link,
        is_there=_there,
    )
    return bmc, link
