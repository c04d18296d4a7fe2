"""Where things are on every BMC of the lab."""

from __future__ import annotations

from typing import Any

VERSIONS = "/redfish"
ROOT = "/redfish/v1"
SESSION_SERVICE = f"{ROOT}/SessionService"
SESSIONS = f"{SESSION_SERVICE}/Sessions"
SESSION_MEMBERS = f"{SESSIONS}/Members"
ACCOUNT_SERVICE = f"{ROOT}/AccountService"
ACCOUNTS = f"{ACCOUNT_SERVICE}/Accounts"
ROLES = f"{ACCOUNT_SERVICE}/Roles"
ODATA = f"{ROOT}/odata"
METADATA = f"{ROOT}/$metadata"
TASK_SERVICE = f"{ROOT}/TaskService"
TASKS = f"{TASK_SERVICE}/Tasks"
MONITORS = f"{TASK_SERVICE}/TaskMonitors"
UPDATE_SERVICE = f"{ROOT}/UpdateService"
INVENTORY = f"{UPDATE_SERVICE}/FirmwareInventory"
SIMPLE_UPDATE = f"{UPDATE_SERVICE}/Actions/UpdateService.SimpleUpdate"
START_UPDATE = f"{UPDATE_SERVICE}/Actions/UpdateService.StartUpdate"
SYSTEMS = f"{ROOT}/Systems"
MANAGERS = f"{ROOT}/Managers"
CHASSIS = f"{ROOT}/Chassis"
REGISTRIES = f"{ROOT}/Registries"
JOBS = f"{ROOT}/JobService/Jobs"
EVENT_SERVICE = f"{ROOT}/EventService"
SUBSCRIPTIONS = f"{EVENT_SERVICE}/Subscriptions"
CERTIFICATES = f"{ROOT}/CertificateService"


def session_body(session_id: str, username: str) -> dict[str, Any]:
    """Build the resource of one session."""
    return {
        "@odata.id": f"{SESSIONS}/{session_id}",
        "@odata.type": "#Session.v1_4_0.Session",
        "Id": session_id,
        "Name": "User Session",
        "UserName": username,
    }
