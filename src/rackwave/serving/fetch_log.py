"""The fetch log: what left the image server for whom, one JSON line each, durable before the first byte.

A fetch has two lines. ``begun`` is synced to disk before the answer starts; ``ended`` says how many
bytes were handed to the network. A ``begun`` without an ``ended`` (the process was killed, or is
still at it) counts as sent in full: whoever asks wants to know whether the BMC *can* hold the image,
and for that nothing but a number that is never too low will do. For the same reason an answer "304
not modified" counts as the whole image, since the BMC has it already, and bytes that wait in
the kernel's buffers (up to some MiB) count as sent.

No line holds a token. This is the writing end; it imports nothing but the standard library, since the
image server's process starts with it. ``fetches.py`` reads.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class FetchLog:
    """The writing end, in the image server's process."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        _sync_directory(path.parent)
        if os.fstat(self._file).st_size and not _ends_with_newline(path):
            os.write(self._file, b"\n")  # a crash tore the last line: it must not swallow the next

    def begin(self, line: dict[str, Any]) -> None:
        """Append *line* and sync it. Blocks for the fsync; call it from a thread."""
        self._append({"event": "begun", **line})
        os.fsync(self._file)

    def end(self, line: dict[str, Any]) -> None:
        """Append *line*. It is not synced: to lose it only makes the count too high."""
        self._append({"event": "ended", **line})

    def _append(self, line: dict[str, Any]) -> None:
        # One write of less than a page with O_APPEND: lines never mix.
        os.write(self._file, json.dumps(line, separators=(",", ":")).encode() + b"\n")


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
