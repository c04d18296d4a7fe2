"""The worker orchestrator that acts from outside (132-172): one short turn of one node.

    observe -> decide -> write the intent -> act once -> write the outcome -> say when to be woken

Every choice is made in core/turn.py; here is only the order of effects. The intent is durable, and
the lease checked, before a request that changes anything leaves: here, and again by the adapter (permit.py).
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TypeAlias, assert_never

from attrs import evolve, frozen

from ..core.attempt import Attempt, StepRecord
from ..core.bundle import Bundle
from ..core.decision import Act, Finish, Read, Resolve, See, Situation, Wait
from ..core.enforce import is_enforced, with_date
from ..core.event import (
    Acted,
    AttemptResult,
    Completing,
    Enforced,
    HeldBack,
    Identified,
    Intended,
    LogMarked,
    Reading,
    Resolved,
)
from ..core.finding import Holding
from ..core.gate import NotKnown, Verdict, judge, log_counts
from ..core.identity import AttemptId, NodeName
from ..core.look import opening_look
from ..core.observation import NOT_ASKED, Look, Observation, Unknown
from ..core.pace import first_look
from ..core.policy import Policy
from ..core.receipt import Ambiguous, Receipt, Refused
from ..core.step import WriteImage
from ..core.turn import decide
from ..engine.logbook import Logbook
from ..errors import BmcCertificateError, BmcLoginError, BundleError, SecretError
from ..permit import permitted
from ..ports import Bmc, Clock, ImageServer, Leave
from .executors import PayloadPath, Prepared, execute, prepare

_MOST_DECISIONS = 24
"""Decisions in one turn: looks, resolutions and at most one act. More means that they go in a circle."""


_A_PERSON_MUST = (BmcLoginError, BmcCertificateError, SecretError)
"""What no wait mends: the node is set aside, and the others go on."""


@frozen
class Rest:
    """Wake the node again after *seconds*."""

    seconds: float
    why: str


@frozen
class Over:
    """The attempt has come to its end; it is not journalled yet."""

    result: AttemptResult
    evidence: tuple[str, ...]


TurnResult: TypeAlias = Rest | Over


class WorkerOrchestrator:
    """Executes bundles on nodes through their BMCs, one turn at a time."""

    def __init__(
        self,
        *,
        logbook: Logbook,
        images: ImageServer,
        payload_path: PayloadPath,
        clock: Clock,
        leave: Leave,
    ) -> None:
        self._logbook = logbook
        self._images = images
        self._payload_path = payload_path
        self._clock = clock
        self._leave = leave
        self._since: dict[NodeName, tuple[AttemptId, float]] = {}
        self._back: dict[NodeName, float] = {}
        self._blind: dict[NodeName, tuple[float, float]] = {}
        self._host: dict[NodeName, tuple[type[Verdict], float]] = {}
        self._enforced: dict[NodeName, AttemptId] = {}

    async def turn(
        self, bmc: Bmc, bundle: Bundle, policy: Policy, *, check_lease: Callable[[], Awaitable[None]]
    ) -> TurnResult:
        """Do one turn of the node's open attempt toward *bundle*.

        Raises:
            LeaseError: another orchestrator has the node; nothing was sent.
            StateError: the journal cannot be written; nothing was sent.
        """
        node = bmc.node
        attempt = self._attempt(node)
        try:
            seen = await bmc.observe(opening_look(attempt, bundle))
            await self._identify(node, seen)
            holding: Holding | None = None
            for _ in range(_MOST_DECISIONS):
                attempt = self._attempt(node)
                now = self._clock.now()
                since = self._watched_since(node, attempt, now)
                situation = Situation(
                    node,
                    attempt,
                    bundle,
                    policy,
                    now,
                    seen,
                    holding,
                    since,
                    usual=self._logbook.ledger.usual(node),
                    means=bmc.means,
                    revived=self._logbook.node(node).revived,
                    back=self._back_since(node, seen, now),
                    was_held_back=self._logbook.node(node).held_back != "",
                    blind=self._blind_since(node, seen, now, steady=policy.steady),
                    unchanged=self._unchanged_since(node, seen, now),
                )
                decision = decide(situation)
                match decision:
                    case See(look):
                        seen = seen.with_more(await _observed(bmc, look))
                        holding = await self._holding(node, attempt, look, policy) or holding
                    case Resolve(number, outcome, evidence):
                        await self._logbook.record(Resolved(node, attempt.id, number, outcome, evidence))
                    case Read(number, installed):
                        await self._logbook.record(Reading(node, attempt.id, number, installed))
                    case Act() as act:
                        return await self._act(act, bmc, bundle, attempt, policy, check_lease)
                    case Wait(seconds, why):
                        return Rest(seconds, why)
                    case Finish(result, evidence):
                        # What is switched off under somebody's hands has not died.
                        is_dead = result is AttemptResult.DEAD
                        held = await self._held_back(node, attempt, policy) if is_dead else None
                        return held or Over(result, evidence)
                    case _:
                        assert_never(decision)
        except _A_PERSON_MUST as error:
            # A person must act first; trying again could lock the account (P34).
            return Over(AttemptResult.LOST, (error.whole,))
        return Rest(policy.poll, "decisions went in a circle; looking afresh")

    def _attempt(self, node: NodeName) -> Attempt:
        attempt = self._logbook.node(node).attempt
        if attempt is None:
            raise LookupError(f"{node} has no open attempt")
        return attempt

    def _watched_since(self, node: NodeName, attempt: Attempt, now: float) -> float:
        """Return when this process first looked at *attempt*."""
        known = self._since.get(node)
        if known is None or known[0] != attempt.id:
            known = self._since[node] = (attempt.id, now)
        return known[1]

    def _back_since(self, node: NodeName, seen: Observation, now: float) -> float:
        """Return since when *node*'s BMC has answered without a gap that this process saw (P36)."""
        before = self._back.get(node, -math.inf)
        if seen.is_away:
            before = self._back[node] = math.inf
        elif before == math.inf:
            before = self._back[node] = now
        return before

    def _blind_since(self, node: NodeName, seen: Observation, now: float, *, steady: float) -> float:
        """Return since when *node* has not answered everything that it was asked, for *steady* seconds on end.

        What a way never has is not missing; but where that leaves nobody to say how the host is, it is, or the
        node would be waited for without an end.
        """
        since, read = self._blind.get(node, (math.inf, math.inf))
        undecided = seen.power is not NOT_ASKED and isinstance(judge(seen), NotKnown)
        if seen.is_partial or undecided:
            self._blind[node] = (min(since, now), math.inf)
        elif since != math.inf and now - read > steady:
            del self._blind[node]
        elif since != math.inf:
            self._blind[node] = (since, min(read, now))
        return self._blind.get(node, (now, now))[0]

    def _unchanged_since(self, node: NodeName, seen: Observation, now: float) -> float:
        """Return since when this process has seen *node*'s host as it is; looks that tell nothing of it aside."""
        kind: type[Verdict] = type(judge(seen))
        known = self._host.get(node)
        if known is None or kind not in (known[0], NotKnown):
            known = self._host[node] = (kind, now)
        return known[1]

    async def _act(
        self,
        act: Act,
        bmc: Bmc,
        bundle: Bundle,
        attempt: Attempt,
        policy: Policy,
        check_lease: Callable[[], Awaitable[None]],
    ) -> TurnResult:
        node, number = bmc.node, len(attempt.steps) + 1
        if (held := await self._held_back(node, attempt, policy)) is not None:
            return held
        try:
            prepared = await prepare(
                act.step,
                bmc=bmc,
                bundle=bundle,
                attempt=attempt.id,
                payload_path=self._payload_path,
                images=self._images,
                force=attempt.goal.revives,
            )
        except BundleError as error:
            harmed = AttemptResult.FAILED if attempt.has_begun else AttemptResult.NOTHING_WRITTEN
            return Over(harmed, (error.whole,))
        if log_counts(policy, bundle) and not attempt.is_marked:
            log = (await _observed(bmc, Look(system=False, log=True))).log
            mark = None if isinstance(log, Unknown) else log.mark
            await self._logbook.record(LogMarked(node, attempt.id, mark))
        await check_lease()
        await self._logbook.record(Intended(node, attempt.id, number, act.step, act.known_tasks))
        await check_lease()
        with permitted(check_lease):
            receipt = await self._send(prepared, bmc, attempt, number)
        await self._logbook.record(Acted(node, attempt.id, number, receipt))
        if isinstance(receipt, (Refused, Ambiguous)):
            return Rest(policy.poll, "sent, and not known to be taken")
        return Rest(first_look(policy, act.step, usual=self._logbook.ledger.usual(node)), "sent")

    async def _held_back(self, node: NodeName, attempt: Attempt, policy: Policy) -> Rest | None:
        """Rest where nothing may be done to *node* now; None: it may."""
        why = await self._leave.refusal(node)
        if why is None:
            return None
        if not self._leave.is_held(node):  # but something of the node's own
            if is_enforced(policy, self._clock.now()):
                if self._enforced.get(node) != attempt.id:
                    self._enforced[node] = attempt.id
                    await self._logbook.record(Enforced(node, why))
                return None
            why = with_date(why, policy)
        if self._logbook.node(node).held_back != why:
            await self._logbook.record(HeldBack(node, why))
        # Time in which nothing may be done is no patience spent, either.
        self._since[node] = (attempt.id, self._clock.now())
        return Rest(policy.watch, why)

    async def _send(self, prepared: Prepared, bmc: Bmc, attempt: Attempt, number: int) -> Receipt:
        async def completing(*, held: bool = False) -> None:
            await self._logbook.record(Completing(bmc.node, attempt.id, number, held))

        try:
            return await execute(prepared, bmc=bmc, completing=completing)
        except _A_PERSON_MUST as error:
            return Refused(error.whole)

    async def _identify(self, node: NodeName, seen: Observation) -> None:
        """Note once who the machine says it is: a flash may reset its BMC and hide it (P40)."""
        if self._logbook.node(node).identity is not None:
            return
        told = seen.identity
        words = {
            name: value
            for name, value in (("vendor", told.vendor), ("model", told.model), ("serial", told.serial))
            if not isinstance(value, Unknown)
        }
        if words:
            await self._logbook.record(Identified(node, **words))

    async def _holding(self, node: NodeName, attempt: Attempt, look: Look, policy: Policy) -> Holding | None:
        """Ask the image server how much of an image in doubt the BMC may hold.

        Past the settle time the grant is revoked first: a BMC that wakes up late must not begin a
        write that we are about to call never begun.
        """
        record = _in_doubt(attempt)
        if record is None or not look.tasks or not isinstance(record.step, WriteImage):
            return None
        digest = record.step.digest
        limit = record.step.time_limit if record.was_accepted else policy.settle
        if self._clock.now() - record.last_at >= min(limit, policy.write_limit):
            await self._images.revoke(node=node, attempt=attempt.id, digest=digest)
        fetch = await self._images.fetched(node=node, attempt=attempt.id, digest=digest)
        broke_off = isinstance(record.receipt, Ambiguous) and not record.receipt.body_complete
        whole = (record.completing and not broke_off) or (fetch.requests > 0 and fetch.complete)
        return Holding(fetch.requests, whole)


async def _observed(bmc: Bmc, look: Look) -> Observation:
    """Observe; a way that has no event log does not leave the question open."""
    seen = await bmc.observe(look)
    return evolve(seen, log=Unknown("this way tells no event log")) if look.log and seen.log is NOT_ASKED else seen


def _in_doubt(attempt: Attempt) -> StepRecord | None:
    return next((record for record in attempt.open_steps if isinstance(record.step, WriteImage)), None)
