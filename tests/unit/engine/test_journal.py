"""The journal: what append() returned for is there, in order, whoever is killed."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rackwave.core.event import Quarantined, Recorded, SessionOpened, WaveStarted
from rackwave.core.identity import NodeName, RolloutId
from rackwave.engine.journal import SqliteJournal
from rackwave.engine.leases import Holder, Leases
from rackwave.errors import LeaseError, StateError


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


def _event(node: str, uri: str = "/s/1") -> SessionOpened:
    return SessionOpened(NodeName(node), uri)


def test_append_and_read(tmp_path: Path) -> None:
    """Events come back in order with their numbers and the clock's time."""
    journal = SqliteJournal.open(tmp_path / "journal.db", clock=FixedClock(1234.5))
    recorded = asyncio.run(journal.append(_event("n1"), WaveStarted(RolloutId("abcd"), 0)))

    assert (Recorded(1, 1234.5, _event("n1")), Recorded(2, 1234.5, WaveStarted(RolloutId("abcd"), 0))) == recorded
    assert recorded == tuple(journal.events())
    assert 2 == journal.last_number()
    journal.close()


def test_selecting(tmp_path: Path) -> None:
    """One can read on from a number, and read one node alone."""

    async def fill(journal: SqliteJournal) -> None:
        for number in range(6):
            await journal.append(_event(f"n{number % 2}", f"/{number}"))

    journal = SqliteJournal.open(tmp_path / "journal.db", clock=FixedClock())
    asyncio.run(fill(journal))

    assert [5, 6] == [recorded.number for recorded in journal.events(after=4)]
    assert [2, 4, 6] == [recorded.number for recorded in journal.events(node=NodeName("n1"))]
    assert [4, 6] == [recorded.number for recorded in journal.events(after=2, node=NodeName("n1"))]
    assert [] == list(journal.events(after=6))
    journal.close()


def test_long_journal_is_paged(tmp_path: Path) -> None:
    """More events than one page holds are all read, once each."""
    journal = SqliteJournal.open(tmp_path / "journal.db", clock=FixedClock())
    asyncio.run(journal.append(*(_event("n", f"/{number}") for number in range(2500))))

    assert list(range(1, 2501)) == [recorded.number for recorded in journal.events()]
    journal.close()


def test_group_commit(tmp_path: Path) -> None:
    """A hundred callers at once share a few commits, and each returns after the one that holds its event."""
    journal = SqliteJournal.open(tmp_path / "journal.db", clock=FixedClock())

    async def one(number: int) -> bool:
        (recorded,) = await journal.append(_event("n", f"/{number}"))
        return bool(journal.database.read("SELECT 1 FROM events WHERE number = ?", (recorded.number,)))

    async def all_at_once() -> list[bool]:
        return await asyncio.gather(*(one(number) for number in range(100)))

    assert [True] * 100 == asyncio.run(all_at_once())
    assert 1 <= journal.database.commits <= 50
    journal.close()


def test_committed_before_append_returns(tmp_path: Path) -> None:
    """The commit count has grown by the time append() returns: what follows comes after the fsync."""
    journal = SqliteJournal.open(tmp_path / "journal.db", clock=FixedClock())

    async def intent_then_act() -> tuple[int, int]:
        before = journal.database.commits
        await journal.append(_event("n"))
        return before, journal.database.commits

    assert (0, 1) == asyncio.run(intent_then_act())
    journal.close()


def test_order_of_calls(tmp_path: Path) -> None:
    """Events are numbered in the order of the calls, though nobody waited in between."""
    journal = SqliteJournal.open(tmp_path / "journal.db", clock=FixedClock())

    async def all_at_once() -> None:
        await asyncio.gather(*(journal.append(_event("n", f"/{number}")) for number in range(50)))

    asyncio.run(all_at_once())

    assert [f"/{number}" for number in range(50)] == [
        r.event.uri for r in journal.events() if isinstance(r.event, SessionOpened)
    ]
    journal.close()


def test_several_loops(tmp_path: Path) -> None:
    """One journal serves one loop after another."""
    journal = SqliteJournal.open(tmp_path / "journal.db", clock=FixedClock())
    asyncio.run(journal.append(_event("n")))
    asyncio.run(journal.append(_event("n")))

    assert 2 == journal.last_number()
    journal.close()


def test_reader_sees_a_running_writer(tmp_path: Path) -> None:
    """A reader sees what is committed while the writer goes on, and cannot write."""
    journal = SqliteJournal.open(tmp_path / "journal.db", clock=FixedClock())
    asyncio.run(journal.append(_event("n1")))
    reader = SqliteJournal.reader(tmp_path / "journal.db")
    asyncio.run(journal.append(_event("n2")))

    assert [NodeName("n1"), NodeName("n2")] == [
        r.event.node for r in reader.events() if isinstance(r.event, SessionOpened)
    ]
    with pytest.raises(StateError, match="reading only"):
        asyncio.run(reader.append(_event("n3")))
    reader.close()
    journal.close()


def test_reader_after_a_clean_end(tmp_path: Path) -> None:
    """A journal that was closed cleanly can be read without a writer."""
    journal = SqliteJournal.open(tmp_path / "journal.db", clock=FixedClock())
    asyncio.run(journal.append(_event("n1")))
    journal.close()
    reader = SqliteJournal.reader(tmp_path / "journal.db")

    assert 1 == len(list(reader.events()))
    reader.close()


def test_unknown_kind(tmp_path: Path) -> None:
    """An event of a newer version is a StateError that names the version."""
    journal = SqliteJournal.open(tmp_path / "journal.db", clock=FixedClock())

    async def write() -> None:
        await journal.database.write(
            lambda c: (
                c.execute(
                    "INSERT INTO events (at, kind, version, document) VALUES (0, 'Teleported', '9.9', '{}')"
                ).rowcount
            )
        )

    asyncio.run(write())

    with pytest.raises(StateError, match=r"9\.9"):
        list(journal.events())
    journal.close()


def test_damaged_document(tmp_path: Path) -> None:
    """A document that is no JSON is told with the event's number."""
    journal = SqliteJournal.open(tmp_path / "journal.db", clock=FixedClock())

    async def write() -> None:
        await journal.database.write(
            lambda c: (
                c.execute(
                    "INSERT INTO events (at, kind, version, document) VALUES (0, 'Quarantined', '1', '{')"
                ).rowcount
            )
        )

    asyncio.run(write())

    with pytest.raises(StateError, match="Event 1"):
        list(journal.events())
    journal.close()


def test_damaged_page(tmp_path: Path) -> None:
    """Bytes flipped within the file are told as damage while reading."""
    path = tmp_path / "journal.db"
    journal = SqliteJournal.open(path, clock=FixedClock())
    asyncio.run(journal.append(*(Quarantined(NodeName("n"), ("x" * 500,)) for _ in range(200))))
    journal.close()
    raw = bytearray(path.read_bytes())
    raw[5 * 4096 : 30 * 4096] = b"\xa5" * (25 * 4096)
    path.write_bytes(raw)

    reader = SqliteJournal.reader(path)
    with pytest.raises(StateError, match="damaged"):
        list(reader.events())
    reader.close()


def test_who_was_overtaken_tells_no_more_of_a_node(tmp_path: Path) -> None:
    """News of a node whose lease is another's by now, or of its rollout, are refused; what is true anyway is kept."""
    clock, node = FixedClock(), NodeName("n1")
    first, second = (SqliteJournal.open(tmp_path / "journal.db", clock=clock) for _ in range(2))

    async def take(journal: SqliteJournal) -> None:
        leases = Leases(journal.database, clock=clock, longest_deadline=1.0, slack=1.0)
        await leases.acquire(node, Holder.here())

    asyncio.run(take(first))
    asyncio.run(first.append(Quarantined(node, ("before",))))
    clock.at += 60.0
    asyncio.run(take(second))

    for event in (Quarantined(node, ("late",)), WaveStarted(RolloutId("abcd"), 0)):
        with pytest.raises(LeaseError, match="taken over"):
            asyncio.run(first.append(event))
    asyncio.run(first.append(_event("n1")))
    asyncio.run(first.append(Quarantined(NodeName("n2"), ("not ours to begin with",))))
    asyncio.run(second.append(Quarantined(node, ("by the new holder",))))

    assert [1, 2, 3, 4] == [recorded.number for recorded in second.events()]
    first.close()
    second.close()


@pytest.mark.parametrize("number", [1, 3, 5])
def test_missing_event(tmp_path: Path, number: int) -> None:
    """An event that is gone, be it the last, is told: what it said may be an intent to write."""
    journal = SqliteJournal.open(tmp_path / "journal.db", clock=FixedClock())

    async def write() -> None:
        await journal.append(*(_event("n", f"/{each}") for each in range(5)))
        await journal.database.write(lambda c: c.execute("DELETE FROM events WHERE number = ?", (number,)).rowcount)

    asyncio.run(write())

    with pytest.raises(StateError, match=f"event {number}"):
        list(journal.events())
    journal.close()


_CHILD = """
import asyncio, sys
from pathlib import Path
from rackwave.core.event import SessionOpened
from rackwave.core.identity import NodeName
from rackwave.engine.journal import SqliteJournal

class Clock:
    now = monotonic = staticmethod(lambda: 1.0)

async def one(journal, task):
    for number in range(100_000):
        await journal.append(SessionOpened(NodeName(f"n{task}"), f"/{number}"))
        print(task, number, flush=True)

async def main():
    journal = SqliteJournal.open(Path(sys.argv[1]), clock=Clock())
    await asyncio.gather(*(one(journal, task) for task in range(4)))

asyncio.run(main())
"""


@pytest.mark.parametrize("lines", [1, 50, 400])
def test_kill_nine(tmp_path: Path, lines: int) -> None:
    """Whatever append() returned for is in the journal after a kill -9, each task's in order and without gaps."""
    path = tmp_path / "journal.db"
    with subprocess.Popen([sys.executable, "-c", _CHILD, str(path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        told = [child.stdout.readline() for _ in range(lines)]
        child.send_signal(signal.SIGKILL)
        told += child.stdout.read().splitlines(keepends=True)
    promised = {tuple(line.split()) for line in told if line.endswith("\n")}

    reader = SqliteJournal.reader(path)  # `rackwave status` after a crash, before anybody recovers the file
    seen = list(reader.events())
    reader.close()
    journal = SqliteJournal.open(path, clock=FixedClock())
    kept: dict[str, list[str]] = {}
    for recorded in journal.events():
        assert isinstance(recorded.event, SessionOpened)
        kept.setdefault(recorded.event.node[1:], []).append(recorded.event.uri[1:])
    assert seen == list(journal.events())
    journal.close()

    assert promised <= {(task, number) for task, numbers in kept.items() for number in numbers}
    assert len(promised) >= lines
    for numbers in kept.values():
        assert [str(number) for number in range(len(numbers))] == numbers
