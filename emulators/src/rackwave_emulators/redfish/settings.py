"""Staging BIOS settings, where this make wants them, and the job without which some never apply them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from . import oem, paths, resources
from .answers import Answer, RefusalError
from .station import Station


def stage(station: Station, body: dict[str, Any], if_match: str | None) -> Answer:
    """Let attributes wait for the next POST.

    On a make that needs a job, one is made at once where the request says when to apply
    (``@Redfish.SettingsApplyTime``); else the attributes stay staged through any number of resets.

    Raises:
        RefusalError: the body has no attributes, or wrong ones; or what is staged is committed already (P22).
    """
    station.check_settings_etag(if_match)
    attributes = body.get("Attributes")
    if not isinstance(attributes, dict) or not attributes:
        raise RefusalError(400, "Attributes must be an object with at least one attribute.")
    station.stage_bios(attributes)
    if not station.machine.personality.rules.bios_needs_job:
        return Answer(HTTPStatus.NO_CONTENT)
    moment = body.get("@Redfish.SettingsApplyTime")
    if not isinstance(moment, dict) or moment.get("ApplyTime") not in ("OnReset", "Immediate"):
        return Answer.of(_told("The operation completed successfully."), HTTPStatus.OK)
    job = station.commit_bios()
    if moment["ApplyTime"] == "Immediate":
        station.reset_host("ForceRestart")
    return Answer(HTTPStatus.ACCEPTED, headers={"Location": f"{paths.TASKS}/{job.id}"})


def make_job(station: Station, body: dict[str, Any]) -> Answer:
    """Commit what is staged: iDRAC's configuration job.

    Raises:
        RefusalError: the body names no settings, nothing is staged, or there is a job already (P22).
    """
    if body.get("TargetSettingsURI") != resources.settings_path(station):
        raise RefusalError(400, "TargetSettingsURI must name the settings.", message_id="PropertyValueError")
    job = station.commit_bios()
    return Answer.of(_told("A job was created."), HTTPStatus.OK, {"Location": f"{oem.jobs_path(station)}/{job.id}"})


def _told(text: str) -> dict[str, Any]:
    return {"@Message.ExtendedInfo": [{"MessageId": "Base.1.12.Success", "Message": text, "Severity": "OK"}]}
