"""The journal's file: what is refused, and what the writer thread promises."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from rackwave.engine.database import Database
from rackwave.engine.file_system import refuse_shared_file_system
from rackwave.errors import StateError

_MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:30 / /mnt/share rw - {kind} server:/export rw
31 22 8:2 / /mnt/with\\040space rw - nfs4 server:/x rw
32 30 8:3 / /mnt/share/local rw - xfs /dev/sdb1 rw
"""


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "ceph", "lustre", "fuse.sshfs"])
def test_network_file_system_refused(kind: str) -> None:
    """A journal on a file system that other machines see is refused, with the kind in the message."""
    with pytest.raises(StateError, match=kind.replace(".", r"\.")) as caught:
        refuse_shared_file_system(Path("/mnt/share/state/journal.db"), _MOUNTS.format(kind=kind))

    assert "local disk" in caught.value.advice


@pytest.mark.parametrize("path", ["/mnt/share/local/journal.db", "/home/journal.db", "/mnt/shared/journal.db"])
def test_local_file_system_taken(path: str) -> None:
    """The longest mount point decides, by whole path components."""
    refuse_shared_file_system(Path(path), _MOUNTS.format(kind="nfs"))


def test_mount_point_with_a_space() -> None:
    """Mount points are unescaped before they are compared."""
    with pytest.raises(StateError, match="nfs4"):
        refuse_shared_file_system(Path("/mnt/with space/journal.db"), _MOUNTS.format(kind="ext4"))


def test_remounted_over() -> None:
    """Of two mounts on one point the later decides: it hides the earlier."""
    mounts = _MOUNTS.format(kind="ext4") + "40 30 0:40 / /mnt/share rw - nfs server:/x rw\n"

    with pytest.raises(StateError, match="nfs"):
        refuse_shared_file_system(Path("/mnt/share/journal.db"), mounts)


def test_writes_are_synced(tmp_path: Path) -> None:
    """The writer runs in WAL mode with synchronous=FULL, so that a commit is an fsync."""

    async def pragmas(database: Database) -> tuple[str, int]:
        def act(connection: sqlite3.Connection) -> tuple[str, int]:
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
            (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
            return mode, synchronous

        return await database.write(act)

    database = Database.open(tmp_path / "journal.db")

    assert ("wal", 2) == asyncio.run(pragmas(database))

    database.close()


def test_private(tmp_path: Path) -> None:
    """The file is readable by its owner alone."""
    Database.open(tmp_path / "state" / "journal.db").close()

    assert 0o600 == (tmp_path / "state" / "journal.db").stat().st_mode & 0o777


def test_not_a_database(tmp_path: Path) -> None:
    """A file of other bytes is told as damage, with advice."""
    (tmp_path / "journal.db").write_bytes(b"not a database at all, though long enough" * 100)

    with pytest.raises(StateError, match="damaged") as caught:
        Database.open(tmp_path / "journal.db")

    assert "restore" in caught.value.advice


def test_anybody_elses_database(tmp_path: Path) -> None:
    """Another program's SQLite file is not taken for a journal, and is left as it was."""
    with sqlite3.connect(tmp_path / "journal.db") as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()

    with pytest.raises(StateError, match="is not a rackwave journal"):
        Database.open(tmp_path / "journal.db")


@pytest.mark.parametrize("opener", [Database.open, Database.reader])
def test_newer_schema(tmp_path: Path, opener: object) -> None:
    """A newer version's schema is refused, both for writing and for reading."""
    path = tmp_path / "journal.db"
    Database.open(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()

    with pytest.raises(StateError, match="schema 99"):
        opener(path)  # type: ignore[operator]  # one of the two above


def test_no_journal_to_read(tmp_path: Path) -> None:
    """Reading a journal that is not there is an error and makes no file."""
    with pytest.raises(StateError, match="no journal"):
        Database.reader(tmp_path / "journal.db")

    assert [] == list(tmp_path.iterdir())


def test_directory_not_writable(tmp_path: Path) -> None:
    """A state directory that cannot be made is told with its path."""
    (tmp_path / "file").write_text("")

    with pytest.raises(StateError, match="cannot be opened"):
        Database.open(tmp_path / "file" / "journal.db")


def test_failed_act_leaves_nothing_and_spoils_nobody(tmp_path: Path) -> None:
    """An act that raises is undone alone; its neighbours in the same commit stand."""
    database = Database.open(tmp_path / "journal.db")

    def insert(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO leases (node, token, heartbeat) VALUES ('n' || random(), 1, 0)")

    def insert_and_raise(connection: sqlite3.Connection) -> None:
        insert(connection)
        raise LookupError("mine")

    async def all_at_once() -> list[object]:
        acts = (insert, insert_and_raise, insert)
        return list(await asyncio.gather(*map(database.write, acts), return_exceptions=True))

    results = asyncio.run(all_at_once())

    assert [None, LookupError, None] == [r if r is None else type(r) for r in results]
    assert [(2,)] == database.read("SELECT count(*) FROM leases")
    database.close()


def test_full_disk(tmp_path: Path) -> None:
    """When the disk is full nothing is committed, the caller is told, and the next write works again."""
    database = Database.open(tmp_path / "journal.db")

    def limit(pages: int) -> None:
        async def run() -> None:
            await database.write(lambda c: c.execute(f"PRAGMA max_page_count={pages}").fetchone())

        asyncio.run(run())

    def insert(connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO events (at, kind, version, document) VALUES (0, 'X', '', ?)", ("x" * 1_000_000,)
        )

    async def write() -> None:
        await database.write(insert)

    limit(20)
    with pytest.raises(StateError, match="disk is full"):
        asyncio.run(write())
    limit(100_000)
    asyncio.run(write())

    assert [(1,)] == database.read("SELECT count(*) FROM events")
    database.close()


def test_closed(tmp_path: Path) -> None:
    """After close() writing and reading are refused; closing again is harmless."""
    database = Database.open(tmp_path / "journal.db")
    database.close()
    database.close()

    async def write() -> None:
        await database.write(lambda _: None)

    with pytest.raises(StateError, match="not open"):
        asyncio.run(write())
    with pytest.raises(StateError, match="closed"):
        database.read("SELECT 1")


def test_close_commits_what_is_queued(tmp_path: Path) -> None:
    """What was handed over before close() is on disk afterwards, though nobody waited for it."""
    database = Database.open(tmp_path / "journal.db")

    async def leave() -> None:
        waiting = asyncio.ensure_future(
            database.write(
                lambda c: c.execute("INSERT INTO leases (node, token, heartbeat) VALUES ('n', 1, 0)").rowcount
            )
        )
        await asyncio.sleep(0)
        database.close()
        await waiting

    asyncio.run(leave())
    reader = Database.reader(tmp_path / "journal.db")

    assert [("n",)] == reader.read("SELECT node FROM leases")

    reader.close()
