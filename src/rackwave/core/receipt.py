"""What came back from one act: taken, refused, or nobody knows."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

from attrs import frozen


@frozen
class Accepted:
    """The BMC took the request. *task* is the URI to follow, None where the BMC gave none.

    *way* says through which door it went (``SimpleUpdate``, ``MultipartHttpPush``, ``Settings``, …).
    *held*: the BMC keeps the image and begins only when it is told to (StartUpdate, HPM.1's Activate).
    """

    task: str | None = None
    way: str = ""
    held: bool = False


class Ground(StrEnum):
    """Why an act was refused, which decides whether another way may be tried for it."""

    SAID_NO = "said-no"
    """The BMC understood and refused: no other way is tried behind its back."""
    AWAY = "away"
    """It was never sent, since nobody answered there."""
    UNABLE = "unable"
    """It was never sent, since this way has no such function."""


@frozen
class Refused:
    """The BMC said no before anything began. *retry_after* is in seconds where it gave one."""

    reason: str
    retry_after: float | None = None
    ground: Ground = Ground.SAID_NO


@frozen
class Ambiguous:
    """Sent, and no answer that can be read: it may or may not have begun (P12).

    *body_complete* is False when we know that the BMC cannot hold the whole image, because our
    upload broke off. *held*: the request asked that the image be kept until it is told to begin.
    """

    reason: str
    body_complete: bool = True
    held: bool = False


Receipt: TypeAlias = Accepted | Refused | Ambiguous
