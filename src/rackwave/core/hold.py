"""A person's word that a node is not to be touched."""

from __future__ import annotations

from attrs import frozen


@frozen
class Hold:
    """While it stands, nothing that changes the node is begun.

    *since* and *until* are epoch seconds; *until* None: it stands until it is lifted.
    """

    reason: str
    by: str
    since: float
    until: float | None = None

    @property
    def why(self) -> str:
        """Why the node is left alone, in a sentence about it."""
        return f"it is held by {self.by}: {self.reason}"

    def stands(self, now: float) -> bool:
        """Whether it still holds at *now*."""
        return self.until is None or now < self.until
