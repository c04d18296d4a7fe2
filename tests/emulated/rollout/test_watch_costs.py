"""What the watch asks of BMCs over the wire, on virtual time."""

from __future__ import annotations

import asyncio
import time
import tomllib
from pathlib import Path
from typing import TypeAlias

from emulated.table.stage import holding
from rackwave.automation import Automation
from rackwave.core.event import Assigned
from rackwave.core.identity import AttemptId, BundleId, NodeName
from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.lab import Lab
from workplace import Workbench

HOUR = 3600.0
COUNTED = ("requests", "sessions_opened")
Counts: TypeAlias = dict[str, int]


async def _watched(bench: Workbench, clock: VirtualClock, password: str | None) -> tuple[Counts, Counts, set[str]]:
    """Watch two nodes for three hours; return what a BMC counted in the first two and the last, and what was told.

    *password* is what the inventory has, where that is not the right one.
    """
    nodes = [NodeName("r1n01"), NodeName("r1n02")]
    async with Lab(2, clock=clock, versions={"BIOS": "1.0.0"}, directory=bench.directory / "lab") as lab:
        if password is not None:
            credentials = lab.directory / "credentials.toml"
            known = tomllib.loads(credentials.read_text())
            credentials.write_text(f'username = "{known["username"]}"\npassword = "{password}"\n')
        async with Automation(lab.directory / "inventory.toml", bench.state, clock=clock) as automation:
            bundle = automation.bundle(BundleId.parse("A.1"))
            await automation.logbook.record(
                *(Assigned(node, bundle.id, bundle.digest, AttemptId("earlier")) for node in nodes)
            )
            watch = automation.watch
            running = asyncio.ensure_future(watch.run(nodes))
            await clock.sleep(2 * HOUR)
            then = lab.truth()["nodes"]["r1n01"]
            await clock.sleep(HOUR)
            now = lab.truth()["nodes"]["r1n01"]
            watch.stop()
            await running
            told = {each.word for each in automation.logbook.node(nodes[0]).sightings.values()}
            told |= {type(each.event).__name__ for each in automation.history("r1n01")}
        assert 0 == lab.truth()["totals"]["sessions_open"]
    early = {name: then[name] for name in COUNTED}
    return early, {name: now[name] - then[name] for name in COUNTED}, told


def watched(folder: Path, password: str | None = None) -> tuple[Counts, Counts, set[str]]:
    """Do so on virtual time."""
    bench = Workbench(folder)
    bench.make_bundles("A.1")
    clock = VirtualClock(time.time())
    with holding(clock):
        return clock.run(_watched(bench, clock, password), timers_too=True)


def test_a_node_to_which_nothing_happens_costs_few_requests_and_one_session(tmp_path: Path) -> None:
    """In an hour 13 to 15 looks at power, POST and health, each one request, and one at versions; no login."""
    early, late, _ = watched(tmp_path)

    assert 10 <= late["requests"] <= 25
    assert (1, 0) == (early["sessions_opened"], late["sessions_opened"])


def test_a_login_that_is_refused_is_not_tried_again_and_again(tmp_path: Path) -> None:
    """Accounts are locked after a few; the BMC is left in peace, and a person told why."""
    early, late, told = watched(tmp_path, "wrong")

    assert early["requests"] <= 10
    assert 0 == late["requests"]
    assert "does not let us in" in told
    assert "its BMC refuses the login; see 'rackwave doctor'" in told
    assert "RecoveryRequested" not in told
