"""Guests and workplaces on them; everything here needs qemu and is left out of the plain test session."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rackwave_emulators.clock import ScaledClock
from rackwave_emulators.images import wrap_image
from rackwave_emulators.lab import Lab
from rackwave_emulators.qemu.backend import Guests
from rackwave_emulators.qemu.kit import GuestKit, KitAbsentError, assemble
from rackwave_emulators.redfish.sessions import Account
from rackwave_emulators.redfish.station import Station
from workplace import PASSWORD

sys.path.insert(0, str(Path(__file__).parent))  # for guests.py

from guests import KIT, NODE, POST_LIMIT, QUICK, Firmware, LabOf, wait_for


@pytest.fixture(scope="session")
def kit() -> GuestKit:
    """What guests are made of, kept in the directory that the session names."""
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("there is no qemu-system-x86_64 here: apt-get install qemu-system-x86")
    if KIT not in os.environ:
        pytest.skip(f"{KIT} names no directory to keep the guests' kernel in; 'nox -s machine' does")
    try:
        return assemble(Path(os.environ[KIT]))
    except KitAbsentError as error:
        pytest.skip(f"{error} {error.advice}")


@pytest.fixture(scope="session")
def firmware(kit: GuestKit) -> Firmware:
    """Debian's SeaBIOS."""
    return Firmware(kit.seabios.read_bytes())


@pytest.fixture
def factory(firmware: Firmware, tmp_path: Path) -> Path:
    """The image that guests leave the factory with: Debian's SeaBIOS as it is."""
    path = tmp_path / "factory.img"
    wrap_image(path, component="BIOS", version=firmware.version, payload=firmware.seabios)
    return path


@pytest.fixture
def lab_of(kit: GuestKit, tmp_path: Path) -> LabOf:
    """Start a lab of one guest whose BIOS is the given image, and wait until it is up."""

    @contextmanager
    def start(image: Path, post_limit: float = POST_LIMIT, password: str = PASSWORD) -> Iterator[Lab]:
        guests = Guests(kit=kit, factory=image, post_limit=post_limit, directory=tmp_path / "guests")
        with Lab(
            1,
            clock=ScaledClock(1.0),
            timing=QUICK,
            directory=tmp_path / "lab",
            account=Account(password=password),
            hosts=guests,
        ) as lab:
            wait_for(lambda: lab[NODE].truth()["post"] == "complete", seconds=post_limit)
            yield lab

    return start


@pytest.fixture
def station(lab_of: LabOf, factory: Path) -> Iterator[Station]:
    """A node with a guest that runs Debian's SeaBIOS."""
    with lab_of(factory) as lab:
        yield lab[NODE]
