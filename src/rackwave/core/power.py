"""Changing a host's power by hand: which acts there are, and the beats that make up what a service lacks.

A beat is one act, what is to be seen before the next one, and for how long that is waited for. A service
without PowerCycle is cycled by off, seen off, on; a shutdown that the operating system does not obey
is forced after a time only where that was asked for. No act of a beat is sent twice.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from enum import StrEnum

from attrs import frozen

from .observation import Power


class PowerAct(StrEnum):
    """What a service can be asked for, in one request."""

    ON = "on"
    FORCE_OFF = "force-off"
    SHUTDOWN = "shutdown"
    RESTART = "restart"
    FORCE_RESTART = "force-restart"
    CYCLE = "cycle"
    NMI = "nmi"
    BUTTON = "button"


class PowerWish(StrEnum):
    """What a person asks for."""

    ON = "on"
    OFF = "off"
    """At once, without asking the operating system."""
    SHUTDOWN = "shutdown"
    """By the operating system."""
    RESTART = "restart"
    """By the operating system."""
    RESET = "reset"
    """At once, without asking the operating system."""
    CYCLE = "cycle"
    """Off and on again, so that power is really gone."""
    NMI = "nmi"
    BUTTON = "button"


OFF_WITHIN = 60.0
"""Seconds for a host to be seen off once its power is cut; hardware takes 2 to 15, the telling some more."""

ON_WITHIN = 120.0
"""Seconds for a host to be seen on. P42: some say Off for a while though it runs."""

SHUTDOWN_WITHIN = 600.0
"""Seconds for an operating system to shut down where nobody set a limit: databases take minutes."""


@frozen
class Beat:
    """Send *act*, then wait for *within* seconds until the power is *until* (None: nothing is waited for).

    It is sent though *until* is so already, for some say Off of a host that runs (P42); a refusal is then as
    good as yes (P35). *forced* is sent once where the wait was in vain; None: that is a failure.
    """

    act: PowerAct
    until: Power | None = None
    within: float = 0.0
    forced: PowerAct | None = None


@frozen
class Lacking:
    """The service cannot do it, not by any sequence either."""

    why: str


_OFF = Beat(PowerAct.FORCE_OFF, Power.OFF, OFF_WITHIN)
_ON = Beat(PowerAct.ON, Power.ON, ON_WITHIN)
_ONE = {
    PowerWish.ON: _ON,
    PowerWish.OFF: _OFF,
    PowerWish.NMI: Beat(PowerAct.NMI),
    PowerWish.BUTTON: Beat(PowerAct.BUTTON),
}


def beats(
    wish: PowerWish, can: AbstractSet[PowerAct] | None, power: Power, *, force_after: float | None = None
) -> tuple[Beat, ...] | Lacking:
    """Return the beats that fulfil *wish* on a host whose power is *power*.

    Args:
        wish: What is asked for.
        can: The acts that the service has; None: it does not say.
        power: As it was just seen.
        force_after: Seconds after which an operating system that does not obey is not asked any longer.
    """
    if wish is PowerWish.RESTART and power is Power.OFF:
        return Lacking("the host is off, so that there is no operating system to restart")
    found = _beats(wish, can, power, force_after)
    lacking = next((beat.act for beat in found if can is not None and beat.act not in can), None)
    if lacking is not None:
        return Lacking(f"the BMC has no {lacking}; it has {', '.join(sorted(can or ())) or 'no power acts'}")
    return found


def _beats(
    wish: PowerWish, can: AbstractSet[PowerAct] | None, power: Power, force_after: float | None
) -> tuple[Beat, ...]:
    if wish in _ONE:
        return (_ONE[wish],)
    forced = None if force_after is None else PowerAct.FORCE_OFF
    shutdown = Beat(PowerAct.SHUTDOWN, Power.OFF, SHUTDOWN_WITHIN if force_after is None else force_after, forced)
    if wish is PowerWish.SHUTDOWN:
        return (shutdown,)
    if wish is PowerWish.RESTART:
        # Whether a graceful restart was obeyed cannot be seen of the power; a shutdown can.
        has_restart = can is None or PowerAct.RESTART in can
        return (Beat(PowerAct.RESTART),) if has_restart and force_after is None else (shutdown, _ON)
    if power is Power.OFF:  # a reset or a cycle
        return (_ON,)
    fitting = (PowerAct.FORCE_RESTART, PowerAct.CYCLE) if wish is PowerWish.RESET else (PowerAct.CYCLE,)
    one = next((act for act in fitting if can is None or act in can), None)
    return (_OFF, _ON) if one is None else (Beat(one),)
