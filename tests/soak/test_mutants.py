"""Ten faults put into our own code on purpose: the soak's judge finds each.

A mutant is one small patch at a named place. The same seasons without it have nothing to complain of (first test).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from rackwave.core import doubt, planner, recovery, turn
from rackwave.core.event import Acted, Intended, Outcome
from rackwave.core.finding import Ended
from rackwave.core.observation import NOT_ASKED, Component, Health, Observation, TaskPhase, TaskSeen, Unknown
from rackwave.core.receipt import Ambiguous
from rackwave.engine.logbook import Logbook
from rackwave.engine.memory import MemoryLeases
from rackwave.worker.worker_orchestrator import WorkerOrchestrator
from rig import Shelf
from soak.judge import complaints
from soak.season import OLD, play

NODES = 40
SEEDS = (4, 8, 1, 2, 6, 12, 13, 3)
"""Tried in this order until one finds the mutant."""

TAKEN = "taken for done"
Patch = pytest.MonkeyPatch


def retry_without_looking(patch: Patch) -> None:
    """A request whose answer was lost is sent again at once."""
    send = WorkerOrchestrator._send

    async def twice(self: WorkerOrchestrator, *args: Any) -> Any:
        receipt = await send(self, *args)
        return await send(self, *args) if isinstance(receipt, Ambiguous) else receipt

    patch.setattr(WorkerOrchestrator, "_send", twice)


def task_gone_is_success(patch: Patch) -> None:
    """A task that vanished is taken for a success, and so nobody looks for the version."""
    _follow_as_done(patch, TaskPhase.VANISHED)
    effect = planner._effect_standing

    def standing(element: Any, record: Any, *args: Any, **named: Any) -> Any:
        found = effect(element, record, *args, **named)
        is_gone = record.evidence == TAKEN and not isinstance(found, planner.Staged)
        return planner.Level("its task is gone") if is_gone else found

    patch.setattr(planner, "_effect_standing", standing)


def reset_during_a_write(patch: Patch) -> None:
    """A write whose task runs counts as done, so that its reset comes while it is written."""
    _follow_as_done(patch, TaskPhase.RUNNING)


def _follow_as_done(patch: Patch, phase: TaskPhase) -> None:
    follow = doubt.follow

    def followed(case: Any, task: TaskSeen | Unknown, **named: Any) -> Any:
        if isinstance(task, TaskSeen) and task.phase is phase:
            return Ended(Outcome.DONE, TAKEN)
        return follow(case, task, **named)

    patch.setattr(doubt, "follow", followed)


def no_intent(patch: Patch) -> None:
    """The intent is written with the outcome, after the act."""
    record = Logbook.record

    async def late(self: Logbook, *events: Any) -> None:
        waiting = self.__dict__.setdefault("waiting", {})
        first = events[0] if events else None
        if isinstance(first, Intended):
            waiting[first.node] = first
            return
        if isinstance(first, Acted) and first.node in waiting:
            events = (waiting.pop(first.node), *events)
        await record(self, *events)

    patch.setattr(Logbook, "record", late)


def unknown_is_old(patch: Patch) -> None:
    """What cannot be read of a component is taken to be as it was: the old version, and nothing that waits."""
    component = Observation.component

    def told(self: Observation, name: Any) -> Component:
        found = component(self, name)
        if found.installed is NOT_ASKED:
            return found
        installed = OLD if isinstance(found.installed, Unknown) else found.installed
        return evolve(found, installed=installed, staged=None if isinstance(found.staged, Unknown) else found.staged)

    patch.setattr(Observation, "component", told)


def skipped_activation(patch: Patch) -> None:
    """What is written counts as in force, without the reset that makes it so."""
    effect = planner._effect_standing

    def standing(*args: Any, **named: Any) -> Any:
        found = effect(*args, **named)
        return planner.Level("it is written") if isinstance(found, planner.Staged) else found

    patch.setattr(planner, "_effect_standing", standing)


def lease_expiring_in_a_write(patch: Patch) -> None:
    """Whoever was overtaken goes on as if the lease were still its own."""

    async def check(self: MemoryLeases, lease: Any) -> None:
        """Find nothing wrong."""

    patch.setattr(MemoryLeases, "check", check)


def recovery_with_the_current_bundle(patch: Patch) -> None:
    """A recovery sends the newest bundle of the lineage and not what the node carried."""
    from rackwave.recovery_manager import RecoveryManager

    request, goal = RecoveryManager.context, recovery._goal
    newest: list[Any] = []

    def context(self: RecoveryManager, node: Any, lineage: Any, policy: Any, rollout: Any) -> Any:
        if rollout is not None:
            newest[:] = [(rollout.bundle, rollout.digest)]
        return request(self, node, lineage, policy, rollout)

    def chosen(*args: Any) -> Any:
        found = goal(*args)
        return found if found is None or not newest else evolve(found, bundle=newest[0][0], digest=newest[0][1])

    patch.setattr(RecoveryManager, "context", context)
    patch.setattr(recovery, "_goal", chosen)


def level_needs_no_reassertion(patch: Patch) -> None:
    """A recovery writes nothing where the version is right already."""
    goal = recovery._goal

    def chosen(*args: Any) -> Any:
        found = goal(*args)
        return None if found is None else evolve(found, reassert=frozenset())

    patch.setattr(recovery, "_goal", chosen)


def a_gate_deaf_to_health(patch: Patch) -> None:
    """The gate does not listen to the system's health."""
    judge = turn.judge
    patch.setattr(turn, "judge", lambda seen: judge(evolve(seen, health=Health.OK)))


MUTANTS: dict[Callable[[Patch], None], str] = {
    retry_without_looking: "flashed twice",
    task_gone_is_success: "the BIOS is",
    no_intent: "the BIOS is",
    unknown_is_old: "flashed twice",
    skipped_activation: "the BIOS is",
    lease_expiring_in_a_write: "the BIOS is",
    recovery_with_the_current_bundle: "which was never assigned to it",
    level_needs_no_reassertion: "a recovery mends",
    reset_during_a_write: "spoilt",
    a_gate_deaf_to_health: "it says, and it is",
}


def test_without_a_mutant_there_is_nothing_to_complain_of(shelf: Shelf) -> None:
    """The seasons that the mutants are shown are sound."""
    assert [] == [what for seed in SEEDS for what in complaints(play(seed, shelf, NODES))]


@pytest.mark.parametrize(("mutant", "words"), MUTANTS.items(), ids=[mutant.__name__ for mutant in MUTANTS])
def test_a_mutant_is_caught(
    mutant: Callable[[Patch], None], words: str, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The judge complains of what the mutant did, not of something else."""
    mutant(monkeypatch)
    found: list[str] = []
    for seed in SEEDS:
        found += complaints(play(seed, shelf, NODES))
        if any(words in what for what in found):
            break

    assert any(words in what for what in found), "\n".join(found) or "it was not caught"
