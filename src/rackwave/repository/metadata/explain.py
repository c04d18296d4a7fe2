"""What python-tuf says, in words that tell an operator what to do."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    SlowRetrievalError,
    UnsignedMetadataError,
)

from ...errors import TrustError

_SUSPECT = (
    "Do not deploy from this repository before you know who changed it. What is deployed can be recovered meanwhile."
)
_OLD = (
    "Somebody shows an old state of the repository, or it was restored from a backup: then sign it again, "
    "'rackwave trust refresh', where the keys are."
)


def explain(error: Exception, what: str, now: float) -> TrustError:
    """Return what *error*, met while reading *what*, means; *now* is what the clock says, in epoch seconds."""
    said = str(error)
    match error:
        case ExpiredMetadataError():
            role = _role(said)
            where = {
                "root": "with the root keys: 'rackwave trust rotate root'",
                "targets": "with the targets key: 'rackwave trust refresh --targets'",
            }.get(role, "where its key is: 'rackwave trust refresh'")
            return TrustError(
                f"the repository's {role} metadata has expired; this machine's clock says {_date(now)}",
                advice=f"If the clock is right, have it signed again {where}. Nodes can be recovered meanwhile.",
            )
        case UnsignedMetadataError():
            return TrustError(
                f"{what}: not signed by whom it should be: {said}",
                advice=f"Whoever signed it does not have the keys, or has too few of them. {_SUSPECT}",
            )
        case BadVersionNumberError():
            return TrustError(f"{what}: older than what was seen before, or not together: {said}", advice=_OLD)
        case LengthOrHashMismatchError():
            return TrustError(f"{what}: other bytes than were signed: {said}", advice=_SUSPECT)
        case DownloadLengthMismatchError():
            return TrustError(f"{what}: larger than it may be: {said}", advice=_SUSPECT)
        case SlowRetrievalError():
            return TrustError(
                f"{what}: comes too slowly: {said}",
                advice="Check the network, or find out who holds answers back.",
            )
        case DownloadHTTPError():
            return TrustError(
                f"{what}: something is missing: {said}",
                advice="If it was just set up, 'rackwave trust init' has not ended. Else somebody holds it back.",
            )
        case _:
            return TrustError(f"{what}: cannot be used: {said}", advice=_SUSPECT)


def rolled_back(role: str, before: int, now: int) -> TrustError:
    """Return the error for metadata that is older than what was verified here before."""
    return TrustError(
        f"the repository's {role} metadata went back from version {before}, which was seen here, to {now}",
        advice=_OLD,
    )


def clock_went_back(now: float, seen: float) -> TrustError:
    """Return the error for a clock that stands before a moment that has been."""
    return TrustError(
        f"this machine's clock says {_date(now)}, but metadata was verified here at {_date(seen)}",
        advice="Set the clock: by a clock that is wrong, expired metadata would pass for good.",
    )


def _role(said: str) -> str:
    found = re.search(r"(?:Final |New )?(\S+?)(?:\.json)? is expired", said)
    return found[1] if found is not None else "signed"


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
