"""Clocks for the lab: one that runs faster than the world, one that only tests move.

Both implement ``rackwave.ports.Clock``. ``VirtualClock.run`` drives an asyncio program whose clock
jumps when nothing is left to do but to wait for it, so that an hour of waiting takes no time at all.
The loop's own timers stay real: a deadline of a socket is about the socket, not about the story. The
rules of a jump:

1. Never while something is at work: a callback is ready, a file descriptor is readable, a thread runs,
   somebody holds the clock, or something with a real deadline is under way (a request with its time-out,
   ``asyncio.timeout``, a real ``asyncio.sleep``). A request that is never answered ends by its own deadline,
   in real time.
2. To the earliest sleeper and never beyond; equal deadlines wake in the order in which they went to
   sleep. A program without sockets therefore always runs in the same order.
3. Nobody sleeps: wait for the world (a socket, a timer, another thread), and after *stuck_after* real
   seconds without any of them say that the program is stuck instead of hanging the test run.
4. Not for ever: a program that still goes on after *at_most* seconds of its own time goes round in circles,
   which on a clock that jumps would take no time and never end.

Where every peer lives in the program itself (a lab and its client) *timers_too* moves the loop's timers with
the clock: then a BMC that never answers costs nothing either. Peers elsewhere are waited for by ``held``.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple

from aiohttp.helpers import TimeoutHandle
from attrs import frozen

from rackwave.errors import RackwaveError, UsageError

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

LAB_EPOCH = 1_767_225_600.0
"""2026-01-01T00:00:00Z: where virtual time starts, so that dates in tests are the same every day."""


AT_MOST = 3 * 86_400.0
"""Seconds of virtual time that a program may take: a rollout with half a day of a stranger's work in it (P23) is
over long before."""


class StuckError(RackwaveError):
    """A program on virtual time waits for something that cannot happen any more, or goes round in circles."""


class ScaledClock:
    """Time that runs *scale* times as fast as the world's; scale 1 is the system clock itself.

    *anchor* is the moment, in real epoch seconds, at which both clocks agreed. Processes that are to
    share one accelerated time (lab and orchestrator) pass the same anchor.
    """

    def __init__(self, scale: float = 1.0, *, anchor: float | None = None) -> None:
        if not 0 < scale < float("inf"):
            raise UsageError(f"time cannot run at {scale} times its speed", advice="Give a scale above 0.")
        self.scale = scale
        self.anchor = time.time() if anchor is None else anchor

    def now(self) -> float:
        """Seconds since the epoch, on this clock."""
        real = time.time()
        return real if self.scale == 1 else self.anchor + (real - self.anchor) * self.scale

    def monotonic(self) -> float:
        """Seconds that never go back, on this clock."""
        return time.monotonic() * self.scale

    async def sleep(self, seconds: float) -> None:
        """Wait *seconds* of this clock's time."""
        await asyncio.sleep(max(seconds, 0.0) / self.scale)


class VirtualClock:
    """Time that stands still until it is told to move.

    Belongs to one event loop at a time and to no thread but that loop's.
    """

    def __init__(self, start: float = LAB_EPOCH) -> None:
        self._start = start
        self._elapsed = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._holders = 0

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._start + self._elapsed

    def monotonic(self) -> float:
        """Seconds since this clock was made."""
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        """Park the caller until the clock has been moved by *seconds*; 0 only lets others run."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._order), future))
        await future

    def advance(self, seconds: float) -> None:
        """Move time on and wake, in order, everyone whose time has come.

        The woken run when the loop next does; they then all see the time moved to.
        """
        if seconds < 0:
            raise UsageError("time does not run back", advice="Advance by 0 or more seconds.")
        self.advance_to(self._elapsed + seconds)

    def advance_to(self, monotonic: float) -> None:
        """Move time on to *monotonic*; earlier than now changes nothing."""
        while (due := self.next_due()) is not None and due <= monotonic:
            _, _, future = heapq.heappop(self._sleepers)
            self._elapsed = max(self._elapsed, due)
            future.set_result(None)
        self._elapsed = max(self._elapsed, monotonic)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let no time pass meanwhile: what is awaited here lives in the world's time, such as another process."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1

    @property
    def is_held(self) -> bool:
        """Whether somebody holds this clock."""
        return self._holders > 0

    def next_due(self) -> float | None:
        """When the next sleeper wakes, on the monotonic scale; None: nobody sleeps."""
        while self._sleepers and _is_gone(self._sleepers[0][2]):
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    def run(
        self,
        main: Coroutine[Any, Any, T],
        *,
        stuck_after: float = 20.0,
        busy_most: float = 120.0,
        timers_too: bool = False,
        at_most: float = AT_MOST,
    ) -> T:
        """Run *main* to its end on a fresh loop; this clock jumps whenever nothing else is at work.

        Args:
            main: The program.
            stuck_after: Real seconds after which a program that waits for nothing known is given up.
            busy_most: Real seconds without news for which a thread, or who holds the clock, is waited for.
            timers_too: The loop's own timers, and with them every deadline, live on this clock.
            at_most: Seconds of this clock that the program may take.

        Raises:
            StuckError: no sleeper, no timer, and nothing came from outside either; or it goes on and on.
        """
        end = self._elapsed + at_most
        with asyncio.Runner(
            loop_factory=lambda: _VirtualLoop(self, _Patience(stuck_after, busy_most), timers_too, end)
        ) as runner:
            return runner.run(main)


def _is_gone(sleeper: asyncio.Future[None]) -> bool:
    """Whether nobody waits here any more: cancelled while it slept, or its loop ended (a killed run)."""
    return sleeper.done() or sleeper.get_loop().is_closed()


_THREAD_LOOK = 0.05
"""Real seconds between two looks at busy threads. Their end is announced through the loop's own pipe;
this only guards against a lost announcement."""

_SETTLE = 0.0001
"""Real seconds in which what a socket of this process sent may still arrive at another of it. Loopback
delivers within the call that sends; a loaded kernel does it a little later. (A selector rounds it up to 1 ms.)"""


@frozen
class _Patience:
    """Real seconds for which nothing may happen: nobody being at work, and somebody being so."""

    stuck_after: float
    busy_most: float


class _JumpingSelector(selectors.DefaultSelector):
    """Asks the operating system without waiting and moves the clock instead of sleeping."""

    def __init__(self, clock: VirtualClock, patience: _Patience, timers_too: bool, end: float) -> None:
        super().__init__()
        self._clock = clock
        self._end = end
        self._patience = patience
        self._busy_since: float | None = None
        self._timers_too = timers_too
        self.threads_busy = 0
        self.deadlines: list[asyncio.TimerHandle] = []

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if ready := super().select(0):
            self._busy_since = None
            return ready
        if timeout is not None and timeout <= 0:
            return []
        if self.threads_busy or self._clock.is_held:
            return self._wait_for_work(None if self._timers_too else timeout)
        self._busy_since = None
        if self._timers_too:
            return self._jump_to_timers(timeout)
        due = self._clock.next_due()
        if due is not None and not self._is_under_deadline():
            self._jump(due)
            return []
        if timeout is not None:
            return super().select(timeout)
        return self._wait_for_the_world()

    def _wait_for_work(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        if self._busy_since is None:
            self._busy_since = time.monotonic()
        if time.monotonic() - self._busy_since > self._patience.busy_most:
            self._busy_since = None  # what ends the program now may wait for the same thread again
            raise StuckError(
                f"{self.threads_busy} threads, or who holds the clock, have brought nothing for "
                f"{self._patience.busy_most:.0f} s at {self._clock.monotonic():.3f} s of virtual time",
                advice="Deadlines do not strike while the clock stands: see what the thread or the process waits for.",
            )
        return super().select(_THREAD_LOOK if timeout is None else min(timeout, _THREAD_LOOK))

    def _jump_to_timers(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        time.sleep(_SETTLE)
        if ready := super().select(0):
            return ready
        timer = None if timeout is None else self._clock.monotonic() + timeout
        due = [moment for moment in (timer, self._clock.next_due()) if moment is not None]
        if due:
            self._jump(min(due))
            return []
        return self._wait_for_the_world()

    def _jump(self, due: float) -> None:
        if due > self._end:
            raise StuckError(
                f"it still goes on at {self._clock.monotonic():.0f} s of virtual time",
                advice="Something waits again and again for what does not come: see who sleeps, and for what.",
            )
        self._clock.advance_to(due)

    def _wait_for_the_world(self) -> list[tuple[selectors.SelectorKey, int]]:
        if ready := super().select(self._patience.stuck_after):
            return ready
        raise StuckError(
            f"nothing is left to happen at {self._clock.monotonic():.3f} s of virtual time",
            advice="Some task awaits a future that nobody completes; look at asyncio.all_tasks().",
        )

    def _is_under_deadline(self) -> bool:
        """Whether anything is under way that a real deadline would end."""
        self.deadlines = [
            timer for timer in self.deadlines if not timer.cancelled() and timer.when() > time.monotonic()
        ]
        return bool(self.deadlines)


def _is_deadline(callback: Callable[..., object], args: tuple[object, ...]) -> bool:
    """Whether a timer with this *callback* is set because something is under way.

    It is where it ends an ``asyncio.timeout`` or a request of aiohttp, or completes a future that somebody
    awaits (``asyncio.sleep``). Others, such as the end of an idle connection, nobody waits for.
    """
    owner = getattr(callback, "__self__", None)
    return isinstance(owner, asyncio.Timeout | TimeoutHandle) or any(isinstance(arg, asyncio.Future) for arg in args)


class _VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop beside a VirtualClock: it tells its selector which threads and deadlines are pending."""

    def __init__(self, clock: VirtualClock, patience: _Patience, timers_too: bool, end: float) -> None:
        self._clock = clock
        self._timers_too = timers_too
        self._jumper = _JumpingSelector(clock, patience, timers_too, end)
        super().__init__(self._jumper)

    def time(self) -> float:
        return self._clock.monotonic() if self._timers_too else super().time()

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = super().call_at(when, callback, *args, context=context)
        if not self._timers_too and _is_deadline(callback, args):
            self._jumper.deadlines.append(timer)
        return timer

    def run_in_executor(self, executor: Any, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self._jumper.threads_busy += 1
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: asyncio.Future[Any]) -> None:
        self._jumper.threads_busy -= 1

    async def shutdown_default_executor(self, *timeout: float | None) -> None:
        # Joining the threads takes real time; from Python 3.12 a virtual timeout would strike at once.
        with self._clock.held():
            await super().shutdown_default_executor(*timeout)
