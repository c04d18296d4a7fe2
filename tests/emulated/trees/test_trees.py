"""Six recorded machines of six makes, served read-only, and read by everything that reads.

What each yields is in ``expected/``, one reading a line, so that a change of the read side is seen on real
machines. ``unknown`` stands where a recording does not say; nothing is guessed. The recordings are not part
of the project: they are looked for in RACKWAVE_TREES, and each that is missing is a skip that pytest counts.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from rackwave.automation import Automation
from rackwave.bmc.redfish.bmc import RedfishBmc
from rackwave.bmc.redfish.trust import CaTrust
from rackwave.core.identity import ComponentName, NodeName
from rackwave.core.observation import NOT_ASKED, Look, Unknown
from rackwave.doctor import examine
from rackwave.errors import NodeError
from rackwave.ports import Credentials
from rackwave_emulators.clock import ScaledClock
from rackwave_emulators.lab import Lab
from rackwave_emulators.tree import load_tree

TREES = Path(os.environ.get("RACKWAVE_TREES") or Path(__file__).parents[4] / "shared" / "trees")
EXPECTED = Path(__file__).with_name("expected")
NAMES = ("dell-r750", "hpe-dl385g10p", "lenovo-sr670v2", "nvidia-gb200", "openbmc-stock", "supermicro-821ge")
COMPONENTS = ("BIOS", "BMC", "NIC", "CPLD")
NODE = NodeName("r1n01")

Line: TypeAlias = tuple[str, object]


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_machine_is_read_without_an_exception(name: str, tmp_path: Path) -> None:
    """Every reading of a real machine is what it told, or unknown; nothing is raised and no session left open."""
    path = TREES / f"{name}.json.gz"
    if not path.is_file():
        pytest.skip(f"{name} is not in RACKWAVE_TREES")
    told, sessions = asyncio.run(_read(path, tmp_path))
    if os.environ.get("RACKWAVE_ACCEPT") == name:
        (EXPECTED / f"{name}.txt").write_text(told, "utf-8")

    assert (EXPECTED / f"{name}.txt").read_text("utf-8") == told, f"RACKWAVE_ACCEPT={name} accepts it"
    assert 0 == sessions


def test_nothing_is_expected_of_what_is_not_read() -> None:
    """Each recording has two files of expectations, what is read and what is inspected, and there are no others."""
    assert sorted(NAMES * 2) == sorted(file.stem for file in EXPECTED.glob("**/*.txt"))


async def _read(path: Path, directory: Path) -> tuple[str, int]:
    async with Lab(1, tree=load_tree(path), directory=directory / "lab") as lab:
        bmc = RedfishBmc(
            NODE,
            lab.urls[NODE],
            lambda: Credentials("admin", "password"),
            clock=ScaledClock(),
            trust=CaTrust(lab.ca) if lab.ca else CaTrust(directory),
        )
        lines = [line async for line in _readings(bmc)]
        await bmc.close()
        async with Automation(lab.directory / "inventory.toml", directory / "state") as automation:
            lines += [
                (f"doctor {check.name}", check.outcome.value) for check in await examine(automation, None, reach=False)
            ]
            (status,) = await automation.status(look=True)
            lines.append(("status", status.document()["seen"]["power"] or "unknown"))
        sessions = lab.truth()["totals"]["sessions_open"]
    return "".join(f"{what:28}{_word(value)}\n" for what, value in lines), sessions


async def _readings(bmc: RedfishBmc) -> AsyncIterator[Line]:
    """Everything that an adapter reads, in the order of what an operator asks first."""
    seen = await bmc.observe(
        Look(bmc=True, settings=True, tasks=True, components=frozenset(map(ComponentName, COMPONENTS)))
    )
    identity = seen.identity
    yield "vendor", identity.vendor
    yield "model", identity.model
    yield "serial", identity.serial if isinstance(identity.serial, Unknown) else "told"
    for name in ("power", "post", "health", "os"):
        yield name, getattr(seen, name)
    for name in ("boot", "bmc_boot"):
        marker = getattr(seen, name)
        yield f"{name} marker", marker if isinstance(marker, Unknown) else "told"
    for component in COMPONENTS:
        found = seen.component(ComponentName(component))
        yield component, found.installed
        yield f"{component} staged", _staged(found.staged)
    yield "settings", _counted(seen.settings)
    yield "settings staged", _counted(seen.staged_settings)
    yield "tasks", seen.tasks if isinstance(seen.tasks, Unknown) else _tally(str(task.phase) for task in seen.tasks)
    followed = await bmc.observe(Look(system=False, task="/redfish/v1/TaskService/Tasks/no-such-task"))
    yield "a task that is gone", followed.task if isinstance(followed.task, Unknown) else followed.task.phase
    for what, read in _panel(bmc).items():
        yield what, await read()


def _staged(version: str | Unknown | None) -> object:
    """Some services list what waits for its reset; of the others the adapter says no more than that it did not look."""
    if version is None:
        return "none"
    return "not shown" if version is NOT_ASKED else version


def _panel(bmc: RedfishBmc) -> Mapping[str, Callable[[], Awaitable[object]]]:
    panel = bmc.panel

    async def power_acts() -> object:
        found = await panel.power_acts()
        return found if isinstance(found, Unknown) else "none" if found is None else " ".join(sorted(found))

    async def sensors() -> object:
        found = await panel.sensors()
        return found if isinstance(found, Unknown) else _tally(str(sensor.kind) for sensor in found.sensors)

    async def log() -> object:
        found = await panel.log(None, limit=50)
        return found if isinstance(found, Unknown) else f"{len(found.entries)} entries"

    async def boot() -> object:
        found = await panel.boot_setting()
        return found if isinstance(found, Unknown) else "told"

    async def secure_boot() -> object:
        found = await panel.secure_boot()
        return found if isinstance(found, Unknown) else "told"

    async def slots() -> object:
        return await _or_unknown(lambda: bmc.media.slots(), lambda found: f"{len(found)} slots")

    async def clock() -> object:
        return await _or_unknown(bmc.inspection.clock_ahead, lambda _: "told")

    async def sessions() -> object:
        return await _or_unknown(bmc.inspection.open_sessions, lambda _: "told")

    return {
        "power acts": power_acts,
        "boot override": boot,
        "secure boot": secure_boot,
        "light": panel.indicator,
        "sensors": sensors,
        "event log": log,
        "virtual media": slots,
        "clock": clock,
        "sessions": sessions,
    }


async def _or_unknown(read: Callable[[], Awaitable[Any]], told: Callable[[Any], str]) -> object:
    """Read what raises where it cannot be read: only the typed error for that may come."""
    try:
        return told(await read())
    except NodeError as error:
        return Unknown(str(error))


def _counted(values: object) -> object:
    if isinstance(values, Mapping):
        return f"{len(values)} attributes"
    return values


def _tally(words: Any) -> str:
    counted = Counter(words)
    return ", ".join(f"{number} {word}" for word, number in sorted(counted.items())) or "none"


def _word(value: object) -> str:
    assert value is not NOT_ASKED
    return str(value).replace(f"{NODE}: ", "")
