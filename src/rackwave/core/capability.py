"""What a BMC can do, and which way an update would go: what ``rackwave inspect`` shows."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from .observation import Unknown


@frozen
class Capability:
    """One thing that a BMC can do or says of itself: *name* is stable for programs, *value* is in words for people."""

    name: str
    value: str | Unknown

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"capability": self.name, "value": _word(self.value), "reason": _reason(self.value)}


@frozen
class ComponentSurvey:
    """One member of the firmware inventory, by the Id that a bundle may name it by.

    *way* says which way an image for it would go, and what would be asked for; Unknown: there is none, and why.
    """

    name: str
    title: str
    version: str | Unknown
    way: str | Unknown

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "component": self.name,
            "title": self.title or None,
            "version": _word(self.version),
            "way": _word(self.way),
            "reason": _reason(self.way),
        }


@frozen
class Survey:
    """All that was found of one BMC; *components* is Unknown where the inventory could not be listed."""

    capabilities: tuple[Capability, ...]
    components: tuple[ComponentSurvey, ...] | Unknown

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        components = self.components
        return {
            "capabilities": [each.document() for each in self.capabilities],
            "components": None if isinstance(components, Unknown) else [each.document() for each in components],
            "components_reason": _reason(components),
        }


def _word(value: str | Unknown) -> str | None:
    return None if isinstance(value, Unknown) else value


def _reason(value: object) -> str:
    return value.reason if isinstance(value, Unknown) else ""
