"""The user's command that says, after each wave, whether the next may begin, as it stands in the inventory.

    [gate]
    command = ["/usr/local/bin/rack-metrics", "--rollout", "{rollout}", "--wave", "{wave}"]   # no shell
    timeout = 30                                              # seconds for one run

It reads the rollout (as ``rackwave rollout show --json`` prints it) from its standard input. See metrics_gate.py for
what its exit codes mean. It stands here and not in a policy: a policy comes with plans that others may have written.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InventoryError
from .values import GateCommand

_KEYS = ("command", "timeout")
_LONGEST = 600.0


def read_gate(document: Mapping[str, Any], path: Path) -> GateCommand | None:
    """Check the table ``[gate]`` of the inventory at *path*; None where there is none.

    Raises:
        InventoryError: it cannot be used.
    """
    if "gate" not in document:
        return None
    table = document["gate"]

    def wrong(what: str, advice: str) -> InventoryError:
        return InventoryError(f"{path}, [gate]: {what}.", advice=advice)

    if not isinstance(table, dict):
        raise wrong("it is no table", "Write [gate] and its keys below.")
    for key in table:
        if key not in _KEYS:
            raise wrong(f"unknown key {key!r}", f"Known keys are {', '.join(_KEYS)}.")
    command, timeout = table.get("command"), table.get("timeout", GateCommand(()).timeout)
    if not isinstance(command, list) or not command or not all(isinstance(word, str) and word for word in command):
        raise wrong("'command' is no list of texts", 'Write ["/path/to/program", "{rollout}"].')
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= _LONGEST:
        raise wrong("'timeout' is no number of seconds", f"It takes more than 0 and at most {_LONGEST:.0f}.")
    return GateCommand(tuple(command), float(timeout))
