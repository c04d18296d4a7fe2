from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from workshop import Workshop, flip

from rackwave.core.identity import BundleId, Lineage
from rackwave.errors import BundleError, BundleNotFoundError, DigestMismatchError, StateError
from rackwave.repository.entry import State
from rackwave.repository.keys import generate_key
from rackwave.repository.repository import BundleRepository
from rackwave.repository.source import build
from rackwave.repository.store import BlobFolder
from rackwave.repository.trust import KeyringTrust

A = Lineage("A")


def states(repository: BundleRepository) -> dict[str, str]:
    """What a repository says of each of its bundles."""
    return {str(entry.id): entry.state.value for entry in repository.list()}


def edit_index(repository: BundleRepository, place: int, **annotations: str) -> None:
    """Change annotations in index.json, as somebody with an editor would."""
    path = repository.directory / "index.json"
    document = json.loads(path.read_bytes())
    said: dict[str, Any] = document["manifests"][place]["annotations"]
    said |= {f"vnd.rackwave.bundle.{name.replace('_', '-')}": value for name, value in annotations.items()}
    path.write_text(json.dumps(document))


def test_empty(workshop: Workshop) -> None:
    """A repository that is not there yet is empty, and looking does not make it."""
    with pytest.raises(BundleNotFoundError):
        workshop.repository.current(A)
    with pytest.raises(BundleNotFoundError):
        workshop.repository.get(BundleId("A", 1))

    assert () == workshop.repository.list()
    assert () == workshop.repository.verify()
    assert () == workshop.repository.archive(A)
    assert not workshop.repository.directory.exists()


def test_figure_4(workshop: Workshop) -> None:
    """Publishing A.2 makes it current and moves A.1 to the archive; other lineages stay as they are (FIG. 4)."""
    workshop.publish(1, lineage="B")
    workshop.publish(1)
    workshop.publish(2)
    published = workshop.publish(5)

    assert BundleId("A", 2) == published.archived
    assert {"A.1": "archive", "A.2": "archive", "A.5": "current", "B.1": "current"} == states(workshop.repository)
    assert "A.5" == str(workshop.repository.current(A).id)
    assert ["A.2", "A.1"] == [str(entry.id) for entry in workshop.repository.archive(A)]


def test_what_is_said_about_a_bundle(workshop: Workshop) -> None:
    """An entry tells when and why a bundle was published and what it is for."""
    entry = workshop.publish(1, reason="CVE-2024-0001").entry

    assert (entry,) == workshop.repository.list()
    assert 1_700_000_000.25 == entry.published_at
    assert ("CVE-2024-0001", "version 1 of A", State.CURRENT) == (entry.reason, entry.purpose, entry.state)


def test_archived_bundle_is_whole(workshop: Workshop) -> None:
    """An archived bundle is loaded as it was built, payloads included: it is the way back."""
    built = workshop.build(1, image=b"the old BIOS")
    workshop.repository.publish(built.directory)
    workshop.publish(2)
    bundle = workshop.repository.get(BundleId("A", 1))

    assert built.bundle == bundle
    assert b"the old BIOS" == workshop.repository.payload_path(bundle, "bios.bin").read_bytes()
    assert all(check.is_sound for check in workshop.repository.verify())


def test_publishing_again(workshop: Workshop) -> None:
    """Publishing the same content again says so and changes nothing, also when it is archived by now."""
    built = workshop.build(1)
    first = workshop.repository.publish(built.directory, "first")
    again = workshop.repository.publish(built.directory, "second")
    workshop.publish(2)
    archived = workshop.repository.publish(built.directory)

    assert (False, True, True) == (first.was_published, again.was_published, archived.was_published)
    assert first.entry == again.entry
    assert {"A.1": "archive", "A.2": "current"} == states(workshop.repository)


def test_publishing_again_heals(workshop: Workshop) -> None:
    """A payload that rotted in the repository is found, and whole again once the bundle is published again."""
    built = workshop.build(1)
    workshop.repository.publish(built.directory)
    payload = built.bundle.manifest.payloads[0]
    flip(BlobFolder(workshop.repository.directory).file(payload.digest))
    with pytest.raises(DigestMismatchError):
        workshop.repository.payload_path(built.bundle, payload.name)
    rotten = workshop.repository.verify(built.id)
    workshop.repository.publish(built.directory)

    assert [DigestMismatchError] == [type(check.problem) for check in rotten]
    assert all(check.is_sound for check in workshop.repository.verify())


def test_signed_again(workshop: Workshop, tmp_path: Path) -> None:
    """The same content under a new key takes the old signature's place and keeps its date and state."""
    source = workshop.source(1)
    workshop.repository.publish(build(source, workshop.fresh("out"), workshop.signer).directory, "why")
    before = workshop.repository.list()
    new = generate_key(tmp_path / "new.pem")
    repository = BundleRepository(
        workshop.repository.directory, KeyringTrust(()).with_key(new.public_key, lineages=("A",))
    )

    assert [False] == [check.is_sound for check in repository.verify()]
    assert repository.publish(build(source, workshop.fresh("out"), new).directory).was_published
    assert [True] == [check.is_sound for check in repository.verify()]
    assert before == repository.list()


def test_id_is_taken(workshop: Workshop) -> None:
    """A published id never changes its content."""
    workshop.publish(1)
    before = (workshop.repository.directory / "index.json").read_bytes()
    other = workshop.build(1, image=b"another BIOS")
    with pytest.raises(BundleError, match=r"A\.1 is already published with other content"):
        workshop.repository.publish(other.directory)

    assert before == (workshop.repository.directory / "index.json").read_bytes()


def test_seq_goes_up(workshop: Workshop) -> None:
    """A bundle older than the current one cannot become current by being published late."""
    workshop.publish(3)
    with pytest.raises(BundleError, match=r"A\.2 is not newer than A\.3") as caught:
        workshop.publish(2)

    assert "above 3" in caught.value.advice
    assert {"A.3": "current"} == states(workshop.repository)


def test_loading_does_not_read_payloads(workshop: Workshop) -> None:
    """Loading a bundle reads its documents and looks at its payloads' sizes; it does not hash gigabytes."""
    built = workshop.build(1, image=bytes(8_000_000))
    workshop.repository.publish(built.directory)
    before = int(Path("/proc/self/io").read_text().split()[1])
    workshop.repository.get(built.id)

    assert int(Path("/proc/self/io").read_text().split()[1]) - before < 1_000_000


@pytest.mark.parametrize("how", ["gone", "short"])
def test_payload_that_is_not_whole(workshop: Workshop, how: str) -> None:
    """A payload that is gone or cut short is noticed when the bundle is loaded, not when it is needed."""
    built = workshop.build(1)
    workshop.repository.publish(built.directory)
    path = BlobFolder(workshop.repository.directory).file(built.bundle.manifest.payloads[0].digest)
    data = path.read_bytes()
    path.unlink()
    if how == "short":
        path.write_bytes(data[:-1])
    with pytest.raises(BundleNotFoundError if how == "gone" else DigestMismatchError):
        workshop.repository.get(built.id)


def test_unknown_bundle_and_payload(workshop: Workshop) -> None:
    """What is not there is not found, and the error tells what is."""
    workshop.publish(1)
    with pytest.raises(BundleNotFoundError, match=r"no bundle A\.7") as missing:
        workshop.repository.get(BundleId("A", 7))
    with pytest.raises(BundleNotFoundError) as lineage:
        workshop.repository.current(Lineage("Z"))
    with pytest.raises(BundleNotFoundError):
        workshop.repository.verify(BundleId("Z", 1))
    with pytest.raises(BundleError) as payload:
        workshop.repository.payload_path(workshop.repository.current(A), "none.bin")

    assert "Of lineage A there are: A.1." == missing.value.advice
    assert "Lineages here: A." == lineage.value.advice
    assert "Its payloads: bios.bin." == payload.value.advice


def test_layout_without_a_bundle(workshop: Workshop, tmp_path: Path) -> None:
    """Publishing a folder that holds no bundle, or a whole repository, is refused."""
    workshop.publish(1)
    workshop.publish(2)
    for folder, count in ((tmp_path / "none", 0), (workshop.repository.directory, 2)):
        with pytest.raises(BundleError, match=f"holds {count} bundles"):
            workshop.repository.publish(folder)


def test_source_instead_of_a_build(workshop: Workshop) -> None:
    """Publishing a source that was not built yet says what to do first."""
    source = workshop.source(1)
    with pytest.raises(BundleError, match="is not built yet") as caught:
        workshop.repository.publish(source)

    assert f"rackwave bundle build {source}" in caught.value.advice


def test_folder_that_is_no_repository(workshop: Workshop, tmp_path: Path) -> None:
    """A repository is never started in a folder that holds something else."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years")
    trust = KeyringTrust(()).with_key(workshop.signer.public_key, lineages=("A",))
    with pytest.raises(StateError):
        BundleRepository(tmp_path / "home", trust).publish(workshop.build(1).directory)

    assert ["thesis.tex"] == [path.name for path in (tmp_path / "home").iterdir()]


@pytest.mark.parametrize(
    ("place", "change", "says"),
    [
        (0, {"state": "current"}, "calls A.1 current"),
        (1, {"state": "archive"}, "calls A.2 archive"),
        (1, {"state": "new"}, "cannot be read"),
        (1, {"published_at": "yesterday"}, "cannot be read"),
    ],
)
def test_edited_index(workshop: Workshop, place: int, change: dict[str, str], says: str) -> None:
    """An index.json that cannot be true is refused, never guessed at."""
    workshop.publish(1)
    workshop.publish(2)
    edit_index(workshop.repository, place, **change)
    with pytest.raises(StateError) as caught:
        workshop.repository.list()

    assert says in str(caught.value)


def test_swapped_digest(workshop: Workshop) -> None:
    """An index.json that names another content than is stored is noticed on loading."""
    workshop.publish(1)
    edit_index(workshop.repository, 0, digest="sha256:" + "0" * 64)
    with pytest.raises(StateError, match="names another content"):
        workshop.repository.get(BundleId("A", 1))


def test_foreign_entries_stay(workshop: Workshop) -> None:
    """What another tool keeps in the same layout is not ours to read, and stays there when we publish."""
    workshop.publish(1)
    path = workshop.repository.directory / "index.json"
    document = json.loads(path.read_bytes())
    foreign = {"mediaType": "x/y", "digest": "sha256:" + "0" * 64, "size": 1, "platform": {"os": "linux"}}
    document["manifests"].append(foreign)
    path.write_text(json.dumps(document))
    workshop.publish(2)

    assert {"A.1": "archive", "A.2": "current"} == states(workshop.repository)
    assert foreign in json.loads(path.read_bytes())["manifests"]


def test_publishers_at_once(workshop: Workshop) -> None:
    """Of many who publish at once none overwrites another's entry, and each lineage has one current bundle."""
    builds = [workshop.build(seq, lineage=lineage) for seq in (1, 2, 3) for lineage in "AB"]
    refused: list[BundleError] = []

    def publish(directory: Path) -> None:
        try:
            workshop.repository.publish(directory)
        except BundleError as error:  # it came after a newer one
            refused.append(error)

    threads = [threading.Thread(target=publish, args=(built.directory,)) for built in builds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = states(workshop.repository)

    assert len(builds) == len(found) + len(refused)
    assert {"A.3", "B.3"} == {name for name, state in found.items() if state == "current"}
    assert all(check.is_sound for check in workshop.repository.verify())


def test_what_another_process_publishes_is_seen(workshop: Workshop, trust_file: Path) -> None:
    """An index.json that was read is read again once somebody else has replaced it."""
    workshop.publish(1)
    other = BundleRepository(workshop.repository.directory, KeyringTrust.load(trust_file))
    old = time.time() - 60
    os.utime(workshop.repository.directory / "index.json", (old, old))

    assert {"A.1": "current"} == states(other)

    workshop.publish(2)

    assert {"A.1": "archive", "A.2": "current"} == states(other)
    assert 2 == other.get(BundleId("A", 2)).id.seq


def test_a_bundle_that_stands_twice(workshop: Workshop) -> None:
    """An index.json that names a bundle twice is refused, since nobody can say which one is meant."""
    workshop.publish(1)
    path = workshop.repository.directory / "index.json"
    document = json.loads(path.read_bytes())
    document["manifests"] *= 2
    path.write_text(json.dumps(document))
    with pytest.raises(StateError, match=r"names A\.1 twice"):
        workshop.repository.get(BundleId("A", 1))
    with pytest.raises(StateError, match=r"names A\.1 twice"):
        workshop.repository.list()
