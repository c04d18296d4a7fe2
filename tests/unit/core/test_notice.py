"""What people are told of: which events, with what to type next, and for how long."""

from __future__ import annotations

from rackwave.core import event as ev
from rackwave.core.identity import NodeName, RolloutId
from rackwave.core.ledger import Ledger
from rackwave.core.notice import KEPT, Notice
from rackwave.core.policy import Policy
from rackwave.core.waves import Wait, judge_wave
from values import bundle

ROLLOUT = RolloutId("roll1")
A2 = bundle("A.2")
ONE, TWO = NodeName("r1n01"), NodeName("r1n02")


class Desk:
    """A journal in memory, one event a second."""

    def __init__(self, **policy: object) -> None:
        self.ledger = Ledger()
        self.at = 0.0
        self.add(ev.RolloutStarted(ROLLOUT, A2.id, A2.digest, ((ONE,), (TWO,)), Policy(**policy), "ann"))  # type: ignore[arg-type]

    def add(self, *events: ev.Event, after: float = 1.0) -> None:
        """Journal events."""
        for event in events:
            self.at += after
            self.ledger.apply(ev.Recorded(int(self.at), self.at, event))

    def news(self, hook: str = "chat") -> list[Notice]:
        """What a hook has not been told."""
        return list(self.ledger.notices.untold(hook, self.at))

    def wait(self) -> None:
        """Journal for what the next wave waits."""
        verdict = judge_wave(self.ledger.rollouts[ROLLOUT], self.at)
        assert isinstance(verdict, Wait)
        self.add(ev.RolloutWaits(ROLLOUT, verdict.why), after=0.0)


def test_a_wave_that_waits_for_a_person_is_told_with_the_command_that_lets_it_begin() -> None:
    """A pause and a soak are no questions to anybody, and are not told."""
    desk = Desk(approval="after-canary", soak=10.0)
    desk.add(ev.WaveStarted(ROLLOUT, 0), ev.NodeFinished(ROLLOUT, ONE, ev.NodeResult.ON_NEW))
    desk.wait()
    soaking = desk.news()
    desk.at += 10.0
    desk.add(ev.RolloutPaused(ROLLOUT, "lunch", "ann"))
    desk.wait()
    paused = desk.news()
    desk.add(ev.RolloutContinued(ROLLOUT, "ann"))
    desk.wait()
    (asked,) = desk.news()

    assert ([], []) == (soaking, paused)
    assert ("approval", 1, "rackwave rollout approve roll1 --wave 1") == (asked.occasion, asked.wave, asked.command)


def test_a_quarantine_names_the_node_its_rollout_and_the_evidence() -> None:
    """One outside of any rollout names none."""
    desk = Desk()
    desk.add(ev.Quarantined(TWO, ("it hangs", "nobody knows")), ev.Quarantined(NodeName("other"), ("x",)))
    within, outside = desk.news()

    assert ("r1n02", ROLLOUT, A2.id, 1) == (within.node, within.rollout, within.bundle, within.wave)
    assert ("it hangs; nobody knows", "rackwave history r1n02") == (within.reason, within.command)
    assert (None, None) == (outside.rollout, outside.wave)


def test_each_end_of_a_rollout_is_an_occasion_of_its_own() -> None:
    """Done, stopped and aborted, with the reason."""
    for result in ev.RolloutResult:
        desk = Desk()
        desk.add(ev.RolloutFinished(ROLLOUT, result, "why"))
        (told,) = desk.news()

        assert (str(result), "why") == (told.occasion, told.reason)


def test_what_one_hook_took_another_may_still_have_to_hear() -> None:
    """Told is told by hook and number."""
    desk = Desk()
    desk.add(ev.RolloutFinished(ROLLOUT, ev.RolloutResult.STOPPED, "why"))
    (notice,) = desk.news()
    desk.add(ev.Notified(notice.number, "chat"))

    assert ([], [notice]) == (desk.news(), desk.news("pager"))


def test_news_is_news_for_a_day() -> None:
    """And is not kept longer, either."""
    desk = Desk()
    desk.add(ev.RolloutFinished(ROLLOUT, ev.RolloutResult.STOPPED, "why"))
    desk.at += KEPT
    old = desk.news()
    desk.add(ev.Quarantined(ONE, ("x",)))

    assert [] == old
    assert ["quarantined"] == [notice.occasion for notice in desk.news()]
