"""The managed machines (130-170) and the way to their BMCs: inventory, credentials and live adapters."""

from __future__ import annotations

from .bmc.failover import FailoverBmc, Way
from .bmc.failover_panel import FailoverPanel
from .bmc.hook import CommandHook
from .bmc.ipmi.bmc import IpmiBmc
from .bmc.ipmi.threads import Threads
from .bmc.pool import BmcPool, Connected
from .bmc.redfish.bmc import RedfishBmc
from .bmc.redfish.habits import Habits
from .bmc.redfish.trust import CaTrust, PinnedKey, PlainHttp, SystemTrust, TlsTrust
from .bmc.throttle import Throttles
from .core.event import SessionClosed, SessionOpened
from .core.identity import NodeName
from .core.node import Node
from .descriptors import allow_connections
from .engine.logbook import Logbook
from .engine.logins import Fingerprints, JournalledLogins
from .engine.pins import JournalledKeys
from .errors import InventoryError, NodeError
from .inventory import Inventory, ManagedNode, select
from .ports import Clock, Credentials, EventDoors, Means, Panel, Secrets


class Fleet:
    """Knows every node of one inventory. Sessions on BMCs are journalled, so that none is left open for good."""

    def __init__(
        self,
        inventory: Inventory,
        *,
        secret_store: Secrets,
        logbook: Logbook,
        clock: Clock,
        fingerprints: Fingerprints,
        doors: EventDoors | None = None,
    ) -> None:
        self.inventory = inventory
        self._fingerprints = fingerprints
        self._doors = doors
        self._throttles = Throttles(ceiling=inventory.access.in_flight)
        self._nodes = {managed.node.name: managed for managed in inventory.nodes}
        self._secrets = secret_store
        self._logbook = logbook
        self._clock = clock
        self._habits = Habits()
        allow_connections(2 * len(self._nodes))  # one for what is asked, one for the stream of its events
        self._threads = Threads()
        self._hooks = {
            means: CommandHook(command, action=action)
            for means, command, action in (
                (Means.HOST, inventory.in_band, "reset-bmc"),
                (Means.OUTLET, inventory.outlet, "cycle"),
            )
            if command is not None
        }
        self._pool = BmcPool(
            self._connect,
            leftovers=lambda node: logbook.node(node).sessions,
            closed=lambda node, uri: logbook.record(SessionClosed(node, uri)),
        )

    def __contains__(self, node: NodeName) -> bool:
        return node in self._nodes

    def managed(self, node: NodeName) -> ManagedNode:
        """Return how *node* is reached.

        Raises:
            InventoryError: the journal knows it, the inventory does not (any more).
        """
        try:
            return self._nodes[node]
        except KeyError:
            raise InventoryError(
                f"{node} is not in the inventory",
                advice="A rollout or recovery of it has not ended: put it back until that is done.",
            ) from None

    def select(self, nodes: str | None) -> tuple[Node, ...]:
        """Return the nodes that the expression *nodes* names; all where it is None.

        Raises:
            UsageError: it names none, or one that is not in the inventory.
        """
        return select(self.inventory, nodes if nodes is not None else "@all")

    def credentials(self, node: NodeName) -> Credentials:
        """Resolve the credentials of *node*.

        Raises:
            SecretError: the reference does not resolve.
        """
        return self._secrets.resolve(self.managed(node).credentials)

    async def get(self, node: NodeName) -> FailoverBmc:
        """Return the live adapter of *node*'s BMC by every way there is, the same one until it is released."""
        return (await self._pool.get(node)).bmc

    async def redfish(self, node: NodeName) -> RedfishBmc:
        """Return the Redfish side of *node*'s BMC, for what there is only there.

        Raises:
            NodeError: it has none.
        """
        found = (await self._pool.get(node)).redfish
        if found is None:
            raise NodeError(
                f"{node}: its BMC speaks no Redfish, which this needs",
                node=node,
                advice="The inventory has an ipmi:// address for it; write https:// where there is Redfish.",
            )
        return found

    async def ipmi(self, node: NodeName) -> IpmiBmc | None:
        """Return the IPMI side of *node*'s BMC; None where the inventory names none."""
        return (await self._pool.get(node)).ipmi

    async def panels(self, node: NodeName) -> tuple[Panel, ...]:
        """Return every way to *node*'s panel, the one to be tried first in front."""
        found = await self._pool.get(node)
        redfish = (found.redfish.panel,) if found.redfish is not None else ()
        return (*redfish, *((found.ipmi,) if found.ipmi is not None else ()))

    async def panel(self, node: NodeName) -> Panel:
        """Return what a person reads of and does to *node*, by every way there is."""
        return FailoverPanel(*await self.panels(node))

    async def release(self, node: NodeName) -> None:
        """Close the adapter of *node* and the session it holds."""
        await self._pool.release(node)

    async def close(self) -> None:
        """Close every adapter."""
        await self._pool.close()
        self._threads.close()

    def _connect(self, node: NodeName) -> Connected:
        managed = self.managed(node)
        redfish = self._redfish(managed) if managed.has_redfish else None
        ipmi = self._ipmi(managed)
        ways = [Way(means, bmc, self._clock) for means, bmc in ((Means.REDFISH, redfish), (Means.IPMI, ipmi)) if bmc]
        return Connected(FailoverBmc(*ways, clock=self._clock, hooks=self._hooks), redfish, ipmi)

    def _ipmi(self, managed: ManagedNode) -> IpmiBmc | None:
        if managed.ipmi is None:
            return None
        return IpmiBmc(
            managed.name,
            managed.ipmi,
            lambda: self._secrets.resolve(managed.ipmi_credentials),
            clock=self._clock,
            threads=self._threads,
            memory=JournalledLogins(managed.name, self._logbook, self._fingerprints, self._clock, way="ipmi"),
        )

    def _redfish(self, managed: ManagedNode) -> RedfishBmc:
        node = managed.name

        async def on_session(uri: str, opened: bool) -> None:
            await self._logbook.record(SessionOpened(node, uri) if opened else SessionClosed(node, uri))

        trust = _trust(managed)
        is_pinned = isinstance(trust, PinnedKey)
        return RedfishBmc(
            node,
            managed.bmc_url,
            lambda: self.credentials(node),
            clock=self._clock,
            trust=trust,
            on_session=on_session,
            memory=JournalledLogins(node, self._logbook, self._fingerprints, self._clock),
            keys=JournalledKeys(node, self._logbook, self._clock, self.inventory.access.repin) if is_pinned else None,
            throttle=self._throttles.of(managed.site, self._vendor(managed)),
            habits=self._habits,
            doors=self._doors,
        )

    def _vendor(self, managed: ManagedNode) -> str:
        """The machine's make, as the inventory has it or else as the machine once said."""
        identity = self._logbook.node(managed.name).identity
        return managed.node.vendor or (identity.vendor if identity is not None else "")


def _trust(managed: ManagedNode) -> TlsTrust:
    if managed.insecure_http:
        return PlainHttp()
    if managed.pinned:
        return PinnedKey()
    return CaTrust(managed.ca) if managed.ca is not None else SystemTrust()
