"""The host of one machine: its power, and how far POST has come."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol, assert_never

from rackwave.core.observation import Post
from rackwave.ports import ResetKind

from .host_backend import TIMED_HOST, Flashed, HostBackend
from .personality import Timing
from .refusal import LabRefusal
from .timeline import Timeline


class PowerState(StrEnum):
    """Redfish PowerState."""

    ON = "On"
    OFF = "Off"
    POWERING_ON = "PoweringOn"
    POWERING_OFF = "PoweringOff"


class HostReset(StrEnum):
    """Redfish ResetType, as far as the lab's machines allow it."""

    ON = "On"
    FORCE_OFF = "ForceOff"
    FORCE_RESTART = "ForceRestart"
    GRACEFUL_SHUTDOWN = "GracefulShutdown"
    GRACEFUL_RESTART = "GracefulRestart"
    POWER_CYCLE = "PowerCycle"
    FULL_POWER_CYCLE = "FullPowerCycle"


RESET_OF: dict[ResetKind, HostReset] = {
    ResetKind.ON: HostReset.ON,
    ResetKind.FORCE_OFF: HostReset.FORCE_OFF,
    ResetKind.FORCE_RESTART: HostReset.FORCE_RESTART,
}


class Firmware(Protocol):
    """What the host's power and POST do to the firmware, and what the firmware decides."""

    def host_disturbed(self) -> None:
        """The host's power is being cut or the host is being reset, this instant."""

    def boot_begins(self) -> bool:
        """POST begins; return whether a staged image is to be applied in it."""

    def apply_staged(self) -> None:
        """POST has come to the point at which the staged image is in place."""

    def apply_broken_off(self) -> None:
        """POST was cut short while the staged image was being applied."""

    def boots(self) -> bool:
        """POST is at its end; return whether it succeeds."""

    def flashed(self) -> Flashed:
        """Return what the BIOS flash holds."""

    def booted(self) -> None:
        """POST succeeded."""

    def boot_failed(self) -> None:
        """POST failed."""


class Host:
    """Power and POST, driven by the machine's timeline."""

    __slots__ = (
        "_applying",
        "_boots",
        "_firmware",
        "_timeline",
        "_timing",
        "backend",
        "last_off",
        "last_post",
        "last_reset",
        "post",
        "power",
        "resets",
    )

    def __init__(
        self, timeline: Timeline, timing: Timing, firmware: Firmware, backend: HostBackend = TIMED_HOST
    ) -> None:
        self._timeline = timeline
        self._timing = timing
        self._firmware = firmware
        self._boots = 0  # which boot it is; what was planned in an earlier one no longer happens
        self._applying = False
        self.backend = backend
        # What runs by itself does not run yet; someone has to switch it on.
        self.power, self.post = (PowerState.OFF, Post.NOT_RUNNING) if backend.live else (PowerState.ON, Post.COMPLETE)
        self.last_reset = int(timeline.time) - 86_400
        """LastResetTime, in whole epoch seconds as the wire tells it; grows with each reset, however close they are."""
        self.last_post = self.last_reset + 60
        """When POST last came to its end, in whole epoch seconds; grows with each that does."""
        self.resets = 0
        self.last_off = timeline.time - 86_400
        """When its power was last switched off."""

    def reset(self, kind: HostReset) -> None:
        """Begin what *kind* asks for. What asks for the state there is, is accepted and does nothing (DSP0268).

        Raises:
            LabRefusal: the power is still changing (P35).
        """
        if self.power in (PowerState.POWERING_OFF, PowerState.POWERING_ON) and kind is not HostReset.FORCE_OFF:
            raise LabRefusal(409, f"the host is {self.power}", message_id="Base.1.18.ResourceInUse", retry_after=5)
        off = self.power is PowerState.OFF
        match kind:
            case HostReset.FORCE_OFF | HostReset.GRACEFUL_SHUTDOWN if off:
                pass
            case _ if off:
                self._power_on()
            case HostReset.ON:
                pass
            case HostReset.FORCE_RESTART:
                self._disturb()
                self._boot()
            case HostReset.FORCE_OFF:
                self._power_off(then_on=False)
            case HostReset.POWER_CYCLE | HostReset.FULL_POWER_CYCLE:
                self._power_off(then_on=True)
            case HostReset.GRACEFUL_SHUTDOWN | HostReset.GRACEFUL_RESTART:
                self._ask_to_shut_down(then_on=kind is HostReset.GRACEFUL_RESTART)
            case unknown:
                assert_never(unknown)

    def lose_power(self, *, then_on: bool) -> None:
        """Lose all power at once, whatever is going on."""
        self._power_off(then_on=then_on)

    def die(self, *, power_off: bool) -> None:
        """Hang where it stands, or lose power for good."""
        if power_off:
            self._disturb()
            self.power, self.post = PowerState.OFF, Post.NOT_RUNNING
        elif self.power is not PowerState.OFF:
            self._hang()

    def _hang(self) -> None:
        self._boots += 1
        self._break_off_apply()
        self.backend.hang()
        self.power, self.post = PowerState.ON, Post.FAILED

    def _disturb(self) -> None:
        """Whatever the host was about to do, it no longer does."""
        self._boots += 1
        self._break_off_apply()
        self.backend.cut()
        self._firmware.host_disturbed()

    def _break_off_apply(self) -> None:
        if self._applying:
            self._applying = False
            self._firmware.apply_broken_off()

    def _ask_to_shut_down(self, *, then_on: bool) -> None:
        if self.post is not Post.COMPLETE:
            return  # nobody is there to hear it; the BMC has accepted the request all the same
        self.later(self._timing.shutdown, lambda: self._power_off(then_on=then_on))

    def _power_off(self, *, then_on: bool) -> None:
        self._disturb()
        self.power, self.post = PowerState.POWERING_OFF, Post.NOT_RUNNING
        self.later(self._timing.power, lambda: self._is_off(then_on=then_on))

    def _is_off(self, *, then_on: bool) -> None:
        self.power = PowerState.OFF
        self.last_off = self._timeline.time
        if then_on:
            self._power_on()

    def _power_on(self) -> None:
        self._disturb()
        self.power, self.post = PowerState.POWERING_ON, Post.NOT_RUNNING
        self.later(self._timing.power, self._boot)

    def _boot(self) -> None:
        self._boots += 1
        self.resets += 1
        self.last_reset = max(int(self._timeline.time), self.last_reset + 1)
        self.power, self.post = PowerState.ON, Post.RUNNING
        self._applying = self._firmware.boot_begins()
        applying = min(self._timing.apply, self._timing.post) if self._applying else 0.0
        if self._applying:
            self.later(applying, self._applied)
        self.backend.boot(self, post=self._timing.post, applying=applying)

    def _applied(self) -> None:
        self._applying = False
        self._firmware.apply_staged()

    # -- what the backend says (host_backend.BootingHost) --------------------------------------

    def flashed(self) -> Flashed:
        """See ``BootingHost``."""
        return self._firmware.flashed()

    def post_ended(self, *, came_up: bool) -> None:
        """See ``BootingHost``."""
        if came_up and self._firmware.boots():
            self.post = Post.COMPLETE
            self.last_post = max(int(self._timeline.time), self.last_post + 1)
            self._firmware.booted()
        else:
            self.backend.hang()
            self.post = Post.FAILED
            self._firmware.boot_failed()

    def lost_power(self) -> None:
        """See ``BootingHost``."""
        self.die(power_off=True)

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """See ``BootingHost``."""
        boot = self._boots

        def step() -> None:
            if boot == self._boots:
                act()

        self._timeline.after(seconds, step)
