"""What was fetched: the reading end of the fetch log. ``fetch_log.py`` says what its lines mean."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import TypeAlias

from attrs import define, field

from ..core.identity import AttemptId, Digest, NodeName
from ..errors import StateError
from ..ports import Fetch

_Key: TypeAlias = tuple[str, str, str]


@define
class _Seen:
    size: int = 0
    requests: int = 0
    ended: int = 0
    open: dict[str, int] = field(factory=dict)


class FetchReader:
    """Reads the log. It remembers how far it read, so that asking often costs what is new."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._seen: dict[_Key, _Seen] = {}
        self._lock = threading.Lock()

    def fetched(self, node: NodeName, attempt: AttemptId, digest: Digest) -> Fetch:
        """Read what is new and sum up what this attempt fetched; *size* is 0 where nothing was.

        Raises:
            StateError: the log cannot be read, so that nobody knows.
        """
        with self._lock:
            self._read_on()
            seen = self._seen.get((str(node), str(attempt), str(digest)), _Seen())
            return Fetch(requests=seen.requests, sent=seen.ended + sum(seen.open.values()), size=seen.size)

    def _read_on(self) -> None:
        try:
            with self._path.open("rb") as file:
                if self._offset > os.fstat(file.fileno()).st_size:
                    raise StateError(
                        f"The fetch log {self._path} has become shorter: what BMCs fetched is not known any more.",
                        advice="Nothing but rackwave may touch its state directory. Look at nodes in doubt by hand.",
                    )
                file.seek(self._offset)
                new = file.read()
        except FileNotFoundError:
            return  # nothing was ever served from this state directory
        except OSError as error:
            raise StateError(f"The fetch log {self._path} cannot be read: {error.strerror}.") from error
        whole = new[: new.rfind(b"\n") + 1]  # a line that is still being written is read the next time
        for line in whole.splitlines():
            self._note(line)
        self._offset += len(whole)

    def _note(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
            key = (entry["node"], entry["attempt"], entry["digest"])
            fetch, event = str(entry["fetch"]), entry["event"]
            amount = int(entry["length"] if event == "begun" else entry["sent"])
            size = int(entry["size"])
        except (ValueError, KeyError, TypeError):
            return  # torn by a crash before its sync returned: no byte of that fetch was sent
        seen = self._seen.setdefault(key, _Seen())
        seen.size = size
        if event == "begun":
            seen.requests += 1
            seen.open[fetch] = amount
        elif fetch in seen.open:
            del seen.open[fetch]
            seen.ended += amount
