"""One `Panel` made of two ways to the same BMC, by the rules of failover.py.

What the first way cannot read, the second is asked for. An act goes over the second only where the first
refused it on the ground AWAY or UNABLE, so that it was provably never sent. A log since a mark is read
over the way that the mark is of: two ways' entries cannot be held against one another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..core.boot import BootOverride, BootSetting
from ..core.log import LogMark, LogNews
from ..core.observation import Unknown
from ..core.power import PowerAct
from ..core.receipt import Ground, Receipt, Refused
from ..core.sensor import SensorReadings
from ..ports import Panel

T = TypeVar("T")

_NEVER_SENT = (Ground.AWAY, Ground.UNABLE)


class FailoverPanel:
    """The panels of one machine, the better one first."""

    def __init__(self, *sides: Panel) -> None:
        if not sides:
            raise ValueError("a machine has at least one panel")
        self._sides = sides

    async def power_acts(self) -> frozenset[PowerAct] | Unknown | None:
        """Return what the first way that can be read may be asked for."""
        return await self._read(lambda side: side.power_acts())

    async def power(self, act: PowerAct) -> Receipt:
        """Send one power act."""
        return await self._act(lambda side: side.power(act))

    async def boot_setting(self) -> BootSetting | Unknown:
        """Read what overrides the boot order, and what may."""
        return await self._read(lambda side: side.boot_setting())

    async def set_boot(self, override: BootOverride) -> Receipt:
        """Override the boot order; Lasting.NEVER clears it."""
        return await self._act(lambda side: side.set_boot(override))

    async def indicator(self) -> bool | Unknown:
        """Read whether the locator light is on."""
        return await self._read(lambda side: side.indicator())

    async def set_indicator(self, *, on: bool) -> Receipt:
        """Switch the locator light."""
        return await self._act(lambda side: side.set_indicator(on=on))

    async def sensors(self) -> SensorReadings | Unknown:
        """Read the sensors."""
        return await self._read(lambda side: side.sensors())

    async def log(self, since: LogMark | None, *, limit: int) -> LogNews | Unknown:
        """Read at most *limit* entries of the machine's event log, the newest, or those since a mark."""
        found: LogNews | Unknown = await self._read(lambda side: _log(side, since, limit))
        return found

    async def _read(self, read: Callable[[Panel], Awaitable[T | Unknown]]) -> T | Unknown:
        reasons: list[str] = []
        for side in self._sides:
            found = await read(side)
            if not isinstance(found, Unknown):
                return found
            reasons.append(found.reason)
        return Unknown("; ".join(dict.fromkeys(reasons)))

    async def _act(self, send: Callable[[Panel], Awaitable[Receipt]]) -> Receipt:
        receipt = await send(self._sides[0])
        for side in self._sides[1:]:
            if not (isinstance(receipt, Refused) and receipt.ground in _NEVER_SENT):
                break
            other = await send(side)
            # Where the second has no such thing either, the first one's reason says more.
            if isinstance(other, Refused) and other.ground is Ground.UNABLE:
                break
            receipt = other
        return receipt


async def _log(side: Panel, since: LogMark | None, limit: int) -> LogNews | Unknown:
    found = await side.log(since, limit=limit)
    if since is not None and isinstance(found, LogNews) and found.mark.log != since.log:
        return Unknown(f"the mark is of another log ({since.log})")
    return found
