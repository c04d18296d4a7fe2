"""One panel of two ways: what the first cannot, the second does, and nothing is sent twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from attrs import define, field
from scripted_bmc import ScriptedBmc, client

from rackwave.bmc.failover_panel import FailoverPanel
from rackwave.core.boot import BootOverride, BootSetting
from rackwave.core.log import LogEntry, LogMark, LogNews, Severity, news
from rackwave.core.observation import Unknown
from rackwave.core.power import PowerAct
from rackwave.core.receipt import Accepted, Ambiguous, Ground, Receipt, Refused
from rackwave.core.sensor import SensorReadings

UNREAD = Unknown("not told here")


@define
class Side:
    """A panel that gives one answer to every act, and keeps one log."""

    answer: Receipt = field(factory=lambda: Accepted(way="IPMI"))
    name: str = "SEL"
    is_dead: bool = False
    sent: list[object] = field(factory=list)

    async def power_acts(self) -> frozenset[PowerAct] | Unknown | None:
        return UNREAD if self.is_dead else frozenset({PowerAct.ON})

    async def power(self, act: PowerAct) -> Receipt:
        self.sent.append(act)
        return self.answer

    async def boot_setting(self) -> BootSetting | Unknown:
        return UNREAD

    async def set_boot(self, override: BootOverride) -> Receipt:
        self.sent.append(override)
        return self.answer

    async def indicator(self) -> bool | Unknown:
        return UNREAD if self.is_dead else True

    async def set_indicator(self, *, on: bool) -> Receipt:
        self.sent.append(on)
        return self.answer

    async def sensors(self) -> SensorReadings | Unknown:
        return UNREAD

    async def log(self, since: LogMark | None, *, limit: int) -> LogNews | Unknown:
        return UNREAD if self.is_dead else news(self.name, [LogEntry("1", "", Severity.OK, "one")], since)


@pytest.mark.parametrize(
    ("first", "goes_over"),
    [
        (Refused("away", 10.0, Ground.AWAY), True),
        (Refused("no such reset", ground=Ground.UNABLE), True),
        (Refused("licence", ground=Ground.SAID_NO), False),
        (Ambiguous("lost"), False),
        (Accepted(way="Redfish"), False),
    ],
)
def test_an_act_goes_over_only_where_it_was_never_sent(first, goes_over):
    """A no, a yes or a silence of the first way is the last word; what it never sent goes over the second."""
    one, two = Side(first), Side()
    receipt = asyncio.run(FailoverPanel(one, two).power(PowerAct.ON))

    assert (Accepted(way="IPMI") if goes_over else first) == receipt
    assert ([PowerAct.ON] if goes_over else []) == two.sent


def test_where_neither_can():
    """Where the second way has no such thing either, the first one's reason is told."""
    first = Refused("Redfish is away", 10.0, Ground.AWAY)
    receipt = asyncio.run(FailoverPanel(Side(first), Side(Refused("no", ground=Ground.UNABLE))).set_indicator(on=True))

    assert first == receipt


def test_reads():
    """What the first cannot read, the second is asked for; what neither can is unknown with both reasons."""
    panel = FailoverPanel(Side(is_dead=True), Side())

    async def program() -> tuple[Any, ...]:
        return await panel.power_acts(), await panel.indicator(), await panel.sensors()

    acts, lit, sensors = asyncio.run(program())

    assert (frozenset({PowerAct.ON}), True) == (acts, lit)
    assert sensors == UNREAD


@pytest.mark.parametrize("mark", [None, LogMark("SEL", "1", ""), LogMark("/log", "1", ""), LogMark("/other", "1", "")])
def test_a_log_is_read_over_the_way_of_its_mark(mark):
    """Entries are never held against the mark of another log."""
    found = asyncio.run(FailoverPanel(Side(name="/log"), Side(name="SEL")).log(mark, limit=5))

    if mark is None:
        assert isinstance(found, LogNews)
        assert "/log" == found.mark.log
    elif mark.log == "/other":
        assert isinstance(found, Unknown)
    else:
        assert LogNews(mark) == found


def test_a_dead_redfish():
    """A Redfish service that is not there at all costs one try, and the other way does it."""
    other = Side()

    async def program() -> tuple[Any, ...]:
        async with ScriptedBmc() as server:
            bmc = client(server)
        panel = FailoverPanel(bmc.panel, other)
        found = await panel.power_acts(), await panel.power(PowerAct.FORCE_OFF)
        await bmc.close()
        return found

    acts, receipt = asyncio.run(program())

    assert frozenset({PowerAct.ON}) == acts
    assert Accepted(way="IPMI") == receipt
    assert [PowerAct.FORCE_OFF] == other.sent
