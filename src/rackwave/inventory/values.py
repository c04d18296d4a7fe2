"""What an inventory is once it was read and checked."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from attrs import field, frozen

from ..bmc.hook import HookCommand
from ..bmc.ipmi.endpoint import Endpoint
from ..core.access import AccessPolicy
from ..core.bundle import frozen_map
from ..core.identity import NodeName
from ..core.node import Node, Selector
from ..core.notice import Occasion
from ..core.pin import Trust
from ..core.watch_policy import WatchPolicy
from ..core.window import Windows
from ..drain import DrainConfig
from ..errors import UsageError
from ..serving.config import ServingConfig

IPMI = "ipmi"
"""The scheme of an address at which there is IPMI and no Redfish."""


@frozen
class ManagedNode:
    """A node together with the ways to its BMC. Credentials are references, never values.

    *pinned*: its BMC is believed by the key that it showed first. *bmc_url* is ``https://…`` or, for one
    without Redfish, ``ipmi://…``; *ipmi* is where it listens for IPMI, None where it does not or nobody said so.
    """

    node: Node
    bmc_url: str
    credentials: str
    ca: Path | None = None
    insecure_http: bool = False
    pinned: bool = False
    ipmi: Endpoint | None = None
    ipmi_credentials: str = ""

    @property
    def name(self) -> NodeName:
        """The node's name."""
        return self.node.name

    @property
    def has_redfish(self) -> bool:
        """Whether its BMC speaks Redfish."""
        return urlsplit(self.bmc_url).scheme != IPMI

    @property
    def trust(self) -> Trust:
        """How its BMC is believed."""
        if not self.has_redfish:
            return Trust.PASSWORD
        if self.insecure_http:
            return Trust.NOBODY
        return Trust.PIN if self.pinned else Trust.CA

    @property
    def site(self) -> str:
        """Where it stands: its label ``site``."""
        return self.node.labels.get("site", "")

    @property
    def bmc_host(self) -> str:
        """The host part of the BMC's URL."""
        return urlsplit(self.bmc_url).hostname or ""


@frozen
class GateCommand:
    """The user's command that looks at metrics of the nodes done so far; *timeout* in seconds for one run."""

    command: tuple[str, ...]
    timeout: float = 30.0


@frozen
class Webhook:
    """Where notices go: *on* are the occasions, *secret* is a reference to what signs them, *ca* vouches for the host.

    The URL may grant access by itself, so that it is shown nowhere: *name* is what the hook is called.
    """

    name: str
    url: str = field(repr=False)
    on: frozenset[Occasion]
    secret: str = ""
    ca: Path | None = None
    timeout: float = 10.0


@frozen
class Inventory:
    """What a TOML file said, checked. *policy* holds the numbers that it changes in ``core.policy.Policy``.

    *outlet* and *in_band* are the user's commands that restart a BMC: by the node's mains, from its host. *windows*
    are the maintenance windows that some nodes have of their own.
    """

    nodes: tuple[ManagedNode, ...]
    selectors: tuple[Selector, ...] = ()
    serving: ServingConfig = field(factory=ServingConfig)
    drain: DrainConfig = field(factory=DrainConfig)
    access: AccessPolicy = field(factory=AccessPolicy)
    policy: Mapping[str, int | float | str] = field(factory=dict, converter=frozen_map)
    outlet: HookCommand | None = None
    in_band: HookCommand | None = None
    webhooks: tuple[Webhook, ...] = ()
    gate: GateCommand | None = None
    windows: Mapping[NodeName, tuple[Windows, ...]] = field(factory=dict, converter=frozen_map)
    watch: WatchPolicy = field(factory=WatchPolicy)

    def node(self, name: NodeName) -> ManagedNode:
        """Return the node called *name*.

        Raises:
            UsageError: there is none; near misses are named.
        """
        for managed in self.nodes:
            if managed.name == name:
                return managed
        raise no_such_node([name], self)


def no_such_node(missing: Sequence[str], inventory: Inventory) -> UsageError:
    """Say which names are *missing* and what may have been meant."""
    known = [str(managed.name) for managed in inventory.nodes]
    near = difflib.get_close_matches(missing[0], known, n=3, cutoff=0.5)
    shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
    return UsageError(
        f"Not in the inventory: {shown}.",
        advice=f"Did you mean {' or '.join(near)}?" if near else "List the nodes with 'rackwave status'.",
    )
