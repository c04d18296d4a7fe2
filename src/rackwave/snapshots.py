"""Takes snapshots of nodes and brings nodes back to them, by rollouts of the bundles that they carried then."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from attrs import evolve, field, frozen

from .core.bundle import frozen_map
from .core.identity import BundleId, NodeName
from .core.report import NodeStatus, RackPlan, RolloutReport, timestamp
from .core.snapshot import MOST, Carried, NodeSnapshot, Snapshot, Target, target_of
from .core.way_back import Consent
from .errors import BundleError, PlanRefusedError, RackwaveError, StateError, UsageError
from .fleet import Fleet
from .ports import Clock
from .records import Records
from .stock import Stock
from .together import side_by_side


class Deploys(Protocol):
    """What looks at nodes, plans and deploys; ``Automation`` does."""

    async def status(self, nodes: str | None = None, *, look: bool = False) -> tuple[NodeStatus, ...]:
        """Say how nodes are."""
        ...

    async def plan(self, bundle: str | BundleId, nodes: str | None = None, *, no_way_back: Consent = ()) -> RackPlan:
        """Plan a bundle."""
        ...

    async def deploy(
        self, bundle: str | BundleId, nodes: str | None = None, *, no_way_back: Consent = ()
    ) -> RolloutReport:
        """Deploy a bundle."""
        ...


@frozen
class RestoreReport:
    """What each node takes, or why it cannot be brought back; and the rollouts that did it, where they were run.

    *left_out* are bundles that were not begun with, and why.
    """

    targets: tuple[Target, ...]
    rollouts: tuple[RolloutReport, ...] = ()
    left_out: Mapping[BundleId, str] = field(factory=dict, converter=frozen_map)

    @property
    def problems(self) -> tuple[str, ...]:
        """Every reason why a node cannot be brought back."""
        return tuple(f"{each.node}: {problem}" for each in self.targets for problem in each.problems)

    @property
    def succeeded(self) -> bool:
        """Whether all nodes are back."""
        return not self.problems and not self.left_out and all(each.succeeded for each in self.rollouts)

    def is_back(self, target: Target) -> bool:
        """Whether a node carries all that it was to be sent, by the rollouts that were run."""
        back = {report.state.bundle for report in self.rollouts if target.node in report.on_new}
        return all(carried.bundle in back for carried in target.sends)

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "nodes": [
                {
                    "node": str(each.node),
                    "sends": [str(carried.bundle) for carried in each.sends],
                    "problems": list(each.problems),
                }
                for each in self.targets
            ],
            "rollouts": [str(report.state.id) for report in self.rollouts],
            "left_out": [{"bundle": str(bundle), "why": why} for bundle, why in self.left_out.items()],
            "succeeded": self.succeeded,
        }


class Snapshots:
    """Snapshots of the nodes of one state directory."""

    def __init__(
        self, deploys: Deploys, *, fleet: Fleet, stock: Stock, records: Records, clock: Clock, by: str
    ) -> None:
        self._deploys = deploys
        self._fleet = fleet
        self._stock = stock
        self._records = records
        self._clock = clock
        self._by = by

    async def take(self, nodes: str | None = None) -> Snapshot:
        """Look at nodes and say what they carry and run."""
        statuses = await self._deploys.status(nodes, look=True)
        return Snapshot(timestamp(self._clock.now()), self._by, tuple(map(NodeSnapshot.of, statuses)))

    async def plan(self, snapshot: Snapshot, nodes: str | None = None, *, no_way_back: Consent = ()) -> RestoreReport:
        """Say what bringing nodes back takes, and every node that cannot be; touch nothing.

        Raises:
            UsageError: *nodes* names one that is not in the snapshot.
        """
        then = {each.node: each for each in snapshot.nodes}
        wanted = list(then)
        if nodes is not None:
            wanted = [status.history.node for status in await self._deploys.status(nodes)]
        for name in wanted:
            if name not in then:
                raise UsageError(f"{name} is not in the snapshot", advice="Leave it out.")
        targets = {
            name: Target(name, problems=("it is not in the inventory",)) for name in wanted if name not in self._fleet
        }
        known = [name for name in wanted if name in self._fleet]
        statuses = await self._deploys.status(",".join(known), look=True) if known else ()
        for status in statuses:
            targets[status.history.node] = target_of(then[status.history.node], status)
        await self._stock.bring(carried.bundle for each in targets.values() for carried in each.sends)
        for carried, names in _groups(targets).items():
            for name, problem in (await self._problems(carried, names, no_way_back)).items():
                targets[name] = evolve(targets[name], problems=(*targets[name].problems, problem))
        return RestoreReport(tuple(targets[name] for name in wanted))

    async def restore(
        self, snapshot: Snapshot, nodes: str | None = None, *, no_way_back: Consent = ()
    ) -> RestoreReport:
        """Bring nodes back; those that are as they were are left alone.

        The same again goes on with what was interrupted.

        Raises:
            PlanRefusedError: one of them cannot be brought back; nothing was touched.
        """
        found = await self.plan(snapshot, nodes, no_way_back=no_way_back)
        if found.problems:
            count = sum(bool(each.problems) for each in found.targets)
            raise PlanRefusedError(
                f"{count} of {len(found.targets)} nodes cannot be brought back to the snapshot",
                reasons=found.problems,
                advice="Mend what is named, or leave those nodes out with --nodes.",
            )
        groups = _groups({each.node: each for each in found.targets})
        on = {carried.bundle: frozenset(names) for carried, names in groups.items()}
        ends = await side_by_side(
            on, lambda bundle: self._deploys.deploy(bundle, ",".join(sorted(on[bundle])), no_way_back=no_way_back)
        )
        return evolve(
            found,
            rollouts=tuple(end for end in ends.values() if isinstance(end, RolloutReport)),
            left_out={bundle: end for bundle, end in ends.items() if isinstance(end, str)},
        )

    async def _problems(
        self, carried: Carried, names: tuple[NodeName, ...], no_way_back: Consent
    ) -> Mapping[NodeName, str]:
        """Say for which of *names* the bundle that they carried cannot be sent."""
        try:
            bundle = self._stock.bundle(carried.bundle)
            if bundle.digest != carried.digest:
                raise BundleError(f"{carried.bundle} here is {bundle.digest}; {carried.digest} was assigned then")
            plan = await self._deploys.plan(carried.bundle, ",".join(names), no_way_back=no_way_back)
        except RackwaveError as error:
            return dict.fromkeys(names, error.whole)
        holders = self._records.holders()
        busy = {name: f"{holders[name]} works on it" for name in names if name in holders}
        return {**busy, **dict(plan.refusals)}


def _groups(targets: Mapping[NodeName, Target]) -> dict[Carried, tuple[NodeName, ...]]:
    """Return who is to be sent what."""
    found: dict[Carried, list[NodeName]] = {}
    for target in targets.values():
        for carried in target.sends:
            found.setdefault(carried, []).append(target.node)
    return {carried: tuple(names) for carried, names in found.items()}


def read_snapshot(path: Path) -> Snapshot:
    """Read the snapshot in the file *path*.

    Raises:
        UsageError: it is none, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > MOST:
        raise UsageError(f"{path} is larger than {MOST // 1024 // 1024} MiB: it is no snapshot")
    return Snapshot.read(data)


def write_new(path: Path, text: str) -> None:
    """Write *text* to *path*, whole or not at all, and never over a file that is there.

    Raises:
        UsageError: it is there.
        StateError: it cannot be written.
    """
    draft = path.with_name(f".{path.name}.draft")
    try:
        draft.write_text(text, "utf-8")
        path.hardlink_to(draft)
    except FileExistsError:
        raise UsageError(f"{path} is there already", advice="Name another file with -o.") from None
    except OSError as error:
        raise StateError(f"{path} cannot be written: {error.strerror}", advice="Name another place with -o.") from error
    finally:
        draft.unlink(missing_ok=True)
