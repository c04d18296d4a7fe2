"""Boot overrides and secure boot, held against what the service says it takes before anything is sent."""

from __future__ import annotations

from ...core.boot import BootMode, BootOverride, BootSetting, Lasting, SecureBoot
from ...core.observation import Unknown
from ...core.receipt import Accepted, Ground, Receipt, Refused
from ...errors import BmcAnswerError
from ...ports import Clock
from . import receipts
from .document import Document, dig, link, strings, text
from .patch import Patcher
from .resources import Service
from .session import Session

_LASTING = {"Disabled": Lasting.NEVER, "Once": Lasting.ONCE, "Continuous": Lasting.ALWAYS}
_MODES = {"UEFI": BootMode.UEFI, "Legacy": BootMode.LEGACY}
_WORDS = {value: word for word, value in (*_LASTING.items(), *_MODES.items())}


class BootSource:
    """The boot override and the secure boot of one system."""

    def __init__(self, session: Session, service: Service, clock: Clock, patcher: Patcher) -> None:
        self._session = session
        self._service = service
        self._clock = clock
        self._patcher = patcher

    async def read(self) -> BootSetting:
        """Read what overrides the boot order.

        Raises:
            NodeError: it cannot be read.
        """
        return setting_of(await self._service.system())

    async def override(self, wanted: BootOverride) -> Receipt:
        """Override the boot order, once; what the service does not list is not sent.

        Raises:
            NodeError: as `Session.act`, or the system could not be read; then nothing was sent.
        """
        system = await self._service.system()
        body = body_of(system, wanted)
        if isinstance(body, Refused):
            return body
        return await self._patcher.plain(await self._service.system_uri(), {"Boot": body}, way="Boot")

    async def secure_boot(self) -> SecureBoot:
        """Read secure boot.

        Raises:
            NodeError: it cannot be read, or the service has none.
        """
        _, document = await self._secure_boot()
        return await self._told(document)

    async def set_secure_boot(self, *, enabled: bool) -> Receipt:
        """Switch secure boot for the next boot, once.

        Raises:
            NodeError: as `override`.
        """
        uri, document = await self._secure_boot()
        if dig(document, "SecureBootEnable") is enabled:
            return Accepted(way="SecureBoot")
        return await self._patcher.plain(uri, {"SecureBootEnable": enabled}, way="SecureBoot")

    async def reset_keys(self, how: str) -> Receipt:
        """Reset the secure boot keys, once; *how* is one of `SecureBoot.key_resets`.

        Raises:
            NodeError: as `override`.
        """
        _, document = await self._secure_boot()
        action = await self._service.action(document, "#SecureBoot.ResetKeys", "ResetKeysType")
        if action is None:
            return Refused("the secure boot keys cannot be reset", ground=Ground.UNABLE)
        target, allowed = action
        if allowed is not None and how not in allowed:
            return Refused(f"the keys can be reset by {', '.join(allowed)}, not by {how}", ground=Ground.UNABLE)
        answer = await self._session.act("POST", target, {"ResetKeysType": how})
        return receipts.of_answer(answer, way="SecureBoot.ResetKeys", now=self._clock.now())

    async def _told(self, document: Document) -> SecureBoot:
        enabled = dig(document, "SecureBootEnable")
        action = await self._service.action(document, "#SecureBoot.ResetKeys", "ResetKeysType")
        allowed = () if action is None else action[1]
        word = text(document, "SecureBootCurrentBoot")
        active = {"Enabled": True, "Disabled": False}.get(word or "")
        return SecureBoot(
            enabled=enabled if isinstance(enabled, bool) else Unknown("the service has no SecureBootEnable"),
            active=Unknown(f"SecureBootCurrentBoot is {word}") if active is None else active,
            mode=text(document, "SecureBootMode") or Unknown("the service has no SecureBootMode"),
            key_resets=_KEY_RESETS if allowed is None else allowed,
        )

    async def _secure_boot(self) -> tuple[str, Document]:
        uri = link(await self._service.system(), "SecureBoot")
        if uri is None:
            node = self._service.node
            raise BmcAnswerError(f"{node}: the system has no secure boot", node=node)
        return uri, (await self._service.get(uri)).document


_KEY_RESETS = ("ResetAllKeysToDefault", "DeleteAllKeys", "DeletePK")
"""What DSP0268 has, for a service that does not say which it takes (iLO 5 as recorded)."""


def setting_of(system: Document) -> BootSetting:
    """Read a ComputerSystem's Boot."""
    target = text(system, "Boot", "BootSourceOverrideTarget")
    lasting = _LASTING.get(text(system, "Boot", "BootSourceOverrideEnabled") or "")
    targets = strings(system, "Boot", "BootSourceOverrideTarget@Redfish.AllowableValues") or None
    if target is None or lasting is None:
        return BootSetting(Unknown("the system does not tell its boot override"), targets)
    mode = _MODES.get(text(system, "Boot", "BootSourceOverrideMode") or "")
    return BootSetting(BootOverride(target, lasting, mode), targets)


def body_of(system: Document, wanted: BootOverride) -> dict[str, object] | Refused:
    """The Boot object that asks for *wanted*, in the service's own words."""
    boot = dig(system, "Boot")
    targets = strings(boot, "BootSourceOverrideTarget@Redfish.AllowableValues")
    if wanted.lasting is Lasting.NEVER:
        return {"BootSourceOverrideEnabled": "Disabled", "BootSourceOverrideTarget": "None"}
    target = next((word for word in targets if word.lower() == wanted.target.lower()), None)
    if target is None and targets:
        return Refused(f"the BMC boots from {', '.join(targets)}, not from {wanted.target}", ground=Ground.UNABLE)
    lasting = strings(boot, "BootSourceOverrideEnabled@Redfish.AllowableValues")
    if lasting and _WORDS[wanted.lasting] not in lasting:
        return Refused(f"the BMC overrides the boot order {' or '.join(lasting)} only", ground=Ground.UNABLE)
    modes = strings(boot, "BootSourceOverrideMode@Redfish.AllowableValues")
    if wanted.mode is not None and modes and _WORDS[wanted.mode] not in modes:
        return Refused(f"the BMC boots in mode {' or '.join(modes)} only", ground=Ground.UNABLE)
    mode = {} if wanted.mode is None else {"BootSourceOverrideMode": _WORDS[wanted.mode]}
    return {
        "BootSourceOverrideEnabled": _WORDS[wanted.lasting],
        "BootSourceOverrideTarget": target or wanted.target,
        **mode,
    }
