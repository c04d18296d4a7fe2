"""The operator's gate between waves: good goes on, bad stops, not known waits and then counts as policy says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from attrs import evolve

from rackwave.core.event import GateAnswer, GateJudged, NodeResult, RolloutResult, WaveStarted
from rackwave.core.policy import Policy
from rackwave.core.rollout import RolloutState
from rackwave_emulators.faults import HostDead
from rackwave_emulators.sim import Killed
from rig import BIOS, Reaper, Rig, Shelf, nodes
from truths import assert_settled, results, writes

GOOD, BAD, UNKNOWN = GateAnswer.GOOD, GateAnswer.BAD, GateAnswer.NOT_KNOWN
POLICY = Policy(canary=1, waves=1, gate_timeout=600.0)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """Three nodes on A.1; one is the canary."""
    rig = Rig(Shelf(tmp_path), nodes(3), policy=POLICY)
    rig.clock.run(rig.assign(rig.shelf.bundle("A.1", {BIOS: "1.0.0"})))
    return rig


class Script:
    """Answers as scripted, the last one for ever; each answer takes *takes* seconds."""

    def __init__(self, rig: Rig, answers: Sequence[GateAnswer], takes: float = 5.0) -> None:
        self._rig = rig
        self._answers = list(answers)
        self._takes = takes
        self.asked: list[tuple[float, int]] = []

    async def __call__(self, rollout: RolloutState) -> GateJudged:
        """Answer."""
        self.asked.append((self._rig.clock.monotonic(), rollout.wave))
        await self._rig.clock.sleep(self._takes)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return GateJudged(rollout.id, rollout.wave, answer, "errors rise")


def run(rig: Rig, *answers: GateAnswer, takes: float = 5.0) -> tuple[RolloutState, Script]:
    """Roll A.2 out past a gate that answers so."""
    script = Script(rig, answers, takes)
    rig.gate = script
    return rig.run(rig.shelf.bundle("A.2", {BIOS: "2.0.0"})), script


def judged(rig: Rig) -> list[GateAnswer]:
    """What was journalled of the gate."""
    return [e.event.answer for e in rig.journal.events() if isinstance(e.event, GateJudged)]


def test_a_gate_that_says_good_is_asked_once_before_each_later_wave(rig: Rig) -> None:
    """Not before the first: there is nothing to look at; nor after the last: there is nothing to hold."""
    rig.policy = evolve(POLICY, waves=2)
    state, script = run(rig, GOOD)
    assert_settled(rig, state)

    assert RolloutResult.DONE is state.finished.result  # type: ignore[union-attr]  # it is over
    assert [0, 1] == [wave for _, wave in script.asked]
    assert [GOOD, GOOD] == judged(rig)


def test_a_gate_that_says_bad_stops_the_rollout_with_its_reason(rig: Rig) -> None:
    """The canary stays on the new bundle; no other node is touched."""
    state, _ = run(rig, BAD)

    assert RolloutResult.STOPPED is state.finished.result  # type: ignore[union-attr]  # it is over
    assert "the gate says that wave 1 may not begin: errors rise" == state.finished.reason  # type: ignore[union-attr]
    assert [NodeResult.ON_NEW, NodeResult.NOT_STARTED, NodeResult.NOT_STARTED] == list(results(state).values())
    assert [] == [*writes(rig, rig.nodes[1]), *writes(rig, rig.nodes[2])]


def test_what_is_not_known_holds_the_wave_and_is_asked_again(rig: Rig) -> None:
    """Journalled once however often it is said; the wave begins once it is good."""
    state, script = run(rig, UNKNOWN, UNKNOWN, UNKNOWN, GOOD)
    gaps = [after - before for (before, _), (after, _) in zip(script.asked, script.asked[1:], strict=False)]

    assert RolloutResult.DONE is state.finished.result  # type: ignore[union-attr]  # it is over
    assert [UNKNOWN, GOOD] == judged(rig)
    assert 4 == len(script.asked)
    assert min(gaps) >= POLICY.watch


def test_what_is_not_known_for_too_long_counts_as_bad(rig: Rig) -> None:
    """Where policy says stop; and the time runs from the first such answer."""
    state, script = run(rig, UNKNOWN)

    assert RolloutResult.STOPPED is state.finished.result  # type: ignore[union-attr]  # it is over
    assert "not known for 600 s counts as bad" in state.finished.reason  # type: ignore[union-attr]  # as above
    assert 600 <= script.asked[-1][0] - script.asked[0][0] + 5.0 + POLICY.watch <= 600 + 3 * POLICY.watch


def test_what_is_not_known_waits_for_a_person_where_policy_says_so(rig: Rig) -> None:
    """An hour and more."""
    rig.policy = evolve(POLICY, gate_unknown="wait")
    state, script = run(rig, *[UNKNOWN] * 200, GOOD)

    assert RolloutResult.DONE is state.finished.result  # type: ignore[union-attr]  # it is over
    assert script.asked[-1][0] - script.asked[0][0] > 3600


def test_no_turn_waits_for_a_gate(rig: Rig) -> None:
    """While it thinks for an hour, a host that dies is recovered."""

    async def whole() -> RolloutState:
        rolling = asyncio.ensure_future(rig.roll_out(rig.shelf.bundle("A.2", {BIOS: "2.0.0"})))
        await rig.clock.sleep(1000)
        rig.rack.machine(rig.nodes[2]).inject(HostDead())
        await rig.clock.sleep(1000)
        assert "complete" == rig.rack.machine(rig.nodes[2]).truth()["post"]
        assert not rolling.done()
        return await rolling

    rig.gate = Script(rig, [GOOD], takes=3600.0)
    state = rig.clock.run(whole())

    assert {NodeResult.ON_NEW} == set(results(state).values())


@pytest.mark.parametrize("kill_at", range(40, 110, 6))
def test_killed_around_the_gate_it_is_asked_again_or_believed(rig: Rig, kill_at: int) -> None:
    """What was journalled is not asked again; what was not, is: each wave begins once."""
    rig.reaper = Reaper({kill_at})
    rig.gate = Script(rig, [UNKNOWN, GOOD])
    wanted = rig.shelf.bundle("A.2", {BIOS: "2.0.0"})
    rollout = rig.clock.run(rig.start(wanted))
    try:
        rig.clock.run(rig.orchestrator().run_rollout(rollout))
    except* Killed:
        rig.reaper.revive()
    state = rig.clock.run(rig.orchestrator().run_rollout(rollout))
    assert_settled(rig, state)

    assert {NodeResult.ON_NEW} == set(results(state).values())
    assert [0, 1] == [e.event.wave for e in rig.journal.events() if isinstance(e.event, WaveStarted)]
