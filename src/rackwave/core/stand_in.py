"""What a simulated machine must be to stand in for a node: its parts as they are now, and how long things take.

Rules:

- A part has the version of the bundle that is assigned to the node, or else of the one before. Of a node on which
  nothing was committed nobody knows the versions: each part has one that is unlike the bundle's.
- What something takes is what it took before, on the node or on its like, as the journal knows. Where nobody knows,
  it is assumed, and told as such; whoever simulates may say it instead.
- A machine says who made it, as real ones do, so that the first nodes of a rollout teach the others how long a start
  takes: the inventory's words, or those that the node said once, or else one make for all of which nobody knows it.
- A pattern over parts counts as one part, unless a rollout has bound it to the node's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from attrs import evolve, field, frozen

from . import binding
from .binding import bind, bound
from .bundle import BUNDLE_STONE, Activation, AttributeValue, Bundle, Element, ElementKind, frozen_map
from .history import NodeHistory
from .identity import BundleId, ComponentName, NodeName
from .node import Node
from .pace import usual_steps
from .step import ResetBmc, ResetHost, Step, WriteImage

FLASH: Mapping[ElementKind, float] = frozen_map(
    {ElementKind.BIOS_IMAGE: 300.0, ElementKind.BMC_FIRMWARE: 300.0, ElementKind.DEVICE_FIRMWARE: 120.0}
)
POST = 180.0
BMC_RESTART = 120.0
"""Seconds that are assumed where nothing is known: what vendors' own notes allow a rack server (5 minutes for a BIOS
or a BMC, 2 for a card; 2 to 5 minutes of POST with all memory trained; a BMC is back after 1.5 to 3 minutes)."""

Took: TypeAlias = Callable[[Step], float | None]
"""What a step took before, in seconds; None where nobody knows."""


@frozen
class Pace:
    """Seconds that somebody says things take, whatever they took before; None: nobody says so."""

    flash: float | None = None
    post: float | None = None
    bmc_restart: float | None = None


@frozen
class Part:
    """One updateable part: the *version* that it has now, and the *seconds* that a flash of it takes.

    *keeps*: the machine keeps what ran before, and can bring it back.
    """

    component: ComponentName
    activation: Activation
    version: str
    seconds: float
    keeps: bool = False


@frozen
class StandIn:
    """A machine that stands in for *node*; times are in seconds.

    *comes* are the versions that the bundle brings, by component, where they are others than those that are there.
    *assumed* names what nobody knew the duration of.
    """

    node: NodeName
    vendor: str
    model: str
    parts: tuple[Part, ...]
    settings: Mapping[str, AttributeValue] = field(converter=frozen_map)
    post: float
    bmc_restart: float
    comes: Mapping[ComponentName, str] = field(converter=frozen_map)
    assumed: frozenset[str] = frozenset()

    @property
    def whole(self) -> float:
        """What all of it takes, one after the other."""
        return sum(part.seconds for part in self.parts if part.component in self.comes) + self.post + self.bmc_restart


def meant(bundle: Bundle, node: Node, history: NodeHistory, load: Callable[[BundleId], Bundle]) -> Bundle:
    """Return *bundle* as it is meant on *node*; where nobody has bound it yet, with one part for each pattern.

    *load* gives the bundles that components of it were set back to.
    """
    if bundle.digest in history.bindings:
        return binding.meant(bundle, history.bindings, load)
    samples = [sample(each) for each in bundle.manifest.elements if each.selector is not None]
    return bound(bundle, bind(bundle, node, samples))


def sample(element: Element) -> ComponentName:
    """Return a name that the pattern of *element* fits."""
    return ComponentName((element.selector or "").replace("*", "1").replace("?", "1"))


def named(node: Node, history: NodeHistory) -> Node:
    """Return *node* with the make and model that its machine will say."""
    said = history.identity
    vendor, model = (said.vendor, said.model) if said is not None else ("", "")
    return evolve(node, vendor=node.vendor or vendor or "unknown", model=node.model or model or "unknown")


def stand_in(node: Node, bundle: Bundle, held: Sequence[Bundle], took: Took, pace: Pace) -> StandIn:
    """Return what stands in for *node* while *bundle* is rolled out.

    Args:
        node: The node, with its make and model.
        bundle: What is rolled out, as it is meant on the node.
        held: What the node may be brought back to, likewise: the assigned bundle, then the one before.
        took: What steps took before.
        pace: What somebody says that they take.
    """
    assumed: set[str] = set()
    flashes: dict[ComponentName, float | None] = {}
    resets: dict[type[Step], float | None] = {}
    for step in usual_steps(bundle):
        if isinstance(step, WriteImage):
            flashes[step.component] = took(step)
        elif isinstance(step, ResetHost | ResetBmc):
            resets[type(step)] = took(step)

    def lasts(what: str, told: float | None, known: float | None, otherwise: float) -> float:
        if told is None and known is None:
            assumed.add(what)
        return next(each for each in (told, known, otherwise) if each is not None)

    there: dict[ComponentName, str] = {}
    for element in (element for each in held for element in each.manifest.elements):
        if element.component is not None and element.version is not None:
            there.setdefault(element.component, element.version)
    keeps = {element.component for each in held for element in each.manifest.elements if element.switches}
    parts: dict[ComponentName, Part] = {}
    comes: dict[ComponentName, str] = {}
    for element in (element for each in (bundle, *held) for element in each.manifest.elements):
        if not element.kind.is_image or element.component is None or element.version is None:
            continue
        if element.component not in parts:
            seconds = lasts("a flash", pace.flash, flashes.get(element.component), FLASH[element.kind])
            version = there.get(element.component) or _before(element)
            parts[element.component] = Part(
                element.component, element.activation, version, seconds, element.component in keeps
            )
    for element in bundle.manifest.elements:
        if element.component in parts and element.version != parts[element.component].version:
            comes[element.component] = element.version or ""
    post, bmc_restart = resets.get(ResetHost), resets.get(ResetBmc)
    return StandIn(
        node=node.name,
        vendor=node.vendor,
        model=node.model,
        parts=tuple(parts.values()),
        settings=_settings(bundle, held),
        post=lasts("POST", pace.post, post, POST) if ResetHost in resets else pace.post or post or POST,
        bmc_restart=lasts("a restart of the BMC", pace.bmc_restart, bmc_restart, BMC_RESTART)
        if ResetBmc in resets
        else pace.bmc_restart or BMC_RESTART,
        comes=comes,
        assumed=frozenset(assumed),
    )


def _before(element: Element) -> str:
    """Return a version that *element* may be written over, and that is another."""
    for stone in reversed(element.via):
        if not stone.startswith(BUNDLE_STONE) and stone != element.version:
            return stone
    for pattern in element.accepts:
        version = pattern.replace("*", "0").replace("?", "0")
        if version != element.version:
            return version
    return f"before {element.version}"


def _settings(bundle: Bundle, held: Sequence[Bundle]) -> dict[str, AttributeValue]:
    """Return what each BIOS attribute that a bundle names is now."""
    now: dict[str, AttributeValue] = {}
    for each in held:
        for element in each.manifest.elements:
            for name, value in element.attributes.items():
                now.setdefault(name, value)
    for element in bundle.manifest.elements:
        for name, value in element.attributes.items():
            now.setdefault(name, _unlike(value))
    return now


def _unlike(value: AttributeValue) -> AttributeValue:
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else f"not {value}"
