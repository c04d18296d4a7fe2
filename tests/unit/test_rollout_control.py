"""An operator's wishes about a rollout, as the journal takes them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rackwave.clock import SystemClock
from rackwave.core.event import RolloutAborted, RolloutStarted
from rackwave.core.identity import BundleId, Digest, NodeName, RolloutId
from rackwave.core.policy import Policy
from rackwave.errors import UsageError
from rackwave.records import Records
from rackwave.rollout_control import RolloutControl

ROLLOUT = RolloutId("roll1")


@pytest.fixture
def control(tmp_path: Path) -> Iterator[RolloutControl]:
    """A rollout that goes back, since somebody aborted it so."""
    clock = SystemClock()
    with closing(Records(tmp_path, clock=clock)) as records:
        waves = ((NodeName("r1n01"),),)
        begun = RolloutStarted(ROLLOUT, BundleId.parse("A.2"), Digest(f"sha256:{'2' * 64}"), waves, Policy(), "me")
        asyncio.run(records.logbook.record(begun, RolloutAborted(ROLLOUT, "it hangs", "ann", roll_back=True)))
        yield RolloutControl(records, clock=clock, by="bob", why_not_sendable=lambda _: None)


def test_a_second_abort_does_not_call_off_the_way_back_of_the_first(control: RolloutControl) -> None:
    """Another operator aborts it too, without knowing: nodes that go back go on going back."""
    with pytest.raises(UsageError, match=r"aborted already, by ann: it hangs; what is done goes back"):
        asyncio.run(control.abort(ROLLOUT, "me too"))

    assert "ann" == control.find(ROLLOUT).aborted.by  # type: ignore[union-attr]  # it is aborted


def test_an_abort_at_once_ends_the_way_back_of_the_first(control: RolloutControl) -> None:
    """Whoever means it can."""
    asyncio.run(control.abort(ROLLOUT, "it burns", now=True))

    assert "aborted by bob: it burns" == control.find(ROLLOUT).finished.reason  # type: ignore[union-attr]  # it is over
