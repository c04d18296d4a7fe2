"""How many requests one group of BMCs, those of one make at one site, gets at a time: as many as it bears.

Nodes of a site share a management switch, a tunnel, a chassis manager; those of a make share its
weaknesses. So each (site, vendor) has a limit of its own, and it is found by trying:

- It begins at `START` and grows by one with each good answer, until the group is first in distress.
- Distress is a 429, a 503 or silence of *several* BMCs at a time, or answers that take longer and longer.
  Each BMC is held against itself: one that always takes a second slows nobody. One sick BMC is that BMC's
  business, and one that refuses the connection is away, not in distress.
- In distress the limit is halved (longer answers: cut by a quarter), at most once a round trip: requests
  that were sent before the last cut say nothing new. From then on it grows by one a round.
- It is never less than one, never more than the ceiling that the policy sets.
- Who waits, waits in order. BMCs that were silent last time wait in a lane of their own, which gets every
  fourth place: their deadlines must not be everybody's. A request that takes longer than `PATIENCE`
  gives up its place, not its answer: uploads last minutes.

A waiting request is a future: no thread, no task, no timer but one for the whole group.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum, auto
from itertools import count

from ..core.identity import NodeName

START = 64.0
"""Where a group's limit begins: a rack and a half, which a management switch of 1 Gbit/s bears easily."""

PATIENCE = 5.0
"""Seconds for which a request keeps its place. Real BMCs answer in 0.05 to 5 s."""

_ROUND = 10.0
"""Seconds in which signs of distress add up."""

_SEVERAL = 3
"""BMCs that must be in distress in one round before it counts as the group's."""

_SHARE = 0.1
"""The share of a round's answers that must be in distress: of 500 BMCs three are always ill."""

_SLOW = 1.0
"""Seconds below which no answer counts as late, however much longer it took than others."""

_GROWTH = 2.0
"""An answer is late when it took more than this many times as long as that BMC's at best."""

_TIMED = 32
"""Answers that are looked at together; half of them late is distress."""

_log = logging.getLogger(__name__)


class Sign(Enum):
    """What a request tells of its group."""

    GOOD = auto()
    BUSY = auto()
    SILENT = auto()
    NOTHING = auto()
    """The connection was refused or broke, or the caller gave up."""


class Turn:
    """One request's place in its group."""

    __slots__ = ("_throttle", "began", "node")

    def __init__(self, throttle: Throttle, node: NodeName, began: float) -> None:
        self._throttle = throttle
        self.node = node
        self.began = began

    def leave(self, sign: Sign, *, timed: bool = True) -> None:
        """Give the place up; *timed*: how long it took says something, as it does not of an upload."""
        self._throttle._leave(self, sign, timed=timed)  # noqa: SLF001 - a turn is a part of its throttle


class Throttle:
    """The limit of one group. Usable from one event loop only."""

    def __init__(
        self, site: str, vendor: str, *, ceiling: int, now: Callable[[], float] | None = None, start: float = START
    ) -> None:
        self.site = site
        self.vendor = vendor
        self.ceiling = max(1, ceiling)
        self.limit = min(start, float(self.ceiling))
        self._now = now or (lambda: asyncio.get_running_loop().time())
        self._threshold = float(self.ceiling)
        self._cut_at = float("-inf")
        self._holding: dict[Turn, None] = {}
        self._waiting: deque[_Waiter] = deque()
        self._silent_waiting: deque[_Waiter] = deque()
        self._grants = count(1)
        self._silent: set[NodeName] = set()
        self._known: set[NodeName] = set()
        self._alarm: asyncio.TimerHandle | None = None
        self._round = _Round(0.0)
        self._timed = 0
        self._late = 0
        self._best: dict[NodeName, float] = {}
        self._throttled = False

    @property
    def in_flight(self) -> int:
        """Requests that hold a place."""
        return len(self._holding)

    async def enter(self, node: NodeName) -> Turn:
        """Wait for a place for a request to *node*'s BMC."""
        if not self._waiting and not self._silent_waiting and len(self._holding) < int(self.limit):
            return self._place(node)
        waiter = _Waiter(node, asyncio.get_running_loop().create_future())
        (self._silent_waiting if node in self._silent else self._waiting).append(waiter)
        self._watch()
        try:
            return await waiter.place
        except asyncio.CancelledError:
            if waiter.place.done() and not waiter.place.cancelled():
                waiter.place.result().leave(Sign.NOTHING)  # given and given up at once: the next in line has it
            raise

    def _place(self, node: NodeName) -> Turn:
        turn = Turn(self, node, self._now())
        self._holding[turn] = None
        self._known.add(node)
        return turn

    def _leave(self, turn: Turn, sign: Sign, *, timed: bool) -> None:
        self._holding.pop(turn, None)
        if sign is not Sign.NOTHING:
            self._learn(turn, sign, timed=timed)
        self._let_in()

    def _let_in(self) -> None:
        while len(self._holding) < int(self.limit) and (waiter := self._next()) is not None:
            if not waiter.place.done():  # who was cancelled is passed over
                waiter.place.set_result(self._place(waiter.node))

    def _next(self) -> _Waiter | None:
        if self._silent_waiting and (not self._waiting or next(self._grants) % 4 == 0):
            return self._silent_waiting.popleft()
        return self._waiting.popleft() if self._waiting else None

    def _watch(self) -> None:
        """See to it that who waits gets the place of a request that has outstayed its patience."""
        if self._alarm is None and self._holding:
            oldest = next(iter(self._holding))
            delay = max(0.0, oldest.began + PATIENCE - self._now())
            self._alarm = asyncio.get_running_loop().call_later(delay, self._evict)

    def _evict(self) -> None:
        self._alarm = None
        limit = self._now() - PATIENCE
        for turn in [turn for turn in self._holding if turn.began <= limit + 1e-3]:
            del self._holding[turn]
        self._let_in()
        if self._waiting or self._silent_waiting:
            self._watch()

    # -- what the limit is ----------------------------------------------------------------------

    def _learn(self, turn: Turn, sign: Sign, *, timed: bool) -> None:
        now = self._now()
        if now - self._round.began > _ROUND:
            self._round = _Round(now)
        self._round.answers += 1
        if sign is Sign.SILENT:
            self._silent.add(turn.node)
        else:
            self._silent.discard(turn.node)
        if sign is Sign.GOOD:
            self._grow()
            if timed:
                self._time(now - turn.began, turn, now)
            return
        self._round.signs += 1
        self._round.distressed.add(turn.node)
        several = len(self._round.distressed) >= min(_SEVERAL, len(self._known))
        if several and self._round.signs >= _SHARE * (self._round.answers + len(self._holding)):
            self._cut(turn, now, 0.5, "busy" if sign is Sign.BUSY else "silent")

    def _grow(self) -> None:
        # A limit that is not used is not tried by an answer.
        if self.limit >= self.ceiling or 2 * (len(self._holding) + 1) < self.limit:
            return
        self.limit = min(float(self.ceiling), self.limit + (1.0 if self.limit < self._threshold else 1.0 / self.limit))
        if self._throttled and self.limit >= 2 * self._threshold:
            self._throttled = False
            _log.info("throttle eased site=%s vendor=%s limit=%d", self.site, self.vendor, self.limit)

    def _time(self, seconds: float, turn: Turn, now: float) -> None:
        best = self._best.get(turn.node, seconds)
        # The best of long ago may have been of another kind of request: it is forgotten by and by.
        self._best[turn.node] = min(seconds, best * 1.05)
        self._timed += 1
        self._late += seconds > max(_SLOW, _GROWTH * best)
        if self._timed < _TIMED:
            return
        if 2 * self._late >= self._timed:
            self._cut(turn, now, 0.75, "slow")
        self._timed = self._late = 0

    def _cut(self, turn: Turn, now: float, factor: float, why: str) -> None:
        if turn.began <= self._cut_at:
            return
        before, self.limit = self.limit, max(1.0, min(self.limit, 2.0 * (len(self._holding) + 1)) * factor)
        self._threshold = self.limit
        self._cut_at = now
        self._round = _Round(now)
        self._throttled = True
        if int(self.limit) < int(before):  # one that cannot fall any further is not told again and again
            _log.warning(
                "throttled site=%s vendor=%s limit=%d before=%d why=%s", self.site, self.vendor, self.limit, before, why
            )


class _Round:
    """What was seen in the last seconds."""

    __slots__ = ("answers", "began", "distressed", "signs")

    def __init__(self, began: float) -> None:
        self.began = began
        self.answers = 0
        self.signs = 0
        self.distressed: set[NodeName] = set()


class _Waiter:
    """A request that waits for its place."""

    __slots__ = ("node", "place")

    def __init__(self, node: NodeName, place: asyncio.Future[Turn]) -> None:
        self.node = node
        self.place = place


class Throttles:
    """One throttle a group, made when its first node is driven."""

    def __init__(self, *, ceiling: int) -> None:
        self._ceiling = ceiling
        self._groups: dict[tuple[str, str], Throttle] = {}

    def of(self, site: str, vendor: str) -> Throttle:
        """Return the throttle of the group; makes are told apart without regard to case."""
        key = (site, vendor.strip().lower())
        throttle = self._groups.get(key)
        if throttle is None:
            throttle = self._groups[key] = Throttle(site, vendor, ceiling=self._ceiling)
        return throttle

    def __iter__(self) -> Iterator[Throttle]:
        return iter(self._groups.values())
