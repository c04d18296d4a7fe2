"""One BMC of the lab: a machine, its sessions, and its Redfish service.

A machine is not made for several threads, and the stock views of sushy-tools run in some; so every
call that reaches the machine holds the station's lock. On the event loop it is held for microseconds.
"""

from __future__ import annotations

import random
import threading
import uuid as uuids
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import attrs
from attrs import define

from rackwave.core.bundle import AttributeValue
from rackwave.errors import UsageError
from rackwave.ports import Clock

from .. import boot
from ..boot import BootSettings
from ..faults import Fault
from ..fleet_app import Drivers
from ..host import HostReset
from ..host_backend import TIMED_HOST, HostIdentity, HostMaker
from ..images import ImageFacts
from ..ipmi.sel import Witness
from ..machine import Machine, WireFault
from ..personality import Personality, Timing
from ..refusal import LabRefusal
from ..updates import Hold, MachineTask
from . import log_service, resources, tasks
from .answers import Answer, RefusalError
from .events import Events
from .sessions import Account, Sessions
from .shelf import Shelf

IMAGE_LIMIT = 256 << 20  # the largest BMC image in the field's recorded trees is 128 MiB


@define
class Counters:
    """What came over the wire since the counters were last reset."""

    requests: int = 0
    connections: int = 0

    def clear(self) -> None:
        """Start again from zero."""
        self.requests = self.connections = 0


class OtherFace(Protocol):
    """A face of the BMC beside Redfish."""

    @property
    def endpoint(self) -> str:
        """``host:port``."""

    def truth(self) -> dict[str, Any]:
        """Tell what came over its wire."""

    def clear_counters(self) -> None:
        """Start counting again from zero."""


class Recorded(Protocol):
    """A recorded tree (see ``tree``)."""

    def read(self, path: str) -> Answer | None:
        """Answer a GET; None: it was not recorded."""


class Station:
    """One BMC. *directory* is where it may keep virtual media."""

    def __init__(
        self,
        machine: Machine,
        sessions: Sessions,
        *,
        uuid: str,
        mac: str,
        directory: Path,
    ) -> None:
        self.machine = machine
        self.sessions = sessions
        self.counters = Counters()
        self.name = str(machine.name)
        self.vendor = machine.personality.vendor
        self.model = machine.personality.model
        self.uuid = uuid
        self.mac = mac
        self.system_id = machine.personality.system_id
        self.manager_id = machine.personality.manager_id
        self.image_limit = IMAGE_LIMIT
        self.verifies_remote = False
        self.push_targets: tuple[str, ...] = ()
        self.push_claimed = False
        self.media_directory = directory / "media"
        self.address = ""
        self.port = 0
        self.scheme = "https"
        self._lock = threading.RLock()
        self.ipmi: OtherFace | None = None
        """The BMC's IPMI port, where it has one."""
        self._drivers: Drivers | None = None
        self._boot = BootSettings()
        self._booted = machine.bmc_last_reset
        self._requests: dict[int, dict[str, Any]] = {}
        self.witness = Witness(self)
        self.events = Events(self)
        self._shelf = Shelf(self, sessions)
        self.recording: Recorded | None = None
        """What this BMC says instead of anything that the lab could make up; it is then read-only."""

    # -- where it is ----------------------------------------------------------------------------

    def located(self, address: str, port: int, *, scheme: str) -> None:
        """Note where the BMC listens."""
        self.address, self.port, self.scheme = address, port, scheme

    @property
    def url(self) -> str:
        """The root of the BMC's service."""
        return f"{self.scheme}://{self.address}:{self.port}"

    def whereabouts(self) -> dict[str, str]:
        """Return where the BMC's faces are, as nodes.json lists them."""
        found = {"name": self.name, "url": self.url}
        return found if self.ipmi is None else {**found, "ipmi": self.ipmi.endpoint}

    @property
    def clock_offset(self) -> float:
        """By how many seconds the BMC's clock is wrong (P33)."""
        return self.machine.controller.clock_offset

    # -- whether it answers ---------------------------------------------------------------------

    def is_up(self) -> bool:
        """Whether the BMC answers; a restart ends every session."""
        with self._lock:
            alive = self.machine.bmc_alive
            booted = self.machine.bmc_last_reset
            if not alive or booted != self._booted:
                self._booted = booted
                self.sessions.forget()
                self.events.forget(kept=self.machine.personality.rules.events_kept)
                self.push_targets, self.push_claimed = (), False
            self.sessions.follow()
            return alive

    def bmc_boot(self) -> str:
        """A marker that changes with every restart of the BMC."""
        return str(self._booted)

    def trouble(self, method: str, path: str) -> WireFault | None:
        """Say what becomes of this request or its answer, and use the fault up."""
        with self._lock:
            struck = self.machine.strike_wire(method, path)
            self.sessions.follow()
            return struck

    # -- what it shows --------------------------------------------------------------------------

    def read(self, path: str, query: str) -> Answer | None:
        """Return the resource at *path*; None: it is not one of the machine's."""
        with self._lock:
            return self._shelf.read(path, query)

    @property
    def manager_resets(self) -> tuple[str, ...]:
        """The ResetTypes that the BMC itself allows."""
        return self.machine.personality.rules.manager_resets

    def canonical(self, path: str) -> str:
        """Return *path* as this BMC spells it itself, where it does not mind how clients do."""
        return self._shelf.canonical(path) if self.machine.personality.rules.case_insensitive else path

    def touch(self) -> None:
        """Note that something outside the machine may have changed, so that nothing rendered is served again."""
        self._shelf.touch()

    # -- what it is told to do ------------------------------------------------------------------

    def begin_update(
        self,
        component: str | None,
        image: str,
        *,
        source: str,
        requested: dict[str, Any],
        hold: Hold = Hold.NO,
        resets_host: bool = False,
    ) -> tuple[MachineTask, Answer]:
        """Begin an update and return its task with the answer to whoever asked for it.

        Raises:
            RefusalError: the machine refuses it.
        """
        with self._acting():
            task = self.machine.begin_update(component, image, source=source, hold=hold, resets_host=resets_host)
            self._requests[task.record] = requested
            return task, tasks.accepted(self, task)

    def roll_back(self, component: str, *, requested: dict[str, Any]) -> Answer:
        """Write again what ran before on *component*, which the BMC kept.

        Raises:
            RefusalError: the machine refuses it.
        """
        with self._acting():
            task = self.machine.roll_back(component, kept=True)
            self._requests[task.record] = requested
            return tasks.accepted(self, task)

    def start_update(self) -> Answer:
        """Program what was uploaded (P19).

        Raises:
            RefusalError: nothing was.
        """
        with self._acting():
            return tasks.accepted(self, self.machine.start_update()[0])

    def image_received(self, task: MachineTask, facts: ImageFacts | None, *, problem: str = "") -> None:
        """Hand the machine the image that it waits for."""
        with self._lock:
            self.machine.image_received(task, facts, error=problem)

    def transfer_failed(self, task: MachineTask, reason: str) -> None:
        """Tell the machine that its image will not come."""
        with self._lock:
            self.machine.transfer_failed(task, reason)

    def requested(self, task: MachineTask) -> dict[str, Any]:
        """Return what the client asked for when it began *task*."""
        return self._requests.get(task.record, {})

    def accepted(self, task: MachineTask) -> Answer:
        """Answer whoever began *task*, with the task as it stands."""
        with self._lock:
            self.machine.advance()
            return tasks.accepted(self, task)

    def claim_push(self, *, targets: tuple[str, ...] | None, busy: bool | None) -> None:
        """Note that a client claims, or releases, the push for itself (P09); forgotten when the BMC restarts."""
        if targets is not None:
            self.push_targets = targets
        if busy is not None:
            self.push_claimed = busy
        self.touch()

    def reset_host(self, reset_type: str) -> None:
        """Change the host's power as Redfish asks for it.

        Raises:
            RefusalError: there is no such ResetType, or the machine refuses it.
        """
        if reset_type not in self.machine.personality.rules.system_resets:
            raise RefusalError(
                400, f"ResetType {reset_type!r} is not supported.", message_id="ActionParameterNotSupported"
            )
        kind = HostReset(reset_type)
        with self._acting():
            self.machine.reset_host(kind)

    def reset_bmc(self) -> None:
        """Restart the BMC."""
        with self._acting():
            self.machine.reset_bmc()

    def clear_queue(self) -> None:
        """Force-clear the job queue (P21)."""
        with self._acting():
            self.machine.clear_queue()

    def fetch_trouble(self, uri: str, *, ranges: bool = True) -> str:
        """Say why the image at *uri* cannot be fetched; empty: it can (P20)."""
        with self._lock:
            return self.machine.fetch_trouble(uri, ranges=ranges)

    def stage_bios(self, attributes: dict[str, AttributeValue]) -> None:
        """Stage BIOS attributes for the next POST."""
        with self._acting():
            self.machine.stage_bios(attributes)

    def commit_bios(self) -> MachineTask:
        """Make the job without which staged attributes wait for ever.

        Raises:
            RefusalError: nothing is staged, or there is such a job (P22).
        """
        with self._acting():
            return self.machine.commit_bios()

    def reset_bios(self) -> None:
        """Stage the defaults of all BIOS attributes."""
        with self._acting():
            self.machine.reset_bios_defaults()

    def set_verify_remote(self, verify: bool) -> None:
        """Say whether the certificates of image servers are verified."""
        self.verifies_remote = verify
        self.touch()

    def settings_etag(self) -> str:
        """Return the ETag of Bios/Settings: another one for every other content."""
        with self._lock:
            content = (self.machine.bios_pending, self.machine.bios_attributes)
        return f'"{zlib.crc32(repr(content).encode()):08x}"'

    def check_settings_etag(self, if_match: str | None) -> None:
        """Refuse a change of settings that were read in another state.

        Raises:
            RefusalError: no tag of *if_match* is the present one (412).
        """
        if if_match is None:
            return
        tags = [tag.strip() for tag in if_match.split(",")]
        if "*" not in tags and self.settings_etag() not in tags:
            raise RefusalError(412, "The settings have changed since they were read.")

    def set_date_time(self, date_time: str | None, offset: str | None) -> None:
        """Set the BMC's clock (P33); *offset* alone changes nothing that the lab shows."""
        del offset
        if not isinstance(date_time, str):
            raise RefusalError(400, "DateTime must be a date.", message_id="PropertyValueTypeError")
        try:
            wanted = datetime.fromisoformat(date_time)
            seconds = (wanted if wanted.tzinfo else wanted.replace(tzinfo=UTC)).timestamp()
            datetime.fromtimestamp(seconds + 10 * 365 * 86400, UTC)  # leave room for the clock to go on
        except (ValueError, OverflowError, OSError):
            raise RefusalError(400, "DateTime must be a date.", message_id="PropertyValueFormatError") from None
        with self._lock:
            self.machine.controller.clock_offset = seconds - self.machine.time

    def power_state(self) -> str:
        """Return the host's PowerState."""
        with self._lock:
            return self.machine.power.value

    def bios_attributes(self) -> dict[str, Any]:
        """Return the BIOS attributes in force."""
        with self._lock:
            return dict(self.machine.bios_attributes)

    def bios_version(self) -> str:
        """Return the BIOS version as the inventory tells it."""
        with self._lock:
            view = resources.component(self.machine, "BIOS")
        return (view.version if view is not None else None) or ""

    # -- what sushy-tools keeps -----------------------------------------------------------------

    @property
    def drivers(self) -> Drivers:
        """The BMC's sushy-tools drivers, made when first needed: most BMCs of a large lab never do."""
        with self._lock:
            if self._drivers is None:
                self._drivers = Drivers(self)
            return self._drivers

    def boot(self) -> dict[str, Any]:
        """Return the Boot object of the System resource."""
        with self._lock:
            told = self._boot.boot(self._host_resets)
            uri = self._drivers.systems.get_http_boot_uri(self.system_id) if self._drivers is not None else None
        told["BootSourceOverrideTarget@Redfish.AllowableValues"] = list(boot.TARGETS)
        return told if not uri else {**told, "HttpBootUri": uri}

    def override_boot(self, wanted: dict[str, Any]) -> None:
        """Override the boot order as a Boot object asks for it.

        Raises:
            RefusalError: a word of it is none that this BMC takes.
        """
        with self._acting():
            self._boot.override(wanted, self._host_resets)

    def boot_device(self) -> str:
        """Return where the host boots from, in Redfish's words; without an override, from its disk."""
        with self._lock:
            target = str(self._boot.boot(self._host_resets)["BootSourceOverrideTarget"])
        return "Hdd" if target == "None" else target

    def set_boot_device(self, device: str) -> None:
        """Say where the host boots from until it is said again; the disk is what needs no override.

        IPMI and the stock views know devices that the System resource does not list.
        """
        with self._acting():
            none = device == "Hdd" or device not in boot.TARGETS
            target = "None" if none else device
            lasting = "Disabled" if none else "Continuous"
            self._boot.override(
                {"BootSourceOverrideTarget": target, "BootSourceOverrideEnabled": lasting}, self._host_resets
            )
        self.touch()

    def secure_boot(self) -> tuple[bool, bool, str]:
        """Return whether secure boot is enabled for the next boot, is active in this one, and its mode."""
        with self._lock:
            return *self._boot.secure(self._host_resets), self._boot.keys

    def switch_secure_boot(self, *, enabled: bool) -> None:
        """Switch secure boot for the next boot."""
        with self._lock:
            self._boot.switch_secure(self._host_resets, enabled=enabled)

    def reset_secure_boot_keys(self, how: str) -> None:
        """Reset the keys of secure boot.

        Raises:
            RefusalError: there is no such way to.
        """
        with self._acting():
            self._boot.reset_keys(how)

    def has_log(self, path: str, log: str) -> bool:
        """Whether the event log is called *log* and is where *path* is."""
        return log == self.machine.personality.rules.event_log and path.startswith(log_service.log_path(self) + "/")

    def clear_log(self) -> None:
        """Erase the event log."""
        self.witness.log.clear(at=self.witness.catch_up())

    @property
    def _host_resets(self) -> int:
        return self.machine.glimpse().host_resets

    def identifying(self) -> bool:
        """Whether the identify light blinks; makes no drivers only to find out."""
        with self._lock:
            return self._drivers is not None and self.indicator() == "Blinking"

    def set_identifying(self, *, on: bool) -> None:
        """Let the identify light blink, or not."""
        with self._lock:
            self.drivers.indicators.set_indicator_state(self.system_id, "Blinking" if on else "Off")
        self.touch()

    @contextmanager
    def exclusive(self) -> Iterator[Machine]:
        """Hold the machine for a face of its own, such as IPMI."""
        with self._lock:
            yield self.machine

    def chassis_indicator(self) -> str:
        """Return the chassis' IndicatorLED, which is another light."""
        return str(self.drivers.indicators.get_indicator_state(self.uuid))

    def indicator(self) -> str:
        """Return the system's IndicatorLED."""
        return str(self.drivers.indicators.get_indicator_state(self.system_id))

    # -- what only the lab does -----------------------------------------------------------------

    def arm(self, fault: Fault) -> None:
        """Inject *fault*."""
        with self._lock:
            self.machine.inject(fault)

    def disarm(self, fault_id: str | None = None) -> None:
        """Clear every fault, or those of one id."""
        with self._lock:
            self.machine.clear_faults(fault_id)

    def faults(self) -> tuple[Fault, ...]:
        """Return the faults that are armed."""
        with self._lock:
            return self.machine.faults

    def truth(self) -> dict[str, Any]:
        """Tell what really happened here, the wire included."""
        self.is_up()
        with self._lock:
            return {
                **self.machine.truth(),
                "url": self.url,
                "sessions_open": len(self.sessions),
                "sessions_opened": self.sessions.opened,
                "requests": self.counters.requests,
                "connections": self.counters.connections,
                "ipmi": None if self.ipmi is None else self.ipmi.truth(),
            }

    @contextmanager
    def _acting(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except LabRefusal as refusal:
                raise _translated(refusal) from refusal


def make_station(
    name: str,
    *,
    personality: Personality,
    clock: Clock,
    timing: Timing | None,
    versions: Mapping[str, str],
    account: Account,
    session_cap: int | None,
    chance: random.Random,
    directory: Path,
    hosts: HostMaker,
) -> Station:
    """Make the BMC called *name* and the machine behind it; *chance* decides all its ids.

    *hosts* says what its host really is.

    Raises:
        UsageError: *versions* names a component that this personality does not have.
    """
    make = personality if timing is None else attrs.evolve(personality, timing=timing)
    for component in versions:
        if make.component(component) is None:
            known = ", ".join(spec.name for spec in make.components)
            raise UsageError(f"{make.name} has no component {component!r}", advice=f"It has {known}.")
    uuid = str(uuids.UUID(int=chance.getrandbits(128), version=4))
    mac = ":".join(["02", *(f"{chance.getrandbits(8):02x}" for _ in range(5))])
    serial = f"RW{chance.getrandbits(40):010X}"
    backend = hosts(HostIdentity(name, serial, uuid, make.vendor, make.model)) or TIMED_HOST
    machine = Machine(name, clock, personality=make, serial=serial, installed=versions, backend=backend)
    cap = make.rules.session_cap if session_cap is None else session_cap
    sessions = Sessions(account, clock, chance, cap=cap, timeout=make.rules.session_timeout, access=machine.access)
    return Station(machine, sessions, uuid=uuid, mac=mac, directory=directory)


def _translated(refusal: LabRefusal) -> RefusalError:
    headers = {} if refusal.retry_after is None else {"Retry-After": str(round(refusal.retry_after))}
    return RefusalError(refusal.status, str(refusal), message_id=refusal.message_id, headers=headers)
