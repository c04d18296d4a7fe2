"""What a person reads of and does to one machine over Redfish: the `Panel` port."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from ...core.boot import BootOverride, BootSetting, SecureBoot
from ...core.log import LogMark, LogNews
from ...core.observation import Power, Unknown
from ...core.power import PowerAct
from ...core.receipt import Accepted, Ground, Receipt, Refused
from ...core.sensor import SensorReadings
from ...errors import BmcCertificateError, BmcLoginError, NodeError
from ...ports import Clock
from . import receipts
from .boot_source import BootSource
from .document import Document, dig, items, link, text
from .event_log import EventLog
from .patch import Patcher
from .power import choose, power_state
from .resources import Service
from .sensors import Sensors
from .session import Session

T = TypeVar("T")

WORDS = {
    PowerAct.ON: ("On", "ForceOn"),
    PowerAct.FORCE_OFF: ("ForceOff",),
    PowerAct.SHUTDOWN: ("GracefulShutdown",),
    PowerAct.RESTART: ("GracefulRestart",),
    PowerAct.FORCE_RESTART: ("ForceRestart",),
    PowerAct.CYCLE: ("PowerCycle",),
    PowerAct.NMI: ("Nmi",),
    PowerAct.BUTTON: ("PushPowerButton",),
}
"""ResetTypes, in order of preference. FullPowerCycle is none of them: it takes the BMC's power, too."""

_ENDS_IN = {PowerAct.ON: Power.ON, PowerAct.FORCE_OFF: Power.OFF, PowerAct.SHUTDOWN: Power.OFF}


class RedfishPanel:
    """Reads never raise for a BMC that is silent or talks nonsense; acts are sent once."""

    def __init__(self, session: Session, service: Service, clock: Clock, patcher: Patcher) -> None:
        self._session = session
        self._service = service
        self._clock = clock
        self._patcher = patcher
        self._boot = BootSource(session, service, clock, patcher)
        self._log = EventLog(service)
        self._sensors = Sensors(session, service)

    # -- power -----------------------------------------------------------------------------------

    async def power_acts(self) -> frozenset[PowerAct] | Unknown | None:
        """Return what the service can be asked for; None: it does not say."""

        async def read() -> frozenset[PowerAct] | None:
            action = await self._service.reset_action()
            if action is None:
                return frozenset()
            allowed = action[1]
            return None if allowed is None else frozenset(act for act, words in WORDS.items() if choose(words, allowed))

        return await _read(read)

    async def power(self, act: PowerAct) -> Receipt:
        """Send one power act. A refusal in the state that was asked for is as good as yes (P35)."""

        async def send() -> Receipt:
            action = await self._service.reset_action()
            if action is None:
                return Refused("the system cannot be reset", ground=Ground.UNABLE)
            target, allowed = action
            word = choose(WORDS[act], allowed)
            if word is None:
                return Refused(f"the BMC has no {act}, only {', '.join(allowed or ())}", ground=Ground.UNABLE)
            answer = await self._session.act("POST", target, {"ResetType": word})
            receipt = receipts.of_answer(answer, way="ComputerSystem.Reset", now=self._clock.now())
            if isinstance(receipt, Refused) and act in _ENDS_IN:
                seen = await _read(self._power_state)
                return Accepted(way="ComputerSystem.Reset") if seen is _ENDS_IN[act] else receipt
            return receipt

        return await _act(send)

    async def _power_state(self) -> Power | Unknown:
        return power_state(await self._service.system())

    # -- boot ------------------------------------------------------------------------------------

    async def boot_setting(self) -> BootSetting | Unknown:
        """Read what overrides the boot order, and what may."""
        return await _read(self._boot.read)

    async def set_boot(self, override: BootOverride) -> Receipt:
        """Override the boot order; Lasting.NEVER clears it."""
        return await _act(lambda: self._boot.override(override))

    async def secure_boot(self) -> SecureBoot | Unknown:
        """Read secure boot."""
        return await _read(self._boot.secure_boot)

    async def set_secure_boot(self, *, enabled: bool) -> Receipt:
        """Switch secure boot for the next boot."""
        return await _act(lambda: self._boot.set_secure_boot(enabled=enabled))

    async def reset_secure_boot_keys(self, how: str) -> Receipt:
        """Reset the secure boot keys, by one of the words that `SecureBoot.key_resets` lists."""
        return await _act(lambda: self._boot.reset_keys(how))

    # -- the locator light -------------------------------------------------------------------------

    async def indicator(self) -> bool | Unknown:
        """Read whether the locator light is on."""

        async def read() -> bool | Unknown:
            light = await self._light()
            return Unknown("the BMC shows no locator light") if light is None else is_lit(light[1])

        return await _read(read)

    async def set_indicator(self, *, on: bool) -> Receipt:
        """Switch the locator light, by LocationIndicatorActive or else by IndicatorLED."""

        async def send() -> Receipt:
            light = await self._light()
            if light is None:
                return Refused("the BMC shows no locator light", ground=Ground.UNABLE)
            uri, document = light
            if isinstance(document.get("LocationIndicatorActive"), bool):
                return await self._patcher.plain(uri, {"LocationIndicatorActive": on}, way="LocationIndicatorActive")
            for word in ("Blinking", "Lit") if on else ("Off", "Lit"):
                receipt = await self._patcher.plain(uri, {"IndicatorLED": word}, way="IndicatorLED")
                # iDRAC knows no Off: its light is Lit where nothing is to be found. A refused word changed nothing.
                if not isinstance(receipt, Refused) or receipt.retry_after is not None:
                    return receipt
            return receipt

        return await _act(send)

    async def _light(self) -> tuple[str, Document] | None:
        """The system, or else a chassis of it, that has a locator light."""
        system = await self._service.system()
        if _has_light(system):
            return await self._service.system_uri(), system
        for item in items(system, "Links", "Chassis")[:4]:
            uri = link(item)
            chassis: Document = (await self._service.get(uri)).document if uri is not None else {}
            if uri is not None and _has_light(chassis):
                return uri, chassis
        return None

    # -- what the machine tells ----------------------------------------------------------------------

    async def sensors(self) -> SensorReadings | Unknown:
        """Read the sensors, in a bounded number of requests."""
        return await _read(self._sensors.read)

    async def log(self, since: LogMark | None, *, limit: int) -> LogNews | Unknown:
        """Read at most *limit* entries of the machine's event log, the newest, or those since a mark."""
        return await _read(lambda: self.read_log(since, limit=limit))

    async def read_log(self, since: LogMark | None, *, limit: int) -> LogNews:
        """Do the same as `log`.

        Raises:
            NodeError: it cannot be read.
        """
        return await self._log.read(since, limit)


def _has_light(document: Document) -> bool:
    return isinstance(document.get("LocationIndicatorActive"), bool) or text(document, "IndicatorLED") is not None


def is_lit(document: Document) -> bool | Unknown:
    """Read a locator light. "Lit" is not told apart from "on" by all makes: iDRAC's is Lit day in, day out."""
    active = dig(document, "LocationIndicatorActive")
    if isinstance(active, bool):
        return active
    match text(document, "IndicatorLED"):
        case "Blinking":
            return True
        case "Off":
            return False
        case word:
            return Unknown(f"IndicatorLED is {word}")


async def _read(read: Callable[[], Awaitable[T]]) -> T | Unknown:
    try:
        return await read()
    except (BmcLoginError, BmcCertificateError):
        raise
    except NodeError as error:
        return Unknown(str(error))


async def _act(send: Callable[[], Awaitable[Receipt]]) -> Receipt:
    try:
        return await send()
    except NodeError as error:
        return receipts.of_error(error)
