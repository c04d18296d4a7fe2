"""The user's commands that restart a BMC, as they stand in the inventory.

    [outlet]                                                  # cuts the node's mains and gives them back
    command = ["/usr/local/bin/pdu", "{node}", "{action}"]    # a program and its arguments; no shell
    timeout = 120

    [in_band]                                                 # from the node's own host
    command = "ssh root@{node} ipmitool mc reset cold"

A text is cut into words as a shell would, and then goes to no shell. ``{node}`` is the node's name,
``{action}`` is ``cycle`` or ``reset-bmc``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..bmc.hook import HookCommand
from ..errors import InventoryError

_KEYS = ("command", "timeout")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_SECRET = re.compile(r"(?i)(^|[-_/])(pass(word|wd|phrase)?|pwd|secret|token|api[-_]?key)\b")
_LONGEST = 3600.0
"""Seconds that a command may be given: a BMC is waited for meanwhile, and nothing else is done to the node."""


def read_hook(table: Mapping[str, Any], path: Path, where: str) -> HookCommand:
    """Check the table *where* of the inventory at *path*.

    Raises:
        InventoryError: it cannot be used.
    """

    def wrong(what: str, advice: str) -> InventoryError:
        return InventoryError(f"{path}, {where}: {what}.", advice=advice)

    for key in table:
        if key not in _KEYS:
            raise wrong(f"unknown key {key!r}", f"Known keys are {', '.join(_KEYS)}.")
    words = _words(table.get("command"))
    if words is None:
        raise wrong("'command' is no command", 'Write ["/path/to/program", "{node}", "{action}"].')
    for word in words:
        if _SECRET.search(word):
            raise wrong(
                "'command' seems to have a secret in it",  # which is not shown
                "Every user of this machine can read a command line: let the program read it from a file.",
            )
        for name in _PLACEHOLDER.findall(word):
            if name not in ("node", "action"):
                raise wrong(f"'command' has {{{name}}} in it", "Only {node} and {action} are filled in.")
    if not any("{node}" in word for word in words):
        raise wrong("'command' has no {node} in it", "It would do the same to every node.")
    program = Path(words[0])
    if len(program.parts) > 1 and not program.is_absolute():
        words = (str(path.parent.absolute() / program), *words[1:])
    timeout = table.get("timeout", HookCommand(words).timeout)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= _LONGEST:
        raise wrong("'timeout' is no number of seconds", f"It takes more than 0 and at most {_LONGEST:.0f}.")
    return HookCommand(words, float(timeout))


def _words(command: object) -> tuple[str, ...] | None:
    """Return the words of *command*; None where it is none."""
    if isinstance(command, str):
        try:
            command = shlex.split(command)
        except ValueError:
            return None
    if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
        return None
    return tuple(command) if command[0] else None
