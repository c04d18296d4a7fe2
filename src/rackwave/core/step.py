"""The acts a plan is made of. Each carries what it expects to find; anything else makes it stale."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias

from attrs import field, frozen

from .bundle import Activation, AttributeValue, ElementKind, frozen_map
from .identity import ComponentName, Digest
from .observation import Power, Unknown


class ResetKind(StrEnum):
    """How to change a host's power; the BMC adapter maps it to a ResetType that the service allows."""

    ON = "on"
    FORCE_OFF = "force-off"
    FORCE_RESTART = "force-restart"


class Means(StrEnum):
    """By what a BMC is restarted, gentlest first; which of them a node has, its `Bmc` says."""

    REDFISH = "redfish"
    IPMI = "ipmi"
    HOST = "host"
    """A command that reaches it from its own host."""
    OUTLET = "outlet"
    """A command that cuts the node's mains: the host goes with it."""


class ImageWay(StrEnum):
    """By which way an image comes into its component."""

    PULL = "pull"
    """The BMC fetches it from our image server."""
    PUSH = "push"
    """It is sent to the BMC."""
    BANK_SWITCH = "bank-switch"
    """The machine has it in another bank of the component."""


@frozen
class WriteImage:
    """Write the image *digest* to *component*, which is *expects* now; the one step that flashes.

    *time_limit* (seconds) is how long a write of unknown outcome counts as still running.
    """

    element: str
    component: ComponentName
    version: str
    payload: str
    digest: Digest
    size: int
    activation: Activation
    time_limit: float
    expects: str
    kind: ElementKind | None = None

    @property
    def writes_bmc(self) -> bool:
        """Whether it is the BMC's own firmware; of a step that was journalled without its kind, by its activation."""
        if self.kind is None:
            return self.activation is Activation.BMC_RESET
        return self.kind is ElementKind.BMC_FIRMWARE


@frozen
class SwitchBank:
    """Have *component*, which is *expects* now, run *version* again, which its other bank still has.

    Nothing is sent but the order. Some machines switch (OpenBMC), others write the copy that they kept (iDRAC,
    HPM.1): *time_limit* (seconds) is how long that may take, and it counts as a write in all else.
    """

    element: str
    component: ComponentName
    version: str
    activation: Activation
    time_limit: float
    expects: str
    kind: ElementKind | None = None

    @property
    def writes_bmc(self) -> bool:
        """Whether it is the BMC's own firmware."""
        return self.kind is ElementKind.BMC_FIRMWARE


@frozen
class StartUpdate:
    """Have the BMC begin with the image that it holds for *component*, which is *expects* still.

    An image is held when its upload asked for that, or when the BMC waits by habit (DSP0268,
    UpdateService.StartUpdate; HPM.1, Activate firmware). From here on this is the write: *time_limit*
    (seconds) is how long it may run, and it is never sent again while its end is not known.
    """

    element: str
    component: ComponentName
    version: str
    activation: Activation
    time_limit: float
    expects: str


@frozen
class StageSettings:
    """Stage BIOS *attributes* for the next host reset; they read *expects* now."""

    element: str
    attributes: Mapping[str, AttributeValue] = field(converter=frozen_map)
    expects: Mapping[str, AttributeValue] = field(converter=frozen_map)


@frozen
class ResetHost:
    """Restart the host, or give it power, so that *elements* become effective (none: to revive it).

    *boot* is the marker of the boot that this reset ends: seeing another one proves the reset.
    """

    kind: ResetKind
    elements: tuple[str, ...]
    expects: Power
    boot: str | Unknown


@frozen
class ResetBmc:
    """Restart the BMC so that *elements* become effective (none: to revive it, for *why*).

    *boot* is the BMC's marker before it. *means* None: by whichever of its own functions answers.
    """

    elements: tuple[str, ...]
    boot: str | Unknown
    means: Means | None = None
    why: str = ""

    @property
    def revives(self) -> bool:
        """Whether it is sent because the BMC does not answer, and for no element's sake."""
        return not self.elements


_BY = {
    Means.REDFISH: "",  # as always
    Means.IPMI: " over IPMI",
    Means.HOST: " from its host",
    Means.OUTLET: " by its power outlet",
}


Write: TypeAlias = WriteImage | SwitchBank
"""The steps that bring a component another image, from us or from its own other bank."""

Flash: TypeAlias = Write | StartUpdate
"""The steps that change what a component holds, and whose end takes time and may stay unknown."""

Step: TypeAlias = Flash | StageSettings | ResetHost | ResetBmc


_RESETS = {
    ResetKind.ON: "power the host on",
    ResetKind.FORCE_OFF: "switch the host off to start it again",
    ResetKind.FORCE_RESTART: "restart the host",
}


def describe(step: Step) -> str:
    """Say in one line what *step* does."""
    match step:
        case WriteImage():
            return f"write {step.component} {step.expects or '(unreadable)'} -> {step.version}"
        case SwitchBank():
            told = f"{step.component} {step.expects or '(unreadable)'} -> {step.version}"
            return f"switch {told}, which is in its other bank"
        case StartUpdate():
            return f"begin {step.component} {step.expects or '(unreadable)'} -> {step.version}, which the BMC holds"
        case StageSettings():
            return f"stage {', '.join(f'{name}={value}' for name, value in sorted(step.attributes.items()))}"
        case ResetHost():
            what = _RESETS[step.kind]
            return f"{what} for {', '.join(step.elements)}" if step.elements else what
        case ResetBmc():
            by = _BY[step.means] if step.means is not None else ""
            return f"restart the BMC{by} {'for ' + ', '.join(step.elements) if step.elements else 'to revive it'}"
