from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from workshop import flip

from rackwave.core.identity import Digest
from rackwave.errors import BundleError, BundleNotFoundError, DigestMismatchError
from rackwave.repository.store import BlobFolder, ingesting

BENCH = Path(__file__).parents[2] / "bench" / "repository.py"


def digest_of(data: bytes) -> Digest:
    """The digest that *data* should have."""
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def bytes_read() -> int:
    """What this process has read so far, by the kernel's own count."""
    return int(Path("/proc/self/io").read_text().split()[1])


def test_file_comes_back(tmp_path: Path) -> None:
    """A file that is added comes back under its digest, from a path or from a stream."""
    data = b"x" * 3_000_000
    (tmp_path / "file").write_bytes(data)
    blobs = BlobFolder(tmp_path / "layout")

    assert (digest_of(data), len(data)) == blobs.add_file(tmp_path / "file")
    assert (digest_of(data), len(data)) == blobs.add_file(io.BytesIO(data))
    assert data == blobs.path(digest_of(data)).read_bytes()
    assert data == blobs.read(digest_of(data), len(data))
    assert len(data) == blobs.size(digest_of(data)) == blobs.verify(digest_of(data))
    assert [] == list((tmp_path / "layout" / "ingest").iterdir())


def test_missing_blob(tmp_path: Path) -> None:
    """A blob that is not there is not found, and the error says what to do."""
    blobs = BlobFolder(tmp_path)
    for ask in (blobs.path, blobs.size, blobs.verify, lambda digest: blobs.read(digest, 9)):
        with pytest.raises(BundleNotFoundError) as caught:
            ask(digest_of(b""))

        assert caught.value.advice


def test_flipped_bit_is_found(tmp_path: Path) -> None:
    """A bit flipped in place is found by every way to read, also after the blob was verified once."""
    blobs = BlobFolder(tmp_path)
    digest, _ = blobs.add_bytes(b"some bytes")
    blobs.path(digest)
    flip(blobs.file(digest))
    for ask in (blobs.path, blobs.verify, lambda digest: blobs.read(digest, 99)):
        with pytest.raises(DigestMismatchError) as caught:
            ask(digest)

        assert str(digest) == caught.value.expected
        assert str(digest) != caught.value.found


def test_adding_again_heals(tmp_path: Path) -> None:
    """A damaged blob is whole again once it is added again."""
    blobs = BlobFolder(tmp_path)
    digest, _ = blobs.add_bytes(b"some bytes")
    flip(blobs.file(digest))
    blobs.add_bytes(b"some bytes")

    assert b"some bytes" == blobs.path(digest).read_bytes()


def test_verified_once_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand nodes that ask for one image make us hash it once; a deep check hashes it always."""
    monkeypatch.setattr("rackwave.repository.store._SETTLED", -1)  # else only a file at rest is remembered
    blobs = BlobFolder(tmp_path)
    digest, size = blobs.add_file(io.BytesIO(bytes(4_000_000)))
    blobs.path(digest)
    before = bytes_read()
    for _ in range(10):
        blobs.path(digest)
    between = bytes_read()
    blobs.verify(digest)

    assert between - before < size
    assert bytes_read() - between >= size


def test_another_process_file_is_hashed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that took the place of a verified one is not taken for it."""
    monkeypatch.setattr("rackwave.repository.store._SETTLED", -1)
    blobs = BlobFolder(tmp_path)
    digest, _ = blobs.add_bytes(b"some bytes")
    blobs.path(digest)
    (tmp_path / "other").write_bytes(b"same bytes")
    (tmp_path / "other").replace(blobs.file(digest))
    with pytest.raises(DigestMismatchError):
        blobs.path(digest)


def test_limit(tmp_path: Path) -> None:
    """A blob above the limit is refused before it is taken for a document."""
    blobs = BlobFolder(tmp_path)
    digest, _ = blobs.add_bytes(b"x" * 11)
    with pytest.raises(BundleError, match="larger than the 10 bytes"):
        blobs.read(digest, 10)


@pytest.mark.parametrize(("data", "size"), [(b"other", 5), (b"bytes and more", 5), (b"byte", 5)])
def test_other_bytes_are_not_taken_in(tmp_path: Path, data: bytes, size: int) -> None:
    """What is not the bytes that were named, or more or fewer of them, leaves nothing behind."""
    (tmp_path / "file").write_bytes(data)
    blobs = BlobFolder(tmp_path / "layout")
    with pytest.raises(DigestMismatchError):
        blobs.add_expected(tmp_path / "file", digest=digest_of(b"bytes"), size=size)

    assert [] == [path for path in (tmp_path / "layout").rglob("*") if path.is_file()]


def test_unreadable_source(tmp_path: Path) -> None:
    """A source that cannot be read is named in the error."""
    with pytest.raises(BundleError, match="none cannot be read"):
        BlobFolder(tmp_path).add_file(tmp_path / "none")


def test_sweep_takes_what_the_dead_left(tmp_path: Path) -> None:
    """What a killed writer left in ingest/ is removed; what a living one writes is not."""
    blobs = BlobFolder(tmp_path)
    with ingesting(tmp_path / "ingest") as (living, _):
        (tmp_path / "ingest" / "dead").write_bytes(b"half")
        blobs.sweep()

        assert [living] == list((tmp_path / "ingest").iterdir())


def test_many_writers(tmp_path: Path) -> None:
    """Many threads may add the same and other blobs at once, and sweep while they do."""
    blobs = BlobFolder(tmp_path)

    def add() -> None:
        for number in range(20):
            blobs.add_bytes(b"blob %d" % number)
            blobs.sweep()

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [7 if number > 9 else 6 for number in range(20)] == [
        blobs.verify(digest_of(b"blob %d" % number)) for number in range(20)
    ]


def test_memory_stays_at_a_chunk() -> None:
    """Building, publishing and verifying a 128 MiB image takes far less memory than the image has bytes."""
    command = [sys.executable, str(BENCH), "--mib", "128", "--bundles", "0", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    grown = {stage: spent["growth_mib"] for stage, spent in json.loads(done.stdout)["payload"].items()}

    assert {"build", "publish", "verify", "export"} <= set(grown)
    assert {} == {stage: mib for stage, mib in grown.items() if mib >= 24}
