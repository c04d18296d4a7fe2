"""What is asked for a node by somebody who does not do it himself: that it be recovered, or brought back.

A machine's own software asks so (a control bundle's job, in the patent's words), a monitoring system, or a person
without the rights to do it. Asking touches nothing; the watch decides, by its policy, and does it.
"""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen

from .identity import Lineage, NodeName


class Want(StrEnum):
    """Which of its bundles a node is to get."""

    ASSIGNED = "assigned"
    PRIOR = "prior"


@frozen
class RecoveryAsked:
    """*by* asks that *node* get its *want* bundle of *lineage* again, for the reason given as *evidence*."""

    node: NodeName
    lineage: Lineage
    want: Want
    evidence: str
    by: str


@frozen
class AskingWithdrawn:
    """What was asked for *node* is not wanted any more."""

    node: NodeName
    by: str


@frozen
class Asked:
    """What is asked for a node and was not begun yet; *at* is since when, in epoch seconds."""

    lineage: Lineage
    want: Want
    evidence: str
    by: str
    at: float

    def __str__(self) -> str:
        what = "recovery" if self.want is Want.ASSIGNED else "roll-back"
        return f"{what} is asked for by {self.by}: {self.evidence}"
