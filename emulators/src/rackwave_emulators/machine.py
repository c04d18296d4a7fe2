"""One emulated node: everything that its BMC's faces (Redfish, IPMI, SimBmc) show and change.

A machine has no thread and no timer. Every public method and property first brings it up to its
clock's time, running what is due in order; so a machine that nobody looks at costs nothing, and an
hour passes in as long as its few events take. It is not made for several threads at once.

What the lab knows and a BMC would not tell is in ``truth()``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TypeAlias, TypeVar

import attrs
from attrs import frozen

from rackwave.core.bundle import AttributeValue
from rackwave.core.identity import ComponentName, Digest, NodeName
from rackwave.core.observation import Health, Post
from rackwave.ports import Clock, ResetKind

from .access import Access
from .bios import REGISTRY, Attribute, BiosSettings
from .controller import Controller
from .faults import (
    AcStays,
    AnswerLost,
    Armory,
    Busy,
    Fault,
    GarbledError,
    Incomplete,
    KeepAliveDropped,
    Lockdown,
    MendedBy,
    Moment,
    PowerLies,
    RedfishDead,
    RequestLost,
    fault_as_dict,
)
from .guard import Guard
from .host import RESET_OF, Host, HostReset, PowerState
from .host_backend import TIMED_HOST, Flashed, HostBackend
from .images import ImageFacts
from .ledger import attempt_of
from .mortality import Mortality
from .personality import Personality, WhenBusy, load_personality
from .refusal import LabRefusal
from .sight import ComponentView as ComponentView
from .sight import Sight
from .timeline import Timeline
from .troubles import Troubles
from .updates import BIOS, Hold, MachineTask, Needs, Updates

_REGISTRY: Mapping[str, Attribute] = MappingProxyType({attribute.name: attribute for attribute in REGISTRY})


WireFault: TypeAlias = RedfishDead | RequestLost | Busy | GarbledError | AnswerLost | KeepAliveDropped
"""What can become of a request as such, in the order in which it is asked."""

F = TypeVar("F", bound=Fault)


@frozen
class Glimpse:
    """How a machine stands at one moment, whatever its BMC may say; *activations* by component, in order."""

    time: float
    power: PowerState
    post: Post
    host_resets: int
    bmc_resets: int
    activations: tuple[int, ...]
    corruptions: int
    health: Health


class Machine:
    """The state of one emulated node, shared by every face it has.

    ``revision`` grows whenever anything changed that a face shows, the percentage of a running task
    aside: a face may keep what it rendered for a revision as long as no task runs.
    """

    __slots__ = (
        "_armory",
        "_bios",
        "_bios_job",
        "_guard",
        "_host",
        "_mortality",
        "_sight",
        "_timeline",
        "_troubles",
        "_updates",
        "access",
        "controller",
        "name",
        "personality",
        "revision",
        "serial",
    )

    def __init__(
        self,
        name: str,
        clock: Clock,
        *,
        personality: Personality | None = None,
        serial: str = "",
        installed: Mapping[str, str] | None = None,
        backend: HostBackend = TIMED_HOST,
        attributes: Mapping[str, Attribute] = _REGISTRY,
    ) -> None:
        self.name = NodeName(name)
        self.personality = personality or load_personality("plain")
        self.serial = serial or f"LAB-{name}"
        self.revision = 0
        self._timeline = Timeline(clock)
        self._armory = Armory()
        self._host = Host(self._timeline, self.personality.timing, self, backend)
        self._updates = Updates(
            self._timeline,
            self.personality,
            self._armory,
            bmc_restarts=self._bmc_restarts_itself,
            host_restarts=self._host_restarts_itself,
            written=partial(self._wake, Moment.WRITTEN),
        )
        self._bios = BiosSettings(attributes)
        self._bios_job: MachineTask | None = None
        self._mortality = Mortality(self._timeline, self._armory, self._updates)
        self._guard = Guard(self._timeline, self._armory, self._host)
        self._sight = Sight(
            self._timeline, self._armory, host=self._host, updates=self._updates, mortality=self._mortality
        )
        self.access = Access(self._timeline, self._armory)
        self.controller = Controller(
            self._timeline, self._armory, away_for=self.personality.timing.bmc_reset, back=self._bmc_back
        )
        self._troubles = Troubles(
            self._timeline,
            self._armory,
            personality=self.personality,
            host=self._host,
            updates=self._updates,
            mortality=self._mortality,
            access=self.access,
            controller=self.controller,
            restart_bmc=self._bmc_restarts_itself,
        )
        for component, version in (installed or {}).items():
            self.install(component, version)
        if (factory := backend.factory) is not None:
            self.install(factory.component, factory.version, digest=factory.digest)

    # -- time ---------------------------------------------------------------------------------

    def advance(self) -> None:
        """Bring the machine up to its clock's time."""
        if self._timeline.advance():
            self.revision += 1

    @property
    def time(self) -> float:
        """Epoch seconds at which the machine stands."""
        self.advance()
        return self._timeline.time

    @property
    def next_due(self) -> float | None:
        """When something next happens by itself, in epoch seconds; None: nothing is to come."""
        self.advance()
        return self._timeline.next_due

    # -- what a BMC shows ---------------------------------------------------------------------

    @property
    def bmc_alive(self) -> bool:
        """Whether the BMC answers; while it restarts every face must be deaf and mute."""
        self.advance()
        return not self.controller.away

    @property
    def power(self) -> PowerState:
        """The host's power, as the BMC tells it."""
        self.advance()
        if self._armory and (lies := self._armory.first(PowerLies, at=self._timeline.time)):
            return PowerState(lies.says)  # P42
        return self._host.power

    @property
    def post(self) -> Post:
        """How far the host has come since its last reset."""
        self.advance()
        return self._host.post

    @property
    def last_reset(self) -> int:
        """When the host was last reset, in epoch seconds; never the same for two resets."""
        self.advance()
        return self._host.last_reset

    @property
    def last_post(self) -> int:
        """When POST last came to its end, in epoch seconds; never the same for two."""
        self.advance()
        return self._host.last_post

    @property
    def restarts(self) -> int:
        """How often the host was started."""
        self.advance()
        return self._host.resets

    @property
    def bmc_last_reset(self) -> int:
        """When the BMC was last reset, in epoch seconds; never the same for two resets."""
        self.advance()
        return self.controller.last_reset

    @property
    def health(self) -> Health:
        """The system's health."""
        self.advance()
        return self._health()

    def _health(self) -> Health:
        levels = self._mortality.levels()
        spoilt = any(bank.corrupt for bank in self._updates.banks.values())
        if self._host.post is Post.FAILED or self._mortality.dead or spoilt:
            levels.append(Health.CRITICAL)
        if self._sight.link:
            levels.append(Health.WARNING)
        return Health.CRITICAL if Health.CRITICAL in levels else Health.WARNING if levels else Health.OK

    @property
    def components(self) -> tuple[ComponentView, ...]:
        """Every component as the inventory tells it."""
        self.advance()
        return self._sight.components()

    def component(self, name: ComponentName) -> ComponentView | None:
        """One component as the inventory tells it; None: it lists none of this name."""
        self.advance()
        return self._sight.component(name)

    @property
    def blind(self) -> bool:
        """Whether the BMC cannot tell what it learns from its host: that is dead (P41), or out of reach (P15)."""
        self.advance()
        return self._sight.blind

    @property
    def incomplete(self) -> Incomplete | None:
        """How readings are incomplete at the moment (P25); None: they are whole."""
        self.advance()
        return self._sight.incomplete

    @property
    def disordered(self) -> bool:
        """Whether a fault is armed, or has left something behind, that faces must mind."""
        return bool(self._armory) or bool(self._updates.purged) or self._sight.recovering

    @property
    def host_up(self) -> bool:
        """Whether the host really has booted, whatever the BMC says."""
        self.advance()
        return self._sight.host_up

    @property
    def resets(self) -> tuple[HostReset, ...]:
        """The resets of the host that there are."""
        self.advance()
        return self._guard.resets()

    @property
    def tasks(self) -> tuple[MachineTask, ...]:
        """Every task that the BMC tells of, oldest first."""
        self.advance()
        self._updates.refresh()
        return tuple(task for task in self._updates.tasks.values() if task.shown_from <= self._timeline.time)

    @property
    def jobs(self) -> tuple[MachineTask, ...]:
        """What the vendor's job queue still knows of tasks that were purged (P02)."""
        self.advance()
        return tuple(self._updates.purged.values())

    def task(self, task_id: str) -> MachineTask | None:
        """Return one task; None: the BMC knows none of this id."""
        self.advance()
        self._updates.refresh()
        task = self._updates.tasks.get(task_id)
        return task if task is not None and task.shown_from <= self._timeline.time else None

    @property
    def held(self) -> tuple[ComponentName, ...]:
        """The components whose image was uploaded and verified, and waits to be started (P19)."""
        self.advance()
        return self._updates.held

    @property
    def updating(self) -> bool:
        """Whether an image is on its way or being programmed."""
        self.advance()
        return self._updates.busy

    @property
    def bios_registry(self) -> Mapping[str, Attribute]:
        """The attribute registry, by name."""
        return self._bios.registry

    @property
    def bios_attributes(self) -> dict[str, AttributeValue]:
        """The BIOS attributes in force."""
        self.advance()
        return self._bios.current

    @property
    def bios_pending(self) -> dict[str, AttributeValue]:
        """The BIOS attributes that wait for the next POST."""
        self.advance()
        return self._bios.pending

    # -- what a BMC is told to do -------------------------------------------------------------

    def begin_update(
        self,
        component: str | None,
        image_ref: str,
        *,
        source: str = "pull",
        attempt: str = "",
        hold: Hold = Hold.NO,
        resets_host: bool = False,
    ) -> MachineTask:
        """Accept an update whose image is still to come: ``image_received`` or ``transfer_failed`` must follow.

        Args:
            component: What it is for; None lets the image say so.
            image_ref: The image's URL or file name, which may tell the attempt (see ``ledger``).
            source: ``pull`` or ``push``.
            attempt: The attempt, where the face knows better than *image_ref* tells.
            hold: Verify the image by a task of its own, and keep it until ``start_update`` where that is asked.
            resets_host: Reset the host once the image waits for that.

        Raises:
            LabRefusal: the BMC is away, there is no such component or an update to it is running.
        """
        self._act()
        self._guard.check_update(updating=self._updates.busy, settings_wait=bool(self._bios.pending))
        task = self._updates.begin(
            self._named(component) if component is not None else None,
            image_ref,
            source=source,
            attempt=attempt or attempt_of(image_ref),
            hold=hold,
            resets_host=resets_host,
        )
        self._wake(Moment.WRITE)
        return task

    def start_update(self) -> tuple[MachineTask, ...]:
        """Program what was uploaded and waits for that; the tasks that do.

        Raises:
            LabRefusal: the BMC is away, or nothing waits.
        """
        self._act()
        return self._updates.start_held()

    def image_received(self, task: MachineTask, facts: ImageFacts | None, *, error: str = "") -> None:
        """Hand in the image for *task*, complete; *facts* None: it does not verify, because of *error*.

        Does nothing where the BMC has been reset since and no longer waits for it. A face that has the
        image in a file gives it to ``backend.keep_image`` first: some hosts really boot it.
        """
        self.advance()
        self.revision += 1
        self._updates.received(task, facts, error=error)

    def fetch_trouble(self, url: str, *, ranges: bool = True) -> str:
        """Say why the image at *url* cannot be fetched, and use the fault up; empty: it can (P20).

        *ranges*: whether its server sends parts of it on request.
        """
        if not self._armory:
            return ""
        self.advance()
        return self._updates.fetch_trouble(url, ranges=ranges)

    def clear_queue(self) -> None:
        """End what is stuck in the queue; the service that restarts for it tells less for a while (P21).

        Raises:
            LabRefusal: the BMC is away.
        """
        self._act()
        lasts = self._updates.clear_queue()
        self._sight.lose_data(lasts)
        self._timeline.after(lasts, lambda: None)  # what was rendered is then rendered anew

    def roll_back(self, component: str, *, kept: bool = False) -> MachineTask:
        """Let the image that ran before on *component* wait for its reset; *kept*: as an order that names it does.

        Raises:
            LabRefusal: the BMC is away, nothing ran before, or an update is running.
        """
        self._act()
        return self._updates.roll_back(self._updates.banks[self._named(component)], kept=kept)

    def transfer_failed(self, task: MachineTask, reason: str) -> None:
        """Say that the image for *task* will never arrive."""
        self.advance()
        self.revision += 1
        self._updates.transfer_failed(task, reason)

    def stage_bios(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Let *attributes* wait for the next POST.

        Raises:
            LabRefusal: the BMC is away, or the registry does not allow one of them; then none waits.
        """
        self._act()
        if not self.personality.rules.bios_attributes:
            raise LabRefusal(404, "this BMC has no BIOS attributes")
        self._guard.check_settings(updating=self._updates.busy, settings_wait=bool(self._bios.pending))
        if self._bios_job is not None:  # P22
            raise LabRefusal(
                400,
                "pending configuration values are already committed",
                message_id="Base.1.18.ResourceInUse",
            )
        self._bios.stage(attributes)

    def commit_bios(self) -> MachineTask:
        """Make the job that applies what is staged, for a BMC whose settings need one.

        Raises:
            LabRefusal: the BMC is away, nothing is staged, or it has a job already (P22).
        """
        self._act()
        if self._bios_job is not None:
            raise LabRefusal(
                400, "pending configuration values are already committed", message_id="Base.1.18.ResourceInUse"
            )
        if not self._bios.pending:
            raise LabRefusal(400, "no configuration values are pending")
        self._bios_job = self._updates.add_settings_job()
        return self._bios_job

    def reset_bios_defaults(self) -> None:
        """Let the defaults of all attributes wait for the next POST."""
        self._act()
        self._bios.stage_defaults()

    def reset_host(self, kind: ResetKind | HostReset) -> None:
        """Change the host's power.

        Raises:
            LabRefusal: the BMC is away, the power is changing, or this make refuses it during an update.
        """
        self._act()
        self._refuse_if_writing()
        wanted = RESET_OF[kind] if isinstance(kind, ResetKind) else kind
        self._guard.check_reset(wanted, updating=self._updates.busy)
        if wanted is HostReset.FULL_POWER_CYCLE:
            self._cut_ac()
            return
        linked, self._sight.link = self._sight.link, self._sight.link or self._sight.breaking()
        try:
            self._host.reset(wanted)
        except LabRefusal:
            self._sight.link = linked
            raise
        self._wake(Moment.RESET)

    def reset_bmc(self) -> None:
        """Restart the BMC; it is away for a while.

        Raises:
            LabRefusal: it is away already, or this make refuses it during an update.
        """
        self._act()
        self._refuse_if_writing()
        self._guard.check_bmc_reset(updating=self._updates.busy)
        if self._armory.strike(Lockdown, at=self._timeline.time):
            return  # P38
        self._restart_bmc(forget_tasks=not self.personality.rules.tasks_survive_bmc_reset)

    # -- what only the lab does ---------------------------------------------------------------

    def install(self, component: str, version: str, *, digest: Digest | None = None) -> None:
        """Set what a component runs, as if it had left the factory so."""
        bank = self._updates.banks[self._named(component)]
        bank.version, bank.digest = version, digest
        self.revision += 1

    @property
    def backend(self) -> HostBackend:
        """What the host really is."""
        return self._host.backend

    def cut_ac(self) -> None:
        """Take the power cord out and put it back: BMC and host start anew, whatever they were doing."""
        self.advance()
        self.revision += 1
        self._cut_ac()

    def inject(self, fault: Fault) -> None:
        """Arm *fault*."""
        self.advance()
        self.revision += 1
        self._troubles.arm(fault)
        self.advance()

    def clear_faults(self, fault_id: str | None = None) -> None:
        """Disarm every fault, or those of one id. What they did stays done."""
        self.advance()
        self.revision += 1
        self._armory.disarm(fault_id)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults that are armed."""
        return tuple(self._armory)

    def suffers(self, kind: type[Fault]) -> bool:
        """Whether a fault of *kind* is in force, without striking."""
        if not self._armory:
            return False
        self.advance()
        return bool(self._armory.in_force(kind, at=self._timeline.time))

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Do *act* when *seconds* of this machine's time have passed."""
        self.advance()
        self._timeline.after(seconds, act)

    def strike_wire(self, method: str, path: str) -> WireFault | None:
        """Say what becomes of this request, or of the answer to it, and use the fault up."""
        if not self._armory:
            return None
        self.advance()
        self._wake(Moment.REQUEST, method=method, path=path)
        self.advance()  # what this request brings about, it meets itself
        kinds: tuple[type[WireFault], ...] = (
            RedfishDead,
            RequestLost,
            Busy,
            GarbledError,
            AnswerLost,
            KeepAliveDropped,
        )
        for kind in kinds:
            if struck := self._armory.strike(kind, at=self._timeline.time, method=method, path=path):
                return struck
        return None

    def strike(self, kind: type[F], *, component: str = "", method: str = "", path: str = "") -> F | None:
        """Let a fault of *kind* strike at a face of this machine, and use it up by one."""
        if not self._armory:
            return None
        self.advance()
        return self._armory.strike(kind, at=self._timeline.time, component=component, method=method, path=path)

    def afflicted(self, kind: type[F]) -> F | None:
        """Return the fault of *kind* that is in force, without using it up."""
        if not self._armory:
            return None
        self.advance()
        return self._armory.first(kind, at=self._timeline.time)

    @property
    def last_written(self) -> ComponentName | None:
        """The component whose bytes were programmed last, whoever asked for it; None: none was."""
        self.advance()
        written = [record.component for record in self._updates.ledger if record.flash_started_at is not None]
        return written[-1] if written else None

    def watch(self, look: Callable[[Glimpse], None]) -> None:
        """Have *look* told how the machine stands, after everything that happens in it by itself."""
        self._timeline.watch = lambda: look(self._glimpse())

    def glimpse(self) -> Glimpse:
        """Return how the machine really stands."""
        self.advance()
        return self._glimpse()

    def _glimpse(self) -> Glimpse:
        return Glimpse(
            time=self._timeline.time,
            power=self._host.power,
            post=self._host.post,
            host_resets=self._host.resets,
            bmc_resets=self.controller.resets,
            activations=tuple(bank.activations for bank in self._updates.banks.values()),
            corruptions=len(self._updates.corruptions),
            health=self._health(),
        )

    @property
    def flash_counts(self) -> tuple[int, int]:
        """How many writes programmed bytes, and how many broke the rule in ``ledger``."""
        self.advance()
        ledger = self._updates.ledger
        return sum(record.flash_started_at is not None for record in ledger), len(ledger.double_flashes())

    def truth(self) -> dict[str, object]:
        """Tell everything that happened, as JSON-able values.

        ``installed`` by component: version, digest, staged, corrupt, readable. ``writes``: every
        accepted update (``ledger.WriteRecord``) and ``double_flash``, null or why. ``flashes``: how
        many of them programmed bytes. ``double_flashes``: how many broke the rule in ``ledger``.
        ``refused_writes``: updates refused because one was running. ``resets``: of the host and the
        BMC. ``guest``: what really runs on the host, empty where nothing does; ``guest_bios``: the version
        that it told since the last reset, or null. ``deaths``, ``corruptions``: when and why. ``faults``:
        those still armed; ``struck``: how often those of each id struck.
        """
        self.advance()
        doubles = self._updates.ledger.double_flashes()
        records = tuple(self._updates.ledger)
        flashes, double_flashes = self.flash_counts
        guest = dict(self._host.backend.truth())
        return {
            "node": str(self.name),
            "serial": self.serial,
            "personality": self.personality.name,
            "time": self._timeline.time,
            "installed": {
                str(name): {
                    "version": bank.version,
                    "digest": bank.digest,
                    "staged": bank.staged.version if bank.staged else None,
                    "corrupt": bank.corrupt,
                    "readable": bank.readable,
                }
                for name, bank in self._updates.banks.items()
            },
            "power": self._host.power.value,
            "post": self._host.post.value,
            "health": self.health.value,
            "bmc_alive": not self.controller.away,
            "bios": self._bios.current,
            "bios_pending": self._bios.pending,
            "writes": [attrs.asdict(record) | {"double_flash": doubles.get(record.number)} for record in records],
            "flashes": flashes,
            "double_flashes": double_flashes,
            "refused_writes": self._updates.refused,
            "resets": {"host": self._host.resets, "bmc": self.controller.resets},
            "deaths": [death.as_dict() for death in self._mortality.deaths],
            "guest_bios": guest.get("bios"),
            "guest": guest,
            "corruptions": [attrs.asdict(corruption) for corruption in self._updates.corruptions],
            "faults": [fault_as_dict(fault) for fault in self._armory],
            "struck": dict(self._armory.struck or {}),
        }

    # -- what the host's power and POST do to the firmware (host.Firmware) --------------------

    def host_disturbed(self) -> None:
        """See ``host.Firmware``."""
        self._updates.host_disturbed()

    def boot_begins(self) -> bool:
        """See ``host.Firmware``."""
        if self._sight.link:
            return False
        for bank in self._updates.waiting_for(Needs.HOST_RESET):
            if bank.spec.name != BIOS:
                self._updates.activate(bank)
        return any(bank.spec.name == BIOS for bank in self._updates.waiting_for(Needs.HOST_RESET))

    def apply_staged(self) -> None:
        """See ``host.Firmware``."""
        self._updates.activate(self._updates.banks[BIOS])

    def apply_broken_off(self) -> None:
        """See ``host.Firmware``."""
        self._updates.spoil_staged(self._updates.banks[BIOS], "the host was reset while POST applied its image")

    def boots(self) -> bool:
        """See ``host.Firmware``."""
        return self._mortality.boots()

    def flashed(self) -> Flashed:
        """See ``host.Firmware``."""
        bios = self._updates.banks.get(BIOS)
        return Flashed(bios.digest if bios else None, bios is not None and bios.corrupt)

    def booted(self) -> None:
        """See ``host.Firmware``."""
        self._mortality.booted()
        if self.personality.rules.bios_needs_job and self._bios_job is None:
            return
        self._bios.apply()
        if self._bios_job is not None:
            self._updates.end_settings_job(self._bios_job)
            self._bios_job = None

    def boot_failed(self) -> None:
        """See ``host.Firmware``."""
        if (death := self._mortality.dead) is not None and death.fault.power_off:
            self._host.die(power_off=True)

    # -- inside -------------------------------------------------------------------------------

    def _act(self) -> None:
        self.advance()
        if self.controller.away:
            raise LabRefusal(503, "the BMC is restarting", message_id="Base.1.18.ServiceTemporarilyUnavailable")
        self.revision += 1

    def _named(self, component: str) -> ComponentName:
        """Return the machine's own name of what a client may call otherwise."""
        spec = self.personality.component(component)
        return ComponentName(component) if spec is None else spec.name

    def _refuse_if_writing(self) -> None:
        rules = self.personality.rules
        if rules.reset_while_writing is WhenBusy.REFUSE and self._updates.busy:
            raise LabRefusal(
                rules.busy_status,
                "an update is in progress",
                message_id="Update.1.0.UpdateInProgress",
                retry_after=rules.busy_retry_after,
            )

    def _wake(self, moment: Moment, *, method: str = "", path: str = "") -> None:
        """Tell the faults that wait for *moment* that it has come."""
        if self._armory and self._troubles.wake(moment, method=method, path=path):
            self.revision += 1

    def _host_restarts_itself(self) -> None:
        # The power may be off or changing: then the next start does it.
        if self._host.power is PowerState.ON:
            self._host.reset(HostReset.FORCE_RESTART)

    def _bmc_restarts_itself(self) -> None:
        # The fault empties the TaskService whatever this make's habit is (P01).
        self._restart_bmc(forget_tasks=True)

    def _restart_bmc(self, *, forget_tasks: bool) -> None:
        self._updates.bmc_restarts(forget_tasks=forget_tasks)
        self.controller.restart()
        if self._sight.link and self._sight.link.mended_by is MendedBy.BMC_RESET:
            self._sight.link = None

    def _cut_ac(self) -> None:
        if self._armory.strike(AcStays, at=self._timeline.time):
            return  # P37
        self._restart_bmc(forget_tasks=not self.personality.rules.tasks_survive_bmc_reset)
        self._sight.link = None
        for bank in self._updates.waiting_for(Needs.AC_CYCLE):
            self._updates.activate(bank)
        self._host.lose_power(then_on=True)

    def _bmc_back(self) -> None:
        for bank in self._updates.waiting_for(Needs.BMC_RESET):
            self._updates.activate(bank)
