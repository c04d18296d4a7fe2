"""SimBmc shows what lies in the machine as Redfish does, and what lies on the wire as an adapter would tell it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rackwave.core.identity import ComponentName
from rackwave.core.observation import Look, Observation, Power, TaskPhase, Unknown
from rackwave.core.receipt import Accepted, Ambiguous, Receipt, Refused
from rackwave.ports import Image, ResetKind
from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.faults import parse_fault
from rackwave_emulators.images import make_image
from rackwave_emulators.sim import SimRack

BIOS = ComponentName("BIOS")
LOOK = Look(components=frozenset({BIOS}), settings=True, tasks=True, bmc=True)


class Bench:
    """One node, its BMC, and an image for it."""

    def __init__(self, folder: Path) -> None:
        self.clock = VirtualClock()
        self.rack = SimRack(["n1"], self.clock)
        self.machine = self.rack.machine("n1")
        self.bmc = self.rack.bmc("n1")
        self._path = folder / "bios.img"
        self._facts = make_image(self._path, component="BIOS", version="2.0.0", size=4096)

    def arm(self, row: str, **parameters: object) -> None:
        """Arm the node."""
        self.machine.inject(parse_fault({"fault": row, **parameters}))

    def see(self, **look: Any) -> Observation:
        """Observe all."""
        return asyncio.run(self.bmc.observe(Look(**look) if look else LOOK))

    def write(self) -> Receipt:
        """Push the image."""

        async def completing(*, held: bool = False) -> None:
            pass

        image = Image(
            component=BIOS,
            version="2.0.0",
            digest=self._facts.digest,
            size=self._facts.size,
            path=self._path,
            file_name="attempt-a.img",
        )
        return asyncio.run(self.bmc.write(image, completing=completing))

    def reset(self) -> Receipt:
        """Restart the host."""
        return asyncio.run(self.bmc.reset_host(ResetKind.FORCE_RESTART))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A fresh bench."""
    return Bench(tmp_path)


@pytest.mark.parametrize("row", ["P18", "P22", "P23", "P24"])
def test_refusals_begin_nothing(bench: Bench, row: str) -> None:
    """A BMC that is busy, in use, unlicensed or garbled refuses the write, and has no task of it."""
    bench.arm(row)
    receipt = bench.write()

    assert isinstance(receipt, Refused)
    assert (receipt.retry_after is None) == (row == "P18")
    assert 0 == len(list(bench.machine.tasks))


@pytest.mark.parametrize("row", ["P26", "P32", "P39", "P40"])
def test_a_bmc_that_lets_nobody_in_is_silent(bench: Bench, row: str) -> None:
    """No session, another certificate, a dead service, a factory reset: nothing can be read."""
    bench.arm(row)
    bench.clock.advance(100)

    assert isinstance(bench.see().power, Unknown)


def test_a_failed_login_passes(bench: Bench) -> None:
    """The login fails once (P30); the session that ends later is renewed unseen (P31)."""
    bench.arm("P30")
    first = bench.see()
    bench.arm("P31")

    assert isinstance(first.power, Unknown)
    assert Power.ON is bench.see().power


def test_a_lost_answer_is_ambiguous(bench: Bench) -> None:
    """The write whose answer was lost runs all the same (P12)."""
    bench.arm("P12")

    assert isinstance(bench.write(), Ambiguous)
    assert bench.machine.updating


def test_incomplete_readings_are_unknown(bench: Bench) -> None:
    """While data sources are missing, versions and settings are Unknown, and not old (P25)."""
    bench.arm("P25")
    torn = bench.see()
    bench.clock.advance(20)

    assert isinstance(torn.component(BIOS).installed, Unknown)
    assert isinstance(torn.settings, Unknown)
    assert "1.0.0" == bench.see().component(BIOS).installed


TASKS: list[tuple[str, Callable[[TaskPhase], bool]]] = [
    ("P05", lambda phase: phase is TaskPhase.DONE),
    ("P06", lambda phase: phase is TaskPhase.FAILED),
    ("P11", lambda phase: phase is TaskPhase.RUNNING),
    ("P02", lambda phase: phase is TaskPhase.VANISHED),
    ("error-though-applied", lambda phase: phase is TaskPhase.FAILED),
]


@pytest.mark.parametrize(("row", "expected"), TASKS, ids=[row for row, _ in TASKS])
def test_tasks_end_as_their_row_says(bench: Bench, row: str, expected: Callable[[TaskPhase], bool]) -> None:
    """What a minute after the write is said of its task."""
    bench.arm(row)
    receipt = bench.write()
    assert isinstance(receipt, Accepted)
    bench.clock.advance(61)
    seen = bench.see(task=receipt.task).task
    assert not isinstance(seen, Unknown)

    assert expected(seen.phase)


def test_a_blind_bmc_knows_neither_version_nor_settings(bench: Bench) -> None:
    """A dead host is not read, and is flashed all the same (P41)."""
    bench.arm("P41")
    blind = bench.see()
    accepted = bench.write()
    bench.clock.advance(61)
    bench.reset()
    bench.clock.advance(61)

    assert isinstance(blind.component(BIOS).installed, Unknown)
    assert isinstance(blind.settings, Unknown)
    assert isinstance(accepted, Accepted)
    assert "2.0.0" == bench.see().component(BIOS).installed


def test_power_lies_and_cycles_are_refused(bench: Bench) -> None:
    """The reading says Off, and a restart is not supported (P42)."""
    bench.arm("P42")
    bench.arm("cycle-unsupported")

    assert Power.OFF is bench.see().power
    assert isinstance(bench.reset(), Refused)
