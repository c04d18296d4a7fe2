"""How closely the fleet is watched, and what the watch may do by itself: every default with its reason."""

from __future__ import annotations

from typing import Any

from attrs import Attribute, field, frozen

from ..errors import UsageError

DEAD = ("recover", "report")
OFF = ("recover", "leave")
DRIFT = ("report", "reassert")


def _choice(*choices: str) -> Any:
    def check(_policy: WatchPolicy, attribute: Attribute[Any], value: object) -> None:
        if value not in choices:
            raise UsageError(f"{attribute.name} is {value!r}", advice=f"Choose one of {', '.join(choices)}.")

    return check


def _seconds(_policy: WatchPolicy, attribute: Attribute[Any], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 86_400:  # NaN neither
        raise UsageError(f"{attribute.name} is {value!r}", advice="It takes a number of seconds, from 1 to 86400.")


def _flag(_policy: WatchPolicy, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, bool):
        raise UsageError(f"{attribute.name} is {value!r}", advice="It takes true or false.")


def _count(_policy: WatchPolicy, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UsageError(f"{attribute.name} is {value!r}", advice="It takes a whole number, 1 or more.")


@frozen(kw_only=True)
class WatchPolicy:
    """The knobs of the watch; times in seconds.

    Attributes:
        soonest: Between two looks at a node of which something has just changed, or that must be looked at again
            before anything is done. Two looks of one hiccup would say the same; 15 s outlast most.
        latest: Between two looks at a node of which nothing changes: how late a death may be seen that no BMC tells
            of by itself. At 5 minutes a node costs about 12 looks an hour.
        read_every: How old the reading of versions and settings may be. It costs several times the requests of a
            look at power and health, and nothing in a rack changes them by the minute.
        dead: ``recover``: a host that died gets its assigned bundle again; ``report``: it is only told.
        dead_after: How long a host must have been dead, without a look that found otherwise, before it counts. One
            that somebody restarts is off or without health for a while: a power cycle takes 10 to 30 s, one that
            cuts the standby power too about a minute.
        off: What a host counts as that is off and was not switched off through rackwave: ``recover``, dead;
            ``leave``, switched off by somebody who will know why.
        drift: ``report``: what differs from the assigned bundle is only told; ``reassert``: it is written again.
            That restarts hosts that run, so it is to be asked for.
        at_once: Nodes on which drift is mended at the same time. They run until then: were a whole rack found
            to differ, it must not go down as a whole. Dead ones have nothing to lose and are not counted.
        listen: Whether BMCs that tell of news by themselves are listened to. A stream of events keeps a connection
            a node open, some 120 KiB; without it a death is seen at the next look.
    """

    soonest: float = field(default=15.0, validator=_seconds)
    latest: float = field(default=300.0, validator=_seconds)
    read_every: float = field(default=3600.0, validator=_seconds)
    dead: str = field(default="recover", validator=_choice(*DEAD))
    dead_after: float = field(default=60.0, validator=_seconds)
    off: str = field(default="recover", validator=_choice(*OFF))
    drift: str = field(default="report", validator=_choice(*DRIFT))
    at_once: int = field(default=1, validator=_count)
    listen: bool = field(default=True, validator=_flag)

    def __attrs_post_init__(self) -> None:
        if self.latest < self.soonest:
            raise UsageError(
                f"latest is {self.latest:g} and soonest {self.soonest:g}",
                advice="The longest time between two looks is not below the shortest.",
            )
