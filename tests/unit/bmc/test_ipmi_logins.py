"""IPMI logins that a BMC refused are not tried again by the next process (P34)."""

from __future__ import annotations

import asyncio

import pytest
from scripted_link import Quick, ScriptedLink

from rackwave.bmc.ipmi.bmc import IpmiBmc
from rackwave.bmc.ipmi.endpoint import Endpoint
from rackwave.bmc.ipmi.threads import Threads
from rackwave.core.identity import NodeName
from rackwave.core.observation import Look
from rackwave.engine.logbook import Logbook
from rackwave.engine.logins import KEY_FILE, Fingerprints, JournalledLogins
from rackwave.engine.memory import MemoryJournal
from rackwave.errors import BmcLoginError
from rackwave.ports import Credentials

NODE = NodeName("node1")


class Refusing(ScriptedLink):
    """A BMC that lets nobody in."""

    def open(self, credentials: Credentials) -> None:
        self.opened += 1
        raise BmcLoginError("node1: RAKP 2 was refused: the password is not the BMC's", node="node1")


def test_a_second_run_burns_no_ipmi_login(tmp_path):
    """However many processes look, a password that IPMI refused is tried once."""
    clock = Quick()
    logbook = Logbook(MemoryJournal(clock))
    threads = Threads()
    links = []

    async def there(_: Endpoint) -> bool:
        return True

    async def run() -> None:
        for _ in range(3):
            links.append(Refusing(lambda *_: b"\0"))
            bmc = IpmiBmc(
                NODE,
                Endpoint("127.0.0.1", 623),
                lambda: Credentials("admin", "wrong"),
                clock=clock,
                threads=threads,
                link=links[-1],
                is_there=there,
                memory=JournalledLogins(NODE, logbook, Fingerprints(tmp_path / KEY_FILE), clock, way="ipmi"),
            )
            with pytest.raises(BmcLoginError):
                await bmc.observe(Look())
            await bmc.close()

    asyncio.run(run())
    threads.close()

    assert [1, 0, 0] == [link.opened for link in links]
    assert "RAKP 2 was refused" in logbook.node(NODE).refused_logins[0].reason
