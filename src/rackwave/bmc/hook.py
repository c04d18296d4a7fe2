"""Commands of the user's own that restart a BMC: a power outlet, or a way through the node's host.

Rules:

- A program and its arguments, no shell. ``{node}`` and ``{action}`` are filled in, nothing else: a
  secret has no business on a command line, which every user of the machine can read.
- Exit status 0: done. One that could not be started did nothing. Anything else, and silence past the
  deadline, is in doubt: a program that fails may have failed at its last step (P12).
"""

from __future__ import annotations

import asyncio
from pathlib import PurePath

from attrs import field, frozen, validators

from ..core.identity import NodeName
from ..core.receipt import Accepted, Ambiguous, Ground, Receipt, Refused
from ..errors import HookError
from ..hooks import filled, run_hook
from ..permit import ask_permit

AT_ONCE = 16
"""Programs that run side by side. A rack that loses its power would otherwise start one for each node."""


@frozen
class HookCommand:
    """A program with its arguments, and the seconds that it may take."""

    words: tuple[str, ...] = field(validator=validators.min_len(1))
    timeout: float = 120.0
    """An outlet that waits for its capacitors to drain takes half a minute to come back."""


class CommandHook:
    """Runs one command for whichever node is asked for, once for each time that it is asked."""

    def __init__(self, command: HookCommand, *, action: str) -> None:
        self._command = command
        self._action = action
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def __call__(self, node: NodeName) -> Receipt:
        """Run the command for *node* to its end, or to its deadline."""
        words = filled(self._command.words, {"node": node, "action": self._action})
        name = f"the command {PurePath(words[0]).name}"
        async with self._gate:
            await ask_permit()
            try:
                ran = await run_hook(words, timeout=self._command.timeout)
            except HookError as error:
                if not error.started:
                    return Refused(str(error), ground=Ground.UNABLE)
                return Ambiguous(str(error))
        if ran.code == 0:
            return Accepted(way=f"{name} ({self._action})")
        return Ambiguous(f"{name} ended with status {ran.code}" + (f": {ran.words}" if ran.words else ""))
