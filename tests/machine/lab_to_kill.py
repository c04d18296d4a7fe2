"""Runs a lab of one guest until it is killed; says the guest's process id. Arguments: the kit's directory, an image."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from rackwave_emulators.clock import ScaledClock
from rackwave_emulators.lab import Lab
from rackwave_emulators.qemu.backend import Guests
from rackwave_emulators.qemu.kit import assemble

kit, factory = map(Path, sys.argv[1:])
place = factory.parent / "killed"  # a killed lab removes no directory of its own
guests = Guests(kit=assemble(kit), factory=factory, directory=place)
with Lab(1, clock=ScaledClock(1.0), directory=place, hosts=guests) as lab:
    while (pid := lab["r1n01"].truth()["guest"]["pid"]) is None:
        time.sleep(0.05)
    sys.stdout.write(f"{pid}\n")
    sys.stdout.flush()
    time.sleep(600)
