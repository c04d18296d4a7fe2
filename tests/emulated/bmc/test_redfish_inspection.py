"""What doctor asks a BMC."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web
from attrs import evolve

from rackwave.bmc.redfish.bmc import RedfishBmc
from rackwave.bmc.redfish.trust import CaTrust
from rackwave.core.identity import NodeName
from rackwave.core.receipt import Accepted, Refused
from rackwave.ports import Credentials
from rackwave_emulators.clock import ScaledClock
from rackwave_emulators.lab import Lab


def inspected(program: Callable[[Lab, RedfishBmc], Awaitable[None]]) -> None:
    """Run *program* against a lab of one node."""

    async def run() -> None:
        async with Lab(1) as lab:
            bmc = RedfishBmc(
                NodeName("r1n01"),
                lab.urls["r1n01"],
                lambda: Credentials("admin", "password"),
                clock=ScaledClock(),
                trust=CaTrust(lab.ca),
            )
            try:
                await program(lab, bmc)
            finally:
                await bmc.close()

    asyncio.run(run())


def test_clock_and_sessions():
    """The BMC's clock is compared with ours (P33), and its open sessions are counted (P26)."""

    async def program(lab: Lab, bmc: RedfishBmc) -> None:
        assert abs(await bmc.inspection.clock_ahead()) < 5
        await bmc.session.act("PATCH", await bmc.service.manager_uri(), {"DateTime": "2016-01-01T00:00:00Z"})
        assert await bmc.inspection.clock_ahead() < -9 * 365 * 86400
        assert 1 == await bmc.inspection.open_sessions()

    inspected(program)


def test_bmc_fetches_from_us():
    """The BMC is made to fetch a URL into a free virtual media slot, which is empty again afterwards."""
    fetched = []

    async def give(request: web.Request) -> web.Response:
        fetched.append((request.method, request.path))
        return web.Response(body=b"probe" * 100)

    async def program(lab: Lab, bmc: RedfishBmc) -> None:
        application = web.Application()
        application.add_routes([web.get("/{name}", give)])
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            url = f"http://127.0.0.1:{runner.addresses[0][1]}/probe.iso"
            receipt = await bmc.inspection.can_fetch(url)
        finally:
            await runner.cleanup()
        assert isinstance(receipt, Accepted)
        assert [True] == sorted({slot.is_free for slot in await bmc.media.slots()})

    inspected(program)

    assert ("GET", "/probe.iso") in fetched


def test_bmc_cannot_fetch():
    """A URL that the BMC cannot reach (P20) is not accepted, and no slot stays taken."""

    async def program(lab: Lab, bmc: RedfishBmc) -> None:
        receipt = await bmc.inspection.can_fetch("http://127.0.0.1:9/probe.iso")
        assert not isinstance(receipt, Accepted)
        assert [True] == sorted({slot.is_free for slot in await bmc.media.slots()})

    inspected(program)


def test_taken_slot_is_left_alone():
    """A slot that somebody uses is never inserted into."""

    async def program(lab: Lab, bmc: RedfishBmc) -> None:
        slot = (await bmc.media.slots())[0]
        receipt = await bmc.media.insert(evolve(slot, image="theirs.iso"), "http://127.0.0.1:9/x")
        assert isinstance(receipt, Refused)

    inspected(program)
