"""Room is made without harm: beside publishers, under a kill, and whatever else lies in the layout."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from workshop import Workshop, flip

from dying import run_apart
from rackwave.core.canonical import canonical_json
from rackwave.core.identity import BundleId
from rackwave.core.retention import Retention, Shelved, Verdict, decide
from rackwave.errors import StateError
from rackwave.repository.garbage import collect
from rackwave.repository.layout import EMPTY_TYPE, MANIFEST_TYPE, Descriptor
from rackwave.repository.pruning import prune

COLLECTOR = """
import sys
from pathlib import Path
from rackwave.errors import StateError
from rackwave.repository.garbage import collect
from rackwave.repository.layout import ImageLayout
layout = ImageLayout(Path(sys.argv[1]))
stop = Path(sys.argv[2])
done = busy = 0
print("ready", flush=True)
while not stop.exists():
    try:
        collect(layout)
        done += 1
    except StateError as error:
        assert "in use" in str(error), error
        busy += 1
print(done, busy)
"""
PRUNE_AND_DIE = """
import json, shutil, sys
from pathlib import Path
from dying import dies_at
from rackwave.core.retention import Retention, decide
from rackwave.repository.pruning import prune
from rackwave.repository.repository import BundleRepository
from rackwave.repository.trust import KeyringTrust

repository, trust, work = (Path(each) for each in sys.argv[1:])
last = lambda shelved: decide(shelved, (), Retention(0), now=0.0)

def opened(folder):
    return BundleRepository(folder, KeyringTrust.load(trust))

outcomes, died = [], True
while died:
    shutil.copytree(repository, work)
    target = opened(work)
    died = dies_at(len(outcomes) + 1, lambda: prune(target, last))
    found = opened(work)
    sound = all(check.is_sound for check in found.verify())
    outcomes.append([sound, len(found.list()), len(list((work / "blobs/sha256").iterdir()))])
    prune(found, last)
    assert len(found.list()) == 1
    shutil.rmtree(work)
print(json.dumps(outcomes))
"""

Decide = Callable[[tuple[Shelved, ...]], tuple[Verdict, ...]]


def last(number: int) -> Decide:
    """Keep the current bundles and that many before them."""
    return lambda shelved: decide(shelved, (), Retention(number), now=0.0)


def blobs(workshop: Workshop) -> set[str]:
    """The names of all blobs."""
    return {path.name for path in workshop.repository.layout.blobs.folder.iterdir()}


def test_pruned_bundles_leave_no_bytes(workshop: Workshop) -> None:
    """What goes takes its bytes along, and nothing that another bundle needs."""
    for seq in (1, 2, 3):
        workshop.publish(seq)
    told = prune(workshop.repository, last(1), dry_run=True)
    before = blobs(workshop)
    done = prune(workshop.repository, last(1))

    assert told == done
    assert [False, True, True] == [verdict.stays for verdict in done.verdicts]
    assert [BundleId("A", 2), BundleId("A", 3)] == [entry.id for entry in workshop.repository.list()]
    assert done.freed.blobs == len(before) - len(blobs(workshop)) > 0
    assert all(check.is_sound for check in workshop.repository.verify())
    assert prune(workshop.repository, last(1)).freed.blobs == 0


def test_what_is_kept_stays(workshop: Workshop) -> None:
    """A bundle that somebody wants kept stays, until they no longer do."""
    for seq in (1, 2):
        workshop.publish(seq)
    workshop.repository.keep(BundleId("A", 1), "golden")

    assert ("kept: golden",) == prune(workshop.repository, last(0)).verdicts[0].reasons
    assert "golden" == workshop.repository.list()[0].kept

    workshop.repository.keep(BundleId("A", 1), "")

    assert not prune(workshop.repository, last(0)).verdicts[0].stays


def test_blobs_that_nobody_names_go(workshop: Workshop) -> None:
    """What a publication or a pull that failed left behind is removed; what else lies there is not touched."""
    workshop.publish(1)
    layout = workshop.repository.layout
    before = blobs(workshop)
    layout.blobs.add_bytes(b"left behind")
    (layout.directory / "partial").mkdir()
    (layout.directory / "partial" / ("0" * 64)).write_bytes(b"half of it")
    (layout.blobs.folder / "notes.txt").write_text("somebody's")
    told = collect(layout, dry_run=True)
    done = collect(layout)

    assert (1, 11) == (told.blobs, told.size)
    assert (1, 21) == (done.blobs, done.size)
    assert before | {"notes.txt"} == blobs(workshop)
    assert [] == list((layout.directory / "partial").iterdir())


def test_what_others_keep_in_the_layout_stays(workshop: Workshop) -> None:
    """An image that somebody else put into the layout is followed like a bundle."""
    workshop.publish(1)
    layout = workshop.repository.layout
    config, layer = (layout.blobs.add_bytes(data) for data in (b"{}", b"a layer"))
    document = {
        "schemaVersion": 2,
        "config": Descriptor(EMPTY_TYPE, *config).document(),
        "layers": [Descriptor("application/x", *layer).document()],
    }
    manifest = Descriptor(MANIFEST_TYPE, *layout.blobs.add_bytes(canonical_json(document)))
    with layout.locked() as index:
        layout.swap(index.with_entries((*index.entries, manifest)))

    assert 0 == collect(layout).blobs


@pytest.mark.parametrize("harm", [Path.unlink, flip])
def test_what_cannot_be_read_stops_it(workshop: Workshop, harm: Callable[[Path], None]) -> None:
    """Where a manifest is damaged or gone nobody can say what it names, and nothing is removed."""
    for seq in (1, 2):
        workshop.publish(seq)
    layout = workshop.repository.layout
    harm(layout.blobs.file(layout.index().entries[1].digest))
    layout.blobs.add_bytes(b"left behind")
    before = blobs(workshop)
    with pytest.raises(StateError, match="nothing was removed") as caught:
        collect(layout)
    with pytest.raises(StateError):
        prune(workshop.repository, last(0))

    assert "bundle verify" in caught.value.advice
    assert before == blobs(workshop)
    assert 2 == len(workshop.repository.list())


def test_collecting_beside_a_publisher(workshop: Workshop) -> None:
    """With a collector at work all the time in another process, every bundle is published whole."""
    stop = workshop.directory / "stop"
    layouts = [workshop.build(seq, image=os.urandom(200_000)).directory for seq in range(1, 31)]
    with subprocess.Popen(
        [sys.executable, "-c", COLLECTOR, str(workshop.repository.directory), str(stop)],
        stdout=subprocess.PIPE,
        text=True,
    ) as collector:
        assert collector.stdout is not None
        assert "ready\n" == collector.stdout.readline()
        for layout in layouts:
            workshop.repository.publish(layout)
        stop.touch()
        done = int(collector.stdout.read().split()[0])

    assert 0 == collector.returncode
    assert done  # it did collect between the publications
    assert 30 == len(workshop.repository.list())
    assert all(check.is_sound for check in workshop.repository.verify())


def test_nobody_collects_while_somebody_publishes(workshop: Workshop) -> None:
    """While blobs are here that no index names yet, collecting is refused in words."""
    workshop.publish(1)
    with workshop.repository.layout.in_use(), pytest.raises(StateError, match="in use") as caught:
        collect(workshop.repository.layout)

    assert "Run it again" in caught.value.advice


def test_kill_at_every_step_of_pruning(workshop: Workshop, trust_file: Path) -> None:
    """Killed just before any operation on files, pruning has harmed nothing that stays and can be run again."""
    for seq in (1, 2):
        workshop.publish(seq)
    everything = len(blobs(workshop))
    outcomes = run_apart(PRUNE_AND_DIE, workshop.repository.directory, trust_file, workshop.fresh("work"))

    assert len(outcomes) > 20
    assert all(sound for sound, _, _ in outcomes)
    assert [True, 2, everything] == outcomes[0]
    assert [True, 1, everything - 6] == outcomes[-1]
    assert all(left == everything for _, bundles, left in outcomes if bundles == 2)
