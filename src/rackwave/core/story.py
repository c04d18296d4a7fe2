"""Every event in one plain line: what progress, history and logs say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import assert_never

from . import event as ev
from . import release_event as rel
from .blame import whose
from .receipt import Accepted, Ambiguous, Receipt, Refused
from .request import AskingWithdrawn, RecoveryAsked
from .step import describe


def tell(event: ev.Event) -> str:
    """Say what *event* means, without the node's name and the time."""
    match event:
        case ev.AboutRollouts():
            return _tell_rollout(event)
        case rel.AboutReleases():
            return _tell_release(event)
        case ev.Notified(number, hook):
            return f"event {number} was told to the webhook {hook}"
        case ev.Intended(_, _, number, step):
            return f"{number}. {describe(step)}"
        case ev.Acted(_, _, number, receipt):
            return f"{number}. {_tell_receipt(receipt)}"
        case ev.Reading(_, _, number, installed):
            return f"{number}. in doubt; reads {installed}"
        case ev.Resolved(_, _, number, outcome, evidence):
            return f"{number}. {outcome}: {evidence}"
        case ev.Held() | ev.Unheld() | ev.HeldBack() | ev.Enforced():
            return _tell_hold(event)
        case ev.ConditionChanged(_, what, before, after):
            return f"{what}: {after or 'no longer'}{f' (was: {before})' if before else ''}"
        case ev.SessionOpened() | ev.SessionClosed() | ev.LoginRefused() | ev.Pinned() | ev.PinForgotten():
            return _tell_access(event)
        case ev.ImageFetched(_, _, digest, sent, size):
            return f"its BMC fetched {sent} of {size} bytes of {digest[:19]}…"
        case ev.Identified(_, vendor, model, serial):
            return f"it is {' '.join(word for word in (vendor, model, serial) if word)}"
        case _:
            return _tell_course(event)


def _tell_course(
    event: ev.AttemptStarted
    | ev.AttemptEnded
    | ev.Assigned
    | ev.Adopted
    | RecoveryAsked
    | AskingWithdrawn
    | ev.RecoveryRequested
    | ev.RecoveryEnded
    | ev.Quarantined
    | ev.Readmitted
    | ev.ByHand
    | ev.LogMarked
    | ev.Bound
    | ev.Completing,
) -> str:
    match event:
        case ev.AttemptStarted(_, attempt, goal, _, rung):
            ladder = f", rung {rung + 1}" if rung is not None else ""
            return f"attempt {attempt}: {goal.cause} to {goal.bundle} ({goal.mode}{ladder})"
        case ev.AttemptEnded(_, _, result, evidence):
            return f"attempt ended {result}: {'; '.join(evidence)}"
        case ev.Assigned(_, bundle):
            return f"{bundle} is committed"
        case ev.Adopted(_, bundle, _, by, missing):
            return f"taken in as {bundle} by {by}" + (
                f"; missing for the way back: {'; '.join(missing)}" if missing else ""
            )
        case RecoveryAsked(_, lineage, want, evidence, by):
            return f"{by} asks for its {want} bundle of {lineage}: {evidence}"
        case AskingWithdrawn(_, by):
            return f"{by} withdraws what was asked for it"
        case ev.RecoveryRequested(_, policy, bundle, failed, evidence):
            blame = f"back from {failed}" if failed is not None else f"no fault of {bundle}"
            return f"recovery {policy} ({blame}): {'; '.join(evidence)}"
        case ev.RecoveryEnded(_, bundle):
            return f"recovered on {bundle}"
        case ev.Quarantined(_, evidence):
            return f"QUARANTINED: {'; '.join(evidence)}"
        case ev.Completing():
            return "the last bytes of the upload go out"
        case ev.Bound(_, bundle, _, binding):
            parts = [f"{name} is {', '.join(found) or 'nothing here'}" for name, found in binding.parts.items()]
            left = [*(f"{name} is not for it" for name in binding.left_out), *map(str, binding.set_back)]
            return f"on it {bundle} means: {'; '.join((*parts, *left)) or 'what it says'}"
        case ev.LogMarked(_, _, mark):
            return f"its event log stands at {mark}" if mark is not None else "its event log cannot be read"
        case ev.ByHand(_, what, by, result):
            return f"{what}, by {by}{': ' + result if result else ''}"
        case ev.Readmitted(_, reason, by):
            return f"readmitted by {by}: {reason}"
        case _:
            assert_never(event)


def _tell_access(
    event: ev.SessionOpened | ev.SessionClosed | ev.LoginRefused | ev.Pinned | ev.PinForgotten,
) -> str:
    match event:
        case ev.SessionOpened(_, uri) | ev.SessionClosed(_, uri):
            return f"session {uri} {'opened' if isinstance(event, ev.SessionOpened) else 'closed'}"
        case ev.LoginRefused(_, _, reason):
            return f"LOGIN REFUSED: {reason}"
        case ev.Pinned(_, key, ground, _, by):
            return f"its BMC is believed by {key} ({ground}{f', {by}' if by else ''})"
        case ev.PinForgotten(_, by):
            return f"the key of its BMC is forgotten, says {by}"
        case _:
            assert_never(event)


def _tell_hold(event: ev.Held | ev.Unheld | ev.HeldBack | ev.Enforced) -> str:
    match event:
        case ev.Held(_, reason, by, until):
            end = "" if until is None else f" until {datetime.fromtimestamp(until, UTC).isoformat(timespec='seconds')}"
            return f"held by {by}{end}: {reason}"
        case ev.Unheld(_, by):
            return f"no longer held, by {by}"
        case ev.HeldBack(_, why):
            return f"waits: {why}"
        case ev.Enforced(_, why):
            return f"ENFORCED, although: {why}"
        case _:
            assert_never(event)


def _tell_rollout(event: ev.RolloutEvent) -> str:
    match event:
        case ev.RolloutStarted(rollout, bundle, _, waves):
            sizes = " + ".join(str(len(wave)) for wave in waves)
            return f"rollout {rollout}: {bundle} to {sizes} nodes"
        case ev.WaveStarted(_, wave):
            return f"wave {wave} starts"
        case ev.NodeFinished(_, _, result, reason):
            return f"{result}: {reason}"
        case ev.RolloutFinished(rollout, result, reason):
            return f"rollout {rollout} {result}" + (f": {reason}" if reason else "")
        case ev.RolloutPaused(rollout, reason, by):
            return f"rollout {rollout} paused by {by}: {reason}"
        case ev.RolloutWaits(rollout, why):
            return f"rollout {rollout}: {why}"
        case ev.RolloutContinued(rollout, by):
            return f"rollout {rollout} goes on, says {by}"
        case ev.RolloutAborted(rollout, reason, by, now, roll_back):
            how = " at once" if now else ", what is done goes back," if roll_back else ""
            return f"rollout {rollout} aborted{how} by {by}: {reason}"
        case ev.GateJudged(_, wave, answer, reason):
            return f"the gate says of wave {wave}: {answer}" + (f": {reason}" if reason else "")
        case ev.WaveApproved(_, wave, by):
            return f"wave {wave} approved by {by}"
        case ev.Attributed(_, _, _, blame, evidence):
            return whose(blame, evidence)
        case _:
            assert_never(event)


def _tell_release(event: rel.ReleaseEvent) -> str:
    match event:
        case rel.ReleaseSeen(release, lineage, feed, announced):
            why = "; ".join(part for part in (announced.severity, ", ".join(announced.cves), announced.summary) if part)
            what = f"{announced.component or announced.stream} {announced.version}"
            return f"release {release}: {feed} lists {what} for lineage {lineage}{f' ({why})' if why else ''}"
        case rel.ReleaseRefused(release, reason):
            return f"release {release} refused for now: {reason}"
        case rel.ReleaseDrafted(release, bundle, _, replaces, waits=waits):
            over = f" over {replaces}" if replaces is not None else ""
            return f"release {release} is drafted as {bundle}{over}{f'; it waits: {waits}' if waits else ''}"
        case rel.ReleaseApproved(release, bundle, _, by):
            return f"release {release} as {bundle} approved by {by}"
        case rel.ReleaseRejected(release, reason, by):
            return f"release {release} rejected by {by}: {reason}"
        case rel.ReleasePublished(release, bundle):
            return f"release {release} published: {bundle} is current"
        case rel.FeedFailed(feed, problem):
            return f"feed {feed} CANNOT BE READ: {problem}"
        case rel.FeedReached(feed):
            return f"feed {feed} can be read again"
        case _:
            assert_never(event)


def _tell_receipt(receipt: Receipt) -> str:
    match receipt:
        case Accepted(task, way, held):
            waits = ", which holds it until it is told to begin" if held else ""
            return f"accepted by {way or 'the BMC'}{waits}" + (f", {task}" if task else "")
        case Refused(reason):
            return f"refused: {reason}"
        case Ambiguous(reason):
            return f"nobody knows whether it was taken: {reason}"
        case _:
            assert_never(receipt)
