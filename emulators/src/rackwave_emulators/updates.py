"""Firmware updates inside one machine: banks, tasks, and the progress of every write.

The life of a write: accepted (task New, the image is on its way) -> verified and being programmed
(Running) -> staged until the reset it needs, or in force at once (Completed) -> activated. An image
that does not verify is rejected before a byte is written. A write that is broken off, by a reset or
by a second write into the same component, leaves a component without spare bank corrupt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import partial

from attrs import frozen

from rackwave.core.bundle import Activation
from rackwave.core.identity import ComponentName, Digest

from .banks import BIOS as BIOS  # handed on with the rest of what an update is about
from .banks import NEEDS, Corruption, Staged
from .banks import Bank as Bank
from .banks import Needs as Needs
from .faults import (
    Armory,
    CompletedCritical,
    CompletedUnapplied,
    ErrorThoughApplied,
    FetchFails,
    FetchTrouble,
    FlashFails,
    InventoryLags,
    Leaves,
    NeedsAcCycle,
    QueueStuck,
    RebootsUnasked,
    StagedOnly,
    SteppingStones,
    TaskLate,
    TaskPurged,
    TaskVanishes,
    TaskWaits,
    TaskWord,
    TwoTasks,
)
from .faults.transfer import WITHOUT_RANGES
from .images import ImageFacts
from .ledger import Ledger, WriteResult
from .personality import ComponentSpec, Personality, TaskEnds, WhenBusy
from .refusal import LabRefusal
from .tasks import Hold as Hold
from .tasks import MachineTask as MachineTask
from .tasks import TaskMessage as TaskMessage
from .tasks import TaskState as TaskState
from .tasks import TaskStatus as TaskStatus
from .timeline import Timeline


@frozen
class _Flash:
    """A write whose bytes are being programmed right now."""

    task: MachineTask
    bank: Bank
    facts: ImageFacts
    started_at: float


_TROUBLES = {
    FetchTrouble.LOST: "the connection to the image's server was lost",
    FetchTrouble.NO_ROUTE: "there is no route to the image's server",
    FetchTrouble.TLS: "the image's server was refused: its certificate, or its version of TLS",
    FetchTrouble.EXTENSION: "the image's file extension is not supported",
    FetchTrouble.QUERY: "the image's URL is not supported: it has a query",
    FetchTrouble.RANGE: "the image's server does not send ranges",
}


class Updates:
    """The banks, tasks and writes of one machine."""

    __slots__ = (
        "_armory",
        "_bmc_restarts",
        "_flashes",
        "_held",
        "_host_restarts",
        "_next_task",
        "_personality",
        "_stuck",
        "_timeline",
        "_transfers",
        "_waiting",
        "_written",
        "banks",
        "corruptions",
        "last_arrival",
        "ledger",
        "purged",
        "refused",
        "tasks",
    )

    def __init__(
        self,
        timeline: Timeline,
        personality: Personality,
        armory: Armory,
        *,
        bmc_restarts: Callable[[], None],
        host_restarts: Callable[[], None],
        written: Callable[[], None] = lambda: None,
    ) -> None:
        self._timeline = timeline
        self._personality = personality
        self._armory = armory
        self._bmc_restarts = bmc_restarts
        self._host_restarts = host_restarts
        self._written = written
        self._next_task = 1
        self._transfers: dict[int, MachineTask] = {}
        self._flashes: dict[int, _Flash] = {}
        self._held: dict[int, tuple[MachineTask, Bank, ImageFacts]] = {}
        self._waiting: dict[int, MachineTask] = {}
        self.banks = {spec.name: Bank(spec, spec.version, previous=spec.previous) for spec in personality.components}
        self._stuck: dict[int, tuple[MachineTask, Bank]] = {}
        self.tasks: dict[str, MachineTask] = {}
        self.purged: dict[str, MachineTask] = {}
        """Tasks that the service forgot when they succeeded (P02)."""
        self.last_arrival = timeline.time - 86_400
        """When an image last arrived and verified."""
        self.ledger = Ledger()
        self.corruptions: list[Corruption] = []
        self.refused = 0
        """How many updates were refused because one was running."""

    @property
    def busy(self) -> bool:
        """Whether an image is on its way or being programmed."""
        return bool(self._transfers or self._flashes or self._stuck)

    @property
    def held(self) -> tuple[ComponentName, ...]:
        """The components whose image waits for StartUpdate."""
        return tuple(bank.spec.name for _, bank, _ in self._held.values())

    def waiting_for(self, what: Needs) -> tuple[Bank, ...]:
        """Return the banks whose staged image needs *what*."""
        return tuple(bank for bank in self.banks.values() if bank.staged is not None and bank.staged.needs is what)

    def begin(
        self,
        component: ComponentName | None,
        image: str,
        *,
        source: str,
        attempt: str,
        hold: Hold = Hold.NO,
        resets_host: bool = False,
    ) -> MachineTask:
        """Accept an update whose image is still to come; None lets the image say what it is for.

        Raises:
            LabRefusal: no such component, or an update to it is running.
        """
        rules = self._personality.rules
        if source in ("pull", "push") and not (rules.pull if source == "pull" else rules.push):
            raise LabRefusal(404, f"this BMC has no {source} update", message_id="Base.1.18.ActionNotSupported")
        if component is not None and component not in self.banks:
            raise LabRefusal(400, f"there is no component {component}", message_id="Base.1.18.ResourceNotFound")
        if rules.second_write is WhenBusy.REFUSE and self._is_writing(component):
            self.refused += 1
            raise LabRefusal(
                rules.busy_status,
                "an update is already in progress",
                message_id="Update.1.0.UpdateInProgress",
                retry_after=rules.busy_retry_after,
            )
        now = self._timeline.time
        record = self.ledger.accept(component=component, attempt=attempt, source=source, image=image, at=now)
        task = self._add(MachineTask("", component, image, source, record, now, resets_host=resets_host))
        if hold is not Hold.NO:
            task.step = "verify"
        task.starts_itself = hold is Hold.VERIFIED
        if late := self._armory.strike(TaskLate, at=now):
            task.shown_from = now + late.seconds
        if word := self._armory.strike(TaskWord, at=now):
            task.word = word.word
        if self._armory.strike(TwoTasks, at=now):
            # Where the request is to wait for StartUpdate, that is what makes the second task.
            task.step, task.starts_itself = "verify", hold is not Hold.STARTED
        self._transfers[record] = task
        return task

    def start_held(self) -> tuple[MachineTask, ...]:
        """Program the images that were uploaded and verified, each by a task of its own (P19).

        Raises:
            LabRefusal: none waits.
        """
        if not self._held:
            raise LabRefusal(400, "no image was uploaded", message_id="Update.1.0.NoTargetsDetermined")
        started = []
        for verify, bank, facts in tuple(self._held.values()):
            now = self._timeline.time
            task = self._add(
                MachineTask("", verify.component, verify.image, verify.source, verify.record, now),
            )
            task.resets_host = verify.resets_host
            del self._held[verify.record]
            self._start(task, bank, facts)
            started.append(task)
        return tuple(started)

    def add_settings_job(self) -> MachineTask:
        """Enter a job that applies BIOS settings; who made it ends it by ``end_settings_job``."""
        task = MachineTask("", None, "", "settings", -1, self._timeline.time, step="settings")
        task.messages = (TaskMessage("Base.1.18.Created", "the job waits for the next POST"),)
        return self._add(task)

    def end_settings_job(self, task: MachineTask) -> None:
        """Note that POST has applied the settings."""
        task.percent = 100
        self._end(task, TaskState.COMPLETED, TaskStatus.OK, "Base.1.18.Success", "the settings are in force")

    def fetch_trouble(self, url: str, *, ranges: bool) -> str:
        """Say why the image at *url* cannot be fetched; empty: it can (P20)."""
        method = "GET" if ranges else WITHOUT_RANGES
        fault = self._armory.strike(FetchFails, at=self._timeline.time, method=method, path=url)
        return "" if fault is None else _TROUBLES[fault.because]

    def received(self, task: MachineTask, facts: ImageFacts | None, *, error: str, resets: bool = False) -> None:
        """Take the image that came for *task*; None: it does not verify, because of *error*."""
        if self._transfers.pop(task.record, None) is None:
            return  # the BMC was reset meanwhile, and nobody waits for these bytes any more
        if fault := self._armory.strike(FetchFails, at=self._timeline.time):
            self._transfer_failed(task, _TROUBLES[fault.because])
            return
        task.resets_host = task.resets_host or resets
        spec = self._fitting(facts.component, task.component) if facts else None
        bank = self.banks[spec.name] if spec else None
        if facts is None:
            self._fail(task, WriteResult.REJECTED, "Update.1.0.VerificationFailed", f"it does not verify: {error}")
        elif bank is None or task.component not in (None, bank.spec.name):
            self._fail(task, WriteResult.REJECTED, "Update.1.0.NoTargetsDetermined", f"it is for {facts.component}")
        elif self._personality.rules.second_write is WhenBusy.REFUSE and self._flash_of(bank):
            # Both requests left the component to the image; the second finds out only now.
            self._fail(task, WriteResult.REJECTED, "Update.1.0.UpdateInProgress", "an update is already in progress")
        elif stone := self._stone(bank, facts.version):
            self._fail(task, WriteResult.REJECTED, "Update.1.0.VerificationFailed", f"version {stone} must come first")
        elif self._armory.strike(QueueStuck, at=self._timeline.time):
            self._stuck[task.record] = (task, bank)
        elif task.step == "verify":
            self._hold(task, bank, facts)
        else:
            self._start(task, bank, facts)

    def _fitting(self, made_for: str, named: ComponentName | None) -> ComponentSpec | None:
        """Return the part that an image is for: the one that the request named, where it is of the image's family."""
        asked = self._personality.component(named) if named is not None else None
        return asked if asked is not None and asked.family == made_for else self._personality.component(made_for)

    def transfer_failed(self, task: MachineTask, reason: str) -> None:
        """Note that the image of *task* will never arrive."""
        if self._transfers.pop(task.record, None) is not None:
            self._transfer_failed(task, reason)

    def refresh(self) -> None:
        """Bring the percentage of running tasks up to this moment."""
        for flash in self._flashes.values():
            if flash.task.state is not TaskState.RUNNING:
                continue  # it waits for somebody (P11)
            passed = self._timeline.time - flash.started_at
            flash.task.percent = min(99, int(100 * passed / max(self._lasts(flash.bank), 1e-9)))

    def host_disturbed(self) -> None:
        """The host loses power or is reset: what is being programmed into a part of it is spoilt."""
        for flash in tuple(self._flashes.values()):
            if flash.bank.spec.activation is Activation.HOST_RESET:
                self._break_off(flash, "the host was reset while its firmware was being written")

    def bmc_restarts(self, *, forget_tasks: bool) -> None:
        """The BMC, which does all the writing, goes away: running writes break off."""
        for flash in tuple(self._flashes.values()):
            self._break_off(flash, "the BMC was reset while firmware was being written")
        for task in tuple(self._transfers.values()):
            self._fail(task, WriteResult.LOST, "Update.1.0.TransferFailed", "the BMC was reset")
        self._transfers.clear()
        for verify, _, _ in self._held.values():
            self.ledger.resolve(verify.record, WriteResult.LOST, at=self._timeline.time)
        self._held.clear()
        self._drop_stuck()
        if forget_tasks:
            self.tasks.clear()
            if self._personality.rules.task_ids_restart:
                self._next_task = 1

    def activate(self, bank: Bank) -> None:
        """Make what is staged in *bank* what runs."""
        staged, bank.staged = bank.staged, None
        if staged is None:
            return
        if staged.void:
            self.ledger.resolve(staged.record, WriteResult.UNAPPLIED, at=self._timeline.time)
        else:
            self._install(bank, staged)
        if task := self._waiting.pop(staged.record, None):
            self._end(task, TaskState.COMPLETED, TaskStatus.OK, "Update.1.0.UpdateSuccessful", "the update is applied")
            self._purge(task, task.component or "")

    def roll_back(self, bank: Bank, *, kept: bool = False) -> MachineTask:
        """Let what ran before wait for its reset: the spare bank's image, or the BMC's copy, which is written again.

        A bank switch programs nothing. Where the present image is broken its copy is the one from before that write,
        unless the order named the one that is *kept* beside it.

        Raises:
            LabRefusal: nothing ran before, or an update is running.
        """
        copied = bank.corrupt and not kept
        version, digest = (bank.version, bank.digest) if copied else (bank.previous, bank.previous_digest)
        if version is None:
            raise LabRefusal(404, f"there is no image of {bank.spec.name} to go back to")
        name = bank.spec.name
        facts = ImageFacts(name, version, digest or _factory_digest(name, version), 0)
        # A roll-back is an attempt of its own, or it would pass for a repetition of the first write of that image.
        attempt = f"rollback{len(self.ledger)}"
        task = self.begin(name, f"{name}-{version}.copy", source="rollback", attempt=attempt)
        del self._transfers[task.record]
        if not bank.spec.spare_bank:
            self._start(task, bank, facts)
            return task
        now = self._timeline.time
        if bank.staged is not None:
            self.ledger.resolve(bank.staged.record, WriteResult.SUPERSEDED, at=now)
            self._end_waiting(bank.staged, "the other bank took its place")
        bank.staged = Staged(facts.version, facts.digest, task.record, needs=NEEDS[bank.spec.activation])
        self.ledger.stage(task.record, at=now)
        task.percent = 100
        self._end(task, TaskState.COMPLETED, TaskStatus.OK, "Update.1.0.UpdateSuccessful", "the banks are switched")
        return task

    def spoil(self, bank: Bank, why: str) -> None:
        """Leave *bank* with an image that does not work; it still reports its old version."""
        bank.corrupt = True
        self.corruptions.append(Corruption(self._timeline.time, bank.spec.name, why))

    def spoil_staged(self, bank: Bank, why: str) -> None:
        """Break off the activation of what is staged in *bank*."""
        if bank.staged is not None:
            self.ledger.resolve(bank.staged.record, WriteResult.CORRUPTED, at=self._timeline.time)
            self._end_waiting(bank.staged, why)
            bank.staged = None
            self.spoil(bank, why)

    def clear_queue(self) -> float:
        """End what is stuck; return for how many seconds readings are incomplete afterwards (P21)."""
        fault = self._armory.first(QueueStuck, at=self._timeline.time)
        self._drop_stuck()
        for flash in tuple(self._flashes.values()):
            if flash.task.state is not TaskState.RUNNING:
                self._break_off(flash, "the job queue was cleared")
        return fault.seconds if fault else 0.0

    # -- the way of one write -----------------------------------------------------------------

    def _add(self, task: MachineTask) -> MachineTask:
        """Number *task* and list it."""
        task.id = self._personality.rules.task_id.format(number=self._next_task)
        self._next_task += 1
        self.tasks[task.id] = task
        return task

    def _hold(self, task: MachineTask, bank: Bank, facts: ImageFacts) -> None:
        """Keep a verified image until StartUpdate (P19)."""
        task.component, task.percent = bank.spec.name, 100
        bank.uploaded = facts.version
        self._held[task.record] = (task, bank, facts)
        self._end(task, TaskState.COMPLETED, TaskStatus.OK, "Update.1.0.AwaitToUpdate", "the image waits to be started")
        if task.starts_itself:
            self.start_held()

    def _drop_stuck(self) -> None:
        for task, _ in self._stuck.values():
            self._fail(task, WriteResult.LOST, "Base.1.18.OperationFailed", "the job was deleted")
        self._stuck.clear()

    def _stone(self, bank: Bank, version: str) -> str:
        """Return the version that must be installed before *version*; empty: none (P17)."""
        for fault in self._armory.in_force(SteppingStones, at=self._timeline.time):
            stones = fault.versions.split()
            if fnmatchcase(bank.spec.name, fault.component) and {bank.version, version} <= set(stones):
                here, there = stones.index(bank.version), stones.index(version)
                if there > here + 1:
                    self._armory.strike(SteppingStones, at=self._timeline.time, component=bank.spec.name)
                    return stones[here + 1]
        return ""

    def _end_waiting(self, staged: Staged, why: str) -> None:
        """End the task of an image that will never run."""
        if task := self._waiting.pop(staged.record, None):
            self._end(task, TaskState.EXCEPTION, TaskStatus.CRITICAL, "Update.1.0.ApplyFailed", why)

    def _is_writing(self, component: ComponentName | None) -> bool:
        writing = [task.component for task in self._transfers.values()]
        writing += [flash.bank.spec.name for flash in self._flashes.values()]
        writing += [bank.spec.name for _, bank, _ in self._held.values()]
        writing += [bank.spec.name for _, bank in self._stuck.values()]
        return bool(writing) if component is None else component in writing

    def _lasts(self, bank: Bank) -> float:
        return self._personality.timing.update if bank.spec.seconds is None else bank.spec.seconds

    def _flash_of(self, bank: Bank) -> _Flash | None:
        return next((flash for flash in self._flashes.values() if flash.bank is bank), None)

    def _start(self, task: MachineTask, bank: Bank, facts: ImageFacts) -> None:
        now, name = self._timeline.time, bank.spec.name
        running = self._flash_of(bank)
        self.ledger.flash(task.record, component=name, digest=facts.digest, version=facts.version, at=now)
        flash = _Flash(task, bank, facts, now)
        task.component = name
        task.state = TaskState.RUNNING
        task.messages += (TaskMessage("Update.1.0.InstallingOnComponent", f"installing {facts.version} on {name}"),)
        self._flashes[task.record] = flash
        self.last_arrival = now
        bank.uploaded = facts.version
        if bank.staged is not None:
            self.ledger.resolve(bank.staged.record, WriteResult.SUPERSEDED, at=now)
            self._end_waiting(bank.staged, "another image took its place")
            bank.staged = None
        if running is not None:
            for one in (running, flash):
                self._break_off(one, "two writes ran into one component", spare=False)
            return
        duration = self._lasts(bank)
        if fails := self._armory.strike(FlashFails, at=now, component=name):
            self._timeline.after(duration * fails.percent / 100, lambda: self._flash_fails(flash, fails))
        elif vanishes := self._armory.strike(TaskVanishes, at=now, component=name):
            self._timeline.after(duration * vanishes.percent / 100, lambda: self._vanish(flash, vanishes))
        elif waits := self._armory.strike(TaskWaits, at=now, component=name):
            self._timeline.after(duration * waits.percent / 100, lambda: self._wait(flash, waits))
        else:
            self._timeline.after(duration, lambda: self._flashed(flash))

    def _flashed(self, flash: _Flash) -> None:
        if self._flashes.pop(flash.task.record, None) is None:
            return  # broken off
        now, task, name = self._timeline.time, flash.task, flash.bank.spec.name
        task.percent = 100
        if self._armory.strike(CompletedCritical, at=now, component=name):
            self._end(task, TaskState.COMPLETED, TaskStatus.CRITICAL, "Update.1.0.ApplyFailed", "the update failed")
            self.ledger.resolve(task.record, WriteResult.FAILED, at=now)
            return
        needs, hidden = self._needs(flash.bank)
        if self._armory.strike(ErrorThoughApplied, at=now, component=name):
            self._end(task, TaskState.EXCEPTION, TaskStatus.CRITICAL, "Update.1.0.ApplyFailed", "programming failed")
        elif needs is not Needs.NOTHING and self._personality.rules.task_ends is TaskEnds.ACTIVATED:
            task.state = TaskState.PENDING
            task.messages += (TaskMessage("Update.1.0.AwaitToActivate", "the image waits for its reset"),)
            self._waiting[task.record] = task
        else:
            self._end(task, TaskState.COMPLETED, TaskStatus.OK, "Update.1.0.UpdateSuccessful", "the image is written")
            self._purge(task, name)
        self._keep(flash, needs, hidden=hidden)
        if task.resets_host and needs is Needs.HOST_RESET:
            self._host_restarts()
        if reboots := self._armory.strike(RebootsUnasked, at=now, component=name):
            self._timeline.after(reboots.seconds, self._host_restarts)
        self._written()

    def _purge(self, task: MachineTask, component: str) -> None:
        """Forget a task that has succeeded, where it is armed with that; its job stays (P02)."""
        if self._armory.strike(TaskPurged, at=self._timeline.time, component=component):
            self.purged[task.id] = self.tasks.pop(task.id)

    def _needs(self, bank: Bank) -> tuple[Needs, bool]:
        """Return what the image just written to *bank* needs to run, and whether the BMC hides it till then."""
        now, name = self._timeline.time, bank.spec.name
        if self._armory.strike(NeedsAcCycle, at=now, component=name):
            return Needs.AC_CYCLE, False
        if staged_only := self._armory.strike(StagedOnly, at=now, component=name):
            return Needs.HOST_RESET, staged_only.hidden
        return NEEDS[bank.spec.activation], False

    def _keep(self, flash: _Flash, needs: Needs, *, hidden: bool = False) -> None:
        bank, record = flash.bank, flash.task.record
        void = self._armory.strike(CompletedUnapplied, at=self._timeline.time, component=bank.spec.name) is not None
        staged = Staged(flash.facts.version, flash.facts.digest, record, void, needs, hidden)
        bank.staged = staged
        if needs is Needs.NOTHING:
            self.activate(bank)
        else:
            self.ledger.stage(record, at=self._timeline.time)

    def _wait(self, flash: _Flash, fault: TaskWaits) -> None:
        """Stop where it stands, until somebody comes (P11)."""
        if flash.task.record in self._flashes:
            flash.task.state, flash.task.percent = TaskState(fault.state), fault.percent

    def _install(self, bank: Bank, staged: Staged) -> None:
        now = self._timeline.time
        if lags := self._armory.strike(InventoryLags, at=now, component=bank.spec.name):
            bank.shown = bank.version
            self._timeline.after(lags.seconds, partial(self._show, bank, bank.activations + 1))
        else:
            bank.shown = None
        bank.previous, bank.previous_digest = bank.version, bank.digest
        bank.version, bank.digest = staged.version, staged.digest
        bank.corrupt, bank.readable = False, True
        bank.activations += 1
        self.ledger.resolve(staged.record, WriteResult.ACTIVATED, at=now)

    @staticmethod
    def _show(bank: Bank, activation: int) -> None:
        """Let the inventory catch up, unless a later image lags by now."""
        if bank.activations == activation:
            bank.shown = None

    def _flash_fails(self, flash: _Flash, fault: FlashFails) -> None:
        if self._flashes.pop(flash.task.record, None) is None:
            return
        flash.task.percent = fault.percent
        result = WriteResult.CORRUPTED if fault.leaves is Leaves.CORRUPT else WriteResult.FAILED
        self._fail(flash.task, result, "Update.1.0.ApplyFailed", f"programming failed at {fault.percent} %")
        if fault.leaves is Leaves.CORRUPT:
            self.spoil(flash.bank, "its flash failed")
        elif fault.leaves is Leaves.UNKNOWN:
            flash.bank.readable = False

    def _vanish(self, flash: _Flash, fault: TaskVanishes) -> None:
        if self._flashes.pop(flash.task.record, None) is None:
            return
        if fault.applied:
            self._keep(flash, NEEDS[flash.bank.spec.activation])
        else:
            self.ledger.resolve(flash.task.record, WriteResult.LOST, at=self._timeline.time)
        self._bmc_restarts()

    def _break_off(self, flash: _Flash, why: str, *, spare: bool = True) -> None:
        self._flashes.pop(flash.task.record, None)
        kept = spare and flash.bank.spec.spare_bank
        self._fail(flash.task, WriteResult.FAILED if kept else WriteResult.CORRUPTED, "Update.1.0.ApplyFailed", why)
        if not kept:
            self.spoil(flash.bank, why)

    def _transfer_failed(self, task: MachineTask, reason: str) -> None:
        task.transfer_failed = True
        self._fail(task, WriteResult.TRANSFER_FAILED, "Update.1.0.TransferFailed", reason)

    def _fail(self, task: MachineTask, result: WriteResult, message_id: str, text: str) -> None:
        self._end(task, TaskState.EXCEPTION, TaskStatus.CRITICAL, message_id, text)
        self.ledger.resolve(task.record, result, at=self._timeline.time)

    def _end(self, task: MachineTask, state: TaskState, status: TaskStatus, message_id: str, text: str) -> None:
        task.state, task.status, task.ended_at = state, status, self._timeline.time
        task.messages += (TaskMessage(message_id, text, status),)


def _factory_digest(name: ComponentName, version: str) -> Digest:
    """Return a digest for an image that nobody ever saw: the one that the machine was delivered with."""
    return Digest(f"sha256:{hashlib.sha256(f'{name} {version} as delivered'.encode()).hexdigest()}")
