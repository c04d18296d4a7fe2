"""Processes that tests start: each wait has an end, and who did not keep to it is killed and named."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from typing import Any, AnyStr


def to_its_end(process: subprocess.Popen[AnyStr], within: float = 120.0) -> tuple[AnyStr, AnyStr]:
    """Return what *process* said on its way to its end; None for what is no pipe."""
    try:
        return process.communicate(timeout=within)
    except subprocess.TimeoutExpired as late:
        process.kill()
        out, err = process.communicate(timeout=10)
        raise AssertionError(f"{_named(process)} did not end within {within:g} s: {out!r} {err!r}") from late


def said_until(
    process: subprocess.Popen[AnyStr], is_last: Callable[[AnyStr], bool], within: float = 60.0
) -> list[AnyStr]:
    """Return the lines that *process* prints, up to the one that *is_last*."""
    assert process.stdout is not None
    said: list[AnyStr] = []
    alarm = threading.Timer(within, process.kill)
    alarm.start()
    try:
        for line in process.stdout:
            said.append(line)
            if is_last(line):
                return said
    finally:
        alarm.cancel()
    raise AssertionError(f"{_named(process)} ended, or said nothing for {within:g} s; before that: {said!r}")


def _named(process: subprocess.Popen[Any]) -> str:
    return process.args if isinstance(process.args, str) else " ".join(map(str, process.args))  # type: ignore[arg-type]
