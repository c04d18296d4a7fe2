"""When a rollout will be done: never before now, never later for work that is done, and not known where it is not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwave.core.eta import Eta, estimate
from rackwave.core.event import (
    AttemptStarted,
    NodeFinished,
    NodeResult,
    Recorded,
    RolloutFinished,
    RolloutPaused,
    RolloutResult,
    RolloutStarted,
    WaveStarted,
)
from rackwave.core.identity import AttemptId, NodeName, RolloutId
from rackwave.core.ledger import Ledger
from rackwave.core.outlook import eta_of
from rackwave.core.policy import Policy
from rackwave.core.rollout import RolloutState
from values import BIOS, bundle, goal, image

ROLLOUT = RolloutId("roll1")
A2 = bundle("A.2", image(BIOS, "2"))
NOW = 1_000_000.0
A_DAY = 86_400.0
NAMES = [NodeName(f"n{number}") for number in range(8)]


def rollout(sizes: list[int], wave: int, done: int, **policy: object) -> RolloutState:
    """A rollout at *wave*, whose first *done* nodes are done."""
    names = iter(NAMES)
    waves = tuple(tuple(next(names) for _ in range(size)) for size in sizes)
    state = RolloutState(ROLLOUT, A2.id, A2.digest, waves, Policy(**policy), "ann", NOW - 500, wave)  # type: ignore[arg-type]
    results = {n: NodeFinished(ROLLOUT, n, NodeResult.ON_NEW) for n in state.nodes[:done]}
    return evolve(
        RolloutState(ROLLOUT, A2.id, A2.digest, waves, state.policy, "ann", NOW - 500, wave, results),
        settled_at=NOW - 100 if results else None,
    )


def ask(state: RolloutState, takes: Mapping[NodeName, float], begun: Mapping[NodeName, float] | None = None) -> Eta:
    """Estimate *state* at NOW."""
    return estimate(state, NOW, expected=takes.get, begun=begun or {})


SECONDS = st.floats(0, 5_000)
TAKES = st.fixed_dictionaries(dict.fromkeys(NAMES, SECONDS))
SIZES = st.lists(st.integers(1, 3), min_size=1, max_size=2).map(lambda sizes: [1, *sizes])


@settings(deadline=None)
@given(sizes=SIZES, takes=TAKES, data=st.data(), soak=st.floats(0, 600), begun=st.floats(0, 9_000))
def test_it_is_never_before_now_and_never_later_for_work_that_is_done(
    sizes: list[int], takes: dict[NodeName, float], data: st.DataObject, soak: float, begun: float
) -> None:
    """One more node that is done, or one that is expected to take less, leaves no more to do."""
    wave = data.draw(st.integers(-1, len(sizes) - 1))
    # Of the wave under way: one that is done before its turn has the wave before watched anew.
    done = data.draw(st.integers(0, sum(sizes[: wave + 1] or sizes) - 1))
    state = rollout(sizes, wave, done, soak=soak)
    since = {state.nodes[done]: NOW - begun}
    now = ask(state, takes, since)
    less = ask(state, {name: seconds * 0.5 for name, seconds in takes.items()}, since)
    more_done = ask(evolve(rollout(sizes, wave, done + 1, soak=soak), settled_at=NOW), takes, since)
    assert now.seconds is not None
    assert less.seconds is not None
    assert more_done.seconds is not None

    assert now.at is not None
    assert now.at >= NOW
    assert now.seconds >= 0
    assert less.seconds <= now.seconds
    assert more_done.seconds <= now.seconds + 1e-6


def test_waves_and_soaks_follow_each_other_and_nodes_of_a_wave_do_not() -> None:
    """Each wave takes as long as its slowest node."""
    takes = dict(zip(NAMES, [100.0, 200.0, 300.0, 50.0], strict=False))

    assert 100 + 60 + 300 + 60 + 50 + 60 == ask(rollout([1, 2, 1], -1, 0, soak=60.0), takes).seconds
    assert 40 + 60 + 300 + 60 + 50 + 60 == ask(rollout([1, 2, 1], 0, 0, soak=60.0), takes, {NAMES[0]: NOW - 60}).seconds
    assert 200 + 300 + 300 + 50 + 300 == ask(rollout([1, 2, 1], 0, 1, soak=300.0), takes).seconds  # done 100 s ago


def test_what_nobody_timed_nobody_knows() -> None:
    """One node is enough; it is named."""
    found = ask(rollout([1, 1], -1, 0), {NAMES[0]: 100.0})

    assert (None, None) == (found.at, found.seconds)
    assert "on n1" in found.ground


def test_where_a_person_is_waited_for_there_is_work_and_no_time() -> None:
    """An approval to come, or a pause."""
    takes = dict.fromkeys(NAMES, 100.0)
    asked = rollout([1, 1], 0, 1, approval="after-canary")
    paused = evolve(rollout([1, 1], 0, 1), paused=RolloutPaused(ROLLOUT, "lunch", "ann"))

    assert Eta(None, 100.0, "once wave 1 is approved") == ask(asked, takes)
    assert Eta(None, 100.0, "paused by ann") == ask(paused, takes)
    assert "2 min left once wave 1 is approved" == str(ask(asked, takes))
    assert ask(evolve(asked, approved=frozenset({1})), takes).at == NOW + 100


def test_a_wave_begins_when_its_window_lets_its_slowest_node_begin() -> None:
    """One that does not fit into what is left of it waits for the next; one that fits into none is said."""
    hour = datetime.fromtimestamp(NOW, UTC).hour
    window = f"{hour:02d}:00-{(hour + 1) % 24:02d}:00 UTC"
    left = 3600 - NOW % 3600
    state = rollout([1], -1, 0, window=window)

    assert ask(state, {NAMES[0]: left - 1}).at == NOW + left - 1
    assert ask(state, {NAMES[0]: left + 1}).at == NOW + left - 3600 + A_DAY + left + 1
    assert "no maintenance window is so long" in ask(state, {NAMES[0]: 4000.0}).ground


def test_nodes_that_are_done_teach_what_the_others_take() -> None:
    """Nothing was timed: nobody knows, until one node is done, which says it of all."""
    ledger = Ledger()

    def add(at: float, *events: object) -> None:
        for event in events:
            ledger.apply(Recorded(int(at), at, event))  # type: ignore[arg-type]

    def eta(at: float) -> Eta | None:
        return eta_of(ledger.rollouts[ROLLOUT], ledger, lambda _: A2, at)

    waves = ((NAMES[0],), (NAMES[1], NAMES[2]))
    add(1, RolloutStarted(ROLLOUT, A2.id, A2.digest, waves, Policy(), "ann"), WaveStarted(ROLLOUT, 0))
    add(10, AttemptStarted(NAMES[0], AttemptId("first"), goal(A2), ROLLOUT))
    before = eta(20)
    add(310, NodeFinished(ROLLOUT, NAMES[0], NodeResult.ON_NEW))
    after = eta(310)
    add(400, RolloutFinished(ROLLOUT, RolloutResult.ABORTED))

    assert before is not None
    assert before.seconds is None
    assert (None, {}, {}) == (eta(410), ledger.took.begun(ROLLOUT), ledger.took.by(ROLLOUT))
    assert Eta(610.0, 300.0, "as those took that are done: 1") == after
