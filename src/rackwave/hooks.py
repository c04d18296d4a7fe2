"""Run a command of the operator's: no shell, a deadline, bounded output, nothing left running."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress

from attrs import frozen

from .errors import HookError

MOST_OUTPUT = 1024 * 1024
"""Bytes of standard output that are read: ``squeue`` and ``kubectl`` of one node stay far below."""


@frozen
class Ran:
    """How a command ended: its exit code, and what it printed (cut off at `MOST_OUTPUT`)."""

    code: int
    output: str
    complaint: str

    @property
    def words(self) -> str:
        """The first line that it printed on standard error or output, for a message."""
        lines = (self.complaint.strip() or self.output.strip()).splitlines()
        return lines[0][:200] if lines else ""


async def run_hook(argv: Sequence[str], *, timeout: float, given: bytes | None = None) -> Ran:
    """Run *argv* and wait for its end, *timeout* real seconds at most; then it and its children are killed.

    *given* is what it can read from its standard input.

    Raises:
        HookError: it could not be started, or did not end in time.
    """
    try:
        child = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL if given is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise HookError(
            f"{argv[0]} could not be started: {error}", advice="Look at the command in the inventory.", started=False
        ) from error
    assert child.stdout is not None  # noqa: S101 - both are pipes; told to the type checker
    assert child.stderr is not None  # noqa: S101
    try:
        async with asyncio.timeout(timeout):
            output, complaint, _ = await asyncio.gather(
                _bounded(child.stdout), _bounded(child.stderr), _feed(child.stdin, given)
            )
            return Ran(await child.wait(), output, complaint)
    except TimeoutError:
        raise HookError(
            f"{argv[0]} did not end within {timeout:g} s", advice="Run it by hand; is its service there?"
        ) from None
    finally:
        if child.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()


def filled(argv: Sequence[str], values: Mapping[str, str]) -> tuple[str, ...]:
    """Put *values* in the place of their ``{names}``; an argument stays one argument whatever is put in."""
    found = []
    for argument in argv:
        for name, value in values.items():
            argument = argument.replace(f"{{{name}}}", value)
        found.append(argument)
    return tuple(found)


async def _feed(stream: asyncio.StreamWriter | None, given: bytes | None) -> None:
    """Write *given*; a command that does not care to read it is none the worse."""
    if stream is None or given is None:
        return
    with suppress(ConnectionError):
        stream.write(given)
        await stream.drain()
    stream.close()
    with suppress(ConnectionError):
        await stream.wait_closed()


async def _bounded(stream: asyncio.StreamReader) -> str:
    """Read *stream* to its end and keep its beginning."""
    kept = bytearray()
    while piece := await stream.read(65536):
        kept += piece[: MOST_OUTPUT - len(kept)]
    return kept.decode("utf-8", "replace")
