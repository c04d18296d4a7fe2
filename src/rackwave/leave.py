"""May a node be touched now? Not while somebody holds it, nor while its scheduler has work on it."""

from __future__ import annotations

from .core.hold import Hold
from .core.identity import NodeName
from .core.report import timestamp
from .drain import DrainHook
from .engine.logbook import Logbook
from .ports import Clock


class NodeLeave:
    """Gives leave, or says why not. Holds are read anew each time: another process may have set one."""

    def __init__(self, logbook: Logbook, *, clock: Clock, hook: DrainHook | None = None) -> None:
        self._logbook = logbook
        self._clock = clock
        self._hook = hook

    async def refusal(self, node: NodeName) -> str | None:
        """Return why nothing may be begun on *node* now; None: it may."""
        why = self._held(node)
        if why is None and self._hook is not None:
            # Somebody may hold it while its scheduler is asked, which takes seconds.
            why = await self._hook.busy(node) or self._held(node)
        return why

    def is_held(self, node: NodeName) -> bool:
        """Whether a person holds *node* now."""
        return self._held(node) is not None

    def _held(self, node: NodeName) -> str | None:
        self._logbook.refresh()
        hold = self._logbook.node(node).hold
        return words(hold) if hold is not None and hold.stands(self._clock.now()) else None


def words(hold: Hold) -> str:
    """Say who holds the node, until when and why."""
    end = f" until {timestamp(hold.until)}" if hold.until is not None else ""
    return f"held by {hold.by}{end}: {hold.reason}"
