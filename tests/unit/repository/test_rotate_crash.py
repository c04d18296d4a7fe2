"""Killed just before any operation on files: rotating, refreshing, going back and withdrawing are before or after.

After each kill everybody who believed the publisher still does, and the same command, run again, goes through.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from bastion import Bastion

from dying import run_apart
from rackwave.repository.keys import generate_key

AT_STEPS = """
import json, shutil, sys
from pathlib import Path
from dying import dies_at
from bastion import A1, A2, Bastion
from rackwave.errors import RackwaveError
from rackwave.repository.metadata.ceremony import rotate

place, work, what, stride = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])

def act(bastion):
    if what == "refresh":
        bastion.trust.refresh()
    elif what == "withdraw":
        if str(next(e for e in bastion.repository.list() if e.id == A1).state) != "withdrawn":
            bastion.repository.withdraw(A1, "hangs")
    else:
        rotate(bastion.trust, what, bastion.state / "publisher.pem")

warm = work / "warm"
shutil.copytree(place, warm)
act(Bastion(warm))  # what is imported late is imported now
shutil.rmtree(warm)

complaints, step, died = [], 1, True
while died:
    here = work / str(step)
    shutil.copytree(place, here)
    bastion = Bastion(here)
    died = dies_at(step, lambda: act(bastion))
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
    paths = (Path(__file__).parent,)
    steps, complaints = run_apart(
        AT_STEPS, tmp_path / "place", tmp_path / "work", what, stride, paths=paths, within=280
    )

    assert [] == complaints
    assert steps > 20
