"""The central automation system (110): bundle manager, repository, orchestrators and recovery in one object.

This is the ``async`` face; ``rackwave.CentralAutomationSystem`` is the same for plain scripts and
notebooks. Everything it knows lies in its state directory::

    .rackwave/
      journal.sqlite    what happened, and who holds which node
      repository/       current bundles and the archive (an OCI image layout)
      trust.json        whose bundles are believed, by a list of keys; or
      trust/            the root that is believed, and what was verified by it
      publisher.pem     the key that signs ours, if there is one
      feeds.toml        the feeds that the bundle manager reads, if any
      releases/         what it has fetched of releases that are not published yet
      registry.toml     the registry behind the repository, if there is one
      keys/, keys.json  the other keys of signed metadata, and where each of them is
      logins.key        tells refused logins apart (engine/logins.py)
      images/           the image server's fetch log and certificate
"""

from __future__ import annotations

import asyncio
import getpass
import secrets
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self
from weakref import WeakSet

from attrs import evolve

from .adoption import Adopting
from .bundle_manager import BundleManager
from .bundle_orchestrator import BundleOrchestrator, not_ended
from .clock import SystemClock
from .core.bundle import Bundle
from .core.due import words_by_node
from .core.eta import Eta
from .core.event import Bound, Recorded, RolloutStarted
from .core.forecast import Forecast
from .core.history import NodeHistory
from .core.identity import BundleId, Lineage, NodeName, RolloutId
from .core.node import Node
from .core.odds import Odds
from .core.outlook import eta_of
from .core.policy import Policy
from .core.receipt import Accepted
from .core.recovery import way_back
from .core.report import NodeStatus, RackPlan, RolloutReport
from .core.reviewed import ReviewedPlan
from .core.rollout import RolloutState
from .core.selection import refusal
from .core.stand_in import Pace
from .core.way_back import Consent
from .core.window import Windows
from .drain import DrainHook
from .engine.leases import Holder
from .engine.logbook import Logbook
from .engine.logins import KEY_FILE, Fingerprints
from .errors import (
    BundleError,
    LeaseError,
    PlanStaleError,
    RackwaveError,
    StateError,
    UsageError,
)
from .fleet import Fleet
from .hands_on import HandsOn
from .holds import Holds
from .inventory import Inventory, load_inventory
from .leave import NodeLeave
from .metrics_gate import MetricsGate
from .operator_recovery import OperatorRecovery
from .pins import Pins
from .planning import RackPlanner, each, unless_refused
from .ports import Clock, Secrets
from .records import IMAGES, Records
from .recovery_manager import RecoveryManager
from .releases import Releases
from .repository.metadata.key_box import AskSecret
from .repository.open_trust import PUBLISHER_KEY, TRUST
from .repository.repository import BundleRepository
from .requesting import Requests
from .rollout_control import Aborting, RolloutControl
from .secrets import Passphrases, ReferencedSecrets
from .serving.images import ImageServerProcess
from .simulation import Simulation, prepare
from .snapshots import Snapshots
from .stock import REPOSITORY, Stock
from .together import RunReport, deploy_together
from .watch import Watch
from .webhooks import Webhooks
from .worker.worker_orchestrator import WorkerOrchestrator

__all__ = ["PUBLISHER_KEY", "REPOSITORY", "TRUST", "Automation"]


class Automation:
    """Composes the parts and keeps nothing of its own.

    Use it from one event loop, as ``async with``. Reading needs no lock; whoever changes a node holds
    its lease meanwhile.
    """

    def __init__(
        self,
        inventory: Path | None,
        state: Path,
        *,
        clock: Clock | None = None,
        secret_store: Secrets | None = None,
        passphrases: AskSecret | None = None,
        by: str = "",
        read_only: bool = False,
    ) -> None:
        """Read the inventory; open nothing else yet.

        Args:
            inventory: The inventory file; None where only bundles are worked on.
            state: The state directory; made when it is first written to.
            clock: The time; real unless a test says otherwise.
            secret_store: Where references to credentials are resolved.
            passphrases: Who says a key's passphrase; the environment (``RACKWAVE_PASSPHRASE``) where it is None.
            by: Who asks, for the journal; the user and host where it is empty.
            read_only: Only what the journal says is asked for: nothing is made, nothing written.

        Raises:
            InventoryError: the inventory cannot be used.
        """
        self.inventory = load_inventory(inventory) if inventory is not None else Inventory(())
        self.state = state
        self._clock: Clock = clock or SystemClock()
        self._secrets: Secrets = secret_store or ReferencedSecrets()
        self._by = by or f"{getpass.getuser()}@{socket.gethostname()}"
        self._going_on: list[Callable[[RolloutState], None]] = []
        self.records = Records(state, clock=self._clock, read_only=read_only)
        self._images: ImageServerProcess | None = None
        self._fleet: Fleet | None = None
        self._watched: Fleet | None = None
        self._running: WeakSet[BundleOrchestrator | Watch] = WeakSet()
        self._leave: NodeLeave | None = None
        self._webhooks: Webhooks | None = None
        self._releases: Releases | None = None
        self.stock = Stock(
            state, clock=self._clock, secret_store=self._secrets, passphrases=passphrases or Passphrases(), by=self._by
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close sessions, image server and journal; wait a moment for what people are to be told of."""
        if self._webhooks is not None:
            await self._webhooks.close()
        for fleet in (self._fleet, self._watched):
            if fleet is not None:
                await fleet.close()
        if self._images is not None:
            await self._images.stop()
        self.records.close()
        self._fleet, self._watched, self._images, self._leave, self._webhooks = None, None, None, None, None

    # -- bundles -------------------------------------------------------------------------------

    @property
    def repository(self) -> BundleRepository:
        """The bundle repository (116)."""
        return self.stock.repository

    @property
    def manager(self) -> BundleManager:
        """The bundle manager (112); it can sign where the state directory holds a publisher's key."""
        return self.stock.manager

    def bundle(self, bundle: BundleId) -> Bundle:
        """Load and verify *bundle*, once."""
        return self.stock.bundle(bundle)

    # -- what the journal says -------------------------------------------------------------------

    @property
    def logbook(self) -> Logbook:
        """The journal with its fold."""
        return self.records.logbook

    def subscribe(
        self, subscriber: Callable[[Recorded], None], *, going_on: Callable[[RolloutState], None] | None = None
    ) -> None:
        """Call *subscriber* with every event that is recorded here from now on. It must not block.

        *going_on* is called with each rollout that an earlier process left and that is gone on with.
        """
        self.records.subscribe(subscriber)
        if going_on is not None:
            self._going_on.append(going_on)

    def rollouts(self) -> tuple[RolloutReport, ...]:
        """Return every rollout, oldest first."""
        self.logbook.refresh()
        return tuple(self.report(state) for state in self.logbook.ledger.rollouts.values())

    def report(self, rollout: RolloutState) -> RolloutReport:
        """Return how *rollout* stands, and when it will be done, as far as anybody knows."""
        return RolloutReport(rollout, self.eta(rollout.id))

    def eta(self, rollout: RolloutId) -> Eta | None:
        """Say when *rollout* will be done; None where it is over."""
        state = self.logbook.ledger.rollouts[rollout]
        try:
            return eta_of(state, self.logbook.ledger, self.bundle, self._clock.now(), self._windows)
        except BundleError as error:
            return Eta(None, None, str(error))

    def history(self, nodes: str | None = None) -> Iterator[Recorded]:
        """Read the journal, or what it says of some nodes."""
        return self.records.events({node.name for node in self.fleet.select(nodes)} if nodes is not None else None)

    async def status(self, nodes: str | None = None, *, look: bool = False) -> tuple[NodeStatus, ...]:
        """Return where each node stands; with *look*, also what its BMC says and how it drifted."""
        self.logbook.refresh()
        holders = self.records.holders()
        found = [
            NodeStatus(self.logbook.node(node.name), holders.get(node.name, "")) for node in self.fleet.select(nodes)
        ]
        return tuple(await each(self._planner().survey, found)) if look else tuple(found)

    # -- plan and deploy ---------------------------------------------------------------------------

    async def plan(
        self,
        bundle: str | BundleId,
        nodes: str | None = None,
        *,
        policy: Policy | None = None,
        no_way_back: Consent = (),
    ) -> RackPlan:
        """Look at the nodes and say what bringing them level with *bundle* takes; touch nothing.

        Args:
            bundle: Which bundle, for example ``A.2``.
            nodes: Which nodes (names, ranges, ``label=value``); those its lineage selects where None.
            policy: Overrides the inventory's.
            no_way_back: Elements that may be written although there is no way back from them; True: all.
        """
        wanted = await self.stock.obtain(_bundle_id(bundle))
        await asyncio.to_thread(self.repository.trust.check_forward, wanted.id, wanted.digest)
        chosen = self._chosen(wanted, nodes)
        self.logbook.refresh()
        ways = (way_back(self.logbook.node(node.name), wanted.id) for node in chosen)
        await self.stock.bring(way.bundle for way in ways if way is not None)
        return await self._planner().plan(wanted, chosen, policy or self.policy(), no_way_back=no_way_back)

    def policy(self, **overrides: Any) -> Policy:
        """Return the inventory's policy with *overrides* (None: keep)."""
        given = {name: value for name, value in overrides.items() if value is not None}
        return Policy(**{**self.inventory.policy, **given})

    async def deploy(
        self,
        bundle: str | BundleId,
        nodes: str | None = None,
        *,
        policy: Policy | None = None,
        no_way_back: Consent = (),
    ) -> RolloutReport:
        """Roll *bundle* out, in waves, to the end; roll back and recover what fails on the way.

        An unfinished rollout of the same bundle to the same nodes is gone on with, as it was begun.

        Raises:
            PlanRefusedError: the plan has refusals; nothing was touched.
            UsageError: a rollout of another bundle, or to other nodes, has not ended.
            LeaseError: another process works on one of the nodes.
        """
        wanted = await self.stock.obtain(_bundle_id(bundle))
        begun = self._begun(wanted, {node.name for node in self._chosen(wanted, nodes)})
        if begun is not None:
            return await self._go_on(begun)
        plan = await self.plan(bundle, nodes, policy=policy, no_way_back=no_way_back)
        unless_refused(plan)
        return await self._begin(plan, plan.waves)

    async def simulation(
        self,
        bundle: str | BundleId,
        nodes: str | None = None,
        *,
        policy: Policy | None = None,
        no_way_back: Consent = (),
        odds: Odds | None = None,
        pace: Pace | None = None,
        start: float | None = None,
    ) -> Simulation:
        """Plan a rollout as ``deploy`` would, on machines in memory; no BMC is asked, and nothing is journalled.

        Args:
            bundle: Which bundle; it must be in the repository.
            nodes: As for ``plan``.
            policy: As for ``plan``.
            no_way_back: As for ``plan``.
            odds: What may go wrong; nothing where None.
            pace: How long things take, where not as long as the journal says.
            start: When it would begin, in epoch seconds; now where None.

        Raises:
            PlanRefusedError: a node refuses the bundle.
            UsageError: the lab is not installed.
        """
        wanted = self.bundle(_bundle_id(bundle))
        await asyncio.to_thread(self.repository.trust.check_forward, wanted.id, wanted.digest)
        self.logbook.refresh()
        return await prepare(
            wanted,
            self._chosen(wanted, nodes),
            policy or self.policy(),
            no_way_back=no_way_back,
            odds=odds or Odds(),
            pace=pace or Pace(),
            start=self._clock.now() if start is None else start,
            logbook=self.logbook,
            repository=self.repository,
            load=self.bundle,
            selectors=self.inventory.selectors,
            validation=self.stock.validation,
            windows=self._windows,
        )

    async def simulate(
        self,
        bundle: str | BundleId,
        nodes: str | None = None,
        *,
        seeds: Iterable[int] = range(1, 11),
        policy: Policy | None = None,
        no_way_back: Consent = (),
        odds: Odds | None = None,
        pace: Pace | None = None,
        start: float | None = None,
    ) -> Forecast:
        """Run a ``simulation`` once for each of *seeds*, in a thread, and sum up how it ends."""
        ready = await self.simulation(
            bundle, nodes, policy=policy, no_way_back=no_way_back, odds=odds, pace=pace, start=start
        )
        return ready.forecast([await asyncio.to_thread(ready.run, seed) for seed in seeds])

    async def deploy_together(
        self,
        bundles: Sequence[str | BundleId],
        nodes: str | None = None,
        *,
        policy: Policy | None = None,
        no_way_back: Consent = (),
    ) -> RunReport:
        """Roll several bundles out in one run; see ``together.deploy_together``."""
        wanted = [(await self.stock.obtain(_bundle_id(bundle))).id for bundle in bundles]
        return await deploy_together(self, wanted, nodes, policy=policy, no_way_back=no_way_back)

    def narrowed(self, bundle: BundleId, nodes: str | None) -> str:
        """Name those of *nodes* (None: of all) that *bundle* is for.

        Raises:
            UsageError: it is for none of them.
        """
        wanted = self.bundle(bundle)
        fitting = [n.name for n in self.fleet.select(nodes) if refusal(n, wanted, self.inventory.selectors) is None]
        if not fitting:
            raise UsageError(
                f"no node{'' if nodes is None else ' of those named'} is for {bundle}",
                advice=f"Look at [lineages.{bundle.lineage}] in the inventory and applies_to in the bundle.",
            )
        return ",".join(fitting)

    async def apply(self, reviewed: ReviewedPlan) -> RolloutReport:
        """Roll out what was planned and read, as it was read; a rollout of it that was interrupted is gone on with.

        Raises:
            PlanStaleError: a node is not any more as the plan found it; nothing was touched.
            UsageError: a rollout to some of its nodes has not ended, or a node is not in the inventory any more.
            LeaseError: another process works on one of the nodes.
        """
        wanted = await self.stock.obtain(reviewed.bundle)
        begun = self._begun(wanted, set(reviewed.nodes))
        if begun is not None:
            return await self._go_on(begun)
        nodes = ",".join(reviewed.nodes)
        plan = await self.plan(wanted.id, nodes, policy=reviewed.policy, no_way_back=reviewed.no_way_back)
        moved = reviewed.moved(plan)
        if moved:
            raise PlanStaleError(
                f"the plan is stale: {len(moved)} of {len(reviewed.nodes)} nodes are not as it found them",
                reasons=tuple(f"{node}: {what}" for node, what in moved),
                advice="Plan again and read it again; nothing was touched.",
            )
        return await self._begin(plan, reviewed.waves)

    def _begun(self, wanted: Bundle, chosen: set[NodeName]) -> RolloutState | None:
        """Return the rollout of exactly this that has not ended, if there is one; refuse beside any other."""
        self.logbook.refresh()
        for other in self.logbook.ledger.unfinished():
            if (other.bundle, other.digest) == (wanted.id, wanted.digest) and set(other.nodes) == chosen:
                return other
            if not chosen.isdisjoint(other.nodes):
                raise not_ended(other)
        return None

    async def _begin(self, plan: RackPlan, waves: tuple[tuple[NodeName, ...], ...]) -> RolloutReport:
        rollout = RolloutId(secrets.token_hex(4))
        # Nothing is written to a rack that is level: there is nothing a canary could show.
        cut = (tuple(each.node for each in plan.nodes),) if plan.is_level else waves
        started = RolloutStarted(rollout, plan.bundle, plan.digest, cut, plan.policy, self._by)
        bindings = [Bound(node, plan.bundle, plan.digest, binding) for node, binding in plan.bindings.items()]
        return RolloutReport(await self._orchestrator().begin_rollout(started, bindings))

    @property
    def control(self) -> RolloutControl:
        """What pauses, approves and aborts rollouts, also those that another process runs."""
        return RolloutControl(
            self.records,
            clock=self._clock,
            by=self._by,
            why_not_sendable=lambda bundle: self.repository.why_not_sendable(bundle),
        )

    async def abort(self, rollout: str, reason: str, *, now: bool = False, roll_back: bool = False) -> Aborting:
        """End a rollout as ``RolloutControl.abort`` does; where nodes go back and no process runs it, bring them back.

        Raises:
            UsageError, PlanRefusedError: as ``RolloutControl.abort``.
        """
        found = await self.control.abort(rollout, reason, now=now, roll_back=roll_back)
        if roll_back and not found.runs and found.rollout.finished is None:
            report = await self._go_on(found.rollout)
            return evolve(found, rollout=report.state)
        return found

    async def resume(self, rollout: str | None = None) -> tuple[RolloutReport, ...]:
        """Go on with every rollout and recovery that an earlier process left unfinished, and end its sessions.

        Where *rollout* names one (its id, or the beginning of it) a pause of that one ends, and nothing else is gone
        on with; if another process runs it, that one does.

        Raises:
            UsageError: there is no such rollout, or it is over.
        """
        if rollout is not None:
            state = await self.control.carry_on(rollout)
            if not set(state.nodes).isdisjoint(self.records.holders()):
                return (RolloutReport(state),)
            return (await self._go_on(state),)
        self.logbook.refresh()
        reports = [await self._go_on(rollout) for rollout in self.logbook.ledger.unfinished()]
        for history in tuple(self.logbook.ledger.nodes.values()):
            lineage = _open_lineage(history)
            if lineage is not None and history.node in self.fleet:
                await self._orchestrator().finish((history.node,), lineage, self.policy())
        for history in tuple(self.logbook.ledger.nodes.values()):
            if history.sessions and history.node in self.fleet:
                with suppress(LeaseError):  # whoever works there closes them, or has opened them
                    await self._orchestrator().tidy((history.node,))
        return tuple(reports)

    def stop(self) -> None:
        """Ask a running rollout, or watch, to stop at its next safe point; it can be gone on with later."""
        for running in self._running:
            running.stop()

    # -- recovery ------------------------------------------------------------------------------------

    async def rollback(
        self,
        nodes: str | None,
        lineage: str,
        *,
        component: str | None = None,
        reason: str = "",
        at_once: bool = False,
    ) -> tuple[NodeStatus, ...]:
        """Bring nodes back to what each had before; see ``OperatorRecovery.rollback``."""
        back = self.operator_recovery
        return await back.rollback(nodes, Lineage(lineage), component=component, reason=reason, at_once=at_once)

    async def recover(self, nodes: str | None, lineage: str, *, ladder: str | None = None) -> tuple[NodeStatus, ...]:
        """Bring dead nodes back on their assigned bundle; see ``OperatorRecovery.recover``."""
        return await self.operator_recovery.recover(nodes, Lineage(lineage), ladder=ladder)

    async def readmit(self, nodes: str, reason: str) -> tuple[NodeName, ...]:
        """Take nodes out of quarantine, and forget the logins that they refused; return those concerned."""
        return await self.operator_recovery.readmit(nodes, reason)

    async def locate(self, nodes: str, *, on: bool) -> list[tuple[NodeName, str]]:
        """Switch the locator light of nodes; for each, why it could not be, or nothing.

        No lease is taken: a light changes nothing that a rollout looks at.
        """

        async def one(node: Node) -> tuple[NodeName, str]:
            refusals = []
            try:
                for panel in await self.fleet.panels(node.name):
                    receipt = await panel.set_indicator(on=on)
                    if isinstance(receipt, Accepted):
                        return node.name, ""
                    refusals.append(receipt.reason)  # a light may be switched twice: what is unclear is tried again
            except RackwaveError as error:
                refusals.append(error.whole)
            finally:
                await self.fleet.release(node.name)
            return node.name, "; ".join(refusals)

        return await each(one, self.fleet.select(nodes))

    # -- by hand -------------------------------------------------------------------------------------

    @property
    def holds(self) -> Holds:
        """What persons want left alone."""
        return Holds(self.logbook, self.fleet, clock=self._clock, by=self._by)

    @property
    def requests(self) -> Requests:
        """What puts on the record that a node is to be recovered, for the watch to do."""
        return Requests(self.logbook, self.fleet, by=self._by)

    @property
    def leave(self) -> NodeLeave:
        """Who says whether a node may be touched now."""
        if self._leave is None:
            drain, hook = self.inventory.drain, None
            if drain.hook or drain.command:
                hook = DrainHook(drain, clock=self._clock, labels=lambda name: self.fleet.managed(name).node.labels)
            self._leave = NodeLeave(self.logbook, clock=self._clock, hook=hook)
        return self._leave

    def hands_on(self, *, meant: bool = False) -> HandsOn:
        """Return what works machines by hand; *meant*: also those that are held or have work on them."""
        leases = self.records.leases()
        if leases is None:
            raise StateError("the state directory is open for reading only")
        return HandsOn(
            logbook=self.logbook,
            leases=leases,
            leave=self.leave,
            bmc=self.fleet.get,
            panel=self.fleet.panel,
            clock=self._clock,
            by=self._by,
            meant=meant,
        )

    def one(self, node: str) -> NodeName:
        """Return the one node that *node* names.

        Raises:
            UsageError: it names none, or several.
        """
        chosen = self.fleet.select(node)
        if len(chosen) != 1:
            raise UsageError(f"{node} names {len(chosen)} nodes; this takes one at a time")
        return chosen[0].name

    # -- the parts -----------------------------------------------------------------------------------

    @property
    def operator_recovery(self) -> OperatorRecovery:
        """Roll-back and recovery where a person asks for them."""
        return OperatorRecovery(
            logbook=self.logbook,
            fleet=self.fleet,
            stock=self.stock,
            policy=self.policy(),
            orchestrator=self._orchestrator,
            status=self.status,
            clock=self._clock,
            by=self._by,
        )

    @property
    def watch(self) -> Watch:
        """What keeps the fleet on its bundles while nobody looks; ``stop`` ends it."""
        self._tell_people()
        if self._watched is None:
            self._watched = self._new_fleet()
        watch = Watch(
            logbook=self.logbook,
            bmcs=self._watched,
            orchestrator=self._orchestrator,
            load=self.bundle,
            bring=self.stock.bring,
            holders=self.records.holders,
            due=lambda nodes: words_by_node(self.releases.due(nodes)),
            windows=self._windows,
            watch=self.inventory.watch,
            policy=self.policy(),
            clock=self._clock,
        )
        self._running.add(watch)
        return watch

    @property
    def pins(self) -> Pins:
        """The keys by which BMCs are believed that have no certificate of ours."""
        return Pins(self.logbook, self.fleet, by=self._by)

    @property
    def releases(self) -> Releases:
        """What vendors publish: the bundle manager (112) by itself."""
        if self._releases is None:
            self._releases = Releases(
                self.stock, self.logbook, clock=self._clock, secret_store=self._secrets, by=self._by
            )
        return self._releases

    @property
    def adopting(self) -> Adopting:
        """What takes a rack in as it is found."""
        return Adopting(fleet=self.fleet, stock=self.stock, records=self.records, by=self._by)

    @property
    def snapshots(self) -> Snapshots:
        """What takes snapshots of nodes, and brings nodes back to them."""
        return Snapshots(self, fleet=self.fleet, stock=self.stock, records=self.records, clock=self._clock, by=self._by)

    @property
    def fleet(self) -> Fleet:
        """The managed machines and the way to their BMCs."""
        if self._fleet is None:
            self._fleet = self._new_fleet()
        return self._fleet

    @property
    def images(self) -> ImageServerProcess:
        """The image server that BMCs pull from; its child starts with the first grant or door."""
        if self._images is None:
            logbook = self.logbook
            self._images = ImageServerProcess(
                self.state / IMAGES,
                self.inventory.serving,
                clock=self._clock,
                bmc_hosts={managed.name: managed.bmc_host for managed in self.inventory.nodes},
                on_fetch=lambda fetched: logbook.record(fetched),
            )
        return self._images

    # -- inside --------------------------------------------------------------------------------------

    def _chosen(self, bundle: Bundle, nodes: str | None) -> tuple[Node, ...]:
        """The nodes that were named or, where none were, those that the bundle is for."""
        if nodes is not None:
            return self.fleet.select(nodes)
        return self.fleet.select(self.narrowed(bundle.id, None))

    async def _go_on(self, rollout: RolloutState) -> RolloutReport:
        for tell in self._going_on:
            tell(rollout)
        return RolloutReport(await self._orchestrator().run_rollout(rollout.id))

    def _new_fleet(self) -> Fleet:
        return Fleet(
            self.inventory,
            secret_store=self._secrets,
            logbook=self.logbook,
            clock=self._clock,
            fingerprints=Fingerprints(self.state / KEY_FILE),
            doors=self.images if self.inventory.serving.events else None,
        )

    def _windows(self, node: NodeName) -> Sequence[Windows]:
        return self.inventory.windows.get(node, ())

    def _tell_people(self) -> None:
        """Begin to tell the inventory's webhooks what happens, and what was not told yet."""
        if self._webhooks is None and self.inventory.webhooks:
            self._webhooks = Webhooks(self.inventory.webhooks, logbook=self.logbook, clock=self._clock)
            self.subscribe(self._webhooks)
            self._webhooks.start()

    def _orchestrator(self) -> BundleOrchestrator:
        leases = self.records.leases()
        if leases is None:
            raise StateError("the state directory is open for reading only")
        self._tell_people()
        worker = WorkerOrchestrator(
            logbook=self.logbook,
            images=self.images,
            payload_path=self.repository.payload_path,
            clock=self._clock,
            leave=self.leave,
        )
        orchestrator = BundleOrchestrator(
            logbook=self.logbook,
            worker=worker,
            recovery=RecoveryManager(logbook=self.logbook, load=self.bundle, clock=self._clock),
            bmcs=self.fleet,
            load=self.bundle,
            forward=self.stock.forward,
            leases=leases,
            holder=Holder.here(),
            clock=self._clock,
            windows=self._windows,
            gate=MetricsGate(self.inventory.gate) if self.inventory.gate is not None else None,
        )
        self._running.add(orchestrator)
        return orchestrator

    def _planner(self) -> RackPlanner:
        return RackPlanner(
            logbook=self.logbook,
            repository=self.repository,
            load=self.bundle,
            bmcs=self.fleet,
            selectors=self.inventory.selectors,
            clock=self._clock,
            leave=self.leave,
            validation=self.stock.validation,
        )


def _bundle_id(bundle: str | BundleId) -> BundleId:
    return bundle if isinstance(bundle, BundleId) else BundleId.parse(bundle)


def _open_lineage(history: NodeHistory) -> Lineage | None:
    """The lineage that an unfinished recovery outside any rollout is about."""
    if history.recovery is not None:
        return history.recovery.bundle.lineage
    return history.attempt.goal.bundle.lineage if history.attempt is not None else None
