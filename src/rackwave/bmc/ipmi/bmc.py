"""One node's BMC over IPMI: the ports `Bmc` and `Panel`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import TypeAlias

from attrs import evolve

from ...core.boot import BootOverride, BootSetting
from ...core.bundle import Activation, AttributeValue
from ...core.hpm_image import HpmImage
from ...core.hpm_version import can_be_told
from ...core.identity import ComponentName, NodeName
from ...core.log import LogMark, LogNews
from ...core.observation import NOT_ASKED, Component, Health, Identity, Lack, Look, Observation, Unknown
from ...core.power import PowerAct
from ...core.receipt import Ground, Receipt, Refused
from ...core.sensor import SensorReadings
from ...core.step import ImageWay
from ...errors import (
    BmcCertificateError,
    BmcLoginError,
    BmcRefusedError,
    BmcUnreachableError,
    BundleError,
    NodeError,
)
from ...ports import Clock, Completing, Credentials, Image, LoginMemory, Means, ResetKind
from . import completion, device, fru, panel, presence
from .chassis import Chassis, ChassisStatus
from .endpoint import Endpoint
from .health import health_of
from .hpm import TASK, WAY, Hpm
from .hpm_file import read_hpm_file
from .hpm_upload import Uploader
from .link import SUITES, Link
from .links import Backend, LazyLink
from .presence import Presence
from .sel import EventLog, Mark
from .sensors import Reading, Sensors
from .session import Session
from .startup import PROGRESS, Startup
from .threads import Threads

HEALTH_HOLDS = 30.0
"""Seconds for which the sensors' word holds while power and event log stand still. A sweep of a real machine's
150 sensors costs its BMC a second; a node that is being worked on is looked at every few."""

_LOG_DEPTH = 128
"""Entries of the event log that a first look reads: a start of the host leaves five to twenty."""

Part: TypeAlias = tuple[Callable[[Observation], Awaitable[Observation]], Callable[[Observation, Unknown], Observation]]
"""How to read one part of an observation, and what to put there when it could not be read."""

_NO_BANK = Unknown("IPMI switches no single component to another bank", Lack.ABSENT)
_NO_SETTINGS = Unknown("IPMI has no BIOS settings", Lack.ABSENT)
_NO_MARKER = Unknown("IPMI marks no restarts of the BMC", Lack.ABSENT)


class IpmiBmc:
    """Drive one node through IPMI 2.0.

    Usable from one event loop, by one caller at a time. Reads never raise for a BMC that is silent or
    talks nonsense; acts are sent once. Both raise BmcLoginError.

    Args:
        node: the node's name, for messages.
        endpoint: where the BMC listens.
        credentials: called at each login, so that a changed secret is seen.
        clock: for waits between tries and the age of what was read.
        threads: where blocking commands run; one for the whole process.
        cipher_suites: those that may be used, best first; each must be in `link.SUITES`.
        backend: ``native`` (python-ipmi), ``ipmitool``, or ``auto``: the first that is there.
        link: a link instead of the backend's.
        is_there: asks whether a BMC answers at all.
        memory: what became of logins in earlier processes.
    """

    def __init__(
        self,
        node: NodeName,
        endpoint: Endpoint,
        credentials: Callable[[], Credentials],
        *,
        clock: Clock,
        threads: Threads,
        cipher_suites: tuple[int, ...] = SUITES,
        backend: Backend = "auto",
        link: Link | None = None,
        is_there: Presence = presence.answers,
        memory: LoginMemory | None = None,
    ) -> None:
        self._node = node
        self._clock = clock
        self._threads = threads
        self.session = Session(
            node,
            endpoint,
            credentials,
            clock=clock,
            threads=threads,
            link=link or LazyLink(node, endpoint, suites=cipher_suites, backend=backend),
            is_there=is_there,
            memory=memory,
        )
        self.chassis = Chassis(self.session)
        self.hpm = Hpm(self.session, clock)
        self.uploader = Uploader(self.session, self.hpm, clock)
        self.event_log = EventLog(self.session)
        self._sensors = Sensors(self.session)
        self._startup = Startup()
        self._mark: Mark | None = None
        self._identity: tuple[int, Identity] | None = None
        self._status: ChassisStatus | None = None
        self._health: tuple[float, ChassisStatus, Mark | None, Health | Unknown] | None = None

    @property
    def node(self) -> NodeName:
        """Whose BMC it is."""
        return self._node

    # -- looks ----------------------------------------------------------------------------------

    async def observe(self, look: Look) -> Observation:
        """Read what *look* asks for; what could not be read is Unknown, with the reason.

        Once the BMC does not answer, nothing more is tried in this look.
        """
        seen = Observation(at=self._clock.now())
        away: Unknown | None = None
        self._status = None
        for see, lost in self._parts(look):
            if away is not None:
                seen = lost(seen, away)
                continue
            try:
                seen = await see(seen)
            except (BmcLoginError, BmcCertificateError):
                raise
            except NodeError as error:
                is_away = isinstance(error, BmcUnreachableError) or not self.session.is_open
                why = Unknown(str(error), _lack(error, is_away=is_away))
                seen = lost(seen, why)
                if is_away:
                    away = why
        return seen

    def _parts(self, look: Look) -> Iterator[Part]:
        """What to read for *look*, what decides first."""
        if look.task is not None:
            yield partial(self._see_task, uri=look.task), lambda seen, why: evolve(seen, task=why)
        for name in sorted(look.components):
            spare = _NO_BANK if name in look.spares else NOT_ASKED
            yield partial(self._see_component, name=name, spare=spare), partial(_lost_component, name=name, spare=spare)
        if look.system:
            yield self._see_power, lambda seen, why: evolve(seen, power=why)
            yield self._see_start, lambda seen, why: evolve(seen, post=why, os=why, boot=why)
            yield self._see_health, lambda seen, why: evolve(seen, health=why)
            yield self._see_identity, lambda seen, why: evolve(seen, identity=Identity(why, why, why))
        if look.bmc:
            yield _see_no_marker, lambda seen, why: evolve(seen, bmc_boot=why)
        if look.settings:
            yield _see_no_settings, lambda seen, why: evolve(seen, settings=why, staged_settings=why)
        if look.tasks:
            yield self._see_tasks, lambda seen, why: evolve(seen, tasks=why)

    async def _see_task(self, seen: Observation, *, uri: str) -> Observation:
        if uri != TASK:
            return evolve(seen, task=Unknown(f"{uri} is no task of IPMI"))
        return evolve(seen, task=await self.hpm.followed())

    async def _see_component(self, seen: Observation, *, name: ComponentName, spare: Unknown) -> Observation:
        component = evolve(await self.hpm.component(name), spare=spare)
        return evolve(seen, components={**seen.components, name: component})

    async def _see_power(self, seen: Observation) -> Observation:
        return evolve(seen, power=(await self._chassis_status()).power)

    async def _chassis_status(self) -> ChassisStatus:
        """Return the chassis' status as of this look."""
        if self._status is None:
            self._status = await self.chassis.status()
        return self._status

    async def _see_start(self, seen: Observation) -> Observation:
        status = await self._chassis_status()
        news = await self.event_log.since(self._mark, newest=_LOG_DEPTH)
        self._mark = news.mark
        self._startup.hear(news)
        self._startup.see(await self._progress())
        return evolve(
            seen,
            post=self._startup.post(status.power),
            os=self._startup.os(status.power),
            boot=self._startup.boot(),
        )

    async def _progress(self) -> Reading | None:
        """Read the firmware progress sensor, where there is one."""
        try:
            sensors = [sensor for sensor in await self._sensors.all() if sensor.kind == PROGRESS]
        except BmcLoginError:
            raise
        except NodeError:
            return None  # the event log may tell all the same
        return await self._sensors.read(sensors[0]) if sensors else None

    async def _see_health(self, seen: Observation) -> Observation:
        status, now = await self._chassis_status(), self._clock.monotonic()
        known = self._health
        if known is None or now - known[0] > HEALTH_HOLDS or known[1:3] != (status, self._mark):
            readings = [await self._sensors.read(sensor) for sensor in await self._sensors.all()]
            judged = health_of(status, [reading for reading in readings if reading is not None])
            self._health = known = (now, status, self._mark, judged)
        # A host whose operating system has died is in a critical state, whatever its sensors read.
        return evolve(seen, health=Health.CRITICAL if self._startup.has_stopped else known[3])

    async def _see_identity(self, seen: Observation) -> Observation:
        # Read once a session: a BMC that was away may be another one's now (P40).
        if self._identity is None or self._identity[0] != self.session.generation:
            inventory = await fru.read_inventory(self.session)
            self._identity = (self.session.generation, fru.identity_of(fru.areas_of(inventory)))
        return evolve(seen, identity=self._identity[1])

    async def _see_tasks(self, seen: Observation) -> Observation:
        return evolve(seen, tasks=await self.hpm.running())

    # -- firmware -------------------------------------------------------------------------------

    async def write(self, image: Image, *, completing: Completing) -> Receipt:
        """Upload *image* by HPM.1, once. The BMC holds it until `start_update`."""
        try:
            number = await self.hpm.number(image.component)
            if number is None:
                return Refused(f"HPM.1 lists no component {image.component}", ground=Ground.UNABLE)
            found = (await self._threads.run(image.path.stat)).st_size
            if found != image.size:
                return Refused(f"the image has {found} bytes on disk, not {image.size}")
            package = await self._threads.run(partial(read_hpm_file, image.path, component=number))
            if (why := _unfit(image, package, number)) is not None:
                return why
            identity = await device.device_id(self.session)
            return await self.uploader.write(image.path, package, identity, completing=completing)
        except (BundleError, OSError) as error:
            return Refused(f"the image cannot be read: {error}")
        except NodeError as error:
            return _firmware_receipt(error)

    async def way_of(self, component: ComponentName, *, activation: Activation) -> ImageWay | Unknown:
        """HPM.1 takes what is sent to it, for the components that it lists."""
        del activation
        try:
            number = await self.hpm.number(component)
        except NodeError as error:
            return Unknown(str(error))
        return Unknown(f"HPM.1 lists no component {component}", Lack.ABSENT) if number is None else ImageWay.PUSH

    async def start_update(self, component: ComponentName) -> Receipt:
        """Activate what the BMC holds for *component*. One that restarts for it may be gone before it answers."""
        try:
            number = await self.hpm.number(component)
            if number is None:
                return Refused(f"HPM.1 lists no component {component}", ground=Ground.UNABLE)
            return await self.hpm.activate(number)
        except NodeError as error:
            return _firmware_receipt(error)

    async def roll_back(self) -> Receipt:
        """Have the BMC bring back what ran before the last upgrade (HPM.1's manual rollback), once."""
        try:
            return await self.hpm.roll_back()
        except NodeError as error:
            return _firmware_receipt(error)

    async def switch_bank(self, component: ComponentName, version: str, *, activation: Activation) -> Receipt:
        """Refuse: HPM.1's rollback names no component, and takes back all that went up last (`roll_back`)."""
        del version, activation
        return Refused(f"HPM.1 switches no single component such as {component}", ground=Ground.UNABLE)

    async def configure(self, attributes: Mapping[str, AttributeValue]) -> Receipt:  # noqa: ARG002 - the port's
        """Refuse: IPMI has no BIOS settings."""
        return Refused(_NO_SETTINGS.reason, ground=Ground.UNABLE)

    async def check_settings(self, attributes: Mapping[str, AttributeValue]) -> Unknown:  # noqa: ARG002 - the port's
        """Say nothing: IPMI has no BIOS settings."""
        return _NO_SETTINGS

    # -- resets ---------------------------------------------------------------------------------

    async def reset_host(self, kind: ResetKind) -> Receipt:
        """Change the host's power, once. A refusal in the state that was asked for is as good as yes (P35)."""
        try:
            receipt = await self.chassis.reset(kind)
        except NodeError as error:
            receipt = completion.receipt_of_error(error, f"Chassis Control for {kind}")
        return self._restarted(receipt)

    def _restarted(self, receipt: Receipt) -> Receipt:
        """Forget what was seen of the host where it may be restarting now; a refusal leaves it as it was."""
        if not isinstance(receipt, Refused):
            self._startup.restarted()
            self._health = None
        return receipt

    @property
    def means(self) -> tuple[Means, ...]:
        """By a cold reset."""
        return (Means.IPMI,)

    async def reset_bmc(self, means: Means | None = None) -> Receipt:
        """Restart the BMC, once, and see within half a minute whether it does (P38).

        Accepted: our session is gone, as after a restart. Refused: the BMC said yes, and has not restarted.
        """
        if means not in (None, Means.IPMI):
            return Refused(f"IPMI is no way to restart it by {means}", ground=Ground.UNABLE)
        try:
            return await device.cold_reset(self.session, self._clock)
        except NodeError as error:
            return completion.receipt_of_error(error, device.WAY)

    # -- by hand --------------------------------------------------------------------------------

    async def power_acts(self) -> frozenset[PowerAct]:
        """Return what IPMI has; a BMC that lacks one says so when it is asked."""
        return frozenset(panel.POWER_ACTS)

    async def power(self, act: PowerAct) -> Receipt:
        """Send one power act, once."""
        control = panel.POWER_ACTS.get(act)
        if control is None:
            return Refused(f"IPMI has no {act}", ground=Ground.UNABLE)
        try:
            receipt = await self.chassis.control(control)
        except NodeError as error:
            receipt = completion.receipt_of_error(error, f"Chassis Control for {act}")
        return self._restarted(receipt)

    async def boot_setting(self) -> BootSetting | Unknown:
        """Read the boot flags."""
        try:
            return panel.boot_setting(await self.chassis.boot())
        except BmcLoginError:
            raise
        except NodeError as error:
            return Unknown(str(error))

    async def set_boot(self, override: BootOverride) -> Receipt:
        """Set the boot flags, for the next boot or for good."""
        boot = panel.boot_flags(override)
        if boot is None:
            return Refused(f"IPMI has no boot device {override.target}", ground=Ground.UNABLE)
        try:
            return await self.chassis.set_boot(boot)
        except NodeError as error:
            return completion.receipt_of_error(error, "Set System Boot Options")

    async def indicator(self) -> bool | Unknown:
        """Read the identify light."""
        try:
            lit = (await self.chassis.status()).identifying
        except BmcLoginError:
            raise
        except NodeError as error:
            return Unknown(str(error))
        return Unknown("the chassis does not tell its identify light") if lit is None else lit

    async def set_indicator(self, *, on: bool) -> Receipt:
        """Switch the identify light, until it is switched again."""
        try:
            return await self.chassis.identify(on=on)
        except NodeError as error:
            return completion.receipt_of_error(error, "Chassis Identify")

    async def sensors(self) -> SensorReadings | Unknown:
        """Read the sensors that measure something."""
        try:
            return await panel.read_sensors(self._sensors)
        except BmcLoginError:
            raise
        except NodeError as error:
            return Unknown(str(error))

    async def log(self, since: LogMark | None, *, limit: int) -> LogNews | Unknown:
        """Read at most *limit* entries of the system event log, the newest, or those since a mark."""
        try:
            return await panel.read_log(self.event_log, since, limit)
        except BmcLoginError:
            raise
        except NodeError as error:
            return Unknown(str(error))

    # -- the end --------------------------------------------------------------------------------

    async def park(self) -> None:
        """End the session: the BMC would drop it within a minute without use anyway."""
        await self.session.close()

    async def close(self) -> None:
        """End the session on the BMC and let go of everything."""
        await self.session.close()


def _lack(error: NodeError, *, is_away: bool) -> Lack:
    if is_away:
        return Lack.AWAY
    has_not = isinstance(error, BmcRefusedError) and error.status in completion.CANNOT
    return Lack.ABSENT if has_not else Lack.UNREAD


def _unfit(image: Image, package: HpmImage, number: int) -> Refused | None:
    """Say why *package* is not to go to component *number* as *image*; None: it may."""
    uploads = package.uploads
    if [upload.component for upload in uploads] != [number]:
        named = ", ".join(str(upload.component) for upload in uploads) or "none"
        return Refused(f"the image is for component {named}, and {image.component} is component {number}")
    told = uploads[0].version
    if isinstance(told, str) and told != image.version:
        return Refused(f"the image's own version is {told}, and the bundle says {image.version}")
    if not can_be_told(image.version):
        # Written it would be, and never be seen to be there.
        why = f"version {image.version} does not fit in the six bytes that HPM.1 has for it (it would read 2.1.7)"
        return Refused(why, ground=Ground.UNABLE)
    return None


def _firmware_receipt(error: NodeError) -> Receipt:
    """As `completion.receipt_of_error`, of a firmware command. Call it only in an ``except`` block."""
    return completion.receipt_of_error(error, WAY)


async def _see_no_marker(seen: Observation) -> Observation:
    return evolve(seen, bmc_boot=_NO_MARKER)


async def _see_no_settings(seen: Observation) -> Observation:
    return evolve(seen, settings=_NO_SETTINGS, staged_settings=_NO_SETTINGS)


def _lost_component(seen: Observation, why: Unknown, *, name: ComponentName, spare: Unknown) -> Observation:
    return evolve(seen, components={**seen.components, name: Component(name, why, why, spare=spare)})
