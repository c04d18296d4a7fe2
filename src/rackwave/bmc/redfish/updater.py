"""Hands images to one BMC and has it begin with them: each request once, a claim released whatever happens."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import assert_never

from attrs import evolve

from ...core.bundle import Activation
from ...core.identity import ComponentName, Digest
from ...core.observation import Unknown
from ...core.receipt import Accepted, Ambiguous, Ground, Receipt, Refused
from ...errors import NodeError, SecretError
from ...ports import Clock, Completing, Image
from ..quirks import BankSwitch
from . import receipts
from .answer import Answer
from .document import dig, text, uri_path
from .patch import Patcher
from .resources import Service
from .session import Session
from .update import HttpPush, NoWay, Prefer, Pull, Push, Way, choose_way, is_claimed, recall
from .update_state import UpdateState
from .upload import Multipart, Raw

_QUIRKS = ("update_way", "targets", "http_push", "apply_time", "start_update", "claims_push_targets", "update_state")


class Updater:
    """The update part of one BMC.

    *prefer* breaks the tie where the service leaves the choice; a fetch that failed changes it to push,
    for as long as this object lives.
    """

    def __init__(self, session: Session, service: Service, clock: Clock, patcher: Patcher, prefer: Prefer) -> None:
        self._session = session
        self._service = service
        self._clock = clock
        self._patcher = patcher
        self._prefer: Prefer = prefer

    def fetch_failed(self) -> None:
        """Note that the BMC could not fetch an image of ours: it gets the next one pushed (P20)."""
        if self._prefer == "auto":
            self._prefer = "push"

    async def way(self, image: Image) -> Way | NoWay:
        """Say which way *image* would go, and what would be asked for; changes nothing.

        Raises:
            NodeError: something that decides cannot be read.
        """
        member = await self._service.inventory.uri(image.component)
        if isinstance(member, Unknown):
            return NoWay(member.reason)
        service = await self._service.update_service()
        quirks = await self._service.quirks(*_QUIRKS)
        info_uri = uri_path(text(dig(service, "Actions", "#UpdateService.SimpleUpdate"), "@Redfish.ActionInfo"))
        info = (await self._service.get(info_uri)).document if info_uri is not None else None
        return choose_way(service, image, member, prefer=self._prefer, quirks=quirks, info=info)

    async def way_of(self, component: ComponentName, activation: Activation) -> Way | NoWay:
        """Say which way a file for *component* would go; no file is there, and none is sent.

        Raises:
            NodeError: something that decides cannot be read.
        """
        nothing, nowhere = Digest("sha256:" + "0" * 64), "https://image-server/image"
        return await self.way(Image(component, "", nothing, 0, Path(), "image", nowhere, activation))

    async def write(self, image: Image, *, completing: Completing) -> Receipt:
        """Hand *image* over, once."""
        try:
            way = await self.way(image)
            match way:
                case NoWay(reason):
                    return Refused(reason, ground=Ground.UNABLE)
                case Pull():
                    return await self._pull(way, image)
                case Push() | HttpPush():
                    return await self._push(way, image, completing)
                case _:
                    assert_never(way)
        except NodeError as error:
            return receipts.of_error(error)

    async def start(self, component: ComponentName) -> Receipt:
        """Have the BMC begin with what it holds, once: all of it, for Redfish's StartUpdate names no component."""
        del component
        try:
            action = dig(await self._service.update_service(), "Actions", "#UpdateService.StartUpdate")
            target = uri_path(text(action, "target"))
            if target is None:
                return Refused("the BMC has no StartUpdate", ground=Ground.UNABLE)
            return await self._judged(await self._session.act("POST", target, {}), "StartUpdate")
        except NodeError as error:
            return receipts.of_error(error)

    async def switch_bank(self, component: ComponentName, version: str, activation: Activation) -> Receipt:
        """Have *component* run what its other bank has, once, where that is *version*."""
        try:
            quirks = await self._service.quirks("bank_switch", "apply_time")
            if quirks.bank_switch is BankSwitch.NONE:
                return Refused("of this make no switch to another bank is known", ground=Ground.UNABLE)
            found = await self._service.inventory.spare(component)
            if not isinstance(found, tuple) or found[1] != version:
                has = f"is {found}" if isinstance(found, Unknown) else f"has {found[1] if found else 'nothing'}"
                return Refused(f"the other bank of {component} {has}, not {version}", ground=Ground.UNABLE)
            way = recall(await self._service.update_service(), found[0], activation, quirks)
            if isinstance(way, NoWay):
                return Refused(way.reason, ground=Ground.UNABLE)
            return await self._judged(
                await self._session.act("POST", way.uri, way.body(now=self._clock.now())), way.name
            )
        except NodeError as error:
            return receipts.of_error(error)

    async def _pull(self, way: Pull, image: Image) -> Receipt:
        assert image.url is not None  # noqa: S101 - a Pull is only chosen with a URL
        held = way.when == "OnStartUpdateRequest"
        try:
            answer = await self._session.act("POST", way.uri, way.body(image.url, now=self._clock.now()))
        except NodeError as error:
            return _to_be_held(receipts.of_error(error), held=held)
        return _to_be_held(await self._judged(answer, way.name), held=held)

    async def _push(self, way: Push | HttpPush, image: Image, completing: Completing) -> Receipt:
        try:
            found = (await asyncio.to_thread(image.path.stat)).st_size
        except OSError as error:
            return Refused(f"the image cannot be read: {error}")
        if found != image.size:
            return Refused(f"the image has {found} bytes on disk, not {image.size}")
        body: Raw
        if isinstance(way, Push):
            parameters = way.parameters(now=self._clock.now())
            body = Multipart(image.path, image.file_name, image.size, parameters=parameters, completing=completing)
        else:
            body = Raw(image.path, image.size, completing=completing)
        claim = await self._claim(way)
        if isinstance(claim, Refused):
            return claim
        try:
            answer = await self._session.upload(way.uri, body)
        except NodeError as error:
            return _to_be_held(receipts.of_error(error), held=way.held)
        finally:
            if claim:
                await asyncio.shield(self._release())
        return _to_be_held(await self._judged(answer, way.name), held=way.held)

    async def _claim(self, way: Push | HttpPush) -> bool | Refused:
        """Claim the push and set what HttpPushUri has set beside it; whether there is a claim to release."""
        service = await self._service.update_service(fresh=True)
        quirks = await self._service.quirks(*_QUIRKS)
        claims = is_claimed(service, quirks)
        wanted: dict[str, object] = {}
        if isinstance(way, HttpPush):
            if way.targets is not None:
                wanted["HttpPushUriTargets"] = list(way.targets)
            present = text(service, "HttpPushUriOptions", "HttpPushUriApplyTime", "ApplyTime")
            if way.when is not None and way.when != present:
                wanted["HttpPushUriOptions"] = {"HttpPushUriApplyTime": {"ApplyTime": way.when.value}}
        if claims:
            if service.get("HttpPushUriTargetsBusy") is True:
                who = "another client, perhaps one that died, has claimed the push (HttpPushUriTargetsBusy)"
                return Refused(who, receipts.NOT_NOW)
            wanted["HttpPushUriTargetsBusy"] = True
        if not wanted:
            return False
        receipt = await self._patched(wanted)
        if isinstance(receipt, Accepted):
            return claims
        if claims and isinstance(receipt, Ambiguous):
            await asyncio.shield(self._release())  # it may have been taken
        # Nothing of the image was sent, whatever became of the claim.
        wait = receipt.retry_after if isinstance(receipt, Refused) else None
        return Refused(f"the push could not be claimed: {receipt.reason}", wait or receipts.NOT_NOW)

    async def _release(self) -> None:
        """Give the claim back. Where that fails the BMC forgets it when it restarts, and says so until then.

        It fails in silence: a login that is refused now must not take the place of what became of the image.
        """
        with suppress(NodeError, SecretError):
            await self._patched({"HttpPushUriTargetsBusy": False})

    async def _patched(self, body: dict[str, object]) -> Receipt:
        try:
            uri = await self._service.update_service_uri()
            return await self._patcher.plain(uri, body, way="HttpPushUriTargetsBusy")
        except NodeError as error:
            return receipts.of_error(error)

    async def _judged(self, answer: Answer, way: str) -> Receipt:
        """Judge the answer; where the make has no tasks, the UpdateService's own state is what is to be followed."""
        receipt = receipts.of_answer(answer, way=way, now=self._clock.now())
        if isinstance(receipt, Accepted) and receipt.task is None:
            with suppress(NodeError, SecretError):  # whatever cannot be read now, it was taken
                if (await self._service.quirks("update_state")).update_state:
                    uri = await self._service.update_service_uri()
                    return evolve(receipt, task=UpdateState.uri(uri, self._clock.now()))
        return receipt


def _to_be_held(receipt: Receipt, *, held: bool) -> Receipt:
    """Note that the request asked the BMC to hold the image, where it may have been taken."""
    return evolve(receipt, held=True) if held and isinstance(receipt, (Accepted, Ambiguous)) else receipt
