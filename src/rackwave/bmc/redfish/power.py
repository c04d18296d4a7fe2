"""What a ComputerSystem says of power, POST and health, and how to ask it for a reset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from attrs import evolve

from ...core.observation import Health, Identity, Lack, Observation, Post, Power, Unknown
from ...ports import ResetKind
from ..quirks import BootMarker, PostWitness, Quirks
from .document import Document, dig, strings, text

_POWER = {"On": Power.ON, "Off": Power.OFF, "PoweringOn": Power.CHANGING, "PoweringOff": Power.CHANGING}

_POST = {
    "None": Post.NOT_RUNNING,  # "the system is not booting" (DSP2046)
    "PrimaryProcessorInitializationStarted": Post.RUNNING,
    "BusInitializationStarted": Post.RUNNING,
    "MemoryInitializationStarted": Post.RUNNING,
    "SecondaryProcessorInitializationStarted": Post.RUNNING,
    "PCIResourceConfigStarted": Post.RUNNING,
    "SetupEntered": Post.RUNNING,  # it waits for a person in the setup utility
    "SystemHardwareInitializationComplete": Post.COMPLETE,  # recorded on an X13 whose OS has long run
    "OSBootStarted": Post.COMPLETE,
    "OSRunning": Post.COMPLETE,
}

_RESET_TYPES: Mapping[ResetKind, tuple[str, ...]] = {
    ResetKind.ON: ("On", "ForceOn"),
    ResetKind.FORCE_OFF: ("ForceOff",),
    ResetKind.FORCE_RESTART: ("ForceRestart", "PowerCycle"),
}
"""In order of preference. Nothing graceful and no PushPowerButton: what they do depends on the OS."""

BMC_RESET_TYPES = ("GracefulRestart", "ForceRestart")
"""In order of preference; iDRAC and Supermicro know only the first."""


def with_system(
    seen: Observation, system: Document, quirks: Quirks, asked: Document | Unknown | None = None
) -> Observation:
    """Return *seen* with what a ComputerSystem document tells; *asked* is what else was asked how far POST is."""
    power = power_state(system)
    how_far = post(system, power, quirks.post, asked)
    return evolve(
        seen,
        power=power,
        post=how_far,
        health=health(system),
        os=os_started(system, power, None if quirks.post is None else how_far),
        boot=boot_marker(system, quirks.boot_marker, how_far),
        identity=Identity(
            vendor=text(system, "Manufacturer") or Unknown("the system has no Manufacturer", Lack.ABSENT),
            model=text(system, "Model") or Unknown("the system has no Model", Lack.ABSENT),
            serial=text(system, "SerialNumber") or Unknown("the system has no SerialNumber", Lack.ABSENT),
        ),
    )


def power_state(system: Document) -> Power | Unknown:
    """Read PowerState."""
    word = text(system, "PowerState")
    if word is None:
        return Unknown("the system has no PowerState", Lack.ABSENT)
    return _POWER.get(word) or Unknown(f"PowerState is {word}")


def needs_asking(system: Document, witness: PostWitness | None) -> bool:
    """Whether how far POST is must be asked of something else than the ComputerSystem."""
    if witness is None or not witness.action or power_state(system) is Power.OFF:
        return False
    return text(system, "BootProgress", "LastState") not in _POST


def post(
    system: Document,
    power: Power | Unknown,
    witness: PostWitness | None = None,
    asked: Document | Unknown | None = None,
) -> Post | Unknown:
    """How far the host has come, as honestly as the service allows.

    No power, no POST, whatever BootProgress still holds from before. Where BootProgress is missing, or has a
    word of the maker's own, a quirk's *witness* may know another place (iDRAC 9, iLO, XCC). Without either
    nothing is said of a host that is on, but for Status.State ``Starting``: that it is ``Enabled`` is true of
    one that hangs in POST, too.
    """
    if power is Power.OFF:
        return Post.NOT_RUNNING
    progress = text(system, "BootProgress", "LastState")
    if progress in _POST:
        return _POST[progress]
    if witness is not None:
        if isinstance(asked, Unknown):
            return asked
        word = text(system if asked is None else asked, *witness.property.split("."))
        if word is not None:
            return witness.words.get(word) or Unknown(f"{witness.property} is {word}")
    if progress is not None:
        return Unknown(f"BootProgress is {progress}")
    if text(system, "Status", "State") == "Starting":
        return Post.RUNNING
    return Unknown("the service has no BootProgress", Lack.ABSENT)


def boot_marker(system: Document, marker: BootMarker | None, how_far: Post | Unknown) -> str | Unknown:
    """What is another after each boot: LastResetTime, else what a quirk knows.

    A marker that is late still names the last boot that came through while the next is in POST. That one is
    told as the one after it, or a boot that hangs in POST could never be seen to have begun.
    """
    told = text(system, "LastResetTime")
    if told is None and marker is not None:
        path = marker.property.split(".")
        found = dig(system, *path)
        told = str(found) if type(found) is int else text(system, *path)
        if told is not None and marker.late and how_far in (Post.RUNNING, Post.FAILED):
            told = f"after {told}"
    return told or Unknown("the system has no LastResetTime", Lack.ABSENT)


def os_started(system: Document, power: Power | Unknown, witnessed: Post | Unknown | None = None) -> bool | Unknown:
    """Whether an operating system was started, by BootProgress, or by how far a quirk's witness saw POST.

    In POST none runs. After it one may: a service that tells POST alone leaves that unknown, and is not
    said to lack it, so that no other way is asked at each look for what decides so little.
    """
    if power is Power.OFF:
        return False
    word = text(system, "BootProgress", "LastState")
    if word not in _POST and isinstance(witnessed, Post):
        return Unknown("the service tells POST alone") if witnessed is Post.COMPLETE else False
    if word is None:
        return Unknown("the service has no BootProgress", Lack.ABSENT)
    return word in ("OSBootStarted", "OSRunning") if word in _POST else Unknown(f"BootProgress is {word}")


def health(system: Document) -> Health | Unknown:
    """Read Status.Health: the system's own, not the roll-up, which one bad fan turns critical."""
    match text(system, "Status", "Health"):
        case "OK":
            return Health.OK
        case "Warning":
            return Health.WARNING
        case "Critical":
            return Health.CRITICAL
        case None:
            return Unknown("it has no Status.Health", Lack.ABSENT)
        case word:
            return Unknown(f"Status.Health is {word}")


def reset_type(kind: ResetKind, allowed: tuple[str, ...] | None) -> str | None:
    """The service's word for *kind*; None where it has none (P42). *allowed* None: it does not say."""
    return choose(_RESET_TYPES[kind], allowed)


def choose(wanted: tuple[str, ...], allowed: tuple[str, ...] | None) -> str | None:
    """The first of *wanted* that is *allowed*; the first of all where the service does not say."""
    if allowed is None:
        return wanted[0]
    return next((word for word in wanted if word in allowed), None)


def reached(kind: ResetKind, power: Power | Unknown) -> bool:
    """Whether *power* is what *kind* asks for, so that a refusal may mean "already so" (P35)."""
    match kind:
        case ResetKind.ON:
            return power is Power.ON
        case ResetKind.FORCE_OFF:
            return power is Power.OFF
        case ResetKind.FORCE_RESTART:
            return False
        case _:
            assert_never(kind)


def allowed_values(action: Document, parameter: str) -> tuple[str, ...] | None:
    """An action's AllowableValues for *parameter*, as annotated; None where there are none."""
    return strings(action, f"{parameter}@Redfish.AllowableValues") or None


def allowed_by_info(info: Document, parameter: str) -> tuple[str, ...] | None:
    """The same from an ActionInfo resource."""
    parameters = info.get("Parameters")
    for entry in parameters if isinstance(parameters, list) else ():
        if text(entry, "Name") == parameter:
            return strings(entry, "AllowableValues") or None
    return None
