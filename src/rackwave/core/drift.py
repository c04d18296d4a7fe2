"""How a machine differs from the bundle that is assigned to it: what a rollout of that bundle would change."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from .bundle import AttributeValue, Bundle
from .goal import Cause, Goal
from .identity import BundleId, Digest, NodeName
from .observation import Observation
from .planner import plan_node
from .step import StageSettings, Step, SwitchBank, Write, WriteImage, describe


@frozen
class Deviation:
    """A component's version, or a BIOS setting (*is_setting*), that is not as it is meant."""

    what: str
    have: AttributeValue
    want: AttributeValue
    is_setting: bool = False

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"what": self.what, "setting": self.is_setting, "have": self.have, "want": self.want}


@frozen
class Drift:
    """How a node differs from *bundle* as it is meant there; *unread* is what could not be compared, and why.

    Not read is not different: a node of which only that is known has not drifted, and is not level either.
    """

    bundle: BundleId
    digest: Digest
    deviations: tuple[Deviation, ...] = ()
    unread: tuple[str, ...] = ()
    told: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """One word: ``drifted``, ``unread`` or ``level``."""
        return "drifted" if self.deviations else "unread" if self.unread else "level"

    @property
    def lines(self) -> tuple[str, ...]:
        """It in sentences, what could not be read among them."""
        return (*self.told, *self.unread)


def drift_from(node: NodeName, bundle: Bundle, seen: Observation) -> Drift:
    """Compare *node* with *bundle*, which is assigned to it, as it is meant there."""
    plan = plan_node(node, Goal(bundle.id, bundle.digest, Cause.ROLLOUT), bundle, seen)
    steps = [step for step in plan.steps if isinstance(step, Write | StageSettings)]
    return Drift(
        bundle.id,
        bundle.digest,
        tuple(deviation for step in steps for deviation in _deviations(step)),
        tuple(note.text for note in plan.notes if note.blocks),
        tuple(describe(step) for step in steps),
    )


def _deviations(step: Step) -> tuple[Deviation, ...]:
    match step:
        case (
            WriteImage(component=component, version=want, expects=have)
            | SwitchBank(component=component, version=want, expects=have)
        ):
            return (Deviation(str(component), have or None, want),)
        case StageSettings(attributes=wanted, expects=present):
            return tuple(
                Deviation(name, present.get(name), want, is_setting=True)
                for name, want in sorted(wanted.items())
                if present.get(name) != want
            )
        case _:
            return ()
