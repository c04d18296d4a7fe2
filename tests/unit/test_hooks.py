"""Commands of the operator's: no shell, a deadline, bounded output."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from rackwave.errors import HookError
from rackwave.hooks import MOST_OUTPUT, Ran, filled, run_hook


def _run(*argv: str, timeout: float = 20.0) -> Ran:
    return asyncio.run(run_hook(argv, timeout=timeout))


def test_what_a_command_says_is_kept() -> None:
    """Exit code, output and complaint come back; the complaint is what a message quotes."""
    ran = _run("sh", "-c", "echo out; echo why >&2; exit 3")

    assert Ran(3, "out\n", "why\n") == ran
    assert "why" == ran.words


def test_no_shell_reads_the_arguments() -> None:
    """A value with a shell's characters in it stays one argument."""
    argv = filled(["printf", "%s", "{node}-{labels.rack}"], {"node": "a; echo b", "labels.rack": "$HOME"})

    assert "a; echo b-$HOME" == _run(*argv).output


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    """After the deadline neither the command nor what it started runs on."""
    told = tmp_path / "pids"
    with pytest.raises(HookError, match="did not end within"):
        _run("sh", "-c", f"sleep 600 & echo $$ $! > {told}; wait", timeout=1.0)

    assert [False, False] == [_runs(int(pid)) for pid in told.read_text().split()]


def _runs(pid: int) -> bool:
    """Whether the process lives; one that nobody has reaped yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_command_that_is_not_there() -> None:
    """A program that cannot be started is an error that names it."""
    with pytest.raises(HookError, match="/nowhere/at-all could not be started"):
        _run("/nowhere/at-all")


def test_endless_output_is_cut_off() -> None:
    """Output past the bound is read and thrown away, so that the command can end."""
    ran = _run(sys.executable, "-c", f"print('x' * {3 * MOST_OUTPUT})")

    assert MOST_OUTPUT == len(ran.output)
    assert 0 == ran.code
