"""What the tests of real machines share: firmware that boots or does not, a place of work, a look at the guest."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import requests
from attrs import frozen

from rackwave_emulators.images import wrap_image
from rackwave_emulators.lab import Lab
from rackwave_emulators.personality import Timing
from rackwave_emulators.qemu.seabios import version_of, with_version
from workplace import PASSWORD, Workplace

KIT = "RACKWAVE_GUEST_KIT"
NODE = "r1n01"
ENDED = ("Completed", "Exception")
POST_LIMIT = 25.0  # real seconds; a boot took 2.3 to 5 s with SeaBIOS and 9 to 13 s with OVMF


class LabOf(Protocol):
    """Starts a lab of one guest."""

    def __call__(
        self, image: Path, post_limit: float = POST_LIMIT, password: str = PASSWORD
    ) -> AbstractContextManager[Lab]: ...


# The guest and the lab live in real time; only writing and switching are quicker than life.
QUICK = Timing(update=0.5, apply=0.2, bmc_reset=1.0, power=0.2, shutdown=0.5)

POLICY = """
[policy]
poll = 0.2
settle = 2.0
reading_gap = 0.5
write_limit = 30.0
reset_timeout = 60.0
steady = 0.3
effect_timeout = 10.0
unknown_timeout = 15.0
busy_timeout = 20.0
watch = 1.0
"""

BUNDLE = """
lineage = "A"
seq = {seq}
purpose = "BIOS {version} for the lab's real machines"

[[elements]]
name = "bios"
kind = "bios-image"
component = "BIOS"
version = "{version}"
payload = "bios.img"
activation = "host-reset"
reversibility = "reflash"
time_limit = 900
"""


@frozen
class Firmware:
    """SeaBIOS in builds that can be told apart."""

    seabios: bytes

    @property
    def version(self) -> str:
        """The version of the unchanged build."""
        return version_of(self.seabios)

    def build(self, version: str) -> bytes:
        """Return the build of *version*."""
        return with_version(self.seabios, version)

    def broken(self, version: str) -> bytes:
        """Return a build that cannot boot: its upper half, where the processor starts, is erased."""
        half = len(self.seabios) // 2
        return self.build(version)[:half] + b"\xff" * half


def place_of_work(directory: Path, lab: Lab) -> Workplace:
    """Return a workplace on *lab*, patient enough for real boots."""
    directory.mkdir()
    workplace = Workplace(directory, lab)
    before, _, _ = workplace.inventory.read_text().partition("\n[policy]")
    workplace.inventory.write_text(before + POLICY)
    return workplace


def bundle(workplace: Workplace, seq: int, version: str, payload: bytes) -> None:
    """Build and publish A.*seq*, which brings *payload* as BIOS *version*."""
    source = workplace.directory / "source" / f"A.{seq}"
    source.mkdir(parents=True)
    (source / "bundle.toml").write_text(BUNDLE.format(seq=seq, version=version))
    wrap_image(source / "bios.img", component="BIOS", version=version, payload=payload)
    workplace.build(source)
    workplace.publish(f"A.{seq}")


def push(lab: Lab, image: Path) -> None:
    """Push *image* to the node as a client of its own, and wait until it is written or has failed."""
    url = lab[NODE].url
    parts = {
        "UpdateParameters": (None, '{"Targets": []}', "application/json"),
        "UpdateFile": (image.name, image.read_bytes(), "application/octet-stream"),
    }
    with requests.Session() as session:
        session.trust_env = False  # or a CA bundle that the environment names would be trusted instead of the lab's
        session.auth, session.verify = (lab.account.username, lab.account.password), str(lab.ca)
        service = session.get(f"{url}/redfish/v1/UpdateService", timeout=20).json()
        answer = session.post(url + service["MultipartHttpPushUri"], files=parts, timeout=20)
        assert requests.codes.accepted == answer.status_code, answer.text
        task = url + answer.json()["@odata.id"]
        wait_for(lambda: session.get(task, timeout=20).json()["TaskState"] in ENDED)


class Ipmitool:
    """Debian's ipmitool, speaking to the node's BMC with suite 17."""

    def __init__(self, lab: Lab, *words: str) -> None:
        ipmi = lab[NODE].ipmi
        assert ipmi is not None
        host, _, port = ipmi.endpoint.partition(":")
        self._command = ["ipmitool", "-I", "lanplus", "-C", "17", "-H", host, "-p", port]
        self._command += ["-U", lab.account.username, "-E", *words]
        self._environment = {**os.environ, "IPMI_PASSWORD": lab.account.password}

    def __call__(self, *words: str) -> str:
        """Say it, and return what ipmitool printed."""
        done = subprocess.run(
            [*self._command, *words], env=self._environment, capture_output=True, text=True, timeout=30, check=True
        )
        return done.stdout.strip()


def guest_of(workplace: Workplace) -> dict[str, Any]:
    """What the lab knows of the guest."""
    guest: dict[str, Any] = workplace.truth()["nodes"][NODE]["guest"]
    return guest


def wait_for(is_so: Callable[[], bool], *, seconds: float = 40.0) -> None:
    """Wait, in real time as guests do, until something is so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"
