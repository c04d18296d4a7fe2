"""The public, plain face of the central automation system (110): calls that return when they are done."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from .adoption import AdoptionReport
from .automation import Automation
from .bmc.redfish.bmc import RedfishBmc
from .bmc.redfish.media import MediaKind, Slot
from .core.boot import BootMode, BootOverride, BootSetting, Lasting, SecureBoot
from .core.bundle import AttributeValue
from .core.event import Recorded
from .core.forecast import Forecast
from .core.identity import BundleId, Lineage, NodeName
from .core.log import LogMark, LogNews
from .core.observation import Look, Observation, Unknown
from .core.odds import Odds
from .core.policy import Policy
from .core.power import PowerWish
from .core.receipt import Receipt, Refused
from .core.report import NodeStatus, RackPlan, RolloutReport
from .core.reviewed import ReviewedPlan
from .core.sensor import SensorReadings
from .core.snapshot import Snapshot
from .core.stand_in import Pace
from .core.way_back import Consent
from .errors import UsageError
from .hands_on import Done, HandsOn
from .loop_thread import LoopThread
from .ports import Panel
from .repository.entry import Entry
from .repository.repository import Publication
from .snapshots import RestoreReport
from .together import RunReport

if TYPE_CHECKING:
    from sushy import Sushy

T = TypeVar("T")
W = TypeVar("W", bound=StrEnum)


class CentralAutomationSystem:
    """Keeps the machines of one inventory on their bundles.

    Works in scripts, and in notebooks whose own event loop runs. An interrupt (Ctrl-C) detaches: the
    rollout goes on in the background until ``stop`` or the end of the process, and can be gone on
    with by the next ``deploy`` of the same bundle.

        with CentralAutomationSystem("rackwave.toml") as cas:
            cas.publish("build/A.2", reason="CVE-2026-1234")
            print(cas.plan("A.2", nodes="rack=r1"))
            print(cas.deploy("A.2", nodes="rack=r1"))
    """

    def __init__(self, inventory: str | os.PathLike[str], state: str | os.PathLike[str] = ".rackwave") -> None:
        """Read *inventory* and use the state directory *state*.

        Raises:
            InventoryError: the inventory cannot be used.
        """
        self.aio = Automation(Path(inventory), Path(state))
        self._loop = LoopThread()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close sessions, image server and journal."""
        self._loop.run(self.aio.close())
        self._loop.stop()

    # -- bundles -------------------------------------------------------------------------------

    def bundles(self) -> tuple[Entry, ...]:
        """Return every published bundle."""
        return self.aio.repository.list()

    def build(self, source: str | os.PathLike[str], out: str | os.PathLike[str]) -> BundleId:
        """Build and sign the bundle that the folder *source* describes into *out*."""
        return self.aio.manager.build(Path(source), Path(out)).id

    def publish(self, built: str | os.PathLike[str], reason: str = "") -> Publication:
        """Make a built bundle its lineage's current one; the one before it moves to the archive."""
        return self.aio.manager.publish(Path(built), reason)

    # -- plan, deploy, recover -------------------------------------------------------------------

    def plan(
        self, bundle: str, nodes: str | None = None, *, policy: Policy | None = None, no_way_back: Consent = ()
    ) -> RackPlan:
        """See ``Automation.plan``."""
        return self._run(self.aio.plan(bundle, nodes, policy=policy, no_way_back=no_way_back))

    def simulate(
        self,
        bundle: str,
        nodes: str | None = None,
        *,
        seeds: Iterable[int] = range(1, 11),
        policy: Policy | None = None,
        no_way_back: Consent = (),
        odds: Odds | None = None,
        pace: Pace | None = None,
        start: float | None = None,
    ) -> Forecast:
        """See ``Automation.simulate``."""
        return self._run(
            self.aio.simulate(
                bundle,
                nodes,
                seeds=seeds,
                policy=policy,
                no_way_back=no_way_back,
                odds=odds,
                pace=pace,
                start=start,
            )
        )

    def deploy(
        self, bundle: str, nodes: str | None = None, *, policy: Policy | None = None, no_way_back: Consent = ()
    ) -> RolloutReport:
        """See ``Automation.deploy``."""
        return self._run(self.aio.deploy(bundle, nodes, policy=policy, no_way_back=no_way_back))

    def deploy_together(
        self,
        bundles: Sequence[str],
        nodes: str | None = None,
        *,
        policy: Policy | None = None,
        no_way_back: Consent = (),
    ) -> RunReport:
        """See ``Automation.deploy_together``."""
        return self._run(self.aio.deploy_together(bundles, nodes, policy=policy, no_way_back=no_way_back))

    def apply(self, reviewed: ReviewedPlan) -> RolloutReport:
        """See ``Automation.apply``."""
        return self._run(self.aio.apply(reviewed))

    def resume(self, rollout: str | None = None) -> tuple[RolloutReport, ...]:
        """See ``Automation.resume``."""
        return self._run(self.aio.resume(rollout))

    def pause(self, rollout: str, reason: str) -> RolloutReport:
        """See ``RolloutControl.pause``."""
        return RolloutReport(self._run(self.aio.control.pause(rollout, reason)))

    def approve(self, rollout: str, wave: int | None = None) -> RolloutReport:
        """See ``RolloutControl.approve``."""
        return RolloutReport(self._run(self.aio.control.approve(rollout, wave)))

    def abort(self, rollout: str, reason: str, *, now: bool = False, roll_back: bool = False) -> RolloutReport:
        """See ``Automation.abort``."""
        return RolloutReport(self._run(self.aio.abort(rollout, reason, now=now, roll_back=roll_back)).rollout)

    def watch(self, nodes: str | None = None, *, once: bool = False) -> tuple[NodeStatus, ...]:
        """Keep nodes on their bundles until another thread calls `stop`; *once*: for one round.

        Return where they stand then. See ``rackwave.watch.Watch.run``.
        """
        return self._run(self._watch(nodes, once))

    async def _watch(self, nodes: str | None, once: bool) -> tuple[NodeStatus, ...]:
        names = [node.name for node in self.aio.fleet.select(nodes)]
        await self.aio.watch.run(names, once=once)
        return await self.aio.status(nodes)

    def stop(self) -> None:
        """Ask what runs to stop at its next safe point."""
        self._run(self._stop())

    async def _stop(self) -> None:
        self.aio.stop()

    def rollback(
        self,
        nodes: str | None,
        lineage: str,
        *,
        component: str | None = None,
        reason: str = "",
        at_once: bool = False,
    ) -> tuple[NodeStatus, ...]:
        """See ``OperatorRecovery.rollback``."""
        return self._run(self.aio.rollback(nodes, lineage, component=component, reason=reason, at_once=at_once))

    def rollback_rollout(
        self,
        rollout: str,
        *,
        wave: int | None = None,
        nodes: str | None = None,
        component: str | None = None,
        reason: str = "",
        at_once: bool = False,
    ) -> tuple[NodeStatus, ...]:
        """See ``OperatorRecovery.rollback_rollout``."""

        async def work() -> tuple[NodeStatus, ...]:  # the journal belongs to the loop's thread
            return await self.aio.operator_recovery.rollback_rollout(
                self.aio.control.find(rollout),
                wave=wave,
                nodes=nodes,
                component=component,
                reason=reason,
                at_once=at_once,
            )

        return self._run(work())

    def bring_forward(
        self, nodes: str | None, lineage: str, component: str, *, at_once: bool = False
    ) -> tuple[NodeStatus, ...]:
        """See ``OperatorRecovery.bring_forward``."""

        async def work() -> tuple[NodeStatus, ...]:
            back = self.aio.operator_recovery
            return await back.bring_forward(nodes, Lineage(lineage), component, at_once=at_once)

        return self._run(work())

    def recover(self, nodes: str | None, lineage: str, *, ladder: str | None = None) -> tuple[NodeStatus, ...]:
        """See ``OperatorRecovery.recover``."""
        return self._run(self.aio.recover(nodes, lineage, ladder=ladder))

    def adopt(
        self, lineage: str, nodes: str | None = None, *, packages: str | os.PathLike[str] | None = None
    ) -> AdoptionReport:
        """See ``Adopting.adopt``."""
        folder = Path(packages) if packages is not None else None
        chosen = self.aio.fleet.select(nodes)
        return self._run(self.aio.adopting.adopt(Lineage(lineage), chosen, folder))

    def snapshot(self, nodes: str | None = None) -> Snapshot:
        """See ``Snapshots.take``."""
        return self._run(self.aio.snapshots.take(nodes))

    def restore(self, snapshot: Snapshot, nodes: str | None = None, *, no_way_back: Consent = ()) -> RestoreReport:
        """See ``Snapshots.restore``."""
        return self._run(self.aio.snapshots.restore(snapshot, nodes, no_way_back=no_way_back))

    def status(self, nodes: str | None = None, *, look: bool = False) -> tuple[NodeStatus, ...]:
        """See ``Automation.status``."""
        return self._run(self.aio.status(nodes, look=look))

    def subscribe(self, subscriber: Callable[[Recorded], None]) -> None:
        """Call *subscriber* with every event; on the loop's thread, so it must not block."""
        self.aio.subscribe(subscriber)

    def node(self, name: str) -> LiveNode:
        """Return a handle on the node *name* to script with."""
        return LiveNode(self, self.aio.one(name))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run(work)


class LiveNode:
    """One node, to look at and to script with."""

    def __init__(self, system: CentralAutomationSystem, name: NodeName) -> None:
        self._system = system
        self.name = name

    def observe(self, look: Look | None = None) -> Observation:
        """Read the node's BMC now."""
        return self._system._run(self._observe(look or Look()))  # noqa: SLF001 - a part of the system's own face

    async def _observe(self, look: Look) -> Observation:
        bmc = await self._system.aio.fleet.get(self.name)
        return await bmc.observe(look)

    # -- by hand: under the node's lease, journalled, sent once ------------------------------------

    def power(self, wish: str | PowerWish, *, force_after: float | None = None, meant: bool = False) -> Done:
        """Change the host's power.

        Args:
            wish: ``on``, ``off``, ``shutdown``, ``restart``, ``reset``, ``cycle``, ``nmi`` or ``button``;
                what the service lacks is made of what it has.
            force_after: Seconds after which an operating system that does not obey is not asked any longer.
            meant: Also where the node is held or has work on it.

        Raises:
            UsageError: the node is not to be touched now, or its BMC cannot do it.
        """
        asked = _one_of(PowerWish, wish)
        return self._run(self._hands(meant).power(self.name, asked, force_after=force_after))

    def reset_bmc(self, *, meant: bool = False) -> Done:
        """Restart the BMC and wait until it is back for good."""
        return self._run(self._hands(meant).reset_bmc(self.name, steady=self._system.aio.policy().steady))

    def boot(self) -> BootSetting | Unknown:
        """Read what overrides the boot order, and what may."""
        return self._run(self._ask(lambda panel: panel.boot_setting()))

    def set_boot(self, target: str, *, once: bool = True, mode: str | None = None, meant: bool = False) -> Done:
        """Have the host boot from *target* (``pxe``, ``cd`` …), once or always; ``none`` clears it."""
        lasting = Lasting.NEVER if target.lower() == "none" else Lasting.ONCE if once else Lasting.ALWAYS
        override = BootOverride(target, lasting, None if mode is None else _one_of(BootMode, mode))
        return self._run(self._do(f"boot from {target}", lambda panel: panel.set_boot(override), meant))

    def indicate(self, *, on: bool = True, meant: bool = False) -> Done:
        """Switch the locator light."""
        what = f"locator light {'on' if on else 'off'}"
        return self._run(self._do(what, lambda panel: panel.set_indicator(on=on), meant))

    def sensors(self) -> SensorReadings | Unknown:
        """Read the sensors."""
        return self._run(self._ask(lambda panel: panel.sensors()))

    def log(self, since: LogMark | None = None, *, limit: int = 50) -> LogNews | Unknown:
        """Read the newest entries of the machine's event log, or those since a mark."""
        return self._run(self._ask(lambda panel: panel.log(since, limit=limit)))

    def bios(self) -> Mapping[str, AttributeValue] | Unknown:
        """Read the BIOS attributes in force."""
        return self.observe(Look(system=False, settings=True)).settings

    def reset_bios(self, *, meant: bool = False) -> Done:
        """Have the BIOS go back to its defaults at the next reset."""
        return self._run(self._do_redfish("reset the BIOS to its defaults", lambda bmc: bmc.reset_bios(), meant))

    def secure_boot(self) -> SecureBoot | Unknown:
        """Read secure boot."""
        return self._run(self._ask_redfish(lambda bmc: bmc.panel.secure_boot()))

    def set_secure_boot(self, *, enabled: bool, meant: bool = False) -> Done:
        """Switch secure boot for the next boot."""
        what = f"secure boot {'on' if enabled else 'off'}"
        return self._run(self._do_redfish(what, lambda bmc: bmc.panel.set_secure_boot(enabled=enabled), meant))

    def reset_secure_boot_keys(self, how: str, *, meant: bool = False) -> Done:
        """Reset the secure boot keys, by one of the words that ``secure_boot().key_resets`` lists."""
        what = f"secure boot keys: {how}"
        return self._run(self._do_redfish(what, lambda bmc: bmc.panel.reset_secure_boot_keys(how), meant))

    def media(self) -> tuple[Slot, ...]:
        """Read the virtual media slots.

        Raises:
            NodeError: they cannot be read.
        """
        return self._run(self._ask_redfish(lambda bmc: bmc.media.slots()))

    def insert_media(self, url: str, *, kind: str = "cd", write_protected: bool = True, meant: bool = False) -> Done:
        """Have the BMC fetch the image at *url* into a free slot that shows itself as *kind* (``cd``, ``usb``).

        Raises:
            UsageError: as ``power``.
            NodeError: the slots cannot be read.
        """
        wanted = _one_of(MediaKind, kind)

        async def send(bmc: RedfishBmc) -> Receipt:
            slot = await bmc.media.free_slot(wanted)
            if slot is None:
                return Refused(f"no virtual media slot for {wanted} is free")
            return await bmc.media.insert(slot, url, write_protected=write_protected)

        # The URL may grant access to the image, so it is in no journal.
        return self._run(self._do_redfish(f"insert virtual media ({wanted})", send, meant))

    def eject_media(self, slot: Slot, *, meant: bool = False) -> Done:
        """Empty a slot that ``media`` returned."""
        return self._run(self._do_redfish(f"eject {slot.name}", lambda bmc: bmc.media.eject(slot), meant))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._system._run(work)  # noqa: SLF001 - a part of the system's own face

    def _hands(self, meant: bool) -> HandsOn:
        return self._system.aio.hands_on(meant=meant)

    async def _ask(self, ask: Callable[[Panel], Awaitable[T]]) -> T:
        return await ask(await self._system.aio.fleet.panel(self.name))

    async def _ask_redfish(self, ask: Callable[[RedfishBmc], Awaitable[T]]) -> T:
        return await ask(await self._system.aio.fleet.redfish(self.name))

    async def _do(self, what: str, send: Callable[[Panel], Awaitable[Receipt]], meant: bool) -> Done:
        return await self._hands(meant).act(self.name, what, lambda: self._ask(send))

    async def _do_redfish(self, what: str, send: Callable[[RedfishBmc], Awaitable[Receipt]], meant: bool) -> Done:
        return await self._hands(meant).act(self.name, what, lambda: self._ask_redfish(send))

    # -- other tools -------------------------------------------------------------------------------

    def sushy(self) -> Sushy:
        """Return a live ``sushy.Sushy`` on our own session: no second login, no replayed POST.

        Use it from one thread at a time, not while a rollout works on the node, and not after the
        system was closed.
        """
        return self._system._run(self._sushy())  # noqa: SLF001 - as above

    async def _sushy(self) -> Sushy:
        bmc = await self._system.aio.fleet.redfish(self.name)
        found: Sushy = await bmc.sushy()
        return found


def _one_of(words: type[W], word: str) -> W:
    try:
        return words(word)
    except ValueError:
        raise UsageError(f"{word!r} is none of {', '.join(str(each) for each in words)}") from None
