"""Redfish resources as views of a machine: every function returns one resource's JSON object.

They follow DMTF's schemas; what a make of BMC leaves out is asked of its personality's rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rackwave.core.bundle import AttributeValue
from rackwave.core.observation import Health, Post

from ..bios import Attribute, AttributeType
from ..boot import KEY_RESETS
from ..host import PowerState
from ..machine import ComponentView, Machine
from ..personality import StartUpdate
from . import oem, paths
from .moments import moment
from .sessions import Session
from .unit import Unit

REGISTRY_ID = "RackwaveBiosRegistry.v1_0_0"
_HEALTH = {Health.OK: "OK", Health.WARNING: "Warning", Health.CRITICAL: "Critical"}
# A host that hangs in POST stands where it stood: the state does not say "failed", the health does.
_PROGRESS = {
    Post.NOT_RUNNING: "None",
    Post.RUNNING: "MemoryInitializationStarted",
    Post.COMPLETE: "OSRunning",
    Post.FAILED: "SystemHardwareInitializationComplete",
}
_STATE = {PowerState.ON: "Enabled", PowerState.OFF: "Disabled"}


def link(path: str) -> dict[str, str]:
    """Refer to *path*."""
    return {"@odata.id": path}


def system_path(unit: Unit) -> str:
    """Return where the unit's one system is."""
    return f"{paths.SYSTEMS}/{unit.system_id}"


def manager_path(unit: Unit) -> str:
    """Return where the unit's one manager is."""
    return f"{paths.MANAGERS}/{unit.manager_id}"


def settings_path(unit: Unit) -> str:
    """Return where BIOS settings are staged."""
    return f"{system_path(unit)}/Bios/{unit.machine.personality.rules.bios_settings}"


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
        "AccountService": link(paths.ACCOUNT_SERVICE),
        "Registries": link(paths.REGISTRIES),
        "EventService": link(paths.EVENT_SERVICE),
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
        **({} if rules.event_log_at_manager else {"LogServices": link(f"{path}/LogServices")}),
        "Links": {"ManagedBy": [link(manager_path(unit))], "Chassis": [link(f"{paths.CHASSIS}/{unit.uuid}")]},
        "Actions": {
            "#ComputerSystem.Reset": {
                "target": f"{path}/Actions/ComputerSystem.Reset",
                **_allowed(unit, path, rules.system_resets),
            }
        },
    }
    bios = component(machine, "BIOS")
    if bios is not None:
        told["BiosVersion"] = bios.version
    if rules.boot_progress:
        told["BootProgress"] = {"LastState": _PROGRESS[machine.post]}
    if rules.last_reset_time:
        told["LastResetTime"] = moment(machine.last_reset + unit.clock_offset)
    if (extension := oem.of_system(unit)) is not None:
        told["Oem"] = extension
    return told


def _allowed(unit: Unit, path: str, resets: Iterable[str]) -> dict[str, Any]:
    """Tell the ResetTypes in the action itself, or where else they are told."""
    if unit.machine.personality.rules.reset_action_info:
        return {"@Redfish.ActionInfo": f"{path}/ResetActionInfo"}
    return {"ResetType@Redfish.AllowableValues": list(resets)}


def reset_action_info(path: str, resets: Iterable[str]) -> dict[str, Any]:
    """The ActionInfo of a Reset action."""
    return {
        "@odata.id": f"{path}/ResetActionInfo",
        "@odata.type": "#ActionInfo.v1_4_2.ActionInfo",
        "Id": "ResetActionInfo",
        "Name": "Reset Action Info",
        "Parameters": [{"Name": "ResetType", "Required": True, "DataType": "String", "AllowableValues": list(resets)}],
    }


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
        "Model": machine.personality.manager_model or machine.personality.model,
        "FirmwareVersion": machine.personality.told_firmware(bmc.version if bmc is not None else None),
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
                **_allowed(unit, path, machine.personality.rules.manager_resets),
            }
        },
    }
    if (links := oem.links_of_manager(unit)) is not None:
        told["Links"]["Oem"] = links
    if machine.personality.rules.event_log_at_manager:
        told["LogServices"] = link(f"{path}/LogServices")
    if machine.personality.rules.manager_last_reset_time:
        told["LastResetTime"] = moment(machine.bmc_last_reset + unit.clock_offset)
    return told


def secure_boot(unit: Unit) -> dict[str, Any]:
    """SecureBoot: what is wanted of the next boot, and what is so in this one."""
    path = f"{system_path(unit)}/SecureBoot"
    enabled, active, mode = unit.secure_boot()
    keys = {"target": f"{path}/Actions/SecureBoot.ResetKeys", "ResetKeysType@Redfish.AllowableValues": list(KEY_RESETS)}
    return {
        "@odata.id": path,
        "@odata.type": "#SecureBoot.v1_1_0.SecureBoot",
        "Id": "SecureBoot",
        "Name": "UEFI Secure Boot",
        "SecureBootEnable": enabled,
        "SecureBootCurrentBoot": "Enabled" if active else "Disabled",
        "SecureBootMode": mode,
        "Actions": {"#SecureBoot.ResetKeys": keys},
    }


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
        pull: dict[str, Any] = {
            "target": paths.SIMPLE_UPDATE,
            "TransferProtocol@Redfish.AllowableValues": ["HTTP", "HTTPS"],
        }
        if rules.listed_targets:
            pull["Targets@Redfish.AllowableValues"] = list(rules.listed_targets)
        if moments := _apply_times(unit):
            pull["@Redfish.OperationApplyTimeSupport"] = moments
        told["Actions"]["#UpdateService.SimpleUpdate"] = pull
    if rules.start_update is not StartUpdate.NEVER:
        told["Actions"]["#UpdateService.StartUpdate"] = {"target": paths.START_UPDATE}
    if rules.push and rules.push_uri:
        told["HttpPushUri"] = rules.push_uri
    if rules.push and rules.multipart_uri:
        told["MultipartHttpPushUri"] = rules.multipart_uri
        if not rules.pull and (moments := _apply_times(unit)):
            told["MultipartHttpPushUri@Redfish.OperationApplyTimeSupport"] = moments
    if rules.busy_flag:
        told.update(HttpPushUriTargets=list(unit.push_targets), HttpPushUriTargetsBusy=unit.push_claimed)
    if (extension := oem.of_update_service(unit)) is not None:
        told["Oem"] = extension
    return told


def _apply_times(unit: Unit) -> dict[str, Any] | None:
    rules = unit.machine.personality.rules
    values = ["Immediate", "OnReset"] if rules.resets_host else ["Immediate"]
    if rules.start_update is not StartUpdate.NEVER:
        values.append("OnStartUpdateRequest")
    if values == ["Immediate"]:
        return None
    return {"@odata.type": "#Settings.v1_3_3.OperationApplyTimeSupport", "SupportedValues": values}


def component(machine: Machine, name: str) -> ComponentView | None:
    """Return the component called *name* as the inventory tells it."""
    return next((view for view in machine.components if view.name == name), None)


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
    if unit.machine.personality.rules.bios_attributes and not unit.machine.blind:
        told["AttributeRegistry"] = REGISTRY_ID
        told["Attributes"] = unit.machine.bios_attributes
        told["@Redfish.Settings"] = {
            "@odata.type": "#Settings.v1_3_5.Settings",
            "ETag": unit.settings_etag(),
            "SettingsObject": link(settings_path(unit)),
            "SupportedApplyTimes": ["OnReset"],
            "Messages": [],
        }
    return told


def bios_settings(unit: Unit) -> dict[str, Any]:
    """Bios/Settings, as most call it: only what waits for the next POST."""
    path = settings_path(unit)
    return {
        "@odata.id": path,
        "@odata.type": "#Bios.v1_2_1.Bios",
        "@odata.etag": unit.settings_etag(),
        "Id": path.rpartition("/")[2],
        "Name": "BIOS Configuration Pending Settings",
        "AttributeRegistry": REGISTRY_ID,
        "Attributes": unit.machine.bios_pending,
    }


def certificate_action_info() -> dict[str, Any]:
    """The ActionInfo to which the stock CertificateService links, and which the stock server does not have."""
    texts = ("CertificateString", "CertificateType", "CertificateUri")
    return {
        "@odata.id": f"{paths.CERTIFICATES}/ReplaceCertificateActionInfo",
        "@odata.type": "#ActionInfo.v1_4_2.ActionInfo",
        "Id": "ReplaceCertificateActionInfo",
        "Name": "Replace Certificate Action Info",
        "Parameters": [{"Name": name, "Required": True, "DataType": "String"} for name in texts],
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
    entries = tuple(attributes)
    return {
        "@odata.id": f"{paths.REGISTRIES}/{REGISTRY_ID}/Registry",
        "@odata.type": "#AttributeRegistry.v1_3_6.AttributeRegistry",
        "Id": REGISTRY_ID,
        "Name": "BIOS Attribute Registry",
        "Language": "en",
        "OwningEntity": "Rackwave",
        "RegistryVersion": "1.0.0",
        "RegistryEntries": {
            "Attributes": [_attribute(entry) for entry in entries],
            "Menus": [],
            "Dependencies": [_lock(entry.name, *entry.locked_while) for entry in entries if entry.locked_while],
        },
    }


def _lock(name: str, other: str, value: AttributeValue) -> dict[str, Any]:
    """The dependency that makes an attribute read-only while another has some value."""
    condition = {
        "MapFromAttribute": other,
        "MapFromProperty": "CurrentValue",
        "MapFromCondition": "EQU",
        "MapFromValue": value,
    }
    mapped = {"MapToAttribute": name, "MapToProperty": "ReadOnly", "MapToValue": True}
    return {"DependencyFor": name, "Type": "Map", "Dependency": {"MapFrom": [condition], **mapped}}


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
