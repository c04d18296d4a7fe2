"""From an answer, or from the lack of one, to what is known of an act."""

from __future__ import annotations

from ...core.receipt import Accepted, Ambiguous, Ground, Receipt, Refused
from ...errors import (
    BmcAmbiguousError,
    BmcCertificateError,
    BmcLoginError,
    BmcRefusedError,
    BmcUnreachableError,
    NodeError,
)
from .answer import Answer
from .tasks import task_uri

NOT_NOW = 10.0
"""Seconds after which to ask again where the BMC is busy or away and names no time itself. Real ones
are in the way of themselves for 2 to 60 s (P08, P22, P35)."""

_NOT_NOW_STATUSES = frozenset({409, 423, 425, 429, 503})

_NEVER_BEGUN = frozenset({501, 503, 505})
"""5xx that say that the request was not carried out. After any other (500, 502, 504, 507 …) it may have
been: iDRAC and XCC are known to answer 500 and act (P16), and a gateway's 502 or 504 tells nothing
of what stands behind it."""


def of_answer(answer: Answer, *, way: str, now: float) -> Receipt:
    """Judge the answer to an act by its status; the body of an accepted one may be anything (P10, P24)."""
    if answer.ok:
        return Accepted(task_uri(answer.headers, answer.document_or_empty), way)
    if answer.status >= 500 and answer.status not in _NEVER_BEGUN:
        return Ambiguous(f"{way} was answered with {answer.error}")
    wait = answer.retry_after(now)
    if wait is None and answer.status in _NOT_NOW_STATUSES:
        wait = NOT_NOW
    return Refused(f"{way} was answered with {answer.error}", wait)


def of_error(error: NodeError) -> Receipt:
    """What is known of an act that *error* ended. Call it only in an ``except`` block: it may re-raise.

    Raises:
        BmcLoginError: a person must act first.
        BmcCertificateError: as above.
    """
    match error:
        case BmcLoginError() | BmcCertificateError():
            raise error
        case BmcAmbiguousError():
            return Ambiguous(str(error), error.body_complete)
        case BmcUnreachableError():
            return Refused(str(error), NOT_NOW, Ground.AWAY)
        case BmcRefusedError(status=status, retry_after=wait):
            return Refused(str(error), NOT_NOW if wait is None and status in _NOT_NOW_STATUSES else wait)
        case _:
            return Refused(str(error))
