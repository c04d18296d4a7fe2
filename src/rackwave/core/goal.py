"""Where a node is to go, and how hard: converge skips what is level, reassert writes it again."""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen

from .identity import BundleId, ComponentName, Digest


class Cause(StrEnum):
    """Why a node has the goal it has."""

    ROLLOUT = "rollout"
    RETRY = "retry"
    RESTART = "restart"
    RESEND = "resend"
    ROLLBACK = "roll-back"


@frozen
class Goal:
    """One node is to be level with one bundle.

    Components in *reassert* are written even though they report the right version: a corrupt image
    can report it (system.md, "Recovery and roll-back"). *restart* begins with a restart of the host;
    with *writes* False nothing is written: the node is level after the restart, or the goal failed.
    """

    bundle: BundleId
    digest: Digest
    cause: Cause
    reassert: frozenset[ComponentName] = frozenset()
    restart: bool = False
    writes: bool = True

    @property
    def mode(self) -> str:
        """``reassert`` or ``converge``."""
        return "reassert" if self.reassert else "converge"

    @property
    def revives(self) -> bool:
        """Whether the node may be dead at the start: a recovery does not ask the host first (P41)."""
        return self.cause in (Cause.RESTART, Cause.RESEND, Cause.ROLLBACK)
