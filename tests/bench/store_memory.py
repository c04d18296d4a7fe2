"""Builds, publishes and verifies a bundle around one large payload and tells what it took, as JSON.

    python tests/bench/store_memory.py 1024    # MiB

The payload is not a plain hole: a page in sixteen holds bytes. The peak is the kernel's VmHWM of this
process alone (ru_maxrss would begin with that of whoever started it).
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rackwave.repository.keys import generate_key
from rackwave.repository.repository import BundleRepository
from rackwave.repository.source import build
from rackwave.repository.trust import KeyringTrust

SOURCE = """\
lineage = "A"
seq = 1
purpose = "a large image"

[[elements]]
name = "bios"
kind = "bios-image"
component = "BIOS"
version = "1.0.0"
payload = "image.bin"
activation = "host-reset"
reversibility = "reflash"
"""


def peak_mib() -> float:
    """Return the most memory that this process ever had resident."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else float("nan")


def main(mib: int) -> dict[str, float]:
    """Build, publish and verify, and return times in seconds and memory in MiB."""
    told: dict[str, float] = {"payload_mib": mib, "peak_before_mib": peak_mib()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "source").mkdir()
        (folder / "source" / "bundle.toml").write_text(SOURCE)
        with (folder / "source" / "image.bin").open("wb") as file:
            for place in range(0, mib * 2**20, 2**16):
                file.seek(place)
                file.write(place.to_bytes(8, "big") * 512)
            file.truncate(mib * 2**20)
        signer = generate_key(folder / "key.pem")
        repository = BundleRepository(
            folder / "repository", KeyringTrust(()).with_key(signer.public_key, lineages=("A",))
        )
        steps: dict[str, Callable[[], object]] = {
            "build": lambda: build(folder / "source", folder / "out", signer),
            "publish": lambda: repository.publish(folder / "out"),
            "load": lambda: repository.list() and repository.get(repository.list()[0].id),
            "verify": lambda: [check.problem for check in repository.verify() if not check.is_sound],
        }
        for step, run in steps.items():
            start = time.perf_counter()
            result = run()
            told[f"{step}_seconds"] = round(time.perf_counter() - start, 4)
        if result:
            raise SystemExit(f"verify found {result}")
    told["peak_mib"] = peak_mib()
    told["growth_mib"] = round(told["peak_mib"] - told["peak_before_mib"], 2)
    return told


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(int(sys.argv[1]))) + "\n")
