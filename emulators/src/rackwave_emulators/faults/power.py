"""What happens to power, resets and the BMC itself."""

from __future__ import annotations

from enum import StrEnum

from attrs import field, frozen, validators

from rackwave.core.observation import Health

from .fault import Fault, Label, duration, refusing_status


class RevivedBy(StrEnum):
    """What brings a dead host back.

    A restart; a restart after its BIOS was written again; a restart once the BIOS has another
    version than the one it died with; nothing.
    """

    RESTART = "restart"
    REFLASH = "reflash"
    PRIOR = "prior"
    NEVER = "never"


class RefusedWhen(StrEnum):
    """When a reset of the host is refused: in the state asked for already, during POST, just after power-off."""

    SAME_STATE = "same-state"
    POST = "post"
    JUST_OFF = "just-off"


class SaysPower(StrEnum):
    """What a BMC says of the power, whatever it is."""

    ON = "On"
    OFF = "Off"


@frozen(kw_only=True)
class BadHealth(Fault):
    """While *component* runs a version that matches *version* the machine is not well: the bundle's own fault.

    Always in force, so *count* and *chance* mean nothing here. *boots* false: the host does not even POST
    on it, so that an update that was Completed proves nothing (P49).
    """

    id = "bad-health"
    story = "a version makes every machine that runs it unwell; or it does not boot, long after its update succeeded"
    label = Label.MACHINE
    pathologies = ("P49",)

    component: str = "BIOS"
    version: str = "*"
    level: Health = field(default=Health.CRITICAL, validator=validators.in_([Health.WARNING, Health.CRITICAL]))
    boots: bool = True


@frozen(kw_only=True)
class HostDead(Fault):
    """The host hangs: POST failed, health Critical, power still on unless *power_off*.

    *blind*: what a BMC learns from its host (BIOS version and settings, versions of devices) cannot be
    read while it is dead; updates work all the same.
    """

    id = "host-dead"
    story = "the host dies and comes back by restart, by reflash, on another version, or never"
    label = Label.MACHINE
    pathologies = ("P41",)
    acts = True

    revived_by: RevivedBy = RevivedBy.RESTART
    power_off: bool = False
    blind: bool = False


@frozen(kw_only=True)
class PowerRefused(Fault):
    """Resets of the host are refused with *status*, *when* its state is the wrong one.

    *seconds* is how long "just off" lasts.
    """

    id = "power-refused"
    story = "409 on power-on just after power-off, 400 or 409 in that state already, refused during POST"
    label = Label.MACHINE
    pathologies = ("P35",)

    count: int | None = None
    when: RefusedWhen = RefusedWhen.JUST_OFF
    status: int = field(default=409, validator=refusing_status)
    seconds: float = field(default=10.0, validator=duration)


@frozen(kw_only=True)
class BmcFlaps(Fault):
    """After its next restart the BMC answers for *up* seconds and is gone for *down*, *times* over."""

    id = "bmc-flaps"
    story = "one good answer after a BMC reset proves nothing: it flaps"
    label = Label.MACHINE
    pathologies = ("P36",)

    times: int = field(default=2, validator=[validators.ge(1), validators.le(1000)])
    up: float = field(default=5.0, validator=validators.gt(0.0))
    down: float = field(default=20.0, validator=validators.gt(0.0))


@frozen(kw_only=True)
class AcStays(Fault):
    """A full power cycle is accepted and power is not cut: the twin beside it holds the chassis up."""

    id = "ac-stays"
    story = "an AC drain is accepted and cuts no power, as on twin chassis"
    label = Label.MACHINE
    pathologies = ("P37",)

    count: int | None = None


@frozen(kw_only=True)
class Lockdown(Fault):
    """A restart of the BMC is accepted and does not happen."""

    id = "lockdown"
    story = "'mc reset cold' reports success under lockdown and nothing happens"
    label = Label.MACHINE
    pathologies = ("P38",)

    count: int | None = None


@frozen(kw_only=True)
class FactoryReset(Fault):
    """The BMC restarts as from the factory: account *username* with *password* alone, no tasks, another certificate.

    A real one would also ask DHCP for another address; the lab's keep theirs.
    """

    id = "factory-reset"
    story = "the flash factory-resets the BMC: accounts gone, certificate new"
    label = Label.MACHINE
    pathologies = ("P40",)
    acts = True

    username: str = field(default="ADMIN", validator=validators.min_len(1))
    password: str = field(default="ADMIN", validator=validators.min_len(1))


@frozen(kw_only=True)
class PowerLies(Fault):
    """PowerState is told as *says*, whatever the host does."""

    id = "power-lies"
    story = "PowerState says Off while the host runs"
    label = Label.MACHINE
    pathologies = ("P42",)

    count: int | None = None
    says: SaysPower = SaysPower.OFF


@frozen(kw_only=True)
class CycleUnsupported(Fault):
    """Of all resets there are only On and ForceOff."""

    id = "cycle-unsupported"
    story = "restart and cycle are not supported, only On and ForceOff"
    label = Label.MACHINE
    pathologies = ("P42",)

    count: int | None = None
