"""A host that is a process, with a stand-in for qemu: a script that says, or does not, what a guest says."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from rackwave.core.observation import Health, Post
from rackwave.errors import UsageError
from rackwave.ports import ResetKind
from rackwave_emulators.clock import ScaledClock
from rackwave_emulators.faults import FlashFails, HostDead, Leaves, RevivedBy
from rackwave_emulators.host import PowerState
from rackwave_emulators.host_backend import HostIdentity
from rackwave_emulators.images import wrap_image
from rackwave_emulators.machine import Machine
from rackwave_emulators.personality import Timing, load_personality
from rackwave_emulators.qemu.backend import Guests
from rackwave_emulators.qemu.kit import GuestKit

pytestmark = pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv of util-linux is not here")

# Boots what says GOOD, refuses what says REFUSED, and hangs on anything else, as qemu does with real firmware.
QEMU = """#!/bin/sh
while [ "$1" != -bios ]; do shift; done
case "$(cat "$2")" in
    GOOD*) printf 'hello\\033[2J\\nRACKWAVE-GUEST bios_version=%s\\r\\nRACKWAVE-GUEST ready\\r\\n' "$(cut -c 5- "$2")";;
    REFUSED*) echo 'could not load PC BIOS'; exit 1;;
esac
exec sleep 60
"""
TIMING = Timing(update=0.0, post=60.0, apply=0.0, bmc_reset=0.0, power=0.0, shutdown=0.0)
Make = Callable[[bytes], Machine]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Make a machine that left the factory with the given bytes as its BIOS, and switch it on."""
    program = tmp_path / "qemu"
    program.write_text(QEMU)
    program.chmod(0o755)
    image = tmp_path / "factory.img"
    kit = GuestKit(*[tmp_path / "absent"] * 5)
    made: list[Machine] = []

    def switched_on(bios: bytes) -> Machine:
        wrap_image(image, component="BIOS", version="1.0", payload=bios)
        guests = Guests(kit=kit, factory=image, post_limit=0.4, program=str(program))
        backend = guests(HostIdentity("n1", "S1", "uuid", "maker", "model"))
        assert backend is not None
        personality = attrs.evolve(load_personality("plain"), timing=TIMING)
        machine = Machine("n1", ScaledClock(1.0), personality=personality, backend=backend)
        made.append(machine)
        assert PowerState.OFF is machine.power
        machine.reset_host(ResetKind.ON)
        return machine

    yield switched_on
    for machine in made:
        machine.backend.close()


def test_post_is_complete_when_the_guest_has_said_so(make: Make) -> None:
    """The factory's BIOS boots, and the version in the truth is the guest's own word."""
    machine = make(b"GOOD1.0")
    wait_for(lambda: machine.power is PowerState.ON)

    assert Post.RUNNING is machine.post
    assert machine.truth()["guest_bios"] is None

    wait_for(lambda: machine.post is Post.COMPLETE)

    assert "1.0" == machine.truth()["guest_bios"]
    assert "1.0" == machine.components[0].version


def test_firmware_that_hangs_fails_post_and_is_frozen(make: Make) -> None:
    """Nothing said within the limit: POST failed, power on, health critical, and no processor is used up."""
    machine = make(b"HANGS")
    wait_for(lambda: machine.post is Post.FAILED)
    pid = pid_of(machine)

    assert (PowerState.ON, Health.CRITICAL) == (machine.power, machine.health)
    assert 1 == guest(machine)["failed"]
    wait_for(lambda: state_of(pid) == "T")

    machine.reset_host(ResetKind.FORCE_RESTART)
    wait_for(lambda: guest(machine)["boots"] == 2)

    assert state_of(pid) is None


def test_firmware_that_qemu_refuses_fails_post_at_once(make: Make) -> None:
    """A process that ends by itself in POST is a machine that hangs in POST, and its last words are kept."""
    machine = make(b"REFUSED")
    wait_for(lambda: machine.post is Post.FAILED)

    assert PowerState.ON is machine.power
    assert pid_of(machine) is None
    assert ["could not load PC BIOS"] == guest(machine)["console"]


def test_a_killed_guest_is_a_host_without_power(make: Make) -> None:
    """In POST or after it; switched on again, it boots."""
    machine = make(b"GOOD1.0")
    wait_for(lambda: machine.post is Post.COMPLETE)
    kill(machine)
    wait_for(lambda: machine.power is PowerState.OFF)

    assert (Post.NOT_RUNNING, 1) == (machine.post, guest(machine)["lost"])

    machine.reset_host(ResetKind.ON)
    wait_for(lambda: machine.post is Post.COMPLETE)

    assert (2, 0) == (guest(machine)["boots"], guest(machine)["failed"])


def test_a_guest_killed_in_post_is_lost_and_not_failed(make: Make) -> None:
    """Pulling the plug is no fault of the firmware."""
    machine = make(b"HANGS")
    wait_for(lambda: pid_of(machine) is not None)
    kill(machine)
    wait_for(lambda: machine.power is PowerState.OFF)

    assert (1, 0) == (guest(machine)["lost"], guest(machine)["failed"])


def test_power_off_ends_the_process(make: Make) -> None:
    """And what the guest had said counts no more."""
    machine = make(b"GOOD1.0")
    wait_for(lambda: machine.post is Post.COMPLETE)
    pid = pid_of(machine)
    machine.reset_host(ResetKind.FORCE_OFF)
    wait_for(lambda: machine.power is PowerState.OFF)

    assert state_of(pid) is None
    assert (None, 0) == (machine.truth()["guest_bios"], guest(machine)["lost"])


def test_a_new_image_runs_from_the_next_reset_on(make: Make, tmp_path: Path) -> None:
    """What was staged is what the next boot reads; the running guest keeps what it booted with."""
    machine = make(b"GOOD1.0")
    wait_for(lambda: machine.post is Post.COMPLETE)
    flash(machine, tmp_path / "new.img", version="2.0", payload=b"GOOD2.0")
    before = machine.truth()["guest_bios"]
    machine.reset_host(ResetKind.FORCE_RESTART)
    wait_for(lambda: machine.post is Post.COMPLETE)

    assert ("1.0", "2.0") == (before, machine.truth()["guest_bios"])


def test_a_spoilt_flash_does_not_boot_and_writing_it_again_mends_it(make: Make, tmp_path: Path) -> None:
    """The bytes are really gone: what boots whole does not boot when its write was broken off."""
    machine = make(b"GOOD1.0")
    wait_for(lambda: machine.post is Post.COMPLETE)
    machine.inject(FlashFails(leaves=Leaves.CORRUPT))
    flash(machine, tmp_path / "new.img", version="2.0", payload=b"GOOD2.0")
    machine.reset_host(ResetKind.FORCE_RESTART)
    wait_for(lambda: machine.post is Post.FAILED)
    flash(machine, tmp_path / "new.img", version="2.0", payload=b"GOOD2.0")
    machine.reset_host(ResetKind.FORCE_RESTART)
    wait_for(lambda: machine.post is Post.COMPLETE)

    assert "2.0" == machine.truth()["guest_bios"]


def test_a_host_that_a_fault_killed_does_not_come_up_though_its_guest_would(make: Make) -> None:
    """The lab's faults hold for guests too: the dead host is frozen, after a restart as before."""
    machine = make(b"GOOD1.0")
    wait_for(lambda: machine.post is Post.COMPLETE)
    machine.inject(HostDead(revived_by=RevivedBy.NEVER))
    wait_for(lambda: machine.post is Post.FAILED)
    first = guest(machine)["frozen"]
    machine.reset_host(ResetKind.FORCE_RESTART)
    wait_for(lambda: machine.post is Post.FAILED)

    assert (True, True) == (first, guest(machine)["frozen"])


def test_what_nobody_kept_is_not_in_the_flash(make: Make) -> None:
    """A version that was installed without its image boots nothing: the chip is blank."""
    machine = make(b"GOOD1.0")
    wait_for(lambda: machine.post is Post.COMPLETE)
    machine.install("BIOS", "9.9")
    machine.reset_host(ResetKind.FORCE_RESTART)
    wait_for(lambda: machine.post is Post.FAILED)

    assert machine.truth()["guest_bios"] is None


def test_a_closed_host_starts_nothing(make: Make) -> None:
    """A lab that has ended leaves no process, whatever its machines are still told."""
    machine = make(b"GOOD1.0")
    wait_for(lambda: machine.post is Post.COMPLETE)
    pid = pid_of(machine)
    machine.backend.close()
    machine.reset_host(ResetKind.FORCE_RESTART)
    machine.advance()

    assert state_of(pid) is None
    assert pid_of(machine) is None


def test_without_qemu_a_lab_of_guests_is_refused(tmp_path: Path) -> None:
    """With the package to install."""
    with pytest.raises(UsageError) as refused:
        Guests(kit=GuestKit(*[tmp_path] * 5), factory=tmp_path, program="no-such-qemu")

    assert "qemu-system-x86" in refused.value.advice


def guest(machine: Machine) -> dict[str, Any]:
    """What the lab knows of the guest."""
    told: dict[str, Any] = machine.truth()["guest"]  # type: ignore[assignment]  # the truth is JSON of any shape
    return told


def pid_of(machine: Machine) -> int | None:
    """The guest's process."""
    pid: int | None = guest(machine)["pid"]
    return pid


def state_of(pid: int | None) -> str | None:
    """The state of a process as Linux tells it; None: there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return None


def kill(machine: Machine) -> None:
    """Kill the guest's process from outside."""
    pid = pid_of(machine)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def flash(machine: Machine, image: Path, *, version: str, payload: bytes) -> None:
    """Hand the machine an image, as the faces do: kept for the host before it is dropped."""
    facts = wrap_image(image, component="BIOS", version=version, payload=payload)
    task = machine.begin_update("BIOS", image.name, source="push")
    machine.backend.keep_image(image, facts)
    machine.image_received(task, facts)
    wait_for(lambda: machine.time > 0 and task.ended)  # to ask for the time is to move it on


def wait_for(is_so: Callable[[], bool]) -> None:
    """Wait until something is so; processes live in real time."""
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)
