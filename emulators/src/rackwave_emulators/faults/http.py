"""What goes wrong between a client and a BMC: connections, sessions, entity tags, certificates, clocks."""

from __future__ import annotations

from enum import StrEnum

from attrs import field, frozen, validators

from .fault import Fault, Label, RequestFault, duration, refusing_status


class Etags(StrEnum):
    """What is wrong with entity tags (P28).

    A change without If-Match is refused (428). Or tags are told in a form that does not match when it is
    sent back (412): weak, without quotes, empty, with a suffix from compression.
    """

    REQUIRED = "required"
    WEAK = "weak"
    UNQUOTED = "unquoted"
    EMPTY = "empty"
    GZIP = "gzip"


class Certificate(StrEnum):
    """What the new certificate is: signed by nobody known, by the same CA with another key, or past its end."""

    SELF_SIGNED = "self-signed"
    REISSUED = "reissued"
    EXPIRED = "expired"


class Silence(StrEnum):
    """How a dead service shows: connections are reset, or accepted and never answered, or every answer is 503."""

    RESET = "reset"
    HANG = "hang"
    UNAVAILABLE = "unavailable"


@frozen(kw_only=True)
class AnswerLost(RequestFault):
    """A request is acted on and its connection dropped without an answer."""

    id = "answer-lost"
    story = "the BMC acts on a request and the answer never arrives"
    label = Label.WIRE
    pathologies = ("P12", "P27")


@frozen(kw_only=True)
class RequestLost(RequestFault):
    """A request's connection is dropped before the BMC acts on it."""

    id = "request-lost"
    story = "the connection drops before the BMC acts on a request"
    label = Label.WIRE
    pathologies = ("P27",)


@frozen(kw_only=True)
class KeepAliveDropped(RequestFault):
    """The connection is reset after the answer, which promised to keep it."""

    id = "keep-alive-dropped"
    story = "a kept-alive connection is dropped in mid-use, after an answer that promised to keep it"
    label = Label.WIRE
    pathologies = ("P27",)

    method: str = "*"


@frozen(kw_only=True)
class EtagTrouble(Fault):
    """Changes (PATCH, PUT) need an If-Match, or one in another form than was told."""

    id = "etag-trouble"
    story = "If-Match is required (428), or weak, unquoted, empty and gzip-suffixed tags mismatch (412)"
    label = Label.WIRE
    pathologies = ("P28",)

    count: int | None = None
    how: Etags = Etags.REQUIRED


@frozen(kw_only=True)
class IfMatchOnAction(Fault):
    """A POST to an action that has an If-Match is refused (412), whatever its tag."""

    id = "if-match-on-action"
    story = "If-Match on an action fails for good"
    label = Label.WIRE
    pathologies = ("P29",)

    count: int | None = None


@frozen(kw_only=True)
class LoginFails(Fault):
    """A session login is answered *status*; Basic still works."""

    id = "login-fails"
    story = "session login answers 404 or 5xx, while Basic works"
    label = Label.WIRE
    pathologies = ("P30",)

    status: int = field(default=500, validator=refusing_status)


@frozen(kw_only=True)
class SessionsExpire(Fault):
    """All sessions end at once."""

    id = "sessions-expire"
    story = "the session expires in mid-rollout: 401 on a poll"
    label = Label.WIRE
    pathologies = ("P31",)
    acts = True


@frozen(kw_only=True)
class CertificateChanges(Fault):
    """The BMC shows another certificate from now on; connections that stand go on."""

    id = "certificate-changes"
    story = "the BMC's certificate changes: another key, signed by nobody known, or expired"
    label = Label.WIRE
    pathologies = ("P32",)
    acts = True

    to: Certificate = Certificate.SELF_SIGNED


@frozen(kw_only=True)
class ClockOff(Fault):
    """The BMC's clock jumps by *seconds*."""

    id = "clock-off"
    story = "the BMC's clock is years off: dates of tasks, resets and logs are wrong"
    label = Label.MACHINE
    pathologies = ("P33",)
    acts = True

    seconds: float = field(default=-315_360_000.0, validator=[validators.ge(-1.5e9), validators.le(1.5e9)])


@frozen(kw_only=True)
class AccountLocks(Fault):
    """After *failures* wrong passwords in a row the account is locked for *seconds*, the right password included."""

    id = "account-locks"
    story = "the account is locked after too many failed logins"
    label = Label.MACHINE
    pathologies = ("P34",)

    count: int | None = None
    failures: int = field(default=3, validator=validators.ge(1))
    seconds: float = field(default=600.0, validator=duration)


@frozen(kw_only=True)
class RedfishDead(Fault):
    """The Redfish service does not answer; the host, and IPMI, go on. *until_restart*: of the BMC, which mends it."""

    id = "redfish-dead"
    story = "Redfish is dead while IPMI still answers"
    label = Label.WIRE
    pathologies = ("P39",)

    count: int | None = None
    how: Silence = Silence.RESET
    until_restart: bool = False
