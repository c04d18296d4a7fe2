"""Clocks of the lab: scaled and virtual."""

from __future__ import annotations

import asyncio
import math
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwave.errors import UsageError
from rackwave_emulators.clock import LAB_EPOCH, ScaledClock, StuckError, VirtualClock


def test_scale_one_is_the_system_clock() -> None:
    """At scale 1 the clock tells the system's time."""
    before = time.time()
    told = ScaledClock().now()

    assert before <= told <= time.time()


def test_scaled_clocks_with_one_anchor_agree() -> None:
    """Two accelerated clocks with the same anchor tell the same time, as two processes need it."""
    anchor = time.time() - 10
    one, other = ScaledClock(100, anchor=anchor), ScaledClock(100, anchor=anchor)

    assert one.now() == pytest.approx(other.now(), abs=1.0)
    assert one.now() - anchor == pytest.approx(1000, abs=50)


def test_scaled_sleep_is_shorter_in_the_world() -> None:
    """Ten seconds on a clock of scale 1000 take about ten milliseconds."""
    clock = ScaledClock(1000)
    started, began = time.monotonic(), clock.monotonic()
    asyncio.run(clock.sleep(10))

    assert time.monotonic() - started < 1.0
    assert clock.monotonic() - began >= 9.9


@pytest.mark.parametrize("scale", [0, -1, float("inf"), float("nan")])
def test_time_cannot_stand_or_run_back(scale: float) -> None:
    """A scale that is not above 0 is refused."""
    with pytest.raises(UsageError):
        ScaledClock(scale)


def test_an_hour_takes_no_time() -> None:
    """A program that sleeps for an hour of virtual time ends at once, exactly an hour later."""
    clock = VirtualClock()

    async def main() -> float:
        await clock.sleep(3600)
        return clock.now()

    started = time.monotonic()

    assert LAB_EPOCH + 3600 == clock.run(main())
    assert time.monotonic() - started < 1.0


def test_sleepers_wake_in_the_order_of_their_times() -> None:
    """Sleepers wake by deadline, and those of one deadline in the order in which they lay down."""
    clock = VirtualClock()
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic()))

    async def main() -> None:
        await asyncio.gather(sleeper("c", 3), sleeper("a", 1), sleeper("b1", 2), sleeper("b2", 2))

    clock.run(main())

    assert [("a", 1.0), ("b1", 2.0), ("b2", 2.0), ("c", 3.0)] == woken


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=20))
def test_virtual_time_ends_with_the_last_sleeper(naps: list[float]) -> None:
    """Whatever sleeps at the same time, the program lasts as long as its longest nap, and time never runs back."""
    clock = VirtualClock()
    seen: list[float] = []

    async def nap(seconds: float) -> None:
        await clock.sleep(seconds)
        seen.append(clock.monotonic())

    async def main() -> None:
        await asyncio.gather(*(nap(seconds) for seconds in naps))

    clock.run(main(), at_most=math.inf)

    assert max(naps) == clock.monotonic()
    assert sorted(naps) == seen


def test_deadlines_stay_real() -> None:
    """A jump of an hour strikes no real time-out, and no sleeper wakes before that is over."""
    clock = VirtualClock()
    order: list[str] = []

    async def guarded() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await asyncio.get_running_loop().create_future()
        order.append(f"deadline at {clock.monotonic()}")

    async def sleeper() -> None:
        await clock.sleep(3600)
        order.append(f"sleeper at {clock.monotonic()}")

    async def main() -> None:
        await asyncio.gather(sleeper(), guarded())

    clock.run(main())

    assert ["deadline at 0.0", "sleeper at 3600.0"] == order


def test_time_stands_still_while_a_request_is_under_way() -> None:
    """A sleeper does not wake while a peer that the loop knows nothing of still thinks about its answer."""
    clock = VirtualClock()
    listening = socket.create_server(("127.0.0.1", 0))

    def think_and_answer() -> None:
        peer, _ = listening.accept()
        with peer:
            peer.recv(4096)
            time.sleep(0.1)
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

    async def main() -> float:
        nap = asyncio.ensure_future(clock.sleep(3600))
        async with aiohttp.ClientSession() as session:
            answer = await session.get(f"http://127.0.0.1:{listening.getsockname()[1]}/")
            await answer.read()
            asked = clock.monotonic()
        await nap
        return asked

    peer = threading.Thread(target=think_and_answer)
    peer.start()
    with listening:
        asked = clock.run(main())
    peer.join()

    assert asked == 0.0
    assert clock.monotonic() == 3600.0


def test_an_idle_connection_does_not_hold_time() -> None:
    """A timer that nobody waits for, such as the end of a kept connection, lets time jump."""
    clock = VirtualClock()

    async def main() -> float:
        asyncio.get_running_loop().call_later(60, print)
        await clock.sleep(3600)
        return clock.monotonic()

    began = time.monotonic()

    assert clock.run(main()) == 3600.0
    assert time.monotonic() - began < 10


def test_time_stands_still_while_a_thread_works() -> None:
    """A sleeper does not wake before work in a thread, which takes no virtual time, is done."""
    clock = VirtualClock()
    order: list[str] = []

    async def work() -> None:
        await asyncio.to_thread(time.sleep, 0.05)
        order.append(f"thread at {clock.monotonic()}")

    async def sleeper() -> None:
        await clock.sleep(1)
        order.append(f"sleeper at {clock.monotonic()}")

    async def main() -> None:
        await asyncio.gather(sleeper(), work())

    clock.run(main())

    assert ["thread at 0.0", "sleeper at 1.0"] == order


def test_an_executor_of_ones_own_counts_as_work() -> None:
    """Threads of any executor hold time, not only those of the default one."""
    clock = VirtualClock()

    async def main() -> float:
        with ThreadPoolExecutor(1) as pool:
            nap = asyncio.ensure_future(clock.sleep(1))
            await asyncio.get_running_loop().run_in_executor(pool, time.sleep, 0.02)
            held = clock.monotonic()
            await nap
        return held

    assert clock.run(main()) == 0.0


def test_a_program_that_can_never_go_on_is_told_so() -> None:
    """Waiting for a future that nobody completes raises instead of hanging."""
    clock = VirtualClock()

    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(StuckError):
        clock.run(main(), stuck_after=0.01)


@pytest.mark.parametrize("timers_too", [False, True])
def test_work_that_never_ends_is_told(*, timers_too: bool) -> None:
    """Who holds the clock for ever holds up every deadline on it: that is said, instead of hanging the test run."""
    clock = VirtualClock()

    async def main() -> None:
        with clock.held():
            await asyncio.get_running_loop().create_future()

    with pytest.raises(StuckError, match="brought nothing"):
        clock.run(main(), busy_most=0.2, timers_too=timers_too)


def test_a_program_that_goes_round_in_circles_is_told() -> None:
    """What looks again and again for what does not come would never end on a clock that jumps."""
    clock = VirtualClock()

    async def main() -> None:
        while True:
            await clock.sleep(3600)

    with pytest.raises(StuckError, match="still goes on"):
        clock.run(main(), at_most=86_400)

    assert 86_400 == clock.monotonic()


def test_a_killed_run_leaves_no_sleepers_behind() -> None:
    """After a run that was torn down in mid-sleep, the next run on the same clock is undisturbed."""
    clock = VirtualClock()

    async def killed() -> None:
        naps = [asyncio.ensure_future(clock.sleep(10)), asyncio.ensure_future(clock.sleep(20))]
        await clock.sleep(1)
        raise KeyError(len(naps))

    async def main() -> float:
        await clock.sleep(100)
        return clock.monotonic()

    with pytest.raises(KeyError):
        clock.run(killed())

    assert clock.run(main()) == 101.0


def test_advance_moves_time_by_hand() -> None:
    """Advance wakes everyone whose time has come, and refuses to go back."""
    clock = VirtualClock(start=0)
    woken: list[float] = []

    async def main() -> None:
        async def nap(seconds: float) -> None:
            await clock.sleep(seconds)
            woken.append(seconds)

        naps = [asyncio.ensure_future(nap(seconds)) for seconds in (5, 10, 15)]
        await asyncio.sleep(0)
        clock.advance(10)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        naps[-1].cancel()

    clock.run(main())

    assert [5, 10] == woken
    assert clock.now() == 10
    with pytest.raises(UsageError):
        clock.advance(-1)


def test_timers_may_live_on_the_clock() -> None:
    """Where they do, an hour of asyncio.sleep and a deadline of half an hour cost nothing, and strike in order."""
    clock = VirtualClock()
    order: list[str] = []

    async def guarded() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1800):
                await asyncio.get_running_loop().create_future()
        order.append(f"deadline at {clock.monotonic()}")

    async def main() -> None:
        await asyncio.gather(asyncio.sleep(3600), guarded())
        order.append(f"sleeper at {clock.monotonic()}")

    began = time.monotonic()
    clock.run(main(), timers_too=True)

    assert ["deadline at 1800.0", "sleeper at 3600.0"] == order
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("timers_too", [False, True])
def test_a_clock_that_is_held_stands_still(timers_too: bool) -> None:
    """What lives in the world's time is waited for, and no sleeper wakes meanwhile."""
    clock = VirtualClock()

    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[float] = loop.create_future()

        def work() -> None:
            time.sleep(0.05)
            loop.call_soon_threadsafe(lambda: done.set_result(clock.monotonic()))

        sleeping = asyncio.ensure_future(clock.sleep(3600))
        thread = threading.Thread(target=work)
        thread.start()
        with clock.held():
            finished = await done
        thread.join()
        await sleeping
        return finished, clock.monotonic()

    assert (0.0, 3600.0) == clock.run(main(), timers_too=timers_too)
