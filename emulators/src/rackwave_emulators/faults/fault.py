"""What all faults share: how often, how likely, when and for how long one strikes.

A fault is a small value. What it does is told by its class; its place in time by these:

* *at* is the moment it waits for: ``now``, or the next ``write`` that is accepted, the next image that
  is ``written``, the next ``reset`` of the host, the next ``request`` that fits *request*.
* *after* are the seconds from that moment until it is in force, *lasts* those until it is over (null: never).
* *count* is how often it strikes (null: always), each time with probability *chance* from random
  numbers of its own, made from *seed*.

Most faults wait for an occasion (a flash, a GET, a login). Those with ``acts`` need none: they happen
when their time has come.
"""

from __future__ import annotations

from enum import StrEnum
from fnmatch import fnmatchcase
from typing import ClassVar

import attrs
from attrs import field, frozen, validators

from rackwave.errors import UsageError


class FaultError(UsageError):
    """A fault that was asked for does not exist or has an impossible parameter."""


class Label(StrEnum):
    """Where a pathology lives: on the wire, in the machine, or in what controls machines."""

    WIRE = "wire"
    MACHINE = "machine"
    CONTROL = "control"


class Moment(StrEnum):
    """What a fault waits for: nothing; a write accepted; an image written; a host reset; a request."""

    NOW = "now"
    WRITE = "write"
    WRITTEN = "written"
    RESET = "reset"
    REQUEST = "request"


@frozen
class Occasion:
    """Something that happens on a node, at which a fault may strike."""

    component: str = ""
    method: str = ""
    path: str = ""


def _at_least_once(_: object, attribute: attrs.Attribute[int], value: int | None) -> None:
    if value is not None and value < 1:
        raise ValueError(f"{attribute.name} must be 1 or more, or null for always")


def _positive(_: object, attribute: attrs.Attribute[float], value: float | None) -> None:
    if value is not None and not 0 < value < float("inf"):
        raise ValueError(f"{attribute.name} must be above 0, or null for ever")


percentage = validators.and_(validators.ge(0), validators.le(100))
"""A validator of whole percents."""

refusing_status = validators.and_(validators.ge(400), validators.le(599))
"""A validator of HTTP statuses that refuse."""

duration = validators.and_(validators.ge(0.0), validators.lt(float("inf")))
"""A validator of durations."""


@frozen(kw_only=True)
class Fault:
    """What all faults share; see the top of the module."""

    id: ClassVar[str]
    story: ClassVar[str]
    label: ClassVar[Label]
    pathologies: ClassVar[tuple[str, ...]] = ()
    acts: ClassVar[bool] = False
    """Whether it happens by itself, without an occasion."""

    count: int | None = field(default=1, validator=_at_least_once)
    chance: float = field(default=1.0, validator=[validators.ge(0.0), validators.le(1.0)])
    seed: int = 0
    at: Moment = Moment.NOW
    request: str = ""
    after: float = field(default=0.0, validator=duration)
    lasts: float | None = field(default=None, validator=_positive)

    def fits(self, occasion: Occasion) -> bool:
        """Whether it may strike at *occasion*."""
        del occasion
        return True

    def awaits(self, method: str, path: str) -> bool:
        """Whether this is the request it waits for: *request* is ``METHOD part-of-path``, either may be missing."""
        wanted, _, part = self.request.rpartition(" ")
        if not wanted and part.isalpha() and part.isupper():
            wanted, part = part, ""
        return wanted in ("", "*", method) and part in path


@frozen(kw_only=True)
class ComponentFault(Fault):
    """A fault of some components: *component* is a pattern."""

    component: str = "*"

    def fits(self, occasion: Occasion) -> bool:
        """Whether the component is meant; one that is not known yet is not."""
        return fnmatchcase(occasion.component, self.component)


@frozen(kw_only=True)
class RequestFault(Fault):
    """A fault of some requests: *method* (``*``: any) and a part of the *path*."""

    method: str = "POST"
    path: str = ""

    def fits(self, occasion: Occasion) -> bool:
        """Whether the request is meant."""
        return self.method in ("*", occasion.method) and self.path in occasion.path
