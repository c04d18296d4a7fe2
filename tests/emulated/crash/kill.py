"""A process that is killed at a chosen point, on the real journal and the real wire, without a process to start.

Points are counted by what they are about (``r1n02 answered POST …SimpleUpdate``, the second time), never by their
place in the whole run, whose nodes take their turns in another order each time. There are

- before and after each entry that is written to the journal, and each lease;
- of each request to a BMC, over Redfish or IPMI: before it leaves, when the BMC has done it and its answer is not
  out yet, and when the answer is here and nothing has come of it.

A kill is an exception that nothing may catch; whoever catches it all the same, in a ``finally`` or in a task beside,
finds that neither journal nor BMC can be reached any more: a dead process says nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from attrs import evolve, frozen

from rackwave.bmc.ipmi.native import NativeLink
from rackwave.bmc.redfish.transport import Transport
from rackwave.engine.database import Database
from rackwave.engine.journal import SqliteJournal
from rackwave.engine.leases import Holder, Leases
from rackwave_emulators.ipmi.bmc import IpmiBmc
from rackwave_emulators.server import BmcServer
from rackwave_emulators.sim import Killed


@frozen(order=True)
class Point:
    """The *nth* time (from 0) that *name* comes up."""

    name: str
    nth: int

    def __str__(self) -> str:
        return f"{self.name} (#{self.nth})"


class Reaper:
    """Kills at one point, once."""

    def __init__(self, at: Point | None = None) -> None:
        self._at = at
        self._seen: Counter[str] = Counter()
        self.points: list[Point] = []
        """Every point so far that a living process came to."""
        self.points_lived: tuple[Point, ...] = ()
        """Those that the process which was killed came to, the last included."""
        self.struck = False
        self.death = asyncio.Event()
        self.connections: set[Transport] = set()
        """What the living had open."""

    @property
    def dead(self) -> bool:
        """Whether the process is dead now."""
        return self.death.is_set()

    def pass_by(self, name: str) -> None:
        """Come to a point. Raises Killed where the process is dead, or dies there."""
        if not self.dead:
            point = Point(name, self._seen[name])
            self._seen[name] += 1
            self.points.append(point)
            if point == self._at:
                self.struck = True
                self.points_lived = tuple(self.points)
                self.death.set()
        if self.dead:
            raise Killed(name)

    def witness(self, name: str) -> None:
        """Come to a point on the BMC's side: it goes on, whoever dies."""
        if not self.dead:
            with suppress(Killed):
                self.pass_by(name)

    def revive(self) -> None:
        """Let a new process live."""
        self.death.clear()


@contextmanager
def mortal(reaper: Callable[[], Reaper]) -> Iterator[None]:
    """Have every journal entry, lease and request pass by *reaper*."""
    append, write, acquire = SqliteJournal.append, Database.write, Leases.acquire
    request, upload, serve = Transport._request, Transport._upload, BmcServer._serve
    raw, login, run = NativeLink.raw, NativeLink.open, IpmiBmc._run
    here = Holder.here

    async def appended(self: SqliteJournal, *events: Any) -> Any:
        what = "append " + "+".join(f"{type(e).__name__} {getattr(e, 'node', '')}".strip() for e in events)
        reaper().pass_by(f"before {what}")
        recorded = await append(self, *events)
        reaper().pass_by(f"after {what}")
        return recorded

    async def written(self: Database, act: Any) -> Any:
        if reaper().dead:
            raise Killed("write")
        return await write(self, act)

    async def acquired(self: Leases, node: Any, holder: Any) -> Any:
        reaper().pass_by(f"before lease {node}")
        lease = await acquire(self, node, holder)
        reaper().pass_by(f"after lease {node}")
        return lease

    async def requested(self: Transport, method: str, uri: str, *args: Any, **named: Any) -> Any:
        reaper().connections.add(self)
        reaper().pass_by(f"{self.node} before {method} {uri}")
        answer = await request(self, method, uri, *args, **named)
        reaper().pass_by(f"{self.node} answered {method} {uri}")
        return answer

    async def uploaded(self: Transport, uri: str, *args: Any) -> Any:
        reaper().pass_by(f"{self.node} before upload {uri}")
        answer = await upload(self, uri, *args)
        reaper().pass_by(f"{self.node} answered upload {uri}")
        return answer

    async def served(self: BmcServer, asked: Any) -> Any:
        response = await serve(self, asked)
        reaper().witness(f"{self._station.name} accepted {asked.method} {asked.path}")
        return response

    def commanded(self: NativeLink, netfn: int, command: int, *args: Any, **named: Any) -> Any:
        what = f"IPMI {netfn:02X}h/{command:02X}h"
        reaper().pass_by(f"{self.node} before {what}")
        answer = raw(self, netfn, command, *args, **named)
        reaper().pass_by(f"{self.node} answered {what}")
        return answer

    def opened(self: NativeLink, credentials: Any) -> None:
        reaper().pass_by(f"{self.node} before IPMI login")
        login(self, credentials)
        reaper().pass_by(f"{self.node} answered IPMI login")

    def ran(self: IpmiBmc, message: Any, caller: Any) -> Any:
        answer = run(self, message, caller)
        reaper().witness(f"{self._node.name} accepted IPMI {message.netfn:02X}h/{message.command:02X}h")
        return answer

    with ExitStack() as stack:
        for owner, name, new in (
            (SqliteJournal, "append", appended),
            (Database, "write", written),
            (Leases, "acquire", acquired),
            (Transport, "_request", requested),
            (Transport, "_upload", uploaded),
            (BmcServer, "_serve", served),
            (NativeLink, "raw", commanded),
            (NativeLink, "open", opened),
            (IpmiBmc, "_run", ran),
            # Another process than any that lives: whoever comes next finds that this holder is dead.
            (Holder, "here", staticmethod(lambda: evolve(here(), started="0"))),
        ):
            stack.callback(setattr, owner, name, owner.__dict__[name])
            setattr(owner, name, new)
        yield
