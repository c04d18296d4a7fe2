"""The ways into an update: SimpleUpdate, which fetches, and the two pushes, which receive."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypedDict

from aiohttp import web
from attrs import frozen

from ..faults import InventoryDoubles
from ..images import ImageError, ImageFacts, read_image
from ..personality import StartUpdate
from ..updates import Hold, MachineTask
from . import paths
from .answers import Answer, RefusalError, text_property
from .inventory import component_of, kept_of
from .inventory_doubles import listed_path
from .station import Station
from .transfer import Inbox, Push, TransferError, drop, fetch, image_uri, receive_multipart, receive_stream, targets_of

_PROTOCOLS = ("HTTP", "HTTPS")
_CLAIMS = frozenset({"HttpPushUriTargets", "HttpPushUriTargetsBusy"})


@frozen
class _Verdict:
    """What a BMC finds in an image: its facts, or why it refuses it."""

    facts: ImageFacts | None
    problem: str = ""


class UpdateService:
    """Carries images to machines for a whole lab; transfers run beside the requests that began them.

    An image is read and verified once per content and size (many BMCs get the same one), then dropped.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._transfers: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Break off what is on its way."""
        running = tuple(self._transfers)
        for transfer in running:
            transfer.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def settled(self) -> None:
        """Wait until no image is on its way."""
        while self._transfers:
            await asyncio.wait(tuple(self._transfers))

    def simple_update(self, station: Station, body: dict[str, Any]) -> Answer:
        """Begin an update whose image the BMC fetches.

        Raises:
            RefusalError: the request makes no sense, or the machine refuses it.
        """
        if not station.machine.personality.rules.pull:
            raise RefusalError(404, f"There is no resource at {paths.SIMPLE_UPDATE}.")
        protocol = body.get("TransferProtocol")
        if protocol is not None and protocol not in _PROTOCOLS:
            raise RefusalError(
                400, "TransferProtocol must be HTTP or HTTPS.", message_id="ActionParameterValueNotInList"
            )
        kept = kept_of(station, text_property(body, "ImageURI"))
        if kept is not None:
            return station.roll_back(kept, requested=_without_secrets(body))
        uri = image_uri(text_property(body, "ImageURI"))
        targets = targets_of(body)
        listed = station.machine.personality.rules.listed_targets
        if listed and any(target not in listed for target in targets):
            raise RefusalError(
                400, "Targets names something that is not listed.", message_id="ActionParameterValueNotInList"
            )
        component = _component(station, targets)
        task, told = station.begin_update(
            component, uri, source="pull", requested=_without_secrets(body), **_when(station, body, pushed=False)
        )
        transfer = asyncio.get_running_loop().create_task(self._pull(station, task, uri))
        self._transfers.add(transfer)
        transfer.add_done_callback(self._transfers.discard)
        return told

    def start_update(self, station: Station) -> Answer:
        """Program what was uploaded and waits for it (P19).

        Raises:
            RefusalError: this make has no such action, or nothing waits.
        """
        if station.machine.personality.rules.start_update is StartUpdate.NEVER:
            raise RefusalError(404, f"There is no resource at {paths.START_UPDATE}.")
        return station.start_update()

    async def multipart_push(self, station: Station, request: web.BaseRequest) -> Answer:
        """Receive an image by MultipartHttpPushUri.

        Raises:
            RefusalError: the request makes no sense, or the machine refuses it.
            ConnectionError: the client went away before the whole image was here.
        """
        _check_push(station, request)
        push = await receive_multipart(request, self._inbox(station))
        if station.machine.personality.rules.push_needs_targets and "Targets" not in push.parameters:
            drop(push.path)
            raise RefusalError(400, "UpdateParameters must have Targets.", message_id="ActionParameterMissing")
        return await self._pushed(station, push)

    async def push(self, station: Station, request: web.BaseRequest) -> Answer:
        """Receive an image as the whole body of a request to HttpPushUri.

        Raises:
            RefusalError: the request makes no sense, or the machine refuses it.
            ConnectionError: the client went away before the whole image was here.
        """
        _check_push(station, request)
        push = await receive_stream(request, self._inbox(station))
        return await self._pushed(station, push)

    def configure(self, station: Station, body: dict[str, Any]) -> Answer:
        """Change what can be written of the UpdateService: one property, and two more that claim the push (P09).

        Raises:
            RefusalError: the body asks for anything else.
        """
        if station.machine.personality.rules.busy_flag and body.keys() & _CLAIMS:
            return _claim(station, body)
        verify = body.get("VerifyRemoteServerCertificate")
        if not isinstance(verify, bool) or len(body) != 1:
            raise RefusalError(
                400,
                "Only VerifyRemoteServerCertificate can be set, to true or false.",
                message_id="PropertyNotWritable",
            )
        station.set_verify_remote(verify)
        return Answer(HTTPStatus.NO_CONTENT)

    def _inbox(self, station: Station) -> Inbox:
        return Inbox(self._directory, station.image_limit)

    async def _pull(self, station: Station, task: MachineTask, uri: str) -> None:
        def check(*, ranges: bool) -> None:
            if not ranges and (trouble := station.fetch_trouble(uri, ranges=False)):
                raise TransferError(trouble)

        if trouble := station.fetch_trouble(uri):
            station.transfer_failed(task, trouble)
            return
        try:
            path = await fetch(
                uri, self._inbox(station), address=station.address, verify=station.verifies_remote, check=check
            )
        except TransferError as error:
            station.transfer_failed(task, str(error))
            return
        verdict = await _verdict(station, path)
        station.image_received(task, verdict.facts, problem=verdict.problem)

    async def _pushed(self, station: Station, push: Push) -> Answer:
        named = station.machine.personality.rules.push_names_component
        try:
            component = _component(station, push.targets) if named else None
            requested = {"Targets": list(push.targets), "UpdateFile": push.file_name}
            task, _ = station.begin_update(
                component,
                push.file_name,
                source="push",
                requested=requested,
                **_when(station, push.parameters, pushed=True),
            )
        except RefusalError:
            drop(push.path)
            raise
        verdict = await _verdict(station, push.path)
        station.image_received(task, verdict.facts, problem=verdict.problem)
        return station.accepted(task)


class _When(TypedDict):
    hold: Hold
    resets_host: bool


def _when(station: Station, parameters: Mapping[str, Any], *, pushed: bool) -> _When:
    """Say what an update's ApplyTime means on this make."""
    rules = station.machine.personality.rules
    moment = parameters.get("@Redfish.OperationApplyTime")
    match rules.start_update:
        case StartUpdate.ALWAYS if pushed:
            hold = Hold.VERIFIED if moment == "Immediate" else Hold.STARTED
        case StartUpdate.ALWAYS | StartUpdate.ON_REQUEST if moment == "OnStartUpdateRequest":
            hold = Hold.STARTED
        case _:
            hold = Hold.NO
    return {"hold": hold, "resets_host": rules.resets_host and moment == "Immediate"}


def _claim(station: Station, body: dict[str, Any]) -> Answer:
    targets, busy = body.get("HttpPushUriTargets"), body.get("HttpPushUriTargetsBusy")
    if body.keys() - _CLAIMS or not isinstance(busy, bool | None):
        raise RefusalError(400, "HttpPushUriTargetsBusy must be true or false.", message_id="PropertyValueTypeError")
    named = targets_of({"Targets": targets}) if targets is not None else None
    station.claim_push(targets=named, busy=busy)
    return Answer(HTTPStatus.NO_CONTENT)


def _check_push(station: Station, request: web.BaseRequest) -> None:
    if not station.machine.personality.rules.push:
        raise RefusalError(404, "This BMC takes no pushed images.")
    if station.machine.personality.rules.push_needs_length and request.content_length is None:
        raise RefusalError(411, "Content-Length is required; chunked uploads are not taken (P13).")


def _component(station: Station, targets: tuple[str, ...]) -> str | None:
    """Return the component that *targets* name; None: none is named, so the image decides.

    A target may be the component's inventory member, or, as many clients send it, the system or manager.
    """
    found: set[str] = set()
    personality = station.machine.personality
    doubled = station.machine.afflicted(InventoryDoubles) is not None
    for target in targets:
        component = component_of(personality, target)
        if component is None and doubled:
            component = component_of(personality, listed_path(target))
        if component is not None:
            found.add(component.name)
        elif target.rstrip("/") not in (
            f"{paths.SYSTEMS}/{station.system_id}",
            f"{paths.MANAGERS}/{station.manager_id}",
        ):
            raise RefusalError(400, "Targets names something that cannot be updated.", message_id="ResourceNotFound")
    if len(found) > 1:
        raise RefusalError(400, "One image updates one component.", message_id="ActionParameterValueConflict")
    return found.pop() if found else None


def _without_secrets(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key not in ("Password", "Username")}


async def _verdict(station: Station, path: Path) -> _Verdict:
    """Verify the image at *path*, let the host keep what it needs of it, and remove it."""

    def verify() -> ImageFacts:
        facts = read_image(path)
        station.machine.backend.keep_image(path, facts)
        return facts

    loop = asyncio.get_running_loop()
    try:
        # In a thread: hashing 64 MiB would hold up every other BMC for a tenth of a second.
        return _Verdict(await loop.run_in_executor(None, verify))
    except ImageError as error:
        return _Verdict(None, str(error))
    finally:
        drop(path)
