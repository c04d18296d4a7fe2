"""A BMC that no longer answers, and whether to restart it: one more effect that is planned, not tried.

Rules:

- Only for a BMC that is away (`Lack.AWAY`): dead altogether, or on the one way that tells what decides.
  One that is busy (P22, P23), talks nonsense or does not let us in is not restarted for that.
- Only when patience is used up, so that whatever restarts by itself has had its time.
- Never while a write of ours may still be running (its time limit, as in doubt.py), and never into a POST
  that may be applying an image (P15).
- At most `Policy.bmc_resets` times in an attempt and `bmc_resets_a_day` times in 24 hours.
- Each means once in an attempt, gentlest first. One that was refused, that changed nothing although it
  was accepted (P38), or that brought back only half of the BMC (P39), is followed by the next.
- The outlet takes the host with it: only for an attempt that may restart the host.
- It is back when it answers again, by another boot marker where it tells one, and some time later still (P36).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from attrs import frozen

from .attempt import Attempt, StepRecord
from .event import Outcome
from .finding import time_limit
from .history import DAY
from .observation import NOT_ASKED, Observation, Post, Unknown
from .policy import Policy
from .receipt import Ground, Refused
from .step import Flash, Means, ResetBmc, ResetHost


@frozen
class Revive:
    """Send this restart."""

    step: ResetBmc


@frozen
class NotNow:
    """It will be sent, but not before *seconds* have passed."""

    seconds: float
    why: str


@frozen
class InVain:
    """The restart that was accepted did not happen."""

    evidence: str


@frozen
class Back:
    """The BMC was restarted and answers."""

    evidence: str


@frozen
class Returning:
    """It was restarted; give it time."""

    why: str


@frozen
class StillAway:
    """It had its time, and does not answer."""

    why: str


Return: TypeAlias = InVain | Back | Returning | StillAway


def revivals(attempt: Attempt) -> tuple[StepRecord, ...]:
    """Return the restarts that this attempt sent to revive the BMC, or meant to, oldest first."""
    return tuple(record for record in attempt.steps if isinstance(record.step, ResetBmc) and record.step.revives)


def revive(
    attempt: Attempt,
    *,
    seen: Observation,
    means: Sequence[Means],
    earlier: Sequence[float],
    policy: Policy,
    now: float,
    why: str,
) -> Revive | NotNow | None:
    """Say whether to restart a BMC that patience has been lost with; None: there is nothing to try.

    *means* are those that may work now; *earlier* are the times of the node's revivals (epoch seconds).
    """
    if not seen.is_away:
        return None
    tried = revivals(attempt)
    sent = [record for record in tried if not isinstance(record.receipt, Refused)]
    today = [at for at in earlier if now - at < DAY]
    if len(sent) >= policy.bmc_resets or len(today) >= policy.bmc_resets_a_day:
        return None
    used = {record.step.means for record in tried if isinstance(record.step, ResetBmc)}
    left = [one for one in means if one not in used and _may(one, attempt, seen)]
    if not left:
        return None
    blocked, reason = _busy_until(attempt, policy)
    if now < blocked:
        return NotNow(blocked - now, reason)
    boot = Unknown("it does not answer") if seen.bmc_boot is NOT_ASKED else seen.bmc_boot
    return Revive(ResetBmc((), boot, left[0], why))


def returned(record: StepRecord, *, seen: Observation, policy: Policy, now: float) -> Return:
    """Say what became of an accepted revival, by a look that asked for the BMC's boot marker."""
    assert isinstance(record.step, ResetBmc)  # noqa: S101 - the caller matched it
    before, after = record.step.boot, seen.bmc_boot
    is_marked = isinstance(before, str) and isinstance(after, str)
    if is_marked and before != after:
        return Back("the BMC restarted and answers")
    if now - record.last_at < policy.settle:
        return Returning("the BMC was restarted")
    if is_marked:
        return InVain("the restart was accepted, and the BMC runs on as before (P38)")
    if seen.is_away:
        return StillAway("the BMC was restarted, and is still away")
    return Back("the BMC answers again")


def next_means(attempt: Attempt, means: Sequence[Means], *, but: Means | None = None) -> Means | None:
    """Return by what to restart the BMC for an element: the first of *means* that has not failed in this attempt.

    One that could not be sent has failed, and one that changed nothing (P38); a BMC that said no has not.
    """
    failed = {
        record.step.means
        for record in attempt.steps
        if isinstance(record.step, ResetBmc)
        and (
            (isinstance(record.receipt, Refused) and record.receipt.ground is not Ground.SAID_NO)
            or record.outcome is Outcome.NEVER_STARTED
        )
    }
    return next((one for one in means if one not in (*failed, but, Means.OUTLET)), None)


def tale(attempt: Attempt) -> tuple[str, ...]:
    """Tell, for the evidence, what was tried to revive the BMC."""
    lines = []
    for record in revivals(attempt):
        assert isinstance(record.step, ResetBmc)  # noqa: S101 - chosen so; told to the type checker
        by = f"a restart of the BMC by {record.step.means or 'itself'}"
        if isinstance(record.receipt, Refused):
            lines.append(f"{by} was refused: {record.receipt.reason}")
        else:
            lines.append(f"{by} did not mend it" + (f": {record.evidence}" if record.evidence else ""))
    return tuple(lines)


def _may(means: Means, attempt: Attempt, seen: Observation) -> bool:
    """Whether *means* may be used: the mains are not cut under a host that may be at work."""
    return means is not Means.OUTLET or attempt.goal.revives or attempt.has_begun or seen.post is Post.FAILED


def _busy_until(attempt: Attempt, policy: Policy) -> tuple[float, str]:
    """Return until when (epoch seconds) the BMC or the host may be at work on something of ours."""
    until, why = 0.0, ""
    for record in attempt.steps:
        if isinstance(record.step, Flash) and record.is_open:
            end, what = (
                record.last_at + time_limit(record.step, policy),
                f"{record.step.component} may still be written",
            )
        elif isinstance(record.step, ResetHost) and record in attempt.resets_after(0) and record.outcome is None:
            end, what = record.last_at + policy.reset_timeout, "the host may be starting"
        else:
            continue
        if end > until:
            until, why = end, f"{what}; no restart of the BMC into that"
    return until, why
