"""By which way an image goes over, and what is asked for: chosen from what the UpdateService says.

Rules:

- The BMC pulls (``SimpleUpdate``) where it can: the image server then knows byte by byte what it has.
  Otherwise we push: multipart, which names its target, before ``HttpPushUri``, which does not. The
  inventory's *prefer*, then the make's quirk, change the order; neither makes a way that is not there.
- A BMC that could not fetch an image is pushed the next one, where it takes pushes (P20).
- When it is applied (OperationApplyTime) is asked for only in words that the service lists. What takes
  a host reset waits for ours (OnReset), or for StartUpdate: Immediate would have some services reset
  the host unasked (P14). What takes none is asked for at once.
- ForceUpdate is asked for where the image goes over its like or a newer one, and only of a service
  that lists the parameter.

Example: an iDRAC that lists Immediate, OnReset and OnStartUpdateRequest is sent ``OnReset`` with a BIOS
and ``Immediate`` with its own firmware.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from attrs import frozen

from ...core.bundle import Activation
from ...ports import Image
from ..quirks import ApplyTime, HttpPushForm, Quirks, TargetsSent, UpdateWay
from .document import Document, dig, items, strings, text, uri_path
from .power import allowed_values

Prefer: TypeAlias = Literal["auto", "pull", "push"]


_BEFORE_A_HOST_RESET = (
    ApplyTime.ON_RESET,
    ApplyTime.ON_START,
    ApplyTime.IN_WINDOW,
    ApplyTime.IMMEDIATE,
    ApplyTime.AT_WINDOW,
)
_AT_ONCE = (ApplyTime.IMMEDIATE, ApplyTime.ON_START, ApplyTime.AT_WINDOW, ApplyTime.ON_RESET, ApplyTime.IN_WINDOW)
"""In order of preference. A window is one that we open ourselves, from now on."""

_WINDOW = 3600
"""Seconds for which such a window stays open: longer than a flash and the reset that we send after it."""


@frozen
class Pull:
    """Send a SimpleUpdate with this body to *uri*; the body holds the URL, which is a secret."""

    uri: str
    protocol: str
    targets: tuple[str, ...]
    when: ApplyTime | None = None
    force: bool = False

    name = "SimpleUpdate"

    def body(self, url: str, *, now: float) -> dict[str, object]:
        """The action's parameters."""
        named: dict[str, object] = {"Targets": list(self.targets)} if self.targets else {}
        return {
            "ImageURI": url,
            "TransferProtocol": self.protocol,
            **named,
            **_asked(self.when, force=self.force, now=now),
        }


@frozen
class Push:
    """Send the file to *uri* as multipart/form-data. *held*: the BMC then waits for StartUpdate."""

    uri: str
    targets: tuple[str, ...]
    when: ApplyTime | None = None
    force: bool = False
    held: bool = False

    name = "MultipartHttpPush"

    def parameters(self, *, now: float) -> dict[str, object]:
        """The part UpdateParameters. Targets are always sent, empty where they name nothing (DSP0266, 12.6.2)."""
        return {"Targets": list(self.targets), **_asked(self.when, force=self.force, now=now)}


@frozen
class HttpPush:
    """Send the file to *uri* as the body. *targets* None: the service has no HttpPushUriTargets to set first.

    *when* is set in HttpPushUriOptions first.
    """

    uri: str
    targets: tuple[str, ...] | None
    when: ApplyTime | None = None
    held: bool = False

    name = "HttpPush"


@frozen
class Recall:
    """Send a SimpleUpdate to *uri* whose image is one that the BMC keeps: the inventory's *member*."""

    uri: str
    member: str
    when: ApplyTime | None = None

    name = "SimpleUpdate"

    def body(self, *, now: float) -> dict[str, object]:
        """The action's parameters."""
        return {"ImageURI": self.member, **_asked(self.when, force=False, now=now)}


@frozen
class NoWay:
    """The image cannot be handed over, for this reason."""

    reason: str


Way: TypeAlias = Pull | Push | HttpPush

_ORDER: Mapping[str, tuple[UpdateWay, ...]] = {
    "auto": (UpdateWay.SIMPLE_UPDATE, UpdateWay.MULTIPART, UpdateWay.HTTP_PUSH),
    "pull": (UpdateWay.SIMPLE_UPDATE, UpdateWay.MULTIPART, UpdateWay.HTTP_PUSH),
    "push": (UpdateWay.MULTIPART, UpdateWay.HTTP_PUSH, UpdateWay.SIMPLE_UPDATE),
}


def choose_way(
    service: Document,
    image: Image,
    member: str,
    *,
    prefer: Prefer = "auto",
    quirks: Quirks,
    info: Document | None = None,
) -> Way | NoWay:
    """Choose the way for *image* into the component whose inventory entry is *member*.

    *service* is the UpdateService, *info* the ActionInfo of its SimpleUpdate where it has one.
    """
    if service.get("ServiceEnabled") is False:
        return NoWay("the BMC's UpdateService is disabled")
    order = _ORDER[prefer]
    if prefer == "auto" and quirks.update_way is not UpdateWay.AUTO:
        order = (quirks.update_way, *(way for way in order if way is not quirks.update_way))
    reasons = []
    for way in order:
        found: Way | NoWay
        match way:
            case UpdateWay.SIMPLE_UPDATE:
                found = _pull(service, image, member, quirks, info or {})
            case UpdateWay.MULTIPART:
                found = _push(service, image, member, quirks)
            case _:
                found = _http_push(service, image, member, quirks)
        if not isinstance(found, NoWay):
            return found
        reasons.append(found.reason)
    return NoWay("; ".join(reasons))


def recall(service: Document, member: str, activation: Activation, quirks: Quirks) -> Recall | NoWay:
    """Choose how what *member* of the inventory shows is written again by a BMC that kept it."""
    uri = uri_path(text(dig(service, "Actions", "#UpdateService.SimpleUpdate"), "target"))
    if uri is None:
        return NoWay("the BMC has no SimpleUpdate")
    return Recall(uri, member, _when(_times_of_pull(service), activation, quirks))


def is_claimed(service: Document, quirks: Quirks) -> bool:
    """Whether a push has to be claimed by HttpPushUriTargetsBusy first, and released after (P09)."""
    return quirks.claims_push_targets or isinstance(service.get("HttpPushUriTargetsBusy"), bool)


def _pull(service: Document, image: Image, member: str, quirks: Quirks, info: Document) -> Pull | NoWay:
    action = dig(service, "Actions", "#UpdateService.SimpleUpdate")
    uri = uri_path(text(action, "target"))
    if not isinstance(action, dict) or uri is None:
        return NoWay("the BMC has no SimpleUpdate")
    if image.url is None:
        return NoWay("the image is not served anywhere")
    protocol = urlsplit(image.url).scheme.upper()
    protocols = allowed_values(action, "TransferProtocol") or _told(info, "TransferProtocol")
    if protocols and protocol not in protocols:
        return NoWay(f"the BMC does not fetch by {protocol}, only by {', '.join(protocols)}")
    # XCC lists only BMC-Backup as a target: for all else the image itself says where it belongs.
    listed = strings(action, "Targets@Redfish.AllowableValues") or _told(info, "Targets")
    when = _when(_times_of_pull(service), image.activation, quirks)
    force = image.force and any(text(entry, "Name") == "ForceUpdate" for entry in items(info, "Parameters"))
    return Pull(uri, protocol, _targets(member, listed, quirks), when, force)


def _push(service: Document, image: Image, member: str, quirks: Quirks) -> Push | NoWay:
    uri = uri_path(service.get("MultipartHttpPushUri"))
    if uri is None:
        return NoWay("the BMC has no MultipartHttpPushUri")
    listed = strings(service, "MultipartHttpPushUri@Redfish.OperationApplyTimeSupport", "SupportedValues")
    when = _when(listed, image.activation, quirks)
    if quirks.start_update:
        when = ApplyTime.ON_START
    held = when is ApplyTime.ON_START
    return Push(uri, _targets(member, (), quirks), when, image.force and _knows_force(service), held)


def _http_push(service: Document, image: Image, member: str, quirks: Quirks) -> HttpPush | NoWay:
    uri = uri_path(service.get("HttpPushUri"))
    if uri is None:
        return NoWay("the BMC has no HttpPushUri")
    if quirks.http_push is HttpPushForm.OWN:
        return NoWay("its HttpPushUri takes a form of the maker's own, which is not spoken")
    options = dig(service, "HttpPushUriOptions", "HttpPushUriApplyTime")
    listed = strings(options, "ApplyTime@Redfish.AllowableValues")
    when = _when(listed, image.activation, quirks) if listed else None
    if when is None and text(options, "ApplyTime") == ApplyTime.ON_START:
        when = ApplyTime.ON_START  # as it is set already
    has_targets = isinstance(service.get("HttpPushUriTargets"), list)
    targets = _targets(member, (), quirks) if has_targets else None
    return HttpPush(uri, targets, when, quirks.start_update or when is ApplyTime.ON_START)


def _targets(member: str, listed: tuple[str, ...], quirks: Quirks) -> tuple[str, ...]:
    match quirks.targets:
        case TargetsSent.ALWAYS:
            return (member,)
        case TargetsSent.NEVER:
            return ()
        case TargetsSent.LISTED:
            return (member,) if not listed or member in listed else ()


def _times_of_pull(service: Document) -> tuple[str, ...]:
    action = dig(service, "Actions", "#UpdateService.SimpleUpdate")
    return strings(action, "@Redfish.OperationApplyTimeSupport", "SupportedValues")


def _when(listed: tuple[str, ...], activation: Activation, quirks: Quirks) -> ApplyTime | None:
    """When to have it applied; None: the service lists nothing that could be asked for."""
    is_host = activation is Activation.HOST_RESET
    wanted = _BEFORE_A_HOST_RESET if is_host else _AT_ONCE
    if is_host and quirks.apply_time is not None and (not listed or quirks.apply_time in listed):
        return quirks.apply_time
    return next((word for word in wanted if word in listed), None)


def _asked(when: ApplyTime | None, *, force: bool, now: float) -> dict[str, object]:
    asked: dict[str, object] = {}
    if when is not None:
        asked["@Redfish.OperationApplyTime"] = when.value
    if when in (ApplyTime.AT_WINDOW, ApplyTime.IN_WINDOW):
        asked["@Redfish.MaintenanceWindow"] = {
            "MaintenanceWindowStartTime": datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds"),
            "MaintenanceWindowDurationInSeconds": _WINDOW,
        }
    if force:
        asked["ForceUpdate"] = True
    return asked


def _knows_force(service: Document) -> bool:
    """Whether this UpdateService can know ForceUpdate, which came with its schema 1.11 (DSP0268)."""
    version = (text(service, "@odata.type") or "").partition(".v")[2].partition(".")[0].split("_")
    return (
        len(version) >= 2
        and all(part.isdecimal() for part in version[:2])
        and ((int(version[0]), int(version[1])) >= (1, 11))
    )


def _told(info: Document, parameter: str) -> tuple[str, ...]:
    """What an ActionInfo allows for *parameter*; empty where it says nothing."""
    for entry in items(info, "Parameters"):
        if text(entry, "Name") == parameter:
            return strings(entry, "AllowableValues")
    return ()
