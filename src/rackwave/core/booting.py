"""A restart, seen through: until the host has come up only its own word is of use."""

from __future__ import annotations

from .decision import Decision, Finish, Resolve, See, Situation, Wait
from .event import AttemptResult, Outcome
from .observation import NOT_ASKED, Look, Post, Power, Unknown
from .pace import next_look
from .patience import patience_with, revival_of
from .planner import (
    host_reset,
    is_unmarked,
    was_effective,
)
from .restraint import when_idle
from .revival import next_means, tale
from .step import ResetBmc, ResetHost, ResetKind


def decide_booting(situation: Situation) -> Decision | None:
    """While a reset has not been seen through, only the host's own word is of use."""
    attempt, seen, policy = situation.attempt, situation.seen, situation.policy
    resets = attempt.planned_resets
    if not resets:
        return None
    last = resets[-1]
    passed = situation.now - last.last_at
    if last.outcome is not None:
        if isinstance(last.step, ResetBmc) and passed < policy.steady:
            return Wait(policy.steady - passed, "the BMC is back; one good answer proves nothing (P36)")
        return None
    why = ""
    if isinstance(last.step, ResetBmc) and seen.bmc_boot is NOT_ASKED:
        return See(Look(system=False, bmc=True))
    if not was_effective(last, seen):
        why = "its reset has not been seen to happen"
    elif is_unmarked(last) and passed < policy.settle:
        why = "the BMC marks no boots, so that what it says now may still be from before the reset"
    elif isinstance(last.step, ResetHost) and seen.power is Power.OFF and passed > policy.settle:
        pass  # no power cycle lasts that long: it has gone off again
    elif isinstance(last.step, ResetHost) and seen.post in (Post.RUNNING, Post.NOT_RUNNING):
        why = "the host is starting"
    elif isinstance(last.step, ResetHost) and isinstance(seen.post, Unknown):
        why = f"POST is {seen.post}"
    if not why:
        return Resolve(last.number, Outcome.DONE, f"restarted; POST {seen.post}")
    if situation.waited(last.last_at) > policy.reset_timeout:
        late = f"{why}, for {policy.reset_timeout:.0f} s"
        if isinstance(last.step, ResetBmc) and last.step.boot == seen.bmc_boot and not is_unmarked(last):
            if next_means(attempt, situation.means, but=last.step.means) is not None:
                return Resolve(last.number, Outcome.NEVER_STARTED, f"{late}; the BMC runs on as before (P38)")
            return Finish(AttemptResult.FAILED, (late,))
        if (
            isinstance(last.step, ResetHost)
            and seen.post in (Post.RUNNING, Post.NOT_RUNNING)
            and was_effective(last, seen)
        ):
            # Many makes tell a hang in POST as POST that goes on. The restart happened all the same: what
            # waited for it waits no more, and what comes of it is for the gate to judge.
            return Resolve(last.number, Outcome.DONE, f"restarted; {late}")
        return revival_of(situation, late) or Finish(AttemptResult.FAILED, (late, *tale(attempt)))
    left = policy.reset_timeout - situation.waited(last.last_at)
    usual = situation.usual if last is attempt.steps[-1] else None
    return Wait(next_look(policy, passed, usual=usual, deadline=left), why)


def decide_off(situation: Situation) -> Decision | None:
    """See through the restart of a service that has none (P42): the host is off, then it is switched on."""
    seen, policy = situation.seen, situation.policy
    last = next(reversed(situation.attempt.planned_resets), None)
    if last is None or not isinstance(last.step, ResetHost) or last.step.kind is not ResetKind.FORCE_OFF:
        return None
    if last.outcome is None:
        if was_effective(last, seen):
            return Resolve(last.number, Outcome.DONE, "the host is off; it is switched on next")
        if situation.waited(last.last_at) > policy.reset_timeout:
            return Finish(AttemptResult.FAILED, (f"the host does not go off, for {policy.reset_timeout:.0f} s",))
        return Wait(policy.poll, "the host is going off")
    if isinstance(seen.power, Unknown):
        return patience_with(situation, f"power is {seen.power}", AttemptResult.LOST)
    if seen.power is Power.CHANGING:
        if situation.waited(last.last_at) > policy.reset_timeout:
            return Finish(AttemptResult.FAILED, (f"the host's power is changing, for {policy.reset_timeout:.0f} s",))
        return Wait(policy.poll, "the host's power is changing")
    # Seen on, it was started by somebody else, or by itself: that is a restart, too.
    return when_idle(situation, host_reset(seen, last.step.elements)) if seen.power is Power.OFF else None
