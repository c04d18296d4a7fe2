"""How long a node is waited for that cannot be read, and what is done to its BMC when that is over."""

from __future__ import annotations

from typing import assert_never

from .attempt import Attempt
from .decision import Act, Decision, Finish, Resolve, See, Situation, Wait
from .event import AttemptResult, Outcome
from .observation import NOT_ASKED, Look, Post
from .pace import away
from .receipt import Refused
from .revival import Back, InVain, NotNow, Returning, Revive, StillAway, returned, revivals, revive, tale
from .step import ResetBmc, ResetHost, Step


def until_started(situation: Situation, step: Step) -> Wait | None:
    """Hold back a reset while the host is in POST: that may be applying an image, ours or a stranger's (P15)."""
    is_starting = isinstance(step, (ResetHost, ResetBmc)) and situation.seen.post is Post.RUNNING
    if is_starting and situation.lasted() <= situation.policy.reset_timeout:
        return situation.wait("the host is starting; no reset into that", situation.policy.reset_timeout)
    return None


def end_unharmed(situation: Situation, why: str) -> Finish:
    """End the attempt as failed, and say so where the node is provably as it was before."""
    has_begun = situation.attempt.has_begun
    return Finish(AttemptResult.FAILED if has_begun else AttemptResult.NOTHING_WRITTEN, (why,))


def patience_with(situation: Situation, why: str, result: AttemptResult) -> Decision:
    """Wait for what cannot be read, and give up after the policy's time."""
    policy = situation.policy
    waited = situation.unread()
    limit = policy.unknown_timeout
    if situation.seen.is_busy:  # by other people's sessions, which expire (P26), or by their work (P22)
        limit = max(limit, policy.busy_timeout)
    if waited <= limit and not _is_refused_revival(situation.attempt):
        # A silent BMC is asked less and less often: it may be the one that is rebooting.
        return Wait(away(policy, waited, situation.node), why)
    late = f"{why}, for {limit:.0f} s"
    return revival_of(situation, late) or Finish(result, (late, *tale(situation.attempt)))


def revival_of(situation: Situation, why: str) -> Act | Wait | None:
    """Restart a BMC that patience has been lost with; None where there is nothing to try, or no more."""
    answer = revive(
        situation.attempt,
        seen=situation.seen,
        means=situation.means,
        earlier=situation.revived,
        policy=situation.policy,
        now=situation.now,
        why=why,
    )
    match answer:
        case None:
            return None
        case NotNow(seconds, reason):
            return Wait(min(seconds, 30.0), reason)
        case Revive(step):
            return until_started(situation, step) or Act(step)
        case _:
            assert_never(answer)


def decide_revived(situation: Situation) -> Decision | None:
    """Wait for a BMC that was restarted because it did not answer: steadily back, or the next means."""
    tried = revivals(situation.attempt)
    if not tried or isinstance(tried[-1].receipt, Refused):
        return None
    last, seen, policy = tried[-1], situation.seen, situation.policy
    if last.outcome is Outcome.DONE and (left := policy.steady - (situation.now - last.last_at)) > 0:
        return Wait(left, "the BMC is back; one good answer proves nothing (P36)")
    if last.outcome is not None or not last.was_accepted:
        return None
    if seen.bmc_boot is NOT_ASKED:
        return See(Look(system=False, bmc=True))
    answer = returned(last, seen=seen, policy=policy, now=situation.now)
    match answer:
        case Back(evidence):
            return Resolve(last.number, Outcome.DONE, evidence)
        case InVain(evidence):
            return Resolve(last.number, Outcome.NEVER_STARTED, evidence)
        case Returning(why):
            return Wait(policy.poll, why)
        case StillAway(why):
            return patience_with(situation, why, AttemptResult.LOST)
        case _:
            assert_never(answer)


def _is_refused_revival(attempt: Attempt) -> bool:
    """Whether the last thing that was tried is a restart of a dead BMC that was never sent: no wait is due after it."""
    tried = revivals(attempt)
    return bool(tried) and tried[-1] is attempt.steps[-1] and isinstance(tried[-1].receipt, Refused)
