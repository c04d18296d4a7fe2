"""Whether one gets back from what a plan would do, element by element: proven before anything starts.

An element has a way back where a roll-back would bring back what was there: an image for its component in the bundle
that the node would be brought to, whole and permitted; or, where that bundle has none but knows that the machine keeps
what ran before, the version that runs now. A one-way element has none by its nature. What has none is told, and wants
consent.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, TypeAlias

from attrs import frozen

from .bundle import Bundle, Element, Reversibility
from .identity import ComponentName
from .planner import NodePlan
from .step import Flash, StageSettings

Consent: TypeAlias = Collection[str] | Literal[True]
"""The elements to whose having no way back somebody consents; True: to all."""


@frozen
class Lack:
    """An element that the plan changes and from which there is no way back, and why."""

    element: str
    why: str


def lacking(
    plan: NodePlan, bundle: Bundle, back: Bundle | None, problem: str | None, keeps: Collection[ComponentName] = ()
) -> tuple[Lack, ...]:
    """Return the elements of *bundle* that *plan* changes and from which there is no way back.

    Args:
        plan: What would be done on one node.
        bundle: What it is done for.
        back: The bundle that the node would be rolled back to; None: nothing was ever committed on it.
        problem: Why *back* could not be sent.
        keeps: The components of which the machine says that it keeps what ran before.
    """
    images = {each.component: each for each in back.manifest.elements if each.kind.is_image} if back else {}
    kinds = {element.name: element for element in bundle.manifest.elements}
    found: dict[str, Lack] = {}
    for step in plan.steps:
        if not isinstance(step, Flash | StageSettings):
            continue
        element, why = kinds[step.element], None
        if element.reversibility is Reversibility.ONE_WAY:
            why = "it is one-way"
        elif isinstance(step, StageSettings):
            continue  # what a roll-back does not name stays as it is; no image is lost by it
        elif problem is not None:
            why = problem
        elif back is None:
            why = "no bundle was ever committed on it"
        elif step.component not in images:
            why = f"{back.id}, which it would be brought back to, has no image for {step.component}"
        elif images[step.component].payload is None:
            why = _why_not_kept(back, images[step.component], step, keeps)
        if why is not None:
            found[step.element] = Lack(step.element, why)
    return tuple(found.values())


def _why_not_kept(back: Bundle, element: Element, step: Flash, keeps: Collection[ComponentName]) -> str | None:
    """Say why the machine's other bank would not have what *back* has no image of; None where it would."""
    if step.component not in keeps:
        return f"{back.id} has no image for {step.component}, and the machine does not say that it keeps what it runs"
    if step.expects != element.version:
        return f"{back.id} has no image for {step.component} {element.version}, and {step.expects} would be kept"
    return None


def unconsented(lacks: tuple[Lack, ...], consent: Consent) -> str | None:
    """Say which of *lacks* nobody consented to, and how to; None where there is none."""
    left = [lack for lack in lacks if consent is not True and lack.element not in consent]
    if not left:
        return None
    told = "; ".join(f"{lack.element}: {lack.why}" for lack in left)
    words = " ".join(f"--no-way-back {lack.element}" for lack in left)
    return f"no way back for {told}; {words} consents to that"
