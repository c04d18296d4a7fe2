"""The watch's decisions: what changed, when to look again, what to do; and whom it never touches."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from rackwave.core import event as ev
from rackwave.core.goal import Cause, Goal
from rackwave.core.history import Assignment, NodeHistory, Recovery, apply_to_node
from rackwave.core.hold import Hold
from rackwave.core.identity import AttemptId, BundleId, Digest, Lineage, NodeName, RolloutId
from rackwave.core.observation import Health, Lack, Look, Observation, Post, Power, Unknown
from rackwave.core.policy import Policy
from rackwave.core.sighting import POWER
from rackwave.core.watch_policy import WatchPolicy
from rackwave.core.watching import (
    LEFT_ALONE,
    Condition,
    Decision,
    Drift,
    GoOn,
    Leave,
    Reach,
    Reassert,
    Recover,
    amiss,
    changes,
    decide,
    is_doubted,
    left_alone,
    next_look,
)
from rackwave.errors import UsageError

NODE, A, B = NodeName("r1n01"), Lineage("A"), Lineage("B")
A1 = BundleId.parse("A.1")
WELL = Observation(at=0.0, power=Power.ON, post=Post.COMPLETE, health=Health.OK, os=True)
OFF = evolve(WELL, power=Power.OFF, post=Post.NOT_RUNNING, os=False)
FAILED = evolve(WELL, post=Post.FAILED, os=False)
AWAY = Observation.blank(0.0, "no route", Look(), lack=Lack.AWAY)
UNREAD = evolve(WELL, power=Unknown("garbled"))
ASSIGNED = NodeHistory(NODE, assigned={A: Assignment(A1, Digest("sha256:" + "0" * 64), 1.0)})
DIFFERS: Drift = ("write BIOS 2.0",)
USUAL = WatchPolicy()
MENDS = WatchPolicy(drift="reassert")

observations = st.builds(
    Observation,
    at=st.just(0.0),
    power=st.sampled_from([*Power, Unknown("garbled"), Unknown("no route", Lack.AWAY)]),
    post=st.sampled_from([*Post, Unknown("garbled"), Unknown("no route", Lack.AWAY)]),
    health=st.sampled_from([*Health, Unknown("garbled"), Unknown("no route", Lack.AWAY)]),
    os=st.sampled_from([True, False, Unknown("garbled")]),
)
drifts = st.dictionaries(st.sampled_from([A, B]), st.sampled_from([(), DIFFERS, Unknown("the BMC does not answer")]))
policies = st.builds(
    WatchPolicy,
    dead=st.sampled_from(["recover", "report"]),
    off=st.sampled_from(["recover", "leave"]),
    drift=st.sampled_from(["report", "reassert"]),
)


def seen(*looks: Observation, drift: Drift | None = None) -> list[Condition | None]:
    """Return the last two conditions after *looks* in turn, each with a reading of *drift* where there is one."""
    found: list[Condition | None] = [None]
    for number, look in enumerate(looks):
        reading = None if drift is None else {A: drift}
        found.append(Condition.of(evolve(look, at=60.0 * number), found[-1], reading))
    return found[-2:]


def decided(
    history: NodeHistory,
    *looks: Observation,
    drift: Drift | None = None,
    watch: WatchPolicy = USUAL,
    **more: str,
) -> Decision:
    """Return the decision after *looks*."""
    last, now = seen(*looks, drift=drift)
    assert now is not None
    return decide(last, now, history, watch, Policy(), at=100.0, holder=more.get("holder", ""))


@pytest.mark.parametrize("dead", [OFF, FAILED])
def test_a_host_that_is_dead_on_two_looks_gets_its_bundle_again(dead: Observation) -> None:
    """One look is not enough, nor two with a well one between."""
    assert Leave() == decided(ASSIGNED, dead)
    assert Leave() == decided(ASSIGNED, dead, WELL, dead)
    found = decided(ASSIGNED, dead, dead)

    assert isinstance(found, Recover)
    assert A == found.lineage


def test_a_host_that_is_restarted_is_not_taken_for_dead() -> None:
    """It is off for half a minute; what counts is how long it was seen so without a gap."""
    first = Condition.of(OFF, None)
    second = Condition.of(evolve(OFF, at=30.0), first)
    third = Condition.of(evolve(OFF, at=61.0), second)
    anew = Condition.of(evolve(OFF, at=130.0), Condition.of(evolve(WELL, at=90.0), third))

    assert Leave() == decide(first, second, ASSIGNED, USUAL, Policy(), at=30.0)
    assert is_doubted(first, second, USUAL)
    assert isinstance(decide(second, third, ASSIGNED, USUAL, Policy(), at=61.0), Recover)
    assert 0.0 == anew.dying


def test_what_a_rollout_left_in_the_midst_is_left_to_it() -> None:
    """Also where it was aborted at once: nothing of it goes on by itself."""
    goal = Goal(A1, ASSIGNED.assigned[A].digest, Cause.ROLLOUT)
    begun = ev.AttemptStarted(NODE, AttemptId("abcd1234"), goal, RolloutId("roll1"))

    found = decide(None, Condition.of(WELL, None), after(begun), USUAL, Policy(), at=0.0)
    assert isinstance(found, Leave)
    assert "rollout resume" in found.why
    by_itself = decide(None, Condition.of(WELL, None), after(evolve(begun, rollout=None)), USUAL, Policy(), at=0.0)
    assert GoOn(A) == by_itself


def test_the_lineage_that_was_committed_last_is_sent_again() -> None:
    """Of several bundles on a node the youngest is the likeliest to have harmed it."""
    both = evolve(
        ASSIGNED,
        assigned={**ASSIGNED.assigned, B: Assignment(BundleId.parse("B.7"), Digest("sha256:" + "1" * 64), 2.0)},
    )
    found = decided(both, OFF, OFF)

    assert isinstance(found, Recover)
    assert B == found.lineage


@pytest.mark.parametrize(
    ("history", "watch", "holder", "why"),
    [
        (evolve(ASSIGNED, quarantined=("smoke",)), WatchPolicy(), "", "quarantine"),
        (evolve(ASSIGNED, hold=Hold("swaps a DIMM", "me", 0.0)), WatchPolicy(), "", "held by me: swaps a DIMM"),
        (ASSIGNED, WatchPolicy(), "rackwave (process 7)", "rackwave (process 7) works on it"),
        (NodeHistory(NODE), WatchPolicy(), "", "no bundle is assigned"),
        (evolve(ASSIGNED, recoveries=3), WatchPolicy(), "", "brought back 3 times on A.1 already"),
        (ASSIGNED, WatchPolicy(dead="report"), "", "only reported"),
        (ASSIGNED, WatchPolicy(off="leave"), "", "left as it is"),
    ],
)
def test_who_is_left_alone_and_why(history: NodeHistory, watch: WatchPolicy, holder: str, why: str) -> None:
    """Each says so; none is touched although its host is dead."""
    found = decided(history, OFF, OFF, watch=watch, holder=holder)

    assert isinstance(found, Leave)
    assert why in found.why


def test_a_hold_that_is_over_stands_in_nobodys_way() -> None:
    """It ended at 50, and it is 100."""
    assert isinstance(decided(evolve(ASSIGNED, hold=Hold("x", "me", 0.0, 50.0)), OFF, OFF), Recover)


def test_off_by_the_policy_is_no_illness_of_a_host_that_hangs() -> None:
    """``off = "leave"`` speaks of hosts that are off, not of those that do not come through POST."""
    assert isinstance(decided(ASSIGNED, FAILED, FAILED, watch=WatchPolicy(off="leave")), Recover)


def after(*events: ev.NodeEvent) -> NodeHistory:
    """Return the history of the node after *events*."""
    history = ASSIGNED
    for number, event in enumerate(events):
        history = apply_to_node(history, event, 10.0 + number)
    return history


def by_hand(what: str, result: str = "") -> ev.ByHand:
    """Return an act by hand."""
    return ev.ByHand(NODE, f"power {what}", "me@desk", result)


def power(before: str, now: str) -> ev.ConditionChanged:
    """Return a change of the host's power."""
    return ev.ConditionChanged(NODE, POWER, before, now)


@pytest.mark.parametrize(
    "events",
    [
        (by_hand("force-off"),),
        (by_hand("force-off"), by_hand("force-off", "accepted")),
        (by_hand("shutdown"), by_hand("shutdown", "no clear answer (reset); look before you ask again")),
        (power("", "on"), by_hand("shutdown"), power("on", "unknown"), power("unknown", "on")),
        (by_hand("force-off"), power("on", "off"), power("off", "unknown")),
        (power("", "on"), by_hand("button")),
        (power("", "off"), by_hand("force-off")),
    ],
)
def test_a_host_that_was_switched_off_by_hand_is_left_off(events: tuple[ev.NodeEvent, ...]) -> None:
    """Also where nobody knows whether the act arrived, and while a slow shutdown shows the host on still."""
    found = decided(after(*events), OFF, OFF)

    assert Leave("it was switched off by me@desk") == found


@pytest.mark.parametrize(
    "events",
    [
        (by_hand("force-off"), by_hand("on")),
        (by_hand("force-off"), by_hand("force-off", "refused: busy")),
        (by_hand("force-off"), power("on", "off"), power("off", "on")),
        (by_hand("cycle"),),
        (power("", "off"), by_hand("button")),
        (by_hand("restart the BMC"),),
    ],
)
def test_a_host_that_was_switched_on_again_is_watched_as_before(events: tuple[ev.NodeEvent, ...]) -> None:
    """By whomever; and an act that was refused switched nothing off."""
    assert isinstance(decided(after(*events), OFF, OFF), Recover)


def test_what_was_left_open_is_gone_on_with_whatever_is_seen() -> None:
    """Except where its rollout is to go on with it."""
    is_open = evolve(ASSIGNED, recovery=Recovery("resend-then-prior", A1, None, ("off",)))
    now = Condition.of(AWAY, None)

    assert GoOn(A) == decide(None, now, is_open, WatchPolicy(), Policy(), at=0.0)
    assert isinstance(decide(None, now, is_open, WatchPolicy(), Policy(), at=0.0, in_rollout=True), Leave)


def test_drift_is_reported_and_mended_only_where_that_is_asked_for() -> None:
    """On two readings in a row, and within the maintenance window."""
    assert Leave() == decided(ASSIGNED, WELL, WELL, drift=DIFFERS)
    assert Leave() == decided(ASSIGNED, WELL, drift=DIFFERS, watch=MENDS)
    assert Reassert(A, ("write BIOS 2.0",)) == decided(ASSIGNED, WELL, WELL, drift=DIFFERS, watch=MENDS)
    last, now = seen(WELL, WELL, drift=DIFFERS)
    assert now is not None
    shut = decide(last, now, ASSIGNED, MENDS, Policy(window="02:00-04:00 UTC"), at=12 * 3600.0)

    assert isinstance(shut, Leave)
    assert "window opens" in shut.why


def test_a_look_that_does_not_read_versions_keeps_what_was_read() -> None:
    """It neither proves drift nor ends it."""
    once = Condition.of(WELL, None, {A: DIFFERS})
    later = Condition.of(WELL, once)

    assert frozenset() == later.proven
    assert {A: DIFFERS} == later.drift
    assert is_doubted(once, later, USUAL)


@given(first=observations, second=observations, drift=drifts, watch=policies)
def test_nothing_is_done_about_what_could_not_be_read(
    first: Observation, second: Observation, drift: dict[Lineage, Drift], watch: WatchPolicy
) -> None:
    """Whatever two looks show: a recovery rests on power or POST that were read, a reassertion on drift that was."""
    last = Condition.of(first, None, drift)
    now = Condition.of(evolve(second, at=600.0), last, drift)
    found = decide(last, now, ASSIGNED, watch, Policy(), at=0.0)

    if isinstance(found, Recover):
        assert all(
            each.power is Power.OFF or each.post is Post.FAILED or each.health is Health.CRITICAL
            for each in (first, second)
        )
        assert "recover" == watch.dead
    if isinstance(found, Reassert):
        assert drift[found.lineage] == found.what != ()
        assert (Power.ON, Post.COMPLETE, "reassert") == (second.power, second.post, watch.drift)


@given(look=observations, drift=drifts, watch=policies)
def test_nothing_is_ever_done_on_one_look(look: Observation, drift: dict[Lineage, Drift], watch: WatchPolicy) -> None:
    """Whatever it shows; and what it shows for the first time is soon looked at again."""
    now = Condition.of(look, None, drift)

    assert not isinstance(decide(None, now, ASSIGNED, watch, Policy(), at=0.0), Recover | Reassert)
    if now.dead:
        assert is_doubted(None, now, USUAL)


def told(found: tuple[ev.ConditionChanged, ...]) -> list[tuple[str, str, str]]:
    """Return changes in short."""
    return [(each.what, each.before, each.after) for each in found]


def test_changes_are_told_once_and_what_is_unread_only_the_second_time() -> None:
    """A BMC that fails one look has changed nothing; one that is away says nothing of its host."""
    well = Condition.of(WELL, None, {A: ()})
    history = after(*changes(NODE, {}, None, well))
    away = Condition.of(AWAY, well)

    assert {"bmc": "answers", "power": "on", "post": "complete", "health": "ok", "drift A": "level"} == {
        name: each.word for name, each in history.sightings.items()
    }
    assert () == changes(NODE, history.sightings, well, well)
    assert () == changes(NODE, history.sightings, well, away)
    assert [("bmc", "answers", "does not answer")] == told(changes(NODE, history.sightings, away, away))


def test_what_one_reading_lacks_is_unknown_once_the_next_lacks_it_too() -> None:
    """Unknown is a value of its own: not the last one, not the worst one."""
    unread = Condition.of(UNREAD, None)
    history = after(*changes(NODE, {}, None, Condition.of(WELL, None)))

    assert () == changes(NODE, history.sightings, None, unread)
    assert [("power", "on", "unknown")] == told(changes(NODE, history.sightings, unread, unread))


def test_a_bmc_that_refuses_us_is_told_at_once() -> None:
    """Nothing else is known of it then."""
    refused = Condition(Reach.REFUSED, why="its BMC refuses the login")

    assert Leave("its BMC refuses the login") == decide(None, refused, ASSIGNED, USUAL, Policy(), at=0.0)
    assert [("bmc", "", "does not let us in")] == told(changes(NODE, {}, None, refused))
    assert not refused.is_passing


def test_why_a_node_is_left_alone_is_told_when_it_begins_and_when_it_ends() -> None:
    """And not in between."""
    begun = left_alone(NODE, {}, "it is in quarantine")
    history = after(*begun)

    assert () == left_alone(NODE, history.sightings, "it is in quarantine")
    assert [(LEFT_ALONE, "it is in quarantine", "")] == told(left_alone(NODE, history.sightings, ""))
    assert {} == after(*begun, *left_alone(NODE, history.sightings, "")).sightings


def test_what_is_not_as_it_should_be_is_told_with_its_moment() -> None:
    """And nothing of a node that is well, or was never seen; of one whose BMC is away only that."""
    well = Condition.of(WELL, None, {A: ()})
    off = Condition.of(OFF, well)
    away = Condition.of(AWAY, off)
    begun = changes(NODE, {}, None, well)
    is_off = after(*begun, *changes(NODE, after(*begun).sightings, well, off))
    is_away = after(*begun, *changes(NODE, after(*begun).sightings, away, away))

    assert () == amiss({}) == amiss(after(*begun).sightings)
    assert ["power off since 1970-01-01T00:00Z", "post not-running since 1970-01-01T00:00Z"] == list(
        amiss(is_off.sightings)
    )
    assert ["bmc does not answer since 1970-01-01T00:00Z"] == list(amiss(is_away.sightings))


@given(
    unchanged=st.floats(0, 1e7),
    announces=st.booleans(),
    look=observations,
    now=st.floats(0, 1e9),
    name=st.sampled_from([f"r1n{n:02d}" for n in range(1, 40)]),
)
def test_looks_are_never_sooner_nor_later_than_the_policy_says(
    unchanged: float, announces: bool, look: Observation, now: float, name: str
) -> None:
    """Give or take the spread, which only ever makes them a little sooner."""
    policy, condition = WatchPolicy(), Condition.of(look, None)
    wait = next_look(
        policy, NodeName(name), condition, unchanged=unchanged, announces=announces, is_doubted=False, now=now
    )
    doubted = next_look(
        policy, NodeName(name), condition, unchanged=unchanged, announces=announces, is_doubted=True, now=now
    )

    assert policy.soonest * 0.8 <= wait <= policy.latest
    assert policy.soonest * 0.8 <= doubted <= policy.soonest


def test_a_node_of_which_nothing_changes_is_looked_at_ever_more_rarely() -> None:
    """15 s at first, 5 minutes after 20; twice as quickly where its BMC would tell by itself."""

    def looks(*, announces: bool) -> list[float]:
        moment, found = 0.0, []
        while moment < 7200.0:
            moment += next_look(
                WatchPolicy(), NODE, seen(WELL, WELL)[1] or Condition(Reach.AWAY),
                unchanged=moment, announces=announces, is_doubted=False, now=moment,
            )  # fmt: skip
            found.append(moment)
        return found

    quiet, telling = looks(announces=False), looks(announces=True)
    assert 25 <= len([each for each in quiet if each < 3600]) <= 35
    assert len([each for each in telling if each < 3600]) <= 20
    assert 12 <= len([each for each in quiet if each >= 3600]) <= 16


@pytest.mark.parametrize(
    ("table", "names"),
    [
        ({"drift": "mend"}, "drift is 'mend'"),
        ({"dead": True}, "dead is True"),
        ({"soonest": "15"}, "soonest is '15'"),
        ({"latest": 0}, "latest is 0"),
        ({"latest": 10.0}, "latest is 10 and soonest 15"),
        ({"at_once": 0}, "at_once is 0"),
        ({"read_every": float("nan")}, "read_every is nan"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_by_name(table: dict[str, object], names: str) -> None:
    """With what it takes."""
    with pytest.raises(UsageError, match=names) as refused:
        WatchPolicy(**table)  # type: ignore[arg-type]  # what a file may hold

    assert refused.value.advice
