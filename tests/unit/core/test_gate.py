"""The gate: a verdict from power, POST and health, never from one word."""

from __future__ import annotations

import pytest

from rackwave.core.gate import Ill, NotKnown, NotYet, Well, judge
from rackwave.core.observation import Health, Observation, Post, Power
from values import SILENT, well


@pytest.mark.parametrize(
    ("power", "post", "health", "verdict"),
    [
        (Power.ON, Post.COMPLETE, Health.OK, Well),
        (Power.ON, Post.COMPLETE, Health.WARNING, Well),
        (Power.ON, Post.COMPLETE, Health.CRITICAL, Ill),
        (Power.ON, Post.RUNNING, Health.OK, NotYet),
        (Power.ON, Post.RUNNING, Health.CRITICAL, NotYet),
        (Power.ON, Post.NOT_RUNNING, Health.OK, NotYet),
        (Power.CHANGING, Post.COMPLETE, Health.OK, NotYet),
        (Power.ON, Post.FAILED, Health.OK, Ill),
        (SILENT, Post.FAILED, SILENT, Ill),
        (Power.OFF, Post.NOT_RUNNING, Health.OK, Ill),
        (Power.OFF, SILENT, SILENT, Ill),
        (SILENT, Post.COMPLETE, Health.OK, NotKnown),
        (Power.ON, SILENT, Health.OK, NotKnown),
        (Power.ON, Post.COMPLETE, SILENT, NotKnown),
        (SILENT, SILENT, SILENT, NotKnown),
    ],
)
def test_every_witness_is_heard(power: object, post: object, health: object, verdict: type) -> None:
    """All must be read and speak for the node; one that speaks against it suffices to call it ill."""
    seen: Observation = well(power=power, post=post, health=health)

    assert verdict is type(judge(seen))


def test_what_was_not_looked_at_is_not_known() -> None:
    """An observation that asked for nothing supports nothing."""
    assert NotKnown is type(judge(Observation(at=0.0)))


@pytest.mark.parametrize(("os", "dead"), [(True, False), (SILENT, False), (False, True)])
def test_a_host_that_may_be_at_work_is_not_dead_for_its_health(os: object, dead: bool) -> None:
    """Critical health is a reason to restart only where no operating system runs."""
    verdict = judge(well(health=Health.CRITICAL, os=os))

    assert isinstance(verdict, Ill)
    assert dead is verdict.dead
