"""What makers tell beside the standard, where it decides something: how far POST is, how far an update is.

Only that is emulated. Sources: the recorded trees named in the personality files, HPE's "Redfish update
service" article and iLO resource definitions, Lenovo's XCC REST API guide, Dell's iDRAC-Redfish-Scripting.
"""

from __future__ import annotations

from typing import Any

from rackwave.core.observation import Post

from ..host import PowerState
from ..personality import Oem
from ..updates import MachineTask, TaskState, TaskStatus
from . import paths
from .moments import moment
from .unit import Unit

_HPE_POST = {
    Post.NOT_RUNNING: "Reset",
    Post.RUNNING: "InPost",
    Post.COMPLETE: "FinishedPost",
    Post.FAILED: "InPostDiscoveryStart",
}
_LENOVO_STATUS = {
    Post.NOT_RUNNING: "SystemOn_StartingUEFI",
    Post.RUNNING: "SystemOn_StartingUEFI",
    Post.COMPLETE: "BootingOSOrInUndetectedOS",
    Post.FAILED: "SystemStoppedInUEFI",
}
_DELL_JOB = {
    TaskState.NEW: "Downloading",
    TaskState.RUNNING: "Running",
    TaskState.PENDING: "Scheduled",
    TaskState.SUSPENDED: "Paused",
    TaskState.USER_INTERVENTION: "Waiting",
    TaskState.INTERRUPTED: "Paused",
    TaskState.COMPLETED: "Completed",
    TaskState.EXCEPTION: "Failed",
}
_HPE_UPDATE = {
    TaskState.NEW: "Uploading",
    TaskState.RUNNING: "Updating",
    TaskState.PENDING: "Complete",
    TaskState.SUSPENDED: "Updating",
    TaskState.USER_INTERVENTION: "Updating",
    TaskState.INTERRUPTED: "Updating",
    TaskState.COMPLETED: "Complete",
    TaskState.EXCEPTION: "Error",
}


def of_system(unit: Unit) -> dict[str, Any] | None:
    """What the ComputerSystem says about POST; None: nothing beside the standard."""
    machine = unit.machine
    match machine.personality.rules.oem:
        case Oem.HPE:
            state = "PowerOff" if machine.power is PowerState.OFF else _HPE_POST[machine.post]
            kind = "#HpeComputerSystemExt.v2_12_0.HpeComputerSystemExt"
            # Of the last POST that came through: iLO resource definitions, Oem.Hpe.PostDiscoveryCompleteTimeStamp.
            discovered = moment(machine.last_post + unit.clock_offset)
            return {"Hpe": {"@odata.type": kind, "PostState": state, "PostDiscoveryCompleteTimeStamp": discovered}}
        case Oem.LENOVO:
            off = machine.power is PowerState.OFF
            status = "SystemPowerOff_StateUnknown" if off else _LENOVO_STATUS[machine.post]
            kind = "#LenovoComputerSystem.v1_0_0.LenovoSystemProperties"
            return {"Lenovo": {"@odata.type": kind, "SystemStatus": status, "NumberOfReboots": machine.restarts}}
        case _:
            return None


def of_update_service(unit: Unit) -> dict[str, Any] | None:
    """How far iLO says the newest update has come: the only place to see it where there are no tasks."""
    if unit.machine.personality.rules.oem is not Oem.HPE:
        return None
    told: dict[str, Any] = {
        "@odata.type": "#HpeiLOUpdateServiceExt.v2_3_0.HpeiLOUpdateServiceExt",
        "State": "Idle",
        "DowngradePolicy": "AllowDowngrade",
    }
    tasks = [task for task in unit.machine.tasks if task.step != "settings"]
    if tasks:
        newest = tasks[-1]
        failed = newest.ended and newest.status is TaskStatus.CRITICAL
        told["State"] = "Error" if failed else _HPE_UPDATE.get(newest.state, "Updating")
        if not newest.ended:
            told["FlashProgressPercent"] = newest.percent
        else:
            told["Result"] = {"MessageId": "iLO.2.14.UpdateFailed" if failed else "Base.1.4.Success"}
    return {"Hpe": told}


def of_task(unit: Unit, of: MachineTask) -> dict[str, Any] | None:
    """The Dell job that is the other face of a task."""
    if unit.machine.personality.rules.oem is not Oem.DELL:
        return None
    settings = of.step == "settings"
    # A task that waits for somebody, or says a word that nobody knows, says the same as a job.
    word = _DELL_JOB.get(of.state, of.told_state) if of.told_state == of.state else of.told_state
    state = "Scheduled" if settings and not of.ended else word
    return {
        "Dell": {
            "@odata.type": "#DellJob.v1_5_0.DellJob",
            "Id": of.id,
            "JobState": state,
            "JobType": "BIOSConfiguration" if settings else "FirmwareUpdate",
            "Message": of.messages[-1].text if of.messages else "",
            "PercentComplete": of.percent,
        }
    }


def jobs_path(unit: Unit) -> str:
    """Where iDRAC keeps its jobs."""
    return f"{paths.MANAGERS}/{unit.manager_id}/Oem/Dell/Jobs"


def job(unit: Unit, of: MachineTask) -> dict[str, Any]:
    """A task as iDRAC's own job queue tells it."""
    extension = of_task(unit, of)
    return {
        "@odata.id": f"{jobs_path(unit)}/{of.id}",
        "Name": "Configure: BIOS.Setup.1-1" if of.step == "settings" else "Firmware Update",
        **(extension["Dell"] if extension is not None else {}),
    }


def links_of_manager(unit: Unit) -> dict[str, Any] | None:
    """Where the Manager says that the Lifecycle Controller is; None: this make has none."""
    if unit.machine.personality.rules.oem is not Oem.DELL:
        return None
    return {"Dell": {"DellLCService": {"@odata.id": lifecycle_service_path(unit)}}}


def lifecycle_service_path(unit: Unit) -> str:
    """Where iDRAC's Lifecycle Controller is."""
    return f"{paths.MANAGERS}/{unit.manager_id}/Oem/Dell/DellLCService"


def lifecycle_service(unit: Unit) -> dict[str, Any]:
    """The Lifecycle Controller's resource, for the one action that tells whether it can be used."""
    path = lifecycle_service_path(unit)
    return {
        "@odata.id": path,
        "@odata.type": "#DellLCService.v1_1_0.DellLCService",
        "Id": "DellLCService",
        "Name": "DellLCService",
        "Actions": {
            "#DellLCService.GetRemoteServicesAPIStatus": {
                "target": f"{path}/Actions/DellLCService.GetRemoteServicesAPIStatus"
            }
        },
    }


def lifecycle_status(unit: Unit) -> dict[str, Any]:
    """Answer GetRemoteServicesAPIStatus: "InUse" while the controller applies an update (P23)."""
    machine = unit.machine
    match machine.post:
        case _ if machine.power is PowerState.OFF:
            server = "PoweredOff"
        case Post.COMPLETE:
            server = "OutOfPOST"
        case _:
            server = "InPOST"
    busy = machine.updating
    return {
        "LCStatus": "InUse" if busy else "Ready",
        "RTStatus": "Ready",
        "ServerStatus": server,
        "Status": "NotReady" if busy else "Ready",
    }
