"""BMCs that offer no event stream knock at our door instead: what comes of it, and that nothing stays behind."""

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
from rackwave.serving.config import ServingConfig
from rackwave.serving.images import ImageServerProcess
from rackwave_emulators.clock import ScaledClock
from rackwave_emulators.faults.http import AnswerLost
from rackwave_emulators.host import HostReset
from rackwave_emulators.lab import Lab
from rackwave_emulators.personality import Personality, load_personality
from rackwave_emulators.redfish.station import Station

NODE = NodeName("r1n01")
PUSH_ONLY = ("ilo5", "ilo6", "supermicro")


@frozen
class Knocking:
    """A BMC of the lab, a client of it, the image server with its doors, and how often the client was woken."""

    station: Station
    bmc: RedfishBmc
    doors: ImageServerProcess
    news: list[str]

    async def listen(self) -> None:
        """Listen, as at the beginning of a long wait."""
        await self.bmc.listen(lambda: self.news.append("news"))

    def contexts(self) -> list[str]:
        """Return the Context of each subscription on the BMC."""
        events = self.station.events
        told = [events.destination(uri.rpartition("/")[2]) for uri in events.uris]
        return [each["Context"] for each in told if each is not None]

    @property
    def ours(self) -> str:
        """The Context of our subscription."""
        return f"rackwave {self.doors.installation} {NODE}"

    def subscribe(self, context: str) -> None:
        """Subscribe at the BMC as somebody else would."""
        with self.station.exclusive():
            self.station.events.subscribe(
                {"Destination": "https://192.0.2.1/", "Protocol": "Redfish", "Context": context}
            )


async def until(said: Callable[[], bool]) -> None:
    """Wait until *said* holds, or for ten seconds."""
    for _ in range(500):
        if said():
            return
        await asyncio.sleep(0.02)


def knocking(
    folder: Path, program: Callable[[Knocking], Awaitable[None]], make: str | Personality, left: list[str]
) -> None:
    """Play *program* with a BMC of *make*; afterwards it has no more subscriptions than those in *left*."""

    async def main() -> None:
        clock = ScaledClock()
        doors = ImageServerProcess(folder / "images", ServingConfig(), clock=clock, bmc_hosts={NODE: "127.0.0.1"})
        async with Lab(1, clock=clock, directory=folder / "lab", personality=make) as lab:
            bmc = RedfishBmc(
                NODE,
                lab.urls[NODE],
                lambda: Credentials("admin", "password"),
                clock=clock,
                trust=CaTrust(lab.ca),
                doors=doors,
            )
            this = Knocking(lab[NODE], bmc, doors, [])
            try:
                await bmc.observe(Look())
                await program(this)
            finally:
                await bmc.close()
                await doors.stop()

            await until(lambda: left == this.contexts())
            assert left == this.contexts()
            assert 0 == lab.truth()["totals"]["sessions_open"]

    asyncio.run(main())


@pytest.mark.parametrize("make", PUSH_ONLY)
def test_a_restart_of_the_host_is_news_at_once(tmp_path: Path, make: str) -> None:
    """A BMC without a stream is subscribed to once, and what happens to its host wakes us long before a poll would."""

    async def program(this: Knocking) -> None:
        await this.listen()
        await this.listen()
        assert [this.ours] == this.contexts()

        this.station.reset_host(HostReset.FORCE_OFF)
        await until(lambda: bool(this.news))
        assert this.news

    knocking(tmp_path, program, make, [])


def test_a_stream_is_preferred(tmp_path: Path) -> None:
    """Where the service offers a stream nothing is subscribed to: we speak first, and no door is opened."""

    async def program(this: Knocking) -> None:
        await this.listen()
        await until(lambda: bool(this.contexts()))
        assert ["stream"] == this.contexts()

    knocking(tmp_path, program, "plain", [])


def test_what_a_killed_run_left_is_deleted_and_what_others_have_is_not(tmp_path: Path) -> None:
    """A subscription of ours that nobody deleted is known by its Context; a stranger's stays."""

    async def program(this: Knocking) -> None:
        this.subscribe("somebody else")
        this.subscribe(this.ours)
        await this.listen()
        assert ["somebody else", this.ours] == this.contexts()
        destination = this.station.events.destination(this.station.events.uris[-1].rpartition("/")[2])
        assert destination is not None
        assert "192.0.2.1" not in destination["Destination"]

    knocking(tmp_path, program, "ilo5", ["somebody else"])


def test_a_subscription_whose_answer_was_lost_is_ended_like_any_other(tmp_path: Path) -> None:
    """It may stand, so that its knocks are heard; in the end it is found by its Context."""

    async def program(this: Knocking) -> None:
        this.subscribe("somebody else")
        this.station.arm(AnswerLost(method="POST", path="Subscriptions"))
        await this.listen()
        assert ["somebody else", this.ours] == this.contexts()

        this.station.reset_host(HostReset.FORCE_OFF)
        await until(lambda: bool(this.news))
        assert this.news

    knocking(tmp_path, program, "supermicro", ["somebody else"])


def test_another_installations_subscription_for_a_node_of_the_same_name_stays(tmp_path: Path) -> None:
    """Two stations that watch one rack do not end each other's."""

    async def program(this: Knocking) -> None:
        this.subscribe("rackwave 0123456789ab r1n01")
        await this.listen()
        assert ["rackwave 0123456789ab r1n01", this.ours] == this.contexts()

    knocking(tmp_path, program, "ilo5", ["rackwave 0123456789ab r1n01"])


def test_a_subscription_that_a_restart_of_the_bmc_took_is_made_again(tmp_path: Path) -> None:
    """The next long wait finds a new session, looks, and subscribes anew; once, and what comes then is heard."""
    make = load_personality("supermicro")
    quick = evolve(make.timing, bmc_reset=0.5)
    forgetful = evolve(make, rules=evolve(make.rules, events_kept=False), timing=quick)

    async def program(this: Knocking) -> None:
        await this.listen()
        this.station.reset_bmc()
        await until(lambda: this.station.is_up() and [] == this.contexts())
        await this.bmc.observe(Look())
        await this.listen()
        await this.listen()
        assert [this.ours] == this.contexts()

        this.news.clear()
        this.station.reset_host(HostReset.FORCE_OFF)
        await until(lambda: bool(this.news))
        assert this.news

    knocking(tmp_path, program, forgetful, [])


def test_a_bmc_that_takes_a_subscription_and_sends_nothing_is_polled_as_ever(tmp_path: Path) -> None:
    """What never comes is missed by nobody: a look sees for itself."""
    make = load_personality("supermicro")
    mute = evolve(make, rules=evolve(make.rules, events_delivered=False))

    async def program(this: Knocking) -> None:
        await this.listen()
        assert [this.ours] == this.contexts()
        this.station.reset_host(HostReset.FORCE_OFF)
        await until(lambda: this.station.machine.power.value == "Off")
        assert "off" == (await this.bmc.observe(Look())).power
        assert [] == this.news

    knocking(tmp_path, program, mute, [])


def test_a_full_table_is_no_push(tmp_path: Path) -> None:
    """A BMC that has no room for our subscription is polled as ever, and is not asked for room again."""

    async def program(this: Knocking) -> None:
        for number in range(16):
            this.subscribe(f"client {number}")
        await this.listen()
        before = this.station.counters.requests
        await this.listen()
        assert before == this.station.counters.requests
        assert "on" == (await this.bmc.observe(Look())).power

    knocking(tmp_path, program, "ilo6", [f"client {number}" for number in range(16)])
