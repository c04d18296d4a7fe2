"""What can go wrong on one node, on request: small values that a machine is armed with.

Every fault strikes *count* times (null: always), each time with probability *chance* from its own
seeded random numbers, and not before *after* seconds have passed since it was armed. The catalogue of
real pathologies (P01..P50) is notes for what is to come; those below are the first.
"""

from __future__ import annotations

import random
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, ClassVar, TypeVar

import attrs
from attrs import field, frozen, validators

from rackwave.core.observation import Health
from rackwave.errors import UsageError

F = TypeVar("F", bound="Fault")


class FaultError(UsageError):
    """A fault that was asked for does not exist or has an impossible parameter."""


class Leaves(StrEnum):
    """What a failed flash leaves behind: the old image, one that does not boot, one whose version cannot be read."""

    OLD = "old"
    CORRUPT = "corrupt"
    UNKNOWN = "unknown"


class RevivedBy(StrEnum):
    """What brings a dead host back.

    A restart; a restart after its BIOS was written again; a restart once the BIOS has another
    version than the one it died with; nothing.
    """

    RESTART = "restart"
    REFLASH = "reflash"
    PRIOR = "prior"
    NEVER = "never"


class Moment(StrEnum):
    """When a fault that needs no occasion strikes: at once, or when the next write is accepted."""

    NOW = "now"
    WRITE = "write"


def _at_least_once(_: object, attribute: attrs.Attribute[int], value: int | None) -> None:
    if value is not None and value < 1:
        raise ValueError(f"{attribute.name} must be 1 or more, or null for always")


_percent = validators.and_(validators.ge(0), validators.le(100))


@frozen(kw_only=True)
class Fault:
    """What all faults share."""

    id: ClassVar[str]
    story: ClassVar[str]
    pathologies: ClassVar[tuple[str, ...]] = ()

    count: int | None = field(default=1, validator=_at_least_once)
    chance: float = field(default=1.0, validator=[validators.ge(0.0), validators.le(1.0)])
    seed: int = 0
    after: float = field(default=0.0, validator=validators.ge(0.0))


@frozen(kw_only=True)
class FlashFails(Fault):
    """The write breaks off at *percent*: Exception, Critical."""

    id = "flash-fails"
    story = "the next flash fails at a percentage and leaves the old, a corrupt or an unreadable image"

    component: str = "*"
    percent: int = field(default=40, validator=_percent)
    leaves: Leaves = Leaves.OLD


@frozen(kw_only=True)
class FetchFails(Fault):
    """The image never arrives."""

    id = "fetch-fails"
    story = "the BMC cannot fetch the image: no route, TLS refused, or the upload breaks off"
    pathologies = ("P20",)


@frozen(kw_only=True)
class TaskVanishes(Fault):
    """The BMC restarts itself at *percent* and knows no task afterwards; *applied*: the image is staged yet."""

    id = "task-vanishes"
    story = "the BMC restarts in mid-update and its TaskService starts empty"
    pathologies = ("P01", "P03")

    component: str = "*"
    percent: int = field(default=50, validator=_percent)
    applied: bool = True


@frozen(kw_only=True)
class CompletedUnapplied(Fault):
    """The task says Completed, the activating reset passes, the version stays."""

    id = "completed-unapplied"
    story = "the update reports success and the version never changes"
    pathologies = ("P07", "P16")

    component: str = "*"


@frozen(kw_only=True)
class InventoryLags(Fault):
    """For *seconds* after an image became what runs, the inventory still tells the old version."""

    id = "inventory-lags"
    story = "the inventory shows the old version for a while after activation"
    pathologies = ("P46", "P48")

    component: str = "*"
    seconds: float = field(default=120.0, validator=validators.ge(0.0))


@frozen(kw_only=True)
class BadHealth(Fault):
    """While *component* runs a version that matches *version* the machine is not well: the bundle's own fault.

    Always in force, so *count* and *chance* mean nothing here. *boots* false: the host does not even POST on it.
    """

    id = "bad-health"
    story = "a version makes every machine that runs it unwell"

    component: str = "BIOS"
    version: str = "*"
    level: Health = field(default=Health.CRITICAL, validator=validators.in_([Health.WARNING, Health.CRITICAL]))
    boots: bool = True


@frozen(kw_only=True)
class HostDead(Fault):
    """The host hangs: POST failed, health Critical, power still on unless *power_off*."""

    id = "host-dead"
    story = "the host dies and comes back by restart, by reflash, on another version, or never"
    pathologies = ("P41",)

    at: Moment = Moment.NOW
    revived_by: RevivedBy = RevivedBy.RESTART
    power_off: bool = False


@frozen(kw_only=True)
class AnswerLost(Fault):
    """A request is acted on and its connection dropped without an answer."""

    id = "answer-lost"
    story = "the BMC acts on a request and the answer never arrives"
    pathologies = ("P12", "P27")

    method: str = "POST"
    path: str = ""


@frozen(kw_only=True)
class RequestLost(Fault):
    """A request's connection is dropped before the BMC acts on it."""

    id = "request-lost"
    story = "the connection drops before the BMC acts on a request"
    pathologies = ("P27",)

    method: str = "POST"
    path: str = ""


FAULTS: Mapping[str, type[Fault]] = types.MappingProxyType(
    {
        kind.id: kind
        for kind in (
            FlashFails,
            FetchFails,
            TaskVanishes,
            CompletedUnapplied,
            InventoryLags,
            BadHealth,
            HostDead,
            AnswerLost,
            RequestLost,
        )
    }
)
"""Every fault, by id."""


def parse_fault(told: Mapping[str, object]) -> Fault:
    """Make a fault of ``{"fault": "flash-fails", "percent": 40, "leaves": "corrupt"}``.

    Raises:
        FaultError: there is no such fault, or a parameter is unknown, of a wrong type or out of range.
    """
    name = told.get("fault")
    if not isinstance(name, str) or name not in FAULTS:
        raise FaultError(f"there is no fault {name!r}", advice=f"Known are {', '.join(FAULTS)}.")
    kind: Callable[..., Fault] = FAULTS[name]
    types_by_name = typing.get_type_hints(FAULTS[name])
    fields = {attribute.name for attribute in attrs.fields(FAULTS[name])}
    given = {key: value for key, value in told.items() if key != "fault"}
    if unknown := sorted(given.keys() - fields):
        raise FaultError(f"{name} has no parameter {unknown[0]!r}", advice=f"It has {', '.join(sorted(fields))}.")
    try:
        return kind(**{key: _parameter(value, types_by_name[key]) for key, value in given.items()})
    except (ValueError, TypeError) as error:
        raise FaultError(f"{name}: {error.args[0] if error.args else error}") from error


def fault_as_dict(fault: Fault) -> dict[str, object]:
    """Tell *fault* as ``parse_fault`` reads it."""
    return {"fault": fault.id, **attrs.asdict(fault)}


def _parameter(value: object, wanted: Any) -> object:
    """Check one parameter's type, strictly: true is no number, and a number is no text."""
    for kind in typing.get_args(wanted) or (wanted,):
        if kind is types.NoneType and value is None:
            return None
        if kind is float and type(value) is int:
            return float(value)
        if type(value) is kind:
            return value
        if isinstance(kind, type) and issubclass(kind, StrEnum) and isinstance(value, str):
            return kind(value)
    raise TypeError(f"{value!r} is of a wrong type")


class _Armed:
    """A fault, and how often it may still strike."""

    __slots__ = ("fault", "left", "random", "since")

    def __init__(self, fault: Fault, since: float) -> None:
        self.fault = fault
        self.since = since
        self.left = fault.count
        self.random = random.Random(fault.seed)  # noqa: S311 - reproducible on purpose, no secret


class Armory:
    """The faults that one machine is armed with."""

    __slots__ = ("_armed",)

    def __init__(self) -> None:
        self._armed: tuple[_Armed, ...] = ()

    def __len__(self) -> int:
        return len(self._armed)

    def __iter__(self) -> Iterator[Fault]:
        return iter(tuple(armed.fault for armed in self._armed))

    def arm(self, fault: Fault, *, at: float) -> None:
        """Add *fault*; its *after* counts from *at*."""
        self._armed = (*self._armed, _Armed(fault, at + fault.after))

    def disarm(self, fault_id: str | None = None) -> None:
        """Remove every fault, or those of one id."""
        self._armed = tuple(a for a in self._armed if fault_id is not None and a.fault.id != fault_id)

    def in_force(self, kind: type[F]) -> tuple[F, ...]:
        """Return the faults of *kind*, without striking."""
        return tuple(armed.fault for armed in self._armed if isinstance(armed.fault, kind))

    def strike(self, kind: type[F], *, at: float, component: str = "", method: str = "", path: str = "") -> F | None:
        """Let the first fault of *kind* that fits this occasion strike, and use it up by one."""
        for armed in self._armed:
            fault = armed.fault
            if not isinstance(fault, kind) or at < armed.since or not _fits(fault, component, method, path):
                continue
            if fault.chance < 1.0 and armed.random.random() >= fault.chance:
                continue
            if armed.left is not None:
                armed.left -= 1
                if not armed.left:
                    self._armed = tuple(other for other in self._armed if other is not armed)
            return fault
        return None


def _fits(fault: Fault, component: str, method: str, path: str) -> bool:
    match fault:
        case FlashFails() | TaskVanishes() | CompletedUnapplied() | InventoryLags():
            return fnmatchcase(component, fault.component)
        case AnswerLost() | RequestLost():
            return fault.method in ("*", method) and fault.path in path
        case _:
            return True
