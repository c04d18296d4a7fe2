"""The faults of one machine in time: when they wake, when they act, and what is then done to it."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from functools import partial

from rackwave.core.identity import ComponentName, Digest

from .access import Access, Account
from .controller import Controller
from .faults import (
    Armory,
    Certificate,
    CertificateChanges,
    ClockOff,
    FactoryReset,
    Fault,
    HostDead,
    Moment,
    RogueWriter,
    SessionsExpire,
    SessionsTaken,
)
from .host import Host
from .images import ImageFacts
from .mortality import Mortality
from .personality import Personality
from .refusal import LabRefusal
from .timeline import Timeline
from .updates import Updates


class Troubles:
    """Does what faults do that need no occasion. *restart_bmc* restarts the BMC, which then knows no task."""

    __slots__ = (
        "_access",
        "_armory",
        "_controller",
        "_host",
        "_mortality",
        "_personality",
        "_restart_bmc",
        "_timeline",
        "_updates",
    )

    def __init__(
        self,
        timeline: Timeline,
        armory: Armory,
        *,
        personality: Personality,
        host: Host,
        updates: Updates,
        mortality: Mortality,
        access: Access,
        controller: Controller,
        restart_bmc: Callable[[], None],
    ) -> None:
        self._timeline = timeline
        self._armory = armory
        self._personality = personality
        self._host = host
        self._updates = updates
        self._mortality = mortality
        self._access = access
        self._controller = controller
        self._restart_bmc = restart_bmc

    def arm(self, fault: Fault) -> None:
        """Take up *fault*."""
        for acting in self._armory.arm(fault, at=self._timeline.time):
            self._will_act(acting)
        if fault.at is Moment.NOW:
            self._note_changes(fault)

    def wake(self, moment: Moment, *, method: str = "", path: str = "") -> bool:
        """Tell the faults that wait for *moment* that it has come; return whether any did."""
        woken = self._armory.wake(moment, at=self._timeline.time, method=method, path=path)
        for fault in woken:
            if fault.acts:
                self._will_act(fault)
            else:
                self._note_changes(fault)
        return bool(woken)

    def _note_changes(self, fault: Fault) -> None:
        """Have what was rendered for a face rendered anew when *fault* comes into force, and when it is over."""
        if fault.after > 0:
            self._timeline.after(fault.after, _nothing)
        if fault.lasts is not None:
            self._timeline.after(fault.after + fault.lasts, _nothing)

    def _will_act(self, fault: Fault) -> None:
        self._timeline.after(fault.after, partial(self._perform, fault))

    def _perform(self, fault: Fault) -> None:
        match fault:
            case HostDead():
                self._mortality.die(fault)
                self._host.die(power_off=fault.power_off)
            case SessionsTaken():
                self._access.crowd()
            case SessionsExpire():
                self._access.end_sessions()
            case CertificateChanges():
                self._controller.change_certificate(fault.to)
            case ClockOff():
                self._controller.clock_offset += fault.seconds
            case FactoryReset():
                self._access.reset_to_factory(Account(fault.username, fault.password))
                self._controller.change_certificate(Certificate.SELF_SIGNED)
                self._restart_bmc()
            case RogueWriter():
                self._write_as_another(fault)
            case _:
                raise TypeError(f"nobody does {fault.id}")  # a fault with acts and no act is a bug of the lab's

    def _write_as_another(self, fault: RogueWriter) -> None:
        if self._controller.away:
            return
        spec = self._personality.component(fault.component)
        component = ComponentName(fault.component) if spec is None else spec.name
        name = f"{fault.component.lower()}-{fault.version}.rogue"
        digest = Digest("sha256:" + hashlib.sha256(name.encode()).hexdigest())
        source = "push" if self._personality.rules.push else "pull"
        with contextlib.suppress(LabRefusal):  # the BMC is busy; who cares, says the rogue
            task = self._updates.begin(component, name, source=source, attempt="")
            facts = ImageFacts(component, fault.version, digest, 0)
            self._updates.received(task, facts, error="", resets=fault.resets)


def _nothing() -> None:
    """Let time pass a moment at which what is shown changes."""
