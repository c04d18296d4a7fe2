"""Which bundle a failed node gets next: every policy's ladder, the way back, and where it ends."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from attrs import evolve

from rackwave.core import event as ev
from rackwave.core.deployment import Context, begin, conclude, request_recovery
from rackwave.core.event import AttemptResult, NodeResult
from rackwave.core.goal import Cause
from rackwave.core.history import NodeHistory, apply_to_node
from rackwave.core.identity import AttemptId, ComponentName, Lineage, RolloutId
from rackwave.core.ledger import Ledger
from rackwave.core.policy import Policy
from rackwave.core.recovery import POLICIES, Quarantine, Recover, Retry, after_failure, images_of, way_back
from values import BIOS, NODE, bundle, digest, image, record, taken, write

A0, A1, A2, A3 = (bundle(f"A.{n}", image(BIOS, str(n))) for n in range(4))
BUNDLES = {str(b.id): b for b in (A0, A1, A2, A3)}
ROLLOUT = RolloutId("roll1")


class Desk:
    """One node's journal in memory, with the decisions of ``deployment`` on top."""

    def __init__(self, *committed: str, policy: Policy | None = None, rollout: str | None = "A.2") -> None:
        self.ledger = Ledger()
        self.policy = policy or Policy()
        self.events: list[ev.Event] = []
        self._attempts = 0
        self.rollout = rollout
        for name in committed:
            self.add(ev.Assigned(NODE, BUNDLES[name].id, BUNDLES[name].digest, AttemptId("earlier")))
        if rollout is not None:
            self.start(rollout)

    def start(self, name: str, rollout: str = "roll1") -> None:
        """Begin a rollout of the bundle *name*."""
        to = BUNDLES[name]
        self.rollout_id = RolloutId(rollout)
        self.add(ev.RolloutStarted(self.rollout_id, to.id, to.digest, ((NODE,),), self.policy, "test"))

    def add(self, *events: ev.Event) -> None:
        """Journal *events*."""
        for event in events:
            self.events.append(event)
            self.ledger.apply(ev.Recorded(len(self.events), float(len(self.events)), event))

    @property
    def history(self) -> NodeHistory:
        """Where the node stands."""
        return self.ledger.node(NODE)

    @property
    def context(self) -> Context:
        """What decisions rest on besides the history."""
        return Context(
            lineage=Lineage("A"),
            policy=self.policy,
            images=images_of(*BUNDLES.values()),
            new_id=self._new_id,
            now=100.0,
            rollout=self.ledger.rollouts[self.rollout_id] if self.rollout is not None else None,
        )

    def _new_id(self) -> AttemptId:
        self._attempts += 1
        return AttemptId(f"try{self._attempts:02d}")

    def begin(self) -> None:
        """Open the next attempt."""
        self.add(*begin(self.history, self.context))

    def end(self, result: AttemptResult, *, touching: bool = False) -> None:
        """End the open attempt, after a write where it is *touching*."""
        attempt = self.history.attempt
        assert attempt is not None
        if touching:
            step = record(len(attempt.steps) + 1, write(image(BIOS, str(attempt.goal.bundle.seq))))
            self.add(
                ev.Intended(NODE, attempt.id, step.number, step.step),
                ev.Acted(NODE, attempt.id, step.number, taken()),
                ev.Resolved(NODE, attempt.id, step.number, ev.Outcome.FAILED, "broke off"),
            )
        self.add(*conclude(self.history, result, (f"it ended {result}",), self.context))

    @property
    def now(self) -> str:
        """Return the open attempt as cause, bundle and mode; or where the node ended."""
        history = self.history
        if history.quarantined is not None:
            return "quarantined"
        if history.attempt is None:
            finished = self.ledger.rollouts[self.rollout_id].results.get(NODE)
            return finished.result.value if finished is not None else "idle"
        goal = history.attempt.goal
        return f"{goal.cause} {goal.bundle} {goal.mode}"


def climb(desk: Desk, *ends: AttemptResult) -> list[str]:
    """End attempt after attempt and return what each led to."""
    led = []
    for end in ends:
        desk.end(end, touching=end is AttemptResult.FAILED and desk.history.attempt is not None)
        led.append(desk.now)
    return led


DEAD, FAILED, LEVEL, NOTHING, LOST = (
    AttemptResult.DEAD,
    AttemptResult.FAILED,
    AttemptResult.LEVEL,
    AttemptResult.NOTHING_WRITTEN,
    AttemptResult.LOST,
)
RESTART, RESEND = "restart A.1 converge", "resend A.1 reassert"
PRIOR = "roll-back A.0 reassert"


@pytest.mark.parametrize(
    ("policy", "rungs"),
    [
        ("resend-then-prior", [RESTART, RESEND, PRIOR]),
        ("prior-at-once", [RESTART, PRIOR]),
        ("prior-then-resend", [RESTART, PRIOR, RESEND, PRIOR]),
    ],
)
def test_a_dead_host_climbs_the_ladder_of_its_policy(policy: str, rungs: list[str]) -> None:
    """Each rung that fails leads to the next, by the table; the last one to a person."""
    desk = Desk("A.0", "A.1", policy=Policy(recovery=policy))
    desk.begin()

    assert [*rungs, "quarantined"] == climb(desk, DEAD, *[FAILED] * len(rungs))


@pytest.mark.parametrize(
    ("policy", "rungs"),
    [("resend-then-prior", [RESTART]), ("prior-then-resend", [RESTART, PRIOR, RESEND])],
)
def test_a_host_that_comes_back_on_its_bundle_goes_on_with_the_rollout(policy: str, rungs: list[str]) -> None:
    """Revived on its assigned bundle, by a restart or after the prior one, its own attempt follows."""
    desk = Desk("A.0", "A.1", policy=Policy(recovery=policy))
    desk.begin()

    assert [*rungs, "idle"] == climb(desk, DEAD, *[LEVEL] * len(rungs))
    desk.begin()
    assert "rollout A.2 converge" == desk.now


def test_known_good_first_sends_the_prior_bundle_though_a_restart_did_it() -> None:
    """Under prior-at-once a host that a restart revived still gets its prior bundle; the rollout is done with it."""
    desk = Desk("A.0", "A.1", policy=Policy(recovery="prior-at-once"))
    desk.begin()

    assert [RESTART, PRIOR, "rolled-back"] == climb(desk, DEAD, LEVEL, LEVEL)


def test_being_well_is_the_end_where_there_is_nothing_to_send() -> None:
    """Without a prior bundle a restart that did it ends the ladder: nobody who is well is quarantined."""
    desk = Desk("A.1", policy=Policy(recovery="prior-at-once"))
    desk.begin()

    assert [RESTART, "idle"] == climb(desk, DEAD, LEVEL)


def test_prior_to_an_unrelated_failure_is_what_this_node_had_before() -> None:
    """Whether found dead in its wave or before it, the last rung is the node's prior bundle, not its assigned one."""
    desk = Desk("A.0", "A.1")
    desk.begin()
    desk.end(DEAD)
    desk.end(FAILED)
    desk.end(FAILED, touching=True)

    assert PRIOR == desk.now
    desk.end(LEVEL)
    assert "rolled-back" == desk.now
    assert ("A.0", "A.1") == tuple(str(held["A"].bundle) for held in (desk.history.assigned, desk.history.prior))


def test_a_failed_deployment_goes_back_to_the_assigned_bundle() -> None:
    """A.2 was never committed: what is prior to it is A.1, and only what it touched is written again."""
    desk = Desk("A.0", "A.1")
    desk.begin()
    desk.end(FAILED, touching=True)

    assert "roll-back A.1 reassert" == desk.now
    assert desk.history.attempt is not None
    assert frozenset({BIOS}) == desk.history.attempt.goal.reassert
    desk.end(LEVEL)
    assert "rolled-back" == desk.now


@pytest.mark.parametrize(
    ("committed", "failed", "target"),
    [
        (("A.1",), "A.2", "A.1"),
        (("A.0", "A.2"), "A.2", "A.0"),
        (("A.0", "A.1", "A.3"), "A.3", "A.1"),
        (("A.3", "A.0"), "A.0", "A.3"),
        (("A.1",), "A.1", None),
        ((), "A.2", None),
    ],
)
def test_the_way_back_is_this_nodes_own(committed: tuple[str, ...], failed: str, target: str | None) -> None:
    """From what is not committed to the assigned one, from that to the prior, which need not be seq - 1."""
    back = way_back(Desk(*committed).history, BUNDLES[failed].id)

    assert target == (str(back.bundle) if back is not None else None)


def test_nothing_written_is_tried_again_and_not_for_ever() -> None:
    """The same goal as a new attempt, as often as policy allows; then the bundle is taken back."""
    desk = Desk("A.1", policy=Policy(retries=2))
    desk.begin()

    assert ["retry A.2 converge", "retry A.2 converge", "roll-back A.1 converge"] == climb(desk, *[NOTHING] * 3)
    desk.end(LEVEL)
    assert "rolled-back" == desk.now


def test_a_rung_on_which_nothing_was_written_is_taken_again() -> None:
    """A lost request on the way back does not cost the node its only way back."""
    desk = Desk("A.1", policy=Policy(retries=2))
    desk.begin()
    desk.end(FAILED, touching=True)

    assert ["roll-back A.1 reassert", "roll-back A.1 reassert", "quarantined"] == climb(desk, *[NOTHING] * 3)


def test_a_restart_that_does_not_help_is_not_repeated() -> None:
    """The rung that writes nothing always ends with nothing written: the next one follows."""
    desk = Desk("A.0", "A.1")
    desk.begin()

    assert [RESTART, RESEND] == climb(desk, DEAD, NOTHING)


def test_what_nobody_can_know_ends_with_a_person() -> None:
    """A lost attempt quarantines, in a rollout and on a ladder alike, with the evidence of both."""
    straight, ladder = Desk("A.1"), Desk("A.1")
    straight.begin()
    straight.end(LOST)
    ladder.begin()
    ladder.end(FAILED, touching=True)
    ladder.end(LOST)

    assert ("it ended lost",) == straight.history.quarantined
    assert ("it ended failed", "it ended lost") == ladder.history.quarantined
    assert NodeResult.QUARANTINED is ladder.ledger.rollouts[ROLLOUT].results[NODE].result


def test_a_node_that_a_person_readmitted_can_be_recovered() -> None:
    """What was lost before the release says nothing about the ladder that is asked for now."""
    desk = Desk("A.0", "A.1")
    desk.begin()
    desk.end(LOST)
    desk.add(ev.Readmitted(NODE, "cable", "operator"))
    desk.add(
        *request_recovery(
            desk.history, desk.context, policy="resend-then-prior", failed=False, evidence=("asked",), by="operator"
        )
    )

    assert RESTART == desk.now


def test_a_node_without_a_bundle_has_no_way_back() -> None:
    """Nothing was ever committed: every ladder is empty, and says so."""
    desk = Desk()
    desk.begin()
    desk.end(FAILED, touching=True)

    assert ("it ended failed", "it ended failed", "rollback: there is no bundle to go back to") == (
        desk.history.quarantined
    )


def test_a_host_that_keeps_dying_is_not_mended_for_ever() -> None:
    """Sending the assigned bundle again forgives nothing: after as many recoveries as policy allows comes a person."""
    desk = Desk("A.1", policy=Policy(recoveries=3))
    for _ in range(3):
        desk.begin()
        desk.end(DEAD)
        desk.end(FAILED)
        desk.end(LEVEL, touching=True)
    desk.begin()
    desk.end(DEAD)

    assert desk.history.quarantined is not None
    assert "it was recovered 3 times already" == desk.history.quarantined[-1]


def test_an_attempt_that_another_rollout_left_open_says_nothing_about_this_one() -> None:
    """Killed under A.2 and begun anew with A.3: the node's A.2 ends level, and then A.3 follows."""
    desk = Desk("A.1")
    desk.begin()
    desk.start("A.3", "roll2")
    desk.end(LEVEL, touching=True)

    assert "idle" == desk.now
    desk.begin()
    assert "rollout A.3 converge" == desk.now
    desk.end(LEVEL)
    assert "on-new" == desk.now
    assert ("A.3", "A.2") == tuple(str(held["A"].bundle) for held in (desk.history.assigned, desk.history.prior))


def test_a_roll_back_of_another_rollouts_bundle_says_nothing_about_this_one() -> None:
    """A.2 fails and is taken back under the rollout of A.3, which has yet to begin on this node."""
    desk = Desk("A.1")
    desk.begin()
    desk.start("A.3", "roll2")
    desk.end(FAILED, touching=True)
    desk.end(LEVEL)

    assert "idle" == desk.now


@pytest.mark.parametrize(
    ("result", "answer"), [(DEAD, Recover), (FAILED, Recover), (NOTHING, Retry), (LOST, Quarantine)]
)
def test_each_end_has_its_answer(result: AttemptResult, answer: type) -> None:
    """Dead recovers, failed rolls back, unharmed retries, unknowable stops."""
    desk = Desk("A.1")
    desk.begin()
    attempt = desk.history.attempt
    assert attempt is not None
    history = apply_to_node(desk.history, ev.AttemptEnded(NODE, attempt.id, result, ("why",)), 5.0)
    assert history.last is not None

    assert answer is type(after_failure(history, history.last, Policy()))


def test_a_retry_is_a_converging_attempt_with_the_same_bundle() -> None:
    """The digest that was planned is kept, so that a bundle replaced meanwhile is noticed."""
    desk = Desk("A.1")
    desk.begin()
    desk.end(NOTHING)
    assert desk.history.attempt is not None
    goal = desk.history.attempt.goal

    assert (A2.id, digest("A.2"), Cause.RETRY) == (goal.bundle, goal.digest, goal.cause)


def test_the_table_of_policies_is_the_designs() -> None:
    """system.md: roll-back; restart, resend, prior; restart and prior; restart and prior and the assigned again.

    A "+" marks what is not the end even where it did it.
    """
    table: dict[str, Sequence[str]] = {
        name: [f"{rung.send}{'+' if rung.goes_on else ''}" for rung in ladder] for name, ladder in POLICIES.items()
    }

    assert {
        "rollback": ["prior"],
        "resend-then-prior": ["nothing", "assigned", "prior"],
        "prior-at-once": ["nothing+", "prior"],
        "prior-then-resend": ["nothing+", "prior+", "assigned", "prior"],
    } == table


def test_an_open_write_of_a_lost_attempt_counts_as_staged_later() -> None:
    """Nobody knows whether it waits there: the next attempt restarts before it writes to that component."""
    desk = Desk("A.1")
    desk.begin()
    attempt = desk.history.attempt
    assert attempt is not None
    desk.add(ev.Intended(NODE, attempt.id, 1, write(image(BIOS, "2"))))
    desk.end(LOST)
    desk.add(ev.Readmitted(NODE, "looked", "operator"))
    desk.start("A.3", "roll2")
    desk.begin()
    assert desk.history.attempt is not None

    assert {ComponentName("BIOS"): image(BIOS, "2").activation} == dict(desk.history.attempt.staged)
    assert frozenset({BIOS}) == evolve(desk.history).touched
