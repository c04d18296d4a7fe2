"""Drain hooks: what a scheduler says, and what counts as busy."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from rackwave.core.event import Held
from rackwave.core.identity import NodeName
from rackwave.drain import KEPT, DrainConfig, DrainHook
from rackwave.engine.logbook import Logbook
from rackwave.engine.memory import MemoryJournal
from rackwave.leave import NodeLeave
from rackwave_emulators.clock import VirtualClock

NODE = NodeName("r1n01")


def program(folder: Path, name: str, script: str) -> str:
    """Write an executable shell script and return its path."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def _asked(config: DrainConfig) -> str | None:
    hook = DrainHook(config, clock=VirtualClock(), labels=lambda _: {"host": "c17"})
    return asyncio.run(hook.busy(NODE))


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("exit 0", None),
        ("echo 3 guests; exit 1", "busy with 3 guests"),
        ("exit 1", "busy with busy"),
        ("echo no license >&2; exit 2", "nobody knows whether it is busy: exit code 2: no license"),
    ],
)
def test_a_command_says_by_its_exit_code(tmp_path: Path, script: str, told: str | None) -> None:
    """0 is free, 1 is busy, and anything else is unknown, which counts as busy."""
    assert told == _asked(DrainConfig(command=(program(tmp_path, "busy", script), "{name}")))


def test_a_hook_that_cannot_run_counts_as_busy(tmp_path: Path) -> None:
    """Neither a missing program nor one that hangs gives leave."""
    missing = _asked(DrainConfig(command=(str(tmp_path / "none"),)))
    hanging = _asked(DrainConfig(command=("sleep", "60"), timeout=0.2))

    assert missing is not None
    assert missing.startswith("nobody knows whether it is busy")
    assert "nobody knows whether it is busy: sleep did not end within 0.2 s" == hanging


def test_the_schedulers_name_of_a_node(tmp_path: Path) -> None:
    """The name that the scheduler knows may be made from the node's name and labels."""
    command = (program(tmp_path, "busy", 'echo "$1"; exit 1'), "{name}")

    assert "busy with c17.r1n01" == _asked(DrainConfig(command=command, name="{labels.host}.{node}"))


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("exit 0", None),
        ('echo "$@" | grep -q nodelist=r1n01 && printf "71\\n72\\n"', "busy with jobs 71, 72"),
        ("echo slurm_load_jobs error >&2; exit 1", "nobody knows whether it is busy: slurm_load_jobs error"),
    ],
)
def test_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, told: str | None) -> None:
    """A node is busy while squeue lists jobs of it."""
    program(tmp_path, "squeue", script)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    assert told == _asked(DrainConfig(hook="slurm"))


def _pod(name: str, *, owner: str = "", phase: str = "Running") -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": "default"}
    if owner:
        metadata["ownerReferences"] = [{"kind": owner}]
    return {"metadata": metadata, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("pods", "told"),
    [
        ([_pod("proxy", owner="DaemonSet"), _pod("etcd", owner="Node"), _pod("job", phase="Succeeded")], None),
        ([_pod("proxy", owner="DaemonSet"), _pod("web", owner="ReplicaSet")], "busy with pods default/web"),
        (["odd"], "nobody knows whether it is busy: kubectl printed no list of pods"),
    ],
)
def test_kubernetes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pods: list[Any], told: str | None) -> None:
    """A node is busy while pods run on it that a drain would evict."""
    (tmp_path / "pods.json").write_text(json.dumps({"items": pods}))
    program(tmp_path, "kubectl", f"cat {tmp_path}/pods.json")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    assert told == _asked(DrainConfig(hook="kubernetes"))


def test_an_answer_is_believed_for_a_while(tmp_path: Path) -> None:
    """A node that waits asks its scheduler once in ten seconds at most."""
    clock = VirtualClock()
    count = tmp_path / "count"
    command = (program(tmp_path, "busy", f"echo x >> {count}; exit 1"), "{name}")
    hook = DrainHook(DrainConfig(command=command), clock=clock, labels=lambda _: {})

    async def main() -> None:
        await hook.busy(NODE)
        await hook.busy(NODE)
        clock.advance(KEPT)
        await hook.busy(NODE)

    asyncio.run(main())

    assert 2 == len(count.read_text().split())


def test_a_job_that_waits_for_its_node_to_boot_keeps_it_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job whose node is being configured has it already, as has one that was stopped."""
    program(tmp_path, "squeue", 'echo "$@" | grep CONFIGURING | grep -q STOPPED && echo 71')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    assert "busy with jobs 71" == _asked(DrainConfig(hook="slurm"))


def test_a_hold_that_is_set_while_the_scheduler_is_asked_counts(tmp_path: Path) -> None:
    """The scheduler says that the node is free; meanwhile somebody has held it."""
    clock = VirtualClock()
    journal = MemoryJournal(clock)
    logbook = Logbook(journal)

    class Slow(DrainHook):
        async def busy(self, node: NodeName) -> str | None:
            await journal.append(Held(node, "mine", "test"))
            return await super().busy(node)

    command = (program(tmp_path, "busy", "exit 0"),)
    hook = Slow(DrainConfig(command=command), clock=clock, labels=lambda _: {})

    assert "held by test: mine" == asyncio.run(NodeLeave(logbook, clock=clock, hook=hook).refusal(NODE))
