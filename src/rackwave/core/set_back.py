"""Setting one component back: the node keeps its assigned bundle, with what the one before had for that component.

The exception is part of what the bundle means on the node (core/binding.py), so that planning, drift, a resend and a
roll-back all know of it without being told. It ends with the next bundle, or when a person ends it.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve, frozen

from .binding import Binding, SetBack, image_for, meant
from .bundle import Bundle, Element, Reversibility
from .event import Bound
from .history import NodeHistory
from .identity import BundleId, ComponentName, Digest, Lineage

Load = Callable[[BundleId], Bundle]


@frozen
class WhyNot:
    """What was asked for cannot be done on this node, for this reason."""

    why: str


def set_back(
    history: NodeHistory, lineage: Lineage, component: ComponentName, *, load: Load, reason: str, by: str
) -> Bound | WhyNot:
    """Return what sets *component* back to what the node's prior bundle had for it."""
    assigned, prior = history.assigned.get(lineage), history.prior.get(lineage)
    if assigned is None:
        return WhyNot(f"it carries no bundle of lineage {lineage}")
    if prior is None:
        return WhyNot("it has no prior bundle")
    now = meant(load(assigned.bundle), history.bindings, load)
    before = meant(load(prior.bundle), history.bindings, load)
    own, other = image_for(now, component), image_for(before, component)
    if own is None:
        return WhyNot(f"{assigned.bundle} has no image for {component}")
    if other is None or other.version is None:
        return WhyNot(f"{prior.bundle}, which it had before, has no image for {component}")
    if own.reversibility is Reversibility.ONE_WAY:
        return WhyNot(f"{own.name} of {assigned.bundle} is one-way: there is no way back from it")
    if _digest(now, own) == _digest(before, other):
        return WhyNot(f"{component} has what {prior.bundle} has for it: {other.version}")
    source = _source(history, prior.digest, component) or (prior.bundle, prior.digest)
    back = SetBack(component, other.version, *source, reason, by)
    return _bound(history, lineage, (*_others(history, assigned.digest, component), back))


def bring_forward(history: NodeHistory, lineage: Lineage, component: ComponentName) -> Bound | WhyNot:
    """Return what ends the exception for *component*: it is to have again what the assigned bundle has for it."""
    assigned = history.assigned.get(lineage)
    if assigned is None or _source(history, assigned.digest, component) is None:
        return WhyNot(f"its {component} is not set back")
    return _bound(history, lineage, _others(history, assigned.digest, component))


def _bound(history: NodeHistory, lineage: Lineage, backs: tuple[SetBack, ...]) -> Bound:
    assigned = history.assigned[lineage]
    binding = history.bindings.get(assigned.digest, Binding())
    return Bound(history.node, assigned.bundle, assigned.digest, evolve(binding, set_back=backs))


def _others(history: NodeHistory, digest: Digest, component: ComponentName) -> tuple[SetBack, ...]:
    backs = history.bindings.get(digest, Binding()).set_back
    return tuple(each for each in backs if each.component != component)


def _source(history: NodeHistory, digest: Digest, component: ComponentName) -> tuple[BundleId, Digest] | None:
    """Return whose image *component* has, where that is not the bundle's own: no exception leads to another."""
    backs = history.bindings.get(digest, Binding()).set_back
    return next(((each.bundle, each.digest) for each in backs if each.component == component), None)


def _digest(bundle: Bundle, element: Element) -> Digest | None:
    return bundle.manifest.payload(element.payload).digest if element.payload is not None else None
