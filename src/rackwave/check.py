"""One thing that a rollout will need, and whether it is there."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from attrs import frozen

from .core.identity import NodeName


class Outcome(StrEnum):
    """How a check went; UNKNOWN: it could not be tried."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    UNKNOWN = "unknown"


@frozen
class Check:
    """One check of one node; *node* None: of what the whole rack needs."""

    node: NodeName | None
    name: str
    outcome: Outcome
    detail: str

    def document(self) -> dict[str, Any]:
        """Return the check as JSON values."""
        node = None if self.node is None else str(self.node)
        return {"node": node, "check": self.name, "outcome": str(self.outcome), "detail": self.detail}
