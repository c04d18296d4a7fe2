"""Redfish resources as views of a machine: every function returns one resource's JSON object.

They follow DMTF's schemas; what a make of BMC leaves out is asked of its personality's rules.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from rackwave.core.bundle import Activation
from rackwave.core.observation import Health, Post

from ..bios import Attribute, AttributeType
from ..host import HostReset, PowerState
from ..machine import ComponentView, Machine
from ..updates import MachineTask, TaskMessage
from . import paths
from .sessions import Session
from .unit import Unit

REGISTRY_ID = "RackwaveBiosRegistry.v1_0_0"
STAGED_SUFFIX = "-Staged"


_HEALTH = {Health.OK: "OK", Health.WARNING: "Warning", Health.CRITICAL: "Critical"}
# A host that hangs in POST stands where it stood: the state does not say "failed", the health does.
_PROGRESS = {
    Post.NOT_RUNNING: "None",
    Post.RUNNING: "MemoryInitializationStarted",
    Post.COMPLETE: "OSRunning",
    Post.FAILED: "SystemHardwareInitializationComplete",
}
_STATE = {PowerState.ON: "Enabled", PowerState.OFF: "Disabled"}


def moment(seconds: float) -> str:
    """Write epoch *seconds* as Redfish dates are written."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def link(path: str) -> dict[str, str]:
    """Refer to *path*."""
    return {"@odata.id": path}


def system_path(unit: Unit) -> str:
    """Return where the unit's one system is."""
    return f"{paths.SYSTEMS}/{unit.system_id}"


def manager_path(unit: Unit) -> str:
    """Return where the unit's one manager is."""
    return f"{paths.MANAGERS}/{unit.manager_id}"


def component_path(name: str) -> str:
    """Return where the inventory lists the component called *name*."""
    return f"{paths.INVENTORY}/{quote(name, safe='')}"


def collection(path: str, kind: str, members: Iterable[str]) -> dict[str, Any]:
    """Build a resource collection."""
    found = [link(member) for member in members]
    return {
        "@odata.id": path,
        "@odata.type": f"#{kind}Collection.{kind}Collection",
        "Name": f"{kind} Collection",
        "Members@odata.count": len(found),
        "Members": found,
    }


def versions() -> dict[str, Any]:
    """What /redfish says: which versions of the protocol there are."""
    return {"v1": f"{paths.ROOT}/"}


def root(unit: Unit) -> dict[str, Any]:
    """The service root, readable without authentication."""
    return {
        "@odata.id": paths.ROOT,
        "@odata.type": "#ServiceRoot.v1_15_0.ServiceRoot",
        "Id": "RootService",
        "Name": f"{unit.name} Root Service",
        "RedfishVersion": "1.18.0",
        "UUID": unit.uuid,
        "Vendor": unit.machine.personality.vendor,
        "Product": unit.machine.personality.model,
        "ProtocolFeaturesSupported": {
            "ExpandQuery": {"ExpandAll": False, "Levels": False, "Links": False, "NoLinks": False},
            "FilterQuery": False,
            "SelectQuery": False,
        },
        "Systems": link(paths.SYSTEMS),
        "Managers": link(paths.MANAGERS),
        "Chassis": link(paths.CHASSIS),
        "UpdateService": link(paths.UPDATE_SERVICE),
        "Tasks": link(paths.TASK_SERVICE),
        "SessionService": link(paths.SESSION_SERVICE),
        "Registries": link(paths.REGISTRIES),
        "CertificateService": link(paths.CERTIFICATES),
        "Links": {"Sessions": link(paths.SESSIONS)},
    }


def session_service(timeout: float) -> dict[str, Any]:
    """The SessionService."""
    return {
        "@odata.id": paths.SESSION_SERVICE,
        "@odata.type": "#SessionService.v1_1_8.SessionService",
        "Id": "SessionService",
        "Name": "Session Service",
        "ServiceEnabled": True,
        "SessionTimeout": int(timeout),
        "Status": {"State": "Enabled", "Health": "OK"},
        "Sessions": link(paths.SESSIONS),
    }


def session(of: Session) -> dict[str, Any]:
    """One session; its token is told only once, in the answer to the login."""
    return {**paths.session_body(of.id, of.username), "CreatedTime": moment(of.opened)}


def system(unit: Unit) -> dict[str, Any]:
    """The ComputerSystem."""
    machine, path = unit.machine, system_path(unit)
    rules, health = machine.personality.rules, _HEALTH[machine.health]
    told: dict[str, Any] = {
        "@odata.id": path,
        "@odata.type": "#ComputerSystem.v1_20_0.ComputerSystem",
        "Id": unit.system_id,
        "Name": unit.name,
        "SystemType": "Physical",
        "Manufacturer": machine.personality.vendor,
        "Model": machine.personality.model,
        "SerialNumber": machine.serial,
        "UUID": unit.uuid,
        "HostName": unit.name,
        "PowerState": machine.power.value,
        "Status": {"State": _STATE.get(machine.power, "Starting"), "Health": health, "HealthRollup": health},
        "IndicatorLED": unit.indicator(),
        "Boot": unit.boot(),
        "Bios": link(f"{path}/Bios"),
        "EthernetInterfaces": link(f"{path}/EthernetInterfaces"),
        "SecureBoot": link(f"{path}/SecureBoot"),
        "Storage": link(f"{path}/Storage"),
        "VirtualMedia": link(f"{path}/VirtualMedia"),
        "Links": {"ManagedBy": [link(manager_path(unit))], "Chassis": [link(f"{paths.CHASSIS}/{unit.uuid}")]},
        "Actions": {
            "#ComputerSystem.Reset": {
                "target": f"{path}/Actions/ComputerSystem.Reset",
                "ResetType@Redfish.AllowableValues": [kind.value for kind in HostReset],
            }
        },
    }
    bios = component(machine, "BIOS")
    if bios is not None:
        told["BiosVersion"] = bios.version
    if rules.boot_progress:
        told["BootProgress"] = {"LastState": _PROGRESS[machine.post]}
    if rules.last_reset_time:
        told["LastResetTime"] = moment(machine.last_reset)
    return told


def manager(unit: Unit) -> dict[str, Any]:
    """The Manager, which is the BMC itself; its clock may be wrong (P33)."""
    machine, path = unit.machine, manager_path(unit)
    bmc = component(machine, "BMC")
    told: dict[str, Any] = {
        "@odata.id": path,
        "@odata.type": "#Manager.v1_19_0.Manager",
        "Id": unit.manager_id,
        "Name": f"{unit.name} BMC",
        "ManagerType": "BMC",
        "UUID": unit.uuid,
        "Model": machine.personality.model,
        "FirmwareVersion": bmc.version if bmc is not None else None,
        "DateTime": moment(machine.time + unit.clock_offset),
        "DateTimeLocalOffset": "+00:00",
        "PowerState": "On",
        "Status": {"State": "Enabled", "Health": "OK"},
        "VirtualMedia": link(f"{system_path(unit)}/VirtualMedia"),
        "Links": {
            "ManagerForServers": [link(system_path(unit))],
            "ManagerForChassis": [link(f"{paths.CHASSIS}/{unit.uuid}")],
        },
        "Actions": {
            "#Manager.Reset": {
                "target": f"{path}/Actions/Manager.Reset",
                "ResetType@Redfish.AllowableValues": ["ForceRestart", "GracefulRestart"],
            }
        },
    }
    if machine.personality.rules.last_reset_time:
        told["LastResetTime"] = moment(machine.bmc_last_reset + unit.clock_offset)
    return told


def update_service(unit: Unit) -> dict[str, Any]:
    """The UpdateService, with the ways in that this make has."""
    rules = unit.machine.personality.rules
    told: dict[str, Any] = {
        "@odata.id": paths.UPDATE_SERVICE,
        "@odata.type": "#UpdateService.v1_14_0.UpdateService",
        "Id": "UpdateService",
        "Name": "Update Service",
        "ServiceEnabled": True,
        "MaxImageSizeBytes": unit.image_limit,
        "VerifyRemoteServerCertificate": unit.verifies_remote,
        "FirmwareInventory": link(paths.INVENTORY),
        "Status": {"State": "Updating" if unit.machine.updating else "Enabled", "Health": "OK"},
        "Actions": {},
    }
    if rules.pull:
        told["Actions"]["#UpdateService.SimpleUpdate"] = {
            "target": paths.SIMPLE_UPDATE,
            "TransferProtocol@Redfish.AllowableValues": ["HTTP", "HTTPS"],
        }
    if rules.push:
        told["HttpPushUri"] = paths.PUSH
        told["MultipartHttpPushUri"] = paths.MULTIPART_PUSH
    return told


def component(machine: Machine, name: str) -> ComponentView | None:
    """Return the component called *name* as the inventory tells it."""
    return next((view for view in machine.components if view.name == name), None)


def inventory_members(unit: Unit) -> dict[str, dict[str, Any]]:
    """Every member of the FirmwareInventory by path; an image that waits for its reset has one of its own (P44)."""
    shows_staged = unit.machine.personality.rules.shows_staged
    found: dict[str, dict[str, Any]] = {}
    for view in unit.machine.components:
        found[f"{paths.INVENTORY}/{view.name}"] = _software(unit, view, view.name, view.version)
        if shows_staged and view.staged is not None:
            member = _software(unit, view, view.name + STAGED_SUFFIX, view.staged)
            member.update(Active=False, Staged=True, Updateable=False, Status={"State": "StandbySpare", "Health": "OK"})
            found[f"{paths.INVENTORY}/{view.name}{STAGED_SUFFIX}"] = member
    return found


def _software(unit: Unit, view: ComponentView, identity: str, version: str | None) -> dict[str, Any]:
    of_bmc = view.activation is Activation.BMC_RESET
    return {
        "@odata.id": component_path(identity),
        "@odata.type": "#SoftwareInventory.v1_12_0.SoftwareInventory",
        "Id": identity,
        "Name": f"{view.name} firmware",
        "SoftwareId": view.name,
        "Version": version,
        "Updateable": True,
        "Active": True,
        "Staged": False,
        "Manufacturer": unit.machine.personality.vendor,
        "Status": {"State": "Enabled", "Health": "OK"},
        "RelatedItem": [link(manager_path(unit) if of_bmc else system_path(unit))],
    }


def task_service(unit: Unit) -> dict[str, Any]:
    """The TaskService."""
    return {
        "@odata.id": paths.TASK_SERVICE,
        "@odata.type": "#TaskService.v1_2_0.TaskService",
        "Id": "TaskService",
        "Name": "Task Service",
        "ServiceEnabled": True,
        "CompletedTaskOverWritePolicy": "Oldest",
        "DateTime": moment(unit.machine.time + unit.clock_offset),
        "Status": {"State": "Enabled", "Health": "OK"},
        "Tasks": link(paths.TASKS),
    }


def task_body(unit: Unit, of: MachineTask) -> dict[str, Any]:
    """One update task."""
    told: dict[str, Any] = {
        "@odata.id": f"{paths.TASKS}/{of.id}",
        "@odata.type": "#Task.v1_7_1.Task",
        "Id": of.id,
        "Name": "Firmware update" if of.component is None else f"Firmware update of {of.component}",
        "TaskState": of.state.value,
        "TaskStatus": of.status.value,
        "PercentComplete": of.percent,
        "StartTime": moment(of.started_at + unit.clock_offset),
        "TaskMonitor": f"{paths.MONITORS}/{of.id}",
        "Messages": [_message(entry) for entry in of.messages],
    }
    if of.ended_at is not None:
        told["EndTime"] = moment(of.ended_at + unit.clock_offset)
    if unit.machine.personality.rules.task_names_image:
        pulled = of.source == "pull"
        told["Payload"] = {
            "HttpOperation": "POST",
            "TargetUri": paths.SIMPLE_UPDATE if pulled else paths.MULTIPART_PUSH,
            "HttpHeaders": ["Content-Type: application/json" if pulled else "Content-Type: multipart/form-data"],
            "JsonBody": json.dumps(unit.requested(of)),
        }
    return told


def _message(entry: TaskMessage) -> dict[str, Any]:
    return {
        "@odata.type": "#Message.v1_1_2.Message",
        "MessageId": entry.message_id,
        "Message": entry.text,
        "Severity": entry.severity.value,
        "MessageSeverity": entry.severity.value,
    }


def bios(unit: Unit) -> dict[str, Any]:
    """The Bios resource: attributes in force, and where to stage others."""
    path = f"{system_path(unit)}/Bios"
    told: dict[str, Any] = {
        "@odata.id": path,
        "@odata.type": "#Bios.v1_2_1.Bios",
        "Id": "Bios",
        "Name": "BIOS Configuration",
        "Actions": {"#Bios.ResetBios": {"target": f"{path}/Actions/Bios.ResetBios"}},
    }
    if unit.machine.personality.rules.bios_attributes:
        told["AttributeRegistry"] = REGISTRY_ID
        told["Attributes"] = unit.machine.bios_attributes
        told["@Redfish.Settings"] = {
            "@odata.type": "#Settings.v1_3_5.Settings",
            "ETag": unit.settings_etag(),
            "SettingsObject": link(f"{path}/Settings"),
            "SupportedApplyTimes": ["OnReset"],
            "Messages": [],
        }
    return told


def bios_settings(unit: Unit) -> dict[str, Any]:
    """Bios/Settings: only what waits for the next POST."""
    return {
        "@odata.id": f"{system_path(unit)}/Bios/Settings",
        "@odata.type": "#Bios.v1_2_1.Bios",
        "@odata.etag": unit.settings_etag(),
        "Id": "Settings",
        "Name": "BIOS Configuration Pending Settings",
        "AttributeRegistry": REGISTRY_ID,
        "Attributes": unit.machine.bios_pending,
    }


def registry_file() -> dict[str, Any]:
    """Where the BIOS attribute registry is."""
    path = f"{paths.REGISTRIES}/{REGISTRY_ID}"
    return {
        "@odata.id": path,
        "@odata.type": "#MessageRegistryFile.v1_1_3.MessageRegistryFile",
        "Id": REGISTRY_ID,
        "Name": "BIOS Attribute Registry File",
        "Languages": ["en"],
        "Registry": REGISTRY_ID,
        "Location": [{"Language": "en", "Uri": f"{path}/Registry"}],
    }


def attribute_registry(attributes: Iterable[Attribute]) -> dict[str, Any]:
    """The BIOS attribute registry itself."""
    return {
        "@odata.id": f"{paths.REGISTRIES}/{REGISTRY_ID}/Registry",
        "@odata.type": "#AttributeRegistry.v1_3_6.AttributeRegistry",
        "Id": REGISTRY_ID,
        "Name": "BIOS Attribute Registry",
        "Language": "en",
        "OwningEntity": "Rackwave",
        "RegistryVersion": "1.0.0",
        "RegistryEntries": {"Attributes": [_attribute(entry) for entry in attributes], "Menus": [], "Dependencies": []},
    }


def _attribute(entry: Attribute) -> dict[str, Any]:
    told: dict[str, Any] = {
        "AttributeName": entry.name,
        "DisplayName": entry.display,
        "Type": entry.type.value,
        "DefaultValue": entry.default,
        "ReadOnly": entry.read_only,
        "ResetRequired": True,
    }
    match entry.type:
        case AttributeType.ENUMERATION:
            told["Value"] = [{"ValueName": value, "ValueDisplayName": value} for value in entry.values]
        case AttributeType.INTEGER:
            told.update(LowerBound=entry.lower, UpperBound=entry.upper)
        case AttributeType.STRING:
            told.update(MinLength=entry.lower, MaxLength=entry.upper)
        case AttributeType.BOOLEAN:
            pass
    return told
