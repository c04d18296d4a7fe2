"""One node's BMC over Redfish: the `Bmc` port."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

from attrs import evolve

from ...core.bundle import Activation, AttributeValue
from ...core.identity import ComponentName, NodeName
from ...core.log import LogMark
from ...core.observation import NOT_ASKED, Component, Identity, Lack, Look, Observation, TaskPhase, TaskSeen, Unknown
from ...core.receipt import Accepted, Ground, Receipt, Refused
from ...core.settings_check import SettingsCheck
from ...core.step import ImageWay
from ...errors import (
    BmcAnswerError,
    BmcCertificateError,
    BmcLoginError,
    BmcRefusedError,
    BmcUnreachableError,
    NodeError,
)
from ...ports import Clock, Completing, Credentials, EventDoors, Image, KeyBook, LoginMemory, Means, ResetKind
from ..quirks import Roster
from ..throttle import Throttle
from . import power, receipts
from .answer import Answer
from .bios import Bios
from .document import Document, text
from .events import EventStream
from .habits import Habits
from .inspection import Inspection
from .media import VirtualMedia
from .panel import RedfishPanel
from .patch import Patcher
from .resources import Service
from .session import OnSession, Session
from .surveyor import Surveyor
from .tracker import Tracker
from .transport import Budget, Timeouts, Transport
from .trust import SystemTrust, TlsTrust
from .update import NoWay, Prefer, Pull
from .updater import Updater

_NEWS = 100
"""How many entries since a mark are read for the gate: an update enters a dozen."""

Part: TypeAlias = tuple[Callable[[Observation], Awaitable[Observation]], Callable[[Observation, Unknown], Observation]]
"""How to read one part of an observation, and what to put there when it could not be read."""


class RedfishBmc:
    """Drive one node through its Redfish service.

    Usable from one event loop, by one caller at a time. Reads never raise for a BMC that is silent or
    talks nonsense; acts are sent once. Both raise BmcLoginError and BmcCertificateError.

    Args:
        node: the node's name, for messages.
        url: ``https://HOST[:PORT]``.
        credentials: called at each login, so that a changed secret is seen.
        trust: whose certificates are believed.
        clock: for waits between tries and for the age of tasks.
        timeouts: deadlines of requests, in real seconds.
        on_session: told ``(uri, opened)``, so that the journal knows which sessions to close after a crash.
        prefer: how images go over where the service leaves the choice.
        system: the Id of the node's ComputerSystem, where the BMC has several.
        roster: what makes do differently; the records that are installed where it is not given.
        memory: what became of logins in earlier processes.
        keys: by which key the BMC is believed; with *trust* PinnedKey, and only then.
        budget: how much of the BMC we take at a time.
        throttle: the limit that it shares with the BMCs of its make and site.
        habits: what was learned of makes, where several BMCs share it.
        doors: where it may tell of news by itself, if it offers no stream; None: nowhere.
    """

    def __init__(
        self,
        node: NodeName,
        url: str,
        credentials: Callable[[], Credentials],
        *,
        clock: Clock,
        trust: TlsTrust = SystemTrust(),  # noqa: B008 - frozen and empty
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - frozen
        on_session: OnSession | None = None,
        prefer: Prefer = "auto",
        system: str | None = None,
        roster: Roster | None = None,
        memory: LoginMemory | None = None,
        keys: KeyBook | None = None,
        budget: Budget = Budget(),  # noqa: B008 - frozen
        throttle: Throttle | None = None,
        habits: Habits | None = None,
        doors: EventDoors | None = None,
    ) -> None:
        self._node = node
        self._clock = clock
        self.transport = Transport(node, url, trust, timeouts, keys=keys, budget=budget, throttle=throttle)
        self.session = Session(self.transport, credentials, clock, on_session, memory)
        self.service = Service(self.session, system, roster, habits)
        patcher = Patcher(self.session, self.service, clock)
        self._bios = Bios(self.session, self.service, clock, patcher)
        self.media = VirtualMedia(self.session, self.service, clock, patcher)
        self.inspection = Inspection(self.session, self.service, clock, self.media)
        self.panel = RedfishPanel(self.session, self.service, clock, patcher)
        self._events = EventStream(self.session, self.service, clock, doors)
        self._installed: dict[ComponentName, str] = {}
        self.updater = Updater(self.session, self.service, clock, patcher, prefer)
        self.surveyor = Surveyor(self.service, updater=self.updater, bios=self._bios, media=self.media)
        self._written: dict[str, ComponentName] = {}
        self._tracker = Tracker(self.session, self.service, clock)
        self._lent: list[Callable[[], None]] = []
        self._is_away = False

    @property
    def node(self) -> NodeName:
        """Whose BMC it is."""
        return self._node

    async def observe(self, look: Look) -> Observation:
        """Read what *look* asks for; what could not be read is Unknown, with the reason.

        Once the BMC cannot be reached at all, nothing more is tried in this look.
        """
        seen = Observation(at=self._clock.now())
        away: Unknown | None = None
        try:
            await self.service.root()
            await self.session.token()
        except (BmcLoginError, BmcCertificateError):
            raise
        except NodeError as error:
            away = _unknown(error)
        for see, lost in self._parts(look):
            if away is not None:
                seen = lost(seen, away)
                continue
            try:
                seen = await see(seen)
            except (BmcLoginError, BmcCertificateError):
                raise
            except NodeError as error:
                why = _unknown(error)
                seen = lost(seen, why)
                if _says_all(error):
                    away = why
        self._is_away = away is not None
        return seen

    async def list_components(self) -> frozenset[ComponentName] | Unknown:
        """Return the names of all components that the BMC lists now; Unknown where it cannot be asked.

        Raises:
            BmcLoginError, BmcCertificateError: a person must act first.
        """
        try:
            return await self.service.inventory.names()
        except (BmcLoginError, BmcCertificateError):
            raise
        except NodeError as error:
            return Unknown(str(error))

    async def way_of(self, component: ComponentName, *, activation: Activation) -> ImageWay | Unknown:
        """Return the way that an image for *component* would go over now.

        Raises:
            BmcLoginError, BmcCertificateError: a person must act first.
        """
        try:
            way = await self.updater.way_of(component, activation)
        except (BmcLoginError, BmcCertificateError):
            raise
        except NodeError as error:
            return Unknown(str(error))
        if isinstance(way, NoWay):
            return Unknown(way.reason, Lack.ABSENT)
        return ImageWay.PULL if isinstance(way, Pull) else ImageWay.PUSH

    def _parts(self, look: Look) -> Iterator[Part]:
        """What to read for *look*, what decides first."""
        if look.task is not None:
            task = look.task
            yield lambda seen: self._see_task(seen, task), lambda seen, why: evolve(seen, task=why)
        for name in sorted(look.components):
            spare = name in look.spares
            yield (
                partial(self._see_component, name=name, staged=look.tasks, spare=spare),
                partial(_lost_component, name=name, spare=spare),
            )
        if look.system:
            yield self._see_system, _lost_system
        if look.bmc:
            yield self._see_manager, lambda seen, why: evolve(seen, bmc_boot=why)
        if look.settings:
            yield self._see_settings, lambda seen, why: evolve(seen, settings=why, staged_settings=why)
        if look.log:
            since = look.since
            yield lambda seen: self._see_log(seen, since), lambda seen, why: evolve(seen, log=why)
        if look.tasks:
            yield self._see_tasks, lambda seen, why: evolve(seen, tasks=why)

    async def _see_task(self, seen: Observation, uri: str) -> Observation:
        task = await self._tracker.follow(uri)
        if isinstance(task, TaskSeen) and task.transfer_failed:
            self.updater.fetch_failed()
        written = self._written.get(uri)
        if written is not None and isinstance(task, TaskSeen) and task.phase in (TaskPhase.DONE, TaskPhase.STAGED):
            with suppress(BmcAnswerError, BmcRefusedError):  # another machine of this make will tell
                await self.service.inventory.learn_staged(self._written.pop(uri))
        return evolve(seen, task=task)

    async def _see_log(self, seen: Observation, since: LogMark | None) -> Observation:
        return evolve(seen, log=await self.panel.read_log(since, limit=_NEWS if since is not None else 1))

    async def _see_tasks(self, seen: Observation) -> Observation:
        return evolve(seen, tasks=await self._tracker.all())

    async def _see_component(self, seen: Observation, *, name: ComponentName, staged: bool, spare: bool) -> Observation:
        component = await self.service.inventory.component(name)
        if isinstance(component.installed, str):
            if self._installed.setdefault(name, component.installed) != component.installed:
                # It may be the BMC itself, of which other quirks hold now.
                self.service.make.forget_manager()
            self._installed[name] = component.installed
        if staged:
            # It costs a reading of the whole collection, and is of use where a write is in doubt:
            # then every task is asked for, too (Look.tasks).
            component = evolve(component, staged=await self.service.inventory.staged(name))
        if spare:
            kept = await self.service.inventory.spare(name)
            component = evolve(component, spare=kept[1] if isinstance(kept, tuple) else kept)
        return evolve(seen, components={**seen.components, name: component})

    async def _see_system(self, seen: Observation) -> Observation:
        system = await self.service.system()
        quirks = await self.service.quirks("post", "boot_marker")
        asked: Document | Unknown | None = None
        if quirks.post is not None and power.needs_asking(system, quirks.post):
            try:
                asked = await self.service.ask_post(quirks.post)
            except (BmcLoginError, BmcCertificateError):
                raise
            except NodeError as error:
                asked = _unknown(error)
        return power.with_system(seen, system, quirks, asked)

    async def _see_manager(self, seen: Observation) -> Observation:
        manager = await self.service.manager()
        marker = text(manager, "LastResetTime")
        return evolve(seen, bmc_boot=marker or Unknown("the manager has no LastResetTime", Lack.ABSENT))

    async def _see_settings(self, seen: Observation) -> Observation:
        settings = await self._bios.read()
        return evolve(seen, settings=settings.current, staged_settings=settings.staged)

    async def write(self, image: Image, *, completing: Completing) -> Receipt:
        """Hand *image* to the BMC for its component, once: pulled or pushed, as `update.choose_way` says."""
        return self._followed(await self.updater.write(image, completing=completing), image.component)

    async def start_update(self, component: ComponentName) -> Receipt:
        """Have the BMC begin with what it holds, once."""
        return self._followed(await self.updater.start(component), component)

    async def switch_bank(self, component: ComponentName, version: str, *, activation: Activation) -> Receipt:
        """Have *component* run what its other bank has, once."""
        return self._followed(await self.updater.switch_bank(component, version, activation), component)

    def _followed(self, receipt: Receipt, component: ComponentName) -> Receipt:
        if isinstance(receipt, Accepted) and receipt.task is not None and not receipt.held:
            self._written[receipt.task] = component
        return self._remembered(receipt)

    async def configure(self, attributes: Mapping[str, AttributeValue]) -> Receipt:
        """Stage BIOS attributes for the next host reset, once; what the registry forbids is not sent."""
        try:
            return self._remembered(await self._bios.stage(attributes))
        except NodeError as error:
            return receipts.of_error(error)

    async def check_settings(self, attributes: Mapping[str, AttributeValue]) -> SettingsCheck | Unknown:
        """Say what speaks against staging *attributes*, touching nothing."""
        try:
            return await self._bios.check(attributes)
        except (BmcLoginError, BmcCertificateError):
            raise
        except NodeError as error:
            return Unknown(str(error))

    async def reset_bios(self) -> Receipt:
        """Have the BIOS go back to its defaults at the next host reset, once."""
        try:
            return self._remembered(await self._bios.reset_to_defaults())
        except NodeError as error:
            return receipts.of_error(error)

    async def reset_host(self, kind: ResetKind) -> Receipt:
        """Change the host's power, once. A refusal in the state that was asked for is as good as yes (P35)."""
        try:
            action = await self.service.reset_action()
            if action is None:
                return Refused("the system cannot be reset", ground=Ground.UNABLE)
            target, allowed = action
            word = power.reset_type(kind, allowed)
            if word is None:
                return Refused(
                    f"the BMC has no reset for {kind}, only {', '.join(allowed or ())}", ground=Ground.UNABLE
                )
            way = "ComputerSystem.Reset"
            receipt = self._judged(await self.session.act("POST", target, {"ResetType": word}), way)
        except NodeError as error:
            return receipts.of_error(error)
        if isinstance(receipt, Refused) and await self._is_so(kind):
            return Accepted(way=way)
        return receipt

    async def _is_so(self, kind: ResetKind) -> bool:
        if kind is ResetKind.FORCE_RESTART:
            return False
        try:
            return power.reached(kind, power.power_state(await self.service.system()))
        except NodeError:
            return False  # then the refusal stands

    @property
    def means(self) -> tuple[Means, ...]:
        """By Manager.Reset; whether the service has it is found when it is asked for it."""
        return (Means.REDFISH,)

    async def reset_bmc(self, means: Means | None = None) -> Receipt:
        """Restart the BMC, once. Many are gone before they answer: then the receipt is Ambiguous."""
        if means not in (None, Means.REDFISH):
            return Refused(f"Redfish is no way to restart it by {means}", ground=Ground.UNABLE)
        try:
            action = await self.service.action(await self.service.manager(), "#Manager.Reset", "ResetType")
            if action is None:
                return Refused("the BMC has no Manager.Reset", ground=Ground.UNABLE)
            target, allowed = action
            word = power.choose(power.BMC_RESET_TYPES, allowed)
            if word is None:
                return Refused(
                    f"the BMC does not restart itself, only {', '.join(allowed or ())}", ground=Ground.UNABLE
                )
            try:
                return self._judged(await self.session.act("POST", target, {"ResetType": word}), "Manager.Reset")
            finally:
                self.service.forget()  # what comes back may run another firmware
        except NodeError as error:
            return receipts.of_error(error)

    async def close_leftover(self, uri: str) -> bool:
        """Delete the session at *uri* that a killed run left, in a session of ours; whether it is gone.

        Raises:
            NodeError: we cannot log in.
        """
        return await self.session.end(uri)

    async def sushy(self) -> Any:
        """Lend a live ``sushy.Sushy`` on our session; use it in a worker thread (`sushy_bridge`)."""
        from .sushy_bridge import borrow_sushy  # imports sushy, which few runs need

        lent, close = await asyncio.to_thread(borrow_sushy, self.session, asyncio.get_running_loop())
        self._lent.append(close)
        return lent

    async def park(self) -> None:
        """Drop the connection; the session stays open on the BMC, unless it has few of them."""
        await self.session.rest()
        await self.transport.park()

    async def listen(self, wake: Callable[[], None]) -> None:
        """Call *wake* when the BMC tells of news by itself, until `close`; no effect where it does not."""
        if not self._is_away:  # it would cost the deadline of a connection again
            await self._events.listen(wake)

    async def close(self) -> None:
        """Delete our session on the BMC and drop every connection."""
        await self._events.close()
        for close in self._lent:
            close()
        self._lent.clear()
        try:
            await self.session.close()
        finally:
            await self.transport.park()

    def _judged(self, answer: Answer, way: str) -> Receipt:
        return self._remembered(receipts.of_answer(answer, way=way, now=self._clock.now()))

    def _remembered(self, receipt: Receipt) -> Receipt:
        if isinstance(receipt, Accepted) and receipt.task is not None:
            self._tracker.born(receipt.task)
        return receipt


def _unknown(error: NodeError) -> Unknown:
    """What *error* leaves unknown; a BMC that is busy, or talks nonsense, is not away."""
    if isinstance(error, BmcUnreachableError):
        return Unknown(str(error), Lack.AWAY)
    return Unknown(str(error), Lack.BUSY if _is_busy(error) else Lack.UNREAD)


def _says_all(error: NodeError) -> bool:
    """Whether *error* concerns the whole BMC, so that asking on would only cost its deadlines again."""
    return isinstance(error, BmcUnreachableError) or _is_busy(error)


def _is_busy(error: NodeError) -> bool:
    return isinstance(error, BmcRefusedError) and error.status in (429, 503)


def _lost_component(seen: Observation, why: Unknown, *, name: ComponentName, spare: bool) -> Observation:
    lost = Component(name, why, why, spare=why if spare else NOT_ASKED)
    return evolve(seen, components={**seen.components, name: lost})


def _lost_system(seen: Observation, why: Unknown) -> Observation:
    return evolve(seen, power=why, post=why, health=why, os=why, boot=why, identity=Identity(why, why, why))
