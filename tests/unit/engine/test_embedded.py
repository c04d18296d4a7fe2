"""The embedded engine: wakes in order of time, one turn a node, stops and failures without loss."""

from __future__ import annotations

import pytest

from rackwave.core.identity import NodeName
from rackwave.engine.embedded import EmbeddedEngine
from rackwave_emulators.clock import VirtualClock

A, B, C = NodeName("a"), NodeName("b"), NodeName("c")


def test_each_node_is_woken_when_it_asked_to_be() -> None:
    """Turns come in the order of their times, and the run ends when every node is done."""
    clock = VirtualClock()
    engine = EmbeddedEngine(clock)
    log: list[tuple[float, str]] = []
    rests = {A: iter([10.0, 5.0]), B: iter([3.0]), C: iter(())}

    async def turn(node: NodeName) -> float | None:
        log.append((clock.monotonic(), node))
        return next(rests[node], None)

    assert clock.run(engine.run([A, B, C], turn))
    assert [(0.0, "a"), (0.0, "b"), (0.0, "c"), (3.0, "b"), (10.0, "a"), (15.0, "a")] == log


def test_a_node_has_one_turn_at_a_time_and_the_rack_no_more_than_allowed() -> None:
    """However many are due, at most *at_once* turns are in flight, never two of one node."""
    clock = VirtualClock()
    engine = EmbeddedEngine(clock, at_once=2)
    running: list[NodeName] = []
    most = 0
    left = dict.fromkeys((A, B, C), 3)

    async def turn(node: NodeName) -> float | None:
        nonlocal most
        assert node not in running
        running.append(node)
        most = max(most, len(running))
        engine.wake([A, B, C])
        await clock.sleep(1.0)
        running.remove(node)
        left[node] -= 1
        return 0.0 if left[node] else None

    assert clock.run(engine.run([A, B, C], turn))
    assert 2 == most
    assert dict.fromkeys((A, B, C), 0) == left


def test_a_woken_node_does_not_wait_for_its_time() -> None:
    """A wake brings the next turn forward; a node that is done stays done."""
    clock = VirtualClock()
    engine = EmbeddedEngine(clock)
    seen: list[tuple[float, str]] = []

    async def turn(node: NodeName) -> float | None:
        seen.append((clock.monotonic(), node))
        if node == B and clock.monotonic() == 5.0:
            engine.wake([A, C])
        if node == C:
            return None
        return {0.0: 1000.0 if node == A else 5.0}.get(clock.monotonic())

    assert clock.run(engine.run([A, B, C], turn))
    assert [(0.0, "a"), (0.0, "b"), (0.0, "c"), (5.0, "b"), (5.0, "a")] == seen


def test_stop_begins_no_further_turn_and_lets_those_in_flight_end() -> None:
    """The run tells that nodes are left."""
    clock = VirtualClock()
    engine = EmbeddedEngine(clock)
    ended: list[str] = []

    async def turn(node: NodeName) -> float | None:
        if node == A:
            engine.stop()
        await clock.sleep(7.0)
        ended.append(node)
        return 60.0

    assert not clock.run(engine.run([A, B], turn))
    assert ["a", "b"] == ended
    assert 7.0 == clock.monotonic()


def test_a_turn_that_raises_ends_the_run_after_those_in_flight() -> None:
    """What a turn could not write down cannot be gone on from; the others lose nothing by it."""
    clock = VirtualClock()
    engine = EmbeddedEngine(clock)
    ended: list[str] = []

    async def turn(node: NodeName) -> float | None:
        if node == A:
            raise OSError("the disk is full")
        await clock.sleep(3.0)
        ended.append(node)
        return 1.0

    with pytest.raises(ExceptionGroup) as raised:
        clock.run(engine.run([A, B], turn))

    assert ["the disk is full"] == [str(error) for error in raised.value.exceptions]
    assert ["b"] == ended


def test_a_node_woken_during_its_turn_gets_another_right_after() -> None:
    """It may have looked before there was news, and must not sleep over it."""
    clock = VirtualClock()
    engine = EmbeddedEngine(clock)
    seen: list[tuple[float, str]] = []

    async def turn(node: NodeName) -> float | None:
        seen.append((clock.monotonic(), node))
        await clock.sleep(1.0 if node == A else 2.0)
        if node == A:
            engine.wake([B])
            return None
        return 1000.0 if len(seen) < 3 else None

    assert clock.run(engine.run([A, B], turn))
    assert [(0.0, "a"), (0.0, "b"), (2.0, "b")] == seen
