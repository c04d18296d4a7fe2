"""The performance behind ``rackwave demo``: the main job, whole, with things going wrong on purpose.

Everything is real but the machines: bundles are built and signed, the rack is a process of its own,
the orchestrator another, and that one is killed with SIGKILL in the middle. The result is read from
the lab, which knows what was really written, and held against the journal.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from attrs import frozen

from ..automation import PUBLISHER_KEY, REPOSITORY, TRUST
from ..bundle_manager import BundleManager
from ..core.bundle import Bundle, ElementKind
from ..core.identity import NodeName
from ..core.policy import Policy
from ..core.waves import cut_waves
from ..errors import StateError
from ..repository.examples import prepare_example
from ..repository.keys import generate_key, load_signer
from ..repository.repository import BundleRepository
from ..repository.trust import KeyringTrust
from .app import Exit
from .lab_control import LabControl

EXAMPLES = {"lab": "lab-bios", "ovmf": "uefi-ovmf"}

TIME_SCALE = 20.0
"""Lab seconds a second: a flash of a minute takes three seconds, as does a POST."""

POLICY = Policy(
    poll=0.5,
    settle=3.0,
    reading_gap=0.5,
    write_limit=20.0,
    reset_timeout=30.0,
    steady=1.0,
    effect_timeout=10.0,
    unknown_timeout=20.0,
    busy_timeout=30.0,
    watch=1.0,
)
"""Patience that fits machines that live twenty times as fast."""

_GIVE_UP = 600.0
_LAB_START = 60.0


_PYTHON_RACKWAVE = (sys.executable, "-m", "rackwave")


@frozen
class Casting:
    """Who plays which part, drawn by seed; never the canary, whose failure rightly stops a rollout."""

    bad: frozenset[str]
    dead: frozenset[str]


class Rehearsal:
    """One performance, in the directory *place*."""

    def __init__(
        self, place: Path, *, nodes: int, seed: int, bad: int, dead: int, personality: str, source: str
    ) -> None:
        self._place = place
        self._nodes = nodes
        self._seed = seed
        self._bad = bad
        self._dead = dead
        self._personality = personality
        self._source = EXAMPLES[source]
        self._state = place / "state"
        self._inventory = place / "inventory.toml"

    def play(self, *, kill_at: int) -> dict[str, Any]:
        """Play it and return the result, read from the lab."""
        old, new = self._publish_first_and_build_second()
        with self._lab(old) as control:
            casting = self._cast(control)
            _say(f"{self._nodes} machines are up; {old.id} goes on record as what they carry")
            self._rackwave("deploy", str(old.id))
            self._publish(self._place / "build" / str(new.id))
            _say(f"{new.id} is current, {old.id} is in the archive")
            for name in sorted(casting.bad):
                control.inject(name, {"fault": "flash-fails", "percent": 40})
            for name in sorted(casting.dead):
                control.inject(name, {"fault": "host-dead", "after": 2 * TIME_SCALE})
            if casting.bad:
                _say(f"the next flash fails on {', '.join(sorted(casting.bad))}")
            if casting.dead:
                _say(f"the host dies soon on {', '.join(sorted(casting.dead))}")
            killed = self._deploy_and_kill(str(new.id), control, kill_at)
            truth = control.truth()
        return self._judge(truth, old, new, killed=killed)

    # -- bundles ---------------------------------------------------------------------------------

    def _publish_first_and_build_second(self) -> tuple[Bundle, Bundle]:
        self._state.mkdir(parents=True)
        signer = generate_key(self._state / PUBLISHER_KEY)
        KeyringTrust(()).with_key(signer.public_key, lineages=("*",), note="demo").save(self._state / TRUST)
        manager = self._manager()
        built = []
        for folder in prepare_example(self._source, self._place / "source"):
            bundle = manager.build(folder, self._place / "build" / folder.name)
            _say(f"built {bundle.id} from {folder.name}: {bundle.digest}")
            built.append(bundle.bundle)
        first, second = built[:2]
        self._publish(self._place / "build" / str(first.id))
        return first, second

    def _manager(self) -> BundleManager:
        repository = BundleRepository(self._state / REPOSITORY, KeyringTrust.load(self._state / TRUST))
        return BundleManager(repository, load_signer(self._state / PUBLISHER_KEY))

    def _publish(self, built: Path) -> None:
        self._manager().publish(built, "demo")

    # -- the rack --------------------------------------------------------------------------------

    @contextmanager
    def _lab(self, old: Bundle) -> Iterator[LabControl]:
        lab = self._place / "lab"
        versions = [
            word
            for element in old.manifest.elements
            if element.kind.is_image
            for word in ("--version", f"{element.component}={element.version}")
        ]
        command = [
            *_PYTHON_RACKWAVE, "lab", "up", "--with-parent",
            "--nodes", str(self._nodes), "--personality", self._personality, "--seed", str(self._seed),
            "--time-scale", str(TIME_SCALE), "--directory", str(lab), *versions,
        ]  # fmt: skip
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ourselves
        try:
            _wait_until_ready(process)
            self._write_inventory(lab)
            yield LabControl(json.loads((lab / "lab.json").read_text())["control"])
        finally:
            if process.stdin is not None:
                process.stdin.close()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def _write_inventory(self, lab: Path) -> None:
        """The lab's own inventory, with patience that fits its pace and a budget for the bad nodes."""
        knobs = {
            name: getattr(POLICY, name)
            for name in (
                "poll", "settle", "reading_gap", "write_limit", "reset_timeout", "steady",
                "effect_timeout", "unknown_timeout", "busy_timeout", "watch",
            )
        }  # fmt: skip
        knobs["failure_budget"] = self._bad
        lines = "".join(f"{name} = {value}\n" for name, value in knobs.items())
        text = (lab / "inventory.toml").read_text()
        self._inventory.write_text(f"{text}\n[policy]\n{lines}")

    def _cast(self, control: LabControl) -> Casting:
        names = sorted(control.truth()["nodes"])
        canary = {str(name) for name in cut_waves([NodeName(n) for n in names], POLICY)[0]}
        free = [name for name in names if name not in canary]
        drawn = random.Random(self._seed).sample(free, self._bad + self._dead)  # noqa: S311 - a draw that can be repeated
        return Casting(frozenset(drawn[: self._bad]), frozenset(drawn[self._bad :]))

    # -- the orchestrator ------------------------------------------------------------------------

    def _command(self, *words: str) -> list[str]:
        return [*_PYTHON_RACKWAVE, "--inventory", str(self._inventory), "--state", str(self._state), *words]

    def _rackwave(self, *words: str) -> None:
        done = subprocess.run(  # noqa: S603 - ourselves
            self._command(*words),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=_GIVE_UP,
        )
        if done.returncode != Exit.DONE:
            raise StateError(f"'rackwave {' '.join(words)}' ended with {done.returncode}: {done.stderr[-2000:]}")

    def _deploy_and_kill(self, bundle: str, control: LabControl, kill_at: int) -> bool:
        """Roll out, kill -9 the orchestrator once, and start it again; whether it came to the kill."""
        process = self._start(bundle)
        killed = False
        if kill_at:
            killed = _kill_when(process, lambda: control.images_taken() >= kill_at)
        if killed:
            _say(f"killed the orchestrator (kill -9) after {kill_at} images; starting it again")
            process = self._start(bundle)
        code = process.wait(_GIVE_UP)
        if code not in (Exit.DONE, Exit.SOME_FAILED):
            raise StateError(f"the rollout ended with exit code {code}")
        return killed

    def _start(self, bundle: str) -> subprocess.Popen[bytes]:
        # Its table would stand in the way of our JSON; its progress goes to where ours goes.
        return subprocess.Popen(self._command("deploy", bundle), stdout=subprocess.DEVNULL)  # noqa: S603 - ourselves

    # -- the result ------------------------------------------------------------------------------

    def _judge(self, truth: dict[str, Any], old: Bundle, new: Bundle, *, killed: bool) -> dict[str, Any]:
        rows = [_node_row(name, node, old, new) for name, node in sorted(truth["nodes"].items())]
        counts = {word: sum(row["state"] == word for row in rows) for word in ("on-new", "rolled-back", "quarantined")}
        recovered = [row["node"] for row in rows if row["died"] and row["state"] == "on-new"]
        result: dict[str, Any] = {
            "nodes": len(rows),
            "on_new": counts["on-new"],
            "rolled_back": counts["rolled-back"],
            "recovered": len(recovered),
            "quarantined": counts["quarantined"],
            "flashes": truth["totals"]["flashes"],
            "double_flashes": truth["totals"]["double_flashes"],
            "sessions_open": truth["totals"]["sessions_open"],
            "killed": killed,
            "seed": self._seed,
            "personality": self._personality,
            "from": str(old.id),
            "to": str(new.id),
            "machines": rows,
        }
        expected = {
            "on_new": self._nodes - self._bad,
            "rolled_back": self._bad,
            "recovered": self._dead,
            "quarantined": 0,
            "double_flashes": 0,
            "sessions_open": 0,
        }
        result["complaints"] = [
            f"{name} is {result[name]}, not {value}" for name, value in expected.items() if result[name] != value
        ] + self._differences(rows)
        return result

    def _differences(self, rows: list[dict[str, Any]]) -> list[str]:
        """Where the journal says something else than the lab knows."""
        answer = subprocess.run(  # noqa: S603 - ourselves
            self._command("rollout", "list", "--json"), stdout=subprocess.PIPE, check=True, timeout=_GIVE_UP
        )
        told = {each["node"]: each["result"] for each in json.loads(answer.stdout)[-1]["nodes"]}
        return [
            f"{row['node']} is {row['state']}, but the journal says {told.get(row['node'])}"
            for row in rows
            if told.get(row["node"]) != row["state"]
        ]


def _wait_until_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None  # noqa: S101 - it was opened with a pipe
    alarm = threading.Timer(_LAB_START, process.kill)  # a lab that says nothing is read from for ever
    alarm.start()
    try:
        if any(line.startswith("ready") for line in process.stdout):
            return
    finally:
        alarm.cancel()
    raise StateError(
        "the lab did not start", advice="Install it with 'pip install rackwave-emulators' (in a checkout: ./emulators)."
    )


def _kill_when(process: subprocess.Popen[bytes], is_time: Callable[[], bool]) -> bool:
    """Kill *process* as soon as *is_time*; whether it came to that before it ended by itself."""
    while process.poll() is None:
        if is_time():
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.05)
    return False


def _node_row(name: str, node: dict[str, Any], old: Bundle, new: Bundle) -> dict[str, Any]:
    """Say where one machine really ended: on the new bundle, on the old one, or unwell."""
    well = node["power"] == "On" and node["post"] == "complete" and node["health"] == "ok"
    state = "quarantined"
    if well and _carries(node, new):
        state = "on-new"
    elif well and _carries(node, old):
        state = "rolled-back"
    return {
        "node": name,
        "state": state,
        "installed": {component: found["version"] for component, found in node["installed"].items()},
        "flashes": node["flashes"],
        "double_flashes": node["double_flashes"],
        "died": bool(node["deaths"]),
        "resets": node["resets"]["host"],
    }


def _carries(node: dict[str, Any], bundle: Bundle) -> bool:
    """Whether the machine really holds the very bytes of every image of *bundle*."""
    for element in bundle.manifest.elements:
        if element.kind is ElementKind.BIOS_SETTINGS:
            if any(node["bios"].get(attribute) != value for attribute, value in element.attributes.items()):
                return False
            continue
        found = node["installed"].get(str(element.component), {})
        digest = bundle.manifest.payload(element.payload or "").digest
        # A machine that left the factory with this version was never given the bytes by us.
        if found.get("version") != element.version or found.get("digest") not in (None, str(digest)):
            return False
    return True


def _say(text: str) -> None:
    click.echo(f"-- {text}", err=True)
