"""What holds for one emulated node whatever is done to it, in whatever order."""

from __future__ import annotations

import json
from contextlib import suppress

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rackwave.core.identity import ComponentName, Digest
from rackwave.core.observation import Post
from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.faults import (
    CompletedUnapplied,
    FetchFails,
    FlashFails,
    HostDead,
    InventoryLags,
    Leaves,
    Moment,
    RevivedBy,
    TaskVanishes,
)
from rackwave_emulators.host import HostReset, PowerState
from rackwave_emulators.images import ImageFacts
from rackwave_emulators.machine import Machine
from rackwave_emulators.personality import WhenBusy, load_personality
from rackwave_emulators.refusal import LabRefusal
from rackwave_emulators.updates import MachineTask, TaskState

COMPONENTS = st.sampled_from(["BIOS", "BIOS", "BIOS", "BMC", "NIC"])
VERSIONS = st.sampled_from(["1", "2"])
ATTEMPTS = st.sampled_from(["", "aaaa"])
FAULTS = st.sampled_from(
    [
        *(FlashFails(leaves=leaves) for leaves in Leaves),
        FetchFails(),
        TaskVanishes(applied=True),
        TaskVanishes(applied=False),
        CompletedUnapplied(),
        InventoryLags(seconds=30),
        *(HostDead(revived_by=by, power_off=off) for by in RevivedBy for off in (True, False)),
        HostDead(at=Moment.WRITE),
    ]
)


class AnyOrder(RuleBasedStateMachine):
    """Does anything to a machine in any order, and keeps its own account of double flashes.

    The account is taken from what one sees from outside at the moment of each write (is a task to the
    component still going, is an image staged), not from the machine's ledger.
    """

    @initialize(busy=st.sampled_from(WhenBusy), resets=st.sampled_from(WhenBusy), survive=st.booleans())
    def begin(self, busy: WhenBusy, resets: WhenBusy, survive: bool) -> None:
        """Choose a make."""
        plain = load_personality("plain")
        rules = attrs.evolve(
            plain.rules,
            second_write=busy,
            reset_while_writing=resets,
            tasks_survive_bmc_reset=survive,
            task_ids_restart=not survive,
        )
        self.clock = VirtualClock()
        self.machine = Machine("n1", self.clock, personality=attrs.evolve(plain, rules=rules))
        self.waiting: list[tuple[MachineTask, str, str]] = []
        self.offered: dict[str, set[str]] = {name: {"1.0.0"} for name in ("BIOS", "BMC", "NIC")}
        self.programmed: list[tuple[str, str, str]] = []
        self.tasks: list[MachineTask] = []
        self.ends: dict[int, tuple[TaskState, float | None]] = {}
        self.flashes = 0
        self.doubles: set[int] = set()
        self.time = self.machine.time
        self.resets = (0, self.machine.last_reset)

    def unresolved(self, component: str) -> bool:
        """Whether, seen from outside, a write to *component* has not come to its end."""
        going = any(not task.ended and task.component == component for task in self.machine.tasks)
        return going or any(view.name == component and view.staged for view in self.machine.components)

    @rule(component=COMPONENTS, attempt=ATTEMPTS)
    def write(self, component: str, attempt: str) -> None:
        """Ask for an update."""
        unresolved = self.unresolved(component)
        try:
            task = self.machine.begin_update(component, f"x-attempt-{attempt}.img" if attempt else "x.img")
        except LabRefusal:
            return
        self.tasks.append(task)
        if unresolved:
            self.doubles.add(task.record)
        self.waiting.append((task, component, attempt))

    @rule(component=COMPONENTS, attempt=ATTEMPTS, version=VERSIONS, activate=st.booleans())
    def update(self, component: str, attempt: str, version: str, activate: bool) -> None:
        """Do a whole update, with or without the reset it needs; by single steps hypothesis seldom gets there."""
        before = len(self.waiting)
        self.write(component, attempt)
        if len(self.waiting) > before:
            self.hand_in(version, before, sound=True)
            self.clock.advance(60)
        if activate:
            self.activate()

    @rule()
    def activate(self) -> None:
        """Reset all there is, in good time."""
        self.reset_host(HostReset.FORCE_RESTART)
        self.clock.advance(60)
        self.reset_bmc()
        self.clock.advance(90)

    @precondition(lambda self: self.waiting)
    @rule(version=VERSIONS, which=st.integers(0, 5), sound=st.booleans())
    def hand_in(self, version: str, which: int, sound: bool) -> None:
        """Have an image arrive, sound or damaged."""
        task, component, attempt = self.waiting.pop(which % len(self.waiting))
        expected = not task.ended and not self.fetch_fails() and sound
        facts = ImageFacts(ComponentName(component), version, Digest("sha256:" + version * 64), 1)
        self.machine.image_received(task, facts if sound else None, error="damaged")
        if not expected:
            return
        self.offered[component].add(version)
        self.flashes += 1
        before = [each for each in self.programmed if each[0] == component]
        if (component, attempt, version) in (before if attempt else before[-1:]):
            self.doubles.add(task.record)
        self.programmed.append((component, attempt, version))

    def fetch_fails(self) -> bool:
        """Whether the next image will not arrive."""
        return any(isinstance(fault, FetchFails) for fault in self.machine.faults)

    @precondition(lambda self: self.waiting)
    @rule()
    def lose_transfer(self) -> None:
        """Have an image not arrive."""
        task, _, _ = self.waiting.pop()
        self.machine.transfer_failed(task, "no route")

    @rule(kind=st.sampled_from(HostReset))
    def reset_host(self, kind: HostReset) -> None:
        """Press a power button."""
        with suppress(LabRefusal):
            self.machine.reset_host(kind)

    @rule()
    def reset_bmc(self) -> None:
        """Restart the BMC."""
        with suppress(LabRefusal):
            self.machine.reset_bmc()

    @rule(seconds=st.sampled_from([0.0, 0.5, 2.0, 19.0, 21.0, 60.0, 90.0, 1000.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    @rule(fault=FAULTS)
    def inject(self, fault: FlashFails) -> None:
        """Make something go wrong."""
        self.machine.inject(fault)

    @rule(value=st.sampled_from(["Uefi", "Bios"]))
    def configure(self, value: str) -> None:
        """Stage a setting."""
        with suppress(LabRefusal):
            self.machine.stage_bios({"BootMode": value})

    @invariant()
    def time_never_runs_back(self) -> None:
        """The machine's time only grows, and so do reset times."""
        before, self.time = self.time, self.machine.time
        (count, moment), self.resets = self.resets, (self.truth_of_resets(), self.machine.last_reset)

        assert before <= self.time
        assert self.resets[1] - moment >= self.resets[0] - count

    def truth_of_resets(self) -> int:
        """Count the resets of the host."""
        resets = self.machine.truth()["resets"]
        assert isinstance(resets, dict)
        return int(resets["host"])

    @invariant()
    def only_verified_images_are_installed(self) -> None:
        """What runs or waits was the factory's or came in an image that verified."""
        for view in self.machine.components:
            assert {view.version, view.staged} - {None} <= self.offered[str(view.name)]

    @invariant()
    def flashes_are_counted_by_the_definition(self) -> None:
        """The truth counts exactly the programmed writes, and the double flashes that one saw from outside."""
        truth = self.machine.truth()
        writes = truth["writes"]
        assert isinstance(writes, list)

        assert self.flashes == truth["flashes"]
        assert self.doubles == {write["number"] for write in writes if write["double_flash"]}

    @invariant()
    def the_states_fit_together(self) -> None:
        """A host without power is in no POST, an ended task stays ended, and the truth is JSON."""
        if self.machine.power is not PowerState.ON:
            assert Post.NOT_RUNNING is self.machine.post
        for task in self.tasks:
            assert task.ended == (task.ended_at is not None)
            assert not task.ended or self.ends.setdefault(task.record, (task.state, task.ended_at)) == (
                task.state,
                task.ended_at,
            )
            assert task.percent == 100 or task.state is not TaskState.COMPLETED
        json.dumps(self.machine.truth())


AnyOrder.TestCase.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
TestAnyOrder = AnyOrder.TestCase
