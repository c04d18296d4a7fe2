"""Leases: one holder a node, fencing tokens that only grow, takeovers that are safe."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from rackwave.core.identity import NodeName
from rackwave.engine.database import Database
from rackwave.engine.leases import Holder, Lease, Leases
from rackwave.errors import LeaseError

_NODE = NodeName("r1n01")


class FixedClock:
    """A clock that stands where it was put."""

    def __init__(self, at: float = 1000.0) -> None:
        self.at = at

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An open database."""
    database = Database.open(tmp_path / "journal.db")
    yield database
    database.close()


def _leases(database: Database, clock: FixedClock) -> Leases:
    return Leases(database, clock=clock, longest_deadline=60.0, slack=30.0)


def _acquire(leases: Leases, holder: Holder) -> Lease:
    return asyncio.run(leases.acquire(_NODE, holder))


def test_acquire_and_check(database: Database) -> None:
    """A fresh lease has the first token, is not a takeover and passes the check."""
    leases = _leases(database, FixedClock())
    holder = Holder.here()
    lease = _acquire(leases, holder)
    asyncio.run(leases.check(lease))

    assert Lease(_NODE, 1, holder, taken_over=False) == lease


def test_tokens_only_grow(database: Database) -> None:
    """Every acquisition has a higher token, also after a release."""
    leases = _leases(database, FixedClock())
    tokens = []
    for _ in range(3):
        lease = _acquire(leases, Holder.here())
        tokens.append(lease.token)
        asyncio.run(leases.release(lease))

    assert [1, 2, 3] == tokens
    assert () == leases.holders()


def test_released_lease_is_no_takeover(database: Database) -> None:
    """After a cooperative release the next holder does not start in doubt."""
    leases = _leases(database, FixedClock())
    asyncio.run(leases.release(_acquire(leases, Holder.here())))

    assert not _acquire(leases, Holder.here()).taken_over


def test_live_holder_is_refused_to_others(database: Database) -> None:
    """A live holder with a fresh heartbeat keeps its node, and the message names it."""
    leases = _leases(database, FixedClock())
    _acquire(leases, Holder.here())

    with pytest.raises(LeaseError, match=f"process {os.getpid()}"):
        _acquire(leases, Holder.here())


def test_same_holder_twice(database: Database) -> None:
    """A holder cannot take a node that it has: two tasks of one process would work on it."""
    leases = _leases(database, FixedClock())
    holder = Holder.here()
    _acquire(leases, holder)

    with pytest.raises(LeaseError, match="this very process"):
        _acquire(leases, holder)


@pytest.mark.parametrize(("age", "taken"), [(0.0, False), (89.9, False), (90.0, False), (90.1, True)])
def test_stale_heartbeat(database: Database, age: float, taken: bool) -> None:
    """A holder that may live loses its node only when silent for longer than the deadline and slack together."""
    clock = FixedClock()
    leases = _leases(database, clock)
    _acquire(leases, Holder.here())
    clock.at += age

    if taken:
        assert _acquire(leases, Holder.here()).taken_over
    else:
        with pytest.raises(LeaseError):
            _acquire(leases, Holder.here())


def test_heartbeat_keeps_every_lease(database: Database) -> None:
    """One heartbeat renews all that were acquired here, and nothing of others."""
    clock = FixedClock()
    mine, theirs = _leases(database, clock), _leases(database, clock)
    holder = Holder.here()

    async def acquire() -> None:
        await mine.acquire(NodeName("a"), holder)
        await mine.acquire(NodeName("b"), holder)
        await theirs.acquire(NodeName("c"), Holder.here())

    asyncio.run(acquire())
    clock.at += 20
    asyncio.run(mine.heartbeat())

    assert [("a", 0.0), ("b", 0.0), ("c", 20.0)] == [(held.node, held.age) for held in mine.holders()]


def test_fenced_holder_is_told(database: Database) -> None:
    """After a takeover the old lease fails its check, with the new holder in the message, and cannot be released."""
    clock = FixedClock()
    leases = _leases(database, clock)
    old = _acquire(leases, Holder.here())
    clock.at += 1000
    new = _acquire(leases, Holder.here())
    asyncio.run(leases.release(old))

    with pytest.raises(LeaseError, match="taken over by process"):
        asyncio.run(leases.check(old))
    asyncio.run(leases.check(new))


def test_released_lease_fails_its_check(database: Database) -> None:
    """A lease that was let go is no right to act."""
    leases = _leases(database, FixedClock())
    lease = _acquire(leases, Holder.here())
    asyncio.run(leases.release(lease))

    with pytest.raises(LeaseError):
        asyncio.run(leases.check(lease))


def test_check_renews_an_old_heartbeat(database: Database) -> None:
    """A check after a long stop renews first, so that nobody can take over while the request runs."""
    clock = FixedClock()
    leases = _leases(database, clock)
    lease = _acquire(leases, Holder.here())
    clock.at += 85  # 5 s before anybody may take over, and the request may last 60 s
    asyncio.run(leases.check(lease))
    clock.at += 60

    with pytest.raises(LeaseError):
        _acquire(leases, Holder.here())


def test_check_is_cheap_while_fresh(database: Database) -> None:
    """A check within the slack writes nothing."""
    clock = FixedClock()
    leases = _leases(database, clock)
    lease = _acquire(leases, Holder.here())
    clock.at += 30
    before = database.commits
    asyncio.run(leases.check(lease))

    assert before == database.commits


def test_dead_process_is_taken_over_at_once(database: Database) -> None:
    """A holder that was killed gives way at once, even while it is a zombie, and the new one starts in doubt."""
    code = (
        "import json, sys, attrs\nfrom rackwave.engine.leases import Holder\n"
        "print(json.dumps(attrs.asdict(Holder.here())), flush=True)\nsys.stdin.read()"
    )
    leases = _leases(database, FixedClock())
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        holder = Holder(**json.loads(child.stdout.readline()))
        first = _acquire(leases, holder)
        with pytest.raises(LeaseError):
            _acquire(leases, Holder.here())
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, but not reaped
        dead_as_zombie = holder.is_dead()
    second = _acquire(leases, Holder.here())

    assert dead_as_zombie
    assert (first.token + 1, True) == (second.token, second.taken_over)


@pytest.mark.parametrize(
    ("changes", "dead"),
    [
        ({}, False),
        ({"started": "1"}, True),  # the pid was given to another process
        ({"boot": "another"}, False),  # another boot may be another machine
        ({"boot": "another", "started": "1"}, False),
        ({"pid_namespace": "pid:[1]", "started": "1"}, False),  # another container's pids
        ({"started": ""}, False),
    ],
)
def test_proof_of_death(changes: dict[str, str], dead: bool) -> None:
    """Only the same boot and process namespace prove a process dead."""
    assert dead is attrs.evolve(Holder.here(), **changes).is_dead()  # type: ignore[arg-type]  # text fields only


def test_holders_tell_the_dead(database: Database) -> None:
    """The listing shows who holds what and which holder is provably dead."""
    leases = _leases(database, FixedClock())
    asyncio.run(leases.acquire(NodeName("b"), attrs.evolve(Holder.here(), started="1")))
    asyncio.run(leases.acquire(NodeName("a"), Holder.here()))

    assert [("a", 1, False), ("b", 1, True)] == [(held.node, held.token, held.dead) for held in leases.holders()]


_RACER = """
import asyncio, sys, time
from pathlib import Path
from rackwave.core.identity import NodeName
from rackwave.engine.database import Database
from rackwave.engine.leases import Holder, Leases
from rackwave.errors import LeaseError

class Clock:
    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

async def main():
    leases = Leases(Database.open(Path(sys.argv[1])), clock=Clock(), longest_deadline=60, slack=30)
    holder = Holder.here()
    print("ready", flush=True)
    sys.stdin.readline()
    won = []
    for number in range(20):
        try:
            won.append((await leases.acquire(NodeName(f"n{number}"), holder)).node)
        except LeaseError:
            pass
    print(*won, flush=True)
    sys.stdin.readline()

asyncio.run(main())
"""


def test_race_of_two_processes(tmp_path: Path) -> None:
    """When two processes go for the same nodes at once, each node has exactly one winner."""
    path = tmp_path / "journal.db"
    Database.open(path).close()
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", _RACER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    won: list[str] = []
    for racer in racers:
        assert racer.stdout is not None
        assert "ready\n" == racer.stdout.readline()
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        assert racer.stdout is not None
        won += racer.stdout.readline().split()
    for racer in racers:
        racer.communicate("end\n")

    assert sorted(f"n{number}" for number in range(20)) == sorted(won)
