"""How many sockets the process may hold."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from rackwave.descriptors import allow_connections
soft, hard, count = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
allow_connections(count)
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "count", "expected"),
    [
        (300, 4000, 1000, "1256 4000"),
        (300, 600, 1000, "600 600"),
        (2000, 4000, 1000, "2000 4000"),
    ],
)
def test_limit_is_raised_only_as_far_as_it_is_needed_and_allowed(
    soft: int, hard: int, count: int, expected: str
) -> None:
    """A thousand BMCs get their sockets where the hard limit has them; what suffices is left alone."""
    command = [sys.executable, "-c", PROGRAM, str(soft), str(hard), str(count)]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)

    assert expected == told.stdout.strip()
