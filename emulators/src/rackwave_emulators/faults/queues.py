"""What happens where work queues up: busy, stuck, committed, incomplete."""

from __future__ import annotations

from enum import StrEnum

from attrs import field, frozen, validators

from .fault import Fault, Label, RequestFault, duration, refusing_status


class ErrorBody(StrEnum):
    """Error bodies that no Redfish client can read (P24)."""

    BUSY = "busy"
    LIST = "list"
    HTML = "html"
    EMPTY = "empty"
    TORN = "torn"


class Incomplete(StrEnum):
    """How readings are incomplete: refused as *unavailable*, or told with properties *missing*."""

    UNAVAILABLE = "unavailable"
    MISSING = "missing"


@frozen(kw_only=True)
class QueueStuck(Fault):
    """Updates are accepted and stay New, until the queue is force-cleared; that leaves reads incomplete for *seconds*.

    The queue is cleared as Dell's is: ``DellJobService.DeleteJobQueue`` with ``JID_CLEARALL_FORCE``.
    """

    id = "queue-stuck"
    story = "the job queue is stuck; force-clearing it leaves reads incomplete for a while"
    label = Label.MACHINE
    pathologies = ("P21",)

    count: int | None = None
    seconds: float = field(default=60.0, validator=duration)


@frozen(kw_only=True)
class JobPending(Fault):
    """While an update runs or settings wait, further ones are refused: already committed."""

    id = "job-pending"
    story = "400 or 503 'already committed' while a job is pending"
    label = Label.MACHINE
    pathologies = ("P22",)

    count: int | None = None
    status: int = field(default=400, validator=refusing_status)


@frozen(kw_only=True)
class Busy(RequestFault):
    """Requests are refused with Retry-After; for *lasts* seconds, or *count* times."""

    id = "busy"
    story = "503 with Retry-After, for minutes"
    label = Label.WIRE
    pathologies = ("P22",)

    count: int | None = None
    lasts: float | None = field(default=180.0)
    method: str = "*"
    status: int = field(default=503, validator=refusing_status)
    retry_after: int = field(default=30, validator=validators.ge(0))


@frozen(kw_only=True)
class InUse(Fault):
    """Updates and settings are refused without a word of when to come back."""

    id = "in-use"
    story = "the lifecycle controller is 'in use' for half a day"
    label = Label.MACHINE
    pathologies = ("P23",)

    count: int | None = None
    lasts: float | None = field(default=43_200.0)
    status: int = field(default=503, validator=refusing_status)


@frozen(kw_only=True)
class GarbledError(RequestFault):
    """A request is refused, with a body that is no Redfish error."""

    id = "garbled-error"
    story = 'an error whose body cannot be read: {"error":"busy"}, [], HTML, nothing, half an object'
    label = Label.WIRE
    pathologies = ("P24",)

    status: int = field(default=400, validator=refusing_status)
    body: ErrorBody = ErrorBody.BUSY


@frozen(kw_only=True)
class ReadsIncomplete(Fault):
    """Readings of system, inventory and settings are refused, or miss properties."""

    id = "reads-incomplete"
    story = "data sources are unavailable, or answers miss properties, for some 20 s"
    label = Label.MACHINE
    pathologies = ("P25",)

    count: int | None = None
    lasts: float | None = field(default=20.0)
    how: Incomplete = Incomplete.MISSING


@frozen(kw_only=True)
class SessionsTaken(Fault):
    """Others hold every session that is free; theirs expire as all do when nobody uses them."""

    id = "sessions-taken"
    story = "the session cap is reached: 503 on login until sessions expire"
    label = Label.WIRE
    pathologies = ("P26",)
    acts = True
