"""Which nodes a command is about: names, ranges and labels."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from ..core.node import Node
from ..errors import UsageError
from .ranges import LIMIT, count
from .values import Inventory, no_such_node


def select(inventory: Inventory, expression: str) -> tuple[Node, ...]:
    """Return the nodes that *expression* names, in the inventory's order.

    It is a comma-separated list of names, nodeset ranges (``r[1-4]n[01-16]``, also with ``!`` to take
    away, ``&`` and ``^``), labels (``rack=r1``, patterns allowed; ``rack=r1&role=db`` asks for both)
    and ``@all``.

    Raises:
        UsageError: a name is not in the inventory, the expression cannot be read, or nothing is selected.
    """
    known = {managed.name: managed.node for managed in inventory.nodes}
    chosen: set[str] = set()
    for item in _split(expression):
        if item == "@all":
            chosen |= known.keys()
        elif "=" in item:
            wanted = [part.partition("=") for part in item.split("&")]
            chosen |= {
                name
                for name, node in known.items()
                if all(key in node.labels and fnmatchcase(node.labels[key], value) for key, _, value in wanted)
            }
        else:
            names = _nodeset(item)
            if missing := [name for name in names if name not in known]:
                raise no_such_node(missing, inventory)
            chosen |= set(names)
    if not chosen:
        raise UsageError(
            f"{expression!r} selects no node.",
            advice=_labels_advice(inventory, expression) if "=" in expression else "Try @all.",
        )
    return tuple(node for name, node in known.items() if name in chosen)


def _nodeset(item: str) -> list[str]:
    from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException  # 50 ms that few commands need

    if item.startswith("@"):
        raise UsageError(f"{item!r} is no group.", advice="The only group is @all; labels are written rack=r1.")
    if max(count(part) for part in item.replace("!", "&").replace("^", "&").split("&")) > LIMIT:
        raise UsageError(f"{item!r} stands for more than {LIMIT} names.", advice="Check the range for a slip.")
    try:
        return [str(name) for name in NodeSet(item, resolver=RESOLVER_NOGROUP)]
    except NodeSetException as error:
        raise UsageError(
            f"{item!r} cannot be read: {error}.", advice="Write names or ranges, for example r[1-4]n[01-16]."
        ) from error


def _split(expression: str) -> Iterator[str]:
    """Split at the commas that stand outside brackets."""
    depth, item = 0, ""
    for letter in expression:
        depth += {"[": 1, "]": -1}.get(letter, 0)
        if letter == "," and depth <= 0:
            yield from filter(None, [item.strip()])
            item = ""
        else:
            item += letter
    yield from filter(None, [item.strip()])


def _labels_advice(inventory: Inventory, expression: str) -> str:
    """Show labels that there are: those of the keys that were asked for, where there are such."""
    labels = sorted({label for managed in inventory.nodes for label in managed.node.labels.items()})
    asked = [(key, value) for key, value in labels if f"{key}=" in expression]
    texts = [f"{key}={value}" for key, value in asked or labels]
    shown = ", ".join(texts[:8]) + (", …" if len(texts) > 8 else "")
    return f"Labels in the inventory: {shown}." if texts else "No node in the inventory has labels."
