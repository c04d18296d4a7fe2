"""What a rollout waits for, and what it does not."""

from __future__ import annotations

from pathlib import Path

from rackwave.core.event import Intended, Recorded, Resolved
from rackwave.core.step import ResetHost
from rig import BIOS, Rig, Shelf, nodes


def test_host_is_restarted_one_poll_after_the_write_ends(tmp_path: Path) -> None:
    """Between the end of a write and the reset that activates it, one poll shows whether it comes by itself (P14)."""
    shelf = Shelf(tmp_path)
    first, second = shelf.bundle("A.1", {BIOS: "1.0.0"}), shelf.bundle("A.2", {BIOS: "2.0.0"})
    rig = Rig(shelf, nodes(1))
    rig.clock.run(rig.assign(first))
    rig.run(second)

    events = list(rig.journal.events())
    ended = next(e for e in events if isinstance(e.event, Resolved) and e.event.number == 1)
    reset = next(e for e in events if _is_reset(e))

    assert rig.policy.poll == reset.at - ended.at


def _is_reset(recorded: Recorded) -> bool:
    event = recorded.event
    return isinstance(event, Intended) and isinstance(event.step, ResetHost)
