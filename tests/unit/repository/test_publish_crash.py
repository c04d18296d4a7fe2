from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from workshop import Workshop

from dying import run_apart
from rackwave.core.identity import BundleId
from rackwave.repository.repository import BundleRepository

PUBLISHER = """
import sys
from pathlib import Path
from rackwave.repository.repository import BundleRepository
from rackwave.repository.trust import KeyringTrust
repository = BundleRepository(Path(sys.argv[1]), KeyringTrust.load(Path(sys.argv[2])))
print("ready", flush=True)
for layout in sys.stdin:
    repository.publish(Path(layout.strip()))
    print(repository.list()[-1].id.seq, flush=True)
"""
EVERY_STEP = """
import json, shutil, sys
from pathlib import Path
from dying import dies_at
from rackwave.repository.repository import BundleRepository
from rackwave.repository.trust import KeyringTrust

repository, trust, layout, work = (Path(each) for each in sys.argv[1:])

def opened(folder):
    return BundleRepository(folder, KeyringTrust.load(trust))

outcomes, died = [], True
while died:
    shutil.copytree(repository, work)
    target = opened(work)
    died = dies_at(len(outcomes) + 1, lambda: target.publish(layout))
    found = opened(work)
    sound = all(check.is_sound for check in found.verify())
    outcomes.append([sound, {str(entry.id): entry.state.value for entry in found.list()}])
    shutil.rmtree(work)
print(json.dumps(outcomes))
"""
KILLS = 10
SEED = 20260


def test_kill_leaves_before_or_after(workshop: Workshop, trust_file: Path) -> None:
    """A publisher that is killed at any moment leaves the repository as it was before or as it is after."""
    seed = int(os.environ.get("RACKWAVE_TEST_SEED", SEED))
    print(f"seed {seed}")  # noqa: T201 - to repeat a failure
    chance = random.Random(seed)  # noqa: S311 - moments, not secrets
    repository = workshop.repository
    layouts = [workshop.build(seq, image=bytes([seq]) * 300_000).directory for seq in range(1, 40)]
    done = 0
    interrupted = 0
    for _ in range(KILLS):
        said = _publish_until_killed(repository, trust_file, layouts[done:], chance.uniform(0.0, 0.02))
        before, done = done, _consistent_seq(repository)
        acknowledged = said or before
        interrupted += done == acknowledged

        assert acknowledged <= done <= acknowledged + 1

    repository.publish(layouts[done])

    assert interrupted  # the kills did hit
    assert done + 1 == _consistent_seq(repository)
    assert [] == list((repository.directory / "ingest").iterdir())


def test_kill_at_every_step(workshop: Workshop, trust_file: Path) -> None:
    """Killed just before any single operation on files, publishing A.2 has done nothing yet or is done."""
    workshop.publish(1)
    layout = workshop.build(2).directory
    outcomes = run_apart(EVERY_STEP, workshop.repository.directory, trust_file, layout, workshop.fresh("work"))
    before = [True, {"A.1": "current"}]
    after = [True, {"A.1": "archive", "A.2": "current"}]
    swapped = outcomes.index(after)

    assert len(outcomes) > 20
    assert [before] * swapped + [after] * (len(outcomes) - swapped) == outcomes


def _publish_until_killed(repository: BundleRepository, trust_file: Path, layouts: list[Path], seconds: float) -> int:
    """Let a child publish *layouts* one after the other, kill it after *seconds*, return what it acknowledged last."""
    with subprocess.Popen(
        [sys.executable, "-c", PUBLISHER, str(repository.directory), str(trust_file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert "ready\n" == child.stdout.readline()
        child.stdin.write("".join(f"{layout}\n" for layout in layouts))
        child.stdin.flush()
        time.sleep(seconds)  # a kill at a random moment has no clock to be moved
        child.send_signal(signal.SIGKILL)
        told = child.stdout.read().split()
    return int(told[-1]) if told else 0


def _consistent_seq(repository: BundleRepository) -> int:
    """Check that the repository is sound and complete, and return the seq of its current bundle."""
    entries = repository.list()
    assert all(check.is_sound for check in repository.verify())
    assert list(range(1, len(entries) + 1)) == [entry.id.seq for entry in entries]
    if entries:
        assert BundleId("A", len(entries)) == repository.current(entries[0].id.lineage).id
    return len(entries)
