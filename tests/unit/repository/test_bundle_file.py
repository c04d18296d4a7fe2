"""A bundle goes to another site as one file, and what comes from another site is believed no more than a stranger."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from workshop import Workshop, flip

from rackwave.core.identity import BundleId
from rackwave.errors import BundleError, DigestMismatchError, RackwaveError, TrustError, UsageError
from rackwave.repository.entry import State
from rackwave.repository.keys import generate_key
from rackwave.repository.repository import BundleRepository
from rackwave.repository.tar import members
from rackwave.repository.trust import KeyringTrust

A1, A2 = BundleId("A", 1), BundleId("A", 2)


@pytest.fixture
def exported(workshop: Workshop) -> Path:
    """A.2 in a file."""
    workshop.publish(1)
    workshop.publish(2)
    out = workshop.directory / "A.2.tar"
    workshop.repository.export(A2, out)
    return out


@pytest.fixture
def elsewhere(workshop: Workshop, trust_file: Path) -> BundleRepository:
    """Another, empty repository with the same trust."""
    return BundleRepository(workshop.directory / "elsewhere", KeyringTrust.load(trust_file))


def test_there_and_back(workshop: Workshop, exported: Path, elsewhere: BundleRepository) -> None:
    """What is exported is published elsewhere with the same content, sound to the last byte."""
    elsewhere.publish(exported)

    assert workshop.repository.get(A2) == elsewhere.get(A2)
    assert all(check.is_sound for check in elsewhere.verify())


def test_two_exports_are_identical(workshop: Workshop, exported: Path) -> None:
    """Neither dates nor owners stand in the file."""
    _, size = workshop.repository.export(A2, workshop.directory / "again.tar")

    assert exported.read_bytes() == (workshop.directory / "again.tar").read_bytes()
    assert exported.stat().st_size == size


def test_an_older_one_goes_to_the_archive(workshop: Workshop, exported: Path, elsewhere: BundleRepository) -> None:
    """The way back can be brought after the way forward, if one says so."""
    workshop.repository.export(A1, workshop.directory / "A.1.tar")
    elsewhere.publish(exported)
    with pytest.raises(BundleError, match="not newer"):
        elsewhere.publish(workshop.directory / "A.1.tar")

    assert State.ARCHIVE is elsewhere.publish(workshop.directory / "A.1.tar", may_be_old=True).entry.state


def test_nothing_is_written_over(workshop: Workshop, exported: Path) -> None:
    """A file that is there is left alone."""
    with pytest.raises(UsageError, match="there already"):
        workshop.repository.export(A2, exported)


def test_what_is_damaged_is_not_exported(workshop: Workshop) -> None:
    """A bundle that rotted leaves no file, not even a part of one."""
    workshop.publish(1)
    (payload,) = workshop.repository.get(A1).manifest.payloads
    flip(workshop.repository.layout.blobs.file(payload.digest))
    out = workshop.directory / "out"
    out.mkdir()
    with pytest.raises(DigestMismatchError):
        workshop.repository.export(A1, out / "A.1.tar")

    assert [] == list(out.iterdir())


def test_a_strangers_signature(workshop: Workshop, exported: Path, tmp_path: Path) -> None:
    """A file that is whole but signed by nobody we know is refused."""
    stranger = KeyringTrust(()).with_key(generate_key(tmp_path / "other.pem").public_key, lineages=("*",))
    with pytest.raises(TrustError, match="not known"):
        BundleRepository(workshop.directory / "elsewhere", stranger).publish(exported)


Harm = Callable[[tarfile.TarFile], None]


def plain(name: str, data: bytes = b"x", **facts: object) -> Harm:
    """Add a member."""

    def harm(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        for key, value in facts.items():
            setattr(info, key, value)
        tar.addfile(info, BytesIO(data))

    return harm


BLOB = "blobs/sha256/" + "0" * 64


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (plain("../../etc/cron.d/x"), "does not belong"),
        (plain("/etc/passwd"), "does not belong"),
        (plain("blobs/sha256/../../x"), "does not belong"),
        (plain("blobs/md5/" + "0" * 32), "does not belong"),
        (plain("index.json"), "'index.json' twice"),
        (plain("./index.json"), "'index.json' twice"),
        (plain(BLOB, b"", type=tarfile.SYMTYPE, linkname="/etc/shadow"), "neither a regular file"),
        (plain(BLOB, b"", type=tarfile.LNKTYPE, linkname="index.json"), "neither a regular file"),
        (plain(BLOB, b"", type=tarfile.FIFOTYPE), "neither a regular file"),
        (plain(BLOB, b"", type=tarfile.CHRTYPE), "neither a regular file"),
        (plain(BLOB, pax_headers={"GNU.sparse.realsize": "9" * 15}), "sparse"),
        (plain(BLOB, pax_headers={"path": "../x"}), "does not belong"),
        (plain(BLOB, pax_headers={"comment": "x" * 100_000}), "extended header of 1"),
        (plain("x" * 300), "does not belong"),
    ],
)
def test_files_that_would_do_harm(exported: Path, elsewhere: BundleRepository, harm: Harm, words: str) -> None:
    """Links, names that lead out, doubles, holes and bombs are refused by name, and nothing is written."""
    with tarfile.open(exported, "a", format=tarfile.PAX_FORMAT) as tar:
        harm(tar)
    with pytest.raises(BundleError, match=words) as caught:
        elsewhere.publish(exported)

    assert caught.value.advice
    assert not elsewhere.directory.exists()


def test_a_compressed_file(workshop: Workshop, exported: Path, elsewhere: BundleRepository) -> None:
    """Nothing is blown up to see what is in it."""
    packed = workshop.directory / "A.2.tar.gz"
    with tarfile.open(packed, "w:gz") as tar:
        tar.add(exported, "index.json")
    with pytest.raises(BundleError, match="uncompressed"):
        elsewhere.publish(packed)


def test_too_many_members(exported: Path, elsewhere: BundleRepository) -> None:
    """A file of ten thousand empty files is refused."""
    with tarfile.open(exported, "a") as tar:
        for number in range(10_001):
            tar.addfile(tarfile.TarInfo(f"blobs/sha256/{number:064x}"))
    with pytest.raises(BundleError, match="more than 10000"):
        elsewhere.publish(exported)


def test_a_bit_flipped_anywhere(exported: Path, elsewhere: BundleRepository) -> None:
    """Wherever a bit is flipped, in headers, documents or payload, nothing unsound is published."""
    sound = exported.read_bytes()
    for place in range(0, len(sound), 97):
        exported.write_bytes(sound[:place] + bytes([sound[place] ^ 4]) + sound[place + 1 :])
        try:
            elsewhere.publish(exported)
        except RackwaveError:
            continue

        assert all(check.is_sound for check in elsewhere.verify()), place


@pytest.mark.parametrize("part", [0, 100, 600, 0.3, 0.5])
def test_a_file_that_ends_too_early(exported: Path, elsewhere: BundleRepository, part: float) -> None:
    """A copy that was cut off is refused."""
    sound = exported.read_bytes()
    exported.write_bytes(sound[: int(part * len(sound)) if 0 < part < 1 else int(part)])
    with pytest.raises(BundleError):
        elsewhere.publish(exported)

    assert () == elsewhere.list()


@hypothesis_settings(deadline=None, max_examples=200)
@given(data=st.binary(max_size=2048), prefix=st.sampled_from([0, 512, 1024]))
def test_any_bytes_at_all(tmp_path_factory: pytest.TempPathFactory, data: bytes, prefix: int) -> None:
    """Whatever a file holds, it is read or refused in words."""
    start = BytesIO()
    with tarfile.open(fileobj=start, mode="w") as tar:
        plain("index.json", b"{}")(tar)
    path = tmp_path_factory.getbasetemp() / "any.tar"
    path.write_bytes(start.getvalue()[:prefix] + data)
    try:
        members(path)
    except BundleError:
        return

    assert prefix
