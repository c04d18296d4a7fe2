"""Steps that are sent and not resolved: nothing else counts until they are."""

from __future__ import annotations

from typing import assert_never

from .attempt import StepRecord
from .bundle import Activation
from .decision import Decision, Finish, Resolve, See, Situation, Wait
from .doubt import resolve
from .event import AttemptResult, Outcome
from .look import full_look
from .observation import NOT_ASKED, Look, Post, Unknown
from .patience import end_unharmed, patience_with
from .planner import (
    was_effective,
)
from .restraint import MOST_STARTS, of_finding
from .step import Flash, ResetBmc, ResetHost, StageSettings, StartUpdate, SwitchBank, WriteImage


def decide_open(record: StepRecord, situation: Situation) -> Decision | None:
    """Return what is to be done about *record*; None where a restart is proven, and is seen through by booting.py."""
    match record.step:
        case WriteImage() | SwitchBank() | StartUpdate() as step:
            return _decide_open_write(record, step, situation)
        case StageSettings():
            return _decide_open_settings(record, situation)
        case ResetHost() | ResetBmc():
            return _decide_open_reset(record, situation)
        case _:
            assert_never(record.step)


def _decide_open_write(record: StepRecord, write: Flash, situation: Situation) -> Decision | None:
    finding = resolve(
        record,
        write,
        attempt=situation.attempt,
        seen=situation.seen,
        holding=situation.holding,
        policy=situation.policy,
        now=situation.now,
        since=situation.since,
        usual=situation.usual if record is situation.attempt.steps[-1] else None,
        who=situation.node,
    )
    return of_finding(finding, record, write, situation)


def _decide_open_settings(record: StepRecord, situation: Situation) -> Decision:
    """Staging settings again is harmless, so all that counts is whether it is still to be done."""
    seen = situation.seen
    if seen.settings is NOT_ASKED:
        return See(full_look(situation.bundle))
    if isinstance(seen.settings, Unknown):
        return patience_with(situation, f"BIOS settings are {seen.settings}", AttemptResult.FAILED)
    assert isinstance(record.step, StageSettings)  # noqa: S101 - the caller matched it
    wanted = record.step.attributes.items()
    staged = seen.staged_settings
    there = all(seen.settings.get(name) == value for name, value in wanted) or (
        not isinstance(staged, Unknown)
        and all(value in (staged.get(name), seen.settings.get(name)) for name, value in wanted)
    )
    if there:
        return Resolve(record.number, Outcome.DONE, "the settings are staged")
    return Resolve(record.number, Outcome.NEVER_STARTED, "the settings are not staged")


def _decide_open_reset(record: StepRecord, situation: Situation) -> Decision | None:
    """A reset whose answer was lost: another boot proves it; the same one after a while disproves it.

    None where it is proven and the last that was planned: ``decide_booting`` sees it through.
    """
    seen, policy = situation.seen, situation.policy
    before = record.step.boot if isinstance(record.step, (ResetHost, ResetBmc)) else NOT_ASKED
    is_host = isinstance(record.step, ResetHost)
    marker = seen.boot if is_host else seen.bmc_boot
    if marker is NOT_ASKED:
        return See(Look(system=is_host, bmc=not is_host))
    if was_effective(record, seen):
        if record in situation.attempt.planned_resets[-1:]:
            return None
        return Resolve(record.number, Outcome.DONE, "another boot than before")
    if not is_host and isinstance(before, Unknown) and not seen.is_away and record.at < situation.back <= situation.now:
        # Most BMCs are gone before they answer, and not all of them mark their boots.
        return Resolve(record.number, Outcome.DONE, "the BMC was away after it, and answers again")
    if situation.now - record.last_at < min(policy.settle, policy.reset_timeout):
        return Wait(policy.poll, "whether the reset was taken is not known yet")
    if isinstance(marker, Unknown) and (not isinstance(before, Unknown) or (seen.is_away and not is_host)):
        return patience_with(situation, f"the boot marker is {marker}", AttemptResult.LOST)
    if is_host and isinstance(seen.post, Unknown):
        return patience_with(situation, f"POST is {seen.post}", AttemptResult.LOST)
    if is_host and seen.post is Post.RUNNING and situation.waited() <= policy.reset_timeout:
        return situation.wait("the host is starting", policy.reset_timeout)
    return Resolve(record.number, Outcome.NEVER_STARTED, "it is where it was: no reset was seen")


def failed_write(situation: Situation) -> Decision | None:
    """A write that failed ends the attempt: a second write of one digest is for another attempt.

    A StartUpdate that provably never began may be sent again, a few times: its image is held still.
    """
    lost = 0
    for record in situation.attempt.steps:
        match record.step, record.outcome:
            case ((WriteImage() | SwitchBank() | StartUpdate() as step), Outcome.UNSEEN) if (
                step.activation is Activation.HOST_RESET
            ):
                return Finish(AttemptResult.LOST, (f"{step.component}: {record.evidence}",))
            case ((WriteImage() | SwitchBank() | StartUpdate() as step), Outcome.FAILED | Outcome.UNSEEN):
                return Finish(AttemptResult.FAILED, (f"{step.component}: {record.evidence}",))
            case ((WriteImage() | SwitchBank() as step), Outcome.NEVER_STARTED):
                return end_unharmed(situation, f"{step.component}: {record.evidence}")
            case StartUpdate() as step, Outcome.NEVER_STARTED:
                lost += 1
                if lost >= MOST_STARTS:
                    return end_unharmed(situation, f"{step.component}: {record.evidence}, {lost} times")
            case _:
                pass
    return None
