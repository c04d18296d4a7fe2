"""A BMC that no longer answers: when it is restarted, by what, how often, and when it is not."""

from __future__ import annotations

import pytest
from attrs import evolve

from rackwave.core import event as ev
from rackwave.core.attempt import Attempt
from rackwave.core.decision import Act, Decision, Finish, Resolve, Situation, Wait
from rackwave.core.doubt import Holding
from rackwave.core.event import AttemptResult, Outcome
from rackwave.core.goal import Cause
from rackwave.core.history import DAY, NodeHistory, apply_to_node
from rackwave.core.look import full_look
from rackwave.core.observation import Lack, Observation, Unknown
from rackwave.core.policy import Policy
from rackwave.core.receipt import Accepted, Ambiguous, Ground, Refused
from rackwave.core.step import Means, ResetBmc, ResetHost, describe
from rackwave.core.turn import decide
from values import ATTEMPT, BIOS, BMC, NODE, attempt, bmc_reset, bundle, goal, host_reset, image, record, well, write

POLICY = Policy()
A2, B2 = bundle("A.2", image(BIOS, "2")), bundle("A.2", image(BMC, "2"))
WIDE = evolve(full_look(A2), bmc=True, task="/tasks/1", tasks=True)
AWAY = Observation.blank(0.0, "no answer", WIDE, lack=Lack.AWAY)
BUSY = Observation.blank(0.0, "503", WIDE)
NOTHING = Holding(0, whole=False)
LATE = POLICY.unknown_timeout + 1
ALL = (Means.REDFISH, Means.IPMI, Means.HOST, Means.OUTLET)


def turn(
    begun: Attempt,
    seen: Observation,
    now: float,
    *,
    means: tuple[Means, ...] = ALL,
    earlier: tuple[float, ...] = (),
    policy: Policy = POLICY,
    to: object = A2,
) -> Decision:
    """Decide for *begun* by what is *seen* at *now*."""
    return decide(Situation(NODE, begun, to, policy, now, seen, NOTHING, means=means, revived=earlier))


def restarted(number: int, means: Means, receipt: object = None, *, at: float = 0.0, **more: object) -> object:
    """Return the record of a restart that was to revive the BMC."""
    step = ResetBmc((), Unknown("it does not answer"), means)
    return record(number, step, Accepted() if receipt is None else receipt, at=at, **more)


def by(decision: Decision) -> Means | None:
    """Return by what *decision* restarts the BMC; None where it does not."""
    return decision.step.means if isinstance(decision, Act) and isinstance(decision.step, ResetBmc) else None


BEGUN = attempt(goal(A2))


def test_a_silent_bmc_is_restarted_once_patience_is_used_up() -> None:
    """Not before: it may be the one that restarts by itself."""
    early, late = turn(BEGUN, AWAY, LATE - 2), turn(BEGUN, AWAY, LATE)

    assert isinstance(early, Wait)
    assert Means.REDFISH is by(late)
    assert "restart the BMC to revive it" == describe(late.step)


def test_a_bmc_that_answers_is_not_restarted() -> None:
    """One that is busy or tells nonsense gets no restart for it: it may be at work."""
    assert isinstance(turn(BEGUN, BUSY, LATE), Finish)


def test_without_means_or_budget_it_ends_as_before() -> None:
    """No means, none left in this attempt, none left today, or none allowed: a person must look."""
    spent = attempt(goal(A2), restarted(1, Means.REDFISH), restarted(2, Means.IPMI))
    today = (LATE - 1.0, LATE - 2.0, LATE - 3.0, LATE - 4.0)

    assert isinstance(turn(BEGUN, AWAY, LATE, means=()), Finish)
    assert isinstance(turn(spent, AWAY, 3 * LATE), Finish)
    assert isinstance(turn(BEGUN, AWAY, LATE, earlier=today), Finish)
    assert isinstance(turn(BEGUN, AWAY, LATE, policy=Policy(bmc_resets=0)), Finish)
    assert Means.REDFISH is by(turn(BEGUN, AWAY, LATE, earlier=tuple(at - DAY for at in today)))


def test_the_evidence_tells_what_was_tried() -> None:
    """Who must look reads which restarts were sent and what came of them."""
    spent = attempt(goal(A2), restarted(1, Means.IPMI, Refused("no", ground=Ground.AWAY)))
    ended = turn(spent, AWAY, LATE, means=())

    assert isinstance(ended, Finish)
    assert "a restart of the BMC by ipmi was refused: no" in ended.evidence


def test_means_that_could_not_be_sent_are_followed_by_the_next_at_once() -> None:
    """A refused restart cost nothing: no further patience is due, and no budget is spent."""
    refused = Refused("nobody there", 10.0, Ground.AWAY)
    tried = attempt(
        goal(A2), *(restarted(n, m, refused, at=LATE) for n, m in enumerate((Means.REDFISH, Means.IPMI), 1))
    )

    assert Means.HOST is by(turn(tried, AWAY, LATE + 1))


def test_means_that_changed_nothing_are_followed_by_the_next() -> None:
    """After a restart that did not bring it back, patience begins anew, and then the next means is tried (P38, P39)."""
    tried = attempt(goal(A2), restarted(1, Means.REDFISH, at=LATE))

    assert isinstance(turn(tried, AWAY, LATE + 100), Wait)
    assert Means.IPMI is by(turn(tried, AWAY, 2 * LATE))


def test_a_lockdown_is_seen_by_the_boot_marker() -> None:
    """The restart was accepted and the BMC shows the boot it had (P38): it did not happen."""
    step = ResetBmc((), "bmc-1", Means.REDFISH)
    tried = attempt(goal(A2), record(1, step, Accepted(), at=100.0))
    seen = well({BIOS: "1"}, bmc_boot="bmc-1")

    assert isinstance(turn(tried, seen, 100.0 + POLICY.settle - 1), Wait)
    assert isinstance(found := turn(tried, seen, 100.0 + POLICY.settle), Resolve)
    assert Outcome.NEVER_STARTED is found.outcome


def test_one_good_answer_is_not_the_return() -> None:
    """It answers again: noted, and believed some time later (P36)."""
    tried = attempt(goal(A2), record(1, ResetBmc((), "bmc-1", Means.IPMI), Accepted(), at=100.0))
    back = turn(tried, well({BIOS: "2"}, bmc_boot="bmc-2"), 200.0)
    assert isinstance(back, Resolve)
    done = attempt(goal(A2), evolve(tried.steps[0], outcome=Outcome.DONE, acted_at=200.0))

    assert Outcome.DONE is back.outcome
    assert isinstance(turn(done, well({BIOS: "2"}), 200.0 + POLICY.steady - 1), Wait)
    assert isinstance(turn(done, well({BIOS: "2"}), 200.0 + POLICY.steady), Finish)


def test_never_while_a_write_may_be_running() -> None:
    """An image that may still be written is not torn off by the restart: its time limit comes first."""
    limited = image(BIOS, "2", time_limit=3000.0)
    writing = attempt(goal(A2), record(1, write(limited), Accepted("/tasks/1"), at=0.0))

    assert isinstance(turn(writing, AWAY, 2999.0), Wait)
    assert Means.REDFISH is by(turn(writing, AWAY, 3001.0))


def test_never_into_a_post() -> None:
    """A host that was just restarted may be applying an image (P15)."""
    booting = attempt(goal(A2), record(1, host_reset(), Accepted(), at=0.0))

    assert isinstance(turn(booting, AWAY, LATE), Wait)
    assert Means.REDFISH is by(turn(booting, AWAY, POLICY.reset_timeout + 1))


@pytest.mark.parametrize(
    ("seen", "begun", "allowed"),
    [
        (AWAY, attempt(goal(A2)), False),
        (AWAY, attempt(goal(A2), record(1, write(image(BIOS, "2")), Accepted())), True),
        (AWAY, attempt(goal(A2, Cause.RESTART)), True),
    ],
    ids=["a host that may be at work", "one that the attempt has begun with", "a recovery"],
)
def test_the_mains_are_not_cut_under_a_working_host(seen: Observation, begun: Attempt, allowed: bool) -> None:
    """The outlet takes the host with it, so it is for hosts that nobody works on."""
    decision = turn(begun, seen, 2 * LATE, means=(Means.OUTLET,))

    assert allowed == (Means.OUTLET is by(decision))


def test_a_restart_of_the_bmc_shows_nothing_of_what_waits_for_the_host() -> None:
    """A BIOS write in doubt is not read off after a restart of the BMC: its own reset is still due."""
    lost = record(1, write(image(BIOS, "2")), Ambiguous("no answer"), at=0.0)
    revived = attempt(goal(A2), lost, restarted(2, Means.IPMI, at=700.0, outcome=Outcome.DONE))
    decision = turn(revived, well({BIOS: "1"}), 2000.0)

    assert isinstance(decision, Act)
    assert isinstance(decision.step, ResetHost)


def test_an_activation_under_lockdown_is_tried_by_the_next_means() -> None:
    """BMC firmware waits for a restart that Redfish accepted and did not do: IPMI is asked for it."""
    begun = attempt(
        goal(B2),
        record(1, write(image(BMC, "2")), Accepted(), outcome=Outcome.DONE),
        record(2, evolve(bmc_reset("bmc-1", "bmc"), means=Means.REDFISH), Accepted(), at=10.0),
    )
    late = 11.0 + POLICY.reset_timeout
    seen = well({BMC: "1"}, bmc_boot="bmc-1")
    found = turn(begun, seen, late, to=B2)
    assert isinstance(found, Resolve)
    resolved = evolve(begun, steps=(begun.steps[0], evolve(begun.steps[1], outcome=found.outcome, acted_at=late)))

    assert Outcome.NEVER_STARTED is found.outcome
    assert Means.IPMI is by(turn(resolved, seen, late + 1, to=B2))
    assert AttemptResult.FAILED is turn(begun, seen, late, to=B2, means=(Means.REDFISH,)).result


def test_a_busy_bmc_is_not_gone_round() -> None:
    """A restart that the BMC refused for now is asked for again in the same way, not behind its back."""
    begun = attempt(
        goal(B2),
        record(1, write(image(BMC, "2")), Accepted(), outcome=Outcome.DONE),
        record(2, evolve(bmc_reset("bmc-1", "bmc"), means=Means.REDFISH), Refused("busy", 10.0), at=10.0),
    )

    assert Means.REDFISH is by(turn(begun, well({BMC: "1"}), 30.0, to=B2))


def test_the_journal_counts_revivals_and_nothing_else() -> None:
    """What was refused, and restarts for an element's sake, cost no budget; a day later nothing does."""
    history = apply_to_node(NodeHistory(NODE), ev.AttemptStarted(NODE, ATTEMPT, goal(A2)), 0.0)
    steps = (ResetBmc((), "x", Means.IPMI), ResetBmc(("bmc",), "x"), ResetBmc((), "x", Means.HOST))
    for number, step in enumerate(steps, 1):
        history = apply_to_node(history, ev.Intended(NODE, ATTEMPT, number, step), float(number))
    assert (1.0, 3.0) == history.revived
    history = apply_to_node(history, ev.Acted(NODE, ATTEMPT, 3, Refused("no")), 4.0)
    assert (1.0,) == history.revived
    history = apply_to_node(history, ev.Intended(NODE, ATTEMPT, 4, steps[0]), DAY + 2.0)

    assert (DAY + 2.0,) == history.revived
