"""Programs killed just before any single operation on files, as by kill -9: run apart, for the killing forks.

A test hands its program to ``run_apart``; the program asks ``dies_at(step, act)`` for step after step, looks at what
each death left, and prints its findings as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_FILES = ("os.", "fcntl.", "shutil.", "tempfile.")
"""Audit events that tell of operations on files, beside ``open``."""


def run_apart(program: str, *arguments: object, paths: tuple[Path, ...] = (), within: float = 120.0) -> Any:
    """Run the Python text *program*, which can import what the tests can, and *paths* too; return what it prints."""
    found = os.pathsep.join(str(path) for path in (Path(__file__).parent, *paths))
    known = os.environ.get("PYTHONPATH")
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=within,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{found}{os.pathsep}{known}" if known else found},
    )
    assert 0 == done.returncode, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def dies_at(step: int, act: Callable[[], object]) -> bool:
    """Do *act* in a child that is killed before its operation number *step*; False where it has no more so many."""
    child = os.fork()
    if not child:
        _die_at(step)
        act()
        os._exit(0)
    return os.waitpid(child, 0)[1] != 0


def _die_at(step: int) -> None:
    left = step

    def hook(event: str, _: object) -> None:
        nonlocal left
        if event == "open" or event.startswith(_FILES):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
