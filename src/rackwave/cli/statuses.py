"""The table of what nodes carry and where they stand."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.observation import Unknown
from ..core.report import NodeStatus
from ..core.watching import amiss, maintenance_told
from ..leave import words
from .render import print_table


def print_statuses(statuses: Sequence[NodeStatus]) -> None:
    """Print one line a node."""
    print_table(*status_table(statuses))


def status_table(statuses: Sequence[NodeStatus]) -> tuple[list[str], list[list[str]]]:
    """Return the headings, and one row a node."""
    looked = any(each.seen is not None for each in statuses)
    headings = ["NODE", "STATE", "ASSIGNED", "PRIOR", *(["POWER", "POST", "HEALTH", "INSTALLED"] if looked else [])]
    rows = []
    for each in statuses:
        history, seen = each.history, each.seen
        row = [
            str(history.node),
            each.state,
            ", ".join(str(held.bundle) for held in history.assigned.values()) or "-",
            ", ".join(str(held.bundle) for held in history.prior.values()) or "-",
        ]
        if looked and seen is not None:
            told = [f"{name} {component.installed}" for name, component in sorted(seen.components.items())] + [
                line for drift in each.drift.values() for line in drift.lines
            ]
            row += [_short(seen.power), _short(seen.post), _short(seen.health), "; ".join(told)]
        rows.append([*row, *[""] * (len(headings) - len(row)), _note(each)])
    return [*headings, "NOTE"], rows


def _note(status: NodeStatus) -> str:
    """What a person should know of the node first."""
    history = status.history
    if history.quarantined is not None:
        return "; ".join(history.quarantined)
    told = [words(history.hold)] if history.hold is not None else []
    told += map(str, history.set_back)
    if history.asked is not None:
        told.append(str(history.asked))
    if history.held_back:
        told.append(f"waits: {history.held_back}")
    seen = status.seen
    if seen is not None and isinstance(seen.power, Unknown) and isinstance(seen.health, Unknown):
        told.append(seen.power.reason)  # nothing was read, and the table has no room to say so in every column
    elif seen is None:
        carried = [held.bundle for held in history.assigned.values()]
        told += (*amiss(history.sightings), *maintenance_told(history.sightings, carried))
    return "; ".join(told) or status.held_by


def _short(value: object) -> str:
    return "unknown" if isinstance(value, Unknown) else str(value)
