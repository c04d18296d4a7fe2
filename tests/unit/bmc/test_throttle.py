"""How many requests a group of BMCs gets at a time."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest
from scripted_bmc import SYSTEM, Reply, ScriptedBmc, client

from rackwave.bmc.throttle import PATIENCE, START, Sign, Throttle, Throttles
from rackwave.core.identity import NodeName
from rackwave.core.observation import Look


class Group:
    """A throttle on a clock of the test's own."""

    def __init__(self, *, ceiling: int = 500, start: float = START) -> None:
        self.at = 0.0
        self.throttle = Throttle("berlin", "Acme", ceiling=ceiling, now=lambda: self.at, start=start)

    async def round(self, signs: list[Sign], seconds: float = 0.1, first: int = 0) -> None:
        """As many requests at once as *signs*, one a node, which are answered after *seconds*."""
        turns = [await self.throttle.enter(NodeName(f"n{first + number}")) for number in range(len(signs))]
        self.at += seconds
        for turn, sign in zip(turns, signs, strict=True):
            turn.leave(sign)

    @property
    def limit(self) -> int:
        return int(self.throttle.limit)


def play(story):
    """Run *story* with a fresh group."""

    async def run():
        group = Group()
        await story(group)
        return group

    return asyncio.run(run())


def test_good_answers_raise_the_limit_to_the_ceiling():
    """Before the first distress each good answer makes room for one more, up to the ceiling and no further."""

    async def story(group):
        for _ in range(12):
            await group.round([Sign.GOOD] * group.limit)

    assert 500 == play(story).limit


def test_an_unused_limit_does_not_grow():
    """A limit that nobody uses was not tried."""

    async def story(group):
        for _ in range(500):
            await group.round([Sign.GOOD] * 4)

    assert START == play(story).limit


@pytest.mark.parametrize("sign", [Sign.BUSY, Sign.SILENT])
def test_distress_halves_the_limit_once_a_round_trip(sign):
    """Many BMCs that are busy or silent at a time halve the limit once, not once each; then it grows slowly."""

    async def story(group):
        await group.round([sign] * 64)
        assert 32 == group.limit
        for _ in range(8):
            await group.round([Sign.GOOD] * group.limit)

    assert 35 <= play(story).limit <= 40


def test_distress_without_end_leaves_one():
    """The limit never falls below one request."""

    async def story(group):
        for _ in range(50):
            await group.round([Sign.BUSY] * group.limit)

    assert 1 == play(story).limit


@pytest.mark.parametrize("sign", [Sign.BUSY, Sign.SILENT, Sign.NOTHING])
def test_one_sick_bmc_slows_nobody(sign):
    """What one BMC, or two of many, answers is its own affair."""

    async def story(group):
        for _ in range(20):
            await group.round([sign, sign, *[Sign.GOOD] * 40])

    assert START <= play(story).limit


def test_bmcs_that_are_away_are_no_distress():
    """Refused and broken connections, as of a wave of restarting BMCs, leave the limit alone."""

    async def story(group):
        for _ in range(20):
            await group.round([Sign.NOTHING] * 50)

    assert START == play(story).limit


def test_longer_and_longer_answers_cut_the_limit():
    """Answers that take more than a second, and twice as long as at best, cut it by a quarter."""

    async def story(group):
        await group.round([Sign.GOOD] * 64, 0.8)
        before = group.limit
        await group.round([Sign.GOOD] * 32, 2.5)
        assert group.limit <= before * 0.76

    play(story)


def test_slow_bmcs_that_stay_as_slow_are_left_alone():
    """A make that always takes a second is no slower than it was; neither is a fast one that takes twice its 50 ms."""

    async def story(group):
        for seconds in (1.2, 1.3, 1.1, 1.2) * 3:
            await group.round([Sign.GOOD] * group.limit, seconds)

    async def quick(group):
        for seconds in (0.05, 0.2, 0.4, 0.9) * 3:
            await group.round([Sign.GOOD] * group.limit, seconds)

    assert 500 == play(story).limit
    assert 500 == play(quick).limit


def test_slow_bmcs_beside_quick_ones_are_no_distress():
    """Each BMC is held against itself: those that always take a second cut nothing for those that never do."""

    async def story(group):
        for _ in range(8):
            await group.round([Sign.GOOD] * 50, 0.05)
            await group.round([Sign.GOOD] * 50, 1.2, first=1000)

    assert play(story).limit >= START


def test_a_slow_group_never_slows_another():
    """Groups have limits of their own; makes are told apart without regard to case."""

    async def run():
        throttles = Throttles(ceiling=500)
        slow, fast = throttles.of("berlin", "Acme"), throttles.of("paris", "Acme")
        assert throttles.of("berlin", "ACME ") is slow
        turns = [await slow.enter(NodeName(f"n{number}")) for number in range(int(START))]
        waiting = asyncio.ensure_future(slow.enter(NodeName("late")))
        await asyncio.sleep(0)
        assert not waiting.done()
        (await fast.enter(NodeName("p1"))).leave(Sign.GOOD)
        turns[0].leave(Sign.GOOD)
        return await waiting

    assert "late" == asyncio.run(run()).node


def test_who_waits_waits_in_order():
    """Places are given in the order in which they were asked for; who was cancelled is passed over."""

    async def run():
        group = Group(start=1.0, ceiling=1)
        first = await group.throttle.enter(NodeName("n0"))
        order: list[str] = []

        async def ask(name):
            turn = await group.throttle.enter(NodeName(name))
            order.append(name)
            turn.leave(Sign.GOOD)

        asking = [asyncio.ensure_future(ask(f"n{number}")) for number in range(1, 6)]
        await asyncio.sleep(0)
        asking[1].cancel()
        first.leave(Sign.GOOD)
        await asyncio.gather(*asking, return_exceptions=True)
        return order, group.throttle.in_flight

    assert (["n1", "n3", "n4", "n5"], 0) == asyncio.run(run())


def test_a_place_that_was_given_and_cancelled_is_not_lost():
    """A request that is cancelled in the moment it gets its place hands it on."""

    async def run():
        group = Group(start=1.0, ceiling=1)
        first = await group.throttle.enter(NodeName("n0"))
        second = asyncio.ensure_future(group.throttle.enter(NodeName("n1")))
        third = asyncio.ensure_future(group.throttle.enter(NodeName("n2")))
        await asyncio.sleep(0)
        first.leave(Sign.GOOD)
        second.cancel()
        turn = await third
        turn.leave(Sign.GOOD)
        return group.throttle.in_flight

    assert 0 == asyncio.run(asyncio.wait_for(run(), 5))


def test_silent_bmcs_do_not_hold_up_the_others():
    """BMCs that were silent last time wait in a lane of their own, which gets every fourth place."""

    async def run():
        group = Group(start=1.0, ceiling=1)
        for number in range(10):
            (await group.throttle.enter(NodeName(f"silent{number}"))).leave(Sign.SILENT)
        first = await group.throttle.enter(NodeName("n"))
        order: list[str] = []

        async def ask(name):
            turn = await group.throttle.enter(NodeName(name))
            order.append(name)
            turn.leave(Sign.NOTHING)

        silent = [asyncio.ensure_future(ask(f"silent{number}")) for number in range(10)]
        await asyncio.sleep(0)
        well = [asyncio.ensure_future(ask(f"well{number}")) for number in range(6)]
        await asyncio.sleep(0)
        first.leave(Sign.NOTHING)
        await asyncio.gather(*silent, *well)
        return order

    order = asyncio.run(run())

    assert ["well0", "well1", "well2", "silent0", "well3", "well4", "well5"] == order[:7]
    assert 16 == len(order)


def test_a_request_gives_its_place_up_after_a_while():
    """Hanging BMCs keep a place for a few seconds, not for their whole deadline."""

    async def run():
        group = Group(start=2.0, ceiling=2)
        hanging = [await group.throttle.enter(NodeName(f"n{number}")) for number in range(2)]
        waiting = asyncio.ensure_future(group.throttle.enter(NodeName("n9")))
        await asyncio.sleep(0)
        group.at += PATIENCE
        group.throttle._evict()
        turn = await asyncio.wait_for(waiting, 1)
        for late in hanging:
            late.leave(Sign.SILENT)
        turn.leave(Sign.GOOD)
        return group.throttle.in_flight

    assert 0 == asyncio.run(run())


def test_throttling_is_told(caplog):
    """A group that is throttled, and one that is no longer, is told in one structured line each."""

    async def story(group):
        await group.round([Sign.BUSY] * 64)
        for _ in range(100):
            await group.round([Sign.GOOD] * group.limit)

    with caplog.at_level(logging.INFO, logger="rackwave.bmc.throttle"):
        play(story)

    assert [
        "throttled site=berlin vendor=Acme limit=32 before=64 why=busy",
        "throttle eased site=berlin vendor=Acme limit=64",
    ] == [record.getMessage() for record in caplog.records]


def test_a_limit_that_cannot_fall_any_further_is_not_told_again(caplog):
    """Distress without end is told at each fall of the limit, and no more once it is one."""

    async def story(group):
        for _ in range(50):
            await group.round([Sign.BUSY] * group.limit)

    with caplog.at_level(logging.INFO, logger="rackwave.bmc.throttle"):
        play(story)
    limits = [record.args[2] for record in caplog.records]

    assert [32, 16, 8, 4, 2, 1] == [int(limit) for limit in limits]


def test_what_a_request_costs():
    """A place costs microseconds: asking for it and giving it up together stay far below a request's own cost."""

    async def run():
        throttle = Throttle("", "", ceiling=500)
        name = NodeName("n1")
        best = float("inf")
        for _ in range(5):
            begun = time.perf_counter()
            for _ in range(2000):
                (await throttle.enter(name)).leave(Sign.GOOD)
            best = min(best, (time.perf_counter() - begun) / 2000)
        return best

    assert asyncio.run(run()) < 20e-6


def test_the_driver_tells_its_throttle():
    """Busy answers and silence are signs, refused logins and missing resources are none; uploads are not timed."""

    async def run():
        group = Group()
        signs: list[Sign] = []
        leave = group.throttle._leave

        def noting(turn, sign, *, timed):
            signs.append(sign)
            leave(turn, sign, timed=timed)

        group.throttle._leave = noting
        async with ScriptedBmc() as server:
            server.on(f"GET {SYSTEM}", Reply(503, {}, {"Retry-After": "900"}))
            bmc = client(server, throttle=group.throttle)
            await bmc.observe(Look())
            signs.clear()
            for reply in (Reply(503, {}, {"Retry-After": "900"}), Reply(429, {}, {"Retry-After": "900"}), Reply(404)):
                server.on(f"GET {SYSTEM}", reply)
                await bmc.observe(Look())
            bmc.transport._json_timeout = type(bmc.transport._json_timeout)(total=0.1)
            server.on(f"GET {SYSTEM}", Reply(hang=True))
            await bmc.observe(Look())
            await bmc.close()
        return signs, group.throttle.in_flight

    signs, in_flight = asyncio.run(run())

    assert [Sign.BUSY, Sign.BUSY] == signs[:2]
    assert Sign.SILENT in signs
    assert 0 == in_flight
