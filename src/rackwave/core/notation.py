"""What a BMC tells, in the words of the bundle: a vendor's own notation of a version that we know (P43)."""

from __future__ import annotations

from attrs import evolve

from .attempt import Attempt
from .bundle import Bundle
from .identity import ComponentName
from .observation import Component, Observation, Unknown
from .step import Write
from .version import same


def in_words_of(bundle: Bundle, seen: Observation, attempt: Attempt | None = None) -> Observation:
    """Return *seen* with each version that is the bundle's, or one that *attempt* expected, written as there.

    Only elements that declare a scheme are asked. A version that is none of these stays as it was told.
    """
    told: dict[ComponentName, Component] = {}
    for element in bundle.manifest.elements:
        if element.component is None or element.version is None or element.scheme is None:
            continue
        component = seen.components.get(element.component)
        if component is not None:
            known = [element.version, *_expected(attempt, element.component)]
            installed = _word(element.scheme, component.installed, known)
            staged = None if component.staged is None else _word(element.scheme, component.staged, known)
            spare = None if component.spare is None else _word(element.scheme, component.spare, known)
            if (installed, staged, spare) != (component.installed, component.staged, component.spare):
                told[element.component] = evolve(component, installed=installed, staged=staged, spare=spare)
    return evolve(seen, components={**seen.components, **told}) if told else seen


def _expected(attempt: Attempt | None, component: ComponentName) -> list[str]:
    steps = [record.step for record in attempt.steps] if attempt is not None else []
    return [step.expects for step in steps if isinstance(step, Write) and step.component == component]


def _word(scheme: str, told: str | Unknown, known: list[str]) -> str | Unknown:
    if isinstance(told, Unknown):
        return told
    return told if told in known else next((word for word in known if same(scheme, word, told)), told)
