"""The fetch log: never too low a number, whatever crash tore it."""

import json
from pathlib import Path

import pytest

from rackwave.core.identity import AttemptId, Digest, NodeName
from rackwave.errors import StateError
from rackwave.ports import Fetch
from rackwave.serving.fetch_log import FetchLog
from rackwave.serving.fetches import FetchReader

_NODE, _ATTEMPT, _DIGEST = NodeName("n1"), AttemptId("abcd"), Digest("sha256:" + "a" * 64)


def _line(fetch: str, **more: object) -> dict[str, object]:
    return {"fetch": fetch, "node": _NODE, "attempt": _ATTEMPT, "digest": _DIGEST, "size": 100, **more}


def _fetched(path: Path) -> Fetch:
    return FetchReader(path).fetched(_NODE, _ATTEMPT, _DIGEST)


def test_nothing_yet(tmp_path: Path) -> None:
    """Without a log nothing was fetched, and nothing is complete."""
    fetch = _fetched(tmp_path / "fetches.log")

    assert Fetch(0, 0, 0) == fetch
    assert not fetch.complete


def test_begun_counts_in_full(tmp_path: Path) -> None:
    """A fetch without an end may have been whole."""
    FetchLog(tmp_path / "fetches.log").begin(_line("1", length=100))
    fetch = _fetched(tmp_path / "fetches.log")

    assert Fetch(1, 100, 100) == fetch
    assert fetch.complete


def test_ended_early(tmp_path: Path) -> None:
    """A fetch that broke off counts what was sent, and is not complete."""
    log = FetchLog(tmp_path / "fetches.log")
    log.begin(_line("1", length=100))
    log.end(_line("1", sent=40))
    fetch = _fetched(tmp_path / "fetches.log")

    assert Fetch(1, 40, 100) == fetch
    assert not fetch.complete


def test_pieces_add_up(tmp_path: Path) -> None:
    """Ranges of several requests make an image whole."""
    log = FetchLog(tmp_path / "fetches.log")
    for number in range(2):
        log.begin(_line(str(number), length=50))
        log.end(_line(str(number), sent=50))

    assert Fetch(2, 100, 100) == _fetched(tmp_path / "fetches.log")


@pytest.mark.parametrize("other", [{"node": "n2"}, {"attempt": "abce"}, {"digest": "sha256:" + "b" * 64}])
def test_others_do_not_count(tmp_path: Path, other: dict[str, str]) -> None:
    """What another node, attempt or image fetched is not ours."""
    FetchLog(tmp_path / "fetches.log").begin({**_line("1", length=100), **other})

    assert Fetch(0, 0, 0) == _fetched(tmp_path / "fetches.log")


def test_reading_on(tmp_path: Path) -> None:
    """One reader follows the log as it grows, also past a line that is half written."""
    path = tmp_path / "fetches.log"
    log, reader = FetchLog(path), FetchReader(path)
    log.begin(_line("1", length=100))
    first = reader.fetched(_NODE, _ATTEMPT, _DIGEST)
    text = json.dumps({"event": "ended", **_line("1", sent=7)}) + "\n"
    with path.open("a") as file:
        file.write(text[:30])
    second = reader.fetched(_NODE, _ATTEMPT, _DIGEST)
    with path.open("a") as file:
        file.write(text[30:])
    third = reader.fetched(_NODE, _ATTEMPT, _DIGEST)

    assert [100, 100, 7] == [first.sent, second.sent, third.sent]


def test_torn_line_swallows_nothing(tmp_path: Path) -> None:
    """After a crash in the middle of a line the next line starts on its own and is read."""
    path = tmp_path / "fetches.log"
    FetchLog(path).begin(_line("1", length=30))
    with path.open("a") as file:
        file.write('{"event":"begun","fe')
    FetchLog(path).begin(_line("2", length=30))

    assert Fetch(2, 60, 100) == _fetched(path)


def test_shortened_log(tmp_path: Path) -> None:
    """A log that lost lines is an error: "not fetched" would be a guess."""
    path = tmp_path / "fetches.log"
    FetchLog(path).begin(_line("1", length=30))
    reader = FetchReader(path)
    reader.fetched(_NODE, _ATTEMPT, _DIGEST)
    path.write_text("")

    with pytest.raises(StateError, match="shorter"):
        reader.fetched(_NODE, _ATTEMPT, _DIGEST)


def test_log_that_is_no_file(tmp_path: Path) -> None:
    """A log that cannot be read is an error."""
    (tmp_path / "fetches.log").mkdir()

    with pytest.raises(StateError, match="cannot be read"):
        _fetched(tmp_path / "fetches.log")
