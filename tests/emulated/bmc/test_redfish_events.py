"""Events of emulated BMCs over the wire: what is told, to whom, and that nothing of it stays behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from attrs import evolve, frozen

from rackwave.bmc.redfish.bmc import RedfishBmc
from rackwave.bmc.redfish.trust import CaTrust
from rackwave.core.identity import NodeName
from rackwave.core.observation import Look
from rackwave.ports import Credentials
from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.host import HostReset
from rackwave_emulators.images import make_image
from rackwave_emulators.lab import Lab
from rackwave_emulators.personality import load_personality
from rackwave_emulators.redfish.station import Station

NODE = NodeName("r1n01")


class Prompt:
    """The lab's clock for a client that need not wait: its sleeps pass at once."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock

    def now(self) -> float:
        """Return the lab's time."""
        return self._clock.now()

    def monotonic(self) -> float:
        """Return the lab's time."""
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Let others run."""
        await asyncio.sleep(0.01)


@frozen
class Listening:
    """A BMC of the lab, a client that listens to it, and how often that was woken."""

    lab: Lab
    station: Station
    clock: VirtualClock
    bmc: RedfishBmc
    news: list[float]

    async def listen(self) -> None:
        """Listen, and wait until the stream is open."""
        await self.bmc.listen(lambda: self.news.append(self.clock.monotonic()))
        await self.until(lambda: bool(self.station.events.uris))

    async def until(self, said: Callable[[], bool]) -> None:
        """Wait until *said* holds, or for five seconds."""
        for _ in range(500):
            if said():
                return
            await asyncio.sleep(0.01)

    async def quiet(self) -> None:
        """Wait long enough for what is on its way to arrive."""
        await asyncio.sleep(0.3)


def listening(folder: Path, program: Callable[[Listening], Awaitable[None]], make: str = "plain") -> None:
    """Play *program* with a client that has begun to listen to a BMC of *make*."""

    async def main() -> None:
        clock, news = VirtualClock(), []
        async with Lab(1, clock=clock, directory=folder / "lab", personality=make) as lab:
            bmc = RedfishBmc(
                NODE,
                lab.urls[NODE],
                lambda: Credentials("admin", "password"),
                clock=Prompt(clock),
                trust=CaTrust(lab.ca),
            )
            try:
                await bmc.observe(Look())
                this = Listening(lab, lab[NODE], clock, bmc, news)
                await this.listen()
                await program(this)
            finally:
                await bmc.close()
            await this.until(lambda: not lab[NODE].events.uris)

            assert [] == lab[NODE].events.uris
            assert 0 == lab.truth()["totals"]["sessions_open"]

    asyncio.run(main())


def test_the_end_of_a_task_and_of_a_post_are_news(tmp_path):
    """A write that begins or goes on is none; its end is, and so is each change of the host's power or POST."""

    async def program(this: Listening) -> None:
        facts = make_image(tmp_path / "bios.img", component="BIOS", version="2.0.0", size=4096)
        with this.station.exclusive() as machine:
            machine.image_received(machine.begin_update("BIOS", "bios.img"), facts)
        await this.quiet()
        this.clock.advance(30)
        await this.quiet()
        assert [] == this.news

        this.clock.advance(31)
        await this.until(lambda: len(this.news) == 1)
        assert [61.0] == this.news

        this.clock.advance(10)
        this.station.reset_host(HostReset.FORCE_RESTART)
        await this.until(lambda: len(this.news) == 2)
        this.clock.advance(100)
        await this.until(lambda: len(this.news) == 3)
        assert [61.0, 71.0, 171.0] == this.news

    listening(tmp_path, program)


def test_a_stream_breaks_with_its_bmc_and_is_opened_again_after_the_next_look(tmp_path):
    """A restart ends the session too: no stream is worth a login, and the look that makes one brings it back."""

    async def program(this: Listening) -> None:
        this.station.reset_bmc()
        await this.until(lambda: not this.station.events.uris)
        assert [] == this.station.events.uris
        this.clock.advance(1000)
        await this.quiet()
        assert [] == this.station.events.uris

        await this.bmc.observe(Look())
        await this.listen()
        this.clock.advance(10)
        this.station.reset_host(HostReset.FORCE_RESTART)
        await this.until(lambda: bool(this.news))

        assert [1010.0] == this.news

    listening(tmp_path, program)


def test_what_happened_while_a_stream_was_broken_is_told_when_it_is_opened_again(tmp_path):
    """The last event that came is named, and those after it are sent."""

    async def program(this: Listening) -> None:
        this.station.reset_host(HostReset.FORCE_RESTART)
        await this.until(lambda: bool(this.news))
        for uri in this.station.events.uris:
            this.station.events.remove(uri.rpartition("/")[2])
        this.clock.advance(1000)
        await this.until(lambda: len(this.news) == 2)

        assert [0.0, 1000.0] == this.news

    listening(tmp_path, program)


@pytest.mark.parametrize(("make", "requests"), [("ilo5", 1), ("supermicro", 1), ("idrac", 1)])
def test_a_bmc_that_offers_no_stream_is_asked_once(tmp_path, make, requests):
    """No URI, or an EventService that is switched off: one request, and polling goes on as before."""

    async def main() -> int:
        clock = VirtualClock()
        async with Lab(1, clock=clock, directory=tmp_path / "lab", personality=make) as lab:
            bmc = RedfishBmc(
                NODE, lab.urls[NODE], lambda: Credentials("admin", "password"), clock=clock, trust=CaTrust(lab.ca)
            )
            await bmc.observe(Look())
            before = lab.truth()["totals"]["requests"]
            for _ in range(3):
                await bmc.listen(lambda: None)
            await asyncio.sleep(0.1)
            asked = lab.truth()["totals"]["requests"] - before
            await bmc.close()
            return asked

    assert requests == asyncio.run(main())


def test_a_bmc_that_takes_no_more_streams_loses_nothing(tmp_path):
    """A refusal by 503 is tried again later; looks are answered meanwhile."""

    async def program(this: Listening) -> None:
        events = this.station.events
        for uri in events.uris:
            events.remove(uri.rpartition("/")[2])
        with this.station.exclusive():
            others = [events.open_stream() for _ in range(16 - len(events.uris))]
        await this.quiet()
        assert (await this.bmc.observe(Look())).power == "on"
        for ident in others:
            events.remove(ident)
        await this.until(lambda: bool(events.uris))

        assert 1 == len(events.uris)

    listening(tmp_path, program)


def test_a_personality_without_events_has_none(play, client):
    """Where a make has no stream, nothing answers under the URI that others have."""

    async def scenario(lab, clock):
        async with client(lab) as bmc:
            await bmc.log_in()
            service = await bmc.get("/redfish/v1/EventService")
            told = await bmc.ask("GET", "/redfish/v1/EventService/SSE")

        assert "ServerSentEventUri" not in service
        assert 404 == told.status

    plain = load_personality("plain")
    play(scenario, personality=evolve(plain, rules=evolve(plain.rules, events_uri="")))
