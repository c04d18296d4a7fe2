"""Killed just before any operation on files, an import has written its source whole or not at all; it is run again."""

from __future__ import annotations

from pathlib import Path

from dying import run_apart

EVERY_STEP = """
import json, sys
from pathlib import Path
from dying import dies_at
from rackwave.core.identity import Lineage
from rackwave.importers import read, write_source
from rackwave.repository.source import read_source

package, work = Path(sys.argv[1]), Path(sys.argv[2])

def act(out):
    write_source(read(package), out, lineage=Lineage("N"), seq=1)

act(work / "warm")
outcomes, died = [], True
while died:
    out = work / str(len(outcomes)) / "source"
    died = dies_at(len(outcomes) + 1, lambda: act(out))
    was_there = out.exists()
    if not was_there:
        act(out)
    (image,) = read_source(out).files.values()
    outcomes.append([was_there, image.read_bytes() == package.read_bytes()])
print(json.dumps(outcomes))
"""


def test_kill_at_every_step(tmp_path: Path) -> None:
    """First it is not there, then it is, whole; in between there is nothing."""
    package = tmp_path / "nic.bin"
    package.write_bytes(bytes(range(256)) * 2000)
    package.with_name("nic.bin.toml").write_text("component = 'NIC'\nversion = '1.2'\n", "utf-8")
    (tmp_path / "work").mkdir()
    outcomes = run_apart(EVERY_STEP, package, tmp_path / "work")
    there = [was_there for was_there, _ in outcomes]

    assert len(outcomes) > 10
    assert sorted(there) == there
    assert (False, True) == (there[0], there[-1])
    assert all(is_whole for _, is_whole in outcomes)
