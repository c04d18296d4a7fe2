"""The FirmwareInventory as each make lists it, and what the Targets of an update mean by it.

Most list a component by its name. Some put the version into the URI, which therefore moves with every
update; list what ran before, what waits or what was uploaded beside what runs (P44); or number everything.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, unquote

from rackwave.core.bundle import Activation
from rackwave.core.identity import ComponentName

from ..host import PowerState
from ..machine import ComponentView
from ..personality import ComponentSpec, MemberSpec, Personality, Shows, WhenEmpty
from . import paths
from .unit import Unit

STAGED_SUFFIX = "-Staged"
_UNREAD = "0"  # what stands in a URI for a version that cannot be read


def members(unit: Unit) -> dict[str, dict[str, Any]]:
    """Every member of the FirmwareInventory by path."""
    found: dict[str, dict[str, Any]] = {}
    for view in unit.machine.components:
        spec = unit.machine.personality.component(view.name)
        if spec is None:
            continue
        for member in _listed_as(unit.machine.personality, spec):
            version = _version(view, member.shows)
            if version is None and member.shows is not Shows.RUNNING and member.when_empty is WhenEmpty.ABSENT:
                continue
            identity = member.identity(version or _UNREAD)
            found[f"{paths.INVENTORY}/{identity}"] = _software(unit, spec, view, member, identity, version)
    return found


def component_path(unit: Unit, view: ComponentView) -> str:
    """Where the inventory lists what runs of *view*."""
    spec = unit.machine.personality.component(view.name)
    listed = _listed_as(unit.machine.personality, spec) if spec is not None else (MemberSpec(view.name),)
    member = next(member for member in listed if member.shows is Shows.RUNNING)
    return _path(member.identity(view.version or _UNREAD))


def component_of(personality: Personality, target: str) -> ComponentSpec | None:
    """Return the component that a target of an update names, None where it names none of them.

    A target with a version in it need not be of the version that runs: the URI is the component's all the same.
    """
    path = target.rstrip("/")
    identity = unquote(path.removeprefix(paths.INVENTORY + "/")) if path.startswith(paths.INVENTORY + "/") else None
    for spec in personality.components:
        if path in spec.targets or spec.name == identity:
            return spec
        if identity is not None and any(_matches(m, identity) for m in _listed_as(personality, spec)):
            return spec
    return None


def kept_of(unit: Unit, uri: str) -> ComponentName | None:
    """Return the component of whose earlier version *uri* is the member, for a BMC that can write that again."""
    for view in unit.machine.components:
        spec = unit.machine.personality.component(view.name)
        for member in _listed_as(unit.machine.personality, spec) if spec is not None else ():
            shown = _version(view, Shows.PREVIOUS) if member.shows is Shows.PREVIOUS else None
            if shown is not None and uri == _path(member.identity(shown)):
                return view.name
    return None


def _listed_as(personality: Personality, spec: ComponentSpec) -> tuple[MemberSpec, ...]:
    if spec.members:
        return spec.members
    running = MemberSpec(spec.name)
    if not personality.rules.shows_staged:
        return (running,)
    return (running, MemberSpec(spec.name + STAGED_SUFFIX, Shows.STAGED))


def _matches(member: MemberSpec, identity: str) -> bool:
    if member.shows is Shows.STAGED and member.id.endswith(STAGED_SUFFIX):
        return False  # a view of what waits, not a component to be written
    pattern = re.escape(member.id).replace(re.escape("{version}"), "[^_/]+")
    return re.fullmatch(pattern, identity) is not None


def _version(view: ComponentView, shows: Shows) -> str | None:
    match shows:
        case Shows.RUNNING:
            return view.version
        case Shows.STAGED:
            return view.staged
        case Shows.PREVIOUS:
            return view.previous
        case Shows.UPLOADED:
            return view.uploaded or view.version


def _software(
    unit: Unit, spec: ComponentSpec, view: ComponentView, member: MemberSpec, identity: str, version: str | None
) -> dict[str, Any]:
    running = member.shows is Shows.RUNNING
    offline = running and spec.needs_host and unit.machine.power is PowerState.OFF
    state = "Enabled" if running or member.shows is Shows.UPLOADED else "StandbySpare"
    if version is None and not running:
        state = "Disabled" if member.when_empty is WhenEmpty.DISABLED else "Enabled"
        version = None if member.when_empty is WhenEmpty.DISABLED else "Not Present"
    of_bmc = view.activation is Activation.BMC_RESET
    status = {"State": "UnavailableOffline"} if offline else {"State": state, "Health": "OK"}
    related = f"{paths.MANAGERS}/{unit.manager_id}" if of_bmc else f"{paths.SYSTEMS}/{unit.system_id}"
    return {
        "@odata.id": _path(identity),
        "@odata.type": "#SoftwareInventory.v1_12_0.SoftwareInventory",
        "Id": identity,
        "Name": member.title or spec.title or f"{view.name} firmware",
        "SoftwareId": spec.software_id or view.name,
        "Version": None if offline else version,
        "Updateable": running,
        "Active": running,
        "Staged": member.shows is Shows.STAGED and view.staged is not None,
        "Manufacturer": unit.machine.personality.vendor,
        "Status": status,
        "RelatedItem": [{"@odata.id": related}],
    }


def _path(identity: str) -> str:
    return f"{paths.INVENTORY}/{quote(identity, safe=':')}"
