"""What a killed run left on BMCs is cleared away, and stops nobody."""

from __future__ import annotations

import asyncio

from scripted_bmc import SESSIONS, HandClock, ScriptedBmc

from rackwave.bmc.failover import FailoverBmc, Way
from rackwave.bmc.pool import BmcPool, Connected
from rackwave.bmc.redfish.bmc import RedfishBmc
from rackwave.bmc.redfish.trust import PlainHttp
from rackwave.core.identity import NodeName
from rackwave.errors import SecretError
from rackwave.ports import Credentials, Means

NODE = NodeName("n1")


def test_leftovers_wait_where_the_secret_cannot_be_had() -> None:
    """Without credentials nothing is closed; the adapter is handed out, and says so when it is used."""
    closed: list[str] = []

    def no_secret() -> Credentials:
        raise SecretError("env:BMC_PASSWORD is not set", advice="Set it.")

    async def run() -> None:
        async with ScriptedBmc() as server:
            redfish = RedfishBmc(NODE, server.url, no_secret, clock=HandClock(), trust=PlainHttp())

            async def note(_: NodeName, uri: str) -> None:
                closed.append(uri)

            made = Connected(FailoverBmc(Way(Means.REDFISH, redfish, HandClock()), clock=HandClock()), redfish)
            pool = BmcPool(lambda _: made, leftovers=lambda _: [f"{SESSIONS}/7"], closed=note)

            assert made is await pool.get(NODE)
            await pool.close()

    asyncio.run(run())

    assert [] == closed
