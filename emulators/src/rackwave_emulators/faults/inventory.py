"""What the inventory tells, and does not."""

from __future__ import annotations

from enum import StrEnum

import attrs
from attrs import field, frozen, validators

from .fault import ComponentFault, Fault, Label, duration


class Doubles(StrEnum):
    """How one component has other than one entry (P44).

    Entries Current, Installed and Previous of each; identical parts as one; the image that waits for its
    reset listed like one that runs.
    """

    TRIO = "trio"
    COLLAPSED = "collapsed"
    STAGED = "staged"


class Expand(StrEnum):
    """What ``$expand`` does: nothing, or it leaves the last member out, though the root offers it."""

    IGNORED = "ignored"
    SHORT = "short"


def _has_version(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if "{version}" not in value:
        raise ValueError(f"{attribute.name} must be a text with {{version}} in it")


@frozen(kw_only=True)
class InventoryLags(ComponentFault):
    """For *seconds* after an image became what runs, the inventory still tells the old version."""

    id = "inventory-lags"
    story = "the inventory shows the old version for a while after activation"
    label = Label.MACHINE
    pathologies = ("P46", "P48")

    seconds: float = field(default=120.0, validator=duration)


@frozen(kw_only=True)
class OddVersions(ComponentFault):
    """Versions are told in a *notation* of the vendor's own, so that neither equality nor order can be seen."""

    id = "odd-versions"
    story = "version strings do not compare, or the newer sorts lower"
    label = Label.MACHINE
    pathologies = ("P43",)

    count: int | None = None
    component: str = "BIOS"
    notation: str = field(default="U32 v{version} (05/21/2018)", validator=_has_version)


@frozen(kw_only=True)
class InventoryDoubles(Fault):
    """Components have several entries, or share one."""

    id = "inventory-doubles"
    story = "entries Current, Installed, Previous of one component; identical parts as one; the staged as if it ran"
    label = Label.WIRE
    pathologies = ("P44",)

    count: int | None = None
    how: Doubles = Doubles.TRIO


@frozen(kw_only=True)
class VersionsNeedHost(ComponentFault):
    """Versions are null until the host has booted; NetworkAdapters answers 400 while it is off."""

    id = "versions-need-host"
    story = "NIC versions are null until the host is up; NetworkAdapters answers 400 while it is off"
    label = Label.MACHINE
    pathologies = ("P45",)

    count: int | None = None
    component: str = "NIC"


@frozen(kw_only=True)
class CollectionsPaged(Fault):
    """Collections come *size* members at a time, with ``Members@odata.nextLink``."""

    id = "collections-paged"
    story = "collections are paged, a few members at a time"
    label = Label.WIRE
    pathologies = ("P47",)

    count: int | None = None
    size: int = field(default=1, validator=validators.ge(1))


@frozen(kw_only=True)
class ExpandLies(Fault):
    """The root offers ``$expand``, which does not do what it should."""

    id = "expand-lies"
    story = "$expand is offered, and ignored or short of a member"
    label = Label.WIRE
    pathologies = ("P47",)

    count: int | None = None
    how: Expand = Expand.IGNORED
