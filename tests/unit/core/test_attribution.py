"""Whose a failure is: exact tests that are exact, signs that do not contradict, and what stays open counts."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwave.core.attempt import Attempt, StepRecord
from rackwave.core.attribution import (
    LEVEL,
    Cohort,
    at_most,
    attribute,
    counted,
    fisher,
    sign_of,
    sign_of_illness,
    verdicts,
)
from rackwave.core.blame import Beside, Blame, Sign
from rackwave.core.bundle import Activation, ElementKind
from rackwave.core.event import AttemptResult, Attributed, NodeFinished, NodeResult, Outcome
from rackwave.core.goal import Cause, Goal
from rackwave.core.identity import AttemptId, ComponentName, NodeName, RolloutId
from rackwave.core.observation import Power
from rackwave.core.policy import Policy
from rackwave.core.receipt import Accepted, Ambiguous, Ground, Receipt, Refused
from rackwave.core.rollout import RolloutState, apply_to_rollout
from rackwave.core.step import ResetHost, ResetKind, Step, WriteImage
from rackwave.core.waves import GoOn, Stop, judge_wave
from values import bundle

A2 = bundle("A.2")
ROLLOUT = RolloutId("roll1")
FAILED, ILL, LOST = AttemptResult.FAILED, AttemptResult.ILL, AttemptResult.LOST
PROGRAMMED, REFUSED = Sign(Blame.UNDECIDED, "the flash failed", Beside.PEERS), Refused("not for this board")
UNWELL, DIED = Sign(Blame.BUNDLE, "does not boot"), Sign(Blame.ELSEWHERE, "nothing was written")
counts = st.integers(0, 6)


@given(ill=st.integers(1, 4), well=counts, ill_without=counts, well_without=counts)
@settings(max_examples=60, deadline=None)
def test_fishers_test_is_the_share_of_all_deals_that_are_as_bad(
    ill: int, well: int, ill_without: int, well_without: int
) -> None:
    """Counted out: of all ways in which as many could have fallen ill, those that hit as many with the bundle."""
    total, everybody = ill + well, ill + well + ill_without + well_without
    deals = list(combinations(range(everybody), ill + ill_without))
    bad = sum(sum(1 for who in deal if who < total) >= ill for deal in deals)

    assert pytest.approx(bad / len(deals)) == fisher(ill, total, ill_without, ill_without + well_without)


@given(total=st.integers(1, 12), share=st.sampled_from([0.1, 0.2, 0.5, 0.9]), data=st.data())
@settings(max_examples=100, deadline=None)
def test_the_binomial_tail_is_the_share_of_all_draws(total: int, share: float, data: st.DataObject) -> None:
    """Counted out: over all outcomes, those with at most that many hits, each as probable as it is."""
    hits = data.draw(st.integers(0, total))
    counts = (number.bit_count() for number in range(2**total))
    few = sum(share**hit * (1 - share) ** (total - hit) for hit in counts if hit <= hits)

    assert pytest.approx(few) == at_most(hits, total, share)


def test_the_tests_hold_for_large_racks() -> None:
    """No overflow, no zero where it is not zero."""
    assert 0.0 == at_most(30, 100_000, 0.5)
    assert pytest.approx(0.5, abs=0.01) == at_most(20_000, 100_000, 0.2)
    assert 1.0 == at_most(100_000, 100_000, 0.2)
    assert 0.0 < fisher(40, 50_000, 10, 50_000) < LEVEL
    assert 0.4 < fisher(20_000, 50_000, 20_000, 50_000) < 0.6


@given(
    ill=counts,
    well=st.integers(0, 40),
    ill_without=counts,
    well_without=st.integers(0, 40),
    sign=st.sampled_from([PROGRAMMED, UNWELL, DIED, sign_of_illness(90.0)]),
)
@settings(max_examples=200, deadline=None)
def test_more_evidence_against_it_never_acquits(
    ill: int, well: int, ill_without: int, well_without: int, sign: Sign
) -> None:
    """One more machine ill with the bundle, or one less ill without it, acquits nothing; every verdict has words."""
    given_ = Cohort(ill, well, ill_without, well_without)
    found = attribute(sign, given_)
    worse = attribute(sign, Cohort(ill + 1, well, ill_without, well_without))
    calmer = attribute(sign, Cohort(ill, well, 0, well_without + ill_without))

    assert not found.counts or worse.counts
    assert not found.counts or sign.beside is Beside.PEERS or calmer.counts
    assert all(found.evidence)


def test_a_lone_canary_neither_convicts_nor_acquits() -> None:
    """What is open about it counts as the bundle's."""
    for sign in (PROGRAMMED, sign_of_illness(60.0)):
        found = attribute(sign, Cohort(well_without=99))
        assert (Blame.UNDECIDED, True) == (found.blame, found.counts)


def test_machines_that_took_it_well_excuse_an_image() -> None:
    """One flash of thirty that fails is the machine's; one of eight, or six of thirty, may be the bundle's."""
    assert attribute(PROGRAMMED, Cohort(well=7)).counts
    assert not attribute(PROGRAMMED, Cohort(well=29)).counts
    assert attribute(PROGRAMMED, Cohort(ill=5, well=24)).counts


def test_machines_without_it_that_are_well_convict_it() -> None:
    """Three ill of three beside none of twenty; and beside as many ill without it, not."""
    assert Blame.BUNDLE is attribute(sign_of_illness(900.0), Cohort(ill=2, well_without=20)).blame
    assert Blame.ELSEWHERE is attribute(sign_of_illness(900.0), Cohort(well=5, ill_without=6, well_without=2)).blame


def record(step: Step, number: int, receipt: Receipt | None, outcome: Outcome | None = None) -> StepRecord:
    """A step as the journal tells it."""
    return StepRecord(
        AttemptId("first1"), number, float(number), step, receipt=receipt, outcome=outcome, evidence="told"
    )


def write(*, bmc: bool = False) -> WriteImage:
    """A write of the BIOS, or of the BMC itself."""
    return WriteImage(
        element="bios",
        component=ComponentName("BMC" if bmc else "BIOS"),
        version="2.0.0",
        payload="bios.img",
        digest=A2.digest,
        size=4096,
        activation=Activation.BMC_RESET if bmc else Activation.HOST_RESET,
        time_limit=600.0,
        expects="1.0.0",
        kind=ElementKind.BMC_FIRMWARE if bmc else ElementKind.BIOS_IMAGE,
    )


def attempt(*steps: StepRecord) -> Attempt:
    """An attempt with these steps."""
    return Attempt(AttemptId("first1"), Goal(A2.id, A2.digest, Cause.ROLLOUT), 0.0, ROLLOUT, steps=steps)


RESTART = ResetHost(ResetKind.FORCE_RESTART, ("bios",), Power.ON, "boot 1")
WRITTEN = record(write(), 1, Accepted(), Outcome.DONE)
RESTARTED = record(RESTART, 2, Accepted(), Outcome.DONE)


@pytest.mark.parametrize(
    ("steps", "result", "blame"),
    [
        ((), AttemptResult.NOTHING_WRITTEN, Blame.ELSEWHERE),
        ((record(write(), 1, REFUSED),), AttemptResult.NOTHING_WRITTEN, Blame.UNDECIDED),
        ((record(write(), 1, Refused("gone", ground=Ground.AWAY)),), AttemptResult.NOTHING_WRITTEN, Blame.ELSEWHERE),
        ((record(write(), 1, Accepted(), Outcome.NEVER_STARTED),), AttemptResult.NOTHING_WRITTEN, Blame.ELSEWHERE),
        ((record(write(), 1, Accepted(), Outcome.FAILED),), FAILED, Blame.UNDECIDED),
        ((record(write(), 1, Accepted(), Outcome.UNSEEN), RESTARTED), LOST, Blame.UNDECIDED),
        ((record(write(), 1, Ambiguous("no answer")),), LOST, Blame.ELSEWHERE),
        ((record(write(bmc=True), 1, Ambiguous("no answer")),), LOST, Blame.UNDECIDED),
        ((WRITTEN,), FAILED, Blame.ELSEWHERE),
        ((WRITTEN, RESTARTED), ILL, Blame.BUNDLE),
        ((WRITTEN, RESTARTED), FAILED, Blame.UNDECIDED),
    ],
)
def test_what_a_failure_shows_by_itself(steps: tuple[StepRecord, ...], result: AttemptResult, blame: Blame) -> None:
    """From the steps that were taken, not from anybody's words."""
    assert blame is sign_of(attempt(*steps), result).blame


def rollout(policy: Policy, told: Iterable[tuple[str, NodeResult, Sign | None]], *, waves: str) -> RolloutState:
    """A rollout after these ends, in its second wave."""
    cut = tuple(tuple(NodeName(f"n{each}") for each in wave) for wave in waves.split())
    state = RolloutState(ROLLOUT, A2.id, A2.digest, cut, policy, "test", 0.0, wave=1)
    for name, result, sign in told:
        if sign is not None:
            event = Attributed(ROLLOUT, NodeName(name), sign, sign.blame, (sign.why,))
            state = apply_to_rollout(state, event, 1.0)
        state = apply_to_rollout(state, NodeFinished(ROLLOUT, NodeName(name), result, "why"), 1.0)
    return state


NEW, BACK = NodeResult.ON_NEW, NodeResult.ROLLED_BACK
STRICT = Policy(canary=1, failure_budget=0, other_failures_percent=20)


def test_what_is_not_the_bundles_does_not_use_up_its_budget() -> None:
    """It goes on; with too many of that kind it does not, and says so."""
    well = [("n0", NEW, None)]
    one = rollout(STRICT, [*well, ("n1", BACK, DIED)], waves="0 123456789")
    many = rollout(STRICT, [*well, *((f"n{k}", BACK, DIED) for k in (1, 2, 3))], waves="0 123456789")
    ours = rollout(STRICT, [*well, ("n1", BACK, UNWELL)], waves="0 123456789")

    assert isinstance(judge_wave(one), GoOn)
    assert Stop("3 nodes failed for other reasons than the bundle, at most 2 may: n1, n2, n3") == judge_wave(many)
    assert Stop("1 nodes failed, the budget is 0: n1 (does not boot)") == judge_wave(ours)


def test_a_failure_of_which_nothing_is_told_counts() -> None:
    """As in a journal that was written before failures were attributed."""
    state = rollout(STRICT, [("n0", NEW, None), ("n1", BACK, None)], waves="0 123")

    assert 1 == counted(state)
    assert isinstance(judge_wave(state), Stop)


def test_a_canary_wave_without_one_on_the_bundle_shows_nothing() -> None:
    """Two canaries that failed for other reasons stop it, one of two does not."""
    policy = Policy(canary=2, failure_budget=0)
    none = rollout(policy, [("n0", BACK, DIED), ("n1", BACK, DIED)], waves="01 234")
    half = rollout(policy, [("n0", BACK, DIED), ("n1", NEW, None)], waves="01 234")

    assert Stop("no canary shows what A.2 does: n0: why; n1: why") == judge_wave(none)
    assert isinstance(judge_wave(half), GoOn)


ends = st.lists(
    st.tuples(
        st.sampled_from("123456789"), st.sampled_from([NEW, BACK]), st.sampled_from([None, PROGRAMMED, UNWELL, DIED])
    )
)


@given(ends=ends)
@settings(max_examples=150, deadline=None)
def test_the_count_is_the_sum_of_the_verdicts(ends: list[tuple[str, NodeResult, Sign | None]]) -> None:
    """However often a node ends anew; the count costs no walk over the nodes."""
    state = rollout(STRICT, [(f"n{name}", result, sign) for name, result, sign in ends], waves="0 123456789")

    assert counted(state) == sum(found.counts for _, found in verdicts(state))
    assert sum(state.tally.values()) == len(state.failed)
