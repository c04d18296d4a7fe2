"""What a bundle's manifest may say and should not: findings, each with a stable id and what to do about it.

A manifest that contradicts itself is refused by its reader (``core.manifest``). Here stand the practices
of the field; an *error* keeps a bundle from being published, a *warning* wants a second look, a *note*
is worth to know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from itertools import permutations

from attrs import frozen

from ..errors import BundleError
from .bundle import Activation, Element, ElementKind, Manifest, PayloadRole, Reversibility, Witness


class Level(StrEnum):
    """How much a finding weighs."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@frozen
class LintFinding:
    """One finding. *id* stays the same for ever; *element* names the element or payload that it is about.

    *text* says what was found, *advice* what to do.
    """

    id: str
    level: Level
    element: str | None
    text: str
    advice: str


SLOWEST = 64 * 1024
"""Bytes a second: BMCs were seen to take an image at some 100 KiB/s; two thirds of that is patience."""

_RANK = {
    ElementKind.BMC_FIRMWARE: 0,
    ElementKind.BIOS_IMAGE: 1,
    ElementKind.BIOS_SETTINGS: 2,
}
"""BMC first, since it is the BMC that writes the others; settings last, since a new BIOS may put them back.
Devices' firmware has no order that holds for all."""


def lint(manifest: Manifest) -> tuple[LintFinding, ...]:
    """Return what is to be said of *manifest*, errors first, else in the manifest's order."""
    found = [finding for rule in _RULES for finding in rule(manifest)]
    levels = list(Level)
    return tuple(sorted(found, key=lambda finding: levels.index(finding.level)))


def refuse_errors(manifest: Manifest) -> None:
    """Refuse a manifest with findings of level error.

    Raises:
        BundleError: it has some; the message tells the first and counts the rest.
    """
    errors = [finding for finding in lint(manifest) if finding.level is Level.ERROR]
    if errors:
        first, more = errors[0], f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        where = f"{first.element}: " if first.element is not None else ""
        raise BundleError(f"{manifest.id} is not fit to be published: {where}{first.text}{more}", advice=first.advice)


def _of_one_way(manifest: Manifest) -> Iterator[LintFinding]:
    order = [element.name for element in manifest.elements]
    for place, element in enumerate(manifest.elements):
        if element.reversibility is not Reversibility.ONE_WAY:
            continue
        yield LintFinding(
            "no-way-back",
            Level.WARNING,
            element.name,
            "there is no way back from it: no roll-back of this bundle can bring back what was there",
            "Put it into a bundle of its own, and let its purpose say why it has to be.",
        )
        if place != len(order) - 1:
            later = ", ".join(order[place + 1 :])
            yield LintFinding(
                "one-way-not-last",
                Level.ERROR,
                element.name,
                f"it cannot be undone and stands before {later}: if one of those fails, the node is stranded half-way",
                "Put it last.",
            )


def _of_checks(manifest: Manifest) -> Iterator[LintFinding]:
    for element in manifest.elements:
        if element.kind.is_image and element.checks and Witness.INSTALLED_VERSION not in element.checks:
            yield LintFinding(
                "version-unchecked",
                Level.WARNING,
                element.name,
                "its checks leave out the installed version, which alone tells that the image is there",
                'Add "installed-version" to its checks.',
            )
        if element.activation is Activation.HOST_RESET and not {Witness.POST, Witness.HEALTH} & set(element.checks):
            yield LintFinding(
                "no-health-check",
                Level.WARNING,
                element.name,
                "it restarts the host and names no health check",
                'Name the witnesses that must speak for it: checks = ["installed-version", "post", "health"].',
            )


def _of_order(manifest: Manifest) -> Iterator[LintFinding]:
    known = {element.name: element for element in manifest.elements}
    place = {element.name: number for number, element in enumerate(manifest.elements)}
    for first, second in permutations([e for e in manifest.elements if e.kind in _RANK], 2):
        if _RANK[first.kind] >= _RANK[second.kind] or first.name in _before(second, known):
            continue
        if second.name in _before(first, known):
            if second.kind is not ElementKind.BIOS_SETTINGS:  # else a finding of its own
                yield LintFinding(
                    "order-unusual",
                    Level.WARNING,
                    second.name,
                    f"it comes before {first.name}, though {first.kind} usually comes before {second.kind}",
                    "Turn it round, unless the vendor's release notes ask for it.",
                )
            continue
        yield LintFinding(
            "no-order",
            Level.WARNING if place[first.name] < place[second.name] else Level.ERROR,
            second.name,
            f"nothing says that {first.name} ({first.kind}) is in force before it is written",
            f'Write after = ["{first.name}"].',
        )


def _before(element: Element, known: dict[str, Element]) -> set[str]:
    """Return the names of everything that *element* waits for, directly or not."""
    found: set[str] = set()
    left = list(element.after)
    while left:
        name = left.pop()
        if name not in found and name in known:
            found.add(name)
            left.extend(known[name].after)
    return found


def _of_payloads(manifest: Manifest) -> Iterator[LintFinding]:
    used = {element.payload for element in manifest.elements}
    for payload in manifest.payloads:
        if payload.name not in used and payload.role is not PayloadRole.METADATA:
            yield LintFinding(
                "payload-unused",
                Level.WARNING,
                payload.name,
                f"no element uses the payload {payload.name}",
                'Name it in an element, give it the role "metadata", or leave it out.',
            )
        elif payload.name in used and payload.role is PayloadRole.METADATA:
            yield LintFinding(
                "payload-role",
                Level.WARNING,
                payload.name,
                f"{payload.name} is written to a machine, and its role is metadata",
                'Give it the role "data", or "executable" where a machine runs it.',
            )


def _of_selectors(manifest: Manifest) -> Iterator[LintFinding]:
    for element in manifest.elements:
        if element.selector is None:
            continue
        if not element.selector.strip("*?. "):
            yield LintFinding(
                "wildcard-too-wide",
                Level.ERROR,
                element.name,
                f"its component {element.selector} fits every part of a machine",
                "Name what all parts that it is for have in common: NIC.*.",
            )
        elif element.kind is not ElementKind.DEVICE_FIRMWARE:
            yield LintFinding(
                "wildcard-of-one",
                Level.WARNING,
                element.name,
                f"its component {element.selector} is a pattern, and a machine has one part for {element.kind}",
                'Name it: component = "BIOS" or component = "BMC".',
            )
        applies, whole = element.applies_to, manifest.applies_to
        if {applies.vendor, applies.model, whole.vendor, whole.model} == {"*"}:
            yield LintFinding(
                "wildcard-any-make",
                Level.WARNING,
                element.name,
                f"{element.selector} is looked for on machines of every make, which call their parts as they like",
                "Say in applies_to which vendor and model it is for.",
            )


def _of_activation(manifest: Manifest) -> Iterator[LintFinding]:
    for element in manifest.elements:
        if element.kind is ElementKind.BMC_FIRMWARE and element.activation is Activation.HOST_RESET:
            yield LintFinding(
                "activation-misfit",
                Level.ERROR,
                element.name,
                "it is the BMC's firmware, and a restart of the host does not make that run",
                'Write activation = "bmc-reset", or "immediate" where the BMC restarts by itself.',
            )
        elif element.kind in (ElementKind.BIOS_IMAGE, ElementKind.BIOS_SETTINGS) and (
            element.activation is not Activation.HOST_RESET
        ):
            yield LintFinding(
                "activation-misfit",
                Level.ERROR,
                element.name,
                f"the BIOS reads its {'settings' if element.attributes else 'image'} when the host starts, "
                f"not at {element.activation}",
                'Write activation = "host-reset".',
            )


def _of_time(manifest: Manifest) -> Iterator[LintFinding]:
    sizes = {payload.name: payload.size for payload in manifest.payloads}
    for element in manifest.elements:
        size = sizes.get(element.payload or "", 0)
        if size > element.time_limit * SLOWEST:
            needed = -(-size // SLOWEST)
            yield LintFinding(
                "time-limit-small",
                Level.WARNING,
                element.name,
                f"its {size / 2**20:.0f} MiB take a slow BMC {needed} s to fetch alone, and time_limit is "
                f"{element.time_limit:.0f} s",
                f"Write time_limit = {needed + 600} or more: what runs longer counts as lost.",
            )


def _of_settings(manifest: Manifest) -> Iterator[LintFinding]:
    """A BIOS image that comes after settings may put every setting back to its default."""
    known = {element.name: element for element in manifest.elements}
    for element in manifest.elements:
        if element.kind is not ElementKind.BIOS_SETTINGS:
            continue
        for other in manifest.elements:
            if other.kind is ElementKind.BIOS_IMAGE and element.name in _before(other, known):
                yield LintFinding(
                    "settings-lost",
                    Level.ERROR,
                    element.name,
                    f"the restart that {other.name} needs comes after it, and a new BIOS may put every setting back",
                    f'Turn it round: {other.name} first, then after = ["{other.name}"] here.',
                )


def _of_versions(manifest: Manifest) -> Iterator[LintFinding]:
    for element in manifest.elements:
        if element.version is not None and element.scheme is None:
            yield LintFinding(
                "no-scheme",
                Level.NOTE,
                element.name,
                f"nothing says how its version {element.version} is compared, so only the same text is the same",
                'Name the scheme, such as scheme = "dotted"; "opaque" says that there is none.',
            )


def _of_executors(manifest: Manifest) -> Iterator[LintFinding]:
    for element in manifest.elements:
        if element.kind.is_image or element.kind is ElementKind.BIOS_SETTINGS:
            continue
        yield LintFinding(
            "no-executor",
            Level.NOTE,
            element.name,
            f"this rackwave has no executor for elements of kind {element.kind}, and refuses them at planning",
            "Publish it for those that have one; nothing is changed on a machine until then.",
        )


_RULES: tuple[Callable[[Manifest], Iterator[LintFinding]], ...] = (
    _of_one_way,
    _of_order,
    _of_settings,
    _of_activation,
    _of_selectors,
    _of_checks,
    _of_time,
    _of_payloads,
    _of_versions,
    _of_executors,
)
