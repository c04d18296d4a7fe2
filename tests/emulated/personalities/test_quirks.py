"""Every record that ships is about something: a make that the lab plays, or one that was recorded."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rackwave.bmc.quirks import Facts
from rackwave.bmc.quirks.roster import Roster
from rackwave.bmc.quirks.shipped import shipped_records
from rackwave.bmc.redfish.bmc import RedfishBmc
from rackwave.bmc.redfish.make import Make
from rackwave.bmc.redfish.trust import CaTrust
from rackwave.core.identity import ComponentName, NodeName
from rackwave.core.observation import Look, Observation, Post, Unknown
from rackwave.ports import Credentials
from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.lab import Lab
from rackwave_emulators.personality import personalities
from rackwave_emulators.tree import TREES, Tree, links, load_tree

BIOS, BMC = ComponentName("BIOS"), ComponentName("BMC")
ROSTER = Roster(shipped_records())


def recorded() -> list[Path]:
    """Every recording in the directories that the environment names."""
    folders = [Path(folder) for folder in os.environ.get(TREES, "").split(os.pathsep) if folder]
    return sorted(path for folder in folders for path in folder.glob("*.json*"))


def _facts(root: Mapping[str, Any], system: Mapping[str, Any], manager: Mapping[str, Any]) -> Facts:
    make = Make(ROSTER)
    make.note_root(root)
    make.note_system(system)
    make.note_manager(manager)
    return make.facts


def _of_tree(tree: Tree) -> Facts:
    managers = [tree.document(path) or {} for path in links((tree.document("/redfish/v1/Managers") or {})["Members"])]
    return _facts(tree.document("/redfish/v1") or {}, tree.system, managers[0])


def _client(lab: Lab, clock: VirtualClock) -> RedfishBmc:
    return RedfishBmc(
        NodeName("r1n01"),
        lab.urls["r1n01"],
        lambda: Credentials("admin", "password"),
        clock=clock,
        trust=CaTrust(lab.ca),
    )


async def _of_lab(directory: Path) -> list[Facts]:
    found = []
    for name in personalities():
        clock = VirtualClock()
        async with Lab(1, personality=name, clock=clock, directory=directory / name) as lab:
            bmc = _client(lab, clock)
            try:
                await bmc.service.system()
                await bmc.service.manager()
                found.append(bmc.service.make.facts)
            finally:
                await bmc.close()
    return found


def test_every_record_that_ships_concerns_something(tmp_path: Path) -> None:
    """A record that matches no make of the lab and no recorded tree is a guess, and does not ship."""
    known = [*asyncio.run(_of_lab(tmp_path)), *(_of_tree(load_tree(path)) for path in recorded())]

    matched = {record.id for facts in known for record in ROSTER.select(facts).records}

    assert set() == {record.id for record in ROSTER.records} - matched


@pytest.mark.parametrize(
    ("tree", "ids"),
    [
        (
            "dell-r750",
            {
                "dell-inventory-by-fqdd",
                "dell-goes-back-by-simple-update",
                "dell-post-by-lifecycle-controller",
                "dell-apply-on-reset",
                "dell-job-state",
            },
        ),
        ("hpe-dl385g10p", {"hpe-inventory-by-name", "hpe-post-state", "hpe-boot-marker", "hpe-own-upload"}),
        (
            "lenovo-sr670v2",
            {
                "xcc-inventory-by-role",
                "xcc-post-by-system-status",
                "xcc-boot-marker",
                "xcc-no-targets",
                "xcc-claimed-push",
            },
        ),
        ("nvidia-gb200", {"openbmc-inventory-by-purpose", "nvidia-inventory"}),
        ("openbmc-stock", {"openbmc-inventory-by-purpose"}),
        ("supermicro-821ge", {"smc-inventory", "smc-started-upload"}),
    ],
)
def test_what_holds_for_real_machines(tree: str, ids: set[str]) -> None:
    """The records of a make are found from what a real machine of it said, and those of no other."""
    path = next((path for path in recorded() if path.name.startswith(tree)), None)
    if path is None:
        pytest.skip(f"{TREES} names no directory with {tree}")

    assert ids == {record.id for record in ROSTER.select(_of_tree(load_tree(path))).records}


@pytest.mark.parametrize(
    ("tree", "bios", "bmc", "post", "boot"),
    [
        ("dell-r750", "1.8.2", "6.00.30.00", None, "2024-06-11T00:14:47-05:00"),
        ("hpe-dl385g10p", "A42 v2.60 (08/11/2022)", "2.72 Sep 04 2022", Post.COMPLETE, "2024-07-03T17:20:09Z"),
        ("lenovo-sr670v2", "22J-1.51", "42S-2.83", Post.COMPLETE, "16"),
        # Two CPUs, two images: which of them is meant is for the bundle to say.
        ("nvidia-gb200", None, "GB200Nvl-24.12-8", Post.COMPLETE, "2025-01-06T04:52:19+00:00"),
        ("openbmc-stock", None, "2.15.0-dev-686-g100c36de90", Post.NOT_RUNNING, "1970-01-01T00:00:00+00:00"),
        ("supermicro-821ge", "BIOS Date: 08/04/2023 Ver 1.4", "11.01.01", Post.COMPLETE, None),
    ],
)
def test_what_is_read_of_real_machines(
    tmp_path: Path, tree: str, bios: str | None, bmc: str | None, post: Post | None, boot: str | None
) -> None:
    """BIOS, BMC, POST and boot are read off what real machines said; None here: unknown, with a reason."""
    path = next((path for path in recorded() if path.name.startswith(tree)), None)
    if path is None:
        pytest.skip(f"{TREES} names no directory with {tree}")

    seen = asyncio.run(_looked(load_tree(path), tmp_path))

    told = (seen.component(BIOS).installed, seen.component(BMC).installed, seen.post, seen.boot)
    assert (bios, bmc, post, boot) == tuple(None if isinstance(value, Unknown) else value for value in told)


async def _looked(tree: Tree, directory: Path) -> Observation:
    clock = VirtualClock()
    async with Lab(1, tree=tree, clock=clock, directory=directory) as lab:
        client = _client(lab, clock)
        try:
            return await client.observe(Look(components=frozenset({BIOS, BMC})))
        finally:
            await client.close()
