"""SimBmc: the ``Bmc`` port straight on a machine, without sockets, for property tests and large racks.

It answers as the Redfish adapter would for the same machine. What happens to a request on its way
is decided, request by request, by a *wire* that the test hands in::

    bmc = SimBmc(machine, images=server, wire=lambda act: WireFate.OK)

*act* is ``observe``, ``write``, ``start_update``, ``configure``, ``reset_host`` or ``reset_bmc``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, assert_never

from attrs import define, evolve

from rackwave.core.bundle import Activation, AttributeValue
from rackwave.core.identity import AttemptId, ComponentName, Digest, NodeName
from rackwave.core.observation import (
    Component,
    Identity,
    Lack,
    Look,
    Observation,
    Post,
    Power,
    TaskPhase,
    TaskSeen,
    Unknown,
)
from rackwave.core.receipt import Accepted, Ambiguous, Ground, Receipt, Refused
from rackwave.core.settings_check import SettingsCheck
from rackwave.core.step import ImageWay
from rackwave.ports import Clock, Completing, Fetch, Image, Means, ResetKind

from .bios import Attribute
from .faults import AnswerLost, Busy, GarbledError, KeepAliveDropped, LoginFails, RedfishDead, RequestLost
from .host import RESET_OF, HostReset, PowerState
from .images import ImageError, ImageFacts, read_image
from .machine import ComponentView, Machine
from .personality import ComponentSpec, Personality, Shows, StartUpdate
from .refusal import LabRefusal
from .updates import Hold, MachineTask, TaskState, TaskStatus

TASKS = "/redfish/v1/TaskService/Tasks/"

NOT_NOW = 10.0
"""Seconds after which to ask again where a BMC is busy or away and names no time, as the Redfish adapter says."""

_NOT_NOW_STATUSES = frozenset({409, 423, 425, 429, 503})


class Killed(BaseException):
    """The orchestrator was killed here, as by kill -9: no handler of the code under test runs on it.

    A test catches it around the whole run, throws the run away and starts a new one on the same rack.
    """


class WireFate(StrEnum):
    """What happens to one request.

    OK: nothing. LOST_REQUEST: it is gone before the BMC acts. LOST_ANSWER: the BMC acts, the answer is
    gone. SILENT: no connection at all. PARTIAL: a reading of which only the system's part arrives (P25);
    an act passes. REFUSED: the BMC says that it cannot now, or something that nobody can read. KILL_BEFORE,
    KILL_AFTER: the orchestrator dies before sending, or after the BMC acted and before the answer.
    """

    OK = "ok"
    LOST_REQUEST = "lost-request"
    LOST_ANSWER = "lost-answer"
    SILENT = "silent"
    PARTIAL = "partial"
    REFUSED = "refused"
    KILL_BEFORE = "kill-before"
    KILL_AFTER = "kill-after"


_BEFORE_THE_BODY = frozenset({WireFate.KILL_BEFORE, WireFate.LOST_REQUEST, WireFate.SILENT, WireFate.REFUSED})
"""Fates at which an upload does not come to its last bytes."""

_SILENT = frozenset({WireFate.SILENT, WireFate.LOST_REQUEST, WireFate.LOST_ANSWER})
"""Fates of a reading after which nobody has answered."""

Wire = Callable[[str], WireFate]


def calm(_: str) -> WireFate:
    """Let every request through."""
    return WireFate.OK


class Script:
    """A wire that follows a list: one fate a request, then OK for ever.

    After a kill every further request is killed before it is sent, whoever sends it (a ``finally``, a
    sister task): a dead process says nothing. ``revive`` stands for the start of the next process.
    """

    def __init__(self, fates: Iterable[WireFate] = (), *, then: WireFate = WireFate.OK) -> None:
        self._fates = iter(tuple(fates))
        self._then = then
        self.dead = False
        self.acts: list[str] = []
        """Every request so far, in order."""

    def __call__(self, act: str) -> WireFate:
        """Return the fate of this request."""
        self.acts.append(act)
        if self.dead:
            return WireFate.KILL_BEFORE
        fate = next(self._fates, self._then)
        self.dead = fate in (WireFate.KILL_BEFORE, WireFate.KILL_AFTER)
        return fate

    def revive(self) -> None:
        """Let a new process speak; the list goes on where it stood."""
        self.dead = False


@define
class _Grant:
    path: Path
    size: int
    requests: int = 0
    sent: int = 0


class SimImageServer:
    """``rackwave.ports.ImageServer`` in memory.

    A test keeps it over the "kills" of its orchestrators, as a log on disk would be kept.
    """

    def __init__(self) -> None:
        self._grants: dict[tuple[NodeName, AttemptId, Digest], _Grant] = {}
        self._urls: dict[str, _Grant] = {}

    async def grant(self, *, node: NodeName, attempt: AttemptId, digest: Digest, path: Path, file_name: str) -> str:
        """Return the URL for *node*; granting again keeps the counts."""
        grant = self._granted(node, attempt, digest, path)
        url = f"https://images.sim/{node}/attempt-{attempt}/{digest.hex[:16]}/{file_name}"
        self._urls[url] = grant
        return url

    async def revoke(self, *, node: NodeName, attempt: AttemptId, digest: Digest) -> None:
        """End every grant of this attempt."""
        grant = self._grants.get((node, attempt, digest))
        self._urls = {url: granted for url, granted in self._urls.items() if granted is not grant}

    async def fetched(self, *, node: NodeName, attempt: AttemptId, digest: Digest) -> Fetch:
        """Return what was fetched under the grants of this attempt."""
        grant = self._grants.get((node, attempt, digest))
        return Fetch(grant.requests, grant.sent, grant.size) if grant else Fetch(0, 0, 0)

    def _granted(self, node: NodeName, attempt: AttemptId, digest: Digest, path: Path) -> _Grant:
        return self._grants.setdefault((node, attempt, digest), _Grant(path, self.size_of(digest, path)))

    def size_of(self, digest: Digest, path: Path) -> int:
        """Return how many bytes the image *digest* at *path* has."""
        del digest
        return path.stat().st_size

    def serve(self, url: str) -> Path | None:
        """Serve one request of a BMC, in full; None: there is no such grant."""
        grant = self._urls.get(url)
        if grant is None:
            return None
        grant.requests += 1
        grant.sent = max(grant.sent, grant.size)
        return grant.path


class SimBmc:
    """``rackwave.ports.Bmc`` on a machine in memory.

    *means* is the way that it stands for where a node has two.
    Pulls through *images* where the image has a URL and the machine's make can pull; pushes otherwise.
    """

    __slots__ = ("_images", "_life", "_machine", "_means", "_read", "_silent", "_wire")

    def __init__(
        self,
        machine: Machine,
        *,
        images: SimImageServer | None = None,
        wire: Wire = calm,
        read: Callable[[Path], ImageFacts] = read_image,
        means: Means = Means.REDFISH,
    ) -> None:
        self._means = means
        self._silent = False
        self._machine = machine
        self._images = images
        self._wire = wire
        self._read = read
        self._life: tuple[int, int] | None = None  # in which the BMC knows our session

    @property
    def node(self) -> NodeName:
        """The machine's name."""
        return self._machine.name

    async def observe(self, look: Look) -> Observation:
        """Read what *look* asks for; a BMC that does not answer gives a blank observation."""
        fate = self._fate("observe", "GET", "/redfish/v1")
        now = self._machine.time
        self._silent = not self._machine.bmc_alive or fate in _SILENT
        match fate:
            case WireFate.KILL_BEFORE | WireFate.KILL_AFTER:
                raise Killed("observe")
            case _ if not self._machine.bmc_alive:
                return Observation.blank(now, "the BMC does not answer", look, lack=Lack.AWAY)
            case WireFate.REFUSED:
                return Observation.blank(now, "the BMC does not answer", look)
            case WireFate.SILENT | WireFate.LOST_REQUEST | WireFate.LOST_ANSWER:
                return Observation.blank(now, "the BMC does not answer", look, lack=Lack.AWAY)
            case WireFate.OK | WireFate.PARTIAL:
                return self._observation(look, now, partial=fate is WireFate.PARTIAL)
            case unknown:
                assert_never(unknown)

    async def list_components(self) -> frozenset[ComponentName] | Unknown:
        """Return the names of all components; Unknown where the BMC does not answer."""
        if not self._machine.bmc_alive or self._fate("list", "GET", "/redfish/v1") is not WireFate.OK:
            return Unknown("the BMC does not answer", Lack.AWAY)
        return frozenset(view.name for view in self._machine.components)

    async def way_of(self, component: ComponentName, *, activation: Activation) -> ImageWay | Unknown:
        """Return how `write` hands an image over, where that has a URL."""
        del component, activation
        return ImageWay.PULL if self._machine.personality.rules.pull else ImageWay.PUSH

    async def write(self, image: Image, *, completing: Completing) -> Receipt:
        """Hand *image* to the BMC, once; an upload that was not lost on its way awaits *completing*."""
        rules = self._machine.personality.rules
        if image.url is not None and rules.pull:
            url = image.url
            path = "/redfish/v1/UpdateService/Actions/UpdateService.SimpleUpdate"
            return self._act("write", "POST", path, lambda: self._pull(image, url))
        path = "/redfish/v1/UpdateService/update-multipart"
        fate = self._fate("write", "POST", path)
        if fate not in _BEFORE_THE_BODY and self._machine.bmc_alive:
            await completing()
        receipt = self._apply("write", fate, lambda: self._push(image), upload=True)
        # Whoever asks that an image be held knows so, also where no answer comes.
        return evolve(receipt, held=self._holds) if isinstance(receipt, Ambiguous) else receipt

    async def start_update(self, component: ComponentName) -> Receipt:
        """Program the image that was pushed for *component* and waits for that, once."""
        machine = self._machine
        spec = machine.personality.component(component)
        if spec is None or spec.name not in machine.held:
            return Refused(f"the BMC holds no image for {component}", ground=Ground.UNABLE)

        def start() -> Accepted:
            begun = machine.start_update()
            return Accepted(self._uri(next(task for task in begun if task.component == spec.name)), "StartUpdate")

        return self._act("start_update", "POST", "/redfish/v1/UpdateService/Actions/UpdateService.StartUpdate", start)

    async def switch_bank(self, component: ComponentName, version: str, *, activation: Activation) -> Receipt:
        """Bring back what ran on *component* before, once."""
        del activation  # the machine's own
        if self._spare(self._machine.personality.component(component)) != version:
            return Refused(f"there is no {component} {version} to switch to", ground=Ground.UNABLE)

        def switch() -> Accepted:
            return Accepted(self._uri(self._machine.roll_back(component, kept=True)), "SimpleUpdate")

        path = "/redfish/v1/UpdateService/Actions/UpdateService.SimpleUpdate"
        return self._act("switch_bank", "POST", path, switch)

    async def configure(self, attributes: Mapping[str, AttributeValue]) -> Receipt:
        """Stage BIOS attributes, once."""

        def stage() -> Accepted:
            self._machine.stage_bios(attributes)
            return Accepted(way="Settings")

        return self._act("configure", "PATCH", "/redfish/v1/Systems/1/Bios/Settings", stage)

    async def check_settings(self, attributes: Mapping[str, AttributeValue]) -> SettingsCheck | Unknown:
        """Say what speaks against staging *attributes*, as the machine would when they are staged."""
        if not self._machine.bmc_alive or not self._machine.personality.rules.bios_attributes:
            return Unknown("this BMC has no BIOS attributes, or does not answer")
        registry, current = self._machine.bios_registry, self._machine.bios_attributes
        changed = {name: value for name, value in attributes.items() if current.get(name) != value}
        return SettingsCheck(
            tuple(
                f"{name} {objection}"
                for name, value in sorted(changed.items())
                if (objection := _objection(registry.get(name), value))
            )
        )

    async def reset_host(self, kind: ResetKind) -> Receipt:
        """Change the host's power, once."""
        allowed = self._machine.personality.rules.system_resets
        words = (RESET_OF[kind], *((HostReset.POWER_CYCLE,) if kind is ResetKind.FORCE_RESTART else ()))
        word = next((word for word in words if word in allowed), None)
        if word is None:
            return Refused(f"the BMC has no reset for {kind}, only {', '.join(allowed)}", ground=Ground.UNABLE)

        def reset() -> Accepted:
            self._machine.reset_host(word)
            return Accepted(way="ComputerSystem.Reset")

        return self._act("reset_host", "POST", "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset", reset)

    @property
    def means(self) -> tuple[Means, ...]:
        """By its one way, unless it did not answer when it was last looked at."""
        return () if self._silent else (self._means,)

    async def reset_bmc(self, means: Means | None = None) -> Receipt:
        """Restart the BMC, once."""
        if means not in (None, self._means):
            return Refused(f"there is no restarting it by {means}", ground=Ground.UNABLE)

        def reset() -> Accepted:
            self._machine.reset_bmc()
            return Accepted(way="Manager.Reset")

        return self._act("reset_bmc", "POST", "/redfish/v1/Managers/1/Actions/Manager.Reset", reset)

    async def park(self) -> None:
        """Hold no connection; there is none."""

    async def close(self) -> None:
        """End no session; there is none."""

    # -- the wire -----------------------------------------------------------------------------

    def _fate(self, act: str, method: str, path: str) -> WireFate:
        fate = self._wire(act)
        if fate is not WireFate.OK or not self._machine.bmc_alive:
            return fate
        if not self._logged_in():
            return WireFate.SILENT
        match self._machine.strike_wire(method, path):
            case None:
                incomplete = act == "observe" and self._machine.incomplete
                return WireFate.PARTIAL if incomplete else WireFate.OK
            case RequestLost():
                return WireFate.LOST_REQUEST
            case AnswerLost():
                return WireFate.LOST_ANSWER
            case RedfishDead():
                return WireFate.SILENT
            case Busy() | GarbledError():
                return WireFate.REFUSED
            case KeepAliveDropped():
                return WireFate.OK  # the adapter connects anew
            case unknown:
                assert_never(unknown)

    def _logged_in(self) -> bool:
        """Log in where that is needed; False where the BMC, or its certificate, allows none."""
        machine = self._machine
        life = (machine.access.ended, machine.bmc_last_reset)
        if machine.controller.certificates:
            return False  # what was pinned is no more; a person must accept another
        if life == self._life:
            return True
        if machine.access.crowded(machine.personality.rules.session_timeout) or machine.strike(LoginFails):
            return False
        try:
            machine.access.judge(accepted=machine.access.factory is None)
        except LabRefusal:
            return False
        self._life = life
        return True

    def _act(self, act: str, method: str, path: str, do: Callable[[], Accepted]) -> Receipt:
        return self._apply(act, self._fate(act, method, path), do)

    def _apply(self, act: str, fate: WireFate, do: Callable[[], Accepted], *, upload: bool = False) -> Receipt:
        if fate is WireFate.KILL_BEFORE:
            raise Killed(act)
        if fate is WireFate.SILENT or not self._machine.bmc_alive:
            if fate is WireFate.KILL_AFTER:
                raise Killed(act)
            return Refused("the BMC does not answer; nothing was sent", NOT_NOW, Ground.AWAY)
        if fate is WireFate.REFUSED:
            return Refused("the BMC refuses it for now", NOT_NOW)
        if fate is WireFate.LOST_REQUEST:
            return Ambiguous("the connection dropped and no answer came", body_complete=not upload)
        receipt: Receipt
        try:
            receipt = do()
        except LabRefusal as refusal:
            wait = refusal.retry_after
            receipt = Refused(str(refusal), NOT_NOW if wait is None and refusal.status in _NOT_NOW_STATUSES else wait)
        match fate:
            case WireFate.KILL_AFTER:
                raise Killed(act)
            case WireFate.LOST_ANSWER:
                return Ambiguous("the connection dropped and no answer came")
            case _:
                return receipt

    # -- acts ---------------------------------------------------------------------------------

    def _pull(self, image: Image, url: str) -> Accepted:
        task = self._machine.begin_update(image.component, url, source="pull")
        trouble = self._machine.fetch_trouble(url)
        path = None if trouble else self._images.serve(url) if self._images is not None else image.path
        if trouble:
            self._machine.transfer_failed(task, trouble)
        elif path is None:
            self._machine.transfer_failed(task, "the image server has no such image for this machine")
        else:
            self._hand_in(task, path)
        return Accepted(task=self._uri(task), way="SimpleUpdate")

    def _push(self, image: Image) -> Accepted:
        target = image.component if self._machine.personality.rules.push_names_component else None
        hold = Hold.STARTED if self._holds else Hold.NO
        task = self._machine.begin_update(target, image.file_name, source="push", hold=hold)
        self._hand_in(task, image.path)
        return Accepted(task=self._uri(task), way="MultipartHttpPush", held=self._holds)

    @property
    def _holds(self) -> bool:
        """Whether a pushed image waits for StartUpdate: where the adapter can ask for it, it does."""
        return self._machine.personality.rules.start_update is not StartUpdate.NEVER

    def _uri(self, task: MachineTask) -> str | None:
        return TASKS + task.id if self._machine.personality.rules.tasks else None

    def _hand_in(self, task: MachineTask, path: Path) -> None:
        try:
            facts = self._read(path)
        except ImageError as error:
            self._machine.image_received(task, None, error=str(error))
        else:
            self._machine.image_received(task, facts)

    # -- readings -----------------------------------------------------------------------------

    def _observation(self, look: Look, now: float, *, partial: bool) -> Observation:
        machine, rules = self._machine, self._machine.personality.rules
        off = int(machine.controller.clock_offset)
        seen: dict[str, Any] = {"at": now, "components": self._components(look)}
        if look.system:
            post = machine.post
            seen |= {
                "power": _POWER[machine.power],
                "post": post if rules.boot_progress else _NO_PROGRESS,
                "os": post is Post.COMPLETE if rules.boot_progress else _NO_PROGRESS,
                "health": machine.health,
                "boot": _marker(machine.last_reset + off, told=rules.last_reset_time),
                "identity": Identity(machine.personality.vendor, machine.personality.model, machine.serial),
            }
        if look.bmc:
            seen["bmc_boot"] = _marker(machine.bmc_last_reset + off, told=rules.manager_last_reset_time)
        if partial:
            missing = Observation.blank(now, "the answer was incomplete", look)
            names = ("components", "settings", "staged_settings", "task", "tasks")
            return Observation(**seen | {name: getattr(missing, name) for name in names})
        if look.settings:
            seen["settings"], seen["staged_settings"] = self._settings()
        if look.task is not None:
            seen["task"] = self._task(look.task)
        if look.tasks:
            seen["tasks"] = self._tasks()
        return Observation(**seen)

    def _settings(self) -> tuple[Mapping[str, AttributeValue] | Unknown, Mapping[str, AttributeValue] | Unknown]:
        """Return the BIOS attributes in force, and those that wait."""
        if not self._machine.personality.rules.bios_attributes:
            return _NO_ATTRIBUTES, _NO_ATTRIBUTES
        blind = Unknown("the BMC cannot read it from its host")
        return blind if self._machine.blind else self._machine.bios_attributes, self._machine.bios_pending

    def _components(self, look: Look) -> dict[ComponentName, Component]:
        machine, found = self._machine, {}
        for name in look.components:
            spec = machine.personality.component(name)
            component = self._component(name, None if spec is None else machine.component(spec.name))
            if name in look.spares:
                component = evolve(component, spare=self._spare(spec))
            found[name] = component
        return found

    def _spare(self, spec: ComponentSpec | None) -> str | Unknown | None:
        """Return what ran before, where the make lists it."""
        if spec is None or not any(member.shows is Shows.PREVIOUS for member in spec.members):
            return Unknown("this make lists nothing that ran before", Lack.ABSENT)
        view = self._machine.component(spec.name)
        return None if view is None else view.previous

    def _component(self, name: ComponentName, view: ComponentView | None) -> Component:
        if view is None:
            unlisted = Unknown("the inventory does not list it", Lack.ABSENT)
            return Component(name, unlisted, unlisted)
        installed = view.version if view.version is not None else Unknown("the inventory gives no version")
        shows = self._machine.personality.rules.shows_staged
        return Component(name, installed, view.staged if shows else Unknown("this BMC does not tell what is staged"))

    def _task(self, uri: str) -> TaskSeen:
        task = self._machine.task(uri.removeprefix(TASKS)) if self._machine.personality.rules.tasks else None
        return self._seen(task) if task else TaskSeen(uri, TaskPhase.VANISHED)

    def _tasks(self) -> tuple[TaskSeen, ...]:
        tasks = self._machine.tasks if self._machine.personality.rules.tasks else ()
        return tuple(self._seen(task) for task in tasks)

    def _seen(self, task: MachineTask) -> TaskSeen:
        if task.state is TaskState.PENDING:
            phase = TaskPhase.STAGED
        elif not task.ended:
            phase = TaskPhase.RUNNING
        elif task.state is TaskState.COMPLETED and task.status is TaskStatus.OK:
            phase = TaskPhase.DONE
        else:
            phase = TaskPhase.FAILED
        return TaskSeen(
            uri=TASKS + task.id,
            phase=phase,
            percent=task.percent if self._machine.personality.rules.task_percent else None,
            message=task.messages[-1].text if task.messages else "",
            image=task.image if self._machine.personality.rules.task_names_image else None,
            transfer_failed=task.transfer_failed,
            held=task.step == "verify" and task.ended,
        )


_POWER = {
    PowerState.ON: Power.ON,
    PowerState.OFF: Power.OFF,
    PowerState.POWERING_ON: Power.CHANGING,
    PowerState.POWERING_OFF: Power.CHANGING,
}
_NO_ATTRIBUTES = Unknown("this BMC has no BIOS attributes", Lack.ABSENT)
_NO_MARKER = Unknown("this BMC tells no LastResetTime", Lack.ABSENT)
_NO_PROGRESS = Unknown("this BMC tells no BootProgress", Lack.ABSENT)


def _objection(attribute: Attribute | None, value: AttributeValue) -> str:
    if attribute is None:
        return "is not an attribute of this BIOS"
    return "is read-only" if attribute.read_only else attribute.objection(value)


def _marker(moment: int, *, told: bool) -> str | Unknown:
    return _date(moment) if told else _NO_MARKER


@lru_cache(1024)
def _date(moment: int) -> str:
    """Write *moment* as a date; it is written at every look, and the same until the next reset."""
    return datetime.fromtimestamp(moment, UTC).isoformat()


class SimRack:
    """Many nodes on one clock, one image server and one memory of images that were read."""

    def __init__(
        self,
        names: Iterable[str],
        clock: Clock,
        *,
        personality: Personality | None = None,
        installed: Mapping[str, str] | None = None,
        images: SimImageServer | None = None,
    ) -> None:
        self.images = images or SimImageServer()
        self.machines = {
            machine.name: machine
            for machine in (Machine(name, clock, personality=personality, installed=installed) for name in names)
        }
        self._facts: dict[tuple[Path, int, int], ImageFacts] = {}

    def machine(self, name: str) -> Machine:
        """Return the machine called *name*."""
        return self.machines[NodeName(name)]

    def bmc(self, name: str, *, wire: Wire = calm, means: Means = Means.REDFISH) -> SimBmc:
        """Return a fresh client for the BMC of *name*."""
        return SimBmc(self.machine(name), images=self.images, wire=wire, read=self._read, means=means)

    def truth(self) -> dict[str, object]:
        """Tell the whole rack's truth: ``nodes`` by name (``Machine.truth``), and their sums."""
        nodes = {str(name): machine.truth() for name, machine in self.machines.items()}
        sums = {key: sum(_count(node[key]) for node in nodes.values()) for key in ("flashes", "double_flashes")}
        return {"nodes": nodes, **sums}

    def _read(self, path: Path) -> ImageFacts:
        """Read an image once for all nodes, for as long as the file stays as it is."""
        stat = path.stat()
        key = (path, stat.st_mtime_ns, stat.st_size)
        if key not in self._facts:
            self._facts[key] = read_image(path)
        return self._facts[key]


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0
