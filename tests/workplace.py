"""A rack over the wire and a place of work on it, as an operator has them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from processes import to_its_end
from rackwave.automation import PUBLISHER_KEY, REPOSITORY, TRUST
from rackwave.bundle_manager import BundleManager
from rackwave.cli.lab_control import LabControl
from rackwave.repository.examples import prepare_example
from rackwave.repository.keys import generate_key, load_signer
from rackwave.repository.repository import BundleRepository
from rackwave.repository.trust import KeyringTrust
from rackwave_emulators.lab import Lab

PASSWORD = "correct-horse-staple"  # IPMI takes no more than 20 bytes
TIME_SCALE = 150.0

POLICY = """
[policy]
poll = 0.05
settle = 1.0
reading_gap = 0.2
write_limit = 8.0
reset_timeout = 15.0
steady = 0.3
effect_timeout = 4.0
unknown_timeout = 8.0
busy_timeout = 10.0
watch = 0.3
"""


@frozen
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, read as JSON."""
        return json.loads(self.out)


class Workbench:
    """A directory in which bundles are built from the examples and published, without any machine."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state = directory / ".rackwave"

    def make_bundles(self, *publish: str, example: str = "lab-bios") -> None:
        """Build an example's bundles and publish those named."""
        for folder in prepare_example(example, self.directory / "source" / example):
            self.build(folder)
        for name in publish:
            self.publish(name)

    def build(self, folder: Path) -> None:
        """Build the bundle whose sources are in *folder*."""
        self.state.mkdir(exist_ok=True)
        if not (self.state / TRUST).exists():
            signer = generate_key(self.state / PUBLISHER_KEY)
            KeyringTrust(()).with_key(signer.public_key, lineages=("*",)).save(self.state / TRUST)
        self.manager().build(folder, self.directory / "build" / folder.name)

    def manager(self) -> BundleManager:
        """The bundle manager of this workplace."""
        trust = KeyringTrust.load(self.state / TRUST)
        return BundleManager(BundleRepository(self.state / REPOSITORY, trust), load_signer(self.state / PUBLISHER_KEY))

    def publish(self, name: str) -> None:
        """Publish a bundle that was built."""
        self.manager().publish(self.directory / "build" / name)


class Workplace(Workbench):
    """A directory with an inventory of a lab's nodes, and commands run in it as processes of their own."""

    def __init__(self, directory: Path, lab: Lab) -> None:
        super().__init__(directory)
        self.lab = lab
        self.control = LabControl(lab.control.url)
        self.inventory = directory / "rackwave.toml"
        self.environment = {
            **os.environ,
            "LAB_USERNAME": "admin",
            "LAB_PASSWORD": PASSWORD,
            "RACKWAVE_PASSPHRASE": PASSWORD,
        }
        text = (lab.directory / "inventory.toml").read_text()
        reference = f'"file:{lab.directory / "credentials.toml"}"'
        assert reference in text
        self.inventory.write_text(text.replace(reference, '"env:LAB"') + POLICY)

    def start(self, *words: str, program: str = "") -> subprocess.Popen[str]:
        """Start ``rackwave WORDS``, or a *program* of Python's that is like it."""
        return subprocess.Popen(
            [sys.executable, *([program] if program else ["-m", "rackwave"]), *words],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, program: str = "") -> Done:
        """Run it to its end."""
        process = self.start(*words, program=program)
        out, err = to_its_end(process)
        return Done(process.returncode, out, err)

    def truth(self) -> dict[str, Any]:
        """What the lab knows."""
        return self.control.truth()

    def inject(self, node: str, fault: Mapping[str, Any]) -> None:
        """Arm a fault on a node."""
        self.control.inject(node, dict(fault))

    def installed(self) -> dict[str, str]:
        """The BIOS version that each machine really has."""
        return {name: node["installed"]["BIOS"]["version"] for name, node in self.truth()["nodes"].items()}

    def writes(self) -> int:
        """How many images the BMCs took."""
        return sum(len(node["writes"]) for node in self.truth()["nodes"].values())

    def wait_until(self, is_so: Callable[[], bool], *, process: subprocess.Popen[str] | None = None) -> bool:
        """Wait for something in the lab; False where *process* ended first."""
        deadline = time.monotonic() + 60
        while not is_so():
            if process is not None and process.poll() is not None:
                return False
            assert time.monotonic() < deadline, "it never came"
            time.sleep(0.01)  # the other process and the lab live in real time
        return True
