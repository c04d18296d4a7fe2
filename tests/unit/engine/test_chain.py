"""Nobody changes the journal's past unnoticed."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwave.core.event import SessionOpened
from rackwave.core.identity import NodeName
from rackwave.engine.chain import ORIGIN, Head
from rackwave.engine.journal import SqliteJournal
from rackwave.errors import StateError, UsageError


class Clock:
    """A clock whose seconds have fractions that no decimal writes exactly."""

    def __init__(self) -> None:
        self.at = 1_700_000_000.1

    def now(self) -> float:
        self.at += 1 / 3
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


def write(path: Path, *uris: str) -> None:
    """Append one event for each of *uris*, in two acts."""

    async def fill(journal: SqliteJournal) -> None:
        for part in (uris[: len(uris) // 2], uris[len(uris) // 2 :]):
            await journal.append(*(SessionOpened(NodeName("n1"), uri) for uri in part))

    journal = SqliteJournal.open(path, clock=Clock())
    asyncio.run(fill(journal))
    journal.close()


def verified(path: Path, noted: Head | None = None) -> Head:
    """The head of the journal at *path*."""
    journal = SqliteJournal.reader(path)
    try:
        return journal.verify(noted)
    finally:
        journal.close()


def meddle(path: Path, *statements: str) -> None:
    """Change the file with another tool."""
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_the_chain_grows_with_the_journal_and_keeps_every_head(tmp_path: Path) -> None:
    """Each head that was ever noted still lies on it."""
    path, heads = tmp_path / "journal", []
    for uri in ("/a", "/ü", "/c"):
        write(path, uri, uri)
        heads.append(verified(path))

    assert [2, 4, 6] == [head.number for head in heads]
    assert all(heads[-1] == verified(path, Head.parse(str(head))) for head in heads)
    assert heads[-1] == verified(path, Head(0, ORIGIN))


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE events SET document = replace(document, '/2', '/9') WHERE number = 3", "event 3: it is not as"),
        ("UPDATE events SET at = at + 0.001 WHERE number = 2", "event 2: it is not as"),
        ("UPDATE events SET node = 'n2' WHERE number = 1", "event 1: it is not as"),
        ("DELETE FROM events WHERE number = 3", "event 3: it is missing"),
        ("UPDATE events SET digest = lower(hex(randomblob(32))) WHERE number = 5", "event 5: it is not as"),
    ],
)
def test_a_change_is_told_by_the_first_event_that_it_concerns(tmp_path: Path, statement: str, words: str) -> None:
    """Content, date, node and the digests themselves are all covered."""
    path = tmp_path / "journal"
    write(path, *(f"/{number}" for number in range(6)))
    meddle(path, statement)

    with pytest.raises(StateError, match=words):
        verified(path)


def test_a_journal_that_was_cut_off_or_written_anew_is_caught_by_a_head_that_was_noted(tmp_path: Path) -> None:
    """Within itself such a journal is whole; only what was noted elsewhere tells."""
    path, other = tmp_path / "journal", tmp_path / "other"
    write(path, "/a", "/b", "/c", "/d")
    noted = verified(path)
    meddle(path, "DELETE FROM events WHERE number > 2", "UPDATE sqlite_sequence SET seq = 2")
    write(other, "/a", "/b", "/x", "/d", "/e")

    assert 2 == verified(path).number
    with pytest.raises(StateError, match="ends at event 2, and 4 had been written"):
        verified(path, noted)
    with pytest.raises(StateError, match="not by the digest that was noted"):
        verified(other, noted)


def test_nothing_is_added_to_a_journal_whose_end_is_gone(tmp_path: Path) -> None:
    """A new event would cover the hole with a chain that looks whole."""
    path = tmp_path / "journal"
    write(path, "/a", "/b")
    meddle(path, "DELETE FROM events WHERE number = 2")

    with pytest.raises(StateError, match="event 2 is missing"):
        write(path, "/c", "/d")


def test_a_journal_without_a_chain_gets_one_and_keeps_what_it_says(tmp_path: Path) -> None:
    """A journal of the first schema is sealed as it is found, by the first who opens it for writing."""
    path = tmp_path / "journal"
    write(path, "/a", "/b", "/c")
    before = verified(path)
    meddle(path, "ALTER TABLE events DROP COLUMN digest", "PRAGMA user_version=1")
    reader = SqliteJournal.reader(path)
    assert 3 == len(list(reader.events()))
    with pytest.raises(StateError, match="no chain yet"):
        reader.verify()
    reader.close()

    write(path)

    assert before == verified(path)


@settings(deadline=None, max_examples=40)
@given(st.text() | st.from_regex(r"[0-9]{1,3}:[0-9a-f]{63,65}", fullmatch=True))
def test_a_head_is_read_as_it_was_noted_or_refused(text: str) -> None:
    """A typing error is a sentence, never another head."""
    with suppress(UsageError):
        head = Head.parse(text)
        assert (head.number, head.digest) == (int(text.strip().split(":")[0]), text.strip().split(":")[1])
