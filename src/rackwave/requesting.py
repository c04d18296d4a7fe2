"""Puts on the record what somebody asks for nodes, and takes it back; who does it is the watch, or a person."""

from __future__ import annotations

from collections.abc import Sequence

from .core.history import NodeHistory
from .core.identity import Lineage, NodeName
from .core.line import MOST, is_line
from .core.request import AskingWithdrawn, RecoveryAsked, Want
from .core.watching import latest_lineage
from .engine.logbook import Logbook
from .errors import PlanRefusedError, UsageError
from .fleet import Fleet


class Requests:
    """Asks in the name of *by*."""

    def __init__(self, logbook: Logbook, fleet: Fleet, *, by: str) -> None:
        self._logbook = logbook
        self._fleet = fleet
        self._by = by

    async def ask(
        self, nodes: str, want: Want, evidence: str, *, lineage: Lineage | None = None, by: str = ""
    ) -> tuple[NodeName, ...]:
        """Ask that *nodes* get their assigned or prior bundle again; return them.

        Args:
            nodes: Which nodes.
            want: Which of the bundles that each of them has.
            evidence: Why, in a line of at most 500 characters.
            lineage: Of which lineage; that of the bundle that was committed last where None.
            by: Who asks; the user and host where it is empty.

        Raises:
            UsageError: *evidence* is empty, too long, or more than a line.
            PlanRefusedError: a node has no such bundle; nothing was asked for any.
        """
        for what, text in (("evidence", evidence), ("who asks", by or self._by)):
            if not text.strip() or not is_line(text):
                raise UsageError(
                    f"{what} is empty, has more than {MOST} characters, or more than a line",
                    advice="Say in one line what is wrong with the node.",
                )
        self._logbook.refresh()
        histories = [self._logbook.node(node.name) for node in self._fleet.select(nodes)]
        meant = {each.node: lineage or latest_lineage(each) for each in histories}
        reasons = [why for each in histories if (why := _why_not(each, meant[each.node], want)) is not None]
        if reasons:
            raise PlanRefusedError(
                f"{len(reasons)} of {len(histories)} nodes cannot be brought back so",
                reasons=tuple(reasons),
                advice="Name those that can; nothing was asked for.",
            )
        await self._logbook.record(
            *(
                RecoveryAsked(node, line, want, evidence, by or self._by)
                for node, line in meant.items()
                if line is not None
            )
        )
        return tuple(meant)

    async def withdraw(self, nodes: str) -> tuple[NodeName, ...]:
        """Take back what was asked for *nodes* and was not begun yet; return those that were concerned."""
        self._logbook.refresh()
        names: Sequence[NodeName] = [node.name for node in self._fleet.select(nodes)]
        asked = tuple(name for name in names if self._logbook.node(name).asked is not None)
        await self._logbook.record(*(AskingWithdrawn(name, self._by) for name in asked))
        return asked


def _why_not(history: NodeHistory, lineage: Lineage | None, want: Want) -> str | None:
    if lineage is None:
        return f"{history.node}: it carries no bundle"
    if lineage not in history.assigned:
        return f"{history.node}: it carries no bundle of lineage {lineage}"
    if want is Want.PRIOR and lineage not in history.prior:
        return f"{history.node}: it has no prior bundle of lineage {lineage}"
    return None
