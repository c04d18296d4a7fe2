"""Killed just before any operation on files: rotating, refreshing, going back and withdrawing are before or after.

After each kill everybody who believed the publisher still does, and the same command, run again, goes through.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bastion import Bastion

from rackwave.repository.keys import generate_key

DIE_AT = """
import json, os, shutil, signal, sys
from pathlib import Path
sys.path[:0] = json.loads(sys.argv[4])
from bastion import A1, A2, Bastion
from rackwave.errors import RackwaveError
from rackwave.repository.metadata.ceremony import rotate

place, work, what, stride = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[5])

def act(bastion):
    if what == "refresh":
        bastion.trust.refresh()
    elif what == "withdraw":
        if str(next(e for e in bastion.repository.list() if e.id == A1).state) != "withdrawn":
            bastion.repository.withdraw(A1, "hangs")
    else:
        rotate(bastion.trust, what, bastion.state / "publisher.pem")

def die_at(step):
    left = step
    def hook(event, _):
        nonlocal left
        if event == "open" or event.startswith("os.") or event.startswith("fcntl."):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

warm = work / "warm"
shutil.copytree(place, warm)
act(Bastion(warm))  # what is imported late is imported now
shutil.rmtree(warm)

complaints, step, status = [], 1, -1
while status:
    here = work / str(step)
    shutil.copytree(place, here)
    child = os.fork()
    if not child:
        bastion = Bastion(here)
        die_at(step)
        act(bastion)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    bastion = Bastion(here)
    try:
        bastion.offer()
        bundle = bastion.repository.get(A2)
        bastion.node().check_forward(A2, bundle.digest)
        act(bastion)
        bastion.offer()
        bastion.node().client.refresh()
        bastion.node().verify(A2, bastion.repository.payload_manifest(A2), None)
        bastion.publish(3)
        bastion.offer()
        newest = bastion.repository.current(A2.lineage)
        bastion.node().check_forward(newest.id, newest.digest)
    except RackwaveError as error:
        complaints.append([step, error.whole])
    shutil.rmtree(here)
    step += stride
print(json.dumps([step, complaints]))
"""


@pytest.mark.parametrize(
    ("what", "stride"),
    [("online", 3), ("publisher", 3), ("refresh", 2), ("withdraw", 3), ("root", 23), ("targets", 23)],
)
def test_kill_at_any_step_leaves_before_or_after(tmp_path: Path, what: str, stride: int) -> None:
    """The node believes what is offered after each kill, the command goes through when it is run again, and so on."""
    bastion = Bastion(tmp_path / "place")
    (tmp_path / "place").mkdir()
    bastion.state.mkdir(exist_ok=True)
    generate_key(bastion.state / "publisher.pem")
    bastion.init()
    for seq in (1, 2):
        bastion.publish(seq)
    bastion.adopt()
    bastion.offer()
    bastion.node().client.refresh()
    (tmp_path / "work").mkdir()
    paths = json.dumps([str(Path(__file__).parent), str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-c", DIE_AT, str(tmp_path / "place"), str(tmp_path / "work"), what, paths, str(stride)],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert 0 == done.returncode, done.stderr[-3000:]
    steps, complaints = json.loads(done.stdout.splitlines()[-1])

    assert [] == complaints
    assert steps > 20
