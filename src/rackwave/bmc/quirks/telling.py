"""Records and what they come to, as words for people and as values for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

import attrs
from attrs import fields

from .quirks import PLAIN, Quirks
from .record import Facts, Match, Record
from .roster import Near, Selection


def record_document(record: Record) -> dict[str, Any]:
    """Tell *record* as JSON can."""
    return {
        "id": record.id,
        "file": record.origin,
        "match": _without_empty(_plain(record.match)),
        "differs": differs_document(record.differs, record.keys),
        "why": record.why,
        "since": record.since,
        "source": record.source,
    }


def differs_document(quirks: Quirks, keys: Iterable[str]) -> dict[str, Any]:
    """Tell the *keys* of *quirks* as a file of records would."""
    return {key: _without_empty(_plain(getattr(quirks, key))) for key in keys}


def facts_document(facts: Facts) -> dict[str, Any]:
    """Tell what is known of a BMC; null: not read, or not told."""
    return {name: value or None for name, value in _plain(facts).items()}


def selection_document(selection: Selection) -> dict[str, Any]:
    """Tell which records hold, what they come to, and which would hold but for something."""
    return {
        "records": [record_document(record) for record in selection.records],
        "near": [_near(near) for near in (*selection.near, *selection.unsure)],
        "quirks": differs_document(selection.quirks, differing(selection.quirks)),
    }


def differing(quirks: Quirks) -> tuple[str, ...]:
    """The keys in which *quirks* is not what the standard says."""
    names = (attribute.name for attribute in fields(Quirks))
    return tuple(name for name in names if getattr(quirks, name) != getattr(PLAIN, name))


def concerns(match: Match) -> str:
    """Say in one line whom a record concerns."""
    parts = [f"{name} {part}" for name in ("vendor", "product", "model", "manager") if (part := getattr(match, name))]
    if match.ipmi is not None:
        parts.append(f"IPMI manufacturer {match.ipmi}")
    if match.firmware is not None:
        parts.append(f"firmware {match.firmware}")
    return ", ".join(parts)


def _near(near: Near) -> dict[str, Any]:
    return {"id": near.record.id, "file": near.record.origin, "but": near.why}


def _plain(value: Any) -> Any:
    if attrs.has(type(value)):
        return {attribute.name: _plain(getattr(value, attribute.name)) for attribute in fields(type(value))}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.value if isinstance(value, Enum) else value


def _without_empty(value: Any) -> Any:
    """Drop what a record leaves open, in tables and in tables of those."""
    if not isinstance(value, dict):
        return value
    kept = {key: _without_empty(inner) for key, inner in value.items()}
    return {key: inner for key, inner in kept.items() if inner not in ("", None, [], {})}
