"""What a BMC refuses to do, for reasons that faults give it."""

from __future__ import annotations

from typing import assert_never

from rackwave.core.observation import Post

from .faults import (
    Armory,
    CycleUnsupported,
    InUse,
    JobPending,
    LicenceMissing,
    PowerRefused,
    PowerRefusedInTask,
    RefusedWhen,
)
from .host import Host, HostReset, PowerState
from .refusal import LabRefusal
from .timeline import Timeline

_ONLY_SWITCHES = frozenset({HostReset.ON, HostReset.FORCE_OFF})
_SWITCHES_ON = frozenset({HostReset.ON, HostReset.FORCE_RESTART, HostReset.GRACEFUL_RESTART, HostReset.POWER_CYCLE})
_SWITCHES_OFF = frozenset({HostReset.FORCE_OFF, HostReset.GRACEFUL_SHUTDOWN})


class Guard:
    """Asked before the machine does what a client wants; silent where no fault is armed."""

    __slots__ = ("_armory", "_host", "_timeline")

    def __init__(self, timeline: Timeline, armory: Armory, host: Host) -> None:
        self._timeline = timeline
        self._armory = armory
        self._host = host

    def check_update(self, *, updating: bool, settings_wait: bool) -> None:
        """Refuse an update.

        Raises:
            LabRefusal: as armed faults say.
        """
        if self._armory:
            self._check_work("update", updating=updating, settings_wait=settings_wait)

    def check_settings(self, *, updating: bool, settings_wait: bool) -> None:
        """Refuse to stage BIOS settings.

        Raises:
            LabRefusal: as armed faults say.
        """
        if self._armory:
            self._check_work("settings", updating=updating, settings_wait=settings_wait)

    def check_bmc_reset(self, *, updating: bool) -> None:
        """Refuse a restart of the BMC.

        Raises:
            LabRefusal: as armed faults say.
        """
        if updating and self._armory.first(PowerRefusedInTask, at=self._timeline.time):
            raise _in_task()

    def check_reset(self, kind: HostReset, *, updating: bool) -> None:
        """Refuse a reset of the host.

        Raises:
            LabRefusal: as armed faults say.
        """
        if not self._armory:
            return
        now = self._timeline.time
        if kind not in self.resets():
            raise LabRefusal(400, f"ResetType {kind} is not supported", message_id="Base.1.18.ActionNotSupported")
        if updating and self._armory.first(PowerRefusedInTask, at=now):
            raise _in_task()
        for fault in self._armory.in_force(PowerRefused, at=now):
            if reason := self._objection(fault, kind):
                self._armory.strike(PowerRefused, at=now)
                raise LabRefusal(fault.status, reason, message_id="Base.1.18.ResourceInUse")

    def resets(self) -> tuple[HostReset, ...]:
        """Return the resets of the host that there are."""
        if self._armory and self._armory.first(CycleUnsupported, at=self._timeline.time):
            return tuple(kind for kind in HostReset if kind in _ONLY_SWITCHES)
        return tuple(HostReset)

    def _objection(self, fault: PowerRefused, kind: HostReset) -> str:
        power = self._host.power
        match fault.when:
            case RefusedWhen.SAME_STATE:
                there = (kind is HostReset.ON and power is PowerState.ON) or (
                    kind in _SWITCHES_OFF and power is PowerState.OFF
                )
                return f"the host is {power} already" if there else ""
            case RefusedWhen.POST:
                in_post = power is PowerState.ON and self._host.post is Post.RUNNING
                return "the host is in POST" if in_post else ""
            case RefusedWhen.JUST_OFF:
                since = self._timeline.time - self._host.last_off
                just_off = power is PowerState.OFF and since < fault.seconds
                return "the host was powered off just now" if just_off and kind in _SWITCHES_ON else ""
            case unknown:
                assert_never(unknown)

    def _check_work(self, what: str, *, updating: bool, settings_wait: bool) -> None:
        now = self._timeline.time
        if self._armory.strike(LicenceMissing, at=now, path=what):
            raise LabRefusal(
                403, "this feature needs a licence that is not installed", message_id="Base.1.18.InsufficientPrivilege"
            )
        if in_use := self._armory.strike(InUse, at=now):
            raise LabRefusal(in_use.status, "the Lifecycle Controller is in use", message_id="Base.1.18.ResourceInUse")
        if updating and self._armory.first(PowerRefusedInTask, at=now):
            raise _in_task()
        waits = updating or (settings_wait and what == "settings")
        if waits and (pending := self._armory.strike(JobPending, at=now)):
            raise LabRefusal(
                pending.status,
                "pending values are already committed, a job is scheduled",
                message_id="Base.1.18.ResourceInUse",
            )


def _in_task() -> LabRefusal:
    return LabRefusal(409, "a task is running", message_id="Base.1.18.ResourceInUse", retry_after=5)
