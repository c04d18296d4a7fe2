"""The public, plain face of the central automation system (110): calls that return when they are done."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from .automation import Automation
from .core.event import Recorded
from .core.identity import BundleId, NodeName
from .core.observation import Look, Observation
from .core.policy import Policy
from .core.report import NodeStatus, RackPlan, RolloutReport
from .loop_thread import LoopThread
from .repository.entry import Entry
from .repository.repository import Publication

if TYPE_CHECKING:
    from sushy import Sushy

T = TypeVar("T")


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
        self, bundle: str, nodes: str | None = None, *, policy: Policy | None = None, no_way_back: bool = False
    ) -> RackPlan:
        """See ``Automation.plan``."""
        return self._run(self.aio.plan(bundle, nodes, policy=policy, no_way_back=no_way_back))

    def deploy(
        self, bundle: str, nodes: str | None = None, *, policy: Policy | None = None, no_way_back: bool = False
    ) -> RolloutReport:
        """See ``Automation.deploy``."""
        return self._run(self.aio.deploy(bundle, nodes, policy=policy, no_way_back=no_way_back))

    def resume(self) -> tuple[RolloutReport, ...]:
        """See ``Automation.resume``."""
        return self._run(self.aio.resume())

    def stop(self) -> None:
        """Ask what runs to stop at its next safe point."""
        self._run(self._stop())

    async def _stop(self) -> None:
        self.aio.stop()

    def rollback(self, nodes: str | None, lineage: str) -> tuple[NodeStatus, ...]:
        """See ``Automation.rollback``."""
        return self._run(self.aio.rollback(nodes, lineage))

    def recover(self, nodes: str | None, lineage: str, *, ladder: str | None = None) -> tuple[NodeStatus, ...]:
        """See ``Automation.recover``."""
        return self._run(self.aio.recover(nodes, lineage, ladder=ladder))

    def status(self, nodes: str | None = None, *, look: bool = False) -> tuple[NodeStatus, ...]:
        """See ``Automation.status``."""
        return self._run(self.aio.status(nodes, look=look))

    def subscribe(self, subscriber: Callable[[Recorded], None]) -> None:
        """Call *subscriber* with every event; on the loop's thread, so it must not block."""
        self.aio.subscribe(subscriber)

    def node(self, name: str) -> LiveNode:
        """Return a handle on the node *name* to script with."""
        (chosen,) = self.aio.fleet.select(name)
        return LiveNode(self, chosen.name)

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
