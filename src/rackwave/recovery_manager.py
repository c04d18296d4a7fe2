"""The recovery/roll-back manager (122): told of a failure, it chooses the bundle to send next.

The choice itself is core/recovery.py's and core/deployment.py's; here it is given what it rests on
and written down. Whoever asks - the bundle orchestrator, an operator - asks here.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from .core.binding import meant
from .core.bundle import Bundle
from .core.deployment import Context, begin, conclude, fell_ill, request_recovery
from .core.event import AttemptResult, Bound
from .core.history import NodeHistory
from .core.identity import AttemptId, BundleId, ComponentName, Digest, Lineage, NodeName
from .core.policy import Policy
from .core.recovery import images_of
from .core.rollout import RolloutState
from .engine.logbook import Logbook
from .ports import Clock


class RecoveryManager:
    """Opens and closes attempts. Everything that follows from an end is journalled in one piece with it."""

    def __init__(self, *, logbook: Logbook, load: Callable[[BundleId], Bundle], clock: Clock) -> None:
        self._logbook = logbook
        self._load = load
        self._clock = clock
        self._everywhere: dict[frozenset[Digest], frozenset[ComponentName]] = {}

    def context(self, node: NodeName, lineage: Lineage, policy: Policy, rollout: RolloutState | None) -> Context:
        """Return what a decision about *node* rests on besides its history.

        What an earlier run left open is brought to its end in its own lineage, whichever is asked for now.
        """
        history = self._logbook.node(node)
        if history.recovery is not None:
            lineage = history.recovery.bundle.lineage
        elif history.attempt is not None:
            lineage = history.attempt.goal.bundle.lineage
        held = history.assigned.get(lineage)
        ids = {held.bundle} if held is not None else set()
        if rollout is not None and rollout.bundle.lineage == lineage:
            ids.add(rollout.bundle)
        return Context(
            lineage=lineage,
            policy=policy,
            images=self._images([self._load(bundle) for bundle in ids], history),
            new_id=lambda: AttemptId(secrets.token_hex(5)),
            now=self._clock.now(),
            rollout=rollout,
        )

    def _images(self, bundles: Sequence[Bundle], history: NodeHistory) -> frozenset[ComponentName]:
        """Return the components that *bundles* write on a node; what they mean on every node is worked out once."""
        if history.bindings:
            return images_of(*(meant(bundle, history.bindings, self._load) for bundle in bundles))
        key = frozenset(bundle.digest for bundle in bundles)
        if key not in self._everywhere:
            self._everywhere[key] = images_of(*bundles)
        return self._everywhere[key]

    async def open_attempt(self, node: NodeName, context: Context) -> bool:
        """Journal the start of the node's next attempt, or its end in this rollout; False: nothing is to do."""
        events = begin(self._logbook.node(node), context)
        await self._logbook.record(*events)
        return bool(events)

    async def close_attempt(
        self, node: NodeName, result: AttemptResult, evidence: Sequence[str], context: Context
    ) -> None:
        """Journal how the node's attempt ended and what is to follow."""
        await self._logbook.record(*conclude(self._logbook.node(node), result, evidence, context))

    async def request(
        self,
        node: NodeName,
        context: Context,
        *,
        ladder: str,
        failed: bool,
        evidence: Sequence[str],
        by: str,
        bindings: Sequence[Bound] = (),
    ) -> None:
        """Put *node* on the ladder named *ladder*; *failed* blames the bundle that is assigned to it now.

        *bindings* say what bundles mean on it from now on.
        """
        asked = request_recovery(
            self._logbook.node(node), context, policy=ladder, failed=failed, evidence=evidence, by=by
        )
        await self._logbook.record(*bindings, *asked)

    async def fell_ill(self, node: NodeName, context: Context, why: str) -> None:
        """Have *node*, on which nothing is open and which is ill in two looks, brought back; see ``deployment``."""
        await self._logbook.record(*fell_ill(self._logbook.node(node), context, why=why, by="bundle orchestrator"))
