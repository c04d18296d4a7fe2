"""Windows of a node's own, and the date from which on they and its scheduler no longer count."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from attrs import evolve

from rackwave.core.enforce import for_bundle
from rackwave.core.event import Enforced, Held, HeldBack, Intended, NodeResult, Unheld
from rackwave.core.policy import Policy
from rackwave.core.step import WriteImage
from rackwave.core.window import read_windows
from rackwave.drain import DrainConfig, DrainHook
from rackwave_emulators.clock import VirtualClock
from rig import BIOS, Rig, Shelf, nodes
from truths import results

PLAIN = Policy(canary=0, waves=1)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """Two nodes on A.1."""
    rig = Rig(Shelf(tmp_path), nodes(2), policy=PLAIN)
    rig.clock.run(rig.assign(rig.shelf.bundle("A.1", {BIOS: "1.0.0"})))
    return rig


def date(rig: Rig, seconds: float) -> str:
    """The moment *seconds* from now, as a policy has it."""
    return datetime.fromtimestamp(rig.clock.now() + seconds, UTC).isoformat()


def began(rig: Rig, place: int) -> float:
    """When the first image went to a node."""
    node = rig.nodes[place]
    return next(
        e.at
        for e in rig.journal.events()
        if isinstance(e.event, Intended) and isinstance(e.event.step, WriteImage) and e.event.node == node
    )


def said(rig: Rig, kind: type[Enforced | HeldBack], place: int = 0) -> list[str]:
    """Why a node waited, or did not."""
    return [e.event.why for e in rig.journal.events() if isinstance(e.event, kind) and e.event.node == rig.nodes[place]]


def shut_for(rig: Rig, hours: int) -> str:
    """A window that opens in *hours*."""
    opens = (datetime.fromtimestamp(rig.clock.now(), UTC).hour + hours) % 24
    return f"{opens:02d}:00-{(opens + 1) % 24:02d}:00 UTC"


def test_a_node_waits_for_its_own_window_and_the_others_do_not(rig: Rig) -> None:
    """The rollout has no window; the node whose rack has one begins when that opens."""
    begin = rig.clock.now()
    rig.own_windows = {rig.nodes[1]: (read_windows(shut_for(rig, 3)),)}
    state = rig.run(rig.shelf.bundle("A.2", {BIOS: "2.0.0"}))

    assert {NodeResult.ON_NEW} == set(results(state).values())
    assert began(rig, 0) < begin + 60
    assert began(rig, 1) >= begin + 2 * 3600


def test_a_window_gives_way_once_the_date_is_past_and_says_so_before(rig: Rig) -> None:
    """It would have opened later: the node begins at the date, and the history says that it was enforced."""
    rig.policy = evolve(PLAIN, enforce_by=date(rig, 3600))
    begin = rig.clock.now()
    rig.own_windows = {rig.nodes[0]: (read_windows(shut_for(rig, 5)),)}
    rig.run(rig.shelf.bundle("A.2", {BIOS: "2.0.0"}))

    assert begin + 3600 <= began(rig, 0) <= begin + 3600 + PLAIN.watch
    assert "; done all the same from " in said(rig, HeldBack)[0]
    assert ["its maintenance window opens at"] == [why[:31] for why in said(rig, Enforced)]
    assert [] == said(rig, Enforced, 1)


class Busy(DrainHook):
    """A scheduler with a job on every node, for ever; it answers on virtual time, in which no command runs."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(DrainConfig(), clock=clock, labels=lambda _: {})

    async def busy(self, node: object) -> str | None:
        """Always the same job."""
        return "busy with job 4711"


def test_a_scheduler_gives_way_once_the_date_is_past(rig: Rig) -> None:
    """Once an attempt, however many acts it takes."""
    rig.hook = Busy(rig.clock)
    rig.policy = evolve(PLAIN, enforce_by=date(rig, 7200))
    begin = rig.clock.now()
    state = rig.run(rig.shelf.bundle("A.2", {BIOS: "2.0.0"}))

    assert {NodeResult.ON_NEW} == set(results(state).values())
    assert began(rig, 0) >= begin + 7200
    assert ["busy with job 4711"] == said(rig, Enforced)
    assert ["busy with job 4711; done all the same from"] == [why[:42] for why in said(rig, HeldBack)]


def test_a_hold_stands_whatever_the_date(rig: Rig) -> None:
    """Somebody's hands may be in the machine; no date is promised to whoever reads why it waits."""
    rig.policy = evolve(PLAIN, enforce_by=date(rig, 100))
    begin = rig.clock.now()

    async def main() -> None:
        await rig.journal.append(Held(rig.nodes[0], "memory is swapped", "ann"))
        rolling = asyncio.ensure_future(rig.roll_out(rig.shelf.bundle("A.2", {BIOS: "2.0.0"})))
        await rig.clock.sleep(5000)
        await rig.journal.append(Unheld(rig.nodes[0], "ann"))
        await rolling

    rig.clock.run(main())

    assert began(rig, 0) >= begin + 5000
    assert ["held by ann: memory is swapped"] == said(rig, HeldBack)
    assert [] == said(rig, Enforced)


@pytest.mark.parametrize(
    ("own", "given", "counts"),
    [
        ("", "", ""),
        ("2026-12-01T06:00+01:00", "", "2026-12-01T06:00+01:00"),
        ("", "2026-12-01T06:00+01:00", "2026-12-01T06:00+01:00"),
        ("2026-12-01T06:00+01:00", "2026-12-01T05:30Z", "2026-12-01T06:00+01:00"),
        ("2026-12-01T06:00+01:00", "2026-12-01T04:30Z", "2026-12-01T04:30Z"),
    ],
)
def test_the_earlier_date_counts(rig: Rig, own: str, given: str, counts: str) -> None:
    """A bundle's own or the policy's, whatever the zones in which they are written."""
    plain = rig.shelf.bundle("A.2", {BIOS: "2.0.0"})
    bundle = evolve(plain, manifest=evolve(plain.manifest, enforce_by=own))

    assert counts == for_bundle(evolve(PLAIN, enforce_by=given), bundle).enforce_by
