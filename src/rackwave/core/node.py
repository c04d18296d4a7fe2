"""A managed machine as the planner sees it: a name, what it is, and where it stands (130-170)."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from attrs import field, frozen

from .bundle import frozen_map
from .identity import Lineage, NodeName


@frozen
class Node:
    """One machine. How its BMC is reached and with which credentials is the inventory's business."""

    name: NodeName
    vendor: str = ""
    model: str = ""
    labels: Mapping[str, str] = field(factory=dict, converter=frozen_map)


@frozen
class Selector:
    """Which nodes a lineage is for. Every part that is given must hold; patterns are shell-style."""

    lineage: Lineage
    vendor: str = "*"
    model: str = "*"
    labels: Mapping[str, str] = field(factory=dict, converter=frozen_map)
    names: frozenset[NodeName] | None = None

    def selects(self, node: Node) -> bool:
        """Whether *node* is to carry a bundle of this lineage."""
        return (
            (self.names is None or node.name in self.names)
            and fnmatchcase(node.vendor, self.vendor)
            and fnmatchcase(node.model, self.model)
            and all(fnmatchcase(node.labels.get(key, ""), value) for key, value in self.labels.items())
        )
