"""Leases with fencing tokens: one deployment a node, whoever runs it.

The rules:

1. A node's token grows with every acquisition and is never used twice.
2. A lease is taken over only from a holder that is *provably dead* (same boot of the same kernel, and
   no such process any more) or whose heartbeat is staler than ``longest_deadline + slack``.
3. ``check`` comes just before every destructive request and reads the database. A heartbeat that has
   grown older than *slack* is renewed there first. So a request that leaves after a check has ended,
   by its own deadline, before rule 2 lets anybody else in, even if this process was stopped for hours
   between two turns.
4. BMCs know nothing of leases: who takes over starts in doubt (``Lease.taken_over``).
5. Who was overtaken writes nothing more about the node's deployment: journal entries look at the lease in
   their own transaction (journal.py). What it did late would otherwise be told as news of the other's work.

Heartbeats are dated by the clock's ``now()``. A clock that jumps ahead by more than rule 2's time can
make a live holder look stale until its next heartbeat; its next ``check`` then fails.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from ..core.identity import NodeName
from ..errors import LeaseError, StateError
from ..ports import Clock
from .database import Database


@frozen
class Holder:
    """A process that may hold leases, described so that another can tell whether it still lives."""

    id: str
    host: str
    boot: str
    pid_namespace: str
    pid: int
    started: str

    @classmethod
    def here(cls) -> Holder:
        """Describe this process. Every call is a holder of its own."""
        return cls(
            id=secrets.token_hex(8),
            host=socket.gethostname(),
            boot=_boot_id(),
            pid_namespace=_pid_namespace(),
            pid=os.getpid(),
            started=_start_time(os.getpid()) or "",
        )

    def is_dead(self) -> bool:
        """Whether the process is provably gone. False means that nobody knows.

        Proof needs the same boot and the same process namespace: a container that shares the volume
        sees other process ids, and another boot may be another machine.
        """
        if not self.boot or not self.started or not self.pid_namespace:
            return False
        if self.boot != _boot_id() or self.pid_namespace != _pid_namespace():
            return False
        found = _start_time(self.pid)
        return found is None or found not in ("", self.started)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@frozen
class Lease:
    """The right to act on *node*. *taken_over*: the holder before did not let go, so start in doubt."""

    node: NodeName
    token: int
    holder: Holder
    taken_over: bool = False


@frozen
class Held:
    """A lease as ``rackwave status`` shows it. *age* is how old the heartbeat is, in seconds."""

    node: NodeName
    token: int
    holder: Holder
    age: float
    dead: bool


class Leases:
    """The leases in a ``Database``.

    Args:
        database: Where they lie; one opened for reading can only tell who holds what.
        clock: Dates the heartbeats.
        longest_deadline: The longest that any destructive request may take, in seconds.
        slack: Room for clocks and scheduling; call ``heartbeat`` about every third of it.
    """

    def __init__(self, database: Database, *, clock: Clock, longest_deadline: float, slack: float = 30.0) -> None:
        self._database = database
        self._clock = clock
        self._slack = slack
        self._stale_after = longest_deadline + slack
        self._holders: set[str] = set()

    async def acquire(self, node: NodeName, holder: Holder) -> Lease:
        """Take the lease of *node*; returns once that is on disk.

        Raises:
            LeaseError: somebody holds it who may still be at work, or *holder* itself does.
        """
        document = json.dumps(asdict(holder), sort_keys=True)

        def act(connection: sqlite3.Connection) -> Lease:
            now = self._clock.now()
            row = connection.execute("SELECT token, holder, heartbeat FROM leases WHERE node = ?", (node,)).fetchone()
            token, before, heartbeat = row or (0, None, 0.0)
            if before is not None:
                self._refuse_if_alive(node, _holder(before), now - heartbeat, holder)
            connection.execute(
                "INSERT OR REPLACE INTO leases (node, token, holder, holder_id, heartbeat) VALUES (?, ?, ?, ?, ?)",
                (node, token + 1, document, holder.id, now),
            )
            return Lease(node, token + 1, holder, taken_over=before is not None)

        lease = await self._database.write(act)
        self._holders.add(holder.id)
        self._database.held[node] = lease.token
        return lease

    async def check(self, lease: Lease) -> None:
        """Make sure that *lease* still holds; costs one read by key, and a write where rule 3 asks for it.

        Raises:
            LeaseError: it was released or taken over: send nothing more to this node.
        """
        rows = self._database.read("SELECT token, holder, heartbeat FROM leases WHERE node = ?", (lease.node,))
        token, holder, heartbeat = rows[0] if rows else (0, None, 0.0)
        if token != lease.token or holder is None:
            raise _fenced(lease, holder if token != lease.token else None)
        if self._clock.now() - heartbeat > self._slack:
            await self._database.write(lambda connection: self._renew(connection, lease))

    async def heartbeat(self) -> None:
        """Renew every lease that was acquired here; those lost meanwhile stay lost and ``check`` says so."""
        holders = tuple(self._holders)
        if not holders:
            return

        def act(connection: sqlite3.Connection) -> None:
            now = self._clock.now()
            connection.executemany(
                "UPDATE leases SET heartbeat = ? WHERE holder_id = ?", [(now, holder) for holder in holders]
            )

        await self._database.write(act)

    async def release(self, lease: Lease) -> None:
        """Let go of *lease*; one that is lost already is left to who has it."""
        if self._database.held.get(lease.node) == lease.token:
            del self._database.held[lease.node]
        await self._database.write(
            lambda connection: (
                connection.execute(
                    "UPDATE leases SET holder = NULL, holder_id = NULL WHERE node = ? AND token = ?",
                    (lease.node, lease.token),
                ).rowcount
            )
        )

    def holders(self) -> tuple[Held, ...]:
        """Return every lease that is held now, by whichever process, by node name."""
        now = self._clock.now()
        rows = self._database.read(
            "SELECT node, token, holder, heartbeat FROM leases WHERE holder IS NOT NULL ORDER BY node"
        )
        found = []
        for node, token, document, heartbeat in rows:
            holder = _holder(document)
            found.append(Held(NodeName(node), token, holder, max(0.0, now - heartbeat), holder.is_dead()))
        return tuple(found)

    def _refuse_if_alive(self, node: NodeName, before: Holder, age: float, holder: Holder) -> None:
        if before.id == holder.id:
            raise LeaseError(
                f"{node} is being worked on already, by this very process.", advice="Wait until that deployment ends."
            )
        if age <= self._stale_after and not before.is_dead():
            raise LeaseError(
                f"{node} is held by {before}, last heard of {max(0.0, age):.0f} s ago.",
                advice=f"Wait for it to end. If that process hangs, end it; should its machine be gone, the lease "
                f"runs out {self._stale_after:.0f} s after it was last heard of.",
            )

    def _renew(self, connection: sqlite3.Connection, lease: Lease) -> None:
        renewed = connection.execute(
            "UPDATE leases SET heartbeat = ? WHERE node = ? AND token = ? AND holder IS NOT NULL",
            (self._clock.now(), lease.node, lease.token),
        ).rowcount
        if not renewed:
            raise _fenced(lease, None)


def refuse_overtaken(connection: sqlite3.Connection, held: Mapping[str, int], nodes: Iterable[str]) -> None:
    """Within a transaction, make sure that the leases in *held* of *nodes* are still ours (rule 5).

    Raises:
        LeaseError: somebody else has one of them.
    """
    for node in nodes:
        token = held.get(node)
        if token is None:
            continue
        row = connection.execute("SELECT token, holder FROM leases WHERE node = ?", (node,)).fetchone()
        if row is None or row[0] != token:
            raise _overtaken(node, token, row[1] if row is not None else None)


def _fenced(lease: Lease, by: str | None) -> LeaseError:
    return _overtaken(lease.node, lease.token, by)


def _overtaken(node: str, token: int, by: str | None) -> LeaseError:
    who = f" by {_holder(by)}" if by is not None else ""
    return LeaseError(
        f"The lease of {node} (token {token}) was released or taken over{who}: nothing more is sent to it.",
        advice="See who holds it with 'rackwave status', and run the command again once that has ended.",
    )


def _holder(document: str) -> Holder:
    try:
        fields: dict[str, Any] = json.loads(document)
        return Holder(**fields)
    except (ValueError, TypeError) as error:
        raise StateError(
            f"A lease in the journal cannot be read: {error}.", advice="The journal is damaged, or a newer version's."
        ) from error


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""  # not Linux: death cannot be proven, staleness decides


def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - the link's text is the namespace, not a path
    except OSError:
        return ""


def _start_time(pid: int) -> str | None:
    """When process *pid* started, in clock ticks since boot; None where it is gone, "" where that cannot be seen.

    ``/proc`` may hide the processes of other users (hidepid), so that it alone proves nobody dead.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # it lives, and is another user's
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()  # the name before may hold spaces and brackets; proc(5)
    return None if fields[0] in "ZX" else fields[19]  # a zombie sends nothing any more
