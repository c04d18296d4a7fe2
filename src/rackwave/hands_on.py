"""What a person does to one machine by hand: under its lease, journalled, and each act sent once.

Refused are nodes that a rollout, a recovery or another process works on, and nodes that somebody holds
or whose scheduler has work on them (`NodeLeave`), unless the person says that this is meant.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from attrs import frozen

from .core.event import ByHand
from .core.identity import NodeName
from .core.observation import NOT_ASKED, Look, Power, Unknown
from .core.pace import spread
from .core.power import Beat, Lacking, PowerAct, PowerWish, beats
from .core.receipt import Accepted, Ambiguous, Receipt, Refused
from .engine.leases import Holder, Lease
from .engine.logbook import Logbook
from .errors import BmcCertificateError, BmcLoginError, NodeError, SecretError, UsageError
from .leave import NodeLeave
from .ports import Bmc, Clock, Panel

POLL = 2.0
"""Seconds between two looks at a host's power."""

BUSY = 60.0
"""Seconds for which a BMC may say "not now" to an act: it does so for 2 to 30 s after a power-off (P35)."""

AWAY = 600.0
"""Seconds for a BMC to come back from its restart; they take 90 to over 200 (P36)."""


@frozen
class Done:
    """What came of an act by hand. *acts* are those that were sent, in order; *told* what is known of them."""

    node: NodeName
    succeeded: bool
    acts: tuple[str, ...]
    told: str
    power: Power | Unknown = NOT_ASKED


class LeaseBook(Protocol):
    """Who may act on which node."""

    async def acquire(self, node: NodeName, holder: Holder) -> Lease: ...  # noqa: D102 - as engine/leases.py has it
    async def check(self, lease: Lease) -> None: ...  # noqa: D102
    async def heartbeat(self) -> None: ...  # noqa: D102
    async def release(self, lease: Lease) -> None: ...  # noqa: D102


class HandsOn:
    """Works machines by hand."""

    def __init__(
        self,
        *,
        logbook: Logbook,
        leases: LeaseBook,
        leave: NodeLeave,
        bmc: Callable[[NodeName], Awaitable[Bmc]],
        panel: Callable[[NodeName], Awaitable[Panel]],
        clock: Clock,
        by: str,
        meant: bool = False,
    ) -> None:
        """Compose it; *meant*: also on nodes that are held or have work on them."""
        self._logbook = logbook
        self._leases = leases
        self._leave = leave
        self._bmc = bmc
        self._panel = panel
        self._clock = clock
        self._by = by
        self._meant = meant

    async def act(self, node: NodeName, what: str, send: Callable[[], Awaitable[Receipt]]) -> Done:
        """Send one act to *node*, journalled as *what*.

        Raises:
            UsageError: something else is going on with the node.
            LeaseError: another process works on it.
        """
        async with self._leased(node) as lease:
            receipt = await self._send(node, lease, what, send)
            return Done(node, isinstance(receipt, Accepted), (what,), _told(receipt))

    async def power(self, node: NodeName, wish: PowerWish, *, force_after: float | None = None) -> Done:
        """Change the power of *node*'s host as wished, with what its service has.

        Raises:
            UsageError: as `act`, or the BMC cannot do it.
            NodeError: the BMC cannot be read.
        """
        async with self._leased(node) as lease:
            panel = await self._panel(node)
            can = await panel.power_acts()
            seen = await self._power(node)
            if isinstance(can, Unknown) or isinstance(seen, Unknown):
                unread = can if isinstance(can, Unknown) else seen
                raise NodeError(f"{node}: its power is {unread}; nothing was sent", node=node)
            found = beats(wish, can, seen, force_after=force_after)
            if isinstance(found, Lacking):
                raise UsageError(f"{node}: {found.why}")
            sent: list[str] = []
            told = ""
            for beat in found:
                is_well, told = await self._play(node, lease, panel, beat, sent)
                if not is_well:
                    return Done(node, False, tuple(sent), told, await self._power(node))
            return Done(node, True, tuple(sent), told, await self._power(node))

    async def reset_bmc(self, node: NodeName, *, steady: float) -> Done:
        """Restart *node*'s BMC and wait until it is back and has answered for *steady* seconds on end (P36)."""
        async with self._leased(node) as lease:
            bmc = await self._bmc(node)
            before = (await bmc.observe(Look(system=False, bmc=True))).bmc_boot
            receipt = await self._send(node, lease, "restart the BMC", bmc.reset_bmc)
            if isinstance(receipt, Refused):
                return Done(node, False, ("restart the BMC",), _told(receipt))
            back, told = await self._back(bmc, before, steady)
            return Done(node, back, ("restart the BMC",), told)

    async def _back(self, bmc: Bmc, before: str | Unknown, steady: float) -> tuple[bool, str]:
        deadline = self._clock.monotonic() + AWAY
        since: float | None = None
        was_away = False
        while self._clock.monotonic() < deadline:
            await self._pause()
            now = (await bmc.observe(Look(system=False, bmc=True))).bmc_boot
            # Without a marker, only having been away shows that it restarted.
            restarted = now != before if isinstance(before, str) else was_away
            if isinstance(now, Unknown) and (isinstance(before, str) or "LastResetTime" not in now.reason):
                since, was_away = None, True
                continue
            if not restarted:
                continue
            since = self._clock.monotonic() if since is None else since
            if self._clock.monotonic() - since >= steady:
                return True, f"it restarted and has answered for {steady:.0f} s"
        what = "it was not seen to restart" if since is None and not was_away else "it does not answer steadily"
        return False, f"{what}, for {AWAY:.0f} s"

    async def _play(self, node: NodeName, lease: Lease, panel: Panel, beat: Beat, sent: list[str]) -> tuple[bool, str]:
        receipt = await self._when_free(node, lease, panel, beat.act, sent)
        if isinstance(receipt, Refused):
            return False, f"{beat.act} was refused: {receipt.reason}"
        if beat.until is None:
            return isinstance(receipt, Accepted), _told(receipt)
        # An answer that was lost is told by what is seen: nothing is sent twice.
        if await self._wait(node, beat.until, beat.within):
            return True, f"the host is {beat.until}"
        if beat.forced is None:
            return False, f"{_told(receipt)}, but the host is not {beat.until} after {beat.within:.0f} s"
        forced = await self._when_free(node, lease, panel, beat.forced, sent)
        if isinstance(forced, Refused):
            return False, f"{beat.forced} was refused: {forced.reason}"
        is_so = await self._wait(node, beat.until, BUSY)
        return is_so, f"the host {'is' if is_so else 'is not'} {beat.until}, by {beat.forced}"

    async def _when_free(self, node: NodeName, lease: Lease, panel: Panel, act: PowerAct, sent: list[str]) -> Receipt:
        """Send *act* once; what was refused for now was not carried out, and is asked for again for a while (P35)."""
        deadline = self._clock.monotonic() + BUSY
        sent.append(str(act))
        while True:
            receipt = await self._send(node, lease, f"power {act}", lambda: panel.power(act))
            wait = receipt.retry_after if isinstance(receipt, Refused) else None
            if wait is None or self._clock.monotonic() + wait > deadline:
                return receipt
            await self._pause(spread(max(wait, POLL), node, self._clock.monotonic()))

    async def _wait(self, node: NodeName, wanted: Power, within: float) -> bool:
        deadline = self._clock.monotonic() + within
        while await self._power(node) is not wanted:
            if self._clock.monotonic() >= deadline:
                return False
            await self._pause()
        return True

    async def _pause(self, seconds: float = POLL) -> None:
        await self._clock.sleep(seconds)
        await self._leases.heartbeat()

    async def _power(self, node: NodeName) -> Power | Unknown:
        return (await (await self._bmc(node)).observe(Look())).power

    async def _send(self, node: NodeName, lease: Lease, what: str, send: Callable[[], Awaitable[Receipt]]) -> Receipt:
        await self._leases.check(lease)
        await self._logbook.record(ByHand(node, what, self._by))
        await self._leases.check(lease)
        try:
            receipt = await send()
        except (BmcLoginError, BmcCertificateError, SecretError) as error:
            await self._logbook.record(ByHand(node, what, self._by, f"{error}"))
            raise
        await self._logbook.record(ByHand(node, what, self._by, _told(receipt)))
        return receipt

    @asynccontextmanager
    async def _leased(self, node: NodeName) -> AsyncIterator[Lease]:
        lease = await self._leases.acquire(node, Holder.here())
        try:
            self._logbook.refresh()
            history = self._logbook.node(node)
            if history.attempt is not None or history.recovery is not None:
                raise UsageError(
                    f"{node}: a rollout or recovery of it has not ended",
                    advice="Go on with it first: 'rackwave rollout resume'.",
                )
            why = None if self._meant else await self._leave.refusal(node)
            if why is not None:
                raise UsageError(f"{node} is not to be touched: {why}", advice="--meant does it all the same.")
            yield lease
        finally:
            await self._leases.release(lease)


def _told(receipt: Receipt) -> str:
    match receipt:
        case Accepted(_, way):
            return f"accepted by {way}" if way else "accepted"
        case Refused(reason):
            return f"refused: {reason}"
        case Ambiguous(reason):
            return f"no clear answer ({reason}); look before you ask again"
