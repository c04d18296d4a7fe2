"""Maintenance windows that some nodes have of their own, as they stand in the inventory.

    [[windows]]
    nodes = "rack=r7"                        # names, ranges and labels, as after --nodes
    window = "Sat 22:00-04:00 Europe/Berlin" # see core/window.py

Work on a node begins where the rollout's window and each of its own are open.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.identity import NodeName
from ..core.window import Windows, read_windows
from ..errors import InventoryError, UsageError
from .selection import select
from .values import Inventory

_KEYS = ("nodes", "window")


def read_own_windows(
    document: Mapping[str, Any], inventory: Inventory, path: Path
) -> dict[NodeName, tuple[Windows, ...]]:
    """Check the tables ``[[windows]]`` of the inventory at *path* and return the windows of each node.

    Raises:
        InventoryError: one cannot be used.
    """
    tables = document.get("windows", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise InventoryError(f"{path}: 'windows' is no list of tables.", advice="Write [[windows]] before each.")
    found: dict[NodeName, tuple[Windows, ...]] = {}
    for number, table in enumerate(tables, 1):
        where = f"{path}, [[windows]] number {number}"
        for key in table:
            if key not in _KEYS:
                raise InventoryError(f"{where}: unknown key {key!r}.", advice=f"Known keys are {', '.join(_KEYS)}.")
        for key in _KEYS:
            if not isinstance(table.get(key), str) or not table[key].strip():
                raise InventoryError(f"{where}: {key!r} is no text.", advice="It takes a text in quotation marks.")
        try:
            windows = read_windows(table["window"])
            chosen = select(inventory, table["nodes"])
        except UsageError as error:
            raise InventoryError(f"{where}: {str(error).rstrip('.')}.", advice=error.advice) from error
        for node in chosen:
            found[node.name] = (*found.get(node.name, ()), windows)
    return found
