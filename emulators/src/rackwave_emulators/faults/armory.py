"""The faults that one machine is armed with, and which of them strikes at an occasion."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import TypeVar

from .fault import Fault, Moment, Occasion

F = TypeVar("F", bound=Fault)


class _Armed:
    """A fault, how often it may still strike, and since when; *since* None: it waits for its moment."""

    __slots__ = ("fault", "left", "random", "since")

    def __init__(self, fault: Fault, since: float | None) -> None:
        self.fault = fault
        self.since = since
        self.left = fault.count
        self.random = random.Random(fault.seed)  # noqa: S311 - reproducible on purpose, no secret

    def in_force(self, at: float) -> bool:
        if self.since is None or at < self.since:
            return False
        return self.fault.lasts is None or at < self.since + self.fault.lasts

    def is_over(self, at: float) -> bool:
        return self.since is not None and self.fault.lasts is not None and at >= self.since + self.fault.lasts

    def lucky(self) -> bool:
        return self.fault.chance >= 1.0 or self.random.random() < self.fault.chance


class Armory:
    """The faults that one machine is armed with."""

    __slots__ = ("_armed", "struck")

    def __init__(self) -> None:
        self._armed: tuple[_Armed, ...] = ()
        self.struck: Counter[str] | None = None  # most nodes of a large rack have none
        """How often faults of each id struck, or acted; those that only colour what is told are not counted."""

    def __len__(self) -> int:
        return len(self._armed)

    def __iter__(self) -> Iterator[Fault]:
        return iter(tuple(armed.fault for armed in self._armed))

    def arm(self, fault: Fault, *, at: float) -> tuple[Fault, ...]:
        """Add *fault*; its *after* counts from *at*, or from the moment it waits for.

        Returns:
            What is to act *after* seconds from now: the fault itself where it needs no occasion.
        """
        armed = _Armed(fault, at + fault.after if fault.at is Moment.NOW else None)
        if fault.acts and fault.at is Moment.NOW:
            if not armed.lucky():
                return ()
            self._count(fault)
            return (fault,)
        self._armed = (*(a for a in self._armed if not a.is_over(at)), armed)
        return ()

    def disarm(self, name: str | None = None) -> None:
        """Remove every fault, or those with the id, or of the pathology, *name*."""
        self._armed = tuple(
            a for a in self._armed if name is not None and name != a.fault.id and name not in a.fault.pathologies
        )

    def wake(self, moment: Moment, *, at: float, method: str = "", path: str = "") -> tuple[Fault, ...]:
        """Tell the faults that wait for *moment* that it has come.

        Returns:
            What has woken; of it, what needs no occasion is to act *after* seconds from now.
        """
        woken = []
        for armed in self._armed:
            fault = armed.fault
            if armed.since is not None or fault.at is not moment:
                continue
            if moment is Moment.REQUEST and not fault.awaits(method, path):
                continue
            if not fault.acts:
                armed.since = at + fault.after
            elif armed.lucky():
                self._use_up(armed)
            else:
                continue
            woken.append(fault)
        return tuple(woken)

    def mend(self, at: float) -> None:
        """Remove what is in force and was to last until the BMC restarts."""
        self._armed = tuple(a for a in self._armed if not (getattr(a.fault, "until_restart", False) and a.in_force(at)))

    def in_force(self, kind: type[F], *, at: float) -> tuple[F, ...]:
        """Return the faults of *kind* that are in force, without striking."""
        return tuple(a.fault for a in self._armed if isinstance(a.fault, kind) and a.in_force(at))

    def first(self, kind: type[F], *, at: float) -> F | None:
        """Return the first fault of *kind* that is in force, without striking."""
        return next(iter(self.in_force(kind, at=at)), None)

    def strike(self, kind: type[F], *, at: float, component: str = "", method: str = "", path: str = "") -> F | None:
        """Let the first fault of *kind* that fits this occasion strike, and use it up by one."""
        occasion = Occasion(component, method, path)
        for armed in self._armed:
            fault = armed.fault
            if not isinstance(fault, kind) or not armed.in_force(at) or not fault.fits(occasion):
                continue
            if armed.lucky():
                self._use_up(armed)
                return fault
        return None

    def _count(self, fault: Fault) -> None:
        if self.struck is None:
            self.struck = Counter()
        self.struck[fault.id] += 1

    def _use_up(self, armed: _Armed) -> None:
        self._count(armed.fault)
        if armed.left is not None:
            armed.left -= 1
            if not armed.left:
                self._armed = tuple(other for other in self._armed if other is not armed)
