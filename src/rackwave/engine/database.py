"""One SQLite file, written by one thread, with group commit.

The rules:

1. Every write is an *act* handed to the one writer thread. ``await database.write(act)`` returns
   after the commit that holds it, which is after the fsync (WAL, ``synchronous=FULL``).
2. Acts that queue up while a commit is being synced share the next commit, so the price of an fsync
   is split among all who wait. Order is the order of the calls.
3. An act that raises leaves nothing behind (each has its savepoint) and spoils nobody else's.
4. Readers are connections of their own. In WAL mode they neither wait for the writer nor hold it up.
5. Other processes may write to the same file; ``BEGIN IMMEDIATE`` puts them in a row.

A wait that is cancelled does not take its act back: it may be committed all the same.

``commits`` counts the commits that are safely on disk. A test that wants to know that an intent was
synced before the act compares it: the number seen inside the act is higher than the one before.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

from attrs import define

from ..errors import StateError
from .chain import fill
from .file_system import refuse_shared_file_system

T = TypeVar("T")
Act: TypeAlias = Callable[[sqlite3.Connection], T]
"""What is done within a transaction, on the writer thread."""

SCHEMA_VERSION = 2
"""1 had no chain; a journal of that schema gets one when it is opened for writing."""
APPLICATION_ID = 0x52574A31  # "RWJ1": tells our file from anybody else's SQLite file

_SCHEMA = """
CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    node TEXT,
    version TEXT NOT NULL,
    document TEXT NOT NULL,
    digest TEXT NOT NULL DEFAULT ''
);
CREATE INDEX events_by_node ON events (node, number) WHERE node IS NOT NULL;
CREATE TABLE leases (
    node TEXT PRIMARY KEY,
    token INTEGER NOT NULL,
    holder TEXT,
    holder_id TEXT,
    heartbeat REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX leases_by_holder ON leases (holder_id) WHERE holder_id IS NOT NULL;
"""

# How long a write may wait for another process's transaction: they take milliseconds, so that this
# much means a process that was stopped in the middle of one, or a disk that does not answer.
_BUSY_SECONDS = 30.0


@define(slots=True, eq=False)
class _Work(Generic[T]):
    """One act that waits for the writer, and who waits for it."""

    act: Act[T]
    future: asyncio.Future[T]
    result: T | None = None
    error: BaseException | None = None

    def tell(self) -> None:
        """Hand the outcome over, on the waiting loop."""
        if self.future.done():
            return  # cancelled meanwhile
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)  # type: ignore[arg-type]  # no error: it is a T


class Database:
    """The journal's file. Open one a process; any asyncio loop may write through it."""

    def __init__(self, path: Path, connection: sqlite3.Connection, *, read_only: bool) -> None:
        self.path = path
        self.read_only = read_only
        self.commits = 0
        self.held: dict[str, int] = {}
        """The leases that this process believes to hold: nodes and their tokens (leases.py)."""
        self._connection = connection
        self._reading = connection if read_only else _connect(path, read_only=True)
        self._queue: queue.SimpleQueue[_Work[Any] | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._closed = False
        self._thread: threading.Thread | None = None
        if not read_only:
            self._thread = threading.Thread(target=self._keep_writing, name="rackwave-journal", daemon=True)
            self._thread.start()

    @classmethod
    def open(cls, path: Path) -> Database:
        """Open *path* for writing; make it, readable by its owner alone, where there is none.

        Raises:
            StateError: it lies on a file system that other machines share, is damaged, is not ours,
                or was written by a newer rackwave.
        """
        refuse_shared_file_system(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise StateError(
                f"The journal {path} cannot be opened: {error.strerror}.",
                advice="Choose a state directory that you may write to.",
            ) from error
        connection = _connect(path, read_only=False)
        try:
            connection.execute("PRAGMA journal_mode=WAL").fetchone()
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("BEGIN IMMEDIATE")
            if _is_blank(connection):
                _create(connection)
            _check_schema(connection, path)
            _migrate(connection)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            connection.close()
            raise state_error(error, path) from error
        except StateError:
            connection.close()
            raise
        return cls(path, connection, read_only=False)

    @classmethod
    def reader(cls, path: Path) -> Database:
        """Open *path* for reading only, also while another process writes to it.

        Raises:
            StateError: there is none, or it cannot be used.
        """
        refuse_shared_file_system(path)
        if not path.is_file():
            raise StateError(
                f"There is no journal at {path}.", advice="Nothing was deployed from this state directory yet."
            )
        connection = _connect(path, read_only=True)
        try:
            _check_schema(connection, path)
        except sqlite3.Error as error:
            connection.close()
            raise state_error(error, path) from error
        except StateError:
            connection.close()
            raise
        return cls(path, connection, read_only=True)

    async def write(self, act: Act[T]) -> T:
        """Run *act* on the writer thread; return its result after the commit that holds it.

        Raises:
            StateError: nothing was committed: the disk is full, the file damaged or locked.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        with self._gate:
            if self._thread is None or self._closed:
                raise StateError(f"The journal {self.path} is not open for writing.")
            self._queue.put(_Work(act, future))
        return await future

    def read(self, statement: str, parameters: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """Run one SELECT on what is committed by now, by whichever process.

        It runs on the caller's thread, which may be the loop's: a row by its key takes some 10 µs and
        in WAL mode waits for no writer. Ask for few rows; page through many with ``LIMIT``.
        """
        with self._gate:
            if self._closed:
                raise StateError(f"The journal {self.path} is closed.")
            try:
                return self._reading.execute(statement, parameters).fetchall()
            except sqlite3.Error as error:
                raise state_error(error, self.path) from error

    def close(self) -> None:
        """Commit what is queued, then close. Waits for at most one commit; a second call does nothing."""
        with self._gate:
            if self._closed:
                return
            self._closed = True
            if self._thread is not None:
                self._queue.put(None)
        if self._thread is not None:
            self._thread.join()
        self._reading.close()
        self._connection.close()

    def _keep_writing(self) -> None:
        going_on = True
        while going_on:
            batch, going_on = self._take()
            if batch:
                self._commit(batch)
                _tell(batch)

    def _take(self) -> tuple[list[_Work[Any]], bool]:
        """Wait for work; return all there is, and whether more may come. Who waits bounds its size."""
        batch: list[_Work[Any]] = []
        work = self._queue.get()
        while work is not None:
            batch.append(work)
            try:
                work = self._queue.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False

    def _commit(self, batch: list[_Work[Any]]) -> None:
        """Run the acts of *batch* in one transaction. No exception leaves here: each goes to who waits."""
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            for work in batch:
                connection.execute("SAVEPOINT act")
                try:
                    work.result = work.act(connection)
                except sqlite3.Error:
                    raise
                except Exception as error:  # noqa: BLE001 - whatever an act raises belongs to its caller
                    connection.execute("ROLLBACK TO act")
                    work.error = error
                connection.execute("RELEASE act")
            connection.execute("COMMIT")
            self.commits += 1
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            for work in batch:
                work.error = work.error or state_error(error, self.path)


def _tell(batch: list[_Work[Any]]) -> None:
    """Wake who waits, with one wake-up a loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Work[Any]]] = {}
    for work in batch:
        by_loop.setdefault(work.future.get_loop(), []).append(work)
    for loop, works in by_loop.items():

        def tell_all(works: list[_Work[Any]] = works) -> None:
            for work in works:
                work.tell()

        with contextlib.suppress(RuntimeError):  # that loop was closed: nobody waits there any more
            loop.call_soon_threadsafe(tell_all)


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
    try:
        return sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise state_error(error, path) from error


def _is_blank(connection: sqlite3.Connection) -> bool:
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return bool(tables == 0 and version == 0)


def _create(connection: sqlite3.Connection) -> None:
    for statement in _SCHEMA.split(";"):
        if statement.strip():
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def _migrate(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version < SCHEMA_VERSION:
        connection.execute("ALTER TABLE events ADD COLUMN digest TEXT NOT NULL DEFAULT ''")
        fill(connection)
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def _check_schema(connection: sqlite3.Connection, path: Path) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise StateError(
            f"{path} is not a rackwave journal.",
            advice="Name another state directory; nothing in this one was changed.",
        )
    if version > SCHEMA_VERSION:
        raise StateError(
            f"The journal {path} has schema {version}; this rackwave knows schemas up to {SCHEMA_VERSION}.",
            advice="Use the newer rackwave that wrote it; nothing was changed.",
        )


def state_error(error: sqlite3.Error, path: Path) -> StateError:
    """Say what an SQLite error means to the operator."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StateError(
            f"The journal {path} has been locked by another process for {_BUSY_SECONDS:.0f} s.",
            advice="See which process has it open; nothing was written.",
        )
    if code == sqlite3.SQLITE_FULL:
        return StateError(
            f"The disk is full: the journal {path} could not be written.",
            advice="Free some space and run the same command again; it goes on from the journal.",
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StateError(
            f"The journal {path} is damaged: {error}.",
            advice="Move it aside together with its -wal and -shm files and restore it from a copy, or salvage it with "
            "'sqlite3 FILE .recover'. Without it nobody knows which writes were begun: look at every node first.",
        )
    return StateError(
        f"The journal {path} cannot be used: {error}.", advice="Check the directory's permissions and the disk."
    )
