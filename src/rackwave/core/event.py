"""What happened, as the journal keeps it. State is a fold over these (core/ledger.py).

Intent before act, outcome after: ``Intended`` is durable before a request leaves, ``Acted`` holds
its receipt. An intent without a receipt is in doubt.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

from attrs import field, frozen

from .binding import Binding
from .blame import Blame, Sign
from .goal import Goal
from .identity import AttemptId, BundleId, Digest, NodeName, RolloutId
from .log import LogMark
from .pin import PinGround
from .policy import Policy
from .receipt import Receipt
from .release_event import ReleaseEvent
from .request import AskingWithdrawn, RecoveryAsked
from .step import Step


class Outcome(StrEnum):
    """How a step that was once open ended.

    HELD: an image that went over and was found good is kept by the BMC, which begins only when told to.
    STAGED: it is written, and its task goes on until the reset. UNSEEN: its task called it done, its reset
    has passed, and nothing shows it: it may still wait for something else.
    """

    DONE = "done"
    HELD = "held"
    STAGED = "staged"
    UNSEEN = "unseen"
    FAILED = "failed"
    NEVER_STARTED = "never-started"


class AttemptResult(StrEnum):
    """How an attempt ended. NOTHING_WRITTEN: it failed and the node is provably as before.

    ILL: all that it sent is there and in force, and the machine is not well with it. CALLED_OFF: before anything
    was sent, since its rollout does not want it any more, or not yet.
    """

    LEVEL = "level"
    FAILED = "failed"
    ILL = "ill"
    NOTHING_WRITTEN = "nothing-written"
    CALLED_OFF = "called-off"
    DEAD = "dead"
    LOST = "lost"


class RolloutResult(StrEnum):
    """How a rollout ended."""

    DONE = "done"
    STOPPED = "stopped"
    ABORTED = "aborted"


class NodeResult(StrEnum):
    """Where a rollout left one node."""

    ON_NEW = "on-new"
    ROLLED_BACK = "rolled-back"
    QUARANTINED = "quarantined"
    NOT_STARTED = "not-started"


class GateAnswer(StrEnum):
    """What the operator's gate says of the nodes done so far (core/gating.py)."""

    GOOD = "good"
    BAD = "bad"
    NOT_KNOWN = "not-known"


class AboutRollouts:
    """Every event of a rollout as a whole, and what became of a node in it."""

    __slots__ = ()


@frozen
class RolloutStarted(AboutRollouts):
    """A bundle is to go to these nodes, in these waves."""

    rollout: RolloutId
    bundle: BundleId
    digest: Digest
    waves: tuple[tuple[NodeName, ...], ...]
    policy: Policy
    by: str


@frozen
class WaveStarted(AboutRollouts):
    """The nodes of wave *wave* (from 0) may begin."""

    rollout: RolloutId
    wave: int


@frozen
class NodeFinished(AboutRollouts):
    """The rollout is done with this node."""

    rollout: RolloutId
    node: NodeName
    result: NodeResult
    reason: str = ""


@frozen
class RolloutFinished(AboutRollouts):
    """The rollout is over."""

    rollout: RolloutId
    result: RolloutResult
    reason: str = ""


@frozen
class RolloutPaused(AboutRollouts):
    """*by* wants nothing begun on further nodes for now; what runs goes on to its end."""

    rollout: RolloutId
    reason: str
    by: str


@frozen
class RolloutWaits(AboutRollouts):
    """The next wave does not begin yet, for this reason: an approval, or the watch over the last one."""

    rollout: RolloutId
    why: str


@frozen
class RolloutContinued(AboutRollouts):
    """The pause is over."""

    rollout: RolloutId
    by: str


@frozen
class RolloutAborted(AboutRollouts):
    """*by* wants the rollout ended: no further node begins, and nodes that have begun come to their end first.

    *now*: they do not; what was under way stays as it is, in doubt. *roll_back*: what it brought to the new bundle
    goes back before it is over.
    """

    rollout: RolloutId
    reason: str
    by: str
    now: bool = False
    roll_back: bool = False


@frozen
class WaveApproved(AboutRollouts):
    """*by* lets wave *wave* begin."""

    rollout: RolloutId
    wave: int
    by: str


@frozen
class Attributed(AboutRollouts):
    """Whose the failure of *node* is: *sign* is what it shows by itself, *blame* what it showed beside the others then.

    *without*: it failed while it waited, without anything of the rollout's bundle.
    """

    rollout: RolloutId
    node: NodeName
    sign: Sign
    blame: Blame
    evidence: tuple[str, ...]
    without: bool = False


@frozen
class GateJudged(AboutRollouts):
    """Asked after wave *wave* whether the next may begin, the operator's gate answered so."""

    rollout: RolloutId
    wave: int
    answer: GateAnswer
    reason: str = ""


@frozen
class AttemptStarted:
    """One journalled try to bring *node* to *goal*. *rung* is the step of the recovery ladder, if any."""

    node: NodeName
    attempt: AttemptId
    goal: Goal
    rollout: RolloutId | None = None
    rung: int | None = None


@frozen
class Bound:
    """What *bundle* means on *node*: its parts that patterns fit, and the elements that are not for it."""

    node: NodeName
    bundle: BundleId
    digest: Digest
    binding: Binding


@frozen
class LogMarked:
    """Where the machine's own event log stood before the first act of *attempt*; None: it could not be read."""

    node: NodeName
    attempt: AttemptId
    mark: LogMark | None = None


@frozen
class Intended:
    """*step* is about to be sent. *known_tasks* are the BMC's tasks just before it."""

    node: NodeName
    attempt: AttemptId
    number: int
    step: Step
    known_tasks: tuple[str, ...] = ()


@frozen
class Completing:
    """The bytes that make an upload whole are about to be sent.

    *held*: whatever comes of them, nothing is programmed before the BMC is told to begin (HPM.1's Activate).
    """

    node: NodeName
    attempt: AttemptId
    number: int
    held: bool = False


@frozen
class Acted:
    """What came back from step *number*."""

    node: NodeName
    attempt: AttemptId
    number: int
    receipt: Receipt


@frozen
class Reading:
    """A fresh reading of a component whose write is in doubt, taken after its activating reset."""

    node: NodeName
    attempt: AttemptId
    number: int
    installed: str


@frozen
class Resolved:
    """How step *number* really ended, and what shows it."""

    node: NodeName
    attempt: AttemptId
    number: int
    outcome: Outcome
    evidence: str


@frozen
class AttemptEnded:
    """The attempt is over; *evidence* says on what that rests."""

    node: NodeName
    attempt: AttemptId
    result: AttemptResult
    evidence: tuple[str, ...]


@frozen
class Assigned:
    """*bundle* is committed on *node*: from now on it is what recovery and drift speak of."""

    node: NodeName
    bundle: BundleId
    digest: Digest
    attempt: AttemptId


@frozen
class Adopted:
    """*by* took *node* in as it was found: *bundle* is what it carries; *missing* cannot be brought back."""

    node: NodeName
    bundle: BundleId
    digest: Digest
    by: str
    missing: tuple[str, ...] = ()


@frozen
class RecoveryRequested:
    """*node* failed, or somebody says so; *policy* names the ladder, *failed* the bundle to blame, if any."""

    node: NodeName
    policy: str
    bundle: BundleId
    failed: BundleId | None
    evidence: tuple[str, ...]
    by: str


@frozen
class RecoveryEnded:
    """The ladder for *node* ended well: it is level with *bundle*."""

    node: NodeName
    bundle: BundleId
    evidence: tuple[str, ...]


@frozen
class Quarantined:
    """Nothing more is done to *node* until a person has looked; *evidence* is what that person reads."""

    node: NodeName
    evidence: tuple[str, ...]


@frozen
class Readmitted:
    """A person has looked at *node*: it leaves quarantine; logins that it refused and its recoveries are forgotten."""

    node: NodeName
    reason: str
    by: str


@frozen
class Held:
    """*by* wants *node* left alone until *until* (epoch seconds; None: until it is lifted)."""

    node: NodeName
    reason: str
    by: str
    until: float | None = None


@frozen
class Unheld:
    """The hold on *node* was lifted."""

    node: NodeName
    by: str


@frozen
class HeldBack:
    """Something is to be done to *node* and waits, for this reason: a hold, or its scheduler's work."""

    node: NodeName
    why: str


@frozen
class Enforced:
    """Work on *node* is done although, for this reason of its own, it should wait: a date is past (core/enforce.py)."""

    node: NodeName
    why: str


@frozen
class ByHand:
    """*by* does something to *node* beside every plan: about to be sent, or, with its *result*, what came of it."""

    node: NodeName
    what: str
    by: str
    result: str = ""


@frozen
class ConditionChanged:
    """The watch over the fleet sees that *what* of *node* stands as *after*, and no longer as *before*, in words."""

    node: NodeName
    what: str
    before: str
    after: str


@frozen
class SessionOpened:
    """A session on the BMC exists; its URI, never its token, so that a later run can close it."""

    node: NodeName
    uri: str


@frozen
class SessionClosed:
    """That session is gone."""

    node: NodeName
    uri: str


@frozen
class LoginRefused:
    """The BMC refused credentials; *fingerprint* tells them apart from others and says nothing of them (P34).

    *way*: over what, empty for Redfish.
    """

    node: NodeName
    fingerprint: str
    reason: str = ""
    way: str = ""


@frozen
class Pinned:
    """From now on *node*'s BMC is believed by this *key* and no other (P32); *by*: who accepted it, if a person did."""

    node: NodeName
    key: Digest
    ground: PinGround
    uuid: str = ""
    by: str = ""


@frozen
class PinForgotten:
    """A person says that *node*'s BMC is to be met as for the first time."""

    node: NodeName
    by: str = ""


@frozen
class ImageFetched:
    """The image server sent bytes of an image to a node's BMC."""

    node: NodeName
    attempt: AttemptId
    digest: Digest
    sent: int
    size: int


@frozen
class Identified:
    """Who the machine said it is when it was first met (P40: it may have to be found again)."""

    node: NodeName
    vendor: str = ""
    model: str = ""
    serial: str = ""


RolloutEvent: TypeAlias = (
    RolloutStarted
    | WaveStarted
    | NodeFinished
    | RolloutFinished
    | RolloutPaused
    | RolloutWaits
    | RolloutContinued
    | RolloutAborted
    | WaveApproved
    | Attributed
    | GateJudged
)

NodeEvent: TypeAlias = (
    AttemptStarted
    | Intended
    | Completing
    | Acted
    | Reading
    | Resolved
    | AttemptEnded
    | Assigned
    | Adopted
    | RecoveryAsked
    | AskingWithdrawn
    | RecoveryRequested
    | RecoveryEnded
    | Quarantined
    | Readmitted
    | LogMarked
    | Bound
    | ByHand
    | Held
    | Unheld
    | HeldBack
    | Enforced
    | ConditionChanged
    | SessionOpened
    | SessionClosed
    | LoginRefused
    | Pinned
    | PinForgotten
    | ImageFetched
    | Identified
)


@frozen
class Notified:
    """What event *number* means was told to the webhook named *hook*, which took it."""

    number: int
    hook: str


Event: TypeAlias = RolloutEvent | NodeEvent | ReleaseEvent | Notified


@frozen
class Recorded:
    """An event with its place in the journal (from 1) and the time it was written (epoch seconds)."""

    number: int
    at: float
    event: Event = field()
