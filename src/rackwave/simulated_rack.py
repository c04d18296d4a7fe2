"""What a simulation wants of a rack in memory, and where one is found: rackwave knows no lab but by its entry point."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from importlib.metadata import entry_points
from typing import Any, Protocol, TypeVar

from .core.bundle import Bundle
from .core.forecast import RackTruth
from .core.identity import NodeName
from .core.odds import Odds
from .core.stand_in import StandIn
from .errors import UsageError
from .ports import Bmc, Clock, ImageServer

GROUP = "rackwave.simulator"
"""The entry points by which a lab offers simulated racks."""

T = TypeVar("T")


class SimulatedRack(Protocol):
    """Machines in memory, on a clock of their own."""

    clock: Clock
    images: ImageServer

    def bmc(self, node: NodeName) -> Bmc:
        """Return the client of *node*'s BMC."""
        ...

    def run(self, main: Coroutine[Any, Any, T], *, at_most: float) -> T:
        """Run *main* to its end on virtual time."""
        ...

    def truth(self) -> RackTruth:
        """Say what the machines know of what was done to them."""
        ...


class Simulator(Protocol):
    """Makes simulated racks; the arguments are those of the lab's ``SimulatedRack``."""

    def __call__(
        self,
        stand_ins: Iterable[StandIn],
        bundles: Iterable[Bundle],
        *,
        odds: Odds = ...,
        seed: int = ...,
        start: float = ...,
        lasts: float = ...,
    ) -> SimulatedRack:
        """Make one."""
        ...


def find_simulator() -> Simulator:
    """Return what makes simulated racks.

    Raises:
        UsageError: none is installed.
    """
    for point in entry_points(group=GROUP):
        found: Simulator = point.load()
        return found
    raise UsageError(
        "the lab, whose machines stand in for the nodes, is not installed",
        advice="Install it with 'pip install rackwave-emulators' (in a checkout: ./emulators).",
    )


class RackPool:
    """Hands out the clients of a simulated rack: a ``BmcPool`` without connections."""

    def __init__(self, rack: SimulatedRack) -> None:
        self._rack = rack

    async def get(self, node: NodeName) -> Bmc:
        """Return the client of *node*'s BMC."""
        return self._rack.bmc(node)

    async def release(self, node: NodeName) -> None:
        """Hold nothing, let go of nothing."""
