"""Patience is spent by what goes on, not by what an attempt waited for before; and every wait has an end."""

from __future__ import annotations

import math

import pytest
from attrs import evolve

from rackwave.core.attempt import Attempt, StepRecord
from rackwave.core.bundle import Bundle
from rackwave.core.decision import Act, Decision, Finish, Resolve, Situation, Wait
from rackwave.core.event import AttemptResult, Outcome
from rackwave.core.finding import Holding
from rackwave.core.goal import Cause
from rackwave.core.look import full_look
from rackwave.core.observation import Health, Lack, Observation, Post, Power, Unknown
from rackwave.core.policy import Policy
from rackwave.core.receipt import Accepted, Ambiguous
from rackwave.core.step import Means, ResetBmc, ResetHost, ResetKind, StageSettings
from rackwave.core.turn import decide
from values import (
    BIOS,
    BMC,
    NODE,
    attempt,
    bios_settings,
    bmc_reset,
    bundle,
    goal,
    host_reset,
    image,
    record,
    taken,
    well,
    write,
)

POLICY = Policy()
A2, B2 = bundle("A.2", image(BIOS, "2")), bundle("A.2", image(BMC, "2"))
OLD = well({BIOS: "1"})
LOST = Ambiguous("no answer")
FULL = evolve(full_look(A2), bmc=True, tasks=True, components=frozenset({BIOS, BMC}))
AGES = 10_000.0
"""Seconds that an attempt has waited for something else before."""


def turn(begun: Attempt, seen: Observation, now: float, to: Bundle = A2, **more: object) -> Decision:
    """Decide for *begun* by what is *seen* at *now*."""
    return decide(evolve(Situation(NODE, begun, to, POLICY, now, seen, Holding(0, whole=False)), **more))


# -- what came only now ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "begun",
    [
        attempt(goal(A2), record(1, write(image(BIOS, "2")), taken(), outcome=Outcome.STAGED)),
        attempt(goal(A2, Cause.RESTART, restart=True, writes=False)),
    ],
)
def test_no_reset_into_a_post_that_has_begun_only_now(begun: Attempt) -> None:
    """The reset was due for hours, as on a held node; then somebody restarts the host (P15)."""
    starting = evolve(OLD, post=Post.RUNNING)

    assert isinstance(turn(begun, starting, AGES, unchanged=AGES - 5), Wait)
    assert not isinstance(turn(begun, starting, AGES, unchanged=AGES - POLICY.reset_timeout - 1), Wait)


def test_a_post_that_has_begun_only_now_is_no_dead_host() -> None:
    """An attempt that was kept waiting for hours gives a host that starts the time that it would have at once."""
    starting = evolve(OLD, post=Post.RUNNING)

    assert isinstance(turn(attempt(goal(A2)), starting, AGES, unchanged=AGES - 5), Wait)
    assert isinstance(turn(attempt(goal(A2)), starting, AGES, unchanged=0.0), Finish)


def test_nobody_is_called_dead_on_one_look_however_late_it_comes() -> None:
    """A host that is off in the first look after hours of waiting is looked at again (P42)."""
    off = evolve(OLD, power=Power.OFF, post=Post.NOT_RUNNING)

    assert isinstance(turn(attempt(goal(A2)), off, AGES, unchanged=AGES), Wait)
    assert AttemptResult.DEAD is result(turn(attempt(goal(A2)), off, AGES, unchanged=AGES - POLICY.poll))


def result(decision: Decision) -> AttemptResult | None:
    """Return how *decision* ends the attempt; None where it does not."""
    return decision.result if isinstance(decision, Finish) else None


@pytest.mark.parametrize("lack", [Lack.UNREAD, Lack.AWAY])
def test_one_bad_look_after_a_long_wait_costs_nothing(lack: Lack) -> None:
    """The BMC was busy with a stranger's task for longer than a part may stay unread; then one look fails (P25)."""
    dark = evolve(OLD, health=Unknown("no answer", lack))
    late = AGES - POLICY.unknown_timeout - 1
    means = (Means.REDFISH,)

    assert isinstance(turn(attempt(goal(A2)), dark, AGES, blind=AGES - 5, means=means), Wait)
    assert isinstance(
        turn(attempt(goal(A2)), dark, AGES, blind=late, means=means), Finish if lack is Lack.UNREAD else Act
    )


@pytest.mark.parametrize("now", [1500.0, AGES])
def test_a_write_in_doubt_gets_its_bmc_no_restart_for_one_bad_look(now: float) -> None:
    """However long it is in doubt, a BMC that is away in one look is waited for: it may be restarting by itself."""
    begun = attempt(goal(A2), record(1, write(image(BIOS, "2")), LOST))
    gone = Observation.blank(0.0, "no answer", FULL, lack=Lack.AWAY)

    assert isinstance(turn(begun, gone, now, blind=now - 5, means=(Means.REDFISH,)), Wait)
    assert isinstance(turn(begun, gone, now, means=(Means.REDFISH,)), Act)


# -- resets that nobody sees -------------------------------------------------------------------

UNMARKED = Unknown("the manager has no LastResetTime", Lack.ABSENT)
STAGED_BMC = record(1, write(image(BMC, "2")), taken(), outcome=Outcome.STAGED)


def unmarked(number: int, at: float, **more: object) -> StepRecord:
    """Return the restart of a BMC that marks no boots, and was gone before it answered."""
    return record(number, ResetBmc(("bmc",), UNMARKED), LOST, at=at, **more)


def test_an_unmarked_bmc_that_was_away_after_its_restart_has_restarted() -> None:
    """It is not restarted again and again because it never answers that request and marks no boots."""
    begun = attempt(goal(B2), STAGED_BMC, unmarked(2, 100.0))
    seen = well({BMC: "1"}, bmc_boot=UNMARKED)

    assert Resolve(2, Outcome.DONE, "the BMC was away after it, and answers again") == turn(
        begun, seen, 200.0, B2, back=190.0
    )
    assert Outcome.NEVER_STARTED is turn(begun, seen, 200.0, B2, back=50.0).outcome
    assert Outcome.NEVER_STARTED is turn(begun, seen, 200.0, B2).outcome


def test_an_unmarked_bmc_that_is_still_away_was_not_left_where_it_was() -> None:
    """A BMC takes longer than the settle time to come back (P36): until then nobody says that it did not restart."""
    begun = attempt(goal(B2), STAGED_BMC, unmarked(2, 100.0))
    away = Observation.blank(0.0, "no answer", FULL, lack=Lack.AWAY)

    assert isinstance(turn(begun, away, 200.0, B2, blind=105.0), Wait)


def test_resets_that_are_never_seen_to_happen_have_an_end() -> None:
    """Three that changed nothing are no accident: the attempt ends instead of going on for ever."""
    never = [unmarked(n, 100.0 * n, outcome=Outcome.NEVER_STARTED) for n in (2, 3, 4)]
    seen = well({BMC: "1"}, bmc_boot=UNMARKED)

    assert isinstance(turn(attempt(goal(B2), STAGED_BMC, *never[:2]), seen, AGES, B2), Act)
    ended = turn(attempt(goal(B2), STAGED_BMC, *never), seen, AGES, B2)
    assert isinstance(ended, Finish)
    assert ("restart the BMC for bmc: sent 3 times and never seen to happen",) == ended.evidence


def test_a_host_whose_power_changes_for_ever_ends_the_attempt() -> None:
    """Switched off to be started again, it says PoweringOn and nothing else, for good."""
    off = ResetHost(ResetKind.FORCE_OFF, ("bios",), Power.ON, "boot-1")
    staged = record(1, write(image(BIOS, "2")), taken(), outcome=Outcome.STAGED)
    begun = attempt(goal(A2), staged, record(2, off, Accepted(), at=100.0, outcome=Outcome.DONE))
    changing = evolve(OLD, power=Power.CHANGING, post=Post.NOT_RUNNING)

    assert isinstance(turn(begun, changing, 200.0), Wait)
    assert AttemptResult.FAILED is result(turn(begun, changing, 101.0 + POLICY.reset_timeout))


# -- nothing is left open ----------------------------------------------------------------------


@pytest.mark.parametrize("receipt", [None, LOST])
def test_a_revival_whose_answer_was_lost_is_closed_when_it_is_seen(receipt: Ambiguous | None) -> None:
    """After a kill before the receipt, or a lost answer, the other marker ends it; the steady wait follows (P36)."""
    revival = record(1, bmc_reset("bmc-1"), receipt, at=10.0)
    seen = well({BIOS: "2"}, bmc_boot="bmc-2")
    begun = attempt(goal(A2), revival)
    done = attempt(goal(A2), evolve(revival, outcome=Outcome.DONE, acted_at=100.0))

    assert Resolve(1, Outcome.DONE, "another boot than before") == turn(begun, seen, 100.0)
    assert isinstance(turn(done, seen, 101.0), Wait)
    assert AttemptResult.LEVEL is result(turn(done, seen, 101.0 + POLICY.steady))


def test_an_earlier_reset_in_doubt_is_closed_too() -> None:
    """A reset whose answer was lost and that was followed by another is proven by the boot that is seen now."""
    begun = attempt(
        goal(A2, Cause.RESTART, restart=True, writes=False),
        record(1, host_reset("boot-0"), LOST, at=10.0),
        record(2, host_reset("boot-1"), Accepted(), at=50.0, outcome=Outcome.DONE),
    )

    assert Resolve(1, Outcome.DONE, "another boot than before") == turn(begun, well({BIOS: "2"}, boot="boot-2"), 100.0)


# -- nothing goes round in circles -------------------------------------------------------------

SETTINGS = bundle("A.2", bios_settings({"BootMode": "Uefi"}))
STAGE = StageSettings("settings", {"BootMode": "Uefi"}, {"BootMode": "Bios"})


def test_settings_that_are_never_taken_are_not_staged_for_ever() -> None:
    """A BMC that answers each PATCH with 500 and stages nothing is asked three times, not every two seconds."""
    seen = well(settings={"BootMode": "Bios"}, staged_settings={"BootMode": "Bios"})
    never = [record(n, STAGE, LOST, at=10.0 * n, outcome=Outcome.NEVER_STARTED) for n in (1, 2, 3)]

    assert isinstance(turn(attempt(goal(SETTINGS), *never[:2]), seen, 100.0, SETTINGS), Act)
    assert AttemptResult.NOTHING_WRITTEN is result(turn(attempt(goal(SETTINGS), *never), seen, 100.0, SETTINGS))


def test_other_settings_that_cannot_be_staged_over_end_the_attempt() -> None:
    """Settings are as wanted, others wait, and a BMC that accepts ours keeps the others: they are not sent again."""
    seen = well(settings={"BootMode": "Uefi"}, staged_settings={"BootMode": "Bios"})
    staged = record(1, STAGE, Accepted())

    assert isinstance(turn(attempt(goal(SETTINGS)), seen, 100.0, SETTINGS), Act)
    assert AttemptResult.FAILED is result(turn(attempt(goal(SETTINGS), staged), seen, 100.0, SETTINGS))


def test_a_part_that_never_answers_holds_an_act_back_and_not_for_ever() -> None:
    """The Manager's resource hangs at each look, and nothing else does: the node is set aside in the end (P36)."""
    seen = well({BMC: "1"}, bmc_boot=Unknown("no answer", Lack.AWAY))

    assert isinstance(turn(attempt(goal(B2)), seen, 100.0, B2, back=math.inf, blind=0.0), Wait)
    assert AttemptResult.LOST is result(turn(attempt(goal(B2)), seen, AGES, B2, back=math.inf, blind=0.0))


def test_a_recovery_restarts_no_host_at_work_for_its_health() -> None:
    """A roll-back that has nothing to write meets a critical health under a running system: it is not restarted."""
    back = attempt(goal(A2, Cause.ROLLBACK))
    seen = evolve(well({BIOS: "2"}), health=Health.CRITICAL, os=True)
    died = evolve(well({BIOS: "2"}), health=Health.CRITICAL, os=False)

    assert isinstance(turn(back, seen, 100.0), Wait)
    assert isinstance(turn(back, died, 100.0, unchanged=100.0), Wait)
    assert isinstance(turn(back, died, 100.0), Act)
