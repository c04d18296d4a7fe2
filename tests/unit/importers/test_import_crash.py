"""Killed just before any operation on files, an import has written its source whole or not at all; it is run again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

DIE_AT = """
import json, os, signal, sys
from pathlib import Path
from rackwave.core.identity import Lineage
from rackwave.importers import read, write_source
from rackwave.repository.source import read_source

package, work = Path(sys.argv[1]), Path(sys.argv[2])

def act(out):
    write_source(read(package), out, lineage=Lineage("N"), seq=1)

def die_at(step):
    left = step
    def hook(event, _):
        nonlocal left
        if event == "open" or event.startswith(("os.", "shutil.", "tempfile.")):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

act(work / "warm")
outcomes, status = [], -1
while status:
    out = work / str(len(outcomes)) / "source"
    child = os.fork()
    if not child:
        die_at(len(outcomes) + 1)
        act(out)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
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
    done = subprocess.run(
        [sys.executable, "-c", DIE_AT, str(package), str(tmp_path / "work")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    outcomes = json.loads(done.stdout)
    there = [was_there for was_there, _ in outcomes]

    assert len(outcomes) > 10
    assert sorted(there) == there
    assert (False, True) == (there[0], there[-1])
    assert all(is_whole for _, is_whole in outcomes)
