"""Whose a failure is: the words for it; core/attribution.py finds them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from attrs import frozen


class Blame(StrEnum):
    """Whose a failure is. UNDECIDED counts as the bundle's."""

    BUNDLE = "bundle"
    ELSEWHERE = "elsewhere"
    UNDECIDED = "undecided"


class Beside(StrEnum):
    """Beside whom a failure is judged that by itself is open: machines that took the bundle; those without it, too."""

    NOBODY = "nobody"
    PEERS = "peers"
    OTHERS = "others"


class Symptom(StrEnum):
    """What kind of failure it is: like is compared with like."""

    NONE = "none"
    REFUSED = "refused"
    BROKE_OFF = "broke-off"
    DID_NOT_TAKE = "did-not-take"
    UNHEARD = "unheard"
    ILL = "ill"


@frozen
class Sign:
    """What a failure shows by itself, and in words on what that rests."""

    blame: Blame
    why: str
    beside: Beside = Beside.NOBODY
    symptom: Symptom = Symptom.NONE


def whose(blame: Blame, evidence: Sequence[str]) -> str:
    """Say whose a failure is, and on what that rests."""
    return f"{_WORDS[blame]}: {'; '.join(evidence)}"


_WORDS = {
    Blame.BUNDLE: "the failure is the bundle's",
    Blame.ELSEWHERE: "the failure is not the bundle's",
    Blame.UNDECIDED: "the failure may be the bundle's",
}
