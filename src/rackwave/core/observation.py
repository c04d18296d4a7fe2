"""What was seen of a node at one moment. ``Unknown`` is a value: not "no", not "old", not "yes".

An observation answers a ``Look``: what was not asked for is ``NOT_ASKED``, what was asked for and
could not be read is ``Unknown`` with the reason. Code that meets ``Unknown`` may look again or
stop; it may not act.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from functools import cached_property
from operator import attrgetter

from attrs import evolve, field, fields, frozen

from .bundle import AttributeValue, frozen_map
from .identity import ComponentName
from .log import LogMark, LogNews


class Lack(StrEnum):
    """Why something could not be read, which decides whether another way to the BMC is asked for it."""

    UNREAD = "unread"
    """Something answered, and not with this: it may be there, and may be told in a moment."""
    BUSY = "busy"
    """It answered that it has no time or no session left (429, 503): others will be done in a while (P22, P26)."""
    AWAY = "away"
    """Nobody answered there."""
    ABSENT = "absent"
    """This way has no such thing."""
    REFUSED = "refused"
    """It does not let us in: a person must act first."""


@frozen
class Unknown:
    """It could not be read, for this reason, which tells it from another; *lack* says what may be tried next."""

    reason: str
    lack: Lack = field(default=Lack.UNREAD, eq=False)

    def __str__(self) -> str:
        return f"unknown ({self.reason})"


NOT_ASKED = Unknown("not looked at")


class Power(StrEnum):
    """Whether the host has power; CHANGING covers PoweringOn and PoweringOff."""

    ON = "on"
    OFF = "off"
    CHANGING = "changing"


class Post(StrEnum):
    """How far the host has come since its last reset."""

    NOT_RUNNING = "not-running"
    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"


class Health(StrEnum):
    """Redfish Status.Health of the system."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"


class TaskPhase(StrEnum):
    """A task's state reduced to what decides.

    VANISHED is a task that the BMC no longer knows (P01, P03); STAGED one whose work is written and
    waits for a reset, such as iDRAC's jobs that are Scheduled.
    """

    RUNNING = "running"
    STAGED = "staged"
    DONE = "done"
    FAILED = "failed"
    VANISHED = "vanished"


@frozen
class TaskSeen:
    """One task as the BMC tells it. *image* is the image URI or file name that the task names, where it does.

    *percent* is 0 to 100. *transfer_failed* is set when the BMC says that it could not fetch or receive
    the image, so that nothing was written. *held*: it only verified an image, which another task programs,
    by itself or when the BMC is told to (P19).
    """

    uri: str
    phase: TaskPhase
    percent: int | None = None
    message: str = ""
    image: str | None = None
    transfer_failed: bool = False
    held: bool = False


@frozen
class Component:
    """One updateable part. *staged* is the version that waits for a reset; None: none waits.

    *spare* is the version in its other bank, which the BMC can bring back; None: there is none.
    *loose*: told by a way that writes versions in a notation of its own (IPMI's "5.1" may be Redfish's
    "5.01.0012"). An equal string proves the version; another one proves nothing.
    """

    name: ComponentName
    installed: str | Unknown
    staged: str | Unknown | None = NOT_ASKED
    loose: bool = False
    spare: str | Unknown | None = NOT_ASKED

    def against(self, *versions: str) -> str | Unknown:
        """Return the installed version as far as it can be compared with *versions*."""
        if self.loose and isinstance(self.installed, str) and self.installed not in versions:
            wanted = " or ".join(filter(None, versions))
            return Unknown(f"told as {self.installed}, in a notation that is not comparable with {wanted}")
        return self.installed


@frozen
class Identity:
    """Who the machine says it is."""

    vendor: str | Unknown = NOT_ASKED
    model: str | Unknown = NOT_ASKED
    serial: str | Unknown = NOT_ASKED


@frozen
class Look:
    """What to read this time; each flag costs the BMC requests, so ask only for what decides.

    *components* names what is decided on; an empty set reads no inventory. *spares* are those of them whose other
    bank is of interest. *task* is the URI of a
    task to follow; *tasks* asks for every task that the BMC knows; *bmc* for the BMC's own boot marker;
    *log* for what is in the machine's event log *since* a mark, or where it stands.
    """

    system: bool = True
    bmc: bool = False
    components: frozenset[ComponentName] = frozenset()
    spares: frozenset[ComponentName] = frozenset()
    settings: bool = False
    task: str | None = None
    tasks: bool = False
    log: bool = False
    since: LogMark | None = None


@frozen
class Observation:
    """What one look saw. *at* is epoch seconds by our clock.

    *boot* and *bmc_boot* are opaque markers that change at each reset of the host and of the BMC
    (Redfish LastResetTime). *os* is whether an operating system was started. A component that the BMC
    does not list is Unknown, never "old".
    """

    at: float
    power: Power | Unknown = NOT_ASKED
    post: Post | Unknown = NOT_ASKED
    health: Health | Unknown = NOT_ASKED
    os: bool | Unknown = NOT_ASKED
    boot: str | Unknown = NOT_ASKED
    bmc_boot: str | Unknown = NOT_ASKED
    identity: Identity = Identity()
    components: Mapping[ComponentName, Component] = field(factory=dict, converter=frozen_map)
    settings: Mapping[str, AttributeValue] | Unknown = NOT_ASKED
    staged_settings: Mapping[str, AttributeValue] | Unknown = NOT_ASKED
    task: TaskSeen | Unknown = NOT_ASKED
    tasks: tuple[TaskSeen, ...] | Unknown = NOT_ASKED
    log: LogNews | Unknown = NOT_ASKED

    @cached_property
    def _lacks(self) -> frozenset[Lack]:
        """Why that could not be read which was asked for and could not. Every turn asks this several times."""
        values = (*_told(self), *[component.installed for component in self.components.values()])
        return frozenset([each.lack for each in values if type(each) is Unknown and each is not NOT_ASKED])

    @property
    def is_away(self) -> bool:
        """Whether something that was asked for could not be read because nobody answered."""
        return Lack.AWAY in self._lacks

    @property
    def is_busy(self) -> bool:
        """Whether something could not be read because the BMC had no time or no session for us, and is not away."""
        return Lack.BUSY in self._lacks and Lack.AWAY not in self._lacks

    @property
    def is_partial(self) -> bool:
        """Whether something that was asked for is missing.

        What a way never has, such as a boot marker, is not missing; a component that it lists no more is.
        """
        lists_less = any(
            isinstance(each.installed, Unknown) and each.installed is not NOT_ASKED for each in self.components.values()
        )
        return lists_less or not self._lacks <= {Lack.ABSENT}

    @property
    def is_blank(self) -> bool:
        """Whether nothing at all could be read."""
        told = (getattr(self, name) for name in _FIELDS if name != "identity")
        parts = (*(component.installed for component in self.components.values()), *told)
        return all(isinstance(value, Unknown) for value in parts)

    def unknowns(self) -> Iterator[Unknown]:
        """Yield what could not be read, or was not asked for."""
        for value in (*_told(self), *(component.installed for component in self.components.values())):
            if isinstance(value, Unknown):
                yield value

    def component(self, name: ComponentName) -> Component:
        """Return what is known of *name*, which may be only that nothing is."""
        return self.components.get(name, Component(name, NOT_ASKED))

    def with_more(self, more: Observation) -> Observation:
        """Return this observation completed and, where both looked, replaced by *more*."""
        news = {name: value for name in _FIELDS if (value := getattr(more, name)) is not NOT_ASKED}
        if more.identity == Identity():
            news["identity"] = self.identity
        components = {name: self._after(component) for name, component in more.components.items()}
        return evolve(self, **{**news, "at": more.at, "components": {**self.components, **components}})

    def _after(self, later: Component) -> Component:
        """Return *later* with what was read of its other bank before, where nobody asked for that again."""
        known = self.components.get(later.name)
        return later if known is None or later.spare is not NOT_ASKED else evolve(later, spare=known.spare)

    @classmethod
    def blank(cls, at: float, reason: str, look: Look, *, lack: Lack = Lack.UNREAD) -> Observation:
        """The observation of a BMC of which nothing could be read."""
        unknown = Unknown(reason, lack)
        return cls(
            at=at,
            power=unknown,
            post=unknown,
            health=unknown,
            os=unknown,
            boot=unknown,
            bmc_boot=unknown if look.bmc else NOT_ASKED,
            identity=Identity(unknown, unknown, unknown),
            components={
                name: Component(name, unknown, unknown, spare=unknown if name in look.spares else NOT_ASKED)
                for name in look.components
            },
            settings=unknown if look.settings else NOT_ASKED,
            staged_settings=unknown if look.settings else NOT_ASKED,
            task=unknown if look.task else NOT_ASKED,
            tasks=unknown if look.tasks else NOT_ASKED,
            log=unknown if look.log else NOT_ASKED,
        )


_FIELDS: tuple[str, ...] = tuple(a.name for a in fields(Observation) if a.name not in ("at", "components"))
_told: Callable[[Observation], tuple[object, ...]] = attrgetter(*_FIELDS)
