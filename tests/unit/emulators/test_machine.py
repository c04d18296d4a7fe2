"""One emulated node: power, POST, updates, settings, faults."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from rackwave.core.bundle import Activation
from rackwave.core.identity import ComponentName, Digest
from rackwave.core.observation import Health, Post
from rackwave.ports import ResetKind
from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.faults import (
    BadHealth,
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
from rackwave_emulators.personality import Personality, Timing, WhenBusy, load_personality
from rackwave_emulators.refusal import LabRefusal
from rackwave_emulators.updates import MachineTask, TaskState, TaskStatus

PLAIN = attrs.evolve(
    load_personality("plain"), timing=Timing(update=60, post=50, apply=20, bmc_reset=90, power=2, shutdown=10)
)


def ruled(**rules: Any) -> Personality:
    """Return the plain personality with other rules."""
    return attrs.evolve(PLAIN, rules=attrs.evolve(PLAIN.rules, **rules))


def image(version: str, component: str = "BIOS") -> ImageFacts:
    """Return what a verified image of that version says."""
    return ImageFacts(ComponentName(component), version, Digest("sha256:" + (version * 64).encode().hex()[:64]), 1024)


class Bench:
    """A machine, its clock and the few moves that every test makes."""

    def __init__(self, personality: Personality = PLAIN) -> None:
        self.clock = VirtualClock()
        self.machine = Machine("n1", self.clock, personality=personality)

    def after(self, seconds: float) -> Bench:
        """Let time pass."""
        self.clock.advance(seconds)
        return self

    def begin(self, version: str = "2.0", component: str = "BIOS", attempt: str = "aaaa") -> MachineTask:
        """Have an update accepted and its image handed in."""
        task = self.machine.begin_update(component, f"https://x/attempt-{attempt}/x.img")
        self.machine.image_received(task, image(version, component))
        return task

    def staged(self, version: str = "2.0", component: str = "BIOS", attempt: str = "aaaa") -> MachineTask:
        """Have an update written to its end."""
        task = self.begin(version, component, attempt)
        self.after(60)
        self.machine.advance()
        return task

    def boot(self) -> None:
        """Reset the host and wait for the end of POST."""
        self.machine.reset_host(ResetKind.FORCE_RESTART)
        self.after(50)

    def installed(self, component: str = "BIOS") -> str | None:
        """Return the version that the inventory shows."""
        return {str(view.name): view.version for view in self.machine.components}[component]

    def truth(self, *path: str | int) -> object:
        """Return a part of the machine's truth."""
        found: object = self.machine.truth()
        for step in path:
            found = found[step]  # type: ignore[index] # the path knows what lies where
        return found


def test_an_update_takes_its_time_and_waits_for_its_reset() -> None:
    """A BIOS update runs for its time, is staged, and becomes what runs in the course of the next POST."""
    bench = Bench()
    task = bench.begin()

    assert (TaskState.RUNNING, 0) == (task.state, task.percent)
    bench.after(30)
    assert [(TaskState.RUNNING, 50)] == [(t.state, t.percent) for t in bench.machine.tasks]
    bench.after(30)
    assert [(TaskState.COMPLETED, TaskStatus.OK, 100)] == [(t.state, t.status, t.percent) for t in bench.machine.tasks]
    assert ("1.0.0", "2.0") == (bench.installed(), bench.machine.components[0].staged)
    bench.machine.reset_host(ResetKind.FORCE_RESTART)
    bench.after(19)
    assert bench.installed() == "1.0.0"
    bench.after(1)
    assert (Post.RUNNING, "2.0", None) == (
        bench.machine.post,
        bench.installed(),
        bench.machine.components[0].staged,
    )
    bench.after(30)
    assert (Post.COMPLETE, Health.OK) == (bench.machine.post, bench.machine.health)
    assert (1, 0, "activated") == (
        bench.truth("flashes"),
        bench.truth("double_flashes"),
        bench.truth("writes", 0, "result"),
    )


def test_looking_late_changes_nothing() -> None:
    """A machine that nobody looked at for an hour tells the same story, dated right."""
    watched, alone = Bench(), Bench()
    for bench in (watched, alone):
        bench.begin()
    for _ in range(3600):
        watched.after(1).machine.advance()
    alone.after(3600)

    assert watched.machine.truth() == alone.machine.truth()
    assert alone.truth("writes", 0, "staged_at") == alone.truth("writes", 0, "accepted_at") + 60  # type: ignore[operator] # both are numbers


@pytest.mark.parametrize(
    ("component", "activate"),
    [
        ("NIC", lambda machine: machine.reset_host(HostReset.POWER_CYCLE)),
        ("BMC", lambda machine: machine.reset_bmc()),
    ],
)
def test_other_components_wait_for_their_own_reset(component: str, activate: Callable[[Machine], None]) -> None:
    """A NIC's image waits for a reset of the host, a BMC's for one of the BMC."""
    bench = Bench()
    bench.staged("3.1", component)
    assert bench.installed(component) == "1.0.0"
    activate(bench.machine)
    bench.after(90)

    assert bench.installed(component) == "3.1"


def test_the_wrong_reset_activates_nothing() -> None:
    """A staged BIOS image waits through a reset of the BMC, and a BMC's through one of the host."""
    bench = Bench()
    bench.staged()
    bench.machine.reset_bmc()
    bench.after(90)
    assert ("1.0.0", "2.0") == (bench.installed(), bench.machine.components[0].staged)
    bench.staged("5", "BMC")
    bench.boot()

    assert ("2.0", "1.0.0", "5") == (bench.installed(), bench.installed("BMC"), bench.machine.components[1].staged)


def test_a_later_reset_replaces_the_earlier_boot() -> None:
    """What an interrupted boot would have done no longer happens: POST ends its full time after the last reset."""
    bench = Bench()
    bench.machine.reset_host(ResetKind.FORCE_RESTART)
    bench.after(40).machine.reset_host(ResetKind.FORCE_RESTART)
    bench.after(49)
    assert bench.machine.post.value == "running"
    bench.after(1)
    assert bench.machine.post.value == "complete"
    bench.machine.reset_host(HostReset.GRACEFUL_SHUTDOWN)
    bench.after(5).machine.reset_host(ResetKind.FORCE_RESTART)
    bench.after(3600)

    assert bench.machine.power.value == "On"


def test_a_component_may_need_no_reset() -> None:
    """Where a make activates at once, the version changes as the task completes."""
    spec = attrs.evolve(PLAIN.components[0], activation=Activation.IMMEDIATE)
    bench = Bench(attrs.evolve(PLAIN, components=(spec,)))
    bench.staged()

    assert bench.installed() == "2.0"


def test_an_image_that_does_not_verify_is_rejected() -> None:
    """A damaged image ends the task in Exception, Critical, and nothing is written."""
    bench = Bench()
    task = bench.machine.begin_update("BIOS", "x.img", source="push")
    bench.machine.image_received(task, None, error="its checksum is wrong")
    bench.after(3600).boot()

    assert (TaskState.EXCEPTION, TaskStatus.CRITICAL) == (task.state, task.status)
    assert "checksum" in task.messages[-1].text
    assert ("1.0.0", 0, "rejected") == (bench.installed(), bench.truth("flashes"), bench.truth("writes", 0, "result"))


def test_an_image_for_another_component_is_rejected() -> None:
    """A sound image handed in for the wrong component is not written."""
    bench = Bench()
    task = bench.machine.begin_update("BIOS", "x.img")
    bench.machine.image_received(task, image("9", "NIC"))

    assert TaskState.EXCEPTION is task.state
    assert bench.truth("flashes") == 0


def test_an_image_may_name_its_component_itself() -> None:
    """A request without a target takes the component from the image."""
    bench = Bench()
    task = bench.machine.begin_update(None, "x.img", source="push")
    bench.machine.image_received(task, image("3", "NIC"))

    assert task.component == "NIC"
    assert bench.truth("writes", 0, "component") == "NIC"


def test_a_transfer_that_fails_writes_nothing() -> None:
    """An image that never arrives fails the task and says so."""
    bench = Bench()
    task = bench.machine.begin_update("BIOS", "x.img")
    bench.machine.transfer_failed(task, "404")

    assert (TaskState.EXCEPTION, True) == (task.state, task.transfer_failed)
    assert (0, "transfer-failed") == (bench.truth("flashes"), bench.truth("writes", 0, "result"))


def test_a_decent_bmc_refuses_a_second_write() -> None:
    """While an update to a component runs, another is refused and enters no ledger; a third component may go."""
    bench = Bench()
    bench.begin()
    with pytest.raises(LabRefusal, match="already in progress"):
        bench.begin("2.1")
    bench.begin("7", "NIC")

    assert (2, 0, 1) == (bench.truth("flashes"), bench.truth("double_flashes"), bench.truth("refused_writes"))


def test_a_lenient_bmc_accepts_it_and_is_spoilt() -> None:
    """Where a second write is accepted while one runs, it is a double flash and both break the component."""
    bench = Bench(ruled(second_write=WhenBusy.ACCEPT))
    first, second = bench.begin(), bench.begin("2.1", attempt="bbbb")
    bench.after(60).boot()

    assert (TaskState.EXCEPTION, TaskState.EXCEPTION) == (first.state, second.state)
    assert (2, 1) == (bench.truth("flashes"), bench.truth("double_flashes"))
    assert bench.truth("writes", 1, "double_flash") == "overlap"
    assert ("1.0.0", Post.FAILED, Health.CRITICAL) == (bench.installed(), bench.machine.post, bench.machine.health)


def test_a_write_over_a_staged_image_is_a_double_flash() -> None:
    """A second write before the first was activated supersedes it and counts as a double flash."""
    bench = Bench()
    bench.staged()
    bench.staged("2.1", attempt="bbbb")
    bench.boot()

    assert bench.installed() == "2.1"
    assert (1, "superseded") == (bench.truth("double_flashes"), bench.truth("writes", 0, "result"))


def test_a_spoilt_bios_is_cured_by_writing_it_again() -> None:
    """A host that does not POST for a corrupt BIOS comes back once it is written again and restarted."""
    bench = Bench()
    bench.machine.inject(FlashFails(leaves=Leaves.CORRUPT))
    bench.staged()
    bench.boot()
    assert (Post.FAILED, PowerState.ON) == (bench.machine.post, bench.machine.power)
    bench.staged("1.0.0", attempt="bbbb")
    bench.boot()

    assert (Post.COMPLETE, Health.OK) == (bench.machine.post, bench.machine.health)


@pytest.mark.parametrize("kind", [HostReset.FORCE_RESTART, HostReset.FORCE_OFF, HostReset.POWER_CYCLE])
def test_a_reset_in_mid_write_spoils_the_component(kind: HostReset) -> None:
    """A BIOS without a spare bank does not survive a reset while it is written; the truth says why."""
    bench = Bench()
    task = bench.begin()
    bench.after(30).machine.reset_host(kind)

    assert TaskState.EXCEPTION is task.state
    assert bench.truth("writes", 0, "result") == "corrupted"
    assert bench.truth("installed", "BIOS", "corrupt") is True
    assert "host was reset" in str(bench.truth("corruptions", 0, "why"))


def test_a_broken_off_write_stays_broken_off() -> None:
    """What was interrupted is not staged later on, when its time would have come."""
    bench = Bench()
    task = bench.begin()
    bench.after(30).machine.reset_host(ResetKind.FORCE_RESTART)
    bench.after(60).boot()

    assert (TaskState.EXCEPTION, "1.0.0", None) == (task.state, bench.installed(), bench.machine.components[0].staged)


def test_a_careful_bmc_refuses_resets_while_it_writes() -> None:
    """Where a make refuses resets during an update (P08), nothing is spoilt."""
    bench = Bench(ruled(reset_while_writing=WhenBusy.REFUSE))
    bench.begin()
    with pytest.raises(LabRefusal, match="in progress"):
        bench.machine.reset_host(ResetKind.FORCE_RESTART)
    with pytest.raises(LabRefusal, match="in progress"):
        bench.machine.reset_bmc()

    assert bench.truth("corruptions") == []


def test_a_reset_while_post_applies_the_image_spoils_it() -> None:
    """A second reset within the time in which POST applies a BIOS image leaves the BIOS corrupt."""
    bench = Bench()
    bench.staged()
    bench.machine.reset_host(ResetKind.FORCE_RESTART)
    bench.after(10).boot()

    assert (Post.FAILED, "corrupted") == (bench.machine.post, bench.truth("writes", 0, "result"))


def test_a_reset_after_the_image_was_applied_is_harmless() -> None:
    """Once the image is in place, a reset in mid-POST only starts POST again."""
    bench = Bench()
    bench.staged()
    bench.machine.reset_host(ResetKind.FORCE_RESTART)
    bench.after(25).boot()

    assert (Post.COMPLETE, "2.0") == (bench.machine.post, bench.installed())


def test_a_spare_bank_survives_an_interrupted_write() -> None:
    """A BMC with two banks keeps its old image when it is reset in mid-write."""
    bench = Bench()
    bench.begin("5", "BMC")
    bench.after(10).machine.reset_bmc()
    bench.after(90)

    assert ("1.0.0", "failed", Health.OK) == (
        bench.installed("BMC"),
        bench.truth("writes", 0, "result"),
        bench.machine.health,
    )


def test_the_bmc_is_away_while_it_restarts() -> None:
    """A restarting BMC refuses every act, then is back with a later reset time; the host runs on."""
    bench = Bench()
    before = bench.machine.bmc_last_reset
    bench.machine.reset_bmc()
    assert not bench.machine.bmc_alive
    for act in (
        lambda: bench.machine.reset_host(ResetKind.ON),
        lambda: bench.machine.reset_bmc(),
        lambda: bench.machine.begin_update("BIOS", "x"),
        lambda: bench.machine.stage_bios({}),
        lambda: bench.machine.reset_bios_defaults(),
    ):
        with pytest.raises(LabRefusal, match="restarting"):
            act()
    bench.after(90)

    assert bench.machine.bmc_alive
    assert bench.machine.bmc_last_reset > before
    assert (Post.COMPLETE, PowerState.ON) == (bench.machine.post, bench.machine.power)


def test_an_image_that_arrives_after_a_bmc_reset_is_not_written() -> None:
    """A BMC that restarted in mid-transfer waits for no image any more."""
    bench = Bench()
    task = bench.machine.begin_update("BIOS", "x.img")
    bench.machine.reset_bmc()
    bench.machine.image_received(task, image("2.0"))
    bench.after(200)

    assert (0, "lost") == (bench.truth("flashes"), bench.truth("writes", 0, "result"))


@pytest.mark.parametrize(("survive", "restart", "ids"), [(True, False, ["1", "2"]), (False, True, ["1"])])
def test_tasks_outlive_the_bmc_as_the_make_has_it(survive: bool, restart: bool, ids: list[str]) -> None:
    """Tasks and their numbers go on after a BMC reset, or start over."""
    bench = Bench(ruled(tasks_survive_bmc_reset=survive, task_ids_restart=restart))
    bench.staged("2.0", "NIC")
    bench.machine.reset_bmc()
    bench.after(90)
    bench.begin("2.0", attempt="bbbb")

    assert ids == [task.id for task in bench.machine.tasks]


def test_reset_times_differ_however_close_the_resets() -> None:
    """Two resets within one second have two reset times, in whole seconds as the wire tells them."""
    bench = Bench()
    times = [bench.machine.last_reset]
    for _ in range(3):
        bench.machine.reset_host(ResetKind.FORCE_RESTART)
        times.append(bench.machine.last_reset)

    assert len(set(times)) == 4
    assert sorted(times) == times


def test_power_goes_off_and_on_through_its_states() -> None:
    """Power changes take their time, and what comes in between is refused (P35)."""
    bench = Bench()
    machine = bench.machine
    machine.reset_host(ResetKind.FORCE_OFF)
    assert (PowerState.POWERING_OFF, Post.NOT_RUNNING) == (machine.power, machine.post)
    with pytest.raises(LabRefusal) as refusal:
        machine.reset_host(ResetKind.ON)
    assert refusal.value.status == 409
    bench.after(2)
    assert PowerState.OFF is machine.power
    machine.reset_host(ResetKind.FORCE_OFF)
    machine.reset_host(ResetKind.ON)
    assert machine.power.value == "PoweringOn"
    bench.after(2)
    assert (PowerState.ON, Post.RUNNING) == (machine.power, machine.post)
    bench.after(50)

    assert Post.COMPLETE is machine.post


def test_a_graceful_restart_lets_the_system_end_first() -> None:
    """A graceful restart shuts down, powers off, and boots; it is one reset."""
    bench = Bench()
    bench.machine.reset_host(HostReset.GRACEFUL_RESTART)
    bench.after(9)
    assert Post.COMPLETE is bench.machine.post
    bench.after(1 + 2 + 2 + 50)

    assert Post.COMPLETE is bench.machine.post
    assert bench.truth("resets", "host") == 1


def test_a_hung_host_does_not_hear_a_graceful_request() -> None:
    """A graceful restart of a dead host is accepted and nothing happens."""
    bench = Bench()
    bench.machine.inject(HostDead())
    bench.machine.reset_host(HostReset.GRACEFUL_RESTART)
    bench.after(3600)

    assert (Post.FAILED, 0) == (bench.machine.post, bench.truth("resets", "host"))


def test_bios_settings_take_effect_at_the_end_of_post() -> None:
    """Staged attributes are pending until a POST succeeds."""
    bench = Bench()
    bench.machine.stage_bios({"BootMode": "Bios"})
    assert {"BootMode": "Bios"} == bench.machine.bios_pending
    bench.boot()

    assert bench.machine.bios_attributes["BootMode"] == "Bios"
    assert {} == bench.machine.bios_pending


def test_a_make_without_bios_attributes_refuses_them() -> None:
    """Where the BMC has no attribute service, staging says so."""
    with pytest.raises(LabRefusal) as refusal:
        Bench(load_personality("openbmc")).machine.stage_bios({"BootMode": "Bios"})

    assert refusal.value.status == 404


def test_a_make_without_pull_refuses_it() -> None:
    """OpenBMC has no SimpleUpdate."""
    with pytest.raises(LabRefusal, match="no pull update"):
        Bench(load_personality("openbmc")).machine.begin_update("BIOS", "https://x/y")


# -- faults -------------------------------------------------------------------------------------


def test_a_failed_flash_may_leave_the_old_image() -> None:
    """flash-fails with 'old': the task fails at its percentage and the machine runs on as before."""
    bench = Bench()
    bench.machine.inject(FlashFails(percent=50))
    task = bench.begin()
    bench.after(29).machine.advance()
    assert TaskState.RUNNING is task.state
    bench.after(1).boot()

    assert (TaskState.EXCEPTION, TaskStatus.CRITICAL, 50) == (task.state, task.status, task.percent)
    assert ("1.0.0", Post.COMPLETE, Health.OK) == (bench.installed(), bench.machine.post, bench.machine.health)
    assert (1, "failed") == (bench.truth("flashes"), bench.truth("writes", 0, "result"))


def test_a_failed_flash_may_leave_no_version_to_read() -> None:
    """flash-fails with 'unknown': the inventory gives no version until the next good write."""
    bench = Bench()
    bench.machine.inject(FlashFails(leaves=Leaves.UNKNOWN))
    bench.staged()
    assert bench.installed() is None
    bench.staged(attempt="bbbb")
    bench.boot()

    assert bench.installed() == "2.0"


def test_an_image_may_not_be_fetched() -> None:
    """fetch-fails (P20): the transfer fails and nothing is written, once."""
    bench = Bench()
    bench.machine.inject(FetchFails())
    first, second = bench.begin(), bench.begin()

    assert (True, False) == (first.transfer_failed, second.transfer_failed)
    assert bench.truth("flashes") == 1


@pytest.mark.parametrize(("applied", "version", "result"), [(True, "2.0", "activated"), (False, "1.0.0", "lost")])
def test_a_task_may_vanish(applied: bool, version: str, result: str) -> None:
    """task-vanishes (P01): the BMC is away in mid-update and knows no task afterwards; staged or not."""
    bench = Bench()
    bench.machine.inject(TaskVanishes(percent=50, applied=applied))
    bench.begin()
    bench.after(30)
    assert not bench.machine.bmc_alive
    bench.after(90)
    assert () == bench.machine.tasks
    bench.boot()

    assert (version, result) == (bench.installed(), bench.truth("writes", 0, "result"))
    assert bench.truth("corruptions") == []


def test_completed_may_mean_nothing() -> None:
    """completed-unapplied (P16): the task completes, the reset passes, the version stays."""
    bench = Bench()
    bench.machine.inject(CompletedUnapplied())
    task = bench.staged()
    bench.boot()

    assert TaskState.COMPLETED is task.state
    assert ("1.0.0", "unapplied") == (bench.installed(), bench.truth("writes", 0, "result"))


def test_the_inventory_may_lag() -> None:
    """inventory-lags (P46): the old version is shown for a while, although the new one runs."""
    bench = Bench()
    bench.machine.inject(InventoryLags(seconds=100))
    bench.staged()
    bench.boot()
    assert ("1.0.0", "2.0") == (bench.installed(), bench.truth("installed", "BIOS", "version"))
    bench.after(69)
    assert bench.installed() == "1.0.0"
    bench.after(1)

    assert bench.installed() == "2.0"


def test_a_version_may_be_bad() -> None:
    """bad-health: every machine on the version is unwell, and well again on another."""
    bench = Bench()
    bench.machine.inject(BadHealth(version="2.*"))
    assert Health.OK is bench.machine.health
    bench.staged()
    bench.boot()
    assert (Health.CRITICAL, Post.COMPLETE) == (bench.machine.health, bench.machine.post)
    bench.staged("1.0.0", attempt="bbbb")
    bench.boot()

    assert Health.OK is bench.machine.health


def test_a_version_may_not_boot() -> None:
    """bad-health without boot: the host does not POST on the version."""
    bench = Bench()
    bench.machine.inject(BadHealth(version="2.0", boots=False))
    bench.staged()
    bench.boot()

    assert (Health.CRITICAL, Post.FAILED) == (bench.machine.health, bench.machine.post)


@pytest.mark.parametrize("power_off", [False, True])
@pytest.mark.parametrize(
    ("revived_by", "restart", "reflash", "prior"),
    [
        (RevivedBy.RESTART, True, True, True),
        (RevivedBy.REFLASH, False, True, True),
        (RevivedBy.PRIOR, False, False, True),
        (RevivedBy.NEVER, False, False, False),
    ],
)
def test_a_dead_host_comes_back_as_the_fault_says(
    revived_by: RevivedBy, restart: bool, reflash: bool, prior: bool, power_off: bool
) -> None:
    """host-dead: by a restart, by a rewrite of its BIOS, only on another version, or never; power off or on."""
    bench = Bench()
    bench.machine.inject(HostDead(revived_by=revived_by, power_off=power_off))
    assert Health.CRITICAL is bench.machine.health
    assert (PowerState.OFF, Post.NOT_RUNNING) == (bench.machine.power, bench.machine.post) or not power_off
    assert (PowerState.ON, Post.FAILED) == (bench.machine.power, bench.machine.post) or power_off

    def lives() -> bool:
        bench.machine.reset_host(ResetKind.FORCE_RESTART)
        bench.after(60)
        well = (Post.COMPLETE, Health.OK) == (bench.machine.post, bench.machine.health)
        assert well or Health.CRITICAL is bench.machine.health
        assert well or not power_off or PowerState.OFF is bench.machine.power
        return well

    assert restart == lives()
    bench.staged("1.0.0", attempt="bbbb")
    assert reflash == lives()
    bench.staged("0.9", attempt="cccc")
    assert prior == lives()
    assert (bench.truth("deaths", 0, "revived_at") is not None) == prior


def test_a_host_may_die_later_or_at_the_next_write() -> None:
    """host-dead waits for its seconds, or for the next accepted update."""
    later, writing = Bench(), Bench()
    later.machine.inject(HostDead(after=100))
    writing.machine.inject(HostDead(at=Moment.WRITE))
    later.after(99)
    assert Post.COMPLETE is later.machine.post
    later.after(1)
    assert later.machine.post.value == "failed"
    assert Post.COMPLETE is writing.machine.post
    writing.begin()

    assert writing.machine.post.value == "failed"


def test_the_truth_is_json() -> None:
    """Everything that the truth tells can be written as JSON and is the same when read back."""
    bench = Bench(ruled(second_write=WhenBusy.ACCEPT))
    bench.machine.inject(BadHealth())
    bench.machine.inject(HostDead(revived_by=RevivedBy.NEVER))
    bench.begin()
    bench.begin("2.1")

    assert bench.machine.truth() == json.loads(json.dumps(bench.machine.truth()))


def test_the_revision_grows_with_every_change() -> None:
    """What a face rendered for a revision holds until the revision changes."""
    bench = Bench()
    seen = [bench.machine.revision]
    for move in (
        bench.begin,
        lambda: bench.after(60),
        lambda: bench.machine.reset_host(ResetKind.FORCE_RESTART),
        lambda: bench.after(20),
        lambda: bench.after(30),
        lambda: bench.machine.stage_bios({"BootMode": "Bios"}),
        lambda: bench.machine.inject(HostDead()),
    ):
        move()
        bench.machine.advance()
        seen.append(bench.machine.revision)
    bench.after(1000).machine.advance()

    assert sorted(set(seen)) == seen
    assert seen[-1] == bench.machine.revision
