"""Who may log in to one BMC, over whichever of its faces."""

from __future__ import annotations

from attrs import field, frozen

from .faults import AccountLocks, Armory
from .refusal import LabRefusal
from .timeline import Timeline


@frozen
class Account:
    """The one account of a BMC."""

    username: str = "admin"
    password: str = field(default="password", repr=False)


class Access:
    """What decides about a login beside the password: locks, strangers, and what a factory reset has left.

    Faces keep their sessions themselves and follow two counters: ``ended`` grows whenever every session
    there is has ended, ``crowds`` whenever strangers took all that were free.
    """

    __slots__ = ("_armory", "_crowded_at", "_failures", "_locked_until", "_timeline", "crowds", "ended", "factory")

    def __init__(self, timeline: Timeline, armory: Armory) -> None:
        self._timeline = timeline
        self._armory = armory
        self._failures = 0
        self._locked_until = timeline.time
        self._crowded_at: float | None = None
        self.ended = 0
        self.crowds = 0
        self.factory: Account | None = None
        """The account that is left after a factory reset (P40); None: the one that was configured."""

    @property
    def locked(self) -> bool:
        """Whether no password is right at the moment (P34)."""
        return self._timeline.time < self._locked_until

    def judge(self, *, accepted: bool) -> None:
        """Judge a login whose name and password are right, or not (*accepted*).

        Raises:
            LabRefusal: they are wrong, or the account is locked (401).
        """
        if self.locked:
            raise LabRefusal(401, "The account is locked.", message_id="Base.1.18.NoValidSession")
        if accepted:
            self._failures = 0
            return
        self._failures += 1
        now = self._timeline.time
        locks = self._armory.first(AccountLocks, at=now)
        if locks is not None and self._failures >= locks.failures:
            self._locked_until = now + locks.seconds
            self._failures = 0
        raise LabRefusal(401, "The credentials are not valid.", message_id="Base.1.18.NoValidSession")

    def end_sessions(self) -> None:
        """End every session of every face."""
        self.ended += 1
        self._crowded_at = None

    def crowd(self) -> None:
        """Let strangers take every session that is free (P26)."""
        self.crowds += 1
        self._crowded_at = self._timeline.time

    def crowded(self, timeout: float) -> bool:
        """Whether strangers still hold all sessions, which end *timeout* seconds after they were taken."""
        return self._crowded_at is not None and self._timeline.time < self._crowded_at + timeout

    def reset_to_factory(self, account: Account) -> None:
        """Forget every account but *account*."""
        self.factory = account
        self._failures = 0
        self._locked_until = self._timeline.time
        self.end_sessions()
